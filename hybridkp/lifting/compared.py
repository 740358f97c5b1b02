"""Lifters compared: learned from some pairs, judged on others, in order and as a table.

Pairs come in; errors (B,), lines for a terminal and the best poses go out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..files.npz import read_npz, write_npz
from ..metrics import mpjpe, p_mpjpe
from ..metrics.landmarks import mean_of_known
from ..report.cells import number
from ..structures import Array, InputError
from ..structures.base import Progress, short_repr
from .fused import FusedLifter
from .pairs import PosePairs
from .rows import RowLifter, check_root
from .shape import ShapeLifter
from .tuning import LIFTERS, choose_lifter

FUSED = ("average", "stack")


@dataclass(frozen=True, eq=False)
class Lifted:
    """One lifter's poses of the judged pairs, relative to the root."""

    name: str
    lifter: Any
    xyz: Array  #: (B, K, 3)
    errors: tuple[float, ...]  #: MPJPE on folds of training, of each setting that was tried

    __repr__ = short_repr


def compare_lifters(
    train: PosePairs,
    val: PosePairs,
    kinds: Sequence[str] = tuple(LIFTERS),
    *,
    root: int = 0,
    told: Progress | None = None,
) -> list[Lifted]:
    """The mean pose, each kind with settings chosen on folds of ``train``, and the fusions of all kinds.

    Raises
    ------
    InputError
        For an unknown kind or root, and for pairs of another number of landmarks.
    """
    if train.xy.shape[1:] != val.xy.shape[1:]:
        raise InputError(
            f"the pairs differ: {train.xy.shape[1]} landmarks to learn from, {val.xy.shape[1]} to judge"
        )
    check_root(root, train.xy.shape[1])
    unknown = [kind for kind in kinds if kind not in LIFTERS]
    if unknown or not kinds:
        raise InputError(f"no lifter {unknown[0] if unknown else ''!r}: {', '.join(LIFTERS)}")
    mean = np.nanmean(train.xyz - train.xyz[:, [root]], axis=0)
    out = [Lifted("mean pose", None, np.broadcast_to(mean, val.xyz.shape), ())]
    chosen, total = [], len(kinds) + (len(FUSED) if len(kinds) > 1 else 0)
    for i, kind in enumerate(kinds):
        if told:
            told(kind, i, total)
        lifter, errors = choose_lifter(kind, train.xy, train.xyz, train.groups, root=root)
        chosen.append(lifter)
        out.append(Lifted(kind, lifter, lifter.fit(train.xy, train.xyz).predict(val.xy), tuple(errors)))
    for i, rule in enumerate(FUSED if len(kinds) > 1 else ()):
        if told:
            told(rule, len(kinds) + i, total)
        fused = FusedLifter(chosen, rule).fit(train.xy, train.xyz, groups=train.groups)
        out.append(Lifted(rule, fused, fused.predict(val.xy), ()))
    return out


def judged(lifted: Lifted, val: PosePairs, root: int = 0) -> dict[str, Array]:
    """``mpjpe`` and ``p_mpjpe`` (B,) in the pairs' unit; NaN for a pair that lacks a point in the picture,
    of which no lifter says anything, or its truth."""
    whole = np.isfinite(val.xy).all((1, 2), keepdims=True)
    truth = np.where(whole, val.xyz - val.xyz[:, [root]], np.nan)
    return {"mpjpe": mpjpe(truth, lifted.xyz), "p_mpjpe": p_mpjpe(truth, lifted.xyz)}


def ranked(found: Sequence[Lifted], val: PosePairs, root: int = 0) -> list[tuple[Lifted, dict[str, Array]]]:
    """The lifters with their errors, the least MPJPE first."""
    pairs = [(one, judged(one, val, root)) for one in found]
    return sorted(pairs, key=lambda pair: float(mean_of_known(pair[1]["mpjpe"])))


def table(found: Sequence[Lifted], val: PosePairs, root: int = 0) -> str:
    """Lines for a terminal."""
    lines = [f"{'lifter':14}  MPJPE    P-MPJPE"]
    for one, scores in ranked(found, val, root):
        cells = (number(float(mean_of_known(scores[key])), -3) for key in ("mpjpe", "p_mpjpe"))
        lines.append(f"{one.name:14}  " + "  ".join(f"{c:7}" for c in cells))
    return "\n".join(lines)


def best_lifter(found: Sequence[Lifted], val: PosePairs, root: int = 0) -> Lifted:
    """That of least MPJPE."""
    return next(one for one, _ in ranked(found, val, root) if one.lifter is not None)


def save_poses(found: Sequence[Lifted], val: PosePairs, path: str | os.PathLike[str], root: int = 0) -> None:
    """The best lifter's poses: ``points`` (B, K, 3) relative to the root, and its name."""
    best = best_lifter(found, val, root)
    write_npz(path, {"points": best.xyz, "lifter": np.array(best.name)})


def lift_points(lifter: Any, source: str | os.PathLike[str], path: str | os.PathLike[str]) -> int:
    """Write what a fitted lifter says of a file's ``xy`` (B, K, 2) px, and give B.

    Raises
    ------
    InputError
        For another kind of model, and for a file that is damaged or has no such points.
    """
    if not isinstance(lifter, RowLifter | ShapeLifter | FusedLifter):
        raise InputError(f"the model is a {type(lifter).__name__} and no lifter: keep one by lift --save")
    xy = read_npz(source, ("xy",)).get("xy")
    if xy is None or xy.dtype.kind not in "fiu":
        raise InputError(f"{source}: needs xy (B, K, 2) px")
    found = lifter.predict(xy)
    write_npz(path, {"points": found, "lifter": np.array(type(lifter).__name__)})
    return len(found)
