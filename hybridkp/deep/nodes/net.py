"""A network from crop to points as one graph, with its decoding inside: what networks are in the runtime.

No torch.  One crop in, points (K, 2) and scores (K,) out.
"""

from __future__ import annotations

from ...runtime.nodes import Node, Run, on_planes
from ...structures import Array


def make(node: Node, engine: str) -> Run:
    ask = on_planes(node, engine, ["xy", "score"])

    def run(picture: Array) -> tuple[Array, Array]:
        xy, score = ask(picture)
        return xy.reshape(-1, 2), score.reshape(-1)

    return run
