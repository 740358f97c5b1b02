"""The lifters with what may be tuned of each, and the choice of settings by folds of the training pairs.

The same number of settings is tried for every kind; nothing that is reported is looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..metrics import mpjpe
from ..structures import InputError
from ..structures.base import Progress, evenly
from .fused import out_of_fold
from .rows import ForestLifter, KernelRidgeLifter, NetworkLifter, RidgeLifter
from .shape import ShapeLifter


def _each(settings: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """Each of them with and without the place."""
    return tuple({**one, "place": place} for place in (True, False) for one in settings)


#: kind -> (class, settings tried): six of each
LIFTERS: dict[str, tuple[Any, tuple[dict[str, Any], ...]]] = {
    "ridge": (RidgeLifter, _each(({"alpha": 1.0}, {"alpha": 30.0}, {"alpha": 1000.0}))),
    "kernel ridge": (
        KernelRidgeLifter,
        _each(
            ({"alpha": 0.01, "gamma": 0.01}, {"alpha": 0.1, "gamma": 0.003}, {"alpha": 0.3, "gamma": 0.03})
        ),
    ),
    "forest": (
        ForestLifter,
        _each(({"min_leaf": 2}, {"min_leaf": 5}, {"min_leaf": 15})),
    ),
    "network": (
        NetworkLifter,
        _each(({"units": 64, "alpha": 0.1}, {"units": 192, "alpha": 0.01}, {"units": 192, "alpha": 1.0})),
    ),
    "shape model": (
        ShapeLifter,
        tuple({"n_components": n, "prior": p} for n in (4, 8, 16) for p in (0.01, 0.1)),
    ),
}
TUNED_ON = 800  #: poses, evenly chosen


def choose_lifter(
    kind: str,
    xy: ArrayLike,
    xyz: ArrayLike,
    groups: ArrayLike,
    *,
    root: int = 0,
    cv: int = 3,
    told: Progress | None = None,
) -> tuple[Any, list[float]]:
    """The unfitted lifter of a kind with the settings of least MPJPE on folds, and the error of each tried.

    Raises
    ------
    InputError
        For a kind that is not in :data:`LIFTERS`.
    """
    if kind not in LIFTERS:
        raise InputError(f"no lifter {kind!r}: {', '.join(LIFTERS)}")
    made, settings = LIFTERS[kind]
    points, space, names = np.asarray(xy, float), np.asarray(xyz, float), np.asarray(groups)
    rows = evenly(len(points), TUNED_ON)
    rows = rows[np.isfinite(points[rows]).all((1, 2)) & np.isfinite(space[rows]).all((1, 2))]
    errors = []
    for i, one in enumerate(settings):
        lifter = made(**one, root=root)
        said = out_of_fold([lifter], points[rows], space[rows], names[rows], cv)[0]
        errors.append(float(np.mean(mpjpe(space[rows], said, root=root))))
        if told:
            told(f"{kind} {one}", i + 1, len(settings))
    return made(**settings[int(np.argmin(errors))], root=root), errors
