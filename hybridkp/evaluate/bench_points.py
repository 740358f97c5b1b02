"""The bench of interest points: every pair matcher on the same pairs, matches stored before any metric.

Each method, budget and seed has a process of its own with one thread.  Finished ones are kept, and
a killed one goes on at the pair it had come to.  Names no method and computes no metric.
"""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import memory
from ..files import load_matched, remove_leftovers, save_matched, write_atomic
from ..files.lease import work_in
from ..files.matched import MatchedSet, no_result
from ..memory.sources import fingerprint as source_fingerprint
from ..memory.threads import limit_threads
from ..points.relative_pose import estimate_pose
from ..structures import Array, InputError
from ..structures.base import evenly
from ..structures.pairs import Matched, Pair, PairMatcher, PairSet
from .bench_landmarks import with_seed
from .executors import AnyExecutor, elsewhere, until_visible
from .processes import (
    BenchProgress,
    check_items,
    count_workers,
    divert_messages,
    end_soon,
    error_path,
    file_name,
    host,
    load_per_core,
    one_line,
    peak_bytes,
    reset_peak,
    run_jobs,
    still_good,
    versions,
    warn_failures,
)

SAVE_EVERY = 10.0  #: seconds of work that a kill may cost

#: a matcher, or a function (n_points, random_state) that makes one
Method = PairMatcher | Callable[[int, int], PairMatcher]


def bench_pairs(
    methods: Mapping[str, Method] | Sequence[tuple[str, Method]],
    pairs: PairSet,
    *,
    out: str | os.PathLike[str],
    n_points: Sequence[int] = (1024,),
    seeds: Sequence[int] = (0,),
    n_jobs: int = 1,
    max_timed: int = 20,
    executor: AnyExecutor | str | None = None,
    progress: BenchProgress | None = None,
) -> list[MatchedSet]:
    """Match each pair by each method, and store the matches in ``out``.

    Every method runs in a fresh process with one thread, after a pair to warm up.  Where a pair has
    cameras, the relative pose is estimated from every method's matches alike
    (:func:`hybridkp.points.estimate_pose`), and its inliers are the ones that are stored.  A method that
    raises at a pair has no result there (no points, no matches, homography NaN), and the bench goes on; one
    that raises at every pair has failed.

    Parameters
    ----------
    methods : name -> function (n_points, random_state) that gives a matcher, or a matcher: that one is
        asked as it is, with its ``random_state`` parameters set to the seed, and its budget is its own
    out : folder; gets ``matched/`` and, where something failed, ``errors/``; nothing is written elsewhere
    n_points, seeds : every method runs with each
    n_jobs : processes at a time; -1 = one per core.  With several, the clock runs at the end, alone:
        up to ``max_timed`` pairs, spread over the set, are matched once more, one method at a time
    executor : where methods run, instead, as of :func:`.bench`; the clock runs at the end, here
    progress : see :data:`~hybridkp.evaluate.processes.BenchProgress`; the method is named with its budget

    Returns
    -------
    list of MatchedSet, in the order of methods, budgets and seeds; those that failed are missing, with
    their traceback in ``out/errors`` and, without ``progress``, a RuntimeWarning

    Raises
    ------
    InputError
        For unreadable pairs, when another run works in ``out``, and when every method failed.
    """
    items = check_items(methods)
    if not len(pairs):
        raise InputError(f"{pairs.name}: has no pairs")
    out, workers = Path(out), count_workers(n_jobs)
    fingerprint = pairs.fingerprint  # reads every picture: bad ones are named before anything runs
    asked = [
        _job(name, method, n, seed, pairs, fingerprint, out, workers > 1 or executor is not None, max_timed)
        for name, method in items
        for n in _budgets(method, n_points)
        for seed in dict.fromkeys(int(s) for s in seeds)
    ]
    with work_in(out):
        return _bench(asked, out, workers, executor, warn_failures if progress is None else progress)


def _bench(
    asked: Sequence[PairsJob],
    out: Path,
    workers: int,
    executor: AnyExecutor | str | None,
    tell: BenchProgress,
) -> list[MatchedSet]:
    """:func:`bench_pairs`, where nobody else writes."""
    remove_leftovers(out)
    results: dict[Path, MatchedSet] = {}
    todo = []
    for job in asked:
        params, data = job.facts["params"], job.facts["fingerprint"]
        kept = still_good(job.path, load_matched, job.method, job.seed, params, data, tell)
        if kept is None:
            todo.append(job)
        else:
            results[job.path] = kept

    def done(job: PairsJob) -> None:
        results[job.path] = found = load_matched(until_visible(job.path))
        lost = f"{len(found.failures)} of {len(found)} pairs raised" if found.failures else ""
        tell("timed" if job.mode == "clock" else "done", job.method, job.seed, lost)

    with elsewhere(executor, out, bool(todo)) as places:
        failed = run_jobs(todo, run_pairs, workers, tell, out, done, places)
    there = [j for j in asked if j.max_timed > 0 and j.path in results]
    untimed = [replace(j, mode="clock") for j in there if np.isnan(results[j.path].cpu_seconds).all()]
    failed += run_jobs(untimed, run_pairs, 1, tell, out, done)  # one at a time: the clock runs
    for folder in (out / "cache", out / "logs"):
        with contextlib.suppress(OSError):  # something of worth is in it
            folder.rmdir()
    if not results:
        raise InputError(f"every method failed; {failed[0]} (tracebacks in {out / 'errors'})")
    return [results[job.path] for job in asked if job.path in results]


# --------------------------------------------------------------------------------------------
# what is asked for
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PairsJob:
    """One method with one budget and one seed on all pairs."""

    mode: str  #: "all", "match" (no clock) or "clock" (add the times to stored matches)
    method: str  #: with its budget
    seed: int
    matcher: Any
    pairs: PairSet
    path: Path
    partial: Path  #: what there is before the last pair
    stage: Path
    log: Path
    max_timed: int
    facts: Mapping[str, Any]  #: fields of MatchedSet that are known beforehand


def _budgets(method: Method, n_points: Sequence[int]) -> list[int]:
    """A matcher that is given ready has the budget it has; 0 where it does not say."""
    if not hasattr(method, "match"):
        return list(dict.fromkeys(int(n) for n in n_points))
    params = method.get_params(deep=True) if hasattr(method, "get_params") else {}
    own = {int(v) for k, v in params.items() if k.split("__")[-1] == "n_points" and v}
    return [max(own, default=0)]


def _job(
    name: str,
    method: Any,
    n_points: int,
    seed: int,
    pairs: PairSet,
    fingerprint: str,
    out: Path,
    timed_later: bool,
    max_timed: int,
) -> PairsJob:
    if hasattr(method, "match"):
        matcher = with_seed(method, seed) if hasattr(method, "get_params") else method
    else:
        matcher = method(n_points, seed)
    label = f"{name}-{n_points}"
    file = f"{file_name(label)}-{seed}"
    return PairsJob(
        mode="match" if timed_later else "all",
        method=label,
        seed=seed,
        matcher=matcher,
        pairs=pairs,
        path=out / "matched" / f"{file}.safetensors",
        partial=out / "cache" / f"{file}.safetensors",
        stage=out / "cache" / f"{file}.stage",
        log=out / "logs" / f"{file}.txt",
        max_timed=max_timed,
        facts={
            "method": name,
            "n_points": n_points,
            "seed": seed,
            "data": pairs.name,
            "fingerprint": fingerprint,
            "params": {"matcher": memory.describe(matcher), "source": _source()},
        },
    )


def _source() -> str:
    """16 hex digits of the files, weights included, that decide what a matcher of ours finds."""
    return source_fingerprint(["hybridkp.points"])


# --------------------------------------------------------------------------------------------
# inside the process
# --------------------------------------------------------------------------------------------


def run_pairs(job: PairsJob) -> None:
    """Match all pairs of a job, or time some again; store the matches."""
    try:
        divert_messages(job.log)
        _do(job)
    finally:
        end_soon()


def _do(job: PairsJob) -> None:
    with limit_threads(1):
        found = _clocked(job) if job.mode == "clock" else _matched(job)
    save_matched(found, job.path)
    for path in (job.partial, job.stage):
        path.unlink(missing_ok=True)


@dataclass(frozen=True, eq=False)
class _Row:
    matched: Matched
    size_hw_a: tuple[int, int]
    size_hw_b: tuple[int, int]
    cpu_seconds: float


def _matched(job: PairsJob) -> MatchedSet:
    reset_peak()
    before = _begun(job)
    n = len(before) if before else 0
    failures = dict(before.failures) if before else {}
    rows: list[_Row] = []
    saved = time.perf_counter()
    error: Exception | None = None
    for number, pair in enumerate(job.pairs.pairs[n:], n):
        write_atomic(job.stage, f"{number + 1}/{len(job.pairs)}")
        images = pair.load_a(), pair.load_b()
        if number == n:
            _warm_up(job, images)
        try:
            rows.append(_match(job, pair, images, job.mode == "all"))
        except Exception as caught:
            error, failures[pair.name] = caught, one_line(caught)
            _note(job, pair, caught)
            rows.append(_Row(no_result(), images[0].shape[:2], images[1].shape[:2], np.nan))
        if time.perf_counter() - saved > SAVE_EVERY:
            save_matched(_joined(job, before, rows, failures), job.partial)
            saved = time.perf_counter()
    if error is not None and len(failures) == len(job.pairs):
        raise error
    return _joined(job, before, rows, failures)


def _match(job: PairsJob, pair: Pair, images: tuple[Array, Array], timed: bool) -> _Row:
    start = time.process_time()
    matched = job.matcher.match(*images)
    spent = time.process_time() - start
    if pair.cameras is not None:  # the same estimator for all, and on nobody's clock
        found = estimate_pose(matched.xy_a, matched.xy_b, pair.cameras, random_state=job.seed)
        matched = replace(matched, pose=found.pose, inlier=found.inlier)
    sizes = [(int(i.shape[0]), int(i.shape[1])) for i in images]
    if not timed:
        return _Row(replace(matched, seconds={}), sizes[0], sizes[1], np.nan)
    return _Row(matched, sizes[0], sizes[1], spent)


def _warm_up(job: PairsJob, images: tuple[Array, Array]) -> None:
    """Networks are read and pages touched before the clock starts; what raises is noted in its turn."""
    try:
        job.matcher.match(*images)
    except Exception:
        return


def _note(job: PairsJob, pair: Pair, error: Exception) -> None:
    """The traceback beside those of methods that failed, the pair's name on top."""
    out = job.path.parents[1]
    path = error_path(out, f"{job.method}-{pair.name}", job.seed)
    write_atomic(path, f"{pair.name}\n" + "".join(traceback.format_exception(error)))


def _begun(job: PairsJob) -> MatchedSet | None:
    """What a killed run left: the first pairs' matches."""
    if not job.partial.exists():
        return None
    try:
        found = load_matched(job.partial)
    except InputError:
        return None
    same = found.fingerprint == job.facts["fingerprint"] and dict(found.params) == job.facts["params"]
    first = tuple(p.name for p in job.pairs.pairs[: len(found)])
    return found if same and found.names == first and found.label == job.method else None


def _joined(
    job: PairsJob, before: MatchedSet | None, rows: Sequence[_Row], failures: Mapping[str, str]
) -> MatchedSet:
    old = before or MatchedSet("", (), (), np.zeros((0, 2)), np.zeros((0, 2)))
    n = len(old) + len(rows)
    return MatchedSet(
        results=(*old.results, *(r.matched for r in rows)),
        names=tuple(p.name for p in job.pairs.pairs[:n]),
        size_hw_a=np.concatenate([old.size_hw_a, np.array([r.size_hw_a for r in rows]).reshape(-1, 2)]),
        size_hw_b=np.concatenate([old.size_hw_b, np.array([r.size_hw_b for r in rows]).reshape(-1, 2)]),
        cpu_seconds=np.concatenate([old.cpu_seconds, [r.cpu_seconds for r in rows]]),
        peak_bytes=max(peak_bytes(), old.peak_bytes),
        load=load_per_core(),
        host=", ".join(dict.fromkeys(filter(None, (old.host, host())))) if job.mode == "all" else "",
        failures=dict(failures),
        versions=versions(),
        **job.facts,
    )


def _clocked(job: PairsJob) -> MatchedSet:
    """The stored matches with the times of up to ``max_timed`` pairs, spread over the set."""
    found = load_matched(job.path)
    results, cpu = list(found.results), np.array(found.cpu_seconds)
    good = [i for i, name in enumerate(found.names) if name not in found.failures]
    for step, at in enumerate(evenly(len(good), job.max_timed)):
        row = good[at]
        pair = job.pairs.pairs[row]
        images = pair.load_a(), pair.load_b()
        if step == 0:
            write_atomic(job.stage, "is timed")
            _warm_up(job, images)
        result = _match(job, pair, images, True)
        results[row] = replace(results[row], seconds=result.matched.seconds)
        cpu[row] = result.cpu_seconds
    return replace(found, results=tuple(results), cpu_seconds=cpu, load=load_per_core(), host=host())
