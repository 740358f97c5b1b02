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
from typing import Any

import numpy as np

from .. import memory
from ..files import atomic_path, load_predictions, remove_leftovers, write_atomic
from ..files.lease import clear_abandoned, scratch_folder
from ..memory.sources import fingerprint
from ..memory.threads import FIT_THREADS
from ..structures import Dataset, DataWarning, Detector, InputError, Predictions
from .crops import Crops, make_crops
from .processes import Progress as Progress
from .processes import check_items, count_workers, file_name, run_jobs, still_good, warn_failures
from .worker import Job, model_meta, run_job

#: what decides the crops that all methods share
_SHARED_SOURCE = ("hybridkp.evaluate.crops", "hybridkp.datasets.load")
#: parameters of stored predictions that belong to one method
_OWN = ("estimator", "estimator_source")


def bench(
    methods: Mapping[str, Detector] | Sequence[tuple[str, Detector]],
    train: Dataset,
    val: Dataset,
    *,
    out: str | os.PathLike[str],
    seeds: Sequence[int] = (0,),
    n_jobs: int = 1,
    size_hw: tuple[int, int] = (128, 128),
    margin: float = 1.25,
    max_timed: int = 50,
    split: str = "val",
    progress: Progress | None = None,
) -> list[Predictions]:
    """Fit each method on ``train``, ask it about ``val``, and store the answers in ``out``.

    Everything that could differ is shared: crops, boxes, groups, seeds (each ``random_state``
    parameter, nested ones too, is set to the seed).  Each method and seed runs in a fresh
    process.  The clock covers decoded picture and box -> crop -> points, one object at a time,
    one thread, after a warm-up, for up to ``max_timed`` objects spread over ``val``; with
    several jobs it runs at the end, one method at a time, so that no neighbour disturbs it.

    Parameters
    ----------
    methods : name -> unfitted detector
    out : folder; gets ``predictions/``, ``models/``, ``cache/`` and, for methods that failed,
        ``errors/``.  Nothing is written elsewhere.
    n_jobs : processes at a time, each with one thread; -1 = one per core
    progress : see :data:`~hybridkp.evaluate.processes.Progress`

    Returns
    -------
    list of Predictions, in the order of methods and seeds; those that failed are missing, with
    their traceback in ``out/errors`` and, without ``progress``, a RuntimeWarning

    Raises
    ------
    InputError
        For unusable data, and when every method failed.
    """
    items = check_items(methods)
    seeds = [int(s) for s in dict.fromkeys(seeds)]
    _check_sets(train, val)
    out = Path(out)
    remove_leftovers(out)
    clear_abandoned(out / "cache")
    tell = progress or warn_failures
    facts = _facts(train, val, split, size_hw, margin, max_timed)
    asked = [(name, seed, with_seed(estimator, seed)) for name, estimator in items for seed in seeds]
    todo: list[tuple[str, int, Any]] = []
    results: dict[tuple[str, int], Predictions] = {}
    for name, seed, seeded in asked:
        path, params = prediction_path(out, name, seed), _params(facts, seeded)
        kept = still_good(path, load_predictions, name, seed, params, val.fingerprint, tell)
        if kept is None:
            todo.append((name, seed, seeded))
        else:
            results[name, seed] = kept
    failed: list[str] = []
    workers = count_workers(n_jobs)
    with ExitStack() as stack:
        # crops are made when the first job needs them, once
        shared = lru_cache(
            lambda: stack.enter_context(_shared_crops(out, train, val, size_hw, margin, n_jobs))
        )

        def run(entries: list[tuple[str, int, Any]], mode: str, n_workers: int) -> None:
            jobs = [_job(out, *shared(), val, facts, entry, n_jobs, mode) for entry in entries]

            def done(job: Job) -> None:
                results[job.method, job.seed] = load_predictions(job.predictions)
                tell("done" if mode != "clock" else "timed", job.method, job.seed, "")

            failed.extend(run_jobs(jobs, run_job, n_workers, tell, out, done))

        run(todo, "answer" if workers > 1 else "all", workers)
        untimed = [e for e in asked if max_timed > 0 and e[:2] in results and _untimed(results[e[:2]])]
        run(untimed, "clock", 1)  # one at a time: no neighbour on the machine while the clock runs
    if not results:
        raise InputError(f"every method failed; {failed[0]} (tracebacks in {out / 'errors'})")
    return [results[n, s] for n, _ in items for s in seeds if (n, s) in results]


def stored_predictions(out: str | os.PathLike[str]) -> list[Predictions]:
    """The predictions in a bench's folder, in the order of their files' names."""
    paths = sorted((Path(out) / "predictions").glob("*.safetensors"))
    if not paths:
        raise InputError(f"{out}: no stored predictions there; run the bench first")
    return [load_predictions(path) for path in paths]


def setting(predictions: Predictions) -> dict[str, Any]:
    """What a bench shares among its methods: crops, training set, clock, and the source of these.

    Answers of two methods may stand in one table only when this is equal (and the data too).
    """
    return {name: value for name, value in predictions.params.items() if name not in _OWN}


def with_seed(estimator: Any, seed: int) -> Any:
    """A clone with every ``random_state`` parameter, nested ones too, set to ``seed``."""
    from sklearn.base import clone

    seeded = clone(estimator)
    names = [n for n in seeded.get_params(deep=True) if n.split("__")[-1] == "random_state"]
    return seeded.set_params(**dict.fromkeys(names, seed)) if names else seeded


def _untimed(predictions: Predictions) -> bool:
    return bool(np.isnan(predictions.seconds).all())


def prediction_path(out: Path, method: str, seed: int) -> Path:
    """Where the answers of one method and seed are kept."""
    return out / "predictions" / f"{file_name(method)}-{seed}.safetensors"


# --------------------------------------------------------------------------------------------
# what is asked for, and what is there already
# --------------------------------------------------------------------------------------------


def _check_sets(train: Dataset, val: Dataset) -> None:
    if train.landmarks != val.landmarks:
        raise InputError(
            f"{train.name} has {len(train.landmarks)} landmarks and {val.name} {len(val.landmarks)}"
            " (or other names): both need one scheme"
        )
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


def _facts(
    train: Dataset, val: Dataset, split: str, size_hw: tuple[int, int], margin: float, max_timed: int
) -> dict[str, Any]:
    params = {
        "size_hw": [int(v) for v in size_hw],
        "margin": float(margin),
        "max_timed": int(max_timed),
        "fit_threads": FIT_THREADS,
        "train": train.name,
        "train_fingerprint": train.fingerprint,
        "n_train": len(train),
        "flip": None if train.flip is None else train.flip.tolist(),
    }
    return {"dataset": val.name, "fingerprint": val.fingerprint, "split": split, "params": params}


def _params(facts: Mapping[str, Any], estimator: Any) -> dict[str, Any]:
    """What must be the same for stored answers to be kept; a change of our source counts."""
    own = {"estimator": memory.describe(estimator), "estimator_source": memory.source_of(estimator)}
    return {**own, **facts["params"], "source": fingerprint(_SHARED_SOURCE)}


# --------------------------------------------------------------------------------------------
# doing it
# --------------------------------------------------------------------------------------------


@contextmanager
def _shared_crops(
    out: Path, train: Dataset, val: Dataset, size_hw: tuple[int, int], margin: float, n_jobs: int
) -> Iterator[tuple[Path, Crops]]:
    """Crops of both sets in a folder that workers map into memory; removed at the end."""
    with scratch_folder(out / "cache", "crops") as folder:
        workers = count_workers(n_jobs)
        first = make_crops(train, size_hw, margin, n_jobs=workers)
        crops = make_crops(val, size_hw, margin, n_jobs=workers)
        flip = None if train.flip is None else train.flip.tolist()
        arrays = {"train-images": first.images, "train-xy": first.xy}
        arrays |= {"val-images": crops.images, "val-matrix": crops.matrix}
        for name, array in arrays.items():
            with atomic_path(folder / f"{name}.npy") as temporary, open(temporary, "wb") as file:
                np.save(file, array, allow_pickle=False)
        write_atomic(folder / "rows.json", json.dumps({"groups": first.groups.tolist(), "flip": flip}))
        yield folder, crops


def _job(
    out: Path,
    folder: Path,
    crops: Crops,
    val: Dataset,
    facts: Mapping[str, Any],
    entry: tuple[str, int, Any],
    n_jobs: int,
    mode: str,
) -> Job:
    name, seed, estimator = entry
    timed = np.unique(
        np.linspace(0, len(crops) - 1, min(len(crops), facts["params"]["max_timed"])).astype(int)
    )
    known = {**facts, "names": crops.names, "instance": crops.instance, "params": _params(facts, estimator)}
    return Job(
        mode=mode,
        method=name,
        seed=seed,
        estimator=estimator,
        crops=folder,
        cache=out / "cache",
        model=out / "models" / f"{file_name(name)}-{seed}.hkp",
        predictions=prediction_path(out, name, seed),
        stage=folder / f"stage-{file_name(name)}-{seed}",
        log=out / "logs" / f"{file_name(name)}-{seed}.txt",
        timed=tuple((int(r), val.samples[crops.sample[r]].load, crops.matrix[r]) for r in timed),
        size_hw=crops.size_hw,
        n_landmarks=len(val.landmarks),
        facts=known,
        meta=model_meta(val, crops.size_hw, crops.margin, name) | {"trained_on": facts["params"]["train"]},
    )
