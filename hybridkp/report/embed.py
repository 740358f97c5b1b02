"""Pictures inside the page: which rows a reader should see, and a picture as a data URI.

Knows no task; what is drawn on the pictures is the tasks' own.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..imaging.images import as_uint8
from ..structures import Array, InputError

QUALITY = 80
CASES = ("best", "median", "worst")


@dataclass(frozen=True)
class Picture:
    """One picture of the page: ``src`` is a data URI."""

    src: str
    alt: str
    title: str
    caption: str


def jpeg_uri(image: Array, quality: int = QUALITY) -> str:
    """A BGR picture as ``data:image/jpeg;base64,...``."""
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:  # pragma: no cover - cv2 packs every uint8 picture
        raise InputError("a picture of the report could not be packed as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def read_picture(
    load: Callable[[], Array], name: str, unreadable: set[str], blank_hw: tuple[int, int]
) -> Array:
    """The picture as uint8; grey, and noted in ``unreadable``, where it cannot be read."""
    try:
        return as_uint8(load(), name)
    except (InputError, OSError):
        unreadable.add(name)
        return np.full((*blank_hw, 3), 96, np.uint8)


def most_apart(spread: Array, groups: Sequence[str], n: int) -> list[int]:
    """Up to n rows of the largest (B,) spread above 0, one of each group."""
    chosen: list[int] = []
    for row in np.argsort(-np.nan_to_num(spread), kind="stable").tolist():
        if len(chosen) < n and spread[row] > 0 and groups[row] not in {groups[r] for r in chosen}:
            chosen.append(row)
    return chosen


def css_color(bgr: tuple[int, ...]) -> str:
    """A color of OpenCV for a page.

    >>> css_color((255, 128, 0))
    '#0080ff'
    """
    return "#{2:02x}{1:02x}{0:02x}".format(*bgr)


def three_cases(error: Array) -> dict[str, int]:
    """Rows of the lowest, middle and highest of (B,) errors, NaN left out; fewer when fewer than three."""
    rows = np.flatnonzero(np.isfinite(error))
    rows = rows[np.argsort(error[rows], kind="stable")]
    if len(rows) == 0:
        return {}
    if len(rows) == 1:
        return {"only": int(rows[0])}
    if len(rows) == 2:
        return {"best": int(rows[0]), "worst": int(rows[1])}
    return dict(zip(CASES, (int(rows[0]), int(rows[len(rows) // 2]), int(rows[-1])), strict=True))
