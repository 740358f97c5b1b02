"""Sub-pixel refinement of matched points on the pixels around them, all points at once.

Two pictures that nearly agree (one warped onto the other), or an affine map between them, and matched points
go in, the second picture's points come out, each moved to where the patches agree best.  Never here:
learning, truth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..imaging.geometry import apply_homography, extract_patches, grid_offsets
from ..imaging.images import as_uint8, to_grey
from ..structures import Array, InputError, Parameters
from ..structures.pairs import Matched, PairMatcher
from . import local, robust
from .epipolar import find_guide
from .two_stage import warp_onto
from .watch import Clock

_GAIN = 0.02  #: a move must raise the patches' correlation, or lower it by no more than this
_STILL_PX = 0.03  # a point whose last step was shorter has arrived
_BEND = 0.1  # largest change of the affine map in one step
_ALIKE = 0.9  # least correlation of two patches that a guide along lines leaves
_FINE_PX = 0.3  # ... and their largest distance from the epipolar line
_FEW = 12  # with fewer matches left, those before the refinement stand
_FLAT = 4.0  # grey values squared: the least mean squared gradient along the flatter direction


def least_squares_matching(
    image_a: Array,
    image_b: Array,
    xy_a: ArrayLike,
    xy_b: ArrayLike,
    size_px: int = 21,
    n_iterations: int = 5,
    max_shift_px: float = 2.0,
    affine: ArrayLike | None = None,
    min_correlation: float = -1.0,
) -> tuple[Array, Array]:
    """Points of picture b moved so that the patches around both agree (Gruen 1985).

    Parameters
    ----------
    image_a, image_b : grey uint8 pictures of about the same scale and orientation at the points
    xy_a, xy_b : (N, 2) matched points; those of a stay where they are
    size_px : odd side of the patches, Gaussian-weighted (sigma = a quarter of it)
    n_iterations : Gauss-Newton steps
    max_shift_px : a point that would move farther stays where it was
    affine : (2, 2), about how picture a's axes lie in b; each patch's own affine map is then found too, which
        needs more texture.  None: the pictures agree but for shifts
    min_correlation : a point whose patches agree less in the end stays where it was

    Returns
    -------
    xy_b : (N, 2) float32
    moved : (N,) bool; a point without texture, one that would move too far, and one whose patches
        would agree less than before stays

    Notes
    -----
    A translation, a gain and an offset per patch; the paper's affine part where ``affine`` is given.
    Inverse compositional (Baker & Matthews 2004): gradients are those of a's patches, once.

    References
    ----------
    A. Gruen, Adaptive least squares correlation: a powerful image matching technique, South
    African Journal of Photogrammetry, Remote Sensing and Cartography 14(3), 1985.
    S. Baker, I. Matthews, Lucas-Kanade 20 years on: a unifying framework, IJCV 56(3), 2004.
    """
    if size_px < 5 or size_px % 2 == 0:
        raise InputError(f"size_px must be odd and at least 5, got {size_px}")
    start = np.asarray(xy_b, np.float32).reshape(-1, 2)
    if len(start) == 0:
        return start.copy(), np.zeros(0, bool)
    fine_a, fine_b = (image.astype(np.float32) for image in (image_a, image_b))
    outer = extract_patches(fine_a, np.asarray(xy_a, np.float32), size_px + 2)
    weight = _window(size_px)
    along_x = outer[:, 1:-1, 2:] - outer[:, 1:-1, :-2]
    along_y = outer[:, 2:, 1:-1] - outer[:, :-2, 1:-1]
    gradient = np.stack([along_x, along_y], axis=1).reshape(len(start), 2, -1) * np.float32(0.5)
    target, length = _unit(outer[:, 1:-1, 1:-1].reshape(len(start), -1), weight)
    axes = np.tile(np.eye(2) if affine is None else np.asarray(affine, float), (len(start), 1, 1))
    if affine is not None:
        by_place = gradient[:, :, None] * grid_offsets(size_px).reshape(-1, 2).T.astype(np.float32)
        gradient = np.concatenate([gradient, by_place.reshape(len(start), 4, -1)], axis=1)
    weighted = gradient * weight
    normal = np.einsum("nip,njp->nij", weighted, gradient).astype(float)
    able = np.linalg.eigvalsh(normal[:, :2, :2])[:, 0] > _FLAT
    able &= np.linalg.cond(normal) < 1e9
    normal[~able] = np.eye(normal.shape[1])
    solve = np.linalg.inv(normal)
    xy = start.astype(float)
    before = np.zeros(len(start), np.float32)
    active = np.flatnonzero(able)  # those that still move
    for turn in range(n_iterations if len(active) else 0):
        patch = _patches(fine_b, xy[active], size_px, axes[active], weight)
        if turn == 0:
            before[active] = np.einsum("np,np,p->n", patch, target[active], weight)
        error = (patch - target[active]) * length[active, None]
        step = np.einsum("nij,nj->ni", solve[active], np.einsum("nip,np->ni", weighted[active], error))
        if affine is not None:
            bend = np.clip(step[:, 2:].reshape(-1, 2, 2), -_BEND, _BEND)
            axes[active] = axes[active] @ np.linalg.inv(np.eye(2) + bend)
        step = step[:, :2]
        xy[active] -= np.einsum("nij,nj->ni", axes[active], np.clip(step, -1, 1))
        active = active[np.abs(step).max(axis=1) > _STILL_PX]
        if len(active) == 0:
            break
    patch = _patches(fine_b, xy, size_px, axes, weight)
    agreement = np.einsum("np,np,p->n", patch, target, weight)
    moved = able & (np.linalg.norm(xy - start, axis=1) <= max_shift_px)
    moved &= agreement >= np.maximum(before - _GAIN, min_correlation)
    return np.where(moved[:, None], xy, start).astype(np.float32), moved


def _window(size_px: int) -> Array:
    """(size * size,) float32 Gaussian that sums to 1."""
    line = cv2.getGaussianKernel(size_px, size_px / 4, cv2.CV_32F)
    window: Array = (line @ line.T).ravel()
    return window


def _patches(image: Array, xy: Array, size_px: int, axes: Array, weight: Array) -> Array:
    patch = extract_patches(image, xy, size_px, affine=axes)
    return _unit(patch.reshape(len(xy), -1), weight)[0]


def _unit(patch: Array, weight: Array) -> tuple[Array, Array]:
    """Patches (N, P) without their weighted mean and of weighted length 1, and those lengths (N,)."""
    patch = patch - (patch @ weight)[:, None]
    length = np.sqrt(np.maximum(np.einsum("np,np,p->n", patch, patch, weight), 1e-6))
    return patch / length[:, None], length


@dataclass(eq=False, repr=False)
class RefinedMatcher(Parameters):
    """Any matcher's points moved to sub-pixel agreement, and its homography estimated again.

    Parameters
    ----------
    first : PairMatcher
        Gives the matches, and the homography that warps picture a onto b.
    radius_px : float
        Matches farther from the homography than this stay as they are.
    size_px, n_iterations, max_shift_px : as for :func:`least_squares_matching`
    guide : "homography" or "epipolar"
        What patches are compared through: the first matcher's homography, or an affine map of each
        patch's own, for scenes that are no plane.  Then only matches are left whose patches agree (a
        correlation of 0.9) and that lie within 0.3 px of their epipolar lines.
    threshold_px, ranked, random_state : as for :class:`.matchers.FeatureMatcher`

    Notes
    -----
    Where the first matcher finds no homography (no fundamental matrix) its result stands.  The stage is
    called "refine".
    """

    _least: ClassVar = {"radius_px": 0, "n_iterations": 0, "max_shift_px": 0}

    first: PairMatcher
    radius_px: float = 4.0
    size_px: int = 21
    n_iterations: int = 5
    max_shift_px: float = 2.0
    guide: Literal["homography", "epipolar"] = "homography"
    threshold_px: float = 3.0
    ranked: bool = True
    random_state: int = 0

    def match(self, image_a: Array, image_b: Array) -> Matched:
        """As :meth:`.matchers.FeatureMatcher.match`, with refined points of picture b."""
        self.check_numbers()
        a, b = local.picture(image_a), local.picture(image_b)
        found = self.first.match(a, b)
        clock = Clock()
        with clock("refine"):
            result = self._refined(to_grey(as_uint8(a)), to_grey(as_uint8(b)), found)
        return replace(result, seconds={**found.seconds, **clock.seconds})

    def _refined(self, a: Array, b: Array, found: Matched) -> Matched:
        if self.guide == "epipolar":
            return self._along_lines(a, b, found)
        if self.guide != "homography":
            raise InputError(f'RefinedMatcher: guide must be "homography" or "epipolar", got {self.guide!r}')
        if not np.isfinite(found.homography).all():
            return found
        predicted = apply_homography(found.homography, found.xy_a)
        near = np.flatnonzero(np.linalg.norm(predicted - found.xy_b, axis=1) <= self.radius_px)
        warped = warp_onto(a, found.homography, (b.shape[0], b.shape[1]))
        xy_b = found.xy_b.copy()
        xy_b[near], _ = least_squares_matching(
            warped, b, predicted[near], xy_b[near], self.size_px, self.n_iterations, self.max_shift_px
        )
        estimate = self._estimate(found.xy_a, xy_b)
        if not np.isfinite(estimate.matrix).all():
            return found
        return replace(found, xy_b=xy_b, homography=estimate.matrix, inlier=estimate.inlier)

    def _along_lines(self, a: Array, b: Array, found: Matched) -> Matched:
        guide = find_guide(found.xy_a, found.xy_b, self.random_state)
        if guide is None:
            return found
        settings = self.size_px, self.n_iterations, self.max_shift_px, guide.affine[:2, :2], _ALIKE
        xy_b, moved = least_squares_matching(a, b, guide.xy_a, guide.xy_b, *settings)
        rows, xy_b = guide.rows[moved], xy_b[moved]
        fine = robust.estimate_fundamental(found.xy_a[rows], xy_b, _FINE_PX, self.random_state).inlier
        if fine.sum() < _FEW:
            return found
        xy_a, xy_b, score = found.xy_a[rows[fine]], xy_b[fine], found.score[rows[fine]]
        estimate = self._estimate(xy_a, xy_b)
        return replace(
            found,
            xy_a=xy_a,
            xy_b=xy_b,
            score=score,
            homography=estimate.matrix,
            inlier=estimate.inlier,
            reason=estimate.reason,
        )

    def _estimate(self, xy_a: Array, xy_b: Array) -> robust.Estimate:
        return robust.estimate_homography(xy_a, xy_b, self.threshold_px, self.random_state, self.ranked)
