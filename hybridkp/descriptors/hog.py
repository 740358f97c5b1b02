"""HOG around given points: dense orientation maps, computed once and read at every point.

Here lives the estimator; the maps themselves are in :mod:`hybridkp.descriptors.gradients`.  Sub-pixel
positions are interpolated, all points at a time.  No learning here.
"""

from __future__ import annotations

import cv2
import numpy as np
from sklearn.base import BaseEstimator

from ..geometry import extract_patches
from ..pyramid import level_points
from ..structures import Array, InputError, Keypoints, Pyramid
from .gradients import describe_cells, maps_reach, orientation_maps


class HOG(BaseEstimator):
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
    backend : "dense" or "skimage"
        "dense": :func:`~hybridkp.descriptors.orientation_maps`, read with exact bilinear weights.
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

    def __init__(
        self,
        cells: int = 4,
        cell_px: int = 4,
        n_orientations: int = 9,
        signed: bool = False,
        backend: str = "dense",
        level: int = 0,
    ):
        self.cells = cells
        self.cell_px = cell_px
        self.n_orientations = n_orientations
        self.signed = signed
        self.backend = backend
        self.level = level

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
        strip, xy = _as_strip(image, xy, self.reach_px)
        return describe_cells(strip, xy, self.cells, self.cell_px, self.n_orientations, self.signed)

    def maps(self, image: Array, pad: int = 0) -> Array:
        """The dense maps of one level (H, W): (H + 2 pad, W + 2 pad, n_orientations) float32.

        Reading them with :func:`sample_cells` gives :meth:`describe`'s rows; with ``pad`` at
        least ``reach_px`` also at the border.
        """
        return orientation_maps(image, self.n_orientations, self.cell_px, self.signed, pad=pad)

    @property
    def reach_px(self) -> int:
        """How far from the point a row looks, in px of the level."""
        return int(np.ceil((self.cells - 1) / 2 * self.cell_px)) + maps_reach(self.cell_px) + 1

    def _check(self) -> None:
        if self.backend not in ("dense", "skimage"):
            raise InputError(f'HOG: backend must be "dense" or "skimage", got {self.backend!r}')
        if self.backend == "skimage" and self.signed:
            raise InputError("HOG: scikit-image has no signed orientations; use backend='dense'")
        if min(self.cells, self.cell_px) < 1 or self.cell_px != int(self.cell_px):
            raise InputError(
                f"HOG: cells and cell_px must be whole and positive, got {self.cells}, {self.cell_px}"
            )

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


def _as_strip(image: Array, xy: Array, reach: int) -> tuple[Array, Array]:
    """A picture that holds all that the points (N, 2) can see, and the points in it.

    Either the box around the points or, where that is less work, the points' own
    neighbourhoods stacked into one tall picture.  Same rows either way.
    """
    h, w = image.shape
    low, high = np.floor(xy.min(axis=0)), np.floor(xy.max(axis=0)) + 1
    if low.min() < -reach or high[0] > w - 1 + reach or high[1] > h - 1 + reach:
        # farther out nothing changes any more along that direction
        xy = np.clip(xy, -reach, [w - 1 + reach, h - 1 + reach])
        low, high = np.floor(xy.min(axis=0)), np.floor(xy.max(axis=0)) + 1
    side = 2 * reach + 2
    if len(xy) * side**2 >= (high[0] - low[0] + side) * (high[1] - low[1] + side):
        first = low.astype(int) - reach
        return _cut(image, first, high.astype(int) + reach), xy - first
    corner = np.floor(xy).astype(np.intp) - reach
    columns = np.clip(corner[:, None, 0] + np.arange(side), 0, w - 1)
    rows = np.clip(corner[:, None, 1] + np.arange(side), 0, h - 1)
    stack = image[rows[:, :, None], columns[:, None, :]].reshape(-1, side)
    local = xy - corner
    local[:, 1] += np.arange(len(xy)) * side
    return stack, local


def _cut(image: Array, first: Array, last: Array) -> Array:
    """Pixels ``first`` to ``last`` (x, y, both included); outside, the border pixel repeats."""
    h, w = image.shape
    (x0, y0), (x1, y1) = first.tolist(), last.tolist()
    inside = image[max(y0, 0) : max(min(y1 + 1, h), 1), max(x0, 0) : max(min(x1 + 1, w), 1)]
    if x0 >= w or y0 >= h:  # all points far to the right or below
        inside = image[min(max(y0, 0), h - 1) :, min(max(x0, 0), w - 1) :]
        inside = inside[: max(y1 + 1 - max(y0, 0), 1), : max(x1 + 1 - max(x0, 0), 1)]
    top, left = max(-y0, 0), max(-x0, 0)
    bottom = (y1 - y0 + 1) - inside.shape[0] - top
    right = (x1 - x0 + 1) - inside.shape[1] - left
    if top or left or bottom or right:
        return cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return inside
