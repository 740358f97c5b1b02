"""The types of the interest-point task: pairs of pictures with truth, and what a matcher predicts.

Plain frozen data and protocols that the rooms ``points``, ``metrics``, ``datasets``, ``evaluate``
and ``report`` share.  Never here: image processing, files, learning.
Letters: **N** points, **D** features, **M** matches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from . import Keypoints
from . import LocalFeature as LocalFeature
from .base import Array, InputError, short_repr


class Features(NamedTuple):
    """What a :class:`LocalFeature` finds in one picture."""

    keypoints: Keypoints  #: N points, best first
    rows: Array  #: (N, D) float32 for the norm "L2", (N, bytes) uint8 for "HAMMING"
    size_hw: tuple[int, int]  #: the picture's size, px


class Cameras(NamedTuple):
    """Both cameras of a pair: what a relative pose is estimated with, and the true one."""

    matrix_a: Array  #: (3, 3) intrinsic matrix, px; integer = pixel centre
    matrix_b: Array
    pose: Array  #: (3, 4) ``[R | t]``: x_b = R x_a + t, in any unit of length
    distortion_a: tuple[float, ...] = ()  #: OpenCV's k1, k2, p1, p2
    distortion_b: tuple[float, ...] = ()

    @property
    def fundamental(self) -> Array:
        """(3, 3) of unit norm with b' F a = 0; zero where the camera did not move."""
        x, y, z = self.pose[:, 3]
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        matrix = np.linalg.inv(self.matrix_b).T @ cross @ self.pose[:, :3] @ np.linalg.inv(self.matrix_a)
        return np.asarray(matrix / max(float(np.linalg.norm(matrix)), 1e-300))


@dataclass(frozen=True, eq=False)
class Pair:
    """Two pictures of one scene, and where each pixel of the first lies in the second.

    Parameters
    ----------
    name : "graf/1-3", unique in its set
    sequence : pairs of one sequence share pictures; the bootstrap draws whole sequences
    load_a, load_b : functions of no arguments, (H, W) or (H, W, 3) uint8 BGR
    homography : (3, 3) that takes pixels of the first picture to the second; None when the scene
        is not a plane
    flow : without a homography: a function that gives (H, W, 2), where each pixel of the first
        picture lies in the second, NaN where nobody knows
    cameras : both cameras, where they are known; then there may be neither homography nor flow
    change : what differs: "viewpoint", "zoom+rotation", "light", "blur", ...
    rotated : whether the pictures are turned against each other by a lot (over 20 degrees)
    """

    name: str
    sequence: str
    load_a: Callable[[], Array]
    load_b: Callable[[], Array]
    homography: Array | None = None
    flow: Callable[[], Array] | None = None
    change: str = ""
    rotated: bool = False
    cameras: Cameras | None = None

    __repr__ = short_repr

    def __post_init__(self) -> None:
        given = (self.homography is not None) + (self.flow is not None)
        if given == 2 or (not given and self.cameras is None):
            raise InputError(f"{self.name}: a pair has either a homography or a flow, or cameras")
        if self.homography is not None:
            homography = np.array(self.homography, np.float64)
            singular = homography.shape != (3, 3) or abs(np.linalg.det(homography)) < 1e-12
            if singular or not np.isfinite(homography).all():
                raise InputError(f"{self.name}: the homography must be an invertible (3, 3) matrix")
            object.__setattr__(self, "homography", homography)

    def truth(self) -> Array:
        """Homography (3, 3), flow (H, W, 2), or, with cameras alone, the fundamental matrix (1, 3, 3)."""
        if self.homography is not None:
            return self.homography
        if self.flow is not None:
            return np.asarray(self.flow())
        assert self.cameras is not None
        return self.cameras.fundamental[None]


class Registration(NamedTuple):
    """A homography registered again on the pixels, or the given one where ``reason`` says why not.

    Figures are means over the overlap; NaN where there is none.
    """

    homography: Array  #: (3, 3) with ``[2, 2] == 1``
    moved_px: float  #: distance between the given one and the answer
    precision_px: float  #: distance of the answer of either half of the pixels from the whole's
    agreement: float  #: correlation of the pictures without their light, -1 to 1
    reason: str = ""


@dataclass(frozen=True, eq=False)
class PairSet:
    """A named list of pairs; pictures load lazily."""

    name: str
    pairs: tuple[Pair, ...]
    licence: str = ""

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    @property
    def fingerprint(self) -> str:
        """A digest of names, truth and pixels: which data a prediction belongs to."""
        digest = hashlib.sha256()
        for pair in self.pairs:
            truth = pair.truth()
            digest.update(f"{pair.name}|{pair.sequence}|{pair.change}|{pair.rotated}".encode())
            digest.update(np.ascontiguousarray(truth, np.float64).tobytes())
            for value in pair.cameras or ():
                digest.update(np.asarray(value, np.float64).tobytes())
            for image in (pair.load_a(), pair.load_b()):
                digest.update(str(image.shape).encode() + np.ascontiguousarray(image).tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Matched:
    """What a matcher finds for one pair.

    Parameters
    ----------
    keypoints_a, keypoints_b : all points that were detected in each picture (for repeatability)
    xy_a, xy_b : (M, 2) float32 matched points before the robust estimator, best first
    score : (M,) float32, higher is better
    homography : (3, 3), all NaN when none was found
    inlier : (M,) bool, the matches that the robust estimator kept
    seconds : stage ("detect", "describe", "match", "estimate", ...) -> seconds; their sum is the
        time of the pair
    reason : why there is no homography, "" where there is one
    pose : (3, 4) ``[R | t]`` of camera b seen from a, where the pair has cameras; else, and where none was
        found, NaN
    """

    keypoints_a: Keypoints
    keypoints_b: Keypoints
    xy_a: Array
    xy_b: Array
    score: Array
    homography: Array
    inlier: Array
    seconds: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    pose: Array = field(default_factory=lambda: np.full((3, 4), np.nan))

    __repr__ = short_repr

    def __post_init__(self) -> None:
        xy_a = np.asarray(self.xy_a, np.float32).reshape(-1, 2)
        values = {
            "xy_a": xy_a,
            "xy_b": np.asarray(self.xy_b, np.float32).reshape(-1, 2),
            "score": np.asarray(self.score, np.float32).reshape(-1),
            "inlier": np.asarray(self.inlier, bool).reshape(-1),
            "homography": np.asarray(self.homography, np.float64).reshape(3, 3),
            "pose": np.asarray(self.pose, np.float64).reshape(3, 4),
        }
        lengths = {name: len(values[name]) for name in ("xy_a", "xy_b", "score", "inlier")}
        if len(set(lengths.values())) != 1:
            raise InputError(f"Matched: columns of different lengths: {lengths}")
        for name, value in values.items():
            object.__setattr__(self, name, value)


@runtime_checkable
class PairMatcher(Protocol):
    """From two pictures to matched points and a homography: what the points bench compares."""

    def match(self, image_a: Array, image_b: Array) -> Matched: ...
