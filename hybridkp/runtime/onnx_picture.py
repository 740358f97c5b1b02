"""A detector of whole pictures as an ONNX graph: boxes given or found, cut out, and asked about one by one.

A node of a runtime file comes in, an onnx GraphProto goes out; files are written in ``onnx_export.py``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from ..structures import Array, InputError
from .builder import Crop, Graph, Tensor, declared, emit, emit_all
from .nodes import build
from .values import WHOLE

MOST_PX = 16384  #: of a picture's side


def n_landmarks(node: dict[str, Any], size_hw: tuple[int, int]) -> int:
    """How many points a node of crops gives."""
    return len(build(node)(np.zeros((*size_hw, 3), np.uint8))[0])


def shape_of(output: str, k: int) -> list[int]:
    """Of what is said of one crop with K points, by the output's name."""
    return {"xy": [k, 2], "score": [k], "presence": [], "covariance": [k, 2, 2]}[output]


def picture_graph(
    node: dict[str, Any], size_hw: tuple[int, int], margin: float, picture: Any, pixels: str
) -> Any:
    """Whole pictures in; of the finder, where the node has one, or of given boxes, all points out.

    Parameters
    ----------
    size_hw, margin : of the crops, of a node without a finder
    picture : (height, width), or "any" where boxes are given
    """
    finds, sides, rebox = node["kind"] == WHOLE, _sides(picture), node.get("rebox")
    if finds and sides is None:
        raise InputError("a finder's levels need the picture's size: give its height and width, not 'any'")
    g = Graph()
    shape: list[Any] = ["H", "W"] if sides is None else list(sides)
    shape = [3, *shape] if pixels == "float" else [*shape, 3]
    given = Tensor(g, "picture", np.float32 if pixels == "float" else np.uint8)
    bgr = given if pixels == "float" else given.to(np.float32).transpose(2, 0, 1)
    bgr = g.name(bgr, "planes")  # the loop's body asks for it by this name
    inputs, found = [declared("picture", given.dtype, shape)], []
    if finds:
        size_hw, margin = (int(node["size_hw"][0]), int(node["size_hw"][1])), float(node["margin"])
        boxes, score = _shown(emit(node["finder"], Crop(bgr, sides)), sides, float(node["min_score"]))  # type: ignore[arg-type]
        g.name(boxes.to(np.float32), "boxes")
        g.name(score.to(np.float32), "box_score")
        found = [declared("boxes", np.float32, ["N", 4]), declared("box_score", np.float32, ["N"])]
        node = node["detector"]
    else:
        boxes = Tensor(g, "boxes", np.float32).to(np.float64)
        inputs.append(declared("boxes", np.float32, ["N", 4]))
    k = n_landmarks(node, size_hw)
    told = _each_box(g, node, bgr, g.name(boxes, "cut_boxes"), size_hw, margin, k, rebox)
    points = [declared(name, np.float32, ["N", *shape_of(name, k)]) for name in told]
    return g.finish("hybridkp", inputs, [*found, *points])


def _sides(picture: Any) -> tuple[int, int] | None:
    if isinstance(picture, str) and picture == "any":
        return None
    try:
        height, width = (int(v) for v in picture)
    except (TypeError, ValueError):
        raise InputError(f"a picture is (height, width) or 'any', got {picture!r}") from None
    if not (2 <= height <= MOST_PX and 2 <= width <= MOST_PX):
        raise InputError(f"a picture's sides lie in 2..{MOST_PX} px, got {height} x {width}")
    return height, width


def _shown(found: tuple[Tensor, Tensor], size_hw: tuple[int, int], least: float) -> tuple[Tensor, Tensor]:
    """Boxes that share something with the picture, of scores of at least ``least``."""
    boxes, score = found
    g, (h, w) = boxes.graph, size_hw
    x, y, wide, high = (boxes.take(i, 1) for i in range(4))
    inside = [x < float(w), y < float(h), (x + wide) > 0.0, (y + high) > 0.0, g.op("Not", score < least)]
    kept = inside[0]
    for other in inside[1:]:
        kept = g.op("And", kept, other)
    return g.op("Compress", boxes, kept, axis=0), g.op("Compress", score, kept, axis=0)


def _each_box(
    g: Graph,
    node: dict[str, Any],
    bgr: Tensor,
    boxes: Tensor,
    size_hw: tuple[int, int],
    margin: float,
    k: int,
    rebox: Array | None,
) -> list[str]:
    """The outputs ``xy``, ``score``, ..., whose names it gives: a loop, since no Scan takes 0 boxes.

    With ``rebox`` each object is looked at twice, as by :class:`hybridkp.detection.TopDown`.
    """
    cuts = import_module(f"{__name__.split('.')[0]}.detection.graphs.cuts")
    body = Graph("box_")
    picture, number = Tensor(body, bgr.name, np.float32), Tensor(body, "number", np.int64)
    box = Tensor(body, boxes.name, np.float64).take(number)
    to_crop = cuts.box_map(box, size_hw, margin)

    def look(to_crop: Any) -> dict[str, Tensor]:
        told = emit_all(node, Crop(cuts.cut(picture, to_crop, size_hw), size_hw))
        told["xy"] = to_crop.back(told["xy"])
        if "covariance" in told:
            told["covariance"] = told["covariance"].to(np.float64) / (to_crop.scale * to_crop.scale)
        return told

    told = look(to_crop)
    if rebox is not None:
        again = look(cuts.box_map(cuts.around(told["xy"], box, rebox), size_hw, margin))
        told = cuts.mean_of(told, again)
    told = {name: tensor.to(np.float32) for name, tensor in told.items()}
    parts = []
    for name, tensor in told.items():
        body.name(tensor.reshape(*shape_of(name, k)), f"box_of_{name}")
        parts.append(declared(f"box_of_{name}", np.float32, shape_of(name, k)))
    body.name(Tensor(body, "on", bool), "go_on")
    n = g.op("Shape", boxes, start=0, end=1, dtype=np.int64).reshape()
    scalar: list[int] = []
    made = body.finish(
        "box",
        [declared("number", np.int64, scalar), declared("on", bool, scalar)],
        [declared("go_on", bool, scalar), *parts],
    )
    g.loop(made, n, (), list(told))
    return list(told)
