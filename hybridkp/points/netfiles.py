"""OpenCV's own nets from ONNX files: opened once per process, every failure named by its file.

Here are ``cv2.ALIKED``, ``cv2.DISK``, ``cv2.LightGlueMatcher``, and where a net's coordinates lie in a
picture.  Never here: plain graphs (:mod:`hybridkp.files.graphs`), estimators (``onnx.py``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..files.graphs import declared, quiet, reason
from ..imaging.geometry import rescale
from ..structures import Array, InputError

#: how a graph writes positions: px of its input (integer = centre); -1 and 1 at the centres of the
#: outer pixels (ALIKED's own); at their outer edges; or as ``cv2.ALIKED`` reads them: x = (n + 1) / 2 W
COORDINATES = ("pixel", "corners", "edges", "opencv")

SizeHW = tuple[int, int]
_CACHED = 4  # nets of each kind kept loaded


@lru_cache(maxsize=_CACHED)
def aliked(path: str, changed: int, size: int, net_hw: SizeHW) -> Any:
    """A ``cv2.ALIKED``."""
    _needs_opencv_5("ALIKED")
    params = cv2.ALIKED.Params()
    params.inputSize = int(net_hw[1]), int(net_hw[0])
    return _opened(path, lambda: cv2.ALIKED.create(path, params))


@lru_cache(maxsize=_CACHED)
def disk(path: str, changed: int, size: int, net_hw: SizeHW, threshold: float) -> Any:
    """A ``cv2.DISK`` without a budget."""
    _needs_opencv_5("DISK")
    size_wh = int(net_hw[1]), int(net_hw[0])
    return _opened(path, lambda: cv2.DISK.create(path, -1, threshold, size_wh))


@lru_cache(maxsize=_CACHED)
def lightglue(path: str, changed: int, size: int, threshold: float) -> Any:
    """A ``cv2.LightGlueMatcher``."""
    _needs_opencv_5("LightGlueMatcher")
    return _opened(path, lambda: cv2.LightGlueMatcher.create(path, threshold))


def run_feature(net: Any, image: Array, path: str | Path) -> tuple[Array, Array, Array]:
    """What OpenCV's own net object finds: points (N, 2) in OpenCV's px, rows (N, D), scores (N,)."""
    try:
        with one_at_a_time(), quiet():
            found, rows = net.detectAndCompute(image, None)
    except cv2.error as error:
        raise InputError(f"{path} is not a net of this kind: {reason(error)}") from None
    xy = np.array([p.pt for p in found], np.float64).reshape(-1, 2)
    score = np.array([p.response for p in found], np.float32)
    if rows is None or len(rows) != len(xy):
        rows = np.zeros((len(xy), 0), np.float32)
    return xy, rows, score


def columns(values: Sequence[Array], path: str | Path, any_order: bool = False) -> tuple[Array, Array, Array]:
    """A graph's outputs as points (N, 2), rows (N, D) and scores (N,).

    Raises
    ------
    InputError
        When they have other shapes.
    """
    if any_order:
        values = _in_order(values)
    if len(values) != 3:
        raise InputError(f"{path}: expected three outputs, points, rows and scores, got {len(values)}")
    xy, rows, score = (np.asarray(v) for v in values)
    xy, rows = (v[0] if v.ndim == 3 and len(v) == 1 else v for v in (xy, rows))
    score = score.reshape(-1)
    tables = xy.ndim == rows.ndim == 2 and xy.shape[1] == 2 and rows.shape[1] > 0
    if not tables or not len(xy) == len(rows) == len(score):
        shapes = ", ".join(str(np.shape(v)) for v in values)
        raise InputError(f"{path}: expected outputs (N, 2), (N, D) and (N,), got {shapes}")
    return xy.astype(np.float64), rows.astype(np.float32), score.astype(np.float32)


def _in_order(values: Sequence[Array]) -> list[Array]:
    """Points, rows and scores by their shapes: two columns, several, one; others are left out."""
    tables = [np.asarray(v) for v in values]
    tables = [v[0] if v.ndim > 1 and len(v) == 1 else v for v in tables]
    points = [v for v in tables if v.ndim == 2 and v.shape[1] == 2]
    n = len(points[0]) if points else 0
    rows = [v for v in tables if v.ndim == 2 and v.shape[1] > 2 and len(v) == n]
    scores = [v for v in tables if v.size == n and v.ndim in (1, 2) and len(v) == n]
    return [*points[:1], *rows[:1], *scores[:1]] if points and rows and scores else list(values)


@lru_cache(maxsize=_CACHED)
def facts(path: str, changed: int, size: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """(outputs' names, shape of the only input, 0 = left open) of a graph of somebody else's."""
    try:
        names, shape = declared(Path(path).read_bytes())
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return tuple(names), shape


def to_picture(xy: Array, coordinates: str, net_hw: SizeHW, seen_hw: SizeHW, size_hw: SizeHW) -> Array:
    """A graph's positions (N, 2) in px of the picture.

    Parameters
    ----------
    coordinates : one of :data:`COORDINATES`
    net_hw : size of the graph's input; seen_hw : of the top left part that the picture fills
    size_hw : of the picture
    """
    if coordinates not in COORDINATES:
        raise InputError(f"coordinates must be one of {', '.join(COORDINATES)}, got {coordinates!r}")
    net, scale = np.array(net_hw[::-1], float), np.array(size_hw[::-1]) / np.array(seen_hw[::-1])
    if coordinates == "opencv":
        return np.asarray((xy + 1) / 2 * net * scale)
    if coordinates == "corners":
        xy = (xy + 1) / 2 * (net - 1)
    elif coordinates == "edges":
        xy = (xy + 1) / 2 * net - 0.5
    return np.asarray(rescale(xy, scale))


def unit(rows: Array) -> Array:
    """Rows of unit length; zero rows stay zero."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """The body alone: an object of OpenCV's own nets holds its inputs, and all threads share it."""
    with _busy:
        yield


def _forget() -> None:
    """In a forked child: a lock that another thread of the parent held stays locked, its net half-asked."""
    global _busy
    _busy = threading.Lock()
    for kept in (aliked, disk, lightglue):
        kept.cache_clear()


_busy = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _needs_opencv_5(name: str) -> None:
    if not hasattr(cv2, name):
        raise InputError(
            f"this OpenCV ({cv2.__version__}) has no cv2.{name}: install opencv-contrib-python>=5"
            " (OnnxFeature runs many exports on any version)"
        )


def _opened(path: str, make: Callable[[], Any]) -> Any:
    try:
        with quiet():
            return make()
    except cv2.error as error:
        raise InputError(
            f"{path} is no ONNX file that OpenCV {cv2.__version__} reads: {reason(error)}"
        ) from None
