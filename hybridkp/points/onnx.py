"""Others' nets from ONNX files: OpenCV's ALIKED, DISK and LightGlue, and any graph with a stated contract.

Files are the user's; nothing is shipped and nothing downloaded.  Pictures go in, keypoints (px,
an integer is a pixel's centre) and unit rows (N, D) come out.  Never here: our own net
(``net.py``), training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from ..files.graphs import ENGINES, open_file, reason, stamp
from ..imaging.images import to_grey
from ..structures import Array, InputError, Keypoints, Parameters, check_whole
from ..structures.pairs import Features, Matched
from . import netfiles, robust
from .local import MAX_PIXELS, best_first, picture
from .maps import of_maps
from .matchers import Clock, find
from .matching import Matches
from .netfiles import to_picture, unit

MAX_INPUT = 4 * MAX_PIXELS  #: px of a net's input
MAX_MULTIPLE = 1024  #: that a side of one is filled up to


class _NetFeature(Parameters):
    """A local feature whose points and rows come from one pass through a net."""

    norm = "L2"
    _least: ClassVar = {"n_points": 1}
    file: str | Path
    n_points: int
    n_features: int | None
    threshold: float

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
        self.check_numbers()
        image = picture(image)
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        if image.min() == image.max():
            return Keypoints(np.zeros((0, 2))), np.zeros((0, self.n_features or 0), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is left out below
            xy, rows, score = self._run(image)
        if len(xy) and self.n_features not in (None, rows.shape[1]):
            raise InputError(f"{self.file} gives rows of {rows.shape[1]}: set n_features={rows.shape[1]}")
        h, w = image.shape[:2]
        inside = np.isfinite(xy).all(axis=1) & np.isfinite(rows).all(axis=1) & np.isfinite(score)
        inside &= ((xy > -0.5) & (xy < [w - 0.5, h - 0.5])).all(axis=1)
        points = Keypoints(xy[inside], score[inside])
        order = best_first(points, int(self.n_points))
        rows = rows.reshape(len(inside), -1 if len(inside) else self.n_features or 0)[inside][order]
        return points[order], np.ascontiguousarray(rows, np.float32)

    def _run(self, image: Array) -> tuple[Array, Array, Array]:
        """Points (N, 2) px, rows (N, D) and scores (N,) of a BGR picture."""
        raise NotImplementedError


@dataclass(eq=False, repr=False)
class AlikedFeature(_NetFeature):
    """ALIKED (Zhao et al. 2023), or any net exported like it, by ``cv2.ALIKED`` of OpenCV >= 5.

    Parameters
    ----------
    file : an ONNX file: ``image`` (1, 3, H, W) RGB / 255 to ``keypoints`` (N, 2), ``descriptors``
        (N, D), ``scores`` (N, 1)
    n_points : int
        Budget; a graph may itself give no more than some number.
    n_features : int or None
        D; None = what the graph gives.
    size_hw : (H, W) that the graph was exported for; None = read from it, 640 x 640 where it is open
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

    file: str | Path = ""
    n_points: int = 1024
    n_features: int | None = None
    size_hw: tuple[int, int] | None = None
    coordinates: str = "corners"

    def _run(self, image: Array) -> tuple[Array, Array, Array]:
        net_hw, size_hw = _size_of(self) or (640, 640), (image.shape[0], image.shape[1])
        if self.coordinates == "pixel":
            raise InputError('AlikedFeature: coordinates are "corners", "edges" or "opencv"; see OnnxFeature')
        net = netfiles.aliked(*stamp(self.file), net_hw)
        xy, rows, score = netfiles.run_feature(net, image, self.file)
        normal = 2 * xy / [size_hw[1], size_hw[0]] - 1
        return to_picture(normal, self.coordinates, net_hw, net_hw, size_hw), rows, score


@dataclass(eq=False, repr=False)
class DiskFeature(_NetFeature):
    """DISK (Tyszkiewicz, Fua & Trulls 2020) by ``cv2.DISK`` of OpenCV >= 5.

    Parameters
    ----------
    file : an ONNX file: ``image`` (1, 3, H, W) RGB / 255 to ``keypoints`` (1, N, 2) int64 px,
        ``scores`` (1, N), ``descriptors`` (1, N, D)
    n_points : int
        Budget.
    n_features : int or None
        D; None = what the graph gives.
    size_hw : (H, W) that the graph was exported for, multiples of 16; None = read from it, else 1024 x 1024
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

    file: str | Path = ""
    n_points: int = 1024
    n_features: int | None = None
    size_hw: tuple[int, int] | None = None
    threshold: float = 0.0

    def _run(self, image: Array) -> tuple[Array, Array, Array]:
        net_hw = _size_of(self) or (1024, 1024)
        net = netfiles.disk(*stamp(self.file), net_hw, float(self.threshold))
        xy, rows, score = netfiles.run_feature(net, image, self.file)
        scale = np.array([image.shape[1], image.shape[0]]) / np.array(net_hw[::-1])
        return xy + (scale - 1) / 2, unit(rows), score


@dataclass(eq=False, repr=False)
class OnnxFeature(_NetFeature):
    """Any ONNX graph that goes from a picture to keypoints, rows and scores, or to maps of them.

    Parameters
    ----------
    file : an ONNX file with one input (1, C, H, W) float32 in 0..1
    n_points : int
        Budget.
    n_features : int or None
        D; None = what the graph gives.
    coordinates : see :data:`.netfiles.COORDINATES`; maps need none
    channels : 3 (RGB), 1 (grey) or None
        None = as the graph says.
    size_hw : (H, W) or None
        The size of the graph's input; None = as the graph says, and where it is open the picture's own
        (larger ones than ``local.MAX_PIXELS`` are shrunk to that).  A picture of another ratio is scaled into
        it and the rest filled by its border (letter-box).
    multiple : int
        Of an open size: sides are filled up to a multiple, by repeating the border.
    outputs : names or None
        Keypoints (N, 2), rows (N, D) and scores (N,), each with or without a leading 1 or, for scores, a
        trailing 1; or maps: scores (1, 1, h, w), or (1, 65, h / 8, w / 8) with SuperPoint's cells, and rows
        (1, D, h', w'); and (1, 1, h', w'), a reliability as XFeat's.  None = all of the graph's, told apart
        by their shapes.
    threshold : float
        Points of that score or less are left out.
    engine : "auto" (ONNX Runtime where installed), "onnxruntime" or "cv2.dnn"

    Notes
    -----
    Maps are read at their local maxima within 2 px, a parabola through the neighbours gives the rest.
    """

    file: str | Path = ""
    n_points: int = 1024
    n_features: int | None = None
    coordinates: str = "pixel"
    channels: int | None = None
    size_hw: tuple[int, int] | None = None
    multiple: int = 1
    outputs: tuple[str, ...] | None = None
    threshold: float = -np.inf
    engine: str = "auto"

    def _run(self, image: Array) -> tuple[Array, Array, Array]:
        check_whole(self.multiple, "OnnxFeature: multiple", 1, MAX_MULTIPLE)
        if self.channels not in (None, 1, 3) or self.engine not in ENGINES:
            raise InputError("OnnxFeature: channels is 1 or 3, engine one of " + ", ".join(ENGINES))
        if not isinstance(self.outputs, tuple | list | None):
            raise InputError(f"OnnxFeature: outputs are names in a list, got {self.outputs!r:.60}")
        names, shape = netfiles.facts(*stamp(self.file))
        blob, seen_hw, net_hw = self._blob(image, shape)
        try:
            values = open_file(self.file, self.engine, None, self.outputs or names)(blob)
        except InputError as error:
            raise InputError(f"{error}; if it is the size: set size_hw and channels") from None
        size_hw = image.shape[0], image.shape[1]
        if any(np.ndim(v) == 4 for v in values):
            xy, rows, score = of_maps(values, net_hw, seen_hw, int(self.n_points), self.threshold, self.file)
            xy = to_picture(xy, "pixel", net_hw, seen_hw, size_hw)
        else:
            xy, rows, score = netfiles.columns(values, self.file, self.outputs is None)
            xy = to_picture(xy, self.coordinates, net_hw, seen_hw, size_hw)
        keep = score > self.threshold
        return xy[keep], unit(rows[keep]), score[keep]

    def _blob(self, image: Array, shape: tuple[int, ...]) -> tuple[Array, tuple[int, int], tuple[int, int]]:
        """The input, the size that the picture has in it, and the whole input's."""
        h, w = image.shape[:2]
        channels = self.channels or (1 if len(shape) == 4 and shape[1] == 1 else 3)
        fixed = _size_of(self)
        if fixed is not None:
            shrink = min(fixed[0] / h, fixed[1] / w)
        else:
            shrink = min(1.0, (MAX_PIXELS / (h * w)) ** 0.5)
        seen = max(round(h * shrink), 1), max(round(w * shrink), 1)
        if seen != (h, w):
            how = cv2.INTER_AREA if shrink < 1 else cv2.INTER_LINEAR
            image = cv2.resize(image, seen[::-1], interpolation=how)
        if fixed is not None:
            down, right = fixed[0] - seen[0], fixed[1] - seen[1]
        else:
            down, right = -seen[0] % self.multiple, -seen[1] % self.multiple
        if down or right:
            image = cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REPLICATE)
        net_hw = image.shape[0], image.shape[1]
        planes = to_grey(image)[None] if channels == 1 else image[:, :, ::-1].transpose(2, 0, 1)
        return np.ascontiguousarray(planes[None], np.float32) / np.float32(255), seen, net_hw


def _size_of(feature: Any) -> tuple[int, int] | None:
    """(H, W) of a net's input: as it was said, or as the graph says; None where neither does."""
    said, stamped = feature.size_hw, stamp(feature.file)
    if said is None:
        try:
            said = netfiles.facts(*stamped)[1][2:]
        except InputError:  # cv2's own reader may take what ours does not, and else says why
            return None
        if len(said) != 2 or min(said) < 1:
            return None
    if not isinstance(said, tuple | list) or len(said) != 2:
        raise InputError(f"{type(feature).__name__}: size_hw is (H, W), got {said!r:.60}")
    h, w = (check_whole(side, f"{feature.file}: each side of size_hw", 1) for side in said)
    if h * w > MAX_INPUT:
        raise InputError(f"{feature.file}: an input of {h} x {w} px is over {MAX_INPUT >> 20} megapixels")
    return h, w


@dataclass(eq=False, repr=False)
class LightGlue(Parameters):
    """LightGlue (Lindenberger, Sarlin & Pollefeys 2023) by ``cv2.LightGlueMatcher`` of OpenCV >= 5.

    Parameters
    ----------
    file : an ONNX file: ``kpts0``, ``kpts1`` (1, N, 2) in -1..1 and ``desc0``, ``desc1`` (1, N, D)
        to ``matches0`` (M, 2) int64 and ``mscores0`` (M,), trained for the feature it is used with
    threshold : float
        Least confidence.

    References
    ----------
    P. Lindenberger, P.-E. Sarlin, M. Pollefeys, LightGlue: local feature matching at light speed,
    ICCV 2023.
    """

    file: str | Path = ""
    threshold: float = 0.0

    def match(self, features_a: Features, features_b: Features) -> Matches:
        """Index pairs, best first; ``score`` is the net's confidence.  Nothing on a side: nothing.

        Raises
        ------
        InputError
            For a file that is missing or broken, or rows that it does not take.
        """
        self.check_numbers()
        found = []
        if len(features_a.rows) and len(features_b.rows):
            matcher = netfiles.lightglue(*stamp(self.file), float(self.threshold))
            a, b = features_a, features_b
            try:
                with netfiles.one_at_a_time():
                    matcher.setPairInfo(a.keypoints.xy, b.keypoints.xy, a.size_hw[::-1], b.size_hw[::-1])
                    found = matcher.match(np.ascontiguousarray(a.rows), np.ascontiguousarray(b.rows))
            except cv2.error as error:
                raise InputError(f"{self.file} cannot match these rows: {reason(error)}") from None
        pairs = np.array([(m.queryIdx, m.trainIdx) for m in found], np.intp).reshape(-1, 2)
        score = 1 - np.array([m.distance for m in found], np.float32)
        order = np.lexsort((pairs[:, 1], pairs[:, 0], -score))
        # one-to-one: the more confident keeps a point that is claimed twice
        order = order[np.isin(np.arange(len(order)), np.unique(pairs[order, 1], return_index=True)[1])]
        return Matches(pairs[order, 0], pairs[order, 1], score[order])


@dataclass(eq=False, repr=False)
class LightGlueMatcher(Parameters):
    """A pair matcher of one feature and :class:`LightGlue`.

    Parameters
    ----------
    feature : LocalFeature that the file was trained for
    file, threshold : see :class:`LightGlue`
    threshold_px : float
        Of an inlier, in picture b.
    random_state : int
    """

    feature: Any
    file: str | Path = ""
    threshold: float = 0.0
    threshold_px: float = 3.0
    random_state: int = 0

    def match(self, image_a: Array, image_b: Array) -> Matched:
        """Matches and homography of two pictures; stages "detect", "match" and "estimate"."""
        self.check_numbers()
        clock = Clock()
        with clock("detect"):
            a, b = find(self.feature, picture(image_a)), find(self.feature, picture(image_b))
        with clock("match"):
            matches = LightGlue(self.file, self.threshold).match(a, b)
        xy_a, xy_b = a.keypoints.xy[matches.index_a], b.keypoints.xy[matches.index_b]
        with clock("estimate"):
            estimate = robust.estimate_homography(xy_a, xy_b, self.threshold_px, self.random_state)
        result = xy_a, xy_b, matches.score, estimate.matrix, estimate.inlier
        return Matched(a.keypoints, b.keypoints, *result, dict(clock.seconds))
