"""Methods that begin with a whole picture and not with crops: all objects at once, then steps on each crop.

Pictures (h, w[, 3]) come in, instances with points in picture px go out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from ..datasets.splits import group_folds
from ..imaging.geometry import apply_affine
from ..imaging.images import as_uint8, check_batch
from ..metrics.boxes import box_overlap
from ..structures import (
    MARGIN,
    Array,
    Batch,
    DetectorMixin,
    InputError,
    Instance,
    Sample,
    check_xy,
    predict_all,
)
from .picture_points import learned_from, mean_shape
from .picture_steps import cut_start, stepped

SAME = 0.5  #: overlap from which on a found object is a labelled one
START = "start"  #: the modality of crops in which a chain of steps is given its points


class GivenStart(DetectorMixin, BaseEstimator):
    """The detector in front of the steps of a whole-picture method: the points that come with the crops.

    They are the modality "start" (B, K, 2) of a :class:`~hybridkp.structures.Batch`, in crop px.
    """

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> GivenStart:
        """Nothing to learn."""
        images = check_batch(images)
        self.n_points_ = check_xy(xy, len(images)).shape[1]
        self.size_hw_ = (int(images.shape[1]), int(images.shape[2]))
        return self

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 as given, and scores (B, K) of one half."""
        if not isinstance(images, Batch) or START not in images.modalities:
            raise InputError("steps of a whole-picture method need the points that they begin with")
        xy = np.asarray(images[START], np.float32)
        return xy, np.full(xy.shape[:2], 0.5, np.float32)

    def predict_out_of_fold(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> tuple[Array, Array]:
        """As given: who gives them has worked by folds."""
        return self.predict_with_score(images)

    def runtime_node(self) -> dict[str, Any]:
        return {"kind": "detection.given_start", "n_points": self.n_points_}


@dataclass(eq=False, repr=False)
class WholePicture(BaseEstimator):
    """A network of whole pictures and, behind it, steps on the crop of each object.

    Parameters
    ----------
    start : a :class:`~hybridkp.structures.PictureDetector` with ``fit(samples, skeleton=, flip=)``
    detector : of crops, a chain of steps that begins with :class:`GivenStart`; None: the points as they are
    size_hw, margin : of the crops
    min_score : objects whose score is lower are left out
    cv : folds that give the steps their starts, so that these are as wrong as on new pictures
    random_state : of the folds; the parts have their own

    Attributes
    ----------
    start_, detector_ : fitted
    mean_ : (K, 2) mean shape, from which a landmark that the start left out is filled in for the steps

    Notes
    -----
    Without steps a landmark that was not found is NaN.  With steps every landmark has a place.
    """

    start: Any
    detector: Any = None
    size_hw: tuple[int, int] = (128, 128)
    margin: float = MARGIN
    min_score: float = 0.5
    cv: int = 2
    random_state: int = 0

    @property
    def size_hw_(self) -> tuple[int, int]:
        """(h, w) of the crops."""
        return int(self.size_hw[0]), int(self.size_hw[1])

    def fit(
        self, samples: Iterable[Sample], *, skeleton: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> WholePicture:
        """Learn from whole pictures; see the start for what it asks of them.

        Raises
        ------
        InputError
            When no object has points, or a landmark is labelled nowhere.  With steps, for pictures of one
            group only, and where the start finds no object of its own training pictures when these are held
            out.
        """
        samples, shapes = learned_from(samples)
        self.mean_ = mean_shape(shapes)
        facts: dict[str, Any] = {"skeleton": skeleton, "flip": flip}
        if self.detector is not None:
            crops, xy, groups = self._crops(samples, self._found(samples, facts))
            self.detector_ = clone(self.detector).fit(crops, xy, groups=groups, flip=flip)
        self.start_ = clone(self.start).fit(samples, **facts)
        return self

    def _found(self, samples: Sequence[Sample], facts: dict[str, Any]) -> list[list[Instance]]:
        """What clones of the start find in the pictures that they did not see."""
        groups = [s.group for s in samples]
        if len(set(groups)) < 2:
            raise InputError(
                "steps learn from pictures that were held out: give pictures of two groups at least"
            )
        found: list[list[Instance]] = [[] for _ in samples]
        for taught, held_out in group_folds(groups, self.cv, self.random_state):
            model = clone(self.start).fit([samples[i] for i in taught], **facts)
            for i in held_out:
                found[i] = model.detect(samples[i].image, name=samples[i].name)
        return found

    def _crops(
        self, samples: Sequence[Sample], found: Sequence[list[Instance]]
    ) -> tuple[Batch, Array, Array]:
        """Crops of the labelled objects that were found, with their starts; points (B, K, 2), groups (B,)."""
        rows: list[tuple[Sample, Instance, Instance]] = []
        for sample, seen in zip(samples, found, strict=True):
            true = [i for i in sample.instances if not i.ignore and np.isfinite(i.xy).any()]
            overlap = box_overlap([i.box_xywh for i in seen], [i.box_xywh for i in true])
            if overlap.size:
                which = overlap.argmax(1)
                rows += [
                    (sample, seen[n], true[which[n]]) for n in np.flatnonzero(overlap.max(1) >= SAME).tolist()
                ]
        if len(rows) < 2:
            raise InputError(
                "the network finds hardly any object in pictures that were held out, so that its steps have"
                " nothing to learn from: train it longer, or on more pictures"
            )
        images, starts, xy = [], [], []
        for sample, each, labelled in rows:
            crop, start, matrix = self._cut(as_uint8(sample.image, sample.name), each)
            images.append(crop)
            starts.append(start)
            xy.append(apply_affine(matrix, labelled.xy))
        batch = Batch({"image": np.stack(images), START: np.stack(starts).astype(np.float32)})
        return batch, np.stack(xy), np.array([sample.group for sample, _, _ in rows])

    def _cut(self, image: Array, found: Instance) -> tuple[Array, Array, Array]:
        return cut_start(image, found, self.mean_, self.size_hw_, self.margin)

    def at_least(self, min_score: float | None) -> WholePicture:
        """The same with another ``min_score``; None: as it is."""
        if min_score is None:
            return self
        other = copy(self)
        other.min_score = min_score
        return other

    def detect(self, image: Any, *, name: str = "") -> list[Instance]:
        """The objects of a picture (h, w[, 3]), best first.

        With steps ``score`` is the start's times the mean of the points', as of
        :class:`.TopDown`.
        """
        check_is_fitted(self, "start_")
        image = as_uint8(image, name or "picture")
        found = [i for i in self.start_.detect(image, name=name) if i.score >= self.min_score]
        if self.detector is None:
            return found
        return [self._stepped(image, each) for each in found]

    def _stepped(self, image: Array, found: Instance) -> Instance:
        crop, start, matrix = self._cut(image, found)
        batch = Batch({"image": crop[None], START: start[None].astype(np.float32)})
        return stepped(found, predict_all(self.detector_, batch)[0], matrix)

    def runtime_node(self) -> dict[str, Any]:
        check_is_fitted(self, "start_")
        steps = None if self.detector is None else {"detector": self.detector_.runtime_node()}
        return {
            "kind": "detection.whole_picture",
            "start": self.start_.runtime_node(),
            "steps": steps,
            "mean": self.mean_,
            "size_hw": list(self.size_hw_),
            "margin": float(self.margin),
            "min_score": float(self.min_score),
        }
