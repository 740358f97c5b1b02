"""Objects at any angle: crops are turned upright, asked about, and their points turned back.

:class:`..upright.Upright`, for the estimator and the runtime, with NumPy and OpenCV alone.  Grey crops
(H, W) and a function that asks a detector about turned crops come in, all that it says goes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...imaging.geometry import apply_affine, rotation_about, similarity, warp
from ...imaging.images import to_grey
from ...runtime.nodes import Node, Run, build, told
from ...runtime.values import array, number
from ...structures import Array, Prediction
from ..polar import N_ORIENTATIONS, N_RINGS, N_TURNS, polar_row, shifts_of

MOST = 4  #: turns that are tried at most where one crop could be turned in several ways
APART = 30.0  #: degrees between two of these
AGAIN = 8.0  #: degrees; points that are still turned by more ask for a second look

#: which crops, and by how many degrees they are to be turned first -> what is said of each
Ask = Callable[[Sequence[int], Sequence[float]], Sequence[Prediction]]


@dataclass(frozen=True, eq=False)
class TurnRule:
    """What was learned of turns.

    Parameters
    ----------
    filter : (A, C), see :func:`..polar.correlation_filter`
    centre : (C,) mean of the rows
    margin : an answer that falls short of the best by less is tried, too
    turns : degrees to either side that an object may be turned by
    mean : (K, 2) upright mean shape, crop px
    """

    filter: Array
    centre: Array
    margin: float
    turns: float
    mean: Array

    @cached_property
    def _shifts(self) -> Array:
        return shifts_of(self.filter)

    def answers(self, grey: Array) -> Array:
        """(A,) how well each turn of a crop fits."""
        found: Array = (polar_row(grey) - self.centre).ravel() @ self._shifts
        return found

    def candidates(self, grey: Array) -> list[float]:
        """Degrees, -180 to 180, by which a crop's object may be turned; the likeliest first."""
        found = peaks(self.answers(grey), self.turns)
        best = found[0][1]
        return [degrees for degrees, answer in found[:MOST] if answer >= best - self.margin]

    def look(self, greys: Sequence[Array], ask: Ask) -> list[Prediction]:
        """What is said of crops made upright, in the crops as they are.

        Where several turns are likely the one with the highest scores counts.  Points that are still turned
        against the mean shape ask for a second look.
        """
        likely = [self.candidates(grey) for grey in greys]
        best: dict[int, tuple[float, Prediction]] = {}

        def asked(rows: Sequence[int], degrees: Sequence[float]) -> None:
            for i, turn, one in zip(rows, degrees, ask(rows, [-d for d in degrees]), strict=True):
                if i not in best or _sure(one) >= _sure(best[i][1]):
                    best[i] = turn, one

        for rank in range(max(map(len, likely), default=0)):
            rows = [i for i, turns in enumerate(likely) if rank < len(turns)]
            asked(rows, [likely[i][rank] for i in rows])
        left = [self.left(best[i][1].xy) for i in range(len(greys))]
        rows = [i for i, degrees in enumerate(left) if abs(degrees) > AGAIN]
        if rows:
            asked(rows, [best[i][0] + left[i] for i in rows])
        return [turned_back(best[i][1], grey.shape[:2], best[i][0]) for i, grey in enumerate(greys)]  # type: ignore[arg-type]

    def left(self, xy: Array) -> float:
        """Degrees by which points (K, 2) are turned against the mean shape."""
        return float(angle_of(similarity(self.mean, xy)))


def peaks(answers: Array, turns: float) -> list[tuple[float, float]]:
    """(degrees, answer) of every summit of answers (A,) within ``turns`` to either side, the highest first.

    A parabola through its neighbours places each; of two that are near each other the higher one stays.
    """
    n = len(answers)
    before, after = np.roll(answers, 1), np.roll(answers, -1)
    away = (np.arange(n) * 360 / n + 180) % 360 - 180
    allowed = np.abs(away) <= turns + 180 / n
    order = np.argsort(-np.where(allowed, answers, -np.inf), kind="stable")[: max(1, int(allowed.sum()))]
    found: list[tuple[float, float]] = []
    for i in order:
        apart = [abs((away[i] - degrees + 180) % 360 - 180) for degrees, _ in found]
        summit = answers[i] >= max(before[i], after[i])
        if not found or (summit and min(apart) >= APART):
            bend = 2 * answers[i] - before[i] - after[i]
            shift = np.clip((after[i] - before[i]) / (2 * bend), -0.5, 0.5) if bend > 1e-12 else 0.0
            found.append((float(away[i] + shift * 360 / n), float(answers[i])))
    return found


def angle_of(maps: Array) -> Array:
    """Degrees, clockwise on screen, that similarity maps (..., 2, 3) turn points by."""
    return np.rad2deg(np.arctan2(maps[..., 1, 0], maps[..., 0, 0]))


def _sure(found: Prediction) -> float:
    known = found.score[np.isfinite(found.score)]
    return float(known.mean()) if len(known) else 0.0


def about_middle(size_hw: tuple[int, int], degrees: float) -> Array:
    """The (2, 3) map that turns a crop about its middle, clockwise on screen."""
    h, w = size_hw
    return rotation_about(np.array([w - 1, h - 1]) / 2, degrees)


def turned_back(found: Prediction, size_hw: tuple[int, int], degrees: float) -> Prediction:
    """What was said of a crop that had been turned by ``-degrees``, in the crop as it was."""
    back = about_middle(size_hw, degrees)
    changes: dict[str, Any] = {"xy": apply_affine(back, found.xy).astype(np.float32)}
    if found.covariance is not None:
        changes["covariance"] = (back[:, :2] @ found.covariance @ back[:, :2].T).astype(np.float32)
    return replace(found, **changes)


class Righted:
    """A :data:`.Run` that tells whatever its detector tells."""

    def __init__(self, detector: Run, rule: TurnRule) -> None:
        self.detector, self.rule = detector, rule

    def predict_all(self, picture: Array) -> Prediction:
        size_hw = picture.shape[:2]

        def ask(rows: Sequence[int], degrees: Sequence[float]) -> list[Prediction]:
            crops = (warp(picture, about_middle(size_hw, turn), size_hw) for turn in degrees)
            return [told(self.detector, crop) for crop in crops]

        return self.rule.look([to_grey(picture)], ask)[0]

    def __call__(self, picture: Array) -> tuple[Array, Array]:
        found = self.predict_all(picture)
        return found.xy, found.score


def make(node: Node, engine: str) -> Run:
    channels = N_RINGS * N_ORIENTATIONS
    rule = TurnRule(
        array(node["filter"], N_TURNS, channels),
        array(node["centre"], channels),
        number(node["margin"], 0, 1e6),
        number(node["turns"], 0, 180),
        array(node["mean"], -1, 2),
    )
    return Righted(build(node["detector"], engine), rule)
