"""Public checks that every local feature must pass, third parties' too.

``for name, check in local_feature_checks(MyFeature()): check()`` raises AssertionError where the
promise of :class:`hybridkp.structures.LocalFeature` is broken.  Exceptions have their reason in
:data:`EXCEPTIONS`.  Needs no data: the pictures are made here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from sklearn.base import clone

from ..structures import Array, Keypoints, PointDescriptor, PointDetector, supports
from .detectors import Checks, with_common

#: (class name, check) -> the reason why that promise is not kept
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("KAZEFeature", "compute gives the same rows"): (
        "OpenCV reads rows of given points from other derivatives than rows of points it finds itself"
    ),
    ("FromFeature2D", "mirrored picture, mirrored points"): "OpenCV's own offsets are kept",
    ("FromFeature2D", "row i is keypoint i"): "OpenCV's objects take an octave at its word, strangers' too",
}

SIDE = 177  #: px of the picture; odd, so that every second pixel is the same in its mirror image
MIRROR_PX = 0.2  #: of points and mirrored points on average; an offset of 1/2 px gives 1


def texture(side: int = SIDE, random_state: int = 0) -> Array:
    """A picture (side, side) uint8 with blobs and corners of many sizes."""
    rng = np.random.default_rng(random_state)
    canvas = np.zeros((side, side), np.float32)
    for cells, weight in ((5, 50.0), (11, 40.0), (23, 30.0), (60, 25.0)):
        coarse = rng.normal(0, weight, (cells, cells)).astype(np.float32)
        canvas += cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    for _ in range(24):  # corners of all contrasts
        x, y, w, h = rng.integers(0, side - 24, 2).tolist() + rng.integers(10, 40, 2).tolist()
        canvas[y : y + h, x : x + w] += np.float32(rng.choice([-60, -40, 40, 60]))
    blurred = np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.8))
    return np.clip(128 + blurred, 0, 255).astype(np.uint8)


class _Case:
    """One feature, one picture and what it finds there, worked out once."""

    def __init__(self, feature: Any, image: Array | None):
        self.feature = feature
        self.image = texture() if image is None else image
        self.image.setflags(write=False)
        self._found: tuple[Keypoints, Array] | None = None

    @property
    def found(self) -> tuple[Keypoints, Array]:
        if self._found is None:
            self._found = clone(self.feature).detect_and_describe(self.image)
        return self._found

    @property
    def empty(self) -> tuple[tuple[int, int], Any]:
        """Shape and dtype of no rows."""
        dtype = np.float32 if self.feature.norm == "L2" else np.uint8
        return (0, self.feature.n_features), dtype


def local_feature_checks(feature: Any, image: Array | None = None) -> Checks:
    """Named checks, each a function of no arguments.

    Parameters
    ----------
    feature : LocalFeature and scikit-learn estimator
        With a parameter ``n_points`` the budget is checked, with ``detect`` that it agrees, with
        ``compute`` that row i belongs to keypoint i.
    image : (H, W) uint8 in which it finds at least 20 points; by default :func:`texture`
    """
    case = _Case(feature, image)
    wanted = dict(_CHECKS)
    if "n_points" in feature.get_params(deep=False):
        wanted["budget"] = _budget
    if supports(feature, PointDetector):
        wanted["detect finds the same points"] = _detect_agrees
    if supports(feature, PointDescriptor):
        wanted |= _COMPUTE_CHECKS
    own: dict[str, Callable[[], None]] = {
        name: (lambda check=check: check(case))  # type: ignore[misc]
        for name, check in wanted.items()
        if (type(feature).__name__, name) not in EXCEPTIONS
    }
    yield from with_common(feature, own)


def _shapes(case: _Case) -> None:
    points, rows = case.found
    (_, d), dtype = case.empty
    assert len(points) >= 20, f"{len(points)} points in a picture full of them"
    assert rows.shape == (len(points), d) and rows.dtype == dtype, (rows.shape, rows.dtype)
    h, w = case.image.shape[:2]
    x, y = points.xy.T
    assert np.isfinite(rows).all() and np.isfinite(points.score).all()
    assert (x >= -0.5).all() and (x <= w - 0.5).all() and (y >= -0.5).all() and (y <= h - 0.5).all()
    assert (points.size > 0).all() and (np.diff(points.score) <= 0).all(), "best first"
    assert rows.any(axis=1).all(), "a point without a row"


def _budget(case: _Case) -> None:
    total = len(clone(case.feature).set_params(n_points=100_000).detect_and_describe(case.image)[0])
    for n in (1, 7, 20):
        points, rows = clone(case.feature).set_params(n_points=n).detect_and_describe(case.image)
        assert len(points) == len(rows) <= n and (len(points) == n or len(points) >= 0.8 * min(n, total))
        assert (np.diff(points.score) <= 0).all(), "best first"


def _deterministic(case: _Case) -> None:
    feature = clone(case.feature)
    before = dict(vars(feature))
    first, again = feature.detect_and_describe(case.image), feature.detect_and_describe(case.image)
    for one, other in (first, again), (first, case.found):
        np.testing.assert_array_equal(one[0].xy, other[0].xy)
        np.testing.assert_array_equal(one[1], other[1])
    assert vars(feature) == before, "nothing may be kept on the estimator"
    copy.deepcopy(feature)


def _blank(case: _Case) -> None:
    for value in (0, 128, 255):
        points, rows = case.feature.detect_and_describe(np.full((90, 120, 3), value, np.uint8))
        assert len(points) == 0 and (rows.shape, rows.dtype) == case.empty, (rows.shape, rows.dtype)


def _tiny(case: _Case) -> None:
    for h, w in ((1, 1), (1, 40), (2, 2), (15, 15), (16, 16), (17, 90), (90, 17), (33, 40)):
        points, rows = case.feature.detect_and_describe(case.image[:h, :w])
        assert rows.shape == (len(points), case.empty[0][1]), (h, w, rows.shape)


def _doors(case: _Case) -> None:
    grey = case.image
    colour = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    as_16_bit, as_float = grey.astype(np.uint16) * 257, grey / 255.0
    with_alpha = np.dstack([colour, np.full(grey.shape, 255, np.uint8)])
    for other in (as_16_bit, as_float, grey[..., None], with_alpha):
        points, rows = case.feature.detect_and_describe(other)
        np.testing.assert_array_equal(points.xy, case.found[0].xy)
        np.testing.assert_array_equal(rows, case.found[1])


def _mirrored(case: _Case) -> None:
    points = case.found[0]
    mirror = case.feature.detect_and_describe(np.ascontiguousarray(case.image[:, ::-1]))[0]
    back = mirror.xy * [-1, 1] + [case.image.shape[1] - 1, 0]
    gap = back[None] - points.xy[:, None]
    nearest = np.linalg.norm(gap, axis=2).argmin(axis=1)
    gap = gap[np.arange(len(points)), nearest]
    gap = gap[np.linalg.norm(gap, axis=1) < 2]
    assert len(gap) >= 0.5 * len(points), "the mirrored picture has other points"
    off = np.abs(gap.mean(axis=0)).max()
    assert off < MIRROR_PX, f"mirrored points are {off:.2f} px off: is an integer a pixel's centre?"


def _detect_agrees(case: _Case) -> None:
    # points near the border may lack a row, and others take their place
    found = case.feature.detect(case.image).xy
    h, w = case.image.shape[:2]
    inner = (np.abs(found - [w / 2, h / 2]) < [w / 4, h / 4]).all(axis=1)
    described = {tuple(p) for p in case.found[0].xy.tolist()}
    kept = [tuple(p) in described for p in found[inner].tolist()]
    assert len(kept) > 0 and np.mean(kept) > 0.8, "detect and detect_and_describe find different points"


def _scattered(case: _Case) -> Keypoints:
    """Own points among strangers: borders, outside, far outside, small and large, with and without angle."""
    rng = np.random.default_rng(3)
    h, w = case.image.shape[:2]
    own = case.found[0][:20]
    xy = np.concatenate([own.xy, rng.uniform([-20, -20], [w + 20, h + 20], (20, 2)), [[-1e7, 5], [w, 1e9]]])
    xy = np.concatenate([xy, [[0, 0], [w - 1, 0], [0, h - 1], [w - 1, h - 1]]])
    size = np.concatenate([own.size, rng.choice([0.5, 7, 31, 90], 26)])
    angle = np.concatenate([own.angle, rng.choice([0.0, 77.0, 200.0, np.nan], 26)])
    return Keypoints(xy, size=size, angle=angle, octave=rng.integers(0, 1 << 16, 46))


def _aligned(case: _Case) -> None:
    points = _scattered(case)
    rows = case.feature.compute(case.image, points)
    (_, d), dtype = case.empty
    assert rows.shape == (len(points), d) and rows.dtype == dtype and np.isfinite(rows.astype(float)).all()
    for order in (np.random.default_rng(0).permutation(len(points)), np.array([3]), np.arange(5, 30)):
        some = case.feature.compute(case.image, points[order])
        np.testing.assert_allclose(some, rows[order], rtol=0, atol=0 if dtype == np.uint8 else 1e-4)
    none = case.feature.compute(case.image, points[:0])
    assert (none.shape, none.dtype) == case.empty


def _compute_agrees(case: _Case) -> None:
    points, rows = case.found
    np.testing.assert_allclose(case.feature.compute(case.image, points), rows, atol=1e-3)


_CHECKS: dict[str, Callable[[_Case], None]] = {
    "shapes, dtypes and ranges": _shapes,
    "same picture, same result": _deterministic,
    "blank pictures": _blank,
    "tiny pictures": _tiny,
    "16 bit, float, alpha, colour": _doors,
    "mirrored picture, mirrored points": _mirrored,
}
_COMPUTE_CHECKS: dict[str, Callable[[_Case], None]] = {
    "row i is keypoint i": _aligned,
    "compute gives the same rows": _compute_agrees,
}
