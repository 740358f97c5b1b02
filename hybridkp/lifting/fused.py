"""Several lifters as one: their mean, or weights for each landmark learned out of fold.

Members are unfitted lifters; poses (B, K, 3) relative to a root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone

from ..datasets import group_folds
from ..structures import Array, InputError
from ..structures.base import evenly
from .rows import check_pairs

STACKED_ON = 1500  #: poses that weights are learned on, evenly chosen


@dataclass(eq=False, repr=False)
class FusedLifter(BaseEstimator):
    """The weighted mean of lifters.

    Parameters
    ----------
    members : unfitted lifters of one root
    rule : "average" (equal weights), or "stack": weights that are not negative and sum to 1, for each
        landmark, of least squared error on poses of groups that the members did not see
    cv : folds of "stack"
    """

    members: Sequence[Any]
    rule: str = "stack"
    cv: int = 3

    def fit(self, xy: ArrayLike, xyz: ArrayLike, *, groups: ArrayLike | None = None) -> Any:
        """Learn from (B, K, 2) px and (B, K, 3); no fold cuts a group (B,)."""
        if self.rule not in ("average", "stack") or not len(self.members):
            raise InputError(f"a fused lifter needs members and a rule average or stack, not {self.rule!r}")
        roots = {m.root for m in self.members}
        if len(roots) > 1:
            raise InputError(f"members with several roots {sorted(roots)}: give them one")
        points, space = np.asarray(xy, float), np.asarray(xyz, float)
        _, target = check_pairs(points, space, roots.pop())
        k = points.shape[1]
        self.weights_ = np.full((len(self.members), k), 1 / len(self.members))
        if self.rule == "stack" and len(self.members) > 1:
            whole = np.isfinite(points).all((1, 2)) & np.isfinite(space).all((1, 2))
            names = np.arange(len(points)) if groups is None else np.asarray(groups)
            rows = evenly(len(target), STACKED_ON)
            chosen = np.flatnonzero(whole)[rows]
            parts = points[chosen], space[chosen], names[chosen]
            self.weights_ = _weights(out_of_fold(self.members, *parts, self.cv), target[rows])
        self.members_ = [clone(m).fit(points, space) for m in self.members]
        return self

    def predict(self, xy: ArrayLike) -> Array:
        """(B, K, 3) relative to the members' root."""
        said = np.stack([m.predict(xy) for m in self.members_])
        return np.asarray((self.weights_[:, None, :, None] * said).sum(0))


def out_of_fold(
    members: Sequence[Any], xy: Array, xyz: Array, groups: Array, cv: int = 3, random_state: int = 0
) -> Array:
    """(M, B, K, 3) what clones say of poses whose groups they did not see."""
    out = np.full((len(members), *xyz.shape), np.nan)
    for train, test in group_folds(groups, min(cv, len(set(groups.tolist()))), random_state):
        for i, member in enumerate(members):
            out[i, test] = clone(member).fit(xy[train], xyz[train]).predict(xy[test])
    return out


def _weights(said: Array, target: Array) -> Array:
    """(M, K) of each landmark, by least squares on the simplex (an extra row holds the sum at 1)."""
    from scipy.optimize import nnls

    m, _, k, _ = said.shape
    out = np.full((m, k), 1 / m)
    for i in range(k):
        rows, wanted = said[:, :, i].reshape(m, -1).T, target[:, i].ravel()
        if np.abs(wanted).max() < 1e-12:  # the root
            continue
        heavy = 1e3 * np.sqrt((rows**2).sum() / m)
        found = nnls(np.vstack([rows, np.full(m, heavy)]), np.append(wanted, heavy))[0]
        if found.sum() > 0:
            out[:, i] = found / found.sum()
    return out
