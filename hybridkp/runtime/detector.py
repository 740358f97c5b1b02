"""A runtime file, read and run: picture and box in, keypoints in picture coordinates out.

Reading builds arrays and ONNX sessions from known kinds of node (``nodes.py``); a file cannot name code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np

from ..files.graphs import engine_used
from ..files.zipped import file_bytes, members
from ..imaging.crops import box_of, crop_scale, predict_in_box
from ..imaging.images import MIN_SIDE, as_uint8, check_crops
from ..structures import (
    MARGIN,
    MAX_CROP,
    Array,
    InputError,
    Instance,
    Keypoints,
    Prediction,
    as_boxes,
)
from .nodes import Run, build, told
from .values import FORMAT, PICTURES, WHOLE


def load(path: str | os.PathLike[str], engine: str = "auto") -> RuntimeDetector | RuntimePictureDetector:
    """The detector that :func:`~hybridkp.runtime.export_runtime` wrote.

    A file of a detector alone gives a :class:`RuntimeDetector`, which is told where an object is; one that
    also holds a finder gives a :class:`RuntimePictureDetector`, which finds all objects of a picture.

    Parameters
    ----------
    engine : "onnxruntime", "cv2.dnn", or "auto" (ONNX Runtime where it is installed)

    Raises
    ------
    InputError
        For anything that is not a whole runtime file of this format.
    """
    return _detector(file_bytes(path, "runtime file", "write one with `hybridkp export`"), engine, str(path))


def _detector(data: bytes, engine: str, path: str) -> RuntimeDetector | RuntimePictureDetector:
    """The detector of a runtime file's bytes; ``path`` is for complaints."""
    import json  # not before a file is read: an application's import waits for it

    from ..files.arrays import load_arrays

    try:
        parts = members(data)
    except Exception:  # zipfile raises half a dozen kinds on damaged files
        raise InputError(f"{path}: not a hybridkp runtime file, or a truncated one") from None
    try:
        manifest = json.loads(parts["manifest.json"])
        version = manifest["runtime"]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise InputError(f"{path}: not a hybridkp runtime file; write one with `hybridkp export`") from None
    if version != FORMAT:
        made = str(version)[:20]
        raise InputError(f"{path}: runtime format {made}, this hybridkp reads {FORMAT}: export it again")
    try:
        size_hw = _size(manifest["size_hw"])
        meta = _meta(manifest["meta"])
        run = build(_fill(manifest["root"], load_arrays(parts["arrays.safetensors"])[0], parts), engine)
        blank, what = np.zeros((*size_hw, 3), np.uint8), manifest["root"]["kind"]
        k = _checked(run, blank, what)  # parts that do not fit together show now
        if len(meta.get("landmarks") or range(k)) != k:
            raise ValueError("landmarks")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # whatever a file that is not ours can cause
        raise InputError(f"{path}: damaged runtime file ({type(error).__name__}): export it again") from None
    runs_on = engine_used(engine) if any(name.endswith(".onnx") for name in parts) else "NumPy"
    kind = RuntimePictureDetector if what in (WHOLE, PICTURES) else RuntimeDetector
    return kind(run, size_hw, meta, k, runs_on, (data, engine, path))


def _checked(run: Any, blank: Array, kind: str) -> int:
    """How many points a file's detector gives, asked about a blank crop."""
    if kind == PICTURES:
        return int(run.check(blank))
    if kind == WHOLE:
        run.detect(blank)
        xy, score = (rows[0] for rows in run.detector.predict_with_score(blank[None]))
    else:
        xy, score = run(blank)
    k = len(xy)
    if not k or xy.shape != (k, 2) or score.shape != (k,):
        raise ValueError("landmarks")
    return k


def _size(value: Any) -> tuple[int, int]:
    h, w = (int(v) for v in value)
    if not (MIN_SIDE <= h <= MAX_CROP and MIN_SIDE <= w <= MAX_CROP):
        raise ValueError("size_hw")
    return h, w


def _meta(value: Any) -> dict[str, Any]:
    meta = dict(value)
    if not 0.01 < float(meta.setdefault("margin", MARGIN)) < 100 or not isinstance(
        meta.get("landmarks") or [], list
    ):
        raise ValueError("meta")
    return meta


def _fill(node: Any, arrays: dict[str, Array], parts: dict[str, bytes]) -> Any:
    """The tree with its arrays and graphs back in place."""
    if isinstance(node, dict):
        if "$array" in node:
            value = arrays[node["$array"]]
            return value.T if node["columns"] else value
        if "$graph" in node:
            return parts[node["$graph"]]
        return {k: _fill(v, arrays, parts) for k, v in node.items()}
    if isinstance(node, list):
        return [_fill(v, arrays, parts) for v in node]
    return node


class _Loaded:
    """What every detector of a runtime file knows of itself, and how it is copied."""

    def __init__(
        self,
        run: Any,
        size_hw: tuple[int, int],
        meta: dict[str, Any],
        n_landmarks: int,
        engine: str,
        source: tuple[bytes, str, str],
    ):
        self._run = run
        self.size_hw = size_hw
        self.meta = meta
        self.engine = engine
        self._n_landmarks = n_landmarks
        self._source = source

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[bytes, str, str]]:
        return _detector, self._source

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.size_hw))
        method = self.meta.get("method", "unnamed")
        kind = type(self).__name__
        return f"{kind}({method}, {self._n_landmarks} landmarks, crops of {size} px, on {self.engine})"

    @property
    def landmarks(self) -> list[str]:
        return [str(name) for name in self.meta.get("landmarks", [])]


class RuntimePictureDetector(_Loaded):
    """All objects of a picture, with their landmarks; threads may share one, processes are sent a copy.

    Attributes
    ----------
    size_hw : (H, W) of the crops that its detector was trained on
    meta : what was stored with the model: ``landmarks`` (names), ``margin``, ...
    engine : what its networks run on, "NumPy" where it has none
    """

    @property
    def whole(self) -> Any:
        """What it is: a :class:`hybridkp.detection.TopDown`, or a method that begins with pictures."""
        return self._run

    @property
    def top_down(self) -> Any:
        """The finder and the detector that it is made of; None where it begins with pictures."""
        return None if self.finder is None else self._run

    @property
    def finder(self) -> Any:
        """What finds the objects; None where the method itself begins with whole pictures."""
        return getattr(self._run, "finder", None)

    @property
    def min_score(self) -> float:
        return float(self._run.min_score)

    def in_box(self, image: Array, box_xywh: Array, score: float = 1.0) -> Instance:
        """The object in a box (4,) that shares something with the picture, however it was found.

        Raises
        ------
        InputError
            For a method that begins with whole pictures: it takes no boxes; and as
            :meth:`RuntimeDetector.detect` raises it.
        """
        if self.finder is None:
            raise InputError("a method that begins with whole pictures takes no boxes: ask detect")
        image = as_uint8(image)
        found: Instance = self._run.in_box(image, box_of(image, box_xywh), score)
        return found

    def detect(self, image: Array) -> list[Instance]:
        """The objects of (H, W) or (H, W, 3) BGR, best first; none is an empty list.

        Each has ``box_xywh`` (4,), ``score``, ``xy`` (K, 2) in picture px and ``keypoint_scores`` (K,).

        Raises
        ------
        InputError
            For what is no picture.
        """
        found: list[Instance] = self._run.detect(image)
        return found


class RuntimeDetector(_Loaded):
    """Landmarks of one object at a time; threads may share one, processes are sent a copy.

    On ``cv2.dnn`` the threads that share a detector wait for each other in its network, on ONNX Runtime
    they do not: ``copy.deepcopy`` gives another that shares nothing.  It pickles as its file's bytes, so
    that a copy is read as carefully as a file.

    Attributes
    ----------
    size_hw : (H, W) of the crops that it was trained on
    meta : what was stored with the model: ``landmarks`` (names), ``margin``, ...
    engine : what its networks run on, "NumPy" where it has none
    """

    _run: Run

    @overload
    def detect(self, image: Array, box_xywh: Sequence[float] | None = None) -> Keypoints: ...

    @overload
    def detect(self, image: Array, box_xywh: Sequence[Sequence[float]]) -> list[Keypoints]: ...

    @overload
    def detect(self, image: Array, box_xywh: Array) -> Any: ...  # its shape decides

    def detect(self, image: Array, box_xywh: Any = None) -> Any:
        """Landmarks of the object in a box (default: the whole picture), or in each of many, in picture px.

        Parameters
        ----------
        image : (H, W) or (H, W, 3) BGR, as ``cv2.imread`` and ``cv2.VideoCapture`` give it
        box_xywh : (4,) x, y, width, height, as OpenCV's face detectors give it; or (N, 4)

        Returns
        -------
        Keypoints
            K points in the landmarks' order; ``label`` is the landmark's index, ``score`` its
            confidence in 0..1; ``.to_cv2()`` gives ``cv2.KeyPoint``.  Of (N, 4) boxes a list of N.

        Raises
        ------
        InputError
            For what is no picture (see :func:`hybridkp.imaging.images.as_uint8` for 16-bit, float and
            alpha), a box without area, or one wholly outside; a box that hangs out of the picture
            is fine, the border pixel repeats there.
        """
        image = as_uint8(image)
        h, w = image.shape[:2]
        boxes = as_boxes([0, 0, w, h] if box_xywh is None else box_xywh)
        one = boxes.ndim == 1 and boxes.size > 0
        return self._in_box(image, boxes) if one else [self._in_box(image, box) for box in boxes]

    def in_box(self, image: Array, box_xywh: Array, score: float = 1.0) -> Instance:
        """The object in one box (4,), as a :class:`RuntimePictureDetector` gives it, for a tracker."""
        image = as_uint8(image)
        box = box_of(image, box_xywh)
        xy, found = self._told(image, box)
        scale = crop_scale(box, self.size_hw, float(self.meta["margin"]))
        return found.instance(xy, box, scale, score)

    def _in_box(self, image: Array, box: Array) -> Keypoints:
        box = box_of(image, box)
        xy, found = self._told(image, box)
        size = np.full(len(xy), 0.05 * box[2:].max())
        label = np.arange(len(xy))
        return Keypoints(xy, found.score, size=size, label=label)

    def _told(self, image: Array, box: Array) -> tuple[Array, Prediction]:
        """Points (K, 2) in the picture, and all that is known of the box's crop."""

        def ask(crop: Array) -> tuple[Array, Prediction]:
            found = told(self._run, crop)
            return found.xy, found

        xy, found = predict_in_box(ask, image, box, self.size_hw, float(self.meta["margin"]))
        return xy, found

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """Crops (B, H, W[, 3]) to (B, K, 2) and (B, K), as the detector it was exported from."""
        found = self.predict_all(images)
        return found.xy, found.score

    def predict_all(self, images: Any) -> Prediction:
        """All that the detector says of crops (B, H, W[, 3]), what it knows besides points included."""
        return Prediction.stacked([told(self._run, crop) for crop in check_crops(images, self.size_hw)])
