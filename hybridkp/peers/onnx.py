"""Others' landmark networks in ONNX files as detectors: heat maps, SimCC, YOLO-pose and plain coordinates.

What goes in and what comes out is stated by parameters, each with the most usual value as default; the
graph is looked through before an engine sees it.  Nothing is learned, downloaded or written here.
Crops (B, H, W[, 3]) come in, points (B, K, 2) in crop px and scores (B, K) go out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..files.graphs import Ask, declared, open_graph, stamp
from ..imaging.geometry import (
    apply_affine,
    crop_matrix,
    from_shares,
    invert_affine,
    rescale,
    subpixel_peak,
    warp,
)
from ..imaging.images import check_crops
from ..structures import Array, DetectorMixin, InputError, check_whole, check_xy

#: how pixels 0..255 are given to the network: mean and deviation of R, G, B
PIXELS = {
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "unit": ((0.0,) * 3, (255.0,) * 3),
    "signed": ((127.5,) * 3, (127.5,) * 3),
    "plain": ((0.0,) * 3, (1.0,) * 3),
}
OUTPUTS = ("auto", "heatmap", "simcc", "yolo", "points")
COLOURS = ("rgb", "bgr")
UNITS = ("px", "share")
#: where cell i of a heat map lies in the input, by the map's share s of the input's size
ALIGNED = ("edges", "corners", "cells")
MAX_SIDE = 4096  #: px of an input
SIDE = 256  #: px of an input whose size the file leaves open
_CACHED = 8  # files, and graphs, that are kept open


@dataclass(eq=False, repr=False)
class OnnxLandmarks(DetectorMixin, BaseEstimator):
    """A network that somebody else trained, one crop at a time.

    Parameters
    ----------
    file : the ONNX file, with one picture as its input, (1, C, H, W) or (1, H, W, C)
    output : what comes out.  "heatmap" (1, K, h, w), read at its peak and the parabola through it; "simcc"
        (1, K, bins of x) and (1, K, bins of y), as RTMPose; "yolo" (1, 4 + classes + K * 2 or 3, N) or its
        transpose, as Ultralytics' pose models: the most confident of the N; "points" (1, K, 2 or 3) or flat,
        x, y and a confidence.  "auto" tells by the shapes and K
    pixels : "imagenet" (its mean and deviation, as MMPose, ViTPose and HRNet), "unit" (0..1, as Ultralytics),
        "signed" (-1..1) or "plain" (0..255); "auto" is "unit" where ``output`` says "yolo", else "imagenet"
    colour : "rgb" or "bgr"
    aligned : of heat maps: "edges" (cell i covers its part of the input), "corners" (first and last cells lie
        on the first and last pixels, as in unbiased data processing) or "cells" (cell i at pixel i / s)
    unit : of "points": "px" of the input, or "share" of its width and height, 0 and 1 at its outer edges
    take : for each landmark the number of the network's that it is, from 0; default the first K
    engine : "auto", "onnxruntime" or "cv2.dnn"

    Notes
    -----
    A crop of another size is scaled into the input, its ratio kept, the border repeated; points come back by
    the inverse map.  ``fit`` learns nothing: it reads the file, and asks the network about a blank picture.
    SimCC's bin i lies at i divided by the bins a pixel, as RTMPose decodes.  A model file holds the graph.
    """

    file: str = ""
    output: str = "auto"
    pixels: str = "auto"
    colour: str = "rgb"
    aligned: str = "edges"
    unit: str = "px"
    take: Sequence[int] | None = None
    engine: str = "auto"

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> OnnxLandmarks:
        """Read the file and see that it answers for K landmarks; the points themselves are not looked at."""
        self.ready(images)
        self.n_landmarks_ = int(check_xy(xy, len(images)).shape[1])
        try:
            self._ask()(np.zeros((*self.size_hw_, 3), np.uint8))
        except InputError as error:
            raise InputError(f"{self.file}: {error}") from None
        return self

    def ready(self, images: Any) -> OnnxLandmarks:
        """Read the file."""
        images = check_crops(images)
        self._check_parameters()
        self.graph_ = read_network(self.file)
        self.size_hw_ = (int(images.shape[1]), int(images.shape[2]))
        return self

    def points(self, images: Any) -> tuple[Array, Array]:
        """All points of the network, (B, M, 2) float32 in crop px, and (B, M) its confidence in 0..1."""
        ask = self._ask(whole=True)
        found = [ask(image) for image in check_crops(images, self.size_hw_)]
        if not found:
            return np.zeros((0, 0, 2), np.float32), np.zeros((0, 0), np.float32)
        xy, score = (np.stack(each).astype(np.float32) for each in zip(*found, strict=True))
        return xy, np.clip(score, 0, 1)

    def input_hw(self) -> tuple[int, int]:
        """Height and width of the network's input, px; :data:`SIDE` where the file leaves them open."""
        try:
            return layout_of(declared(bytes(read_network(self.file)))[1])[1]
        except InputError as error:
            raise error if self.file in str(error) else InputError(f"{self.file}: {error}") from None

    def content(self) -> str:
        """16 hex digits of the file."""
        return hashlib.sha256(bytes(read_network(self.file))).hexdigest()[:16]

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px and (B, K) float32, the network's own confidence, clipped to 0..1."""
        check_is_fitted(self)
        ask = self._ask()
        found = [ask(image) for image in check_crops(images, self.size_hw_)]
        k = self.n_landmarks_
        xy = np.array([f[0] for f in found], np.float32).reshape(-1, k, 2)
        return xy, np.clip(np.array([f[1] for f in found], np.float32).reshape(-1, k), 0, 1)

    def _check_parameters(self) -> None:
        pixels = "auto", *PIXELS
        check_choices(self, output=OUTPUTS, pixels=pixels, colour=COLOURS, aligned=ALIGNED, unit=UNITS)
        if not isinstance(self.take, list | tuple | np.ndarray | None):
            raise InputError(f"onnx: take is a list of the network's landmarks, got {self.take!r:.60}")
        for number in () if self.take is None else self.take:
            check_whole(number, "onnx: each of take", 0)

    def _ask(self, whole: bool = False) -> Callable[[Array], tuple[Array, Array]]:
        """A crop (H, W[, 3]) -> (K, 2) points in it and (K,) scores."""
        self._check_parameters()
        run, layout, size_hw = opened(self.graph_, self.engine)
        matrix = crop_matrix([0, 0, *self.size_hw_[::-1]], size_hw, 1.0)
        back = invert_affine(matrix)

        def ask(image: Array) -> tuple[Array, Array]:
            colour = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image
            seen = colour if size_hw == self.size_hw_ else warp(colour, matrix, size_hw)
            said = (np.asarray(out, float) for out in self._run(run, seen, layout))
            outputs = [np.where(np.isfinite(out), out, np.nan) for out in said]
            decoded = self._whole if whole else self._decoded
            xy, score = decoded(outputs, size_hw)
            return apply_affine(back, xy), score

        return ask

    def _run(self, run: Ask, image: Array, layout: str) -> list[Array]:
        pixels = self.pixels if self.pixels != "auto" else "unit" if self.output == "yolo" else "imagenet"
        return run(as_input(image, layout, pixels, self.colour))

    def _whole(self, outputs: list[Array], size_hw: tuple[int, int]) -> tuple[Array, Array]:
        """All points, (M, 2) px of the input and (M,): M is what the shapes say."""
        out = outputs[0]
        maps, bins = out.ndim == 4, len(outputs) == 2 and all(o.ndim == 3 and o.shape[2] > 3 for o in outputs)
        kind = self.output if self.output != "auto" else "heatmap" if maps else "simcc" if bins else "points"
        numbers = out.shape[-1] if out.shape[-1] in (2, 3) else 2
        flat = kind == "points" and numbers != out.shape[-1]
        if kind == "yolo" or (flat and (out.size % 2 or out.size % 3 == 0)):
            raise InputError(
                f"output {out.shape} does not say how many points it holds: use it without linear, with take="
            )
        return self._points(kind, outputs, size_hw, out.size // numbers)

    def _decoded(self, outputs: list[Array], size_hw: tuple[int, int]) -> tuple[Array, Array]:
        """(K, 2) px of the input and (K,)."""
        wanted = self.n_landmarks_ if self.take is None else max(self.take) + 1
        kind = self.output if self.output != "auto" else _kind(outputs, wanted)
        xy, score = self._points(kind, outputs, size_hw, wanted)
        take = np.arange(self.n_landmarks_) if self.take is None else np.asarray(self.take, int)
        if take.shape != (self.n_landmarks_,) or (take < 0).any() or len(xy) <= take.max():
            raise InputError(
                f"the network has {len(xy)} landmarks, the data {self.n_landmarks_}: say with take= which of"
                " them each one is"
            )
        return xy[take], score[take]

    def _points(
        self, kind: str, outputs: list[Array], size_hw: tuple[int, int], n: int
    ) -> tuple[Array, Array]:
        """All points of outputs of one kind, px of the input, and their scores; maps and bins tell ``n``."""
        if kind == "heatmap":
            return _of_maps(outputs[0], size_hw, self.aligned)
        if kind == "simcc":
            return _of_bins(outputs, size_hw)
        if kind == "yolo":
            return _of_yolo(outputs[0], n)
        xy, score = _of_points(outputs, n)
        return (from_shares(xy, size_hw) if self.unit == "share" else xy), score


# --------------------------------------------------------------------------------------------
# the file
# --------------------------------------------------------------------------------------------


class Network(NamedTuple):
    """A graph that is ready to run."""

    run: Ask
    layout: str  #: of its input, see :func:`layout_of`
    size_hw: tuple[int, int]  #: of its input


def check_choices(network: Any, **known: Sequence[str]) -> None:
    """:class:`InputError` for the first parameter whose value is none of those that are known."""
    for name, values in known.items():
        if getattr(network, name) not in values:
            raise InputError(
                f"onnx: {name} must be one of {', '.join(values)}, got {getattr(network, name)!r}"
            )


def read_network(file: str) -> Array:
    """A network's file as bytes, (N,) uint8; the same array while the file stays as it is."""
    return _read(*stamp(file))


@lru_cache(maxsize=_CACHED)
def _read(file: str, changed: int, size: int) -> Array:
    return np.frombuffer(Path(file).read_bytes(), np.uint8)


def opened(graph: Array, engine: str) -> Network:
    """The network of bytes (N,) uint8; the same array is opened once for the process."""
    return _opened(_Same(graph), engine, cv2.getNumThreads())


class _Same:
    """What is equal to itself alone: to digest a large graph would take as long as to ask a small network."""

    def __init__(self, graph: Array) -> None:
        self.graph = graph

    def __hash__(self) -> int:
        return id(self.graph)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.graph is other.graph


@lru_cache(maxsize=_CACHED)
def _opened(same: _Same, engine: str, n_threads: int) -> Network:
    graph = bytes(np.asarray(same.graph, np.uint8))
    names, shape = declared(graph)
    return Network(open_graph(graph, engine, None, names), *layout_of(shape))


# --------------------------------------------------------------------------------------------
# what goes in
# --------------------------------------------------------------------------------------------


def layout_of(shape: tuple[int, ...]) -> tuple[str, tuple[int, int]]:
    """("chw3", "chw1", "hwc3" or "hwc1", (h, w)) of a declared input; open sizes are :data:`SIDE`."""
    if len(shape) == 4 and shape[0] in (0, 1):
        for axes, channels, (h, w) in (("chw", shape[1], shape[2:]), ("hwc", shape[3], shape[1:3])):
            if channels in (1, 3) and max(h, w) <= MAX_SIDE:
                return f"{axes}{channels}", (h or SIDE, w or SIDE)
    raise InputError(f"its input {shape} is no picture (1, 3, height, width)")


def as_input(image: Array, layout: str, pixels: str, colour: str) -> Array:
    """(1, C, H, W) or (1, H, W, C) float32 of a picture (H, W, 3) BGR, by :data:`PIXELS`."""
    picture = image[..., ::-1] if colour == "rgb" else image
    if layout.endswith("1"):
        picture = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
    mean, deviation = (np.array(v, np.float32) for v in PIXELS[pixels])
    if colour == "bgr":
        mean, deviation = mean[::-1], deviation[::-1]
    values = (picture - mean[: picture.shape[-1]]) / deviation[: picture.shape[-1]]
    axes = (2, 0, 1) if layout.startswith("chw") else (0, 1, 2)
    return np.ascontiguousarray(values.transpose(axes)[None], np.float32)


# --------------------------------------------------------------------------------------------
# what comes out
# --------------------------------------------------------------------------------------------


def _kind(outputs: list[Array], k: int) -> str:
    """What the outputs' shapes say they are."""
    shapes = [out.shape[1:] for out in outputs]
    if len(shapes) == 2 and all(len(s) == 2 and s[0] == k and s[1] > 3 for s in shapes):
        return "simcc"
    if len(shapes[0]) == 3 and shapes[0][0] == k:
        return "heatmap"
    if np.prod(shapes[0]) in (2 * k, 3 * k):
        return "points"
    if len(shapes[0]) == 2 and any(c in (5 + 3 * k, 5 + 2 * k, 6 + 3 * k, 6 + 2 * k) for c in shapes[0]):
        return "yolo"
    told = ", ".join(str(out.shape) for out in outputs)
    raise InputError(f"outputs {told} are none that are known for {k} landmarks: say output=, or take=")


def _of_maps(maps: Array, size_hw: tuple[int, int], aligned: str) -> tuple[Array, Array]:
    if maps.ndim != 4 or not maps.size:
        raise InputError(f"heat maps are (1, K, h, w), the network gives {maps.shape}")
    xy, value = subpixel_peak(maps[0])
    inside, cells = np.array(size_hw[::-1], float), np.array(maps.shape[:1:-1], float)
    if aligned == "corners":
        return xy * (inside - 1) / np.maximum(cells - 1, 1), value
    return (rescale(xy, inside / cells) if aligned == "edges" else xy * inside / cells), value


def _of_bins(outputs: list[Array], size_hw: tuple[int, int]) -> tuple[Array, Array]:
    if (
        len(outputs) != 2
        or any(out.ndim != 3 or not out.size for out in outputs)
        or outputs[0].shape[1] != outputs[1].shape[1]
    ):
        raise InputError("SimCC is two outputs, (1, K, bins of x) and (1, K, bins of y)")
    x, y = (out[0].argmax(1) * side / out.shape[2] for out, side in zip(outputs, size_hw[::-1], strict=True))
    return np.column_stack([x, y]), np.minimum(outputs[0][0].max(1), outputs[1][0].max(1))


def _of_yolo(out: Array, k: int) -> tuple[Array, Array]:
    """The most confident object: x, y, w, h, confidence of each class, then the points; or after NMS
    x0, y0, x1, y1, confidence, class, then the points."""
    if out.ndim != 3:
        raise InputError(f"YOLO's output is (1, channels, N), the network gives {out.shape}")
    after_nms = out.shape[2] in (6 + 3 * k, 6 + 2 * k)
    rows = out[0] if after_nms or out.shape[2] in (5 + 3 * k, 5 + 2 * k) else out[0].T
    width = rows.shape[1]
    dims = next((d for d in (3, 2) if (width == 6 + d * k if after_nms else width - 4 - d * k >= 1)), 0)
    if not dims or not len(rows):
        raise InputError(f"YOLO's output {out.shape} has no room for {k} landmarks")
    start = width - dims * k
    confidence = rows[:, 4] if after_nms else rows[:, 4:start].max(1)
    best = int(confidence.argmax())
    points = rows[best, start:].reshape(k, dims)
    return points[:, :2], points[:, 2] if dims == 3 else np.full(k, confidence[best])


def _of_points(outputs: list[Array], k: int) -> tuple[Array, Array]:
    size = outputs[0].size
    if size not in (2 * k, 3 * k):
        raise InputError(f"coordinates for {k} landmarks are {2 * k} or {3 * k} numbers, not {size}")
    table = outputs[0].reshape(k, size // k)
    if table.shape[1] == 3:
        return table[:, :2], table[:, 2]
    given = len(outputs) > 1 and outputs[1].size == k
    return table, outputs[1].reshape(k) if given else np.ones(k)
