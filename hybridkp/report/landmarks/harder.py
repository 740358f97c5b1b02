"""What the page of harder pictures shows besides its curves: the pictures, and where two lines cross.

Stored values go in, sentences and packed pictures come out.  Letters: M methods, C conditions, B objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from ... import stats as statistics
from ...datasets import CORRUPTIONS
from ...structures import Array
from ..cells import mean
from ..embed import Picture
from ..verdicts import count, listed
from .pictures import Gallery, choose_cases
from .scores import Scores, Truth

Condition = tuple[str, int]  #: kind and severity; ("clean", 0) is the pictures as they are
CLEAN: Condition = ("clean", 0)
SIDE = 200  #: px of a picture
MOST_METHODS = 8  #: whose lines are looked at for crossings


class Crossing(NamedTuple):
    """Two lines that change places, both times beyond their paired intervals."""

    kind: str
    severity: int  #: the mildest at which it is so
    clean: str  #: the method that is better on the pictures as they are
    hard: str


def find_crossings(
    values: Mapping[str, Array],
    conditions: Sequence[Condition],
    groups: Array,
    *,
    lower_is_better: bool,
    level: float,
) -> tuple[list[Crossing], int]:
    """The crossings of every kind, and how many more pairs change places by no more than chance may do.

    ``values``: method -> (C, B) of the leading figure, NaN = not scored.
    """
    sign = 1 if lower_is_better else -1
    start = list(conditions).index(CLEAN)
    kinds = list(dict.fromkeys(kind for kind, severity in conditions if severity))
    found: list[Crossing] = []
    doubtful = 0

    def gain(a: str, b: str, c: int) -> float:
        return sign * mean(values[b][c] - values[a][c])  # above 0 where a is better

    def sure(a: str, b: str, c: int) -> bool:
        one = statistics.paired_difference(sign * values[a][c], sign * values[b][c], groups, level=level)
        return bool(one.high < 0)

    for pair in combinations(list(values)[:MOST_METHODS], 2):
        a, b = pair if gain(*pair, start) >= 0 else pair[::-1]
        apart = sure(a, b, start)
        for kind in kinds:
            turned = [
                (severity, c)
                for c, (other, severity) in enumerate(conditions)
                if other == kind and gain(b, a, c) > 0
            ]
            first = next((severity for severity, c in turned if apart and sure(b, a, c)), None)
            if first is not None:
                found.append(Crossing(kind, first, a, b))
            doubtful += bool(turned) and first is None
    return sorted(found, key=lambda x: (kinds.index(x.kind), x.severity)), doubtful


def crossing_lines(found: Sequence[Crossing]) -> list[tuple[str, str, str]]:
    """(corruption, who is better without it, by whom and from where that one is overtaken)."""
    lines: dict[tuple[str, str], list[str]] = {}
    for one in found:
        value = CORRUPTIONS[one.kind].values[one.severity - 1]
        lines.setdefault((one.kind, one.clean), []).append(f"{one.hard} at {value:g}")
    return [
        (f"{kind}: {CORRUPTIONS[kind].unit}", clean, listed(others))
        for (kind, clean), others in lines.items()
    ]


def crossing_notes(found: Sequence[Crossing], doubtful: int, kinds: Sequence[str]) -> list[str]:
    """The kinds without any crossing, and what may be chance."""
    out = []
    none = [kind for kind in kinds if kind not in {one.kind for one in found}]
    if none:
        out.append(f"No two methods change places beyond doubt under {listed(none)}.")
    if doubtful:
        times = "Once" if doubtful == 1 else f"{doubtful} times"
        out.append(f"{times} a pair changes places in the means by no more than chance may do.")
    return out


class Strip:
    """One object under every condition, with the points of the method that is best without any."""

    def __init__(self, truth: Truth, scores: Sequence[Scores]) -> None:
        cases = choose_cases(scores[0])
        self.method = scores[0].method
        self.key = truth.keys[cases.get("median", next(iter(cases.values())))] if cases else None
        self.pictures: dict[str, list[Picture]] = {}

    def add(self, kind: str, severity: int, truth: Truth, scores: Sequence[Scores]) -> None:
        """The object under one condition, where it was asked about."""
        if self.key not in truth.keys:
            return
        own = next(s for s in scores if s.method == self.method)
        title = f"{CORRUPTIONS[kind].values[severity - 1]:g}" if severity else "as it is"
        one = Gallery(truth, side=SIDE).picture(truth.keys.index(self.key), own, title)
        self.pictures.setdefault(kind, []).append(one)

    def context(self) -> list[tuple[str, list[Picture]]]:
        """(heading, pictures from mild to harsh) of every kind."""
        return [
            (kind if kind == CLEAN[0] else f"{kind}: {CORRUPTIONS[kind].unit}", found)
            for kind, found in self.pictures.items()
        ]


def compared(n_methods: int) -> str:
    """Which lines were looked at, where it was not all."""
    shown = count(MOST_METHODS, "method")
    return f" Looked at: the {shown} that are best on harder pictures." if n_methods > MOST_METHODS else ""
