"""A whole detector as one ONNX file: crops in, points and scores out, for any language with an ONNX engine.

The tree of a runtime file (``export.py``) is written operator by operator, each part by its room's ``graphs``
folder, so that the file computes what :class:`~hybridkp.runtime.RuntimeDetector` computes.  Needs the
onnx package; what is written does not need us.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from .. import __version__
from ..files.atomic import write_atomic
from ..structures import MARGIN, InputError, MapsNode, supports
from .builder import OPSET, Crop, Graph, Tensor, declared, emit_all
from .export import crops_node, fitted_node, refuse_pictures
from .onnx_picture import n_landmarks, picture_graph, shape_of
from .opencv_form import for_opencv

#: operators that ``cv2.dnn`` of 4.14 and 5.0 runs as ONNX means them, in the forms that networks here use
OPENCV_OPS = frozenset(
    """Add AveragePool Clip Concat Constant Conv Div Exp Flatten Gather Gemm Identity Log MatMul Mul
    ReduceMean ReduceSum Relu Reshape Resize Shape Sigmoid Slice Softmax Sqrt Squeeze Sub
    Unsqueeze""".split()  # noqa: SIM905
)
#: kinds of node that tell something beside points and scores, by operators that ``cv2.dnn`` lacks
BESIDE = ("landmarks.presence", "fusion.covariance")
INPUTS = ("float", "uint8")
STRIDE = 4  #: crop px per px of a score map


def export_onnx(
    model: Any,
    path: str | os.PathLike[str],
    meta: Mapping[str, Any] | None = None,
    *,
    opencv: bool = False,
    pixels: str = "float",
    picture: tuple[int, int] | str | None = None,
    maps: bool = False,
) -> Path:
    """Write a fitted detector as one ONNX graph of opset 17.

    Parameters
    ----------
    model : a fitted detector of a kind that the runtime knows
    meta : as in :func:`.export_runtime`; becomes the file's metadata (``hybridkp.landmarks``, ...)
    opencv : for ``cv2.dnn``: one crop at a time, and only operators that it runs
    pixels : "float": input ``image`` (B, 3, H, W) float32, BGR, whole numbers 0..255, as
        ``cv2.dnn.blobFromImages`` gives them; "uint8": (B, H, W, 3), as crops of OpenCV are
    picture : whole pictures instead of crops, of this (height, width), or of "any": input ``picture``
        (3, height, width) or, with uint8, (height, width, 3).  A model with a finder, which needs the size,
        finds the objects; another has a second input, ``boxes`` (N, 4) float32 x, y, width, height
    maps : score maps instead of points, for OpenCV's ``cv2.dnn.KeypointsModel``: output ``maps``
        (1, K + 1, H / 4, W / 4), each of sum 1, and one of zeros, the background; needs ``opencv``

    Returns
    -------
    Path
        The graph's outputs are ``xy`` (B, K, 2) in crop px, an integer being a pixel's centre, and
        ``score`` (B, K) in 0..1; of a detector that says it, ``presence`` (B,) and ``covariance``
        (B, K, 2, 2) too, but for ``cv2.dnn``.
        B is free: a crop at a time goes through the body of one ``Scan``.
        Of whole pictures ``xy`` (N, K, 2) is in px of the picture; of a finder also ``boxes`` (N, 4) and
        ``box_score`` (N,), best first, and N may be 0.

    Raises
    ------
    InputError
        When a part of the model has no ONNX form, by its name, or ``cv2.dnn`` lacks an operator.
    """
    if pixels not in INPUTS or (opencv and pixels != "float"):
        raise InputError(f"pixels must be one of {', '.join(INPUTS)}, for cv2.dnn float; got {pixels!r}")
    if opencv and picture is not None:
        raise InputError("cv2.dnn takes crops, one at a time: leave out the picture's size")
    node = crops_node(model) if picture is None else refuse_pictures(fitted_node(model))
    size_hw = _two(model.size_hw_)
    margin = float((meta or {}).get("margin", MARGIN))
    while opencv and node["kind"] in BESIDE:
        node, model = node["detector"], getattr(model, "detector_", model)
    if maps and not (opencv and supports(model, MapsNode)):
        why = "is for cv2.dnn" if not opencv else f"asks for score maps, and {type(model).__name__} has none"
        raise InputError(f"maps {why}: export points instead")
    if maps:
        graph = _maps(model, node, size_hw)
    elif picture is None:
        graph = _flat(node, size_hw) if opencv else _free(node, size_hw, pixels)
    else:
        graph = picture_graph(node, size_hw, margin, picture, pixels)
    if opencv:
        for name in sorted({n.op_type for n in graph.node} - OPENCV_OPS):
            raise InputError(f"cv2.dnn has no operator {name} as this model needs it: leave out --opencv")
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,  # what engines of the last years read with opset 17
        producer_name="hybridkp",
        producer_version=__version__,
    )
    made = for_opencv(made) if opencv else made
    helper.set_model_props(made, _card(meta or {}, size_hw, pixels, picture))
    onnx.checker.check_model(made, full_check=True)
    write_atomic(path, made.SerializeToString())
    return Path(path)


def _two(size_hw: Any) -> tuple[int, int]:
    h, w = (int(v) for v in size_hw)
    return h, w


def _card(meta: Mapping[str, Any], size_hw: tuple[int, int], pixels: str, picture: Any) -> dict[str, str]:
    """The model card: text by name; what the application needs to make crops, and what the model is."""
    facts = {
        "size_hw": list(size_hw),
        "margin": MARGIN,
        "color_order": "BGR",
        "normalisation": "none: grey levels 0 to 255",
        "layout": ("" if picture else "N") + ("CHW float32" if pixels == "float" else "HWC uint8"),
        "points": f"x, y in px of the {'picture' if picture else 'crop'}, an integer is a pixel's centre",
        "license": "of the data that it was trained on; the program is Apache-2.0",
        **meta,
        "version": __version__,
    }
    try:
        text = {k: v if isinstance(v, str) else json.dumps(v, allow_nan=False) for k, v in facts.items()}
    except (TypeError, ValueError) as error:
        raise InputError(f"meta must hold plain values that JSON knows: {error}") from None
    return {f"hybridkp.{k}": v for k, v in text.items()}


def _flat(node: dict[str, Any], size_hw: tuple[int, int]) -> Any:
    """One crop, no loop: (1, 3, H, W) to (1, K, 2) and (1, K)."""
    g, k = Graph(), n_landmarks(node, size_hw)
    image = Tensor(g, "image", np.float32)
    outputs = []
    for name, tensor in emit_all(node, Crop(image.reshape(3, *size_hw), size_hw)).items():
        shape = [1, *shape_of(name, k)]
        g.name(tensor.reshape(*shape), name)
        outputs.append(declared(name, np.float32, shape))
    return g.finish("hybridkp", [declared("image", np.float32, [1, 3, *size_hw])], outputs)


def _maps(model: Any, node: dict[str, Any], size_hw: tuple[int, int]) -> Any:
    """One crop, (1, 3, H, W) to score maps (1, K + 1, h, w)."""
    g, inside, k = Graph(), model.maps_node(STRIDE), n_landmarks(node, size_hw)
    crop = Crop(Tensor(g, "image", np.float32).reshape(3, *size_hw), size_hw)
    found = crop.maps(inside)
    h, w = (side // STRIDE for side in size_hw)
    background = g.tensor(np.zeros((1, 1, h, w), np.float32))  # the last map, which OpenCV leaves out
    g.name(g.concat([found.reshape(1, k, h, w), background], 1), "maps")
    image, maps = (
        declared("image", np.float32, [1, 3, *size_hw]),
        declared("maps", np.float32, [1, k + 1, h, w]),
    )
    return g.finish("hybridkp", [image], [maps])


def _free(node: dict[str, Any], size_hw: tuple[int, int], pixels: str) -> Any:
    """Any number of crops, one after the other through the body of a Scan."""
    (h, w), k = size_hw, n_landmarks(node, size_hw)
    inner, outer = Graph(), Graph()
    dtype, shape = (np.float32, [3, h, w]) if pixels == "float" else (np.uint8, [h, w, 3])
    bgr = Tensor(inner, "crop", dtype)
    if pixels == "uint8":
        bgr = bgr.to(np.float32).transpose(2, 0, 1)
    found = emit_all(node, Crop(bgr, size_hw))
    parts = []
    for name, tensor in found.items():
        shape_1 = shape_of(name, k)
        inner.name(tensor.reshape(*shape_1), f"crop_{name}")
        parts.append(declared(f"crop_{name}", np.float32, shape_1))
    body = inner.finish("crop", [declared("crop", dtype, shape)], parts)
    outer.nodes.append(helper.make_node("Scan", ["image"], list(found), body=body, num_scan_inputs=1))
    return outer.finish(
        "hybridkp",
        [declared("image", dtype, ["B", *shape])],
        [declared(name, np.float32, ["B", *shape_of(name, k)]) for name in found],
    )
