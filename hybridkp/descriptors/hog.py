"""HOG around given points: dense orientation maps, computed once and read at every point.

Here lives the estimator; the maps themselves are in :mod:`hybridkp.descriptors.gradients`.  Sub-pixel
positions are interpolated, all points at a time.  No learning here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from ..imaging.geometry import extract_patches, grid_offsets
from ..imaging.opencv import create_hog
from ..imaging.pyramid import level_points, sub_pyramid
from ..structures import Array, InputError, Keypoints, Parameters, Pyramid
from .gradients import cells_reach, describe_pictures, describe_points, orientation_maps
from .pictures import OfPictures
from .windows import window_strip


@dataclass(eq=False, repr=False)
class HOG(OfPictures, Parameters):
    """Histograms of oriented gradients (Dalal & Triggs 2005) in a square of cells around points.

    Parameters
    ----------
    cells : int
        The square has ``cells`` x ``cells`` cells and is centred on the point.
    cell_px : int
        Side of a cell in px of the level.
    n_orientations : int
    signed : bool
        Orientations over 360 degrees in place of 180.
    backend : "dense", "opencv" or "skimage"
        "dense": :func:`~hybridkp.descriptors.orientation_maps`, read with exact bilinear weights.
        "opencv": ``cv2.HOGDescriptor`` with the whole square as one block, weighted by a Gaussian and
        normalised as a whole; the quickest for few points, but points are rounded to the pixel
        (half pixels in squares of even side), as OpenCV's SIFT does; no ``signed``.
        "skimage": ``skimage.feature.hog`` on a patch around each point, block by block, each cell
        averaged over the four blocks that hold it; a slow reference (hard votes, no ``signed``).
    level : int
        Pyramid level that is looked at.

    Notes
    -----
    A row is ordered row of cells, cell, orientation.  Upright only.  Outside the picture its
    border pixel repeats, so points at the border and beyond get rows like any other.  A blank
    picture gives zeros.  Departures from the paper: see :func:`orientation_maps`.

    References
    ----------
    N. Dalal, B. Triggs, Histograms of oriented gradients for human detection, CVPR 2005.
    """

    cells: int = 4
    cell_px: int = 4
    n_orientations: int = 9
    signed: bool = False
    backend: str = "dense"
    level: int = 0

    @property
    def n_features(self) -> int:
        return self.cells**2 * self.n_orientations

    def describe(self, pyramid: Pyramid, keypoints: Keypoints) -> Array:
        """Rows (N, cells * cells * n_orientations) float32, row i for keypoint i.

        Raises
        ------
        InputError
            For a level the pyramid lacks, points that are NaN, parameters out of range.
        """
        self._check()
        image, xy = level_points(pyramid, keypoints, self.level)
        if len(xy) == 0:
            return np.zeros((0, self.n_features), np.float32)
        if self.backend == "skimage":
            return self._describe_skimage(image, xy)
        if self.backend == "opencv":
            return self._describe_opencv(image, xy)
        return describe_points(image, xy, self.cells, self.cell_px, self.n_orientations, self.signed)

    def describe_levels(
        self, pyramid: Pyramid, keypoints: Keypoints, levels: Sequence[int]
    ) -> Sequence[Array]:
        """:meth:`describe` on the pyramid from each of ``levels`` on; all in one go where that is quicker."""
        pyramids = [sub_pyramid(pyramid, level) for level in levels]
        if self.backend != "dense" or len(keypoints) == 0:
            return [self.describe(part, keypoints) for part in pyramids]
        self._check()
        images, xy = zip(*(level_points(part, keypoints, self.level) for part in pyramids), strict=True)
        rows = describe_pictures(images, xy, self.cells, self.cell_px, self.n_orientations, self.signed)
        return list(rows.reshape(len(pyramids), len(keypoints), -1))

    def maps(self, image: Array, pad: int = 0) -> Array:
        """The dense maps of one level (H, W): (H + 2 pad, W + 2 pad, n_orientations) float32.

        Reading them with :func:`sample_cells` gives :meth:`describe`'s rows where all cells' centres
        are whole px: at whole px of the level if ``(cells - 1) * cell_px`` is even, at half px if it
        is odd; with ``pad`` at least ``reach_px`` also at the border.  Elsewhere values differ by a
        few hundredths: the maps are clipped before they are interpolated, rows afterwards.
        """
        return orientation_maps(image, self.n_orientations, self.cell_px, self.signed, pad=pad)

    @property
    def reach_px(self) -> int:
        """How far from the point a row looks, in px of the level."""
        return cells_reach(self.cells, self.cell_px)

    def feature_places(self) -> tuple[Array, float]:
        """(D, 2) offsets of each feature's cell from the point, px of the finest level, and a cell's side."""
        side = float(self.cell_px * 2**self.level)
        places = grid_offsets(self.cells, side)
        return np.repeat(places.reshape(-1, 2), self.n_orientations, axis=0), side

    def _check(self) -> None:
        if self.backend not in ("dense", "opencv", "skimage"):
            raise InputError(f'HOG: backend must be "dense", "opencv" or "skimage", got {self.backend!r}')
        if self.backend != "dense" and self.signed:
            raise InputError(f"HOG: {self.backend} has no signed orientations here; use backend='dense'")
        if self.n_orientations < 2:
            raise InputError(f"HOG: n_orientations must be at least 2, got {self.n_orientations}")
        if min(self.cells, self.cell_px) < 1 or self.cell_px != int(self.cell_px):
            raise InputError(
                f"HOG: cells and cell_px must be whole and positive, got {self.cells}, {self.cell_px}"
            )

    def _describe_opencv(self, image: Array, xy: Array) -> Array:
        side = self.cells * self.cell_px
        corner = np.floor(xy - (side - 2) / 2).astype(np.int32)  # nearest to xy - (side - 1) / 2
        corner -= 1  # a pixel more all around, for the gradient
        part, corner = window_strip(image, corner, side + 2)
        part, corner = cv2.convertScaleAbs(part), corner + 1
        hog = _opencv_hog(self.cells, self.cell_px, self.n_orientations)
        rows = hog.compute(part, locations=corner.tolist())
        rows = rows.reshape(len(xy), self.cells, self.cells, -1)  # OpenCV goes down columns
        return np.ascontiguousarray(rows.transpose(0, 2, 1, 3)).reshape(len(xy), -1)

    def _describe_skimage(self, image: Array, xy: Array) -> Array:
        from skimage.feature import hog

        side = self.cells + 2  # a ring of cells more: every cell we keep lies in four blocks
        patches = extract_patches(image, xy, side * self.cell_px)
        out = np.empty((len(xy), self.cells, self.cells, self.n_orientations), np.float32)
        for row, patch in zip(out, patches, strict=True):
            blocks = hog(
                patch,
                self.n_orientations,
                (self.cell_px, self.cell_px),
                (2, 2),
                block_norm="L2-Hys",
                feature_vector=False,
            )
            inner = slice(1, None), slice(None, -1)
            row[:] = sum(blocks[inner[i], inner[j], i, j] for i in (0, 1) for j in (0, 1)) / 4
        return out.reshape(len(xy), -1)


@lru_cache(maxsize=16)
def _opencv_hog(cells: int, cell_px: int, n_orientations: int) -> Any:
    side = cells * cell_px
    return create_hog(side, side, cell_px, cell_px, n_orientations)
