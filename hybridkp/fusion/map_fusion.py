"""Averages and products of the members' score maps.

A member without maps takes part with a Gaussian around its point.  Shapes: M members, each
(B, K, 2) points or (B, K, h, w) maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from .. import memory
from ..imaging.geometry import resize_points, subpixel_peak
from ..imaging.images import check_batch
from ..structures import Array, InputError, ScoreMaps, check_xy, supports
from .members import Combination, Members


@dataclass(eq=False, repr=False)
class MapFusion(Combination):
    """Average or product of the members' score maps; the prediction is the fused map's peak.

    A member without ``score_maps`` takes part with a Gaussian around its point, as wide as its
    out-of-fold error at that landmark.

    Parameters
    ----------
    members : sequence of (name, detector)
    how : "average" (sum rule) or "product" (product rule; Kittler et al. 1998)
    stride : crop px per map px
    cv : folds for the out-of-fold errors of members without maps
    """

    members: Members
    how: str = "product"
    stride: int = 2
    cv: int = 2

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> MapFusion:
        if self.how not in ("average", "product"):
            raise InputError(f"how must be 'average' or 'product', got {self.how!r}")
        images = check_batch(images)
        truth = check_xy(xy, len(images))
        self._fit_members(images, truth, groups, flip)
        self.width_ = np.full((len(self.members_), truth.shape[1]), np.nan)  # px
        for m, ((_, detector), member) in enumerate(zip(self.members, self.members_, strict=True)):
            if not supports(member, ScoreMaps):
                found, _ = memory.out_of_fold(detector, images, truth, groups=groups, flip=flip, cv=self.cv)
                error = np.sqrt(0.5 * ((found - truth) ** 2).sum(-1))
                self.width_[m] = np.maximum(np.nanmedian(error, axis=0) * 1.2, 0.5)
        return self

    def score_maps(self, images: Any, stride: int | None = None) -> Array:
        """(B, K, H/stride, W/stride) float32, each map summing to 1."""
        check_is_fitted(self, "width_")
        images = check_batch(images, self.size_hw_)
        stride = stride or self.stride
        maps = [
            member.score_maps(images, stride=stride)
            if supports(member, ScoreMaps)
            else _gaussians(member.predict(images), self.width_[m], self.size_hw_, stride)
            for m, member in enumerate(self.members_)
        ]
        if self.how == "average":
            fused = np.mean(maps, axis=0)
        else:
            logs = np.sum([np.log(np.maximum(m, 1e-7)) for m in maps], axis=0)
            fused = np.exp(logs - logs.max(axis=(2, 3), keepdims=True))
        return (fused / np.maximum(fused.sum(axis=(2, 3), keepdims=True), 1e-12)).astype(np.float32)

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """The fused maps' sub-pixel peaks, and how much of each map lies within two map px."""
        maps = self.score_maps(images)
        peak, _ = subpixel_peak(np.log(np.maximum(maps, 1e-12)))
        rows = np.arange(maps.shape[2])[:, None] - peak[..., 1][..., None, None]
        columns = np.arange(maps.shape[3])[None, :] - peak[..., 0][..., None, None]
        near = (rows**2 + columns**2) <= 4.0
        score = (maps * near).sum(axis=(2, 3))
        return resize_points(peak, self.stride).astype(np.float32), np.clip(score, 0, 1).astype(np.float32)


def _gaussians(xy: Array, width: Array, size_hw: Sequence[int], stride: int) -> Array:
    """Normalised Gaussian maps (B, K, h, w) around points; flat where the point is NaN."""
    h, w = int(size_hw[0]) // stride, int(size_hw[1]) // stride
    x = resize_points(xy[..., 0], 1 / stride)[..., None, None]
    y = resize_points(xy[..., 1], 1 / stride)[..., None, None]
    sd = (width / stride)[None, :, None, None]
    square = (np.arange(w)[None, :] - x) ** 2 + (np.arange(h)[:, None] - y) ** 2
    maps = np.exp(-0.5 * np.nan_to_num(square / sd**2))
    return maps / np.maximum(maps.sum(axis=(2, 3), keepdims=True), 1e-12)
