"""ONNX files on disk as functions of pictures: opened once per process, every failure named by its file.

Here are the engines (``cv2.ALIKED``, ``cv2.DISK``, ``cv2.LightGlueMatcher``, ``cv2.dnn``, ONNX Runtime)
and where a net's coordinates lie in a picture.  Never here: estimators (``onnx.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..imaging.geometry import rescale
from ..structures import Array, InputError

#: how a graph writes positions: px of its input (integer = centre); -1 and 1 at the centres of the
#: outer pixels (ALIKED's own); at their outer edges; or as ``cv2.ALIKED`` reads them: x = (n + 1) / 2 W
COORDINATES = ("pixel", "corners", "edges", "opencv")
ENGINES = ("auto", "onnxruntime", "cv2.dnn")

SizeHW = tuple[int, int]
Stamp = tuple[str, int, int]  #: path, time of change, bytes: what a loaded net is kept under
Ask = Callable[[Array], list[Array]]
_CACHED = 4  # nets of each kind kept loaded


def stamp(path: str | Path) -> Stamp:
    """What identifies a file's present content.

    Raises
    ------
    InputError
        Where there is no such file.
    """
    try:
        facts = Path(path).stat()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}: give the path of an ONNX file") from None
    if not Path(path).is_file():
        raise InputError(f"{path} is no file: give the path of an ONNX file")
    return str(path), facts.st_mtime_ns, facts.st_size


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


@lru_cache(maxsize=_CACHED)
def graph(path: str, changed: int, size: int, engine: str, outputs: tuple[str, ...]) -> Ask:
    """A graph of one input as a function from it to the named outputs."""
    if engine != "cv2.dnn":
        try:
            return _on_onnxruntime(path, outputs)
        except ImportError:
            if engine == "onnxruntime":
                raise InputError(
                    "onnxruntime is not installed: install hybridkp[onnx], or use engine='cv2.dnn'"
                ) from None
    return _on_opencv(path, outputs)


def run_feature(net: Any, image: Array, path: str | Path) -> tuple[Array, Array, Array]:
    """What OpenCV's own net object finds: points (N, 2) in OpenCV's px, rows (N, D), scores (N,)."""
    try:
        with quiet():
            found, rows = net.detectAndCompute(image, None)
    except cv2.error as error:
        raise InputError(f"{path} is not a net of this kind: {reason(error)}") from None
    xy = np.array([p.pt for p in found], np.float64).reshape(-1, 2)
    score = np.array([p.response for p in found], np.float32)
    if rows is None or len(rows) != len(xy):
        rows = np.zeros((len(xy), 0), np.float32)
    return xy, rows, score


def columns(values: Sequence[Array], path: str | Path) -> tuple[Array, Array, Array]:
    """A graph's outputs as points (N, 2), rows (N, D) and scores (N,).

    Raises
    ------
    InputError
        When they have other shapes.
    """
    xy, rows, score = (np.asarray(v) for v in values)
    xy, rows = (v[0] if v.ndim == 3 and len(v) == 1 else v for v in (xy, rows))
    score = score.reshape(-1)
    if xy.ndim != 2 or xy.shape[1] != 2 or rows.ndim != 2 or not len(xy) == len(rows) == len(score):
        shapes = ", ".join(str(np.shape(v)) for v in values)
        raise InputError(f"{path}: expected outputs (N, 2), (N, D) and (N,), got {shapes}")
    return xy.astype(np.float64), rows.astype(np.float32), score.astype(np.float32)


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


def reason(error: Exception) -> str:
    """The last sentence of OpenCV's complaint, on one line."""
    text = str(error).strip().rsplit("error: ", 1)[-1]
    return " ".join(text.split())[:200]


@contextmanager
def quiet() -> Iterator[None]:
    """Without OpenCV's remarks on standard error; its complaints come as exceptions."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


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


def _on_onnxruntime(path: str, outputs: tuple[str, ...]) -> Ask:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, cv2.getNumThreads())
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            Path(path).read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors have no common base
        raise InputError(f"{path} is no ONNX file that ONNX Runtime reads ({type(error).__name__})") from None
    inputs, names = session.get_inputs(), [o.name for o in session.get_outputs()]
    missing = [name for name in outputs if name not in names]
    if len(inputs) != 1 or missing:
        raise InputError(
            f"{path}: expected one input and the outputs {', '.join(outputs)}; it has"
            f" {len(inputs)} inputs and the outputs {', '.join(names)}"
        )

    def ask(blob: Array) -> list[Array]:
        try:
            return list(session.run(list(outputs), {inputs[0].name: blob}))
        except Exception as error:
            raise InputError(
                f"{path} does not take an input {blob.shape}, expected {inputs[0].shape}"
                f" ({type(error).__name__}): set size_hw and channels"
            ) from None

    return ask


def _on_opencv(path: str, outputs: tuple[str, ...]) -> Ask:
    net = _opened(path, lambda: cv2.dnn.readNetFromONNX(path))
    missing = set(outputs) - set(net.getUnconnectedOutLayersNames())
    if missing:
        raise InputError(f"{path}: cv2.dnn finds no outputs named {', '.join(sorted(missing))}")

    def ask(blob: Array) -> list[Array]:
        try:
            with quiet():
                net.setInput(blob)
                return [np.array(value) for value in net.forward(list(outputs))]
        except cv2.error as error:
            raise InputError(f"{path}: cv2.dnn cannot run it, install onnxruntime: {reason(error)}") from None

    return ask
