"""What a network of whole pictures says, read as objects with points: part fields, or centres with offsets.

NumPy and OpenCV only: the network itself runs elsewhere.  A picture (h, w[, 3]) uint8 comes in, instances
with points in picture px go out, best first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..imaging.geometry import apply_affine, invert_affine, points_box, rescale, similarity
from ..stats.calibration import probability
from ..structures import Array, Instance, short_repr
from .boxes_math import suppress
from .centre_maps import STRIDE, CentreReader, map_boxes, square_of
from .part_fields import find_peaks, group

Maps = Callable[[Array], tuple[Array, ...]]  #: square (S, S[, 3]) -> the network's outputs
LEAST = 0.02  #: objects of a lower score are not given


def completed(xy: Array, mean: Array) -> Array:
    """Points (K, 2) with NaN filled in from the mean shape (K, 2), laid over the others by a similarity map.

    >>> mean = np.array([[0.0, 0], [10, 0], [10, 10]])
    >>> completed(np.array([[1.0, 1], [np.nan, np.nan], [21, 21]]), mean).round(6).tolist()
    [[1.0, 1.0], [21.0, 1.0], [21.0, 21.0]]
    """
    missing = ~np.isfinite(xy).all(1, keepdims=True)
    if not missing.any():
        return xy
    return np.where(missing, apply_affine(similarity(mean, xy), mean), xy)


def around(xy: Array, grow: Array) -> Array:
    """The box (4,) of points (K, 2), its sides grown by the factors (2,); at least a px."""
    box = points_box(xy)
    side = np.maximum(box[2:] * grow, 1.0)
    return np.concatenate([box[:2] + box[2:] / 2 - side / 2, side])


@dataclass(frozen=True, eq=False)
class FieldReader:
    """Heat maps and part affinity fields as objects.

    Parameters
    ----------
    side, color : of the square that the network sees
    skeleton : (L, 2), the limbs of the fields, those of a tree first
    mean : (K, 2) mean shape, for the box of what is not seen whole
    grow : (2,) sides of an object's box / of its points' box
    least_height : of a peak
    least_part : of the landmarks, that an object must show
    overlap : of two objects' boxes, above which the better one stays
    calibration : (2,) from the log-odds of heights and limbs to the probability of an object
    """

    side: int
    color: bool
    skeleton: Array
    mean: Array
    grow: Array
    least_height: float
    least_part: float
    overlap: float
    calibration: tuple[float, float] = (1.0, 0.0)

    __repr__ = short_repr

    def judged(self, ask: Maps, image: Array) -> tuple[Array, Array, Array, Array]:
        """Points (N, K, 2) in picture px with NaN, their heights (N, K), boxes (N, 4) and log-odds (N,)."""
        square, matrix = square_of(image, self.side, self.color)
        fields, maps = ask(square)
        k = len(maps)
        found = group(
            find_peaks(maps, self.least_height),
            fields.reshape(len(self.skeleton), 2, *maps.shape[1:]),
            self.skeleton,
            k,
        )
        enough = np.isfinite(found.xy[..., 0]).sum(1) >= max(2, self.least_part * k)
        xy, score, raw = (values[enough] for values in found)
        xy = apply_affine(invert_affine(matrix), rescale(xy, STRIDE).reshape(-1, 2)).reshape(xy.shape)
        boxes = np.reshape([around(completed(each, self.mean), self.grow) for each in xy], (-1, 4))
        raw = np.clip(raw, 1e-3, 1 - 1e-3)
        kept = suppress(boxes, raw, self.overlap)
        odds = np.log(raw / (1 - raw))
        return xy[kept], score[kept], boxes[kept], odds[kept]

    def detect(self, ask: Maps, image: Array) -> list[Instance]:
        """The objects of a picture."""
        xy, height, boxes, odds = self.judged(ask, image)
        return _instances(xy, height, boxes, probability(odds, self.calibration))


@dataclass(frozen=True)
class OffsetReader:
    """Centres with a box and K offsets each, in sides of that box, as objects."""

    centres: CentreReader

    def detect(self, ask: Maps, image: Array) -> list[Instance]:
        """The objects of a picture."""
        square, matrix = square_of(image, self.centres.side, self.centres.color)
        offsets, change, centre = ask(square)
        boxes, logits, (y, x) = self.centres.peaks(centre[0], change)
        share = np.moveaxis(offsets.reshape(-1, 2, *centre.shape[1:])[:, :, y, x], 2, 0)  # (N, K, 2)
        middle = boxes[:, :2] + boxes[:, 2:] / 2
        edges = STRIDE * (middle[:, None] + share * boxes[:, None, 2:])
        back = invert_affine(matrix)
        xy = apply_affine(back, edges.reshape(-1, 2) - 0.5).reshape(edges.shape)
        score = probability(logits.astype(float), self.centres.calibration)
        sure = np.repeat(score[:, None], xy.shape[1], 1)
        return _instances(xy, sure, map_boxes(back, STRIDE * boxes), score)


def _instances(xy: Array, sure: Array, boxes: Array, score: Array) -> list[Instance]:
    shown = np.flatnonzero(score >= LEAST)
    return [
        Instance(
            xy[i],
            box_xywh=boxes[i],
            area=float(boxes[i, 2] * boxes[i, 3]),
            score=float(score[i]),
            keypoint_scores=sure[i],
        )
        for i in shown[np.argsort(-score[shown], kind="stable")]
    ]
