"""A detector's score maps and a tree of landmarks: pictorial structures on top of any detector with maps.

What the maps say of each landmark by itself and what the training shapes say of two that belong together
are multiplied.  No pixels are looked at here; the messages are in :mod:`.nodes.pictorial`.
Shapes: crops (B, H, W[, 3]), points (B, K, 2), maps (B, K, h, w), K landmarks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .. import memory
from ..datasets.splits import group_folds
from ..imaging.geometry import flip_points, resize_points
from ..imaging.images import check_batch
from ..stats.calibration import FAR, calibrated, logit
from ..structures import (
    Array,
    DetectorMixin,
    HeldOutMaps,
    InputError,
    Message,
    ScoreMaps,
    Stage,
    check_xy,
    stages_of,
    supports,
)
from .kernels import recalibrated
from .members import group_loss, mean_and_error
from .nodes.pictorial import LEAST, Tree, marginals, messages_to, read_mode

_BLOCK = 16  # pictures whose messages are held at a time


class _Settled(NamedTuple):
    power: float  #: NaN where the detector's predictions are left alone
    calibration: Array
    xy: Array  #: (B, K, 2) of pictures held out, NaN where there are none
    score: Array  #: (B, K)


@dataclass(eq=False, repr=False)
class PictorialStructure(DetectorMixin, BaseEstimator):
    """Exact inference over a tree of landmarks, with another detector's score maps as evidence.

    The network says where a wrist may be, twice; the tree says which of the two places the elbow agrees
    with.  The tree is the minimum spanning tree of the landmarks' relative scatter; along each edge
    the offset's distribution is a kernel density of the training shapes (mirrored ones too, where
    ``flip`` is known), not the single Gaussian of the original, since bodies fold.  Sum-product messages
    give each landmark's marginal, read around its mode.

    Parameters
    ----------
    detector : Detector with ``score_maps(images, stride)``
    stride : crop px per map px
    spread : map px, of the kernel density
    doubt : 0..1, share of a uniform distribution in each edge
    powers : sequence of float
        Powers of the maps to choose from, on pictures that the detector did not see; more than 1
        believes the maps more and the tree less.
    cv : folds for that choice, each with a detector of its own; 0 chooses on the groups that the detector
        itself kept out of its training (:class:`~hybridkp.structures.HeldOutMaps`), and fits nothing again.
        A step behind the tree still asks for folds, then of two
    guard : bool
        Leave the detector's predictions alone unless the tree is better by more than a standard error
        over groups, on the pictures held out.

    Attributes
    ----------
    detector_ : the fitted detector
    parent_ : (K,) int, -1 at the root
    kernel_ : (K, 2h, 2w) float32, the density of child minus parent, offset 0 first
    power_ : float, NaN where the detector's predictions are left alone
    calibration_ : (2,) from the log-odds of the mass around a point to its score

    References
    ----------
    P. Felzenszwalb, D. Huttenlocher, Pictorial structures for object recognition, IJCV 61(1), 2005.
    J. Tompson, A. Jain, Y. LeCun, C. Bregler, Joint training of a convolutional network and a graphical
    model for human pose estimation, NIPS 2014: learned jointly there; here the tree is counted.
    """

    detector: Any
    stride: int = 4
    spread: float = 1.0
    doubt: float = 0.1
    powers: Sequence[float] = (1.5, 3.0, 5.0, 8.0)
    cv: int = 2
    guard: bool = True

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> PictorialStructure:
        """Fit the detector and count the tree on crops and points (B, K, 2), NaN = not labelled."""
        self._check_parameters()
        images = check_batch(images)
        truth = check_xy(xy, len(images))
        self.size_hw_ = images.shape[1:3]
        self.detector_ = memory.fitted(self.detector, images, truth, groups=groups, flip=flip)
        settled = self._settle(images, truth, groups, flip, self.cv)
        self.power_, self.calibration_ = settled.power, settled.calibration
        self.parent_, self.kernel_ = self._count(truth, flip, self.size_hw_)
        return self

    def predict_out_of_fold(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> tuple[Array, Array]:
        """Points (B, K, 2) and scores (B, K) of ``cv`` detectors that did not see the picture.

        As :func:`hybridkp.memory.out_of_fold` gives them, without folds within folds: the one number
        that is chosen on these very predictions, ``power``, flatters them little.
        """
        self._check_parameters()
        images = check_batch(images)
        settled = self._settle(images, check_xy(xy, len(images)), groups, flip, self.cv or 2)
        return settled.xy, settled.score

    def _check_parameters(self) -> None:
        if not supports(self.detector, ScoreMaps):
            raise InputError(f"{type(self.detector).__name__} gives no score maps: a tree needs them")
        if self.cv == 0 and not supports(self.detector, HeldOutMaps):
            raise InputError(f"{type(self.detector).__name__} keeps no groups out: a tree needs cv >= 2 here")
        if self.stride < 1 or self.spread <= 0 or not 0 < self.doubt < 1 or (self.cv != 0 and self.cv < 2):
            raise InputError("a tree needs stride >= 1, spread > 0, doubt between 0 and 1, cv 0 or >= 2")
        if not len(self.powers) or min(self.powers) <= 0:
            raise InputError(f"powers must be positive numbers, got {self.powers}")

    # ----------------------------------------------------------------------------------------
    # what is learned
    # ----------------------------------------------------------------------------------------

    def _count(self, truth: Array, flip: Any, size_hw: tuple[int, int]) -> tuple[Array, Array]:
        """Parents (K,) and the edges' densities (K, 2h, 2w) from shapes (B, K, 2) in crop px."""
        if flip is not None:
            truth = np.concatenate([truth, flip_points(truth, size_hw[1], np.asarray(flip, int))])
        shapes = resize_points(truth, 1 / self.stride)
        parent = spanning_tree(shapes)
        h, w = size_hw[0] // self.stride, size_hw[1] // self.stride
        kernel = np.zeros((len(parent), 2 * h, 2 * w), np.float32)
        for k in np.flatnonzero(parent >= 0):
            kernel[k] = _density(shapes[:, k] - shapes[:, parent[k]], (h, w), self.spread, self.doubt)
        return parent, kernel

    def _settle(self, images: Array, truth: Array, groups: Any, flip: Any, cv: int) -> _Settled:
        """The power of the maps, by capped errors on pictures held out, and what comes of it there."""
        names, size_hw = np.arange(len(images)) if groups is None else np.asarray(groups), images.shape[1:3]
        found = np.full((len(self.powers), *truth.shape), np.nan)
        mass = np.zeros(found.shape[:3])
        own, score = np.full(truth.shape, np.nan), np.zeros(truth.shape[:2])
        judged = np.zeros(len(truth), bool)
        for model, seen, test in self._unseen(images, truth, groups, flip, cv):
            judged[test] = True
            tree = Tree.of(*self._count(seen, flip, size_hw))
            for rows, crops in memory.parts_of(images, test):
                own[rows], score[rows] = model.predict_with_score(crops)
                maps = model.score_maps(crops, stride=self.stride)
                for i, power in enumerate(self.powers):
                    found[i, rows], mass[i, rows] = self._read(maps, tree, power)
        side, truth = max(size_hw), np.where(judged[:, None, None], truth, np.nan)
        losses = np.array([group_loss(f, truth, names, side, FAR) for f in (*found, own)])
        if not losses.size:
            return _Settled(float("nan"), np.array([1.0, 0.0]), own, score)
        best = int(np.argmin(losses[:-1].mean(axis=1)))
        gain, error = mean_and_error(losses[-1] - losses[best])
        off = np.linalg.norm(found[best] - truth, axis=-1)
        calibration = np.array(calibrated(logit(mass[best]), off / side))
        if self.guard and gain <= error:
            return _Settled(float("nan"), calibration, own, score)
        return _Settled(
            float(self.powers[best]), calibration, found[best], recalibrated(mass[best], calibration, True)
        )

    def _unseen(
        self, images: Array, truth: Array, groups: Any, flip: Any, cv: int
    ) -> Iterator[tuple[Any, Array, Array]]:
        """Fitted detectors, shapes (N, K, 2) to count a tree on, and rows that neither has seen."""
        names = np.arange(len(images)) if groups is None else np.asarray(groups)
        if not cv:
            test = self.detector.held_out(len(images), groups)
            yield self.detector_, np.delete(truth, test, axis=0), test
        elif len(np.unique(names)) > 1:
            for train, test in group_folds(names, cv):
                seen, part = truth[train], None if groups is None else names[train]
                if not np.isnan(seen[:, :, 0]).all(axis=0).any():  # else this part lacks a landmark
                    yield (
                        memory.fitted(self.detector, images[train], seen, groups=part, flip=flip),
                        seen,
                        test,
                    )

    # ----------------------------------------------------------------------------------------
    # prediction
    # ----------------------------------------------------------------------------------------

    def _read(self, maps: Array, tree: Tree, power: float) -> tuple[Array, Array]:
        """Points (B, K, 2) in crop px, and (B, K) the mass around them."""
        parts = [
            read_mode(marginals(maps[first : first + _BLOCK], tree, power))
            for first in range(0, len(maps), _BLOCK)
        ]
        xy = np.concatenate([p[0] for p in parts])
        return resize_points(xy, self.stride), np.concatenate([p[1] for p in parts])

    def score_maps(self, images: Any, stride: int | None = None) -> Array:
        """(B, K, h, w) float32, each summing to 1: the marginals, or the detector's maps left alone."""
        check_is_fitted(self, "power_")
        stride = self.stride if stride is None else stride
        maps: Array = self.detector_.score_maps(check_batch(images, self.size_hw_), stride=stride)
        if np.isnan(self.power_):
            return maps
        if stride != self.stride:
            raise InputError(f"the tree was counted at stride {self.stride}, asked for {stride}")
        return marginals(maps, Tree.of(self.parent_, self.kernel_), self.power_).astype(np.float32)

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px and (B, K) the probability of an error under 2.5 % of the side."""
        check_is_fitted(self, "power_")
        images = check_batch(images, self.size_hw_)
        if np.isnan(self.power_):
            xy, score = self.detector_.predict_with_score(images)
            return xy, score
        maps = self.detector_.score_maps(images, stride=self.stride)
        xy, mass = self._read(maps, Tree.of(self.parent_, self.kernel_), self.power_)
        return xy.astype(np.float32), recalibrated(mass, self.calibration_, True)

    def held(self) -> list[tuple[str, Any]]:
        return [("before the tree", self.detector_)]

    def stages(self, images: Any) -> list[Stage]:
        """The detector's, and the points of the tree, where it is used."""
        before = stages_of(self.detector_, images, "maps alone")
        return [
            *before,
            *([] if np.isnan(self.power_) else [Stage("tree of landmarks", self.predict(images))]),
        ]

    def messages(self, images: Any, landmark: int) -> list[Message]:
        """What each neighbour of a landmark says of its place in the first crop, and what that changes."""
        check_is_fitted(self, "power_")
        if np.isnan(self.power_):
            return []
        maps = self.detector_.score_maps(check_batch(images, self.size_hw_)[:1], stride=self.stride)
        tree = Tree.of(self.parent_, self.kernel_)
        found = messages_to(maps, tree, self.power_, landmark)
        alone = _shares_of((maps[0, landmark].astype(float) + LEAST) ** self.power_)
        whole = self._point(np.prod([alone, *found.values()], axis=0))
        out = []
        for other, message in found.items():
            without = np.prod([alone, *(m for k, m in found.items() if k != other)], axis=0)
            out.append(Message(other, message, whole - self._point(without)))
        return out

    def _point(self, belief: Array) -> Array:
        """(2,) crop px of a belief (h, w)."""
        return resize_points(read_mode(_shares_of(belief)[None, None])[0][0, 0], self.stride)

    def runtime_node(self) -> dict[str, Any]:
        if np.isnan(self.power_):
            inside: dict[str, Any] = self.detector_.runtime_node()
            return inside
        return {
            "kind": "fusion.pictorial",
            **self.detector_.maps_node(self.stride),
            "stride": self.stride,
            "parent": self.parent_,
            "kernel": self.kernel_,
            "power": self.power_,
            "calibration": self.calibration_,
        }


def _shares_of(belief: Array) -> Array:
    shares: Array = belief / belief.sum()
    return shares


def spanning_tree(shapes: Array) -> Array:
    """Parents (K,), -1 at the root: the tree whose edges' offsets scatter least over (B, K, 2) shapes.

    Two landmarks that are never labelled together are joined last.
    """
    k = shapes.shape[1]
    scatter = np.full((k, k), np.inf)
    for i in range(k):
        offset = shapes - shapes[:, i : i + 1]
        known = np.isfinite(offset).all(axis=2)
        n = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known[..., None], offset, 0).sum(axis=0) / n[:, None]
        square = np.where(known, ((offset - mean) ** 2).sum(axis=2), 0).sum(axis=0) / n
        scatter[i] = np.where(known.any(axis=0), square + 1e-6, 1e6)  # 0 would mean "no edge"
    tree = minimum_spanning_tree(scatter * (1 - np.eye(k)))
    middle = int(np.argmin(scatter.sum(1)))
    _, parent = breadth_first_order(tree, middle, directed=False)
    return np.where(parent < 0, -1, parent).astype(np.int64)


def _density(offset: Array, size_hw: tuple[int, int], spread: float, doubt: float) -> Array:
    """(2h, 2w) of offsets (B, 2) in map px: Gaussians of ``spread`` around each, and ``doubt`` everywhere."""
    h, w = size_hw
    offset = offset[np.isfinite(offset).all(axis=1)]
    even = np.full((2 * h, 2 * w), 1 / (4 * h * w))
    if not len(offset):
        return even
    y, x = (np.fft.fftfreq(2 * n, 1 / (2 * n)) for n in (h, w))  # 0, 1, .., n - 1, -n, .., -1
    over_y = np.exp(-((y - offset[:, 1:]) ** 2) / (2 * spread**2))
    over_x = np.exp(-((x - offset[:, :1]) ** 2) / (2 * spread**2))
    counted: Array = over_y.T @ over_x
    return (1 - doubt) * counted / max(float(counted.sum()), 1e-12) + doubt * even
