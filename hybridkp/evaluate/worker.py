"""One method with one seed, in a process of its own: fit, predict, clock, store.

A fresh process makes peak memory honest and keeps one method's crash from the others.  The
answers are stored before anybody computes a metric; nothing comes back but the file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import memory
from ..files import load_predictions, save_model, save_predictions, write_atomic
from ..imaging.geometry import apply_affine, invert_affine
from ..imaging.images import as_uint8
from ..memory.threads import FIT_THREADS, limit_threads
from ..structures import Array, Dataset, InputError, Predictions
from .crops import cut
from .processes import divert_messages, peak_bytes, reset_peak, versions
from .processes import end_soon as _end_soon

WARM_UP = 3  #: answers given before the clock starts
LAST_WORDS = 30.0  #: seconds that a process whose work is done may take to end


@dataclass(frozen=True, eq=False)
class Job:
    """Everything a worker needs; small: crops are read from ``crops`` (memory-mapped).

    ``timed`` lists (row, load, matrix) of the objects on the clock: ``load`` gives the picture,
    ``matrix`` (2, 3) takes it to the crop.
    """

    mode: str  #: "all", "answer" (no clock) or "clock" (add the times to stored answers)
    method: str
    seed: int
    estimator: Any
    crops: Path
    cache: Path
    model: Path
    predictions: Path
    stage: Path
    log: Path
    timed: tuple[tuple[int, Callable[[], Array], Array], ...]
    size_hw: tuple[int, int]
    n_landmarks: int
    facts: Mapping[str, Any]  #: fields of Predictions that are known beforehand
    meta: Mapping[str, Any]  #: kept in the model file


def run_job(job: Job) -> None:
    """Fit (or recall), predict and time; store the model and the predictions."""
    try:
        _do(job)
    finally:
        _end_soon(LAST_WORDS)


def _do(job: Job) -> None:
    divert_messages(job.log)
    images = np.load(job.crops / "val-images.npy", mmap_mode="r")
    reset_peak()
    with limit_threads(FIT_THREADS), memory.remember(job.cache):
        _say(job, "fits" if job.mode != "clock" else "is read")
        with memory.stopwatch() as watch:
            model = _fitted(job)
        if job.mode == "clock":
            found = load_predictions(job.predictions)
        else:
            found = _answered(model, job, images, watch)
        if job.mode != "answer" or not _recallable(job.estimator):
            _say(job, "is timed")
            found = replace(found, seconds=_clock(model, job, len(images)))
    save_predictions(found, job.predictions)


def _answered(model: Any, job: Job, images: Array, fit: memory.Stopwatch) -> Predictions:
    _say(job, "predicts")
    matrix = np.load(job.crops / "val-matrix.npy")
    xy, score = _answers(model, images, job.n_landmarks)
    peak = max(peak_bytes(), fit.peak_bytes)
    return Predictions(
        method=job.method,
        seed=job.seed,
        xy=apply_affine(invert_affine(matrix), xy),
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
    train = {name: np.load(job.crops / f"train-{name}.npy", mmap_mode="r") for name in ("images", "xy")}
    rows = json.loads((job.crops / "rows.json").read_text())
    return fit(job.estimator, train["images"], train["xy"], rows["groups"], rows["flip"])


def fit(estimator: Any, images: Array, xy: Array, groups: Any, flip: Any) -> Any:
    """A fitted clone: our own estimators through the memory, others directly."""
    from sklearn.base import clone

    names = None if groups is None else np.asarray(groups)
    mirror = None if flip is None else np.asarray(flip)
    if _recallable(estimator):
        return memory.fitted(estimator, images, xy, groups=names, flip=mirror)
    with limit_threads(FIT_THREADS):
        return clone(estimator).fit(images, xy, groups=names, flip=mirror)


def model_meta(dataset: Dataset, size_hw: tuple[int, int], margin: float, method: str) -> dict[str, Any]:
    """What a model file says about its training, enough to use it on new pictures."""
    return {
        "method": method,
        "landmarks": list(dataset.landmarks),
        "skeleton": np.asarray(dataset.skeleton).tolist(),
        "category": dataset.category,
        "size_hw": [int(v) for v in size_hw],
        "margin": float(margin),
        "trained_on": dataset.name,
    }


def _answers(model: Any, images: Array, k: int) -> tuple[Array, Array]:
    xy, score = model.predict_with_score(images)
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
    warm_up = job.timed[:1] * WARM_UP
    for row, load, matrix in (*warm_up, *job.timed):
        image = as_uint8(load())
        start = time.perf_counter()
        crop = cut(image, matrix, job.size_hw)
        xy, _ = model.predict_with_score(crop[None])
        apply_affine(invert_affine(matrix), xy[0])
        seconds[row] = time.perf_counter() - start
    return seconds


def _say(job: Job, stage: str) -> None:
    write_atomic(job.stage, stage)
