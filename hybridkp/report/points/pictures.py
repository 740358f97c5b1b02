"""Chooses the pairs that a reader should see, draws right and wrong matches on them, packs them as JPEG.

For chosen methods the best, median and worst pair, and the pairs on which they disagree most.
Pictures are read through the pair set, one pair at a time; nothing is written and no metric computed
but the error of each match, which says its colour.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ...imaging.draw import draw_matches
from ...imaging.geometry import apply_affine, resize_matrix
from ...metrics.points import CORRECT_PX, match_errors
from ...structures import Array
from ...structures.base import evenly
from ..cells import SPACE
from ..embed import Picture, jpeg_uri, most_apart, read_picture, three_cases
from .scores import MMA, PointScores, PointTruth

WIDTH = 720  #: px of a pair's picture; shown at about 360, so that a dense screen gets something sharper
MOST_MATCHES = 120  #: drawn on a picture, evenly spread over a method's order
MOST_METHODS = 6  #: with pictures of their own
QUALITY = 72


class PairGallery:
    """Reads each pair once, shrunk to the page's size, and draws matches on copies.

    ``unreadable`` collects the names of pairs whose pictures could not be read; they are grey.
    """

    def __init__(self, truth: PointTruth, width: int = WIDTH) -> None:
        self.truth = truth
        self.width = width
        self.unreadable: set[str] = set()
        self._pictures: dict[int, tuple[Array, Array, Array, Array]] = {}

    def _pair(self, row: int) -> tuple[Array, Array, Array, Array]:
        """Both pictures and the (2, 3) maps from their original pixels."""
        if row not in self._pictures:
            pair = self.truth.pairs[row]
            both = (pair.load_a, pair.load_b)
            images = [read_picture(load, pair.name, self.unreadable, (240, 320)) for load in both]
            scale = min(1.0, self.width / sum(i.shape[1] for i in images))
            small, maps = [], []
            for image in images:
                h, w = image.shape[:2]
                size = max(1, round(w * scale)), max(1, round(h * scale))
                small.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
                maps.append(resize_matrix((size[0] / w, size[1] / h)))
            self._pictures[row] = small[0], small[1], maps[0], maps[1]
        return self._pictures[row]

    def draw(self, row: int, s: PointScores) -> Array:
        """(H, width + gap, 3) BGR: a sample of a method's matches on a pair, coloured by the truth."""
        a, b, map_a, map_b = self._pair(row)
        found = s.matched[row]
        right = right_matches(self.truth, s, row)
        xy_a, xy_b = apply_affine(map_a, found.xy_a), apply_affine(map_b, found.xy_b)
        return draw_matches(a, b, xy_a, xy_b, right, most=MOST_MATCHES)

    def picture(self, row: int, s: PointScores, title: str) -> Picture:
        """The first seed's matches, packed for the page."""
        name, said = self.truth.pairs[row].name, caption(self.truth, s, row)
        alt = f"{s.method} on {name}: both pictures side by side with lines between matched points; {said}"
        return Picture(jpeg_uri(self.draw(row, s), QUALITY), alt, title, said)


def right_matches(truth: PointTruth, s: PointScores, row: int) -> Array:
    """(M,) 1 = within 3 px of the truth, 0 = not, NaN = the truth is not known there."""
    found = s.matched[row]
    errors = match_errors(found.xy_a, found.xy_b, truth.truths[row])
    return np.where(np.isnan(errors), np.nan, errors <= CORRECT_PX)


def caption(truth: PointTruth, s: PointScores, row: int) -> str:
    """What the picture shows, in numbers."""
    right = right_matches(truth, s, row)
    known, n = int(np.isfinite(right).sum()), len(right)
    if n == 0:
        return "no matches"
    text = f"{int(np.nansum(right))} of {known} matches right (MMA@3{SPACE}{s.values[MMA.key][0, row]:.2f})"
    if known < n:
        text += f", {n - known} where the truth is not known"
    corner = float(s.values["corner_px"][0, row])
    if np.isinf(corner):
        text += "; no usable homography"
    elif np.isfinite(corner):
        text += f"; corner error {corner:.{int(corner < 100)}f}{SPACE}px"
    return text + (f"; {MOST_MATCHES} drawn" if n > MOST_MATCHES else "")


def choose_methods(scores: Sequence[PointScores], reference: str, n: int = MOST_METHODS) -> list[PointScores]:
    """At most n, in rank order: the reference, the best of each family, then the next best."""
    best = {s.family: s for s in reversed(scores)}
    wanted = [s for s in scores if s.method == reference or best[s.family] is s]
    rest = [s for s in scores if s not in wanted]
    kept = {s.method for s in [*wanted, *rest][:n]}
    return [s for s in scores if s.method in kept]


def choose_pairs(s: PointScores) -> dict[str, int]:
    """Rows of the best, median and worst pair by MMA@3; of equals, fewer right matches is worse."""
    share, right = s.values[MMA.key][0], np.array([len(a.xy_a) for a in s.matched], float)
    order = np.lexsort((-right * share, -share))
    error = np.empty(len(order))
    error[order] = np.arange(len(order))
    return three_cases(np.where(np.isnan(share), np.nan, error))


def choose_disagreement(truth: PointTruth, scores: Sequence[PointScores], n: int = 2) -> list[int]:
    """Rows on which the methods' MMA@3 differs most, one of each sequence."""
    if len(scores) < 2:
        return []
    spread = np.stack([s.mean(MMA.key) for s in scores]).std(axis=0)
    return most_apart(spread, truth.groups.tolist(), n)


def method_pictures(gallery: PairGallery, scores: Sequence[PointScores]) -> list[tuple[str, list[Picture]]]:
    """Best, median and worst pair of each method."""
    out = []
    for s in scores:
        pairs = choose_pairs(s).items()
        titles = {row: f"{case}, {gallery.truth.pairs[row].name}:" for case, row in pairs}
        out.append((s.method, [gallery.picture(row, s, title) for row, title in titles.items()]))
    return out


def disagreement_pictures(
    gallery: PairGallery, scores: Sequence[PointScores], rows: Sequence[int]
) -> list[tuple[str, list[Picture]]]:
    """For each row, every method's matches on it."""
    pairs = gallery.truth.pairs
    return [
        (
            ", ".join(filter(None, (pairs[row].name, pairs[row].change))),
            [gallery.picture(row, s, s.method) for s in scores],
        )
        for row in rows
    ]


def strip(gallery: PairGallery, scores: Sequence[PointScores], n: int = 3) -> list[tuple[str, Array]]:
    """The pair on which the methods disagree most under up to ``n`` of them, worst to best there."""
    rows = choose_disagreement(gallery.truth, scores, 1)
    if not rows:
        return []
    order = sorted(scores, key=lambda s: float(s.mean(MMA.key)[rows[0]]))
    return [
        (f"{s.method}\n{MMA.title} {float(s.values[MMA.key][0, rows[0]]):.2f}", gallery.draw(rows[0], s))
        for s in (order[i] for i in evenly(len(order), n))
    ]
