"""The library's own learned local feature, run without torch.

The shipped network (140 k parameters, trained by ``benchmarks/train_points.py``) goes through ONNX
Runtime or ``cv2.dnn`` as plain convolutions; points and rows are decoded in NumPy by
:mod:`~hybridkp.points.dense`.  Here: the engines' cache and the estimator; no training, no matching.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sklearn.base import BaseEstimator

from ..imaging.geometry import rescale
from ..structures import Array, InputError, Keypoints
from .dense import peaks, sample_rows, soft_argmax
from .local import grey_picture

BACKENDS = ("auto", "onnxruntime", "cv2")
SHIPPED = Path(__file__).with_name("weights") / "net.onnx"
DIVISOR = 16  #: the network's input sides are multiples of it
BLANK = 0.5  #: grey values; a picture of a smaller spread has no points
POINT_SIZE = 12.0  #: px, ``Keypoints.size``: about what decides a point's place

Run = Callable[[Array], tuple[Array, Array]]  #: (1, 1, H, W) -> logits (H, W), rows (D, H/4, W/4)

_engines: dict[tuple[Any, ...], Run] = {}
_lock = threading.Lock()


def _on_onnxruntime(graph: bytes) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, cv2.getNumThreads())
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run(value: Array) -> tuple[Array, Array]:
        logits, rows = session.run(["logits", "rows"], {"image": value})
        return logits[0, 0], rows[0]

    return run


def _on_opencv(graph: bytes) -> Run:
    net = cv2.dnn.readNetFromONNX(np.frombuffer(graph, np.uint8))
    busy = threading.Lock()  # the network object holds its input

    def run(value: Array) -> tuple[Array, Array]:
        with busy:
            net.setInput(value)
            logits, rows = net.forward(["logits", "rows"])
            return np.array(logits[0, 0]), np.array(rows[0])

    return run


def open_net(weights: str | os.PathLike[str] | None = None, backend: str = "auto") -> Run:
    """The network as a function, kept for the process by file, its date, engine and thread count.

    Raises
    ------
    InputError
        When the file is absent, is no ONNX graph, or has not the inputs and outputs of
        :func:`hybridkp.deep.points.network.export_points`; when the engine is unknown or not installed.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    path = SHIPPED if weights is None else Path(weights)
    try:
        date = path.stat().st_mtime_ns
    except OSError:
        raise InputError(f"{path}: no such weights file") from None
    key = (str(path.resolve()), date, backend, cv2.getNumThreads())
    with _lock:
        if key not in _engines:
            _engines[key] = _open(path, backend)
        return _engines[key]


def _open(path: Path, backend: str) -> Run:
    graph = path.read_bytes()
    if backend == "auto":
        try:
            import onnxruntime  # noqa: F401
        except ImportError:
            backend = "cv2"
    wrong = f"{path}: not a point network that {backend} can run; write one with export_points"
    try:
        run = _on_opencv(graph) if backend == "cv2" else _on_onnxruntime(graph)
        logits, rows = run(np.zeros((1, 1, 32, 48), np.float32))
    except ImportError:
        raise InputError("onnxruntime is not installed: use backend='cv2'") from None
    except Exception as error:  # the engines' errors have no common base
        raise InputError(f"{wrong} ({type(error).__name__})") from None
    if logits.shape != (32, 48) or rows.ndim != 3 or rows.shape[1:] != (8, 12):
        raise InputError(f"{wrong} (maps {logits.shape} and {rows.shape})")
    return run


class NetFeature(BaseEstimator):
    """Points and 64-D rows of the library's own network: a ``LocalFeature`` of norm "L2".

    Upright and of one scale: it stands rotations to about 40 degrees and zooms to about 1.6 between
    two pictures.  The network's weights come from bundled pictures only (homographic adaptation as
    SuperPoint, DeTone et al. 2018, starting from classical corners instead of a pretrained base
    detector; sub-pixel soft-argmax as ALIKE, Zhao et al. 2022).

    Parameters
    ----------
    n_points : budget, best first
    weights : an ONNX file of :func:`hybridkp.deep.points.network.export_points`; None = the shipped one
    backend : "onnxruntime", "cv2" (OpenCV's own engine, 2 to 3 times slower) or "auto" (the first
        that is installed)
    threshold : smallest probability of a point
    radius : px; of two points within this square distance the better stays
    max_megapixels : a larger picture is first shrunk to this size, which bounds the memory (about
        0.2 GB per megapixel); its points are given in its own px
    """

    norm = "L2"

    def __init__(
        self,
        n_points: int = 1024,
        weights: Any = None,
        backend: str = "auto",
        threshold: float = 0.02,
        radius: int = 2,
        max_megapixels: float = 4.0,
    ) -> None:
        self.n_points = n_points
        self.weights = weights
        self.backend = backend
        self.threshold = threshold
        self.radius = radius
        self.max_megapixels = max_megapixels

    @property
    def n_features(self) -> int:
        """D, the length of a row."""
        _, rows = open_net(self.weights, self.backend)(np.zeros((1, 1, DIVISOR, DIVISOR), np.float32))
        return len(rows)

    def dense(self, image: Array) -> tuple[Array, Array, float]:
        """Both maps of a picture: logits (h, w), rows (D, H/4, W/4) and the scale h / picture height.

        The scale is 1 up to ``max_megapixels``; the rows' map may reach beyond the picture.  A blank
        picture has logits of minus infinity.
        """
        grey = grey_picture(image)
        scale = math.sqrt(self.max_megapixels * 1e6 / grey.size)
        if scale < 1:
            size = [max(2, round(s * scale)) for s in grey.shape[::-1]]
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        scale = min(1.0, scale)
        height, width = grey.shape
        mean, spread = (float(v[0, 0]) for v in cv2.meanStdDev(grey))
        value = cv2.copyMakeBorder(grey, 0, -height % DIVISOR, 0, -width % DIVISOR, cv2.BORDER_REPLICATE)
        value = (value.astype(np.float32) - np.float32(mean)) / np.float32(spread + 1.0)
        logits, rows = open_net(self.weights, self.backend)(value[None, None])
        logits = np.ascontiguousarray(logits[:height, :width])
        if spread < BLANK:
            logits[:] = -np.inf
        return logits, rows, scale

    def _points(self, logits: Array, image: Array) -> tuple[Keypoints, Array]:
        floor = math.log(self.threshold / (1 - self.threshold))
        found = peaks(logits, self.n_points, floor, self.radius)
        xy, _ = soft_argmax(logits, found)
        score = 1 / (1 + np.exp(-logits[found[:, 1], found[:, 0]]))
        ratio = np.array(np.shape(image)[1::-1], float) / logits.shape[::-1]
        full = rescale(xy, ratio) if (ratio != 1).any() else xy
        size = np.full(len(xy), POINT_SIZE * float(ratio.mean()), np.float32)
        return Keypoints(full, score, size), xy

    def detect_and_describe(self, image: Array) -> tuple[Keypoints, Array]:
        """At most ``n_points`` keypoints, best first, and unit rows (N, 64) float32."""
        logits, rows, _ = self.dense(image)
        keypoints, xy = self._points(logits, image)
        return keypoints, sample_rows(rows, xy)

    def detect(self, image: Array) -> Keypoints:
        """The keypoints alone (at the same cost)."""
        return self._points(self.dense(image)[0], image)[0]

    def compute(self, image: Array, keypoints: Keypoints) -> Array:
        """(N, 64) float32 unit rows at any points, row i for keypoint i."""
        logits, rows, _ = self.dense(image)
        ratio = np.array(logits.shape[::-1], float) / np.shape(image)[1::-1]
        return sample_rows(rows, rescale(keypoints.xy, ratio))
