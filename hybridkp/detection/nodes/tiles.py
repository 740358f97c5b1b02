"""A finder in overlapping tiles, in the runtime: a picture in, boxes (N, 4) and scores (N,) out."""

from __future__ import annotations

from ...runtime.nodes import Node, build
from ...runtime.values import number, whole
from ...structures import Array
from ..tiles import MOST_TILES, find_in_tiles
from . import Find


def make(node: Node, engine: str) -> Find:
    find = build(node["member"], engine)
    n_tiles, shared = whole(node, "n_tiles", 1, MOST_TILES), number(node["shared"], 0, 0.8)
    also, overlap = bool(node["whole"]), number(node["overlap"], 1e-6, 1)

    def look(picture: Array) -> tuple[Array, Array]:
        return find_in_tiles(find, picture, n_tiles, shared, also, overlap)

    return look
