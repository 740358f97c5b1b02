"""Sub-pixel refinement of matched points on the pixels around them, all points at once.

Two pictures that nearly agree (one warped onto the other) and matched points go in, the second
picture's points come out, each moved to where the patches agree best.  Never here: learning, truth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..imaging.geometry import apply_homography, extract_patches
from ..imaging.images import as_uint8, to_grey
from ..structures import Array, InputError, Parameters
from ..structures.pairs import Matched, PairMatcher
from . import local, robust
from .planes import Plane, find_planes
from .two_stage import warp_onto
from .watch import Clock

_GAIN = 0.02  #: a move must raise the patches' correlation, or lower it by no more than this
_STILL_PX = 0.03  # a point whose last step was shorter has arrived
_FLAT = 4.0  # grey values squared: the least mean squared gradient along the flatter direction


def least_squares_matching(
    image_a: Array,
    image_b: Array,
    xy_a: ArrayLike,
    xy_b: ArrayLike,
    size_px: int = 21,
    n_iterations: int = 5,
    max_shift_px: float = 2.0,
) -> tuple[Array, Array]:
    """Points of picture b moved so that the patches around both agree (Gruen 1985).

    Parameters
    ----------
    image_a, image_b : grey uint8 pictures of about the same scale and orientation at the points
    xy_a, xy_b : (N, 2) matched points; those of a stay where they are
    size_px : odd side of the patches, Gaussian-weighted (sigma = a quarter of it)
    n_iterations : Gauss-Newton steps
    max_shift_px : a point that would move farther stays where it was

    Returns
    -------
    xy_b : (N, 2) float32
    moved : (N,) bool; a point without texture, one that would move too far, and one whose patches
        would agree less than before stays

    Notes
    -----
    A translation, a gain and an offset per patch; the paper's affine part is the warp's business.
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
    weighted = gradient * weight
    normal = np.einsum("nip,njp->nij", weighted, gradient).astype(float)
    able = np.linalg.eigvalsh(normal)[:, 0] > _FLAT
    normal[~able] = np.eye(2)
    solve = np.linalg.inv(normal)
    xy = start.astype(float)
    before = np.zeros(len(start), np.float32)
    active = np.flatnonzero(able)  # those that still move
    for turn in range(n_iterations if len(active) else 0):
        patch, _ = _unit(extract_patches(fine_b, xy[active], size_px).reshape(len(active), -1), weight)
        if turn == 0:
            before[active] = np.einsum("np,np,p->n", patch, target[active], weight)
        error = (patch - target[active]) * length[active, None]
        step = np.einsum("nij,nj->ni", solve[active], np.einsum("nip,np->ni", weighted[active], error))
        xy[active] -= np.clip(step, -1, 1)
        active = active[np.abs(step).max(axis=1) > _STILL_PX]
        if len(active) == 0:
            break
    patch, _ = _unit(extract_patches(fine_b, xy, size_px).reshape(len(start), -1), weight)
    agreement = np.einsum("np,np,p->n", patch, target, weight)
    moved = able & (np.linalg.norm(xy - start, axis=1) <= max_shift_px) & (agreement >= before - _GAIN)
    return np.where(moved[:, None], xy, start).astype(np.float32), moved


def _window(size_px: int) -> Array:
    """(size * size,) float32 Gaussian that sums to 1."""
    line = cv2.getGaussianKernel(size_px, size_px / 4, cv2.CV_32F)
    window: Array = (line @ line.T).ravel()
    return window


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
    guide : "homography" or "planes"
        What picture a is warped by: the first matcher's homography, or each of the planes that its matches
        fall into (:func:`.planes.find_planes`), for the matches of that plane.
    threshold_px, ranked, random_state : as for :class:`.matchers.FeatureMatcher`

    Notes
    -----
    Where the first matcher finds no homography its result stands.  The stage is called "refine".
    """

    first: PairMatcher
    radius_px: float = 4.0
    size_px: int = 21
    n_iterations: int = 5
    max_shift_px: float = 2.0
    guide: Literal["homography", "planes"] = "homography"
    threshold_px: float = 3.0
    ranked: bool = True
    random_state: int = 0

    def match(self, image_a: Array, image_b: Array) -> Matched:
        """As :meth:`.matchers.FeatureMatcher.match`, with refined points of picture b."""
        a, b = local.picture(image_a), local.picture(image_b)
        found = self.first.match(a, b)
        clock = Clock()
        with clock("refine"):
            result = self._refined(to_grey(as_uint8(a)), to_grey(as_uint8(b)), found)
        return replace(result, seconds={**found.seconds, **clock.seconds})

    def _refined(self, a: Array, b: Array, found: Matched) -> Matched:
        guides = self._guides(found)
        if not guides:
            return found
        xy_b = found.xy_b.copy()
        for homography, near in guides:
            predicted = apply_homography(homography, found.xy_a[near])
            warped = warp_onto(a, homography, (b.shape[0], b.shape[1]))
            xy_b[near], _ = least_squares_matching(
                warped, b, predicted, xy_b[near], self.size_px, self.n_iterations, self.max_shift_px
            )
        estimate = robust.estimate_homography(
            found.xy_a, xy_b, self.threshold_px, self.random_state, self.ranked
        )
        if not np.isfinite(estimate.matrix).all():
            return found if self.guide == "homography" else replace(found, xy_b=xy_b)
        return replace(found, xy_b=xy_b, homography=estimate.matrix, inlier=estimate.inlier)

    def _guides(self, found: Matched) -> list[Plane]:
        """The homographies to warp by, each with the rows of the matches near it."""
        if self.guide == "planes":
            return find_planes(found.xy_a, found.xy_b, self.radius_px, random_state=self.random_state)
        if self.guide != "homography":
            raise InputError(f'RefinedMatcher: guide must be "homography" or "planes", got {self.guide!r}')
        if not np.isfinite(found.homography).all():
            return []
        away = np.linalg.norm(apply_homography(found.homography, found.xy_a) - found.xy_b, axis=1)
        return [Plane(found.homography, np.flatnonzero(away <= self.radius_px))]
