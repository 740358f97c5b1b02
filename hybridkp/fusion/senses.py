"""A vote that notices when one of its senses has failed, and then asks those members that do without it.

Shapes: M members, each (B, K, 2) points and (B, K) scores; C sets of members.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.ensemble import ExtraTreesRegressor

from .. import memory
from ..datasets.splits import group_folds
from ..imaging.images import check_batch
from ..multimodal import broken, signs
from ..stats.calibration import logit
from ..structures import Array, InputError, as_batch, check_xy, senses_of
from .members import CAP, Members
from .votes import WeightedVote

_FOLDS = 3  #: one of which is drilled with
_FOREST: dict[str, Any] = {"n_estimators": 100, "min_samples_leaf": 3, "max_features": 0.5}


@dataclass(eq=False, repr=False)
class SenseGate(WeightedVote):
    """The weighted vote of all members, or of those alone that do without a sense, whichever will err less.

    In training each sense of held-out crops is broken on purpose (:func:`~hybridkp.multimodal.broken`:
    noise, zeros, little light; a sense beside the picture also by another object's).  A forest learns how
    much less, or more, each set of members errs than all of them, from what shows in the senses
    (:func:`~hybridkp.multimodal.signs`), how far the members lie apart, and how sure they are.

    Points are labelled in the picture: nobody can tell a picture of another object from depth of another, so
    the picture is believed.

    Parameters
    ----------
    members : sequence of (name, detector): give at least one that does without each sense
    cv, confidence, correlation, shrinkage : as of :class:`WeightedVote`
    margin : a set of members is preferred to all where the forest expects this much less error, in parts
        of the crop's longer side
    cap : parts of the crop's longer side; in the drill an error counts as at most this.  Give more where
        members that work err by as much
    random_state : of the drill and the forest

    Attributes
    ----------
    senses_ : list of modalities; sets_ : (C, M) bool, all members first, then each that may be asked instead
    forest_ : from numbers of a crop to (C - 1) differences of error, parts of the longer side; None of one
        member

    References
    ----------
    N. Neverova et al., ModDrop: adaptive multi-modal gesture recognition, TPAMI 38(8), 2016 (the idea of
    training with senses taken away; here a gate is trained so, and the members are not).
    """

    covariance: ClassVar[str] = "scalar"  # type: ignore[misc]
    spread: ClassVar[str] = "mean"  # type: ignore[misc]
    guard: ClassVar[bool] = False  # type: ignore[misc]

    members: Members
    cv: int = 2
    confidence: bool = True
    correlation: bool = True
    shrinkage: float = 0.3
    margin: float = 0.0
    cap: float = CAP
    random_state: int = 0

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> SenseGate:
        """The vote first, then the drill."""
        self._check_members()
        seen = [set(senses_of(detector)) for _, detector in self.members]
        self.senses_ = sorted(set().union(*seen))
        self.sets_ = _sets(seen, self.senses_)
        if len(self.senses_) > 1 and all(its == set(self.senses_) for its in seen):
            raise InputError(
                f"all members see {' and '.join(self.senses_)}: a gate needs one that does without a sense"
            )
        images = check_batch(images)
        super().fit(images, xy, groups=groups, flip=flip)
        self.forest_ = None
        if len(self.sets_) > 1:
            self._drill(images, check_xy(xy, len(images)), groups, flip)
        return self

    def _drill(self, images: Any, truth: Array, groups: Any, flip: Any) -> None:
        names = np.arange(len(images)) if groups is None else np.asarray(groups)
        train, test = next(iter(group_folds(names, _FOLDS)))
        models = [
            memory.fitted(detector, images[train], truth[train], groups=names[train], flip=flip)
            for _, detector in self.members
        ]
        side = max(images.shape[1:3])
        rows, losses = [], []
        for batch in self._drills(as_batch(images[test])):
            pairs = [model.predict_with_score(batch) for model in models]
            found, score = np.stack([p[0] for p in pairs]).astype(float), np.stack([p[1] for p in pairs])
            rows.append(self._signs(batch, found, score, side))
            losses.append(
                np.stack([self._loss(chosen, found, score, truth[test], side) for chosen in self.sets_])
            )
        loss = np.concatenate(losses, axis=1)
        forest = ExtraTreesRegressor(**_FOREST, random_state=self.random_state)
        self.forest_ = forest.fit(np.concatenate(rows), (loss[1:] - loss[0]).T)

    def _drills(self, batch: Any) -> Any:
        yield batch
        for name in self.senses_:
            for way in ("noise", "zeros", "dark" if name == "image" else "shuffled"):
                yield broken(batch, name, way, self.random_state)

    def _loss(self, chosen: Array, found: Array, score: Array, truth: Array, side: int) -> Array:
        """(B,) mean error of a set of members in parts of the side; each point's counts at most ``cap``."""
        xy, _ = self._vote_of(np.broadcast_to(chosen, (len(truth), len(chosen))), found, score)
        error = np.fmin(np.linalg.norm(xy - truth, axis=-1) / side, self.cap)  # no point: cap
        known = np.isfinite(truth[..., 0])
        return np.where(known, error, 0).sum(1) / np.maximum(known.sum(1), 1)

    def _signs(self, batch: Any, xy: Array, score: Array, side: int) -> Array:
        """(B, F) what the forest sees."""
        first, second = np.triu_indices(len(xy), 1)
        apart = np.nan_to_num(np.linalg.norm(xy[first] - xy[second], axis=-1) / side, nan=1.0).mean(-1).T
        sure = logit(score).mean(-1).T
        return np.column_stack([signs(as_batch(batch), tuple(self.senses_)), np.log(apart + 0.002), sure])

    def _vote_of(self, chosen: Array, xy: Array, score: Array) -> tuple[Array, Array]:
        """The vote of the members (B, M) that are asked about each crop; of all, where these give nothing."""
        asked = np.where(chosen.T[:, :, None, None], xy, np.nan)
        asked = np.where(np.expand_dims(np.isfinite(asked).all(-1).any(0), -1), asked, xy)
        return self._combine({name: getattr(self, f"{name}_") for name in self._learned}, asked, score)

    def trusted(self, images: Any) -> Array:
        """(B, M) bool: which members are asked about each crop."""
        batch, xy, score = self._ask(images)
        return self._trusted(batch, xy, score)

    def _trusted(self, batch: Any, xy: Array, score: Array) -> Array:
        if self.forest_ is None:
            return np.ones((len(batch), len(xy)), bool)
        rows = self._signs(batch, xy, score, max(self.size_hw_))
        gain = self.forest_.predict(rows).reshape(len(rows), -1)
        best = gain.argmin(1)
        worth = gain[np.arange(len(gain)), best] < -self.margin
        return self.sets_[np.where(worth, 1 + best, 0)]

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 points in crop px and (B, K) float32 scores."""
        batch, xy, score = self._ask(images)
        return self._vote_of(self._trusted(batch, xy, score), xy, score)

    def runtime_node(self) -> dict[str, Any]:
        raise InputError(
            f"SenseGate cannot be exported: exported detectors see pictures, it {' and '.join(self.senses_)}"
        )


def _sets(seen: list[set[str]], senses: list[str]) -> Array:
    """(C, M) bool: all members, then those that do with fewer senses, and each alone; each set once."""
    subsets = (
        {name for i, name in enumerate(senses) if bits >> i & 1} for bits in range(1, 2 ** len(senses))
    )
    tried = [tuple(its <= there for its in seen) for there in subsets]
    tried += [tuple(m == n for m in range(len(seen))) for n in range(len(seen))]
    everyone = (True,) * len(seen)
    return np.array(list(dict.fromkeys([everyone, *filter(any, tried)])))
