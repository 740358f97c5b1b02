"""Fits and out-of-fold predictions, computed once.

A vote of HOG+SVM and a net needs both members fitted, and so does a bench that lists all three:
inside ``with remember(folder):`` each fit is done once, written to ``folder`` and read back, also
by other processes and after a kill; a network's training goes on after its last whole epoch.
Outside, the two functions simply compute.  Keys hash the estimator's parameters, the data and the
source that the estimator stands on, so a stale one cannot come back.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from .. import files
from ..datasets.splits import group_folds
from ..files.doors import programs_in
from ..files.lease import hold_in_turn, work_in
from ..files.records import load_tensors, save_tensors
from ..imaging.images import check_batch
from ..structures import (
    Array,
    Batch,
    Detector,
    InputError,
    ReadyMade,
    Stream,
    blocks,
    check_xy,
    supports,
)
from .budget import predict_in_blocks
from .resident import peak_bytes, reset_peak
from .sources import fingerprint
from .threads import fit_threads, limit_threads

try:
    import fcntl
except ImportError:  # Windows: two processes may then compute the same thing, harmlessly
    fcntl = None  # type: ignore[assignment]

_FOLDER: ContextVar[Path | None] = ContextVar("hybridkp_memory", default=None)
_PROGRESS: ContextVar[Path | None] = ContextVar("hybridkp_progress", default=None)
#: names of what is remembered, and of what its computation leaves when it is killed
_OURS = re.compile(r"[0-9a-f]{32}\.(hkp|safetensors|json|lock|lease|progress)")
_LOCKS = re.compile(r"[0-9a-f]{32}\.(lock|lease)")
_CREDIT = 0.0  # seconds of work that this process was spared, nested work included
_PEAK = -1  # bytes that finished and spared work took at most, since the stopwatch around it started


@contextmanager
def remember(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Keep fits and out-of-fold predictions of the body in ``folder`` (made when missing)."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    token = _FOLDER.set(path)
    try:
        yield path
    finally:
        _FOLDER.reset(token)


@contextmanager
def remember_until_done(folder: str | os.PathLike[str]) -> Iterator[None]:
    """:func:`remember` in a folder of our own, which goes with the body, unless somebody remembers already.

    What is killed or stopped (Ctrl-C), or fails (a full disk), leaves what is finished: the same body goes on
    there.
    """
    if _FOLDER.get() is not None:
        yield
        return
    path = Path(folder)
    try:
        with work_in(path), remember(path):
            try:
                yield
            except Exception:
                _forget(path, _LOCKS)
                raise
            _forget(path, _OURS)
    finally:
        with suppress(OSError):  # where something is left in it
            path.rmdir()


def _forget(folder: Path, names: re.Pattern[str]) -> None:
    """Remove what is remembered in ``folder`` under such names, and nothing that is somebody else's."""
    files.remove_leftovers(folder)
    for path in folder.iterdir():
        if names.fullmatch(path.name):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


class TooFewLabels(InputError):
    """A landmark that some fold's training part lacks altogether."""


class Stopwatch:
    """What the body would have taken with an empty memory (see :func:`stopwatch`)."""

    seconds: float = float("nan")
    peak_bytes: int = -1  #: largest resident size of the process, -1 = unknown


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Measure the body as if nothing had been remembered: wall clock plus what the memory spared.

    So the fit time of a vote honestly includes its members, whoever computed them first, and its
    peak of memory is at least theirs.  The system's own high-water mark starts anew.
    """
    global _PEAK
    watch = Stopwatch()
    start, spared = time.perf_counter(), _CREDIT
    before, _PEAK = max(_PEAK, peak_bytes()), -1
    reset_peak()
    try:
        yield watch
    finally:
        watch.seconds = time.perf_counter() - start + (_CREDIT - spared)
        watch.peak_bytes = max(_PEAK, peak_bytes())
        _PEAK = max(before, watch.peak_bytes)


def fitted(
    detector: Detector,
    images: Any,
    xy: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    flip: ArrayLike | None = None,
) -> Any:
    """A fitted clone of ``detector``; the argument itself is left alone."""

    def fit() -> Any:
        with limit_threads(fit_threads()):
            return clone(detector).fit(images, xy, groups=groups, flip=flip)

    folder = _FOLDER.get()
    if folder is None:
        return fit()

    def load(path: Path) -> Any:
        model = files.load_model(path, programs_in(detector))
        if type(model) is not type(detector):
            raise InputError(f"holds a {type(model).__name__}, not a {type(detector).__name__}")
        ours = type(model).__module__.startswith("hybridkp.")
        if ours and not any(name.endswith("_") for name in vars(model)):
            raise InputError("holds nothing that was learned")
        return model

    key = _key("fit", detector, images, xy, groups, flip)
    return _once(folder / f"{key}.hkp", fit, files.save_model, load)


def out_of_fold(
    detector: Detector,
    images: Any,
    xy: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    flip: ArrayLike | None = None,
    cv: int = 3,
    random_state: int = 0,
) -> tuple[Array, Array]:
    """What clones of ``detector`` say about pictures that they were not fitted on.

    ``cv`` folds that never cut a group; fold models are forgotten, predictions remembered fold by
    fold, so a killed run loses at most one fold.

    Returns
    -------
    xy : (B, K, 2) float32
    score : (B, K) float32
    """
    images = check_batch(images)
    truth = check_xy(xy, len(images))
    found = np.full(truth.shape, np.nan, np.float32)
    score = np.zeros(truth.shape[:2], np.float32)
    names = None if groups is None else np.asarray(groups)
    for train, test in group_folds(_or_rows(names, len(images)), cv, random_state):
        seen = truth[train]
        if np.isnan(seen[:, :, 0]).all(axis=0).any():
            raise TooFewLabels(
                f"a landmark is labelled in one of {cv} folds only: label it in more groups or drop it"
            )

        def predict(train: Array = train, test: Array = test, seen: Array = seen) -> tuple[Array, Array]:
            with limit_threads(fit_threads()):
                model = clone(detector).fit(
                    images[train], seen, groups=None if names is None else names[train], flip=flip
                )
                return predict_in_blocks(model, images[test])

        folder = _FOLDER.get()
        if folder is None:
            found[test], score[test] = predict()
        else:
            key = _key("fold", detector, images, truth, names, flip, train)
            load = partial(_load_pair, shape=truth[test].shape)
            found[test], score[test] = _once(folder / f"{key}.safetensors", predict, _save_pair, load)
    return found, score


def _or_rows(groups: Array | None, n: int) -> Array:
    return np.arange(n) if groups is None else groups


def _once(
    path: Path,
    compute: Callable[[], Any],
    save: Callable[[Any, Path], Any],
    load: Callable[[Path], Any],
) -> Any:
    """Read ``path`` or compute and write it, one process at a time; credits what was spared.

    What cannot be read any more is told and computed again.
    """
    global _CREDIT, _PEAK
    cost, progress = path.with_suffix(".json"), path.with_suffix(".progress")
    with _lock(path.with_suffix(".lock")):
        start = time.perf_counter()
        kept = _read(path, cost, load) if os.path.lexists(cost) else None
        if kept is not None:
            value, seconds, peak = kept
            _CREDIT += max(0.0, seconds - (time.perf_counter() - start))
            _PEAK = max(_PEAK, peak)
        else:
            with stopwatch() as watch, _progress(progress):
                value = compute()
            try:
                save(value, path)
                files.write_atomic(cost, json.dumps(vars(watch)))  # it says "done"
            except InputError as error:
                if not isinstance(error.__cause__, IsADirectoryError):
                    raise
                _tell(error, "not kept")
        shutil.rmtree(progress, ignore_errors=True)  # also what was killed just before that
        return value


def _read(path: Path, cost: Path, load: Callable[[Path], Any]) -> tuple[Any, float, int] | None:
    """What is kept, its seconds and its peak of memory; None, and the reason told, where it is damaged."""
    try:
        facts = json.loads(cost.read_text(encoding="utf-8"))
        seconds, peak = facts["seconds"], facts["peak_bytes"]
        if not (isinstance(seconds, float) and 0 <= seconds < math.inf and isinstance(peak, int)):
            raise ValueError(f"{cost.name} holds no time")
        return load(path), seconds, peak
    except Exception as error:  # whatever damage can cause in a reader
        _tell(
            f"{path}: damaged ({' '.join(f'{type(error).__name__}: {error}'.split())[:200]})",
            "computed again",
        )
        return None


def _tell(reason: object, what: str) -> None:
    warnings.warn(f"{reason}; {what}", RuntimeWarning, stacklevel=2)


@contextmanager
def _progress(folder: Path) -> Iterator[None]:
    """Let the body keep checkpoints in ``folder``; only where a lock makes us the only one there."""
    token = _PROGRESS.set(None if fcntl is None else folder)
    try:
        yield
    finally:
        _PROGRESS.reset(token)


def checkpoint(about: str) -> Path | None:
    """Where a training keeps its progress, so that a killed fit goes on inside the method.

    ``about`` must tell the training from all others of one fit.  None outside of :func:`remember`.
    The file is the caller's; it goes with its folder when the fit is stored.
    """
    folder = _PROGRESS.get()
    name = hashlib.sha256(about.encode()).hexdigest()[:16]
    return None if folder is None else folder / f"{name}.safetensors"


def credit(seconds: float) -> None:
    """Count work that an earlier, killed process did and a checkpoint spared this one."""
    global _CREDIT
    _CREDIT += seconds


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """An advisory lock that the system drops when the holder dies, where there are such, and a lease.

    The lock is for the processes of this machine, which it wakes at once; the lease for those of others,
    whose locks a disk of the net may not know.
    """
    with ExitStack() as stack:
        if fcntl is None:
            stack.enter_context(hold_in_turn(path.with_suffix(".lease")))
            yield
            return
        try:
            handle = stack.enter_context(open(path, "wb"))
        except IsADirectoryError as error:
            _tell(f"{path}: cannot be locked ({error.strerror})", "another process may compute the same")
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror}): give another place") from None
        else:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            stack.enter_context(hold_in_turn(path.with_suffix(".lease")))
        yield


def _save_pair(pair: tuple[Array, Array], path: Path) -> None:
    save_tensors(path, "fold", 1, {"xy": pair[0], "score": pair[1]}, {})


def _load_pair(path: Path, shape: tuple[int, ...]) -> tuple[Array, Array]:
    xy, score = load_tensors(path, "fold", 1, lambda arrays, _: (arrays["xy"], arrays["score"]))
    if (xy.shape, score.shape) != (shape, shape[:2]) or {xy.dtype.kind, score.dtype.kind} != {"f"}:
        raise InputError(f"holds {xy.shape} and {score.shape} where {shape} is asked for")
    return xy, score


def _key(kind: str, detector: Any, *data: Any) -> str:
    digest = hashlib.sha256(f"{kind} {fit_threads()} {source_of(detector)} {describe(detector)}".encode())
    for item in data:
        for name, rows in sorted(item.modalities.items()) if isinstance(item, Batch) else [("image", item)]:
            if name != "image":
                digest.update(name.encode() + b"\0")
            if isinstance(rows, Stream):  # by what is known of its files: nothing is read
                digest.update(rows.digest.encode())
                continue
            array = None if rows is None else np.ascontiguousarray(rows)
            if array is None:
                digest.update(b"none")
            elif array.dtype == object:
                digest.update(repr(array.tolist()).encode())
            else:
                digest.update(f"{array.dtype}{array.shape}".encode())
                for part in blocks(array):
                    digest.update(part.tobytes())
    return digest.hexdigest()[:32]


def describe(value: Any) -> str:
    """Class and parameters of an estimator as text, nested estimators written out in full."""
    if hasattr(value, "get_params") and not isinstance(value, type):
        params = value.get_params(deep=False)
        inner = ", ".join(f"{name}={describe(params[name])}" for name in sorted(params))
        read = f" of {value.content()}" if supports(value, ReadyMade) else ""
        return f"{type(value).__module__}.{type(value).__qualname__}({inner}){read}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(describe(v) for v in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {describe(value[k])}" for k in sorted(value, key=repr)) + "}"
    if isinstance(value, np.ndarray):
        return f"array({hashlib.sha256(value.tobytes()).hexdigest()[:16]}, {value.shape})"
    return repr(value)


def source_of(value: Any) -> str:
    """16 hex digits of the source that an estimator, with all estimators in it, stands on."""
    return fingerprint(_modules(value))


def _modules(value: Any) -> set[str]:
    if hasattr(value, "get_params") and not isinstance(value, type):
        inner = list(value.get_params(deep=False).values())
        return {type(value).__module__}.union(*map(_modules, inner))
    if isinstance(value, dict):
        return set().union(*map(_modules, value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(_modules, value))
    return {type(value).__module__}
