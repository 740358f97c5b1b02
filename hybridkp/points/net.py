"""The library's own learned local feature, run without torch.

The shipped network (140 k parameters, trained by ``benchmarks/train_points.py``) goes through ONNX
Runtime or ``cv2.dnn`` as plain convolutions; points and rows are decoded in NumPy by
:mod:`~hybridkp.points.dense`.  Here: the estimator; no training, no matching.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from ..files.graphs import open_file, stamp
from ..imaging.geometry import rescale
from ..structures import Array, InputError, Keypoints, Parameters
from .dense import peaks, sample_rows, soft_argmax
from .local import grey_picture

SHIPPED = Path(__file__).with_name("weights") / "net.onnx"
DIVISOR = 16  #: the network's input sides are multiples of it
BLANK = 0.5  #: grey values; a picture of a smaller spread has no points
POINT_SIZE = 12.0  #: px, ``Keypoints.size``: about what decides a point's place

Run = Callable[[Array], tuple[Array, Array]]  #: (1, 1, H, W) -> logits (H, W), rows (D, H/4, W/4)


def open_net(weights: str | os.PathLike[str] | None = None, engine: str = "auto") -> Run:
    """The network as a function, kept for the process by file, its date, engine and thread count.

    Raises
    ------
    InputError
        When the file is absent, is no ONNX graph, or has not the inputs and outputs of
        :func:`hybridkp.deep.points.network.export_points`; when the engine is unknown or not installed.
    """
    path = SHIPPED if weights is None else Path(weights)
    return _checked(*stamp(path), engine, cv2.getNumThreads())


@lru_cache(maxsize=8)
def _checked(path: str, changed: int, size: int, engine: str, n_threads: int) -> Run:
    ask = open_file(path, engine, ["image"], ["logits", "rows"])

    def run(value: Array) -> tuple[Array, Array]:
        logits, rows = ask(value)
        return logits[0, 0], rows[0]

    try:
        logits, rows = run(np.zeros((1, 1, 32, 48), np.float32))
    except IndexError:
        logits = rows = np.zeros(0)
    if logits.shape != (32, 48) or rows.ndim != 3 or rows.shape[1:] != (8, 12):
        raise InputError(f"{path}: not a point network: write one with export_points")
    return run


@dataclass(eq=False, repr=False)
class NetFeature(Parameters):
    """Points and 64-D rows of the library's own network: a ``LocalFeature`` of norm "L2".

    Upright and of one scale: it stands rotations to about 45 degrees and zooms to about 1.6 between
    two pictures.  The network's weights come from bundled pictures only (homographic adaptation as
    SuperPoint, DeTone et al. 2018, starting from classical corners instead of a pretrained base
    detector; sub-pixel soft-argmax as ALIKE, Zhao et al. 2022).

    Parameters
    ----------
    n_points : budget, best first
    weights : an ONNX file of :func:`hybridkp.deep.points.network.export_points`; None = the shipped one
    engine : "onnxruntime", "cv2.dnn" (OpenCV's own, 2 to 3 times slower) or "auto" (the first that
        is installed)
    threshold : smallest probability of a point
    radius : px; of two points within this square distance the better stays
    max_megapixels : a larger picture is first shrunk to this size, which bounds the memory (about
        0.2 GB per megapixel); its points are given in its own px
    """

    norm = "L2"
    _least: ClassVar = {"n_points": 1, "radius": 0, "max_megapixels": 0}

    n_points: int = 1024
    weights: Any = None
    engine: str = "auto"
    threshold: float = 0.02
    radius: int = 2
    max_megapixels: float = 4.0

    @property
    def n_features(self) -> int:
        """D, the length of a row."""
        _, rows = open_net(self.weights, self.engine)(np.zeros((1, 1, DIVISOR, DIVISOR), np.float32))
        return len(rows)

    def dense(self, image: Array) -> tuple[Array, Array, float]:
        """Both maps of a picture: logits (h, w), rows (D, H/4, W/4) and the scale h / picture height.

        The scale is 1 up to ``max_megapixels``; the rows' map may reach beyond the picture.  A blank
        picture has logits of minus infinity.
        """
        self.check_numbers()
        if not 0 < self.threshold < 1:
            raise InputError(f"NetFeature: threshold must lie between 0 and 1, got {self.threshold}")
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
        logits, rows = open_net(self.weights, self.engine)(value[None, None])
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
