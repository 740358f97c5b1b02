"""Cutting a data set into parts so that no group (person, photograph, video) is ever cut.

Two pictures of one person on both sides of a split make every method look better than it is.
Pure functions of the groups' names: indices in, indices out, the same for the same ``random_state``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array, InputError


def _group_rows(groups: ArrayLike | int) -> list[Array]:
    """Row indices of each group, in order of first appearance."""
    if isinstance(groups, int | np.integer):
        return [np.array([row]) for row in range(int(groups))]
    names = np.asarray(groups, dtype=object).ravel()
    rows: dict[Any, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    return [np.array(r) for r in rows.values()]


def group_folds(groups: ArrayLike | int, n_folds: int, random_state: int = 0) -> list[tuple[Array, Array]]:
    """Folds of nearly equal size that never cut a group.

    Parameters
    ----------
    groups : (B,) names, or the number B when every row is its own group
    n_folds : at least 2; with fewer groups than folds there are as many folds as groups
    random_state : seed; the same seed gives the same folds

    Returns
    -------
    list of (train, test)
        Sorted row indices; each row is in exactly one ``test``.

    Notes
    -----
    Groups are shuffled, then dealt largest first to the smallest fold so far (longest processing
    time first, Graham 1969): folds differ by at most the size of one group.

    >>> sorted(test.tolist() for _, test in group_folds(["a", "a", "b", "b"], 2))
    [[0, 1], [2, 3]]
    """
    members = _group_rows(groups)
    if n_folds < 2:
        raise InputError(f"group_folds: n_folds must be at least 2, got {n_folds}")
    if len(members) < 2:
        raise InputError(
            f"group_folds: {len(members)} group cannot be cut into folds; name at least two groups"
            " (subjects, photographs, videos)"
        )
    rng = np.random.default_rng(random_state)
    order = rng.permutation(len(members))
    sizes = np.array([len(m) for m in members])
    order = order[np.argsort(-sizes[order], kind="stable")]
    load = np.zeros(min(n_folds, len(members)), int)
    fold_of = np.empty(int(sizes.sum()), int)
    for g in order:
        fold = int(load.argmin())
        load[fold] += sizes[g]
        fold_of[members[g]] = fold
    return [(np.flatnonzero(fold_of != f), np.flatnonzero(fold_of == f)) for f in range(len(load))]


def group_split(groups: ArrayLike | int, fraction: float, random_state: int = 0) -> tuple[Array, Array]:
    """(train, held out) row indices; about ``fraction`` of the rows held out, no group cut.

    Shuffled groups are held out as long as that brings their share nearer to ``fraction``; both
    sides get at least one group.
    """
    members = _group_rows(groups)
    if not 0 < fraction < 1:
        raise InputError(f"group_split: fraction must lie between 0 and 1, got {fraction}")
    if len(members) < 2:
        raise InputError("group_split: needs at least two groups (subjects, photographs, videos)")
    order = np.random.default_rng(random_state).permutation(len(members))
    sizes = np.array([len(m) for m in members])
    wanted = fraction * sizes.sum()
    held: list[int] = []
    total = 0
    for g in order:
        if len(held) < len(members) - 1 and (
            not held or abs(total + sizes[g] - wanted) < abs(total - wanted)
        ):
            held.append(g)
            total += sizes[g]
    out = np.zeros(int(sizes.sum()), bool)
    out[np.concatenate([members[g] for g in held])] = True
    return np.flatnonzero(~out), np.flatnonzero(out)
