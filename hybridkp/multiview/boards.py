"""Boards for calibration and how they are found in pictures: ChArUco and checkerboards.

Pictures come in, corners (C, 2) px with their numbers go out.  No camera is computed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from ..imaging.images import as_uint8, to_grey
from ..structures import Array, InputError
from ..structures.base import short_repr

LEAST = 6  #: corners below which a picture says nothing
_FORM = re.compile(
    r"(?P<kind>charuco|checkerboard):(?P<cols>\d+)x(?P<rows>\d+):(?P<square>[\d.]+)(?P<unit>[a-z]*)"
    r"(:(?P<marker>[\d.]+)(:(?P<dictionary>\w+))?)?(?P<legacy>:legacy)?"
)
MOST_SQUARES = 100  #: in a row


@dataclass(frozen=True)
class Board:
    """A flat board of squares.

    Parameters
    ----------
    kind : "charuco" or "checkerboard"
    squares : columns and rows of *squares* (a checkerboard of 9 x 6 inner corners has 10 x 7)
    square, marker : sides, in ``unit``
    dictionary : of the markers, as OpenCV calls it without DICT: "4x4_1000", "aruco_original"
    legacy : ChArUco boards of OpenCV before 4.6 with an even number of rows begin with a marker

    Examples
    --------
    >>> board = Board.parse("charuco:8x11:24mm:18.75:4x4_1000")
    >>> board.squares, board.unit, len(board.corners)
    ((8, 11), 'mm', 70)
    """

    kind: str
    squares: tuple[int, int]
    square: float
    marker: float = 0.0
    dictionary: str = "4x4_1000"
    unit: str = "mm"
    legacy: bool = False

    __repr__ = short_repr

    def __post_init__(self) -> None:
        cols, rows = self.squares
        if self.kind not in ("charuco", "checkerboard"):
            raise InputError(f"a board is charuco or checkerboard, not {self.kind!r}")
        if not (3 <= cols <= MOST_SQUARES and 3 <= rows <= MOST_SQUARES):
            raise InputError(f"a board has 3 to {MOST_SQUARES} squares a side, not {cols} x {rows}")
        if not 0 < self.square < np.inf:
            raise InputError("a board's square must have a side above 0")
        if self.kind == "charuco":
            if not 0 < self.marker < self.square:
                raise InputError("a ChArUco board's marker must be smaller than its square, and above 0")
            if not hasattr(cv2.aruco, f"DICT_{self.dictionary.upper()}"):
                raise InputError(f"no dictionary {self.dictionary!r}: such as 4x4_50, 4x4_1000, 5x5_250")

    @classmethod
    def parse(cls, text: str) -> Board:
        """``charuco:COLSxROWS:SQUARE:MARKER:DICTIONARY[:legacy]`` or ``checkerboard:COLSxROWS:SQUARE``."""
        found = _FORM.fullmatch(text.strip().lower())
        if found is None or (found["kind"] == "charuco") != bool(found["marker"]):
            raise InputError(
                f"no board {text[:60]!r}: charuco:8x11:24mm:18.75:4x4_1000, or checkerboard:10x7:25mm"
                " (squares, not inner corners)"
            )
        try:
            sides = float(found["square"]), float(found["marker"] or 0)
            size = int(found["cols"]), int(found["rows"])
        except ValueError:
            raise InputError(f"no board {text[:60]!r}: a side is no number") from None
        names = found["dictionary"] or "4x4_1000", found["unit"] or "mm"
        return cls(found["kind"], size, *sides, *names, bool(found["legacy"]))

    @property
    def corners(self) -> Array:
        """(C, 3) inner corners on the board, z = 0, row by row."""
        x, y = np.meshgrid(np.arange(1, self.squares[0]), np.arange(1, self.squares[1]))
        return np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)]) * self.square

    @property
    def symmetric(self) -> bool:
        """Whether it looks the same after half a turn: a checkerboard of two even or two odd sides."""
        return self.kind == "checkerboard" and (self.squares[0] + self.squares[1]) % 2 == 0

    @cached_property
    def _detector(self) -> Any:
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{self.dictionary.upper()}"))
        board = cv2.aruco.CharucoBoard(self.squares, self.square, self.marker, dictionary)
        board.setLegacyPattern(self.legacy)
        return cv2.aruco.CharucoDetector(board)

    def find(self, image: Array) -> tuple[Array, Array]:
        """Numbers (n,) and places (n, 2) px of the corners in a picture; none where under six are seen."""
        grey = to_grey(as_uint8(image))
        numbers, xy = self._charuco(grey) if self.kind == "charuco" else self._checkerboard(grey)
        grid = np.column_stack([numbers % (self.squares[0] - 1), numbers // (self.squares[0] - 1)])
        flat = len(numbers) < LEAST or np.linalg.matrix_rank(grid - grid[:1]) < 2
        return (numbers[:0], xy[:0]) if flat else (numbers, xy)

    def _charuco(self, grey: Array) -> tuple[Array, Array]:
        xy, numbers, _, _ = self._detector.detectBoard(grey)
        if numbers is None or not len(numbers):
            return np.zeros(0, int), np.zeros((0, 2))
        return np.asarray(numbers, int).ravel(), np.asarray(xy, np.float64).reshape(-1, 2)

    def _checkerboard(self, grey: Array) -> tuple[Array, Array]:
        cols, rows = self.squares[0] - 1, self.squares[1] - 1
        ok, xy = cv2.findChessboardCornersSB(grey, (cols, rows), flags=cv2.CALIB_CB_ACCURACY)
        if not ok:
            return np.zeros(0, int), np.zeros((0, 2))
        grid = np.asarray(xy, np.float64).reshape(rows, cols, 2)
        if not self.symmetric and _dark(grey, grid[:2, :2]) > _dark(grey, grid[:2, 1:3]):
            grid = grid[::-1, ::-1]
        return np.arange(rows * cols), grid.reshape(-1, 2)


def _dark(grey: Array, corners: Array) -> float:
    """The grey level in the middle of a square of (2, 2, 2) corners."""
    x, y = np.rint(corners.reshape(4, 2).mean(0)).astype(int)
    return float(grey[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean())
