"""Pair matchers: from two pictures to matched points and a homography, with seconds per stage.

One feature (:class:`FeatureMatcher`), the first of several that succeeds (:class:`FallbackMatcher`), the
union of several with votes between them (:class:`UnionMatcher`), and ECC on the pixels afterwards
(:class:`EccMatcher`).  The two-stage
matcher has its own module.  Never here: detectors and rows, truth, metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from ..imaging.geometry import apply_homography
from ..imaging.images import as_uint8, to_grey
from ..structures import Array, InputError, Parameters
from ..structures.pairs import Features, LocalFeature, Matched, PairMatcher
from . import local, robust
from .matching import RULES, match
from .support import confirmed, without_twins
from .watch import Clock


def find(feature: LocalFeature, image: Array) -> Features:
    """Points and rows of one picture, with its size."""
    keypoints, rows = feature.detect_and_describe(image)
    return Features(keypoints, rows, (image.shape[0], image.shape[1]))


@dataclass(eq=False, repr=False)
class FeatureMatcher(Parameters):
    """One local feature, one rule, one robust estimate: the usual pair matcher.

    Parameters
    ----------
    feature : LocalFeature
    rule : "mutual", "ratio" or "gms"
        "ratio" is mutual too, see :func:`.matching.ratio_test`.
    ratio : float
        Of the ratio test.
    threshold_px : float
        Of an inlier, in picture b.
    ranked : bool
        Samples of the estimator are drawn from the most distinct matches first (PROSAC).
    random_state : int

    Notes
    -----
    ``seconds`` are CPU seconds of the stages "detect" (with description), "match" and "estimate".
    """

    feature: LocalFeature
    rule: Literal["mutual", "ratio", "gms"] = "mutual"
    ratio: float = 0.9
    threshold_px: float = 3.0
    ranked: bool = True
    random_state: int = 0

    def match(self, image_a: Array, image_b: Array) -> Matched:
        """Matches and homography of two pictures, (H, W) or (H, W, 3) of any accepted dtype.

        Raises
        ------
        InputError
            For what is no picture, and for parameters out of range.
        """
        clock = Clock()
        found = self.tentative(image_a, image_b, clock)
        with clock("estimate"):
            estimate = robust.estimate_homography(
                found.xy_a, found.xy_b, self.threshold_px, self.random_state, self.ranked
            )
        homography, inlier, reason = estimate
        seconds = dict(clock.seconds)
        return replace(found, homography=homography, inlier=inlier, reason=reason, seconds=seconds)

    def tentative(self, image_a: Array, image_b: Array, clock: Clock | None = None) -> Matched:
        """:meth:`match` without the estimate: homography NaN, no inlier."""
        self.check_numbers()
        if self.rule not in RULES:
            raise InputError(f"FeatureMatcher: rule must be one of {', '.join(RULES)}, got {self.rule!r}")
        clock = Clock() if clock is None else clock
        with clock("detect"):
            a = find(self.feature, local.picture(image_a))
            b = find(self.feature, local.picture(image_b))
        with clock("match"):
            matches = match(a, b, self.feature.norm, self.rule, self.ratio)
        return Matched(
            a.keypoints,
            b.keypoints,
            a.keypoints.xy[matches.index_a],
            b.keypoints.xy[matches.index_b],
            matches.score,
            np.full((3, 3), np.nan),
            np.zeros(len(matches.score), bool),
            dict(clock.seconds),
        )


@dataclass(eq=False, repr=False)
class FallbackMatcher(Parameters):
    """The result of the first matcher that is believed: the cheap one where it is enough, else the next.

    Parameters
    ----------
    members : sequence of PairMatcher, asked in this order
    min_inliers : int
        A result with fewer inliers is not believed; when none is, the one with most stands, of equals
        the first.

    Notes
    -----
    ``seconds`` are those of all members that were asked, summed by stage.
    """

    members: Sequence[PairMatcher]
    min_inliers: int = 12

    def match(self, image_a: Array, image_b: Array) -> Matched:
        """As :meth:`FeatureMatcher.match`."""
        self.check_numbers()
        if len(self.members) == 0:
            raise InputError("FallbackMatcher: needs at least one member")
        a, b = local.picture(image_a), local.picture(image_b)
        best: Matched | None = None
        seconds: dict[str, float] = {}
        for member in self.members:
            found = member.match(a, b)
            seconds = {
                k: seconds.get(k, 0.0) + found.seconds.get(k, 0.0) for k in {**seconds, **found.seconds}
            }
            if best is None or found.inlier.sum() > best.inlier.sum():
                best = found
            if found.inlier.sum() >= self.min_inliers:
                break
        assert best is not None
        return replace(best, seconds=seconds)


@dataclass(eq=False, repr=False)
class UnionMatcher(Parameters):
    """The matches of several features, each side's confirmed by the other's, in one estimate.

    Parameters
    ----------
    members : sequence of FeatureMatcher
        Their own estimates are not made; the first is trusted where two say the same.
    weights : sequence of float or None
        What a neighbour's confirmation counts, by member; None is 1 for each.
    radius : float
        Of a match's neighbourhood, relative to the diagonal of picture a.
    min_support : float
        Matches with less support (0..1) are left out; 0 keeps all.
    threshold_px, ranked, random_state : as for :class:`FeatureMatcher`

    Notes
    -----
    A match's support is the weighted share of the matches around it, of any member, that its own
    displacement, scaled and turned as the neighbourhood is, agrees with; see
    :func:`.support.confirmed`.  Support times distinctness orders the matches for PROSAC.
    """

    _least: ClassVar = {"radius": 0}

    members: Sequence[FeatureMatcher]
    weights: Sequence[float] | None = None
    radius: float = 0.06
    min_support: float = 0.0
    threshold_px: float = 3.0
    ranked: bool = True
    random_state: int = 0

    def match(self, image_a: Array, image_b: Array) -> Matched:
        """As :meth:`FeatureMatcher.match`; the keypoints are those of all members."""
        self.check_numbers()
        if len(self.members) == 0:
            raise InputError("UnionMatcher: needs at least one member")
        weights = np.ones(len(self.members)) if self.weights is None else np.asarray(self.weights, float)
        if weights.shape != (len(self.members),) or not (weights >= 0).all():
            raise InputError(f"UnionMatcher: weights must be {len(self.members)} numbers from 0 on")
        a, b = local.picture(image_a), local.picture(image_b)
        clock = Clock()
        found = [member.tentative(a, b, clock) for member in self.members]
        with clock("vote"):
            xy_a, xy_b, score, side = union(found)
            reach = self.radius * float(np.hypot(*a.shape[:2]))
            support = confirmed(xy_a, xy_b, weights[side], reach)
            keep = without_twins(xy_a, xy_b, side) & (support >= self.min_support)
            order = np.flatnonzero(keep)
            value = support * (0.5 + 0.5 * score)
            order = order[np.argsort(-value[order], kind="stable")]
        with clock("estimate"):
            estimate = robust.estimate_homography(
                xy_a[order], xy_b[order], self.threshold_px, self.random_state, self.ranked
            )
        points_a = local.join([f.keypoints_a for f in found])
        points_b = local.join([f.keypoints_b for f in found])
        columns = xy_a[order], xy_b[order], value[order], estimate.matrix, estimate.inlier
        return Matched(points_a, points_b, *columns, dict(clock.seconds), estimate.reason)


@dataclass(eq=False, repr=False)
class EccMatcher(Parameters):
    """Any matcher's homography made better on the pixels: the classical second stage.

    Parameters
    ----------
    first : PairMatcher
        Gives the start, and the matches.
    n_iterations, tolerance, blur_px : as for :func:`.robust.refine_ecc`
    threshold_px : float
        Of an inlier under the new homography.

    Notes
    -----
    It compares pixels, not points: a ceiling for methods with points, and of no use where the
    scene is no plane.  Where it fails, the start stands.  The stage is called "second stage".
    """

    _least: ClassVar = {"n_iterations": 1, "tolerance": 0, "threshold_px": 0}

    first: PairMatcher
    n_iterations: int = 50
    tolerance: float = 1e-4
    blur_px: int = 5
    threshold_px: float = 3.0

    def match(self, image_a: Array, image_b: Array) -> Matched:
        """As :meth:`FeatureMatcher.match`, with the refined homography and its inliers."""
        self.check_numbers()
        a, b = local.picture(image_a), local.picture(image_b)
        start = self.first.match(a, b)
        clock = Clock()
        with clock("second stage"):
            matrix, correlation = robust.refine_ecc(
                to_grey(as_uint8(a)),
                to_grey(as_uint8(b)),
                start.homography,
                self.n_iterations,
                self.tolerance,
                self.blur_px,
            )
            inlier = start.inlier
            if np.isfinite(correlation):
                away = np.linalg.norm(apply_homography(matrix, start.xy_a) - start.xy_b, axis=1)
                inlier = away <= self.threshold_px
        return replace(start, homography=matrix, inlier=inlier, seconds={**start.seconds, **clock.seconds})


def union(found: Sequence[Matched]) -> tuple[Array, Array, Array, Array]:
    """Matches of several results one after another: xy_a, xy_b (M, 2), score (M,), whose (M,)."""
    side = np.repeat(np.arange(len(found)), [len(f.score) for f in found])
    columns = [np.concatenate([getattr(f, name) for f in found]) for name in ("xy_a", "xy_b", "score")]
    return columns[0], columns[1], columns[2], side
