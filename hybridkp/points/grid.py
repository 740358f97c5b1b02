"""A homography made better on a grid of patches: area-based, without points of any detector.

Any first matcher's homography warps picture a onto b; patches on a regular grid are matched by least
squares; their agreement, robustly estimated, is the new homography.  Never here: rows, learning, truth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..imaging.geometry import apply_homography
from ..imaging.images import as_uint8, to_grey
from ..structures import Array, InputError, Parameters
from ..structures.pairs import Matched, PairMatcher
from . import local, robust
from .subpixel import least_squares_matching
from .two_stage import warp_onto
from .watch import Clock

MAX_PATCHES = 2000  #: of larger pictures the grid is wider: memory (about 30 kB a patch) and time are bounded
_INLIER_PX = 3.0  # of a match under the new homography


def match_grid(
    image_a: Array,
    image_b: Array,
    homography: ArrayLike,
    step_px: float = 20.0,
    size_px: int = 31,
    n_iterations: int = 5,
    max_shift_px: float = 2.0,
) -> tuple[Array, Array]:
    """Places of a regular grid in both pictures, matched by :func:`.subpixel.least_squares_matching`.

    Parameters
    ----------
    image_a, image_b : grey uint8 pictures
    homography : (3, 3), finite and regular, from a to b, right to about ``max_shift_px``
    step_px : spacing of the grid, px of picture b; wider where there would be over ``MAX_PATCHES``
    size_px, n_iterations, max_shift_px : as for :func:`.subpixel.least_squares_matching`

    Returns
    -------
    xy_a, xy_b : (M, 2) float32; patches without texture, and those that do not agree, are left out
    """
    if not step_px >= 1:
        raise InputError(f"step_px must be at least 1, got {step_px}")
    start = np.asarray(homography, float).reshape(3, 3)
    h, w = image_b.shape
    step, border = max(float(step_px), (h * w / MAX_PATCHES) ** 0.5), size_px // 2 + 2
    x, y = (np.arange(border, side - border, step) for side in (w, h))
    at = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    back = apply_homography(np.linalg.inv(start), at)
    with np.errstate(invalid="ignore"):
        seen = ((back >= border) & (back <= np.array(image_a.shape[::-1]) - 1 - border)).all(axis=1)
    at, back = at[seen], back[seen]
    warped = warp_onto(image_a, start, (h, w))
    xy_b, moved = least_squares_matching(warped, image_b, at, at, size_px, n_iterations, max_shift_px)
    return back[moved].astype(np.float32), xy_b[moved]


@dataclass(eq=False, repr=False)
class GridRefinedMatcher(Parameters):
    """Any matcher's homography estimated again from a grid of patches all over the pictures.

    Parameters
    ----------
    first : PairMatcher
        Gives the matches, and a homography that is right to about two px.
    step_px, size_px, n_iterations, max_shift_px : as for :func:`match_grid`
    n_passes : int
        How often picture a is warped and the grid matched.
    threshold_px : float
        Of a patch that agrees with the homography, in picture b.
    min_patches : int
        An estimate with fewer such patches is not believed: the homography before it stands.
    random_state : int

    Notes
    -----
    As ECC (:class:`.matchers.EccMatcher`) it compares pixels and needs a plane.  Unlike it, every patch
    has a gain and an offset of its own, so that light may change over the picture, and patches that
    something covers are outliers.  Matches stay those of ``first``; within 3 px of the new homography they
    are inliers.  The stage is called "grid".
    """

    _least: ClassVar = {"n_passes": 1, "n_iterations": 0, "max_shift_px": 0}

    first: PairMatcher
    step_px: float = 20.0
    size_px: int = 31
    n_passes: int = 2
    n_iterations: int = 5
    max_shift_px: float = 2.0
    threshold_px: float = 1.0
    min_patches: int = 24
    random_state: int = 0

    def match(self, image_a: Array, image_b: Array) -> Matched:
        """As :meth:`.matchers.FeatureMatcher.match`, with the homography of the patches and its inliers."""
        self.check_numbers()
        a, b = local.picture(image_a), local.picture(image_b)
        found = self.first.match(a, b)
        clock = Clock()
        with clock("grid"):
            result = self._refined(to_grey(as_uint8(a)), to_grey(as_uint8(b)), found)
        return replace(result, seconds={**found.seconds, **clock.seconds})

    def _refined(self, a: Array, b: Array, found: Matched) -> Matched:
        homography = found.homography
        for _ in range(self.n_passes if np.isfinite(homography).all() else 0):
            xy_a, xy_b = match_grid(
                a, b, homography, self.step_px, self.size_px, self.n_iterations, self.max_shift_px
            )
            estimate = robust.estimate_homography(xy_a, xy_b, self.threshold_px, self.random_state)
            if estimate.inlier.sum() < self.min_patches:
                break
            homography = estimate.matrix
        if homography is found.homography:
            return found
        away = np.linalg.norm(apply_homography(homography, found.xy_a) - found.xy_b, axis=1)
        return replace(found, homography=homography, inlier=away <= _INLIER_PX)
