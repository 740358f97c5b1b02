"""What seems to be wrong with one object's labels: would another reading of them fit better?

Readings are tried that annotators are known to slip into: two landmarks exchanged, a chain counted from the
wrong end, left for right, the whole shape beside the object, one landmark far off.  The row of one object and
the model that did not see it come in, words come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ..structures import Array, Dataset
from .shapes import RowModel

EXPLAINS = 0.5  #: share of what is unusual that a reading has to take away
LISTED = 4  #: landmarks that are named when several are odd
NOTABLE = 1.5  #: times the usual worst landmark, from which one is named
CHAIN = 3  #: landmarks that make a chain


@dataclass(frozen=True)
class Diagnosis:
    """The best reading: ``kind``, the landmarks that it is about, and how far they are off.

    ``kind`` is "exchanged", "reversed", "sides", "shifted", "jumped" or "several"; ``off_px`` is in the
    picture, NaN where a distance says nothing.
    """

    kind: str
    landmarks: tuple[int, ...]
    off_px: float = float("nan")

    def in_picture(self, scale: float) -> Diagnosis:
        """The same for a distance that was measured in a frame ``scale`` times the picture."""
        return replace(self, off_px=self.off_px / max(float(scale), 1e-12))

    def words(self, names: Sequence[str]) -> str:
        """One clause.

        >>> Diagnosis("exchanged", (0, 2)).words(["nose", "chin", "ear"])
        'nose and ear exchanged?'
        """
        named = [names[k] for k in self.landmarks]
        if self.kind == "exchanged":
            return f"{named[0]} and {named[1]} exchanged?"
        if self.kind == "reversed":
            return f"{named[0]} to {named[-1]} in reversed order?"
        if self.kind == "sides":
            return "left and right exchanged?"
        if self.kind == "shifted":
            return f"the whole shape is {self.off_px:.0f} px beside the object?"
        if self.kind == "jumped":
            return f"{named[0]} is {self.off_px:.0f} px from where it is expected"
        more = f" and {len(named) - LISTED} more" if len(named) > LISTED else ""
        return f"odd: {', '.join(named[:LISTED])}{more}" if named else "the shape as a whole is unusual"


def diagnose(
    row: Array, model: RowModel, k: int, odd: Array, placed: Array, data: Dataset, usual: float = 0.0
) -> Diagnosis:
    """The reading of one object's labels that fits best.

    Parameters
    ----------
    row : (D,) its K points, NaN = not labelled, and the rest of the model's row
    odd : (K,) of its landmarks, NaN = not labelled
    placed : (K, 2) where the detectors put them, in the row's frame
    usual : misfit of an ordinary row
    """
    filled = model.filled(row[None])[0]
    points, rest = filled[: 2 * k].reshape(k, 2), filled[2 * k :]
    known = np.isfinite(row[: 2 * k : 2])
    worst = int(np.argmax(np.nan_to_num(odd, nan=-1)))
    readings = _readings(known, worst, data)
    tried = [(found, points[order]) for found, order in readings]
    by = np.median((points - placed)[known], axis=0)
    tried.append((Diagnosis("shifted", (), float(np.linalg.norm(by))), points - by))
    gap = model.gaps(filled[None], k)[0, worst]
    alone = points.copy()
    alone[worst] -= gap
    tried.append((Diagnosis("jumped", (worst,), float(np.linalg.norm(gap))), alone))
    moved = np.stack([xy for _, xy in tried])
    rows = np.concatenate([moved.reshape(len(moved), -1), np.tile(rest, (len(moved), 1))], axis=1)
    now = float(model.misfit(filled[None])[0])
    gain = (now - model.misfit(rows)) / max(now - usual, 1e-9)
    best = int(np.argmax(gain))
    if gain[best] >= EXPLAINS:
        return tried[best][0]
    several = np.flatnonzero(np.nan_to_num(odd) >= NOTABLE)
    return Diagnosis("several", tuple(several[np.argsort(-odd[several])].tolist()))


def _readings(known: Array, worst: int, data: Dataset) -> list[tuple[Diagnosis, Array]]:
    """(what, the order in which the points are read); only among points that are labelled."""
    k, plain = len(known), np.arange(len(known))
    out = []
    for other in range(k):
        if other != worst and known[worst] and known[other]:
            order = plain.copy()
            order[[worst, other]] = other, worst
            out.append((Diagnosis("exchanged", (min(worst, other), max(worst, other))), order))
    for chain in chains(data.skeleton, k):
        if known[list(chain)].all():
            order = plain.copy()
            order[list(chain)] = chain[::-1]
            out.append((Diagnosis("reversed", chain), order))
    if data.flip is not None and (data.flip != plain).any() and (known == known[data.flip]).all():
        out.append((Diagnosis("sides", ()), data.flip))
    return out


def chains(skeleton: Array, k: int) -> list[tuple[int, ...]]:
    """Runs of at least :data:`CHAIN` landmarks in the skeleton: from end to end or fork, and whole rings.

    >>> chains(np.array([[0, 1], [1, 2], [3, 4], [4, 5], [5, 3]]), 6)
    [(0, 1, 2), (3, 4, 5)]
    """
    beside: list[list[int]] = [[] for _ in range(k)]
    for a, b in np.asarray(skeleton, int).reshape(-1, 2).tolist():
        if a != b and b not in beside[a]:
            beside[a].append(b)
            beside[b].append(a)
    found: list[tuple[int, ...]] = []
    used: set[tuple[int, int]] = set()
    ends = [n for n in range(k) if beside[n] and len(beside[n]) != 2]
    for start in (*ends, *range(k)):
        for step in beside[start]:
            if (start, step) in used or (start not in ends and start in {n for c in found for n in c}):
                continue
            run = [start, step]
            while len(beside[run[-1]]) == 2 and run[-1] != start:
                run.append(next(n for n in beside[run[-1]] if n != run[-2]))
            used |= {*pairwise(run), *pairwise(run[::-1])}
            run = run[:-1] if run[-1] == start else run
            if len(run) >= CHAIN:
                found.append(tuple(run))
    return found
