"""From a network's centre map to boxes: peaks, sizes, suppression; and from pictures to its squares.

NumPy and OpenCV only: the network itself runs elsewhere.  Pictures (h, w[, 3]) and maps (h, w), (4, h, w)
come in, boxes (N, 4) go out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ..imaging.crops import cut
from ..imaging.geometry import apply_affine, crop_matrix, invert_affine
from ..imaging.images import to_grey
from ..stats.calibration import probability
from ..structures import Array
from .boxes_math import suppress

STRIDE = 4  #: px of the square per cell of the maps
MOST = 100  #: peaks that are looked at, the best ones

Ask = Callable[[Array], tuple[Array, Array]]  #: square (S, S[, 3]) -> logits (h, w) and boxes (4, h, w)


def square_of(image: Array, side: int, color: bool) -> tuple[Array, Array]:
    """The whole picture in a square, its aspect kept: (S, S[, 3]) uint8, and the (2, 3) map to it."""
    h, w = image.shape[:2]
    matrix = crop_matrix((0, 0, w, h), (side, side), 1.0)
    square = cut(image, matrix, (side, side))
    return (square if color else to_grey(square)), matrix


def map_boxes(matrix: Array, boxes: Array) -> Array:
    """Boxes (N, 4) through a map without a turn."""
    corners = np.stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    low, high = np.moveaxis(apply_affine(matrix, corners.reshape(-1, 2) - 0.5).reshape(-1, 2, 2) + 0.5, 1, 0)
    return np.concatenate([low, high - low], 1)


@dataclass(frozen=True)
class CentreReader:
    """A network of squares as a finder in pictures.

    ``calibration`` (2,) turns a peak's logit into the probability of an object.
    """

    side: int
    color: bool
    overlap: float
    calibration: tuple[float, float]

    def judged(self, ask: Ask, image: Array) -> tuple[Array, Array]:
        """Boxes (N, 4) in picture px, best first, and the logits (N,) of their peaks."""
        square, matrix = square_of(image, self.side, self.color)
        boxes, logits, _ = self.peaks(*ask(square))
        return map_boxes(invert_affine(matrix), STRIDE * boxes), logits

    def peaks(self, logits: Array, change: Array) -> tuple[Array, Array, tuple[Array, Array]]:
        """Of maps (h, w), (4, h, w): boxes (N, 4) in cells, logits (N,), rows and columns, best first."""
        peak = logits >= cv2.dilate(logits, np.ones((3, 3), np.uint8))
        y, x = np.nonzero(peak)
        best = np.argsort(-logits[y, x], kind="stable")[:MOST]
        y, x = y[best], x[best]
        centre = np.stack([x, y], 1) + 0.5 + change[:2, y, x].T  # in cells, along edges
        size = np.exp(np.clip(change[2:, y, x].T, -4, 6))
        boxes = np.concatenate([centre - size / 2, size], 1)
        kept = suppress(boxes, logits[y, x], self.overlap)
        y, x = y[kept], x[kept]
        return boxes[kept], logits[y, x], (y, x)

    def find(self, ask: Ask, image: Array, least: float) -> tuple[Array, Array]:
        """Boxes (N, 4) in picture px and probabilities (N,) of at least ``least``, best first."""
        boxes, logits = self.judged(ask, image)
        score = probability(logits.astype(float), self.calibration)
        return boxes[score >= least], score[score >= least]
