"""Top-down detection: a finder says where the objects are, a detector finds each one's landmarks.

Pictures (h, w[, 3]) come in, instances with points in picture px go out.  Nothing is fitted here, and no
file is read.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..imaging.crops import batch_of_one, crop_scale, predict_in_box, usable_box
from ..imaging.geometry import points_box
from ..imaging.images import as_uint8
from ..metrics.boxes import box_overlap
from ..structures import (
    MARGIN,
    Array,
    DataWarning,
    Finder,
    Instance,
    Parameters,
    Prediction,
    predict_all,
)
from .boxes_math import corrected

TRUST = 4  #: power of a look's score by which it counts
SAME = 0.5  #: overlap of the found box and the one around the points, below which the points are not trusted


@dataclass(eq=False, repr=False)
class TopDown(Parameters):
    """A finder and a detector of crops as one detector of whole pictures.

    Parameters
    ----------
    finder : see :class:`~hybridkp.structures.Finder`
    detector : of crops; one crop is asked about at a time.  What it knows besides points and scores, such
        as :class:`~hybridkp.structures.Visibility` and :class:`~hybridkp.structures.Presence`, the instances
        say too.
    size_hw : of the crops; None = those that the detector was fitted on (``size_hw_``)
    margin : crop side / box side
    min_score : boxes whose score is lower are left out
    rebox : (4,) from the box of an object's points to its own, as
        :func:`~hybridkp.detection.boxes_math.corrections` has it; each object is then looked at twice, in the
        box that was found and in the one around the points that were seen there, and is the mean of the two.
        None: once

    Examples
    --------
    ``TopDown(BoxesGiven(), model).detect(image)`` takes the whole picture as one object.
    """

    finder: Finder
    detector: Any
    size_hw: tuple[int, int] | None = None
    margin: float = MARGIN
    min_score: float = 0.5
    rebox: Array | None = None

    @property
    def size_hw_(self) -> tuple[int, int]:
        """(h, w) of the crops."""
        height, width = self.detector.size_hw_ if self.size_hw is None else self.size_hw
        return int(height), int(width)

    def at_least(self, min_score: float | None) -> TopDown:
        """The same with another ``min_score``; None: as it is."""
        if min_score is None:
            return self
        return TopDown(self.finder, self.detector, self.size_hw, self.margin, min_score, self.rebox)

    def detect(self, image: Any, *, name: str = "") -> list[Instance]:
        """The objects of a picture.

        Parameters
        ----------
        image : (h, w[, 3]), or modality -> array of that height and width, with "image" among them
        name : the picture's, for finders that look boxes up, and for messages

        Returns
        -------
        list of Instance, in the finder's order.  ``score`` is the box's times the mean of the points';
        a point that the detector takes for hidden keeps its place, with visibility 1.  A box wholly
        outside the picture is left out with a :class:`~hybridkp.structures.DataWarning`, one without
        area stands for the whole picture.
        """
        if isinstance(image, Mapping):
            shown = as_uint8(image["image"], name or "picture")
            image = {**image, "image": shown}
        else:
            image = shown = as_uint8(image, name or "picture")
        found, scores = self.finder.find(shown, name=name)
        found, scores = found[scores >= self.min_score], scores[scores >= self.min_score]
        boxes = [usable_box(box, shown.shape[:2])[0] for box in found]
        if any(box is None for box in boxes):
            warnings.warn(f"{name}: a box outside the picture is left out", DataWarning, stacklevel=2)
        pairs = zip(boxes, scores, strict=True)
        return [self._twice(image, box, float(score)) for box, score in pairs if box is not None]

    def _twice(self, image: Any, box: Array, score: float) -> Instance:
        """The object in a found box, and again in the one around its points, where they are much the same."""
        first = self.in_box(image, box, score)
        if self.rebox is None or not np.isfinite(first.xy).any():
            return first
        around = points_box(first.xy)[None]
        around = corrected(np.append(around[:, :2], np.maximum(around[:, 2:], 1.0), 1), self.rebox[None])
        if box_overlap(around, box)[0, 0] < SAME:
            return first
        return _mean(first, self.in_box(image, around[0], score))

    def in_box(self, image: Any, box: Array, score: float = 1.0) -> Instance:
        """The object in a box (4,) that shares something with the picture; ``score`` is the box's own."""
        xy, found = predict_in_box(self._predict, image, box, self.size_hw_, self.margin)
        return found.instance(xy, box, crop_scale(box, self.size_hw_, self.margin), score)

    def _predict(self, crop: Any) -> tuple[Array, Prediction]:
        """Points (K, 2) of one crop, and all that is known of it."""
        found = predict_all(self.detector, batch_of_one(crop))[0]
        return found.xy, found

    def runtime_node(self) -> dict[str, Any]:
        return {
            "kind": "detection.top_down",
            "finder": self.finder.runtime_node(),  # type: ignore[attr-defined]
            "detector": self.detector.runtime_node(),
            "size_hw": list(self.size_hw_),
            "margin": float(self.margin),
            "min_score": float(self.min_score),
            "rebox": self.rebox,
        }


def _mean(first: Instance, again: Instance) -> Instance:
    """Two looks at an object, weighed by the power :data:`TRUST` of their scores; the rest is the second's.

    A point that one of them lacks is the other's.
    """
    weight = np.maximum([first.score, again.score], 1e-6) ** TRUST
    share = float(weight[1] / weight.sum())

    def both(one: Any, other: Any) -> Any:
        if one is None or other is None:
            return other
        mean = (1 - share) * np.asarray(one) + share * np.asarray(other)
        return np.where(np.isnan(one), other, np.where(np.isnan(other), one, mean))

    presence = both(first.presence, again.presence)
    return replace(
        again,
        xy=both(first.xy, again.xy),
        box_xywh=first.box_xywh,
        area=first.area,
        score=float(both(first.score, again.score)),
        keypoint_scores=both(first.keypoint_scores, again.keypoint_scores),
        presence=None if presence is None else float(presence),
    )
