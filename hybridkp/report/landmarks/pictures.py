"""Chooses the pictures that a reader should see, draws truth and prediction on them, packs them as JPEG.

Each method's best, median and worst object, and the objects on which the methods disagree most.
Pictures are read through the data set, one at a time; nothing is written and no metric computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...imaging.draw import draw_landmarks
from ...imaging.geometry import apply_affine, crop_matrix, points_box, warp
from ...structures import Array
from ...structures.base import evenly
from ..cells import SPACE
from ..embed import Picture, jpeg_uri, most_apart, read_picture, three_cases
from .scores import Scores, Truth

SIDE = 320  #: px; shown at about 200, so that a telephone's dense screen gets something sharper
MANY = 110  #: from so many pictures on they are packed smaller, to keep the page under 5 MB


@dataclass(eq=False)
class Gallery:
    """Cuts objects out of their pictures once each, and draws predictions on copies of the crops."""

    truth: Truth
    side: int = SIDE

    def __post_init__(self) -> None:
        self._crops: dict[int, tuple[Array, Array]] = {}
        self.unreadable: set[str] = set()

    def _crop(self, row: int) -> tuple[Array, Array]:
        """The crop around the object, and the map from the picture to it."""
        if row not in self._crops:
            sample, size_hw = self.truth.samples[row], (self.side, self.side)
            image = read_picture(sample.load, sample.name, self.unreadable, size_hw)
            matrix = crop_matrix(self._box(row, image), size_hw, margin=1.35)
            self._crops[row] = warp(image, matrix, size_hw), matrix
        return self._crops[row]

    def _box(self, row: int, image: Array) -> Array:
        """Around the labelled points; else the object's own box; else the whole picture."""
        whole = np.array([0, 0, image.shape[1], image.shape[0]], float)
        for box in (points_box(self.truth.xy[row]), self.truth.instances[row].box_xywh, whole):
            if np.isfinite(box).all() and max(box[2:]) > 2:
                return np.array([*box[:2] - (box[2:] < 1) / 2, *np.maximum(box[2:], 1)])
        return np.array([0.0, 0.0, 100.0, 100.0])

    def draw(self, row: int, xy: Array) -> Array:
        """(side, side, 3) BGR: the object with its truth and one method's prediction, (K, 2)."""
        crop, matrix = self._crop(row)
        skeleton = self.truth.dataset.skeleton if self.truth.xy.shape[1] <= 30 else None
        truth = apply_affine(matrix, self.truth.xy[row])
        return draw_landmarks(crop, apply_affine(matrix, xy), truth=truth, skeleton=skeleton)

    def plain(self, row: int, title: str, caption: str) -> Picture:
        """The object with nothing drawn on it."""
        name = self.truth.samples[row].name
        return Picture(jpeg_uri(self._crop(row)[0]), f"{name}: {title}, {caption}", title, caption)

    def picture(self, row: int, scores: Scores, title: str) -> Picture:
        """The first seed's prediction, packed for the page."""
        name, error = self.truth.samples[row].name, error_text(self.truth, scores.errors[0, row])
        return Picture(
            src=jpeg_uri(self.draw(row, scores.xy[0, row])),
            alt=f"{scores.method} on {name}: truth and predicted landmarks, error {error}",
            title=title,
            caption=error,
        )


def error_text(truth: Truth, error: float) -> str:
    """A picture's own error as people read it."""
    factor, unit = truth.error_unit
    return f"{factor * error:.1f}{SPACE}{unit}"


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
    return most_apart(spread, truth.groups.tolist(), n)


def method_pictures(gallery: Gallery, scores: Sequence[Scores]) -> list[tuple[str, list[Picture]]]:
    """Best, median and worst for each method."""
    return [
        (s.method, [gallery.picture(row, s, case) for case, row in choose_cases(s).items()]) for s in scores
    ]


def disagreement_pictures(
    gallery: Gallery, scores: Sequence[Scores], rows: Sequence[int]
) -> list[tuple[str, list[Picture]]]:
    """For each row, every method's prediction on it."""
    truth = gallery.truth
    return [(truth.samples[row].name, [gallery.picture(row, s, s.method) for s in scores]) for row in rows]


def strip(gallery: Gallery, scores: Sequence[Scores], n: int = 6) -> list[tuple[str, Array]]:
    """One typical object (the best method's median) under up to ``n`` methods, worst to best."""
    cases = choose_cases(scores[0]) if scores else {}
    if not cases:
        return []
    row = cases.get("median", next(iter(cases.values())))
    return [
        (f"{s.method}\n{error_text(gallery.truth, s.errors[0, row])}", gallery.draw(row, s.xy[0, row]))
        for s in (scores[len(scores) - 1 - i] for i in evenly(len(scores), n))
    ]
