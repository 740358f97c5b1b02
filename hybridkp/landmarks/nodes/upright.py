"""Objects at any angle: crops are turned upright, asked about, and their points turned back.

:class:`..upright.Upright`, for the estimator and the runtime, with NumPy and OpenCV alone.  Grey crops
(H, W) and a function that asks a detector about turned crops come in, all that it says goes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import log
from typing import Any, NamedTuple

import numpy as np

from ...imaging.geometry import about_middle, apply_affine, warp
from ...imaging.images import to_grey
from ...runtime.nodes import Node, Run, build, told
from ...runtime.values import array, number
from ...structures import Array, Prediction
from ..polar import N_CHANNELS, N_TURNS, answers_to, polar_row

MOST = 3  #: turns that are tried at most
TRUST = 30.0  #: log-odds of an object's presence that count as much as 1 of the filter's answer
SURE = log(99)  #: log-odds of a presence that nothing could be surer than
APART = 30.0  #: degrees between two turns that are tried

#: inside another rule's look each crop is asked once: nested ones of a stranger's file would ask 3 ** n times
INSIDE: ContextVar[bool] = ContextVar("hybridkp_upright_inside", default=False)

#: which crops, and by how many degrees they are to be turned first -> what is said of each
Ask = Callable[[Sequence[int], Sequence[float]], Sequence[Prediction]]


class Turn(NamedTuple):
    """By how much an object may be turned, clockwise, and how much of the filter's answer says so."""

    degrees: float
    answer: float


@dataclass(frozen=True, eq=False)
class TurnRule:
    """What was learned of turns.

    Parameters
    ----------
    filter : (A, C), see :func:`..polar.correlation_filter`
    centre : (C,) mean of the rows
    turns : degrees to either side that an object may be turned by
    least : degrees; an object that seems turned by less is left as it is
    """

    filter: Array
    centre: Array
    turns: float
    least: float = 0.0

    @cached_property
    def _of_centre(self) -> float:
        """The answer to the mean row, at any turn."""
        return float((self.filter @ self.centre).sum())

    def likely(self, grey: Array) -> list[Turn]:
        """By how much a crop's object may be turned; the likeliest first."""
        return self.told(polar_row(grey))

    def told(self, row: Array) -> list[Turn]:
        """The same of the crop's row (A, C)."""
        found = likely_turns((answers_to(row, self.filter) - self._of_centre).tolist(), self.turns)
        return [Turn(0.0, turn.answer) if abs(turn.degrees) < self.least else turn for turn in found]

    def look(self, greys: Sequence[Array], ask: Ask) -> list[Prediction]:
        """What is said of crops made upright, in the crops as they are.

        The filter's answer and what the detector says of the object's presence judge together: further
        turns are tried where they could be the better ones by both, were the object seen there for sure.
        """
        likely = [self.likely(grey)[: 1 if INSIDE.get() else MOST] for grey in greys]
        token = INSIDE.set(True)
        try:
            found, best = _best_of(likely, ask)
        finally:
            INSIDE.reset(token)
        each = zip(found, greys, best, strict=True)
        return [turned_back(one, grey.shape[:2], turn.degrees) for one, grey, turn in each]


def _best_of(likely: Sequence[Sequence[Turn]], ask: Ask) -> tuple[list[Prediction], list[Turn]]:
    """What is said of each crop turned back by the best of its likely turns, and that turn."""
    best = [turns[0] for turns in likely]
    found = list(ask(range(len(likely)), [-turn.degrees for turn in best]))
    odds = [_odds(one, turn) for one, turn in zip(found, best, strict=True)]
    for rank in range(1, MOST):
        nexts = [(i, turns[rank]) for i, turns in enumerate(likely) if rank < len(turns)]
        nexts = [(i, turn) for i, turn in nexts if odds[i] < SURE + TRUST * turn.answer]
        again = ask([i for i, _ in nexts], [-turn.degrees for _, turn in nexts]) if nexts else []
        for (i, turn), one in zip(nexts, again, strict=True):
            if _odds(one, turn) > odds[i]:
                found[i], best[i], odds[i] = one, turn, _odds(one, turn)
    return found, best


def _odds(found: Prediction, turn: Turn) -> float:
    """How likely the turn is, by what a detector says of the crop turned back by it and by the filter."""
    if found.presence is None:
        return TRUST * turn.answer + SURE
    seen = min(max(0.01, float(found.presence)), 0.99)  # a number: NumPy would take as long as the filter
    return TRUST * turn.answer + log(seen / (1 - seen))


def likely_turns(answers: Sequence[float], turns: float) -> list[Turn]:
    """The highest summits of answers (A,) within ``turns`` degrees to either side, the highest first.

    A parabola through its neighbours places each; of two that are near each other the higher one stays.
    Plain numbers: of so few, NumPy takes several times as long.
    """
    n = len(answers)
    around = [answers[-1], *answers, answers[0]]
    allowed = _allowed(n, turns)
    highest = max(allowed, key=answers.__getitem__)
    summits = [i for i in allowed if around[i] <= around[i + 1] >= around[i + 2]]
    found: list[Turn] = []
    for i in (highest, *sorted(summits, key=lambda i: -answers[i])):
        away = nearest_turn(i * 360 / n)
        if all(abs(nearest_turn(away - turn.degrees)) >= APART for turn in found):
            before, this, after = around[i : i + 3]
            bend = 2 * this - before - after
            shift = min(max((after - before) / (2 * bend), -0.5), 0.5) if bend > 1e-12 else 0.0
            found.append(Turn(away + shift * 360 / n, this))
        if len(found) == MOST:
            break
    return found


@lru_cache(maxsize=8)
def _allowed(n: int, turns: float) -> list[int]:
    """Those of ``n`` directions that an object may be turned to."""
    return [i for i in range(n) if abs(nearest_turn(i * 360 / n)) <= turns + 180 / n]


def nearest_turn(degrees: Any) -> Any:
    """The same turns, from -180 to 180."""
    return (degrees + 180) % 360 - 180


def turned_back(found: Prediction, size_hw: tuple[int, int], degrees: float) -> Prediction:
    """What was said of a crop that had been turned by ``-degrees``, in the crop as it was."""
    if degrees == 0:
        return found
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
            crops = (warp(picture, about_middle(size_hw, d), size_hw) if d else picture for d in degrees)
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
        number(node.get("least", 0), 0, 180),  # not in files of before
    )
    return Righted(build(node["detector"], engine), rule)
