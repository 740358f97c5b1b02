"""Points of one picture, and the pyramid of one picture that points are described on.

Letters: **N** points, **L** levels.  Never here: reading files, image processing, learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .base import Array, InputError, column, short_repr


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Points of one picture, column by column.  Zero points are valid.

    Parameters
    ----------
    xy : (N, 2) float32
        x right, y down; an integer is a pixel's centre.
    score : (N,) float32
        Detector response, 0 when unknown.
    size : (N,) float32
        Diameter of the meaningful neighbourhood in px (``cv2.KeyPoint.size``), 1 when unknown.
    angle : (N,) float32
        Degrees in [0, 360), clockwise as on screen (``cv2.KeyPoint.angle``); NaN when undefined.
    octave : (N,) int32
        Pyramid level, packed as the detector packed it.
    label : (N,) int32
        Landmark index, or -1.
    """

    xy: Array
    score: Array = None  # type: ignore[assignment]
    size: Array = None  # type: ignore[assignment]
    angle: Array = None  # type: ignore[assignment]
    octave: Array = None  # type: ignore[assignment]
    label: Array = None  # type: ignore[assignment]

    __repr__ = short_repr

    def __post_init__(self) -> None:
        xy = np.ascontiguousarray(self.xy, np.float32)
        if xy.size == 0:
            xy = xy.reshape(0, 2)
        if xy.ndim != 2 or xy.shape[1] != 2:
            raise InputError(f"Keypoints.xy must have shape (N, 2), got {xy.shape}")
        n = len(xy)
        columns = {
            "xy": xy,
            "score": column(self.score, n, 0.0, np.float32, "score"),
            "size": column(self.size, n, 1.0, np.float32, "size"),
            "angle": column(self.angle, n, np.nan, np.float32, "angle"),
            "octave": column(self.octave, n, 0, np.int32, "octave"),
            "label": column(self.label, n, -1, np.int32, "label"),
        }
        for name, value in columns.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.xy)

    def __getitem__(self, rows: Any) -> Keypoints:
        """Row selection with a slice, an index array or a mask."""
        rows = np.atleast_1d(np.arange(len(self))[rows])
        return Keypoints(*(getattr(self, f.name)[rows] for f in fields(self)))

    def to_cv2(self) -> tuple[Any, ...]:
        """OpenCV's own type, in the same order; an undefined angle becomes -1."""
        import cv2

        angle = np.where(np.isnan(self.angle), -1.0, self.angle)
        return tuple(
            cv2.KeyPoint(*row)
            for row in zip(
                self.xy[:, 0].tolist(),
                self.xy[:, 1].tolist(),
                self.size.tolist(),
                angle.tolist(),
                self.score.tolist(),
                self.octave.tolist(),
                self.label.tolist(),
                strict=True,
            )
        )

    @classmethod
    def from_cv2(cls, keypoints: Sequence[Any]) -> Keypoints:
        """From a sequence of ``cv2.KeyPoint``; an angle of -1 becomes NaN."""
        if len(keypoints) == 0:
            return cls(np.zeros((0, 2), np.float32))
        rows = np.array([(*p.pt, p.response, p.size, p.angle) for p in keypoints], np.float32)
        angle = np.where(rows[:, 4] < 0, np.nan, rows[:, 4])
        octave = np.array([p.octave for p in keypoints], np.int32)
        label = np.array([p.class_id for p in keypoints], np.int32)
        return cls(rows[:, :2], rows[:, 2], rows[:, 3], angle, octave, label)


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Levels of one grey picture, finest first.

    ``levels[l]`` is (H_l, W_l) float32 in 0..255; ``scale[l]`` its size relative to the input
    (1, 0.5, ...); ``sigma[l]`` its Gaussian blur measured in px of the *input*.
    """

    levels: tuple[Array, ...]
    scale: Array
    sigma: Array

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.levels)
