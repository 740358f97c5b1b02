"""What every combination does alike: parameters, fits and predictions of its members, and the guard.

The guard drops members that do not pay; it judges them, as everything here, by out-of-fold predictions.
No rule of combination lives here.  Shapes: M members, (M, B, K, 2) points and (M, B, K) scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .. import memory
from ..datasets.splits import group_folds
from ..imaging.images import check_batch
from ..structures import (
    Array,
    DetectorMixin,
    InputError,
    NamedMembers,
    OutOfFold,
    Stage,
    Voice,
    check_xy,
    stages_of,
    supports,
)

Members = Sequence[tuple[str, Any]]
Rule = dict[str, Any]  #: what a combination has learned, by name without the trailing underscore

GUARD_FOLDS = 3  #: of the predictions, while members are judged
CAP = 0.1  #: parts of the crop's longer side; an error counts as at most this when members are judged


class Combination(NamedMembers, DetectorMixin, BaseEstimator):
    """Fits members once, whoever else needs them (see :mod:`hybridkp.memory`)."""

    members: Members
    _step: ClassVar[str] = "all members together"  #: what people call it

    def _check_members(self) -> None:
        names = [name for name, _ in self.members]
        if not names or len(set(names)) != len(names):
            raise InputError(f"members need distinct names and at least one of them, got {names}")

    def _fit_members(
        self, images: Array, xy: Array, groups: Any, flip: Any, kept: Sequence[int] | None = None
    ) -> None:
        self._check_members()
        chosen = self.members if kept is None else [self.members[m] for m in kept]
        self.members_ = [
            memory.fitted(detector, images, xy, groups=groups, flip=flip) for _, detector in chosen
        ]
        self.size_hw_ = images.shape[1:3]

    def _ask(self, images: Any) -> tuple[Array, Array, Array]:
        check_is_fitted(self, "members_")
        images = check_batch(images, self.size_hw_)
        pairs = [member.predict_with_score(images) for member in self.members_]
        return images, np.stack([p[0] for p in pairs]).astype(float), np.stack([p[1] for p in pairs])

    def held(self) -> list[tuple[str, Any]]:
        """The members, by their names."""
        check_is_fitted(self, "members_")
        names = [name for name, _ in self.members]
        kept = getattr(self, "kept_", range(len(names)))
        return [(names[m], member) for m, member in zip(kept, self.members_, strict=True)]

    def voices(self, images: Any) -> list[Voice]:
        """What each member (that the guard kept) said, and how much it counted."""
        _, xy, score = self._ask(images)
        weight = self._counts(xy, score) if len(xy) > 1 else np.ones(score.shape)
        return [Voice(name, *each) for (name, _), *each in zip(self.held(), xy, weight, strict=True)]

    def _counts(self, xy: Array, score: Array) -> Array:
        """(M, B, K) how much each member counts, summing to 1: here all the same that said something."""
        given = np.isfinite(xy).all(-1)
        return given / np.maximum(given.sum(0), 1)

    def stages(self, images: Any) -> list[Stage]:
        """What all say together; before it, of a combination of one, the stages of that one."""
        before = stages_of(self.members_[0], images) if len(self.members_) == 1 else []
        return [*before, Stage(self._step, self.predict(images))]

    def _node(self, kind: str, *learned: str, **others: Any) -> dict[str, Any]:
        """A node of the members with what was ``learned``, by name without the trailing underscore."""
        members = [member.runtime_node() for member in self.members_]
        values = {name: getattr(self, f"{name}_") for name in learned}
        return {"kind": f"fusion.{kind}", "members": members, **values, **others}


class LearnedCombination(Combination):
    """A combination whose rule is learned from out-of-fold predictions; a subclass says how.

    ``_learn`` gives the rule as a dict with the names of :attr:`_learned`; each becomes an
    attribute with a trailing underscore.  ``_combine`` applies a rule.

    Attributes
    ----------
    kept_ : list of the members' positions that the guard kept; the rule is about these alone
    alone_ : 0 where the one member that is left is taken unchanged, else -1
    """

    cv: int
    guard: bool
    _learned: ClassVar[tuple[str, ...]] = ()
    _corrects: ClassVar[bool] = False  #: whether the rule moves the points of a single member too

    def _check_parameters(self) -> None:
        """Raise InputError for parameters that cannot be."""

    def _learn(self, prediction: Array, score: Array, truth: Array, groups: Any, side: int) -> Rule:
        """The rule from points (M, B, K, 2), scores (M, B, K) and truth (B, K, 2), crops ``side`` px long."""
        raise NotImplementedError

    def _combine(self, rule: Rule, xy: Array, score: Array) -> tuple[Array, Array]:
        """(B, K, 2) points and (B, K) scores."""
        raise NotImplementedError

    def combiner(
        self, xy: Array, score: Array, truth: Array, groups: Array, side: int
    ) -> Callable[[Array, Array], tuple[Array, Array]]:
        """The rule for predictions that are there already; see :class:`.CombinesPredictions`."""
        self._check_parameters()
        kept, alone = self._judged(xy, score, truth, groups, side)
        if alone >= 0:
            return lambda points, sure: (points[kept[alone]], sure[kept[alone]])
        rule = self._learn(xy[kept], score[kept], truth, groups, side)
        return lambda points, sure: self._combine(rule, points[kept], sure[kept])

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> Any:
        """Ask the members out of fold, drop those that do not pay, learn the rule, fit the rest."""
        self._check_members()
        self._check_parameters()
        images = check_batch(images)
        truth = check_xy(xy, len(images))
        prediction, score = self._out_of_fold(images, truth, groups, flip)
        rows = np.arange(len(images)) if groups is None else np.asarray(groups)
        side = max(images.shape[1:3])
        self.kept_, self.alone_ = self._judged(prediction, score, truth, rows, side)
        rule = self._learn(prediction[self.kept_], score[self.kept_], truth, rows, side)
        if "weights" in rule:  # for people to read: a row for every member
            weights = np.zeros((len(prediction), truth.shape[1]))
            weights[self.kept_] = rule["weights"]
            rule["weights"] = weights
        for name in self._learned:
            setattr(self, f"{name}_", rule[name])
        self._fit_members(images, truth, groups, flip, self.kept_)
        return self

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 points in crop px and (B, K) float32 scores."""
        _, xy, score = self._ask(images)
        if self.alone_ >= 0:
            return xy[self.alone_].astype(np.float32), score[self.alone_].astype(np.float32)
        return self._combine({name: getattr(self, f"{name}_") for name in self._learned}, xy, score)

    def _node(self, kind: str, *learned: str, **others: Any) -> dict[str, Any]:
        if self.alone_ >= 0:
            inside: dict[str, Any] = self.members_[self.alone_].runtime_node()
            return inside
        return super()._node(kind, *learned, **others)

    def _out_of_fold(self, images: Array, xy: Array, groups: Any, flip: Any) -> tuple[Array, Array]:
        def ask(detector: Any) -> tuple[Array, Array]:
            if supports(detector, OutOfFold):  # it works by folds itself: no folds within folds
                return detector.predict_out_of_fold(images, xy, groups=groups, flip=flip)
            return memory.out_of_fold(detector, images, xy, groups=groups, flip=flip, cv=self.cv)

        pairs = [ask(detector) for _, detector in self.members]
        return np.stack([p[0] for p in pairs]).astype(float), np.stack([p[1] for p in pairs])

    # ----------------------------------------------------------------------------------------
    # the guard
    # ----------------------------------------------------------------------------------------

    def _judged(
        self, prediction: Array, score: Array, truth: Array, groups: Array, side: int
    ) -> tuple[list[int], int]:
        """Positions of the members that stay; 0 where the one that is left is taken unchanged, else -1."""
        kept = list(range(len(prediction)))
        if self.guard and len(prediction) > 1:
            kept = self._worth_keeping(prediction, score, truth, groups, side)
        if self.guard and self._corrects:
            best = self._best_alone(kept, prediction, score, truth, groups, side)
            if best >= 0:
                return [kept[best]], 0
        return kept, -1

    def _worth_keeping(
        self, prediction: Array, score: Array, truth: Array, groups: Array, side: int
    ) -> list[int]:
        """Positions of the members that stay, by backward elimination.

        The member goes whose absence costs least, as long as that is no more than one standard
        error (over groups) of the paired difference: the one-standard-error rule of Breiman et al.
        1984, which prefers the smaller of two that cannot be told apart.  So a mostly wrong member
        cannot make the combination worse than its best member by more than noise.
        """
        kept = list(range(len(prediction)))
        loss = self._held_out_loss(kept, prediction, score, truth, groups, side)
        while len(kept) > 1:
            trials = [[m for m in kept if m != out] for out in kept]
            losses = [self._held_out_loss(t, prediction, score, truth, groups, side) for t in trials]
            costs = [mean_and_error(without - loss) for without in losses]
            best = int(np.argmin([mean for mean, _ in costs]))
            if costs[best][0] > costs[best][1]:
                break
            kept, loss = trials[best], losses[best]
        return kept

    def _held_out_loss(
        self, kept: list[int], prediction: Array, score: Array, truth: Array, groups: Array, side: int
    ) -> Array:
        """(G,) mean error of each group's points, by a rule learned on other groups; capped."""
        xy, confidence = prediction[kept], score[kept]
        found = np.empty(truth.shape)
        for train, test in group_folds(groups, GUARD_FOLDS):
            rule = self._learn(xy[:, train], confidence[:, train], truth[train], groups[train], side)
            found[test] = self._combine(rule, xy[:, test], confidence[:, test])[0]
        return group_loss(found, truth, groups, side)

    def _best_alone(
        self, kept: list[int], prediction: Array, score: Array, truth: Array, groups: Array, side: int
    ) -> int:
        """Which of the kept members is as good as the rule, by the same judgement; -1 for none."""
        loss = self._held_out_loss(kept, prediction, score, truth, groups, side)
        single = [group_loss(prediction[m], truth, groups, side) for m in kept]
        best = int(np.argmin([o.mean() for o in single]))
        gain, error = mean_and_error(single[best] - loss)
        return best if gain <= error else -1


def group_loss(found: Array, truth: Array, groups: Array, side: int, cap: float = CAP) -> Array:
    """(G,) mean error, px, of each group's points (B, K, 2), each counting as at most ``cap`` sides."""
    error = np.linalg.norm(found - truth, axis=-1)
    labelled = np.isfinite(truth[..., 0])
    error = np.where(labelled, np.minimum(np.nan_to_num(error, nan=np.inf), cap * side), 0.0)
    code = np.unique(groups, return_inverse=True)[1].reshape(-1)
    count = np.bincount(code, labelled.sum(1))
    total = np.bincount(code, error.sum(1))
    return total[count > 0] / count[count > 0]


def mean_and_error(values: Array) -> tuple[float, float]:
    """Mean of (G,) values and its standard error; with fewer than two no difference can be told."""
    if len(values) < 2:
        return 0.0, np.inf
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
