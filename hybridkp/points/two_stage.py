"""The two-stage matcher: a coarse homography, a warp, and a second feature on nearly aligned pictures.

Pictures and any first :class:`~hybridkp.structures.pairs.PairMatcher` go in, points in px of both original
pictures come out.  Never here: a method's name, rows, truth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from ..imaging.geometry import apply_homography
from ..structures import Array, InputError, Keypoints, Parameters
from ..structures.pairs import Features, LocalFeature, Matched, PairMatcher
from . import local, robust
from .epipolar import find_guide
from .matchers import find, union
from .matching import candidate_matches, guided_matches, mutual_nearest
from .robust import Estimate
from .support import without_twins
from .watch import Clock

_EDGE_PX = 3.0  #: points nearer than this to the border of the warped picture are its, not the scene's


@dataclass(eq=False, repr=False)
class TwoStageMatcher(Parameters):
    """Coarse homography, warp of picture a onto b, guided matches of a second feature.

    Parameters
    ----------
    first : PairMatcher
        Gives the coarse homography: good at rotation and zoom.
    second : LocalFeature
        Precise where the pictures nearly agree; it need not know rotation or zoom.
    radius_px : float
        Matches lie within this of each other after the warp, px of picture b.
    rounds : int
        How often picture a is warped; picture b is described once.
    shrink : float
        The radius of each further round, relative to that of the round before.
    pool : "second" or "union"
        What the last estimate is made from: the second feature's matches, or the first's too.
    guide : "homography" or "epipolar"
        Where matches are looked for: near the place that the first stage's homography says; or, in scenes
        that are no plane, near epipolar lines, ``radius_px`` around where the nearest match of the first
        stage leads, with picture a warped by an affine map.  Then the first stage's matches that obey the
        epipolar geometry are kept, and ``rounds``, ``shrink`` and ``pool`` have no say.
    min_inliers : int
        A second stage with fewer inliers is not believed.
    threshold_px, ranked, random_state : as for :class:`.matchers.FeatureMatcher`; nearly all guided
        matches are right, so that an order among them gains nothing

    Notes
    -----
    Where the first stage finds no homography, the second feature is matched by mutual nearest
    neighbour on the pictures as they are.  Where the second stage is not believed, the first
    stage's result stands.  Keypoints are those of the stage that stands; the second's points of
    picture a are mapped back from the warped picture.  ``seconds``: the first stage's, and
    "second stage".
    """

    first: PairMatcher
    second: LocalFeature
    radius_px: float = 12.0
    rounds: int = 1
    shrink: float = 0.25
    pool: str = "second"
    guide: Literal["homography", "epipolar"] = "homography"
    min_inliers: int = 12
    threshold_px: float = 3.0
    ranked: bool = False
    random_state: int = 0

    def match(self, image_a: Array, image_b: Array) -> Matched:
        """As :meth:`.matchers.FeatureMatcher.match`."""
        self.check_numbers()
        if self.pool not in ("second", "union"):
            raise InputError(f'TwoStageMatcher: pool must be "second" or "union", got {self.pool!r}')
        if self.guide not in ("homography", "epipolar"):
            raise InputError(f'TwoStageMatcher: guide must be "homography" or "epipolar", got {self.guide!r}')
        if self.rounds < 1 or self.radius_px <= 0:
            raise InputError("TwoStageMatcher: rounds must be at least 1 and radius_px positive")
        a, b = local.picture(image_a), local.picture(image_b)
        coarse = self.first.match(a, b)
        clock = Clock()
        with clock("second stage"):
            result = self._second_stage(a, b, coarse)
        return replace(result, seconds={**coarse.seconds, **clock.seconds})

    def _second_stage(self, a: Array, b: Array, coarse: Matched) -> Matched:
        features_b = find(self.second, b)
        if self.guide == "epipolar":
            return self._along_lines(a, features_b, coarse)
        if not np.isfinite(coarse.homography).all():
            return self._unguided(a, features_b)
        result, homography = coarse, coarse.homography
        for turn in range(self.rounds):
            found = self._round(a, features_b, homography, self.radius_px * self.shrink**turn, coarse)
            if found is None:
                break
            result, homography = found, found.homography
        return result

    def _round(
        self, a: Array, features_b: Features, homography: Array, radius_px: float, coarse: Matched
    ) -> Matched | None:
        """One warp and its matches; None when they are not to be believed."""
        keypoints_a, xy_a, xy_b, score = self._aligned(a, features_b, homography, radius_px)
        if self.pool == "union":
            xy_a, xy_b, score = _pooled(coarse, xy_a, xy_b, score)
        estimate = self._estimate(xy_a, xy_b)
        if estimate.inlier.sum() < self.min_inliers:
            return None
        return _matched(keypoints_a, features_b.keypoints, xy_a, xy_b, score, estimate)

    def _along_lines(self, a: Array, features_b: Features, coarse: Matched) -> Matched:
        """Matches near the epipolar lines; first those of the first stage that gave the lines."""
        guide = find_guide(coarse.xy_a, coarse.xy_b, self.random_state)
        if guide is None:
            return coarse
        keypoints_a, rows_a = self._warped(a, guide.affine, features_b.size_hw)
        keypoints_b = features_b.keypoints
        i, j = guide.candidates(keypoints_a.xy, keypoints_b.xy, self.radius_px)
        matches = candidate_matches(rows_a, features_b.rows, i, j, self.second.norm)
        xy_a = np.concatenate([guide.xy_a, keypoints_a.xy[matches.index_a]])
        xy_b = np.concatenate([guide.xy_b, keypoints_b.xy[matches.index_b]])
        score = np.concatenate([coarse.score[guide.rows], matches.score])
        keep = without_twins(xy_a, xy_b, np.arange(len(score)) >= len(guide.rows))
        xy_a, xy_b, score = xy_a[keep], xy_b[keep], score[keep]
        points = [
            local.join(pair)
            for pair in ([coarse.keypoints_a, keypoints_a], [coarse.keypoints_b, keypoints_b])
        ]
        return _matched(points[0], points[1], xy_a, xy_b, score, self._estimate(xy_a, xy_b))

    def _aligned(
        self, a: Array, features_b: Features, homography: Array, radius_px: float
    ) -> tuple[Keypoints, Array, Array, Array]:
        """The second feature's points of picture a, and its matches near where the homography says."""
        keypoints_a, rows_a = self._warped(a, homography, features_b.size_hw)
        features_a = Features(keypoints_a, rows_a, (a.shape[0], a.shape[1]))
        matches = guided_matches(features_a, features_b, homography, radius_px, self.second.norm)
        xy_a = keypoints_a.xy[matches.index_a]
        return keypoints_a, xy_a, features_b.keypoints.xy[matches.index_b], matches.score

    def _warped(self, a: Array, homography: Array, size_hw: tuple[int, int]) -> tuple[Keypoints, Array]:
        """The second feature's points in picture a warped, mapped back to it, and their rows."""
        points, rows = self.second.detect_and_describe(warp_onto(a, homography, size_hw))
        back = apply_homography(np.linalg.inv(homography), points.xy)
        seen = np.flatnonzero(_inside(back, (a.shape[0], a.shape[1]), _EDGE_PX))
        points = points[seen]
        columns = points.score, points.size, points.angle, points.octave, points.label
        return Keypoints(back[seen], *columns), rows[seen]

    def _unguided(self, a: Array, features_b: Features) -> Matched:
        features_a = find(self.second, a)
        matches = mutual_nearest(features_a.rows, features_b.rows, self.second.norm)
        xy_a = features_a.keypoints.xy[matches.index_a]
        xy_b = features_b.keypoints.xy[matches.index_b]
        estimate = self._estimate(xy_a, xy_b)
        return _matched(features_a.keypoints, features_b.keypoints, xy_a, xy_b, matches.score, estimate)

    def _estimate(self, xy_a: Array, xy_b: Array) -> Estimate:
        return robust.estimate_homography(xy_a, xy_b, self.threshold_px, self.random_state, self.ranked)


def _matched(a: Keypoints, b: Keypoints, xy_a: Array, xy_b: Array, score: Array, found: Estimate) -> Matched:
    return Matched(a, b, xy_a, xy_b, score, found.matrix, found.inlier, reason=found.reason)


def warp_onto(image: Array, homography: Array, size_hw: tuple[int, int]) -> Array:
    """The picture through a homography of points, (h, w[, 3]); outside, its border repeats.

    Where the map shrinks (at the place that the middle of the new picture shows), the picture is
    first blurred by what the smaller grid cannot carry, as :func:`hybridkp.imaging.geometry.warp` does.
    """
    scale = _scale_at_middle(homography, size_hw)
    if scale < 0.9:
        sigma = 0.5 * np.sqrt(min(1 / max(scale, 1e-2) ** 2 - 1, 400.0))
        image = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    size = (size_hw[1], size_hw[0])
    return cv2.warpPerspective(
        image, homography, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _scale_at_middle(homography: Array, size_hw: tuple[int, int]) -> float:
    """Linear scale of the map at the place that comes to the middle of the new picture."""
    middle = (np.array([[0.0, 0], [1, 0], [0, 1]]) + [size_hw[1] / 2, size_hw[0] / 2]).reshape(-1, 2)
    source = apply_homography(np.linalg.inv(homography), middle)
    if not np.isfinite(source).all():
        return 1.0
    area = abs(float(np.linalg.det(source[1:] - source[0])))
    return float(1 / np.sqrt(area)) if area > 1e-12 else 1.0


def _inside(xy: Array, size_hw: tuple[int, int], margin_px: float) -> Array:
    x, y = xy[:, 0], xy[:, 1]
    with np.errstate(invalid="ignore"):
        inside: Array = (x >= margin_px) & (x <= size_hw[1] - 1 - margin_px)
        inside &= (y >= margin_px) & (y <= size_hw[0] - 1 - margin_px)
    return inside


def _pooled(coarse: Matched, xy_a: Array, xy_b: Array, score: Array) -> tuple[Array, Array, Array]:
    """The second stage's matches and the first's inliers that it does not repeat, best first."""
    empty = np.zeros((0, 2), np.float32)
    none = Matched(
        Keypoints(empty), Keypoints(empty), xy_a, xy_b, score, coarse.homography, np.ones(len(score), bool)
    )
    keep = coarse.inlier
    kept = replace(
        coarse, xy_a=coarse.xy_a[keep], xy_b=coarse.xy_b[keep], score=coarse.score[keep], inlier=keep[keep]
    )
    both_a, both_b, both, side = union([none, kept])
    order = np.flatnonzero(without_twins(both_a, both_b, side))
    order = order[np.argsort(-both[order], kind="stable")]
    return both_a[order], both_b[order], both[order]
