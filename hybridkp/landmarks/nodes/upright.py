"""Objects at any angle: crops are turned upright, asked about, and their points turned back.

:class:`..upright.Upright`, for the estimator and the runtime, with NumPy and OpenCV alone.  Grey crops
(H, W) and a function that asks a detector about turned crops come in, all that it says goes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...imaging.geometry import about_middle, apply_affine, warp
from ...imaging.images import to_grey
from ...runtime.nodes import Node, Run, build, told
from ...runtime.values import array, number
from ...structures import Array, Prediction
from ..polar import N_CHANNELS, N_TURNS, polar_row, shifts_of

MOST = 3  #: turns that are tried at most
DOUBT = 0.5  #: presence below which the next likely turn is tried
APART = 30.0  #: degrees between two of these

#: inside another rule's look each crop is asked once: nested ones of a stranger's file would ask 3 ** n times
_INSIDE: ContextVar[bool] = ContextVar("hybridkp_upright_inside", default=False)

#: which crops, and by how many degrees they are to be turned first -> what is said of each
Ask = Callable[[Sequence[int], Sequence[float]], Sequence[Prediction]]


@dataclass(frozen=True, eq=False)
class TurnRule:
    """What was learned of turns.

    Parameters
    ----------
    filter : (A, C), see :func:`..polar.correlation_filter`
    centre : (C,) mean of the rows
    turns : degrees to either side that an object may be turned by
    """

    filter: Array
    centre: Array
    turns: float

    @cached_property
    def _shifts(self) -> Array:
        return shifts_of(self.filter)

    def likely(self, grey: Array) -> list[float]:
        """Degrees, clockwise, by which a crop's object may be turned; the likeliest first."""
        return likely_turns((polar_row(grey) - self.centre).ravel() @ self._shifts, self.turns)

    def look(self, greys: Sequence[Array], ask: Ask) -> list[Prediction]:
        """What is said of crops made upright, in the crops as they are.

        Where no object is seen the next likely turn is tried, and the one with the highest presence counts.
        """
        likely = [self.likely(grey)[: 1 if _INSIDE.get() else MOST] for grey in greys]
        token = _INSIDE.set(True)
        try:
            found, best = _best_of(likely, ask)
        finally:
            _INSIDE.reset(token)
        each = zip(found, greys, best, strict=True)
        return [turned_back(one, grey.shape[:2], turn) for one, grey, turn in each]


def _best_of(likely: Sequence[Sequence[float]], ask: Ask) -> tuple[list[Prediction], list[float]]:
    """What is said of each crop turned back by the best of its likely turns, and that turn."""
    found = list(ask(range(len(likely)), [-turns[0] for turns in likely]))
    best = [turns[0] for turns in likely]
    for rank in range(1, MOST):
        rows = [i for i, one in enumerate(found) if _presence(one) < DOUBT and rank < len(likely[i])]
        again = ask(rows, [-likely[i][rank] for i in rows]) if rows else []
        for i, one in zip(rows, again, strict=True):
            if _presence(one) > _presence(found[i]):
                found[i], best[i] = one, likely[i][rank]
    return found, best


def likely_turns(answers: Array, turns: float) -> list[float]:
    """Degrees of the highest summits of answers (A,) within ``turns`` to either side, the highest first.

    A parabola through its neighbours places each; of two that are near each other the higher one stays.
    """
    n = len(answers)
    before, after = np.roll(answers, 1), np.roll(answers, -1)
    away = nearest_turn(np.arange(n) * 360 / n)
    allowed = np.flatnonzero(np.abs(away) <= turns + 180 / n)
    found: list[float] = []
    for i in allowed[np.argsort(-answers[allowed], kind="stable")]:
        apart = [abs(nearest_turn(away[i] - degrees)) for degrees in found]
        if not found or (answers[i] >= max(before[i], after[i]) and min(apart) >= APART):
            bend = 2 * answers[i] - before[i] - after[i]
            shift = np.clip((after[i] - before[i]) / (2 * bend), -0.5, 0.5) if bend > 1e-12 else 0.0
            found.append(float(away[i] + shift * 360 / n))
        if len(found) == MOST:
            break
    return found


def nearest_turn(degrees: Any) -> Any:
    """The same turns, from -180 to 180."""
    return (degrees + 180) % 360 - 180


def _presence(found: Prediction) -> float:
    return 1.0 if found.presence is None else float(found.presence)


def turned_back(found: Prediction, size_hw: tuple[int, int], degrees: float) -> Prediction:
    """What was said of a crop that had been turned by ``-degrees``, in the crop as it was."""
    back = about_middle(size_hw, degrees)
    changes: dict[str, Any] = {"xy": apply_affine(back, found.xy).astype(np.float32)}
    if found.covariance is not None:
        changes["covariance"] = (back[:, :2] @ found.covariance @ back[:, :2].T).astype(np.float32)
    return replace(found, **changes)


@dataclass(eq=False, repr=False)
class Righted:
    """A :data:`.Run` that tells whatever its detector tells."""

    detector: Run
    rule: TurnRule

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
    rule = TurnRule(
        array(node["filter"], N_TURNS, N_CHANNELS),
        array(node["centre"], N_CHANNELS),
        number(node["turns"], 0, 180),
    )
    return Righted(build(node["detector"], engine), rule)
