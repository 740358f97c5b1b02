"""Several finders as one in the runtime: a picture in, fused boxes (N, 4) and scores (N,) out."""

from __future__ import annotations

from ...runtime.nodes import Node, build
from ...runtime.values import array, number
from ...structures import Array
from ..boxes_math import fuse_boxes
from . import Find


def make(node: Node, engine: str) -> Find:
    finds = [build(member, engine) for member in node["members"]]
    weights, overlap = array(node["weights"], len(finds)), number(node["overlap"], 0, 1)
    if not finds or not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError("members need weights")

    def find(picture: Array) -> tuple[Array, Array]:
        boxes, scores = zip(*(each(picture) for each in finds), strict=True)
        return fuse_boxes(boxes, scores, weights.tolist(), overlap)

    return find
