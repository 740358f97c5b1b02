"""A refiner behind a detector: :class:`.Refined` in the runtime.  Points (K, 2) of one crop pass through."""

from __future__ import annotations

from ...runtime.nodes import Node, Run, build, build_start
from ...structures import Array


def make(node: Node, engine: str) -> Run:
    start, refine = build_start(node["detector"], engine), build(node["refiner"], engine)

    def run(picture: Array) -> tuple[Array, Array]:
        found: tuple[Array, Array] = refine(picture, start(picture))
        return found

    return run
