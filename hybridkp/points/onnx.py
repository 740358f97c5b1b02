"""Others' nets from ONNX files: OpenCV's ALIKED, DISK and LightGlue, and any graph with a stated contract.

Files are the user's; nothing is shipped and nothing downloaded.  Pictures go in, keypoints (px,
an integer is a pixel's centre) and unit rows (N, D) come out.  Never here: our own net
(``net.py``), training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..files.graphs import ENGINES, open_file, reason, stamp
from ..imaging.images import to_grey
from ..structures import Array, InputError, Keypoints, Parameters
from ..structures.pairs import Features, Matched
from . import netfiles, robust
from .local import MAX_PIXELS, best_first, picture
from .matchers import Clock, find
from .matching import Matches
from .netfiles import to_picture, unit


class _NetFeature(Parameters):
    """A local feature whose points and rows come from one pass through a net."""

    norm = "L2"
    path: str | Path
    n_points: int
    n_features: int

    def detect(self, image: Array) -> Keypoints:
        """As :meth:`detect_and_describe`, the keypoints alone; it saves no time."""
        return self.detect_and_describe(image)[0]

    def detect_and_describe(self, image: Array) -> tuple[Keypoints, Array]:
        """The ``n_points`` best, best first, and rows (N, n_features) float32; none in a blank picture.

        Raises
        ------
        InputError
            For a picture that is none; for a file that is missing, broken, not of this kind, or
            whose rows are not ``n_features`` long; the file is named.
        """
        if not isinstance(self.n_points, int | np.integer) or self.n_points < 1:
            raise InputError(
                f"{type(self).__name__}: n_points must be a whole number from 1 on, got {self.n_points!r}"
            )
        image = picture(image)
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        if image.min() == image.max():
            return Keypoints(np.zeros((0, 2))), np.zeros((0, self.n_features), np.float32)
        xy, rows, score = self._run(image)
        if len(xy) and rows.shape[1] != self.n_features:
            raise InputError(f"{self.path} gives rows of {rows.shape[1]}: set n_features={rows.shape[1]}")
        h, w = image.shape[:2]
        inside = np.isfinite(xy).all(axis=1) & np.isfinite(rows).all(axis=1) & np.isfinite(score)
        inside &= ((xy > -0.5) & (xy < [w - 0.5, h - 0.5])).all(axis=1)
        points = Keypoints(xy[inside], score[inside])
        order = best_first(points, int(self.n_points))
        rows = rows.reshape(-1, self.n_features)[inside][order]
        return points[order], np.ascontiguousarray(rows, np.float32)

    def _run(self, image: Array) -> tuple[Array, Array, Array]:
        """Points (N, 2) px, rows (N, D) and scores (N,) of a BGR picture."""
        raise NotImplementedError


class AlikedFeature(_NetFeature):
    """ALIKED (Zhao et al. 2023), or any net exported like it, by ``cv2.ALIKED`` of OpenCV >= 5.

    Parameters
    ----------
    path : an ONNX file: ``image`` (1, 3, H, W) RGB / 255 to ``keypoints`` (N, 2), ``descriptors``
        (N, D), ``scores`` (N, 1)
    n_points : int
        Budget; a graph may itself give no more than some number.
    n_features : int
        D.
    size_hw : (H, W) that the graph was exported for
    coordinates : see :data:`.netfiles.COORDINATES`; ALIKED's own export has "corners"

    Notes
    -----
    ``cv2.ALIKED`` reads positions as if they were measured on edges from 0 to W, whatever the
    export: ALIKED's come out up to 1 px too far right and down.  Here they are put right.

    References
    ----------
    X. Zhao et al., ALIKED: a lighter keypoint and descriptor extraction network via deformable
    transformation, IEEE TIM 72, 2023.
    """

    def __init__(
        self,
        path: str | Path,
        n_points: int = 1024,
        n_features: int = 128,
        size_hw: tuple[int, int] = (640, 640),
        coordinates: str = "corners",
    ):
        self.path = path
        self.n_points = n_points
        self.n_features = n_features
        self.size_hw = size_hw
        self.coordinates = coordinates

    def _run(self, image: Array) -> tuple[Array, Array, Array]:
        net_hw, size_hw = self.size_hw, (image.shape[0], image.shape[1])
        if self.coordinates == "pixel":
            raise InputError('AlikedFeature: coordinates are "corners", "edges" or "opencv"; see OnnxFeature')
        net = netfiles.aliked(*stamp(self.path), (int(net_hw[0]), int(net_hw[1])))
        xy, rows, score = netfiles.run_feature(net, image, self.path)
        normal = 2 * xy / [size_hw[1], size_hw[0]] - 1
        return to_picture(normal, self.coordinates, net_hw, net_hw, size_hw), rows, score


class DiskFeature(_NetFeature):
    """DISK (Tyszkiewicz, Fua & Trulls 2020) by ``cv2.DISK`` of OpenCV >= 5.

    Parameters
    ----------
    path : an ONNX file: ``image`` (1, 3, H, W) RGB / 255 to ``keypoints`` (1, N, 2) int64 px,
        ``scores`` (1, N), ``descriptors`` (1, N, D)
    n_points : int
        Budget.
    n_features : int
        D.
    size_hw : (H, W) that the graph was exported for, multiples of 16
    threshold : float
        Points of that score or less are left out.

    Notes
    -----
    ``cv2.DISK`` scales positions without regard to the pixels' centres: (W / W_net - 1) / 2 px
    are added here.

    References
    ----------
    M. Tyszkiewicz, P. Fua, E. Trulls, DISK: learning local features with policy gradient,
    NeurIPS 2020.
    """

    def __init__(
        self,
        path: str | Path,
        n_points: int = 1024,
        n_features: int = 128,
        size_hw: tuple[int, int] = (1024, 1024),
        threshold: float = 0.0,
    ):
        self.path = path
        self.n_points = n_points
        self.n_features = n_features
        self.size_hw = size_hw
        self.threshold = threshold

    def _run(self, image: Array) -> tuple[Array, Array, Array]:
        net_hw = int(self.size_hw[0]), int(self.size_hw[1])
        net = netfiles.disk(*stamp(self.path), net_hw, float(self.threshold))
        xy, rows, score = netfiles.run_feature(net, image, self.path)
        scale = np.array([image.shape[1], image.shape[0]]) / np.array(self.size_hw[::-1])
        return xy + (scale - 1) / 2, unit(rows), score


class OnnxFeature(_NetFeature):
    """Any ONNX graph that goes from a picture to keypoints, rows and scores.

    Parameters
    ----------
    path : an ONNX file with one input (1, C, H, W) float32 in 0..1 and the three ``outputs``
    n_points : int
        Budget.
    n_features : int
        D.
    coordinates : see :data:`.netfiles.COORDINATES`
    channels : 3 (RGB) or 1 (grey)
    size_hw : (H, W) or None
        The size that pictures are brought to; None: their own, for a graph of dynamic size
        (larger pictures than ``local.MAX_PIXELS`` are shrunk to that).
    multiple : int
        With ``size_hw=None``: sides are filled up to a multiple, by repeating the border.
    outputs : names of keypoints (N, 2), rows (N, D) and scores (N,), each with or without a
        leading 1 or, for scores, a trailing 1
    threshold : float
        Points of that score or less are left out.
    engine : "auto" (ONNX Runtime where installed), "onnxruntime" or "cv2.dnn"
    """

    def __init__(
        self,
        path: str | Path,
        n_points: int = 1024,
        n_features: int = 128,
        coordinates: str = "pixel",
        channels: int = 3,
        size_hw: tuple[int, int] | None = None,
        multiple: int = 1,
        outputs: Sequence[str] = ("keypoints", "descriptors", "scores"),
        threshold: float = -np.inf,
        engine: str = "auto",
    ):
        self.path = path
        self.n_points = n_points
        self.n_features = n_features
        self.coordinates = coordinates
        self.channels = channels
        self.size_hw = size_hw
        self.multiple = multiple
        self.outputs = outputs
        self.threshold = threshold
        self.engine = engine

    def _run(self, image: Array) -> tuple[Array, Array, Array]:
        if self.channels not in (1, 3) or self.multiple < 1 or self.engine not in ENGINES:
            raise InputError(
                "OnnxFeature: channels is 1 or 3, multiple at least 1, engine one of " + ", ".join(ENGINES)
            )
        blob, seen_hw, net_hw = self._blob(image)
        try:
            values = open_file(self.path, self.engine, None, self.outputs)(blob)
        except InputError as error:
            raise InputError(f"{error}; if it is the size: set size_hw and channels") from None
        xy, rows, score = netfiles.columns(values, self.path)
        size_hw = image.shape[0], image.shape[1]
        xy = to_picture(xy, self.coordinates, net_hw, seen_hw, size_hw)
        keep = score > self.threshold
        return xy[keep], unit(rows[keep]), score[keep]

    def _blob(self, image: Array) -> tuple[Array, tuple[int, int], tuple[int, int]]:
        """The input, the size that the picture has in it, and the whole input's."""
        h, w = image.shape[:2]
        if self.size_hw is not None:
            seen = int(self.size_hw[0]), int(self.size_hw[1])
        else:
            shrink = min(1.0, (MAX_PIXELS / (h * w)) ** 0.5)
            seen = max(int(h * shrink), 1), max(int(w * shrink), 1)
        if seen != (h, w):
            smaller = seen[0] * seen[1] < h * w
            how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
            image = cv2.resize(image, seen[::-1], interpolation=how)
        if self.size_hw is None and self.multiple > 1:
            down, right = -seen[0] % self.multiple, -seen[1] % self.multiple
            image = cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REPLICATE)
        net_hw = image.shape[0], image.shape[1]
        if self.channels == 1:
            planes = to_grey(image)[None]
        else:
            planes = image[:, :, ::-1].transpose(2, 0, 1)
        return np.ascontiguousarray(planes[None], np.float32) / np.float32(255), seen, net_hw


class LightGlue(Parameters):
    """LightGlue (Lindenberger, Sarlin & Pollefeys 2023) by ``cv2.LightGlueMatcher`` of OpenCV >= 5.

    Parameters
    ----------
    path : an ONNX file: ``kpts0``, ``kpts1`` (1, N, 2) in -1..1 and ``desc0``, ``desc1`` (1, N, D)
        to ``matches0`` (M, 2) int64 and ``mscores0`` (M,), trained for the feature it is used with
    threshold : float
        Least confidence.

    References
    ----------
    P. Lindenberger, P.-E. Sarlin, M. Pollefeys, LightGlue: local feature matching at light speed,
    ICCV 2023.
    """

    def __init__(self, path: str | Path, threshold: float = 0.0):
        self.path = path
        self.threshold = threshold

    def match(self, features_a: Features, features_b: Features) -> Matches:
        """Index pairs, best first; ``score`` is the net's confidence.  Nothing on a side: nothing.

        Raises
        ------
        InputError
            For a file that is missing or broken, or rows that it does not take.
        """
        found = []
        if len(features_a.rows) and len(features_b.rows):
            matcher = netfiles.lightglue(*stamp(self.path), float(self.threshold))
            a, b = features_a, features_b
            try:
                with netfiles.one_at_a_time():
                    matcher.setPairInfo(a.keypoints.xy, b.keypoints.xy, a.size_hw[::-1], b.size_hw[::-1])
                    found = matcher.match(np.ascontiguousarray(a.rows), np.ascontiguousarray(b.rows))
            except cv2.error as error:
                raise InputError(f"{self.path} cannot match these rows: {reason(error)}") from None
        pairs = np.array([(m.queryIdx, m.trainIdx) for m in found], np.intp).reshape(-1, 2)
        score = 1 - np.array([m.distance for m in found], np.float32)
        order = np.lexsort((pairs[:, 1], pairs[:, 0], -score))
        # one-to-one: the more confident keeps a point that is claimed twice
        order = order[np.isin(np.arange(len(order)), np.unique(pairs[order, 1], return_index=True)[1])]
        return Matches(pairs[order, 0], pairs[order, 1], score[order])


class LightGlueMatcher(Parameters):
    """A pair matcher of one feature and :class:`LightGlue`.

    Parameters
    ----------
    feature : LocalFeature that the file was trained for
    path, threshold : see :class:`LightGlue`
    threshold_px : float
        Of an inlier, in picture b.
    random_state : int
    """

    def __init__(
        self,
        feature: Any,
        path: str | Path,
        threshold: float = 0.0,
        threshold_px: float = 3.0,
        random_state: int = 0,
    ):
        self.feature = feature
        self.path = path
        self.threshold = threshold
        self.threshold_px = threshold_px
        self.random_state = random_state

    def match(self, image_a: Array, image_b: Array) -> Matched:
        """Matches and homography of two pictures; stages "detect", "match" and "estimate"."""
        clock = Clock()
        with clock("detect"):
            a, b = find(self.feature, picture(image_a)), find(self.feature, picture(image_b))
        with clock("match"):
            matches = LightGlue(self.path, self.threshold).match(a, b)
        xy_a, xy_b = a.keypoints.xy[matches.index_a], b.keypoints.xy[matches.index_b]
        with clock("estimate"):
            estimate = robust.estimate_homography(xy_a, xy_b, self.threshold_px, self.random_state)
        result = xy_a, xy_b, matches.score, estimate.matrix, estimate.inlier
        return Matched(a.keypoints, b.keypoints, *result, dict(clock.seconds))
