"""Chooses the pictures that a reader should see, draws truth and answer on them, packs them as JPEG.

Each method's best, median and worst object, and the objects on which the methods disagree most.
Pictures are read through the data set, one at a time; nothing is written and no metric computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...imaging.draw import draw_landmarks
from ...imaging.geometry import apply_affine, crop_matrix, points_box, warp
from ...imaging.images import as_uint8
from ...structures import Array, InputError
from ..embed import Picture, jpeg_uri, three_cases
from .scores import Scores, Truth

SIDE = 320  #: px; shown at about 200, so that a telephone's dense screen gets something sharper
MANY = 110  #: from so many pictures on they are packed smaller, to keep the page under 5 MB


@dataclass(eq=False)
class Gallery:
    """Cuts objects out of their pictures once each, and draws answers on copies of the crops."""

    truth: Truth
    side: int = SIDE

    def __post_init__(self) -> None:
        self._crops: dict[int, tuple[Array, Array]] = {}
        self.unreadable: set[str] = set()

    def _crop(self, row: int) -> tuple[Array, Array]:
        """The crop around the object, and the map from the picture to it."""
        if row not in self._crops:
            sample, size_hw = self.truth.samples[row], (self.side, self.side)
            try:
                image = as_uint8(sample.image, sample.name)
            except (InputError, OSError):
                self.unreadable.add(sample.name)
                image = None
            matrix = crop_matrix(self._box(row, image), size_hw, margin=1.35)
            crop = np.full((*size_hw, 3), 96, np.uint8) if image is None else warp(image, matrix, size_hw)
            self._crops[row] = crop, matrix
        return self._crops[row]

    def _box(self, row: int, image: Array | None) -> Array:
        """Around the labelled points; else the object's own box; else the whole picture."""
        candidates = [points_box(self.truth.xy[row]), self.truth.instances[row].box_xywh]
        if image is not None:
            candidates.append(np.array([0, 0, image.shape[1], image.shape[0]], float))
        for box in candidates:
            if np.isfinite(box).all() and max(box[2:]) > 2:
                return np.array([*box[:2] - (box[2:] < 1) / 2, *np.maximum(box[2:], 1)])
        return np.array([0.0, 0.0, 100.0, 100.0])

    def draw(self, row: int, xy: Array) -> Array:
        """(side, side, 3) BGR: the object with its truth and one method's answer, (K, 2)."""
        crop, matrix = self._crop(row)
        skeleton = self.truth.dataset.skeleton if self.truth.xy.shape[1] <= 30 else None
        truth = apply_affine(matrix, self.truth.xy[row])
        return draw_landmarks(crop, apply_affine(matrix, xy), truth=truth, skeleton=skeleton)

    def picture(self, row: int, scores: Scores, title: str) -> Picture:
        """The first seed's answer, packed for the page."""
        name, error = self.truth.samples[row].name, error_text(self.truth, scores.errors[0, row])
        return Picture(
            src=jpeg_uri(self.draw(row, scores.xy[0, row])),
            alt=f"{scores.method} on {name}: truth and predicted landmarks, error {error}",
            title=title,
            caption=error,
        )


def error_text(truth: Truth, error: float) -> str:
    """A picture's own error as people read it."""
    if truth.headline.kind == "pixel":
        return f"{error:.1f}\N{NO-BREAK SPACE}px"
    return f"{100 * error:.1f}\N{NO-BREAK SPACE}%"


def choose_cases(scores: Scores) -> dict[str, int]:
    """Rows of the first seed's best, median and worst object; fewer when there are fewer than three."""
    return three_cases(scores.errors[0])


def choose_disagreement(truth: Truth, scores: Sequence[Scores], n: int = 4) -> list[int]:
    """Rows on which the methods' errors differ most (spread of log error), one of each group."""
    if len(scores) < 2:
        return []
    errors = np.stack([s.error for s in scores])
    usable = np.isfinite(errors).all(0)
    spread = np.where(usable, np.log(np.maximum(errors, 1e-6)).std(axis=0), -1)
    chosen: list[int] = []
    for row in np.argsort(-spread, kind="stable").tolist():
        taken = {truth.groups[r] for r in chosen}
        if len(chosen) < n and spread[row] > 0 and truth.groups[row] not in taken:
            chosen.append(row)
    return chosen


def method_pictures(gallery: Gallery, scores: Sequence[Scores]) -> list[tuple[str, list[Picture]]]:
    """Best, median and worst for each method."""
    return [
        (s.method, [gallery.picture(row, s, case) for case, row in choose_cases(s).items()]) for s in scores
    ]


def disagreement_pictures(
    gallery: Gallery, scores: Sequence[Scores], rows: Sequence[int]
) -> list[tuple[str, list[Picture]]]:
    """For each row, every method's answer on it."""
    truth = gallery.truth
    return [(truth.samples[row].name, [gallery.picture(row, s, s.method) for s in scores]) for row in rows]


def strip(gallery: Gallery, scores: Sequence[Scores], n: int = 6) -> list[tuple[str, Array]]:
    """One typical object (the best method's median) under up to ``n`` methods, worst to best."""
    row = next((r for r in [choose_cases(scores[0])] if r), {})
    if not row:
        return []
    chosen = row.get("median", next(iter(row.values())))
    places = np.unique(np.linspace(len(scores) - 1, 0, min(n, len(scores))).round().astype(int))[::-1]
    out = []
    for s in (scores[i] for i in places.tolist()):
        caption = f"{s.method}\n{error_text(gallery.truth, s.errors[0, chosen])}"
        out.append((caption, gallery.draw(chosen, s.xy[0, chosen])))
    return out
