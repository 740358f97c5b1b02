"""The bench: every method on the same crops, boxes, splits and seeds, each in its own process.

Finished predictions are kept, so that a killed run goes on where it stopped.  Names no method
and computes no metric.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import memory
from ..datasets.linter import figure_errors
from ..datasets.lookup import pictures_stamp
from ..detection import TopDown, WholePicture
from ..files import atomic_path, load_predictions, remove_leftovers, write_atomic
from ..files.lease import clear_abandoned, scratch_folder, work_in
from ..memory.sources import fingerprint
from ..memory.threads import fit_threads
from ..structures import DataWarning, Detector, InputError, InputErrors, Predictions, Problem, Stream
from ..structures.base import evenly
from .crop_files import forget_crops
from .crops import SOURCE, Crops, loaders, make_crops
from .executors import AnyExecutor, Elsewhere, elsewhere, until_visible
from .problem import seeing
from .processes import (
    BenchProgress,
    check_items,
    count_workers,
    file_name,
    run_jobs,
    still_good,
    warn_failures,
)
from .stored import model_path, note_problem, prediction_path
from .worker import Job, model_meta, run_job


class _Entry(NamedTuple):
    """One method with one seed."""

    method: str
    seed: int
    estimator: Any


def bench(
    methods: Mapping[str, Detector] | Sequence[tuple[str, Detector]],
    problem: Problem,
    *,
    out: str | os.PathLike[str],
    seeds: Sequence[int] = (0,),
    n_jobs: int = 1,
    executor: AnyExecutor | str | None = None,
    progress: BenchProgress | None = None,
) -> list[Predictions]:
    """Fit each method on the problem's training part, predict its judged part, and store that in ``out``.

    Before anything is fitted, the data are asked for the errors that make every figure wrong
    (:func:`hybridkp.datasets.linter.figure_errors`: each picture file is read once, none is decoded).

    Everything that could differ is shared: crops, boxes, groups, seeds (each ``random_state``
    parameter, nested ones too, is set to the seed).  Each method and seed runs in a fresh
    process.  The clock covers decoded picture and box -> crop -> points, one object at a time,
    one thread, after a warm-up, for up to ``problem.max_timed`` objects spread over the judged part; with
    several jobs it runs at the end, one method at a time, so that no neighbour disturbs it.

    Parameters
    ----------
    methods : name -> unfitted detector
    problem : of :func:`load_problem`, or ``Problem(train, val)``; what the methods see
        (:class:`~hybridkp.structures.SeesModalities`) is added to its modalities
    out : folder; gets ``predictions/``, ``models/``, ``cache/`` and, for methods that failed,
        ``errors/``.  Nothing is written elsewhere.
    n_jobs : processes at a time, each with one thread; -1 = one per core
    executor : where methods are fitted and predict, instead: a Dask client, ``"dask://HOST:PORT"``, or
        anything with ``submit(function, argument) -> future``, which decides itself how many run at a time.
        ``out`` and the data must lie at one path on all machines.  The clock runs at the end, here.
    progress : see :data:`~hybridkp.evaluate.processes.BenchProgress`

    Returns
    -------
    list of Predictions, in the order of methods and seeds; those that failed are missing, with
    their traceback in ``out/errors`` and, without ``progress``, a RuntimeWarning

    Raises
    ------
    InputError
        For unusable data, when another run works in ``out``, and when every method failed.
        :class:`~hybridkp.structures.InputErrors` for errors of the data that make figures wrong, unless
        ``problem.anyway``: then they are warned of, and the predictions carry them, so that each report
        repeats them.
    """
    items = check_items(methods)
    for name, estimator in items:
        check_crops_only(name, estimator)
    problem = seeing(problem, *(estimator for _, estimator in items))
    seeds = [int(s) for s in dict.fromkeys(seeds)]
    errors = check_parts(problem)
    entries = [_Entry(name, seed, with_seed(estimator, seed)) for name, estimator in items for seed in seeds]
    with work_in(out):
        return _bench(
            entries,
            problem,
            errors,
            Path(out),
            count_workers(n_jobs),
            executor,
            warn_failures if progress is None else progress,
        )


def _bench(
    entries: Sequence[_Entry],
    problem: Problem,
    errors: Sequence[str],
    out: Path,
    workers: int,
    executor: AnyExecutor | str | None,
    tell: BenchProgress,
) -> list[Predictions]:
    """:func:`bench`, where nobody else writes."""
    remove_leftovers(out)
    clear_abandoned(out / "cache")
    note_problem(out, problem)
    facts = _facts(problem, errors)
    todo: list[_Entry] = []
    results: dict[tuple[str, int], Predictions] = {}
    for entry in entries:
        name, seed, estimator = entry
        path, params = prediction_path(out, name, seed), _params(facts, estimator)
        kept = still_good(path, load_predictions, name, seed, params, facts["fingerprint"], tell)
        if kept is None:
            todo.append(entry)
        else:
            results[name, seed] = kept
    failed: list[str] = []
    with ExitStack() as stack:
        # crops are made when the first job needs them, once
        shared = lru_cache(lambda: stack.enter_context(_shared_crops(out, problem, workers)))

        def run(chosen: list[_Entry], mode: str, n_workers: int, places: Elsewhere | None = None) -> None:
            jobs = [_job(out, *shared(), problem, facts, entry, mode) for entry in chosen]

            def done(job: Job) -> None:
                results[job.method, job.seed] = load_predictions(until_visible(job.predictions))
                tell("done" if mode != "clock" else "timed", job.method, job.seed, "")

            failed.extend(run_jobs(jobs, run_job, n_workers, tell, out, done, places))

        with elsewhere(executor, out, bool(todo)) as places:
            alone = min(workers, len(todo)) == 1 and not places  # no neighbour: the clock may run at once
            run(todo, "all" if alone else "predict", workers, places)
        there = [e for e in entries if problem.max_timed > 0 and (e.method, e.seed) in results]
        untimed = [e for e in there if np.isnan(results[e.method, e.seed].seconds).all()]
        run(untimed, "clock", 1)  # one at a time: no neighbour on the machine while the clock runs
    if not results:
        raise InputError(f"every method failed; {failed[0]} (tracebacks in {out / 'errors'})")
    found = [results[e.method, e.seed] for e in entries if (e.method, e.seed) in results]
    note_problem(out, problem, found)
    return found


def check_crops_only(name: str, estimator: Any) -> None:
    """:class:`InputError` for a detector of whole pictures: here every method gets the same boxes."""
    if isinstance(estimator, TopDown | WholePicture):
        raise InputError(
            f"{name}: boxes are given here, and it finds its objects itself: `hybridkp bench` and `hybridkp"
            " evaluate` take it"
        )


def with_seed(estimator: Any, seed: int) -> Any:
    """A clone with every ``random_state`` parameter, nested ones too, set to ``seed``."""
    from sklearn.base import clone

    seeded = clone(estimator)
    names = [n for n in seeded.get_params(deep=True) if n.split("__")[-1] == "random_state"]
    return seeded.set_params(**dict.fromkeys(names, seed)) if names else seeded


# --------------------------------------------------------------------------------------------
# what is asked for, and what is there already
# --------------------------------------------------------------------------------------------


def check_parts(problem: Problem) -> list[str]:
    """The errors that make figures wrong, a line each; raised unless the problem says anyway."""
    train, val = problem.train, problem.val
    for part in (train, val):
        if len(part) == 0:
            raise InputError(f"{part.name}: holds no pictures")
    shared = set(train.groups) & set(val.groups)
    if shared:
        warnings.warn(
            f"{len(shared)} groups (such as {sorted(shared)[0]!r}) are in {train.name} and in {val.name}:"
            " the scores will be too good",
            DataWarning,
            stacklevel=3,
        )
    found = [f.line for f in figure_errors({"train": train, problem.split: val})]
    if found and not problem.anyway:
        cure = "mend them (hybridkp data check says more), or go on all the same with anyway (--anyway)"
        raise InputErrors(f"{problem.name}: its data have errors that make every figure wrong; {cure}", found)
    for line in found:
        warnings.warn(f"{problem.name}: {line}", DataWarning, stacklevel=3)
    return found


def _facts(problem: Problem, errors: Sequence[str]) -> dict[str, Any]:
    train, val = problem.train, problem.val
    params = {
        "size_hw": list(problem.size_hw),
        "margin": problem.margin,
        "modalities": list(problem.modalities),
        "max_timed": problem.max_timed,
        "fit_threads": fit_threads(),
        "train": train.name,
        "train_fingerprint": train.fingerprint,
        "n_train": len(train),
        "data_errors": list(errors),
        "pictures": pictures_stamp(train) + pictures_stamp(val),
        "flip": None if train.flip is None else train.flip.tolist(),
    }
    return {"dataset": val.name, "fingerprint": val.fingerprint, "split": problem.split, "params": params}


def _params(facts: Mapping[str, Any], estimator: Any) -> dict[str, Any]:
    """What must be the same for stored predictions to be kept; a change of our source counts."""
    own = {"estimator": memory.describe(estimator), "estimator_source": memory.source_of(estimator)}
    return {**own, **facts["params"], "source": fingerprint(SOURCE)}


# --------------------------------------------------------------------------------------------
# doing it
# --------------------------------------------------------------------------------------------


@contextmanager
def _shared_crops(out: Path, problem: Problem, n_jobs: int) -> Iterator[tuple[Path, Crops]]:
    """Crops of both parts in a folder that workers map into memory; removed at the end.

    Those that do not fit lie beside it, and stay; here are their places.
    """
    cut = problem.size_hw, problem.margin, n_jobs, problem.modalities, problem.anyway, out / "cache"
    with scratch_folder(out / "cache", "crops") as folder:
        first, crops = (make_crops(part, *cut) for part in (problem.train, problem.val))
        arrays: dict[str, Any] = {"train-xy": first.xy, "val-matrix": crops.matrix}
        for part, its in (("train", first), ("val", crops)):
            arrays |= {f"{part}-seen-{k}": v for k, v in {"image": its.images, **its.further}.items()}
        on_disk = {name: rows for name, rows in arrays.items() if isinstance(rows, Stream)}
        for name, stream in on_disk.items():
            write_atomic(folder / f"{name}.json", json.dumps(stream.where(folder)))
        forget_crops(out / "cache", keep=[s.sources[0][0].path.parent.name for s in on_disk.values()])
        for name in arrays.keys() - on_disk.keys():
            if arrays[name].dtype == object:  # text
                write_atomic(folder / f"{name}.json", json.dumps(arrays[name].tolist()))
                continue
            with atomic_path(folder / f"{name}.npy") as temporary, open(temporary, "wb") as file:
                np.save(file, arrays[name], allow_pickle=False)
        flip = None if first.flip is None else first.flip.tolist()
        write_atomic(folder / "rows.json", json.dumps({"groups": first.groups.tolist(), "flip": flip}))
        yield folder, crops


def _job(
    out: Path,
    folder: Path,
    crops: Crops,
    problem: Problem,
    facts: Mapping[str, Any],
    entry: _Entry,
    mode: str,
) -> Job:
    name, seed, estimator = entry
    timed = evenly(len(crops), problem.max_timed)
    samples = [problem.val.samples[crops.sample[row]] for row in timed]
    return Job(
        mode=mode,
        method=name,
        seed=seed,
        estimator=estimator,
        crops=folder,
        cache=out / "cache",
        model=model_path(out, name, seed),
        predictions=prediction_path(out, name, seed),
        stage=folder / f"stage-{file_name(name)}-{seed}",
        log=out / "logs" / f"{file_name(name)}-{seed}.txt",
        timed=tuple(
            (int(row), loaders(sample, problem.modalities), crops.boxes[row])
            for row, sample in zip(timed, samples, strict=True)
        ),
        size_hw=problem.size_hw,
        margin=problem.margin,
        n_landmarks=len(problem.val.landmarks),
        facts={
            **facts,
            "names": crops.names,
            "instance": crops.instance,
            "params": _params(facts, estimator),
        },
        meta=model_meta(problem, name),
    )
