"""A runtime file, read and run: picture and box in, keypoints in picture coordinates out.

Reading builds arrays and ONNX sessions from known kinds of node; a file cannot name code.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..geometry import apply_affine, crop_matrix, invert_affine, warp
from ..images import as_uint8, to_grey
from ..structures import Array, InputError, Keypoints
from .export import FORMAT
from .kernels import vote, weighted_points

Run = Callable[[Array], tuple[Array, Array]]  #: grey crop (H, W) -> (K, 2), (K,)


def load(path: str | os.PathLike[str], engine: str = "auto") -> RuntimeDetector:
    """The detector that :func:`~hybridkp.runtime.export_runtime` wrote.

    Parameters
    ----------
    engine : "onnxruntime", "cv2.dnn", or "auto" (ONNX Runtime where it is installed)

    Raises
    ------
    InputError
        For anything that is not a whole runtime file of this format.
    """
    try:
        with zipfile.ZipFile(path) as file:
            parts = {info.filename: file.read(info) for info in file.infolist()}
        manifest = json.loads(parts["manifest.json"])
        version = manifest["runtime"]
    except FileNotFoundError:
        raise InputError(f"{path}: no such runtime file; write one with `hybridkp export`") from None
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError, RecursionError):
        raise InputError(f"{path}: not a hybridkp runtime file, or a truncated one") from None
    if version != FORMAT:
        raise InputError(f"{path}: runtime format {version}, this hybridkp reads {FORMAT}: export it again")
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_arrays

    try:
        arrays = load_arrays(parts["arrays.safetensors"])
        run = _node(_fill(manifest["root"], arrays, parts), engine)
        size_hw = (int(manifest["size_hw"][0]), int(manifest["size_hw"][1]))
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError, cv2.error) as error:
        if isinstance(error, InputError):
            raise InputError(f"{path}: {error}") from None
        raise InputError(f"{path}: damaged runtime file ({type(error).__name__})") from None
    return RuntimeDetector(run, size_hw, dict(manifest.get("meta", {})))


class RuntimeDetector:
    """Landmarks of one object at a time.

    Attributes
    ----------
    size_hw : (H, W) of the crops that it was trained on
    meta : what was stored with the model: ``landmarks`` (names), ``margin``, ...
    """

    def __init__(self, run: Run, size_hw: tuple[int, int], meta: dict[str, Any]):
        self._run = run
        self.size_hw = size_hw
        self.meta = meta

    @property
    def landmarks(self) -> list[str]:
        return [str(name) for name in self.meta.get("landmarks", [])]

    def detect(self, image: Array, box_xywh: ArrayLike | None = None) -> Keypoints:
        """Landmarks of the object in a box (default: the whole picture), in picture px.

        Parameters
        ----------
        image : (H, W) or (H, W, 3) BGR, as ``cv2.imread`` and ``cv2.VideoCapture`` give it
        box_xywh : (4,) x, y, width, height, as OpenCV's face detectors give it

        Returns
        -------
        Keypoints
            K points in the landmarks' order; ``label`` is the landmark's index, ``score`` its
            confidence in 0..1; ``.to_cv2()`` gives ``cv2.KeyPoint``.
        """
        image = as_uint8(image)
        h, w = image.shape[:2]
        box = (0, 0, w, h) if box_xywh is None else box_xywh
        matrix = crop_matrix(box, self.size_hw, float(self.meta.get("margin", 1.25)))
        xy, score = self._run(to_grey(warp(image, matrix, self.size_hw)))
        size = np.full(len(xy), 0.05 * max(np.asarray(box, float)[2:]))
        label = np.arange(len(xy))
        return Keypoints(apply_affine(invert_affine(matrix), xy), score, size=size, label=label)

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """Crops (B, H, W[, 3]) to (B, K, 2) and (B, K), as the detector it was exported from."""
        pairs = [self._run(to_grey(as_uint8(image))) for image in images]
        return np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])


# --------------------------------------------------------------------------------------------
# kinds of node
# --------------------------------------------------------------------------------------------


def _fill(node: Any, arrays: dict[str, Array], parts: dict[str, bytes]) -> Any:
    if isinstance(node, dict):
        if "$array" in node:
            return arrays[node["$array"]]
        if "$graph" in node:
            return parts[node["$graph"]]
        return {k: _fill(v, arrays, parts) for k, v in node.items()}
    if isinstance(node, list):
        return [_fill(v, arrays, parts) for v in node]
    return node


def _node(node: dict[str, Any], engine: str) -> Run:
    kind = node["kind"]
    if kind not in _KINDS:
        raise InputError(f"holds a node of kind {str(kind)[:30]!r}, which this hybridkp cannot run: update")
    return _KINDS[kind](node, engine)


def _constant(node: dict[str, Any], engine: str) -> Run:
    return lambda grey: (node["xy"].astype(np.float32), node["score"].astype(np.float32))


def _net(node: dict[str, Any], engine: str) -> Run:
    if engine not in ("auto", "onnxruntime", "cv2.dnn"):
        raise InputError(f"engine must be auto, onnxruntime or cv2.dnn, got {engine!r}")
    if engine != "cv2.dnn":
        try:
            return _on_onnxruntime(node["graph"])
        except ImportError:
            if engine == "onnxruntime":
                raise InputError("onnxruntime is not installed: use engine='cv2.dnn'") from None
    net = cv2.dnn.readNetFromONNX(np.frombuffer(node["graph"], np.uint8))

    def run(grey: Array) -> tuple[Array, Array]:
        net.setInput(grey[None, None].astype(np.float32), "image")
        xy, score = net.forward(["xy", "score"])
        return xy.reshape(-1, 2), score.reshape(-1)

    return run


def _on_onnxruntime(graph: bytes) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, cv2.getNumThreads())
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run(grey: Array) -> tuple[Array, Array]:
        xy, score = session.run(["xy", "score"], {"image": grey[None, None].astype(np.float32)})
        return xy[0], score[0]

    return run


def _members(node: dict[str, Any], engine: str) -> Callable[[Array], tuple[Array, Array]]:
    runs = [_node(member, engine) for member in node["members"]]

    def ask(grey: Array) -> tuple[Array, Array]:
        pairs = [run(grey) for run in runs]
        return np.stack([p[0][None] for p in pairs]).astype(float), np.stack([p[1][None] for p in pairs])

    return ask


def _average(node: dict[str, Any], engine: str) -> Run:
    ask = _members(node, engine)

    def run(grey: Array) -> tuple[Array, Array]:
        xy, score = ask(grey)
        fused, confidence = weighted_points(xy, np.ones(score.shape), score)
        return fused[0], confidence[0]

    return run


def _vote(node: dict[str, Any], engine: str) -> Run:
    ask = _members(node, engine)

    def run(grey: Array) -> tuple[Array, Array]:
        fused, confidence = vote(*ask(grey), node["variance"], node["correlation"], node["factors"])
        return fused[0], confidence[0]

    return run


_KINDS: dict[str, Callable[[dict[str, Any], str], Run]] = {
    "constant": _constant,
    "net": _net,
    "average": _average,
    "vote": _vote,
}
