"""A method of whole pictures in the runtime: a picture in, all its objects out, steps on each one's crop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...imaging.images import as_uint8
from ...runtime.nodes import Node, Run, build
from ...runtime.values import array, number, whole
from ...structures import Array, Instance
from ..picture_steps import cut_start, stepped, with_points
from . import Look


@dataclass(eq=False, repr=False)
class PictureRun:
    """What :class:`~hybridkp.detection.WholePicture` became."""

    look: Look
    run: Run | None
    mean: Array
    size_hw: tuple[int, int]
    margin: float
    min_score: float

    def at_least(self, min_score: float | None) -> PictureRun:
        least = self.min_score if min_score is None else min_score
        return replace(self, min_score=least)

    def detect(self, image: Any, *, name: str = "") -> list[Instance]:
        image = as_uint8(image, name or "picture")
        found = [i for i in self.look(image) if i.score >= self.min_score]
        return found if self.run is None else [self._stepped(image, self.run, each) for each in found]

    def _stepped(self, image: Array, run: Run, found: Instance) -> Instance:
        crop, start, matrix = cut_start(image, found, self.mean, self.size_hw, self.margin)
        return stepped(found, with_points(run, crop, start.astype(np.float32)), matrix)

    def check(self, blank: Array) -> int:
        """How many points it gives; what does not fit together fails."""
        self.detect(blank)
        if self.run is not None:
            said = with_points(self.run, blank, self.mean.astype(np.float32))
            if said.xy.shape != self.mean.shape or said.score.shape != (len(said.xy),):
                raise ValueError("landmarks")
        return len(self.mean)


def make(node: Node, engine: str) -> PictureRun:
    height, width = ({"side": side} for side in node["size_hw"])
    steps = node["steps"]
    run = None if steps is None else build(steps["detector"], engine)
    return PictureRun(
        build(node["start"], engine),
        run,
        array(node["mean"], -1, 2),
        (whole(height, "side", 2, 4096), whole(width, "side", 2, 4096)),
        number(node["margin"], 0.01, 100),
        number(node["min_score"], 0, 1),
    )
