"""The second stage of a two-stage finder: others' boxes cut out, judged and corrected.

NumPy and OpenCV only: a network that judges runs elsewhere.  Boxes (N, 4) come in, crops (N, S, S[, 3])
go out, and boxes (N, 4) with logits (N,) come back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..imaging.crops import cut
from ..imaging.geometry import crop_matrix
from ..imaging.images import to_grey
from ..stats.calibration import probability
from ..structures import Array, Finder
from .boxes_math import corrected, suppress
from .windows import WindowModel

PROPOSALS = 40  #: of each finder, the best ones

Ask = Callable[[Array], tuple[Array, Array]]  #: crops (N, S, S[, 3]) -> corrections (N, 4) and logits (N,)


def proposed(finders: Sequence[Finder], image: Array, name: str = "") -> tuple[Array, Array]:
    """The boxes (N, 4) of all finders, and the log-odds (N,) of their scores."""
    found = [finder.find(image, name=name) for finder in finders]
    boxes = np.concatenate([np.zeros((0, 4)), *(b[:PROPOSALS] for b, _ in found)])
    score = np.clip(np.concatenate([np.zeros(0), *(s[:PROPOSALS] for _, s in found)]), 1e-3, 1 - 1e-3)
    return boxes, np.log(score / (1 - score))


def cut_boxes(image: Array, boxes: Array, side: int, margin: float, color: bool) -> Array:
    """What boxes (N, 4) show: (N, S, S[, 3]) uint8."""
    size = (side, side)
    crops = [cut(image, crop_matrix(box, size, margin), size) for box in boxes]
    if not color:
        crops = [to_grey(crop) for crop in crops]
    return np.stack(crops) if crops else np.zeros((0, side, side, *(3,) * color), np.uint8)


@dataclass(frozen=True)
class VerifiedReader:
    """What judges boxes, and how they are read; ``calibration`` turns a logit into a probability."""

    side: int
    margin: float
    color: bool
    overlap: float
    calibration: tuple[float, float]

    def judged(self, ask: Ask, image: Array, boxes: Array, odds: Array) -> tuple[Array, Array]:
        """Corrected boxes (N, 4), best first, that no better one overlaps, and both logits' sum (N,)."""
        if not len(boxes):
            return np.zeros((0, 4)), np.zeros(0)
        change, logits = ask(cut_boxes(image, boxes, self.side, self.margin, self.color))
        boxes, logits = corrected(boxes, change.astype(float)), logits + odds
        kept = suppress(boxes, logits, self.overlap)
        return boxes[kept], logits[kept]

    def find(self, ask: Ask, image: Array, boxes: Array, odds: Array, least: float) -> tuple[Array, Array]:
        """Boxes (N, 4) and probabilities (N,) of at least ``least``, best first."""
        return _sure(*self.judged(ask, image, boxes, odds), self.calibration, least)


@dataclass(frozen=True)
class JudgedReader:
    """A learned window that judges boxes; ``calibration`` turns a logit into a probability."""

    model: WindowModel
    overlap: float
    calibration: tuple[float, float]

    def judged(self, image: Array, boxes: Array, odds: Array) -> tuple[Array, Array]:
        """Corrected boxes (N, 4), best first, that no better one overlaps, and both log-odds' sum (N,)."""
        boxes, _ = self.model.at(image, boxes)
        boxes, raw = self.model.at(image, boxes)
        slope, offset = self.model.calibration
        logits = slope * raw + offset + odds
        kept = suppress(boxes, logits, self.overlap)
        return boxes[kept], logits[kept]

    def find(self, image: Array, boxes: Array, odds: Array, least: float) -> tuple[Array, Array]:
        """Boxes (N, 4) and probabilities (N,) of at least ``least``, best first."""
        return _sure(*self.judged(image, boxes, odds), self.calibration, least)


def _sure(boxes: Array, logits: Array, calibration: tuple[float, float], least: float) -> tuple[Array, Array]:
    score = probability(logits.astype(float), calibration)
    return boxes[score >= least], score[score >= least]
