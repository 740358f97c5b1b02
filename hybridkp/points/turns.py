"""A feature that knows neither turn nor size finds both: a second look, where the upright one finds little.

Any single feature's matcher goes in; points in px of both original pictures come out.  Never here: a
method's name, learning, truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..imaging.geometry import (
    apply_affine,
    apply_homography,
    compose,
    invert_affine,
    resize_matrix,
    rotation_about,
    scale_of,
    similarity,
    warp,
)
from ..structures import Array, InputError, Keypoints, Parameters
from ..structures.pairs import Features, Matched
from . import local
from .matchers import FeatureMatcher, find
from .matching import Matches, match
from .robust import Estimate, estimate_homography
from .watch import Clock

_COARSE_POINTS = 512  # that a turn and a size are found by
_LEAST_SIDE = 48  # px; a smaller picture is not searched
_EDGE_PX = 3.0  # points nearer than this to the border of a turned picture are its, not the scene's
_SPREAD = 1.1  # sizes this near to 1 are no size


@dataclass(eq=False, repr=False)
class TurnedMatcher(Parameters):
    """A matcher's answer on the pictures as they are; where it has few inliers, on turned and resized ones.

    Parameters
    ----------
    first : FeatureMatcher
    min_inliers : int
        With as many inliers of the upright pass nothing else is tried.
    turns : int
        Turns of picture a that are tried, evenly over 360 degrees.
    sizes : sequence of float
        Factors that either picture is shrunk by against the other, at most 1.
    search_px : int
        Short side of the pictures that are searched, px.
    threshold_px, ranked, random_state : as for :class:`.matchers.FeatureMatcher`

    Notes
    -----
    The search compares small pictures with few points.  Its best answer says by which angle and which
    factor the pictures differ; picture a is then turned by that very angle, and the more magnified picture
    shrunk to the size of the other, for one last pass at full budget.  Points are given in px of the
    original pictures, their angle and size too.  The stage is called "turns".
    """

    _least: ClassVar = {"search_px": 1}

    first: FeatureMatcher
    min_inliers: int = 60
    turns: int = 4
    sizes: Sequence[float] = (1.0, 0.5)
    search_px: int = 300
    threshold_px: float = 3.0
    ranked: bool = True
    random_state: int = 0

    def match(self, image_a: Array, image_b: Array) -> Matched:
        """As :meth:`.matchers.FeatureMatcher.match`."""
        self.check_numbers()
        sizes = np.atleast_1d(np.asarray(self.sizes, float))
        if self.turns < 1 or not ((sizes > 0) & (sizes <= 1)).all():
            raise InputError("TurnedMatcher: turns must be at least 1, and sizes above 0 and at most 1")
        a, b = local.picture(image_a), local.picture(image_b)
        upright = self.first.match(a, b)
        if upright.inlier.sum() >= self.min_inliers:
            return upright
        clock = Clock()
        with clock("turns"):
            grey_a, grey_b = local.grey_picture(a), local.grey_picture(b)
            coarse = self._search(grey_a, grey_b, sizes)
            found = None if coarse is None else self._full(grey_a, grey_b, coarse)
        best = upright if found is None or found.inlier.sum() <= upright.inlier.sum() else found
        return replace(best, seconds={**upright.seconds, **clock.seconds})

    def _search(self, a: Array, b: Array, sizes: Array) -> Array | None:
        """The homography, in original px, with most inliers of all turns and sizes of small pictures."""
        feature: Any = self.first.feature
        if hasattr(feature, "set_params") and "n_points" in feature.get_params(deep=False):
            feature = copy(feature).set_params(n_points=min(_COARSE_POINTS, feature.n_points))
        scale = min(1.0, self.search_px / min(*a.shape, *b.shape))
        pairs = {(1.0, 1.0)} | {p for s in sizes.tolist() for p in ((s, 1.0), (1.0, s))}
        views_b = {s: turned_view(b, 0.0, scale * s) for s in {p[1] for p in pairs}}
        found_b = {s: find(feature, image) for s, (image, _) in views_b.items()}
        best, most = None, 0
        for angle in np.arange(self.turns) * 360.0 / self.turns:
            for size in sorted({p[0] for p in pairs}, reverse=True):
                image, to_a = turned_view(a, float(angle), scale * size)
                if min(image.shape) < _LEAST_SIDE:
                    continue
                features = find(feature, image)
                for other in (p[1] for p in pairs if p[0] == size):
                    matches = self._match(features, found_b[other])
                    xy_b = found_b[other].keypoints.xy[matches.index_b]
                    estimate = self._estimate(features.keypoints.xy[matches.index_a], xy_b)
                    if estimate.inlier.sum() > most:
                        most = int(estimate.inlier.sum())
                        from_b = invert_affine(views_b[other][1])
                        best = _homogeneous(from_b) @ estimate.matrix @ _homogeneous(to_a)
        return best

    def _full(self, a: Array, b: Array, coarse: Array) -> Matched | None:
        """One pass at full budget, turned by the angle and shrunk by the factor of a homography."""
        angle, scale = turn_and_scale(coarse, (a.shape[0], a.shape[1]))
        if not (np.isfinite(scale) and 0.05 < scale < 20):
            return None
        scale = scale if abs(np.log(scale)) > np.log(_SPREAD) else 1.0
        image_a, to_a = turned_view(a, angle, min(scale, 1.0))
        image_b, to_b = turned_view(b, 0.0, min(1 / scale, 1.0))
        if min(*image_a.shape, *image_b.shape) < _LEAST_SIDE:
            return None
        features_a, features_b = find(self.first.feature, image_a), find(self.first.feature, image_b)
        points_a = _back(features_a.keypoints, invert_affine(to_a))
        points_b = _back(features_b.keypoints, invert_affine(to_b))
        inside = ((points_a.xy >= _EDGE_PX) & (points_a.xy <= np.array(a.shape[::-1]) - 1 - _EDGE_PX)).all(
            axis=1
        )
        points_a = points_a[inside]
        features_a = Features(points_a, features_a.rows[inside], features_a.size_hw)
        index_a, index_b, score = self._match(features_a, features_b)
        xy_a, xy_b = points_a.xy[index_a], points_b.xy[index_b]
        estimate = self._estimate(xy_a, xy_b)
        return Matched(points_a, points_b, xy_a, xy_b, score, *estimate[:2], reason=estimate.reason)

    def _match(self, a: Features, b: Features) -> Matches:
        return match(a, b, self.first.feature.norm, self.first.rule, self.first.ratio)

    def _estimate(self, xy_a: Array, xy_b: Array) -> Estimate:
        return estimate_homography(xy_a, xy_b, self.threshold_px, self.random_state, self.ranked)


def turned_view(image: Array, degrees: float, scale: float) -> tuple[Array, Array]:
    """A picture turned clockwise and resized, whole, and the (2, 3) map of points to it.

    Outside the picture its border repeats.  Turns by 90 degrees at scale 1 keep every pixel.
    """
    h, w = image.shape[:2]
    matrix = compose(rotation_about((0, 0), degrees), resize_matrix(scale))
    edges = apply_affine(matrix, [[-0.5, -0.5], [w - 0.5, -0.5], [w - 0.5, h - 0.5], [-0.5, h - 0.5]])
    matrix = compose([[1, 0, -0.5 - edges[:, 0].min()], [0, 1, -0.5 - edges[:, 1].min()]], matrix)
    width, height = np.maximum(np.ceil(np.ptp(edges, axis=0) - 1e-6).astype(int), 1).tolist()
    if degrees == 0 and scale == 1:
        return image, matrix
    return warp(image, matrix, (height, width)), matrix


def turn_and_scale(homography: Array, size_hw: tuple[int, int]) -> tuple[float, float]:
    """Degrees, clockwise, and factor of the similarity nearest to a homography over a picture, or NaN."""
    h, w = size_hw
    at = np.stack(np.meshgrid(np.linspace(0.2, 0.8, 4) * w, np.linspace(0.2, 0.8, 4) * h), -1).reshape(-1, 2)
    ends = apply_homography(homography, at)
    if not np.isfinite(ends).all():
        return float("nan"), float("nan")
    a, b = similarity(at, ends)[:, 0]
    return float(np.rad2deg(np.arctan2(b, a))), float(np.hypot(a, b))


def _homogeneous(matrix: Array) -> Array:
    return np.vstack([matrix, [0, 0, 1]])


def _back(points: Keypoints, to_original: Array) -> Keypoints:
    """Points of a view in the original picture, their sizes and angles with them."""
    (a, b), scale = to_original[:, 0], float(scale_of(to_original))
    turn = float(np.rad2deg(np.arctan2(b, a)))
    angle = np.where(np.isnan(points.angle), np.nan, (points.angle + turn) % 360)
    xy = apply_affine(to_original, points.xy)
    return Keypoints(xy, points.score, points.size * scale, angle, points.octave, points.label)
