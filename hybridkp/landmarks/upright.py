"""Objects at any angle: a rule says the turn of a crop, the detector sees the crop upright.

The learning; what is learned is applied in :mod:`.nodes.upright`.  Shapes: crops (B, H, W[, 3]), points
(B, K, 2), scores (B, K).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from ..imaging.crops import move_batch
from ..imaging.geometry import (
    about_middle,
    apply_affine,
    flip_image,
    flip_points,
    points_box,
    rotation_about,
    similarity,
)
from ..imaging.images import check_batch, check_crops, crops_to_grey
from ..memory import fitted
from ..memory.budget import affordable
from ..structures import (
    Array,
    DetectorMixin,
    InputError,
    Prediction,
    check_xy,
    predict_all,
)
from .nodes.upright import APART, TurnRule, nearest_turn
from .polar import correlation_filter, polar_row
from .preparing import checked_flip, checked_groups, group_parts, some_rows
from .presence import WithPresence

FOLDS = 5
TURNED = 0.5  #: of the crops that the detector learns from
ROUNDS = 5  #: of laying shapes over their mean
WIDTH = 3.0  #: directions; of the bump that the rule's answer is to be
NEAR = 30.0  #: degrees; a turn that is off by more is none that the detector can mend


@dataclass(eq=False, repr=False)
class Upright(DetectorMixin, BaseEstimator):
    """A detector for objects at any angle, of one that sees them upright.

    A rule says by how much the crop's object is turned; the crop is turned back, the detector is asked, and
    its points are turned forth.  Where the rule is unsure, further turns are tried, and the one that is best
    by the rule and by the presence that the detector tells there counts.

    Upright is what most training objects are: each one's turn is that of its points against their mean
    shape, so that no further labels are needed; objects with fewer than two labelled points are left out.
    The rule is a correlation filter over gradient channels on rings about the crop's middle (:mod:`.polar`):
    one linear template, compared at all turns at once.  The detector learns from crops as the rule will show
    them: turned by as much as it is off where it was left out, half of them with corners that have been
    turned out of sight.

    Parameters
    ----------
    detector : Detector, unfitted; cloned, never changed.  One that tells presence (:class:`.WithPresence`)
        mends most turns of which the rule is wrong; it then counts objects that are turned as none
    turns : degrees to either side that objects may be turned by, 180 for any direction
    least : degrees; an object that seems turned by less is left as it is, which costs no turn of the crop
    penalty : ridge of the rule, in units of its rows' mean power
    max_pictures : training crops that the rule learns from, a random part of them
    random_state : int

    Attributes
    ----------
    detector_ : the fitted detector, of upright crops
    filter_, centre_ : of the rule, see :class:`.nodes.upright.TurnRule`
    off_ : (B,) degrees by which the rule was off on training crops that it had not seen

    Examples
    --------
    >>> from hybridkp.checks import make_problem
    >>> from hybridkp.landmarks import HolisticRegressor
    >>> images, xy, groups, flip = make_problem(40)
    >>> model = Upright(HolisticRegressor()).fit(images, xy, groups=groups)
    >>> upside_down = np.ascontiguousarray(images[:, ::-1, ::-1])
    >>> off = np.linalg.norm(63 - model.predict(upside_down) - xy, axis=2)
    >>> bool(np.median(off) < 3)
    True
    """

    detector: Any
    turns: float = 180.0
    least: float = 15.0
    penalty: float = 0.01
    max_pictures: int = 1000
    random_state: int = 0

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> Upright:
        """Learn from crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled.

        Raises
        ------
        InputError
            For ``turns`` that are not above 0 and at most 180, a ``least`` that is not from 0 to ``APART``,
            a ``penalty`` that is not positive, fewer than two ``max_pictures``, and a single landmark, which
            has no direction.
        """
        if not 0 < self.turns <= 180 or not self.penalty > 0 or self.max_pictures < 2:
            raise InputError("upright: turns must be in (0, 180], penalty positive, max_pictures 2 or more")
        if not 0 <= self.least <= APART:
            raise InputError(f"upright: least must be in 0..{APART:g} degrees, got {self.least}")
        images = check_batch(images)
        truth = check_xy(xy, len(images))
        if truth.shape[1] < 2:
            raise InputError("upright: one landmark has no direction; leave the step out")
        names = checked_groups(groups, len(truth))
        flip = None if flip is None else checked_flip(flip, truth.shape[1])
        rng = np.random.default_rng(self.random_state)
        size = float(np.prod(images.shape[1:]))  # bytes
        rows = some_rows(truth, affordable(len(truth), 3 * size, "upright"), rng)
        images, truth, names = images[rows], truth[rows], names[rows]
        self.size_hw_ = tuple(images.shape[1:3])
        told = np.array([points_box(points)[2:].max() > 0 for points in truth])
        if not told.any():
            raise InputError("upright: no object has two labelled points, which would say its direction")
        images, truth, names = images[told], truth[told], names[told]
        mean = upright_shape(truth)
        lie = turns_against(mean, truth)
        shown = rng.uniform(-self.turns, self.turns, len(truth)) * (rng.random(len(truth)) < TURNED)
        turned = turned_batch(images, shown)
        other = None if flip is None else turns_against(mean, flip_points(truth, self.size_hw_[1], flip))
        seen_as = nearest_turn(self._learn_rule(images, turned, lie, shown, names, other, rng))
        back = np.where(np.abs(seen_as) < self.least, 0.0, -seen_as)
        seen, change = turned_batch(turned, back), shown + back
        points = apply_affine([about_middle(self.size_hw_, d) for d in change], truth)
        detector = clone(self.detector)
        for part in (detector, *detector.get_params().values()):
            if isinstance(part, WithPresence):
                part.set_params(upright=True)
        self.detector_ = fitted(detector, seen, points, groups=names, flip=flip)
        return self

    def _learn_rule(
        self,
        images: Any,
        turned: Any,
        lie: Array,
        shown: Array,
        names: Array,
        mirrored: Array | None,
        rng: np.random.Generator,
    ) -> Array:
        """The rule, and (B,) by how much it says that crops ``turned`` by ``shown`` degrees are turned.

        Each is left out by its group.  Where the rule fails, another crop's error takes the place.
        Objects of ``images`` are turned by ``lie`` (B,), those of their mirror images by ``mirrored``.
        """
        learned = np.sort(rng.permutation(len(lie))[: self.max_pictures])
        greys = crops_to_grey(check_crops(images[learned]))
        parts = [(np.stack([polar_row(grey) for grey in greys]), lie[learned])]
        if mirrored is not None:
            parts.append((np.stack([polar_row(flip_image(grey)) for grey in greys]), mirrored[learned]))
        seen = np.stack([polar_row(grey) for grey in crops_to_grey(check_crops(turned))])
        parts.append((seen[learned], (lie + shown)[learned]))
        fold = group_parts(names.astype(str), FOLDS, rng)
        told = np.empty(len(lie))
        for i in np.unique(fold):
            left_out = fold == i
            kept = ~left_out[learned] if fold.any() else left_out[learned]
            kept = kept if kept.any() else ~kept
            rule = TurnRule(*self._rule([(rows[kept], degrees[kept]) for rows, degrees in parts]), self.turns)
            told[left_out] = [rule.told(row)[0].degrees for row in seen[left_out]]
        self.filter_, self.centre_ = self._rule(parts)
        self.off_ = nearest_turn(told - (lie + shown))
        near = np.abs(self.off_) <= NEAR
        others = rng.choice(self.off_[near] if near.any() else np.zeros(1), len(lie))
        return lie + shown + np.where(near, self.off_, others)

    def _rule(self, parts: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
        """Filter (A, C) and centre (C,)."""
        rows, degrees = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        centre = rows.mean(axis=(0, 1))
        return correlation_filter(rows - centre, degrees, WIDTH, self.penalty), centre

    def predict_all(self, images: Any) -> Prediction:
        """All that the detector says, of crops as they are."""
        check_is_fitted(self, "detector_")
        images = check_batch(images, self.size_hw_)
        rule = TurnRule(self.filter_, self.centre_, self.turns, self.least)

        def ask(rows: Sequence[int], degrees: Sequence[float]) -> list[Prediction]:
            found = predict_all(self.detector_, turned_batch(images[np.asarray(rows)], np.asarray(degrees)))
            return [found[i] for i in range(len(rows))]

        return Prediction.stacked(rule.look(list(crops_to_grey(check_crops(images))), ask))

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px and (B, K) float32 in 0..1."""
        found = self.predict_all(images)
        return found.xy, found.score

    def predict_with_presence(self, images: Any) -> tuple[Array, Array, Array | None]:
        """Points (B, K, 2), scores (B, K) and presence (B,), None of a detector that does not tell it."""
        found = self.predict_all(images)
        return found.xy, found.score, found.presence

    def held(self) -> list[tuple[str, Any]]:
        """The detector of upright crops."""
        return [("upright", self.detector_)]

    def runtime_node(self) -> dict[str, Any]:
        return {
            "kind": "landmarks.upright",
            "detector": self.detector_.runtime_node(),
            "filter": self.filter_,
            "centre": self.centre_,
            "turns": float(self.turns),
            "least": float(self.least),
        }


def upright_shape(truth: Array) -> Array:
    """(K, 2) mean of shapes (B, K, 2), NaN = not labelled, laid over each other; it stands as most do."""
    mean = truth[int(np.isfinite(truth[..., 0]).sum(axis=1).argmax())]
    for _ in range(ROUNDS):
        mean = np.nanmean(apply_affine(similarity(truth, mean), truth), axis=0)
    usual = np.exp(1j * np.deg2rad(turns_against(mean, truth))).mean()
    return apply_affine(rotation_about((0, 0), np.angle(usual, deg=True)), mean)


def turns_against(mean: Array, truth: Array) -> Array:
    """(B,) degrees, clockwise, by which shapes (B, K, 2) are turned against their upright mean (K, 2)."""
    maps = similarity(mean, truth)
    return np.rad2deg(np.arctan2(maps[..., 1, 0], maps[..., 0, 0]))


def turned_batch(images: Any, degrees: Array) -> Any:
    """Crops, of all modalities, turned by (B,) degrees, clockwise on screen."""
    size_hw = (int(images.shape[1]), int(images.shape[2]))
    return move_batch(images, [about_middle(size_hw, float(each)) for each in degrees])
