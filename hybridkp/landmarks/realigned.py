"""A second look at an object that stands as all others do: a first look's points lay it on the mean shape.

The learning; what is learned is applied in :mod:`.nodes.realigned`.  Shapes: crops (B, H, W[, 3]), points
(B, K, 2), scores (B, K).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..imaging.crops import move_batch
from ..imaging.geometry import apply_affine, invert_affine, middle_of, points_box
from ..imaging.images import check_batch
from ..memory import fitted, out_of_fold
from ..memory.budget import affordable
from ..structures import (
    MARGIN,
    Array,
    DetectorMixin,
    InputError,
    NamedMembers,
    Stage,
    check_whole,
    check_xy,
)
from .nodes.realigned import laid_on
from .preparing import checked_groups, some_rows
from .upright import upright_shape


@dataclass(eq=False, repr=False)
class Realigned(NamedMembers, DetectorMixin, BaseEstimator):
    """Detectors in a row: each further one sees the crop as the points before lay it on the mean shape.

    What boxes leave open, an object's turn, its size and its place, is settled by a first detector, which may
    be quick and coarse; those behind it see every object alike (as in the deep alignment network, Kowalski et
    al. 2017).  Departure: they are detectors of their own, each fitted by itself, on crops as the first one's
    out-of-fold points lay them.

    Parameters
    ----------
    members : sequence of (name, detector), two or more
    cv : folds in which the first one is asked about what it was not fitted on; 0: the labels lay the crops,
        which saves those fits and leaves what the first one errs by to the augmentation of networks behind it
    margin : side of the crop / longer side of the mean shape's box
    random_state : fixes which crops are learned from where memory does not hold all

    Attributes
    ----------
    members_ : the fitted detectors
    mean_ : (K, 2) the mean shape, in px of the crop

    Examples
    --------
    >>> from hybridkp import recipes
    >>> recipes.make_method("realigned(hog+ridge,heatmap[vary=0.5]:flip)").margin
    1.25
    """

    members: Sequence[tuple[str, Any]]
    cv: int = 2
    margin: float = MARGIN
    random_state: int = 0

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> Realigned:
        """Learn from crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled.

        Raises
        ------
        InputError
            For fewer than two members, one fold, and for a margin that is not from 0.5 to 4.
        """
        if len(self.members) < 2 or len({name for name, _ in self.members}) != len(self.members):
            raise InputError("realigned: needs two or more members, such as realigned(hog+ridge,heatmap)")
        if self.cv and check_whole(self.cv, "realigned: cv", 0) == 1:
            raise InputError("realigned: cv=1 leaves nothing to fit on; 0 lays crops by the labels")
        if not 0.5 <= self.margin <= 4:
            raise InputError(f"realigned: margin must lie in 0.5..4, got {self.margin}")
        images = check_batch(images)
        truth = check_xy(xy, len(images))
        names = checked_groups(groups, len(truth))
        self.size_hw_ = tuple(images.shape[1:3])
        first, *others = (detector for _, detector in self.members)
        self.members_ = [fitted(first, images, truth, groups=names, flip=flip)]
        size = float(np.prod(images.shape[1:]))  # bytes
        rng = np.random.default_rng(self.random_state)
        rows = some_rows(truth, affordable(len(truth), 2 * size, "realigned"), rng)
        guess = truth
        if self.cv:
            guess, _ = out_of_fold(first, images, truth, groups=names, flip=flip, cv=self.cv)
        guess, truth, names = guess[rows], truth[rows], names[rows]
        self.mean_ = framed(upright_shape(truth), self.size_hw_, self.margin)
        laid = laid_on(self.mean_, guess)
        moved, points = move_batch(images[rows], list(laid)), apply_affine(laid, truth)
        self.members_ += [fitted(other, moved, points, groups=names, flip=flip) for other in others]
        return self

    def _looks(self, images: Any) -> Iterator[tuple[Array, Array]]:
        """Points and scores of each member in turn, in px of the crops as they are."""
        check_is_fitted(self, "members_")
        images = check_batch(images, self.size_hw_)
        xy, score = self.members_[0].predict_with_score(images)
        yield xy, score
        for other in self.members_[1:]:
            laid = laid_on(self.mean_, xy)
            found, score = other.predict_with_score(move_batch(images, list(laid)))
            xy = apply_affine(invert_affine(laid), found).astype(np.float32)
            yield xy, score

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px and (B, K) float32 in 0..1: the last member's."""
        return list(self._looks(images))[-1]

    def held(self) -> list[tuple[str, Any]]:
        """The members, by their names."""
        check_is_fitted(self, "members_")
        return [(name, member) for (name, _), member in zip(self.members, self.members_, strict=True)]

    def stages(self, images: Any) -> list[Stage]:
        """What each member said."""
        names = [name for name, _ in self.members]
        return [Stage(name, xy) for name, (xy, _) in zip(names, self._looks(images), strict=True)]

    def runtime_node(self) -> dict[str, Any]:
        return {
            "kind": "landmarks.realigned",
            "members": [member.runtime_node() for member in self.members_],
            "mean": self.mean_,
        }


def framed(shape: Array, size_hw: tuple[int, int], margin: float) -> Array:
    """A shape (K, 2) in the middle of a crop, whose shorter side is ``margin`` times its box's longer one."""
    box = points_box(shape)
    longer = float(box[2:].max())
    scale = min(size_hw) / (margin * longer) if longer > 0 else 1.0
    return middle_of(size_hw) + scale * (shape - (box[:2] - 0.5 + box[2:] / 2))
