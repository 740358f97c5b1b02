"""One method with one seed, in a process of its own: fit, predict, clock, store.

A fresh process makes peak memory honest and keeps one method's crash from the others.  The
predictions are stored before anybody computes a metric; nothing comes back but the file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import memory
from ..files import load_predictions, save_model, save_predictions, write_atomic
from ..imaging.crops import batch_of_one, predict_in_box, to_picture
from ..memory.threads import FIT_THREADS, fit_threads, fits_with, limit_threads
from ..structures import (
    TICKETS,
    Array,
    Batch,
    InputError,
    Predictions,
    Problem,
    Stream,
    modalities_of,
    stack_rows,
)
from .crops import load_modalities
from .processes import divert_messages, end_soon, host, load_per_core, peak_bytes, reset_peak, versions

WARM_UP = 3  #: predictions made before the clock starts


@dataclass(frozen=True, eq=False)
class Job:
    """Everything a worker needs; small: crops are read from ``crops`` (memory-mapped).

    ``timed`` lists (row, modality -> function that gives it, box) of the objects on the clock.
    """

    mode: str  #: "all", "predict" (no clock) or "clock" (add the times to stored predictions)
    method: str
    seed: int
    estimator: Any
    crops: Path
    cache: Path
    model: Path
    predictions: Path
    stage: Path
    log: Path
    timed: tuple[tuple[int, Mapping[str, Callable[[], Array]], Array], ...]
    size_hw: tuple[int, int]
    margin: float
    n_landmarks: int
    facts: Mapping[str, Any]  #: fields of Predictions that are known beforehand
    meta: Mapping[str, Any]  #: kept in the model file


def run_job(job: Job) -> None:
    """Fit (or recall), predict and time; store the model and the predictions."""
    try:
        _do(job)
    finally:
        end_soon()


def _do(job: Job) -> None:
    divert_messages(job.log)
    images = _seen(job, "val")
    reset_peak()
    with limit_threads(FIT_THREADS), memory.remember(job.cache):
        _say(job, "fits" if job.mode != "clock" else "is read")
        with _threads(job), memory.stopwatch() as watch:
            model = _fitted(job)
        load = load_per_core()
        if job.mode == "clock":
            found = load_predictions(job.predictions)
        else:
            found = replace(_predicted(model, job, images, watch), fit_load=load, fit_host=host())
        if job.mode != "predict" or not _recallable(job.estimator):
            _say(job, "is timed")
            seconds = _clock(model, job, len(images))
            found = replace(found, seconds=seconds, load=load_per_core(), host=host())
    save_predictions(found, job.predictions)


@contextmanager
def _threads(job: Job) -> Iterator[None]:
    """As many threads for fits as the run has asked for, wherever this process stands."""
    asked = job.facts["params"]["fit_threads"]
    with fits_with(asked) as n_threads:
        if n_threads != asked:
            raise InputError(
                f"the run asks for {asked} threads, OMP_NUM_THREADS here allows {n_threads}: make them agree"
            )
        yield


def _seen(job: Job, part: str) -> Any:
    """The crops of a part as detectors are given them, mapped into memory or read when they are wanted."""
    prefix = f"{part}-seen-"
    paths = {p.stem.removeprefix(prefix): p for p in sorted(job.crops.glob(f"{prefix}*"))}

    def read(name: str, path: Path) -> Any:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r")
        told = json.loads(path.read_text(encoding="utf-8"))
        return stack_rows(name, told) if isinstance(told, list) else Stream.at(job.crops, told)

    arrays = {name: read(name, path) for name, path in paths.items()}
    return Batch(arrays) if len(arrays) > 1 else arrays["image"]


def _predicted(model: Any, job: Job, images: Array | Batch, fit: memory.Stopwatch) -> Predictions:
    _say(job, "predicts")
    matrix = np.load(job.crops / "val-matrix.npy")
    xy, score = _checked_predictions(model, images, job.n_landmarks)
    peak = max(peak_bytes(), fit.peak_bytes)
    return Predictions(
        method=job.method,
        seed=job.seed,
        xy=to_picture(matrix, xy),
        score=score,
        seconds=np.full(len(images), np.nan),
        fit_seconds=fit.seconds,
        model_bytes=_store(model, job),
        peak_bytes=peak,
        versions=versions(),
        history={k: [float(v) for v in c] for k, c in (getattr(model, "history_", None) or {}).items()},
        **job.facts,
    )


def _recallable(estimator: Any) -> bool:
    """Whether the memory keeps this estimator's fit; others are fitted, and timed, only once."""
    return type(estimator).__module__.startswith("hybridkp.")


def _fitted(job: Job) -> Any:
    xy = np.load(job.crops / "train-xy.npy", mmap_mode="r")
    rows = json.loads((job.crops / "rows.json").read_text(encoding="utf-8"))
    return fit(job.estimator, _seen(job, "train"), xy, rows["groups"], rows["flip"])


def fit(estimator: Any, images: Array | Batch, xy: Array, groups: Any, flip: Any) -> Any:
    """A fitted clone: our own estimators through the memory, others directly."""
    from sklearn.base import clone

    names = None if groups is None else np.asarray(groups)
    mirror = None if flip is None else np.asarray(flip)
    if _recallable(estimator):
        return memory.fitted(estimator, images, xy, groups=names, flip=mirror)
    with limit_threads(fit_threads()):
        return clone(estimator).fit(images, xy, groups=names, flip=mirror)


def model_meta(problem: Problem, method: str) -> dict[str, Any]:
    """What a model file says about its training, enough to use it on new pictures."""
    train = problem.train
    return {
        "method": method,
        "landmarks": list(train.landmarks),
        "skeleton": np.asarray(train.skeleton).tolist(),
        "category": train.category,
        "size_hw": list(problem.size_hw),
        "margin": problem.margin,
        "modalities": [name for name in problem.modalities if name != TICKETS],
        "trained_on": train.name,
        "data_license": train.licence or "not stated",
    }


def _checked_predictions(model: Any, images: Array | Batch, k: int) -> tuple[Array, Array]:
    xy, score = memory.predict_in_blocks(model, images)
    if np.shape(xy) != (len(images), k, 2) or np.shape(score) != (len(images), k):
        raise InputError(
            f"predict_with_score gave shapes {np.shape(xy)} and {np.shape(score)} for {len(images)} crops"
            f" and {k} landmarks"
        )
    return xy, score


def _store(model: Any, job: Job) -> int:
    """Bytes of the model file, -1 when this estimator's state has no place in the format."""
    try:
        save_model(model, job.model, dict(job.meta))
    except InputError as error:
        if isinstance(error.__cause__, OSError):
            raise
        return -1
    return job.model.stat().st_size


def _clock(model: Any, job: Job, n: int) -> Array:
    """Seconds (B,) from the decoded picture and its box to points, batch 1; NaN = not timed."""
    seconds = np.full(n, np.nan)
    if TICKETS in modalities_of(model):  # what is looked up takes no time that means anything
        return seconds

    def predict(crop: Any) -> Any:
        return [rows[0] for rows in model.predict_with_score(batch_of_one(crop))]

    for row, loads, box in (*job.timed[:1] * WARM_UP, *job.timed):
        picture = load_modalities(loads)
        seen = picture if len(picture) > 1 else picture["image"]
        start = time.perf_counter()
        predict_in_box(predict, seen, box, job.size_hw, job.margin)
        seconds[row] = time.perf_counter() - start
    return seconds


def _say(job: Job, stage: str) -> None:
    write_atomic(job.stage, stage)
