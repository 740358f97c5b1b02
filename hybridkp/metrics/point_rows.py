"""The rows of the interest points' metrics: add one here, and every table and page has it.

Here live :data:`POINT_METRICS`, and :class:`JudgedPair`, which they are functions of.  Never here: a
formula that a function of :mod:`.points` or :mod:`.homographies` could hold.  Each row's function gives one
number for one pair of pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array, Cameras, Matched, short_repr
from .homographies import corner_error, correctness, overlap_error, recall_area
from .metric import Metric
from .points import CORRECT_PX, SizeHW, inlier_counts, matching_score, mma, repeated_points
from .poses import rotation_error, translation_error


@dataclass(frozen=True, eq=False)
class JudgedPair:
    """One matched pair with its truth; what several metrics share is worked out once."""

    matched: Matched
    truth: Array  #: homography (3, 3), flow (H, W, 2) or fundamental matrix (1, 3, 3)
    size_hw_a: SizeHW
    size_hw_b: SizeHW
    cameras: Cameras | None = None

    __repr__ = short_repr

    @cached_property
    def points(self) -> tuple[Array, Array]:
        """The points detected in either picture."""
        return self.matched.keypoints_a.xy, self.matched.keypoints_b.xy

    @property
    def epipolar(self) -> bool:
        """Nothing is known but each point's line: there is no common region, and no place to come back to."""
        return np.shape(self.truth) == (1, 3, 3)

    @cached_property
    def pose_degrees(self) -> tuple[float, float]:
        """Errors of rotation and translation; inf where no pose was found, NaN where no camera is known."""
        if self.cameras is None:
            return float("nan"), float("nan")
        both = self.matched.pose, self.cameras.pose
        return rotation_error(*both), translation_error(*both)

    @cached_property
    def repeated(self) -> tuple[Array, int]:
        """Distances of the points found in both pictures, and how many there could be."""
        _, apart, possible = repeated_points(
            *self.points, self.truth, self.size_hw_a, self.size_hw_b, CORRECT_PX
        )
        return apart, possible

    @cached_property
    def corner_px(self) -> float:
        """Error of the homography; inf where none was found, NaN where the truth is a flow."""
        return corner_error(self.matched.homography, self.truth, self.size_hw_a)

    @cached_property
    def overlap_px(self) -> float:
        """Error of the homography over what both pictures show; inf and NaN as above."""
        return overlap_error(self.matched.homography, self.truth, self.size_hw_a, self.size_hw_b)

    @cached_property
    def inliers(self) -> tuple[int, int]:
        """Matches that the robust estimator kept, and the correct ones of them."""
        return inlier_counts(self.matched.xy_a, self.matched.xy_b, self.matched.inlier, self.truth)


_KEPT = "matches that the robust estimator kept"


def _share(
    title: str, function: Callable[[JudgedPair], float], words: str, place: int = 0, meaning: str = ""
) -> Metric:
    """A number in 0..1; those of the table have an interval."""
    row = Metric(title.lower(), function, title, "", 3, "higher", words)
    return replace(row, place=place, interval=place > 0, meaning=meaning)


def _repeatability(t: int, place: int = 0, meaning: str = "") -> Metric:
    def function(p: JudgedPair) -> float:
        if p.epipolar:
            return float("nan")
        apart, possible = p.repeated  # nearest first: the pairs within 1 px are the same with either limit
        return float((apart <= t).sum()) / max(possible, 1)

    words = f"share of points found in both pictures within {t} px"
    return _share(f"repeatability@{t}", function, words, place, meaning)


def _mma(t: int, place: int = 2, meaning: str = "") -> Metric:
    def function(p: JudgedPair) -> float:
        return float(mma(p.matched.xy_a, p.matched.xy_b, p.truth, (t,))[0])

    return _share(f"MMA@{t}", function, f"share of matches within {t} px of the truth", place, meaning)


def _auc(t: int, place: int = 2, meaning: str = "") -> Metric:
    def function(p: JudgedPair) -> float:
        return float(recall_area(p.corner_px, (t,))[0])

    words = f"area under the recall of the corner error up to {t} px"
    return _share(f"AUC@{t}", function, words, place, meaning)


def _correct(t: int) -> Metric:
    def function(p: JudgedPair) -> float:
        return float(correctness(p.corner_px, (t,))[0])

    return _share(f"correct@{t}", function, f"homography's corner error at most {t} px")


def _number(
    key: str, title: str, function: Callable[[JudgedPair], float], words: str, place: int = 0
) -> Metric:
    return Metric(key, function, title, "", 0, "higher", words, best=np.inf, place=place)


def _localisation(p: JudgedPair) -> float:
    if p.epipolar:
        return float("nan")
    apart, _ = p.repeated
    return float(apart.mean()) if len(apart) else float("nan")


def _matching_score(p: JudgedPair) -> float:
    if p.epipolar:
        return float("nan")
    both = p.matched.xy_a, p.matched.xy_b
    return matching_score(*both, *p.points, p.truth, p.size_hw_a, p.size_hw_b, CORRECT_PX)


#: AUC@3 leads where a pair has a homography, else MMA@3; append to it (:func:`hybridkp.checks.metric_checks`)
POINT_METRICS: list[Metric] = [
    _auc(
        *(3, 1),
        "AUC@1, AUC@3, AUC@5, AUC@10: from the matches a homography is estimated (the map that lays one"
        " picture of a plane onto the other). Its error is how far it puts the first picture's four corners"
        " wrong, on average. A pair counts 1 with no error, 0 with 3 (1, 5, 10) px and more or with no"
        " homography, in between in proportion; AUC is the mean over pairs, the area under the curve of pairs"
        " solved.",
    ),
    _mma(
        *(3, 1),
        "MMA@1, MMA@3, MMA@5 (mean matching accuracy): of the matches, before any robust estimator throws"
        " some away, the share that lies within 1 (3, 5) px of where the truth puts the point. 1 is perfect."
        " Few but safe matches score high: read it beside the number of right inliers.",
    ),
    _repeatability(
        *(3, 1),
        "repeatability@3: of the points that both pictures could show, the share found in both within 3 px,"
        " each used once. It judges the detector alone, no descriptor.",
    ),
    _number(
        "correct_inliers", "right inliers", lambda p: p.inliers[1], f"{_KEPT}, within 3 px of the truth", 1
    ),
    _auc(1),
    _auc(5),
    _auc(10),
    _mma(1),
    _mma(5),
    _number("inliers", "inliers", lambda p: p.inliers[0], f"{_KEPT}, right or not", 2),
    _repeatability(1),
    Metric(
        *("localisation_px", _localisation, "localisation", "px"),
        words="mean distance of the points found in both pictures within 3 px",
        place=0,
    ),
    _share("matching_score", _matching_score, "correct matches (3 px) per point in the common region"),
    Metric(
        *("corner_px", lambda p: p.corner_px, "corner error", "px"),
        words="mean error of the four corners through the estimated homography",
        summary="median",
        place=0,
    ),
    Metric(
        *("overlap_px", lambda p: p.overlap_px, "overlap error", "px"),
        words="mean error of the estimated homography over what both pictures show",
        summary="median",
        place=2,
    ),
    *map(_correct, (1, 3, 5)),
    _number("matches", "matches", lambda p: len(p.matched.xy_a), "matches before the robust estimator"),
    _number(
        "points", "points", lambda p: sum(map(len, p.points)) / 2, "points detected, mean of both pictures"
    ),
]


def pair_scores(
    matched: Matched,
    truth: ArrayLike,
    size_hw_a: SizeHW,
    size_hw_b: SizeHW,
    metrics: Sequence[Metric] | None = None,
    cameras: Cameras | None = None,
) -> dict[str, float]:
    """Every metric's number for one pair, by key.

    Homography metrics are NaN when the truth is a flow; ``localisation_px`` is NaN when no point is
    found twice; ``corner_px`` is inf when no homography was found, and then counts as 0 in the others.
    """
    pair = JudgedPair(matched, np.asarray(truth, float), size_hw_a, size_hw_b, cameras)
    return {m.key: float(m.function(pair)) for m in (POINT_METRICS if metrics is None else metrics)}
