"""Feature maps of a trained heat-map network, for classical stages to read beside their own channels.

Crops go in, maps (B, C, h, w) come out.  The network is fitted like any other and shared with
whoever else needs it; nothing is trained here.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .. import memory
from ..imaging.images import check_crops
from ..structures import Array, InputError
from .batches import resize_square
from .heatmap import HeatmapNet
from .networks.blocks import standardise


class _Maps(nn.Module):
    """Crop (B, C, H, W) to the maps of one level (B, F, S / stride, S / stride)."""

    def __init__(self, net: Any, side: int, level: str) -> None:
        super().__init__()
        self.net, self.side, self.level = net, side, level

    def forward(self, crops: Tensor) -> Tensor:
        pictures = standardise(resize_square(crops, self.side)[0])
        backbone = self.net.backbone
        maps: Tensor = (backbone.local if self.level == "encoder" else backbone)(pictures)
        return maps


class HeatmapFeatures(BaseEstimator):
    """The maps that a :class:`.HeatmapNet` reads its points from, as ``maps`` of a :class:`.FastCascade`.

    Parameters
    ----------
    net : HeatmapNet or None
        None is ``HeatmapNet()``.
    level : "decoder" or "encoder"
        The maps before the last layer, which know the whole picture, or those of the same stride
        before the context, which see what is near; of the "unet", 48 each at a stride of 4.

    Notes
    -----
    A network's maps of its own training pictures say more about the truth than those of new
    pictures will.  What reads them learns to trust them too much: measured on faces, see
    ``docs/landmarks.md``.
    """

    def __init__(self, net: Any = None, level: str = "decoder"):
        self.net = net
        self.level = level

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> HeatmapFeatures:
        """Train the network on crops (B, S, S[, 3]) and points (B, K, 2), NaN = not labelled."""
        if self.level not in ("decoder", "encoder"):
            raise InputError(f"level must be 'decoder' or 'encoder', got {self.level!r}")
        images = check_crops(images)
        if images.shape[1] != images.shape[2]:
            raise InputError(f"HeatmapFeatures needs square crops, got {images.shape[1:3]}")
        net = HeatmapNet() if self.net is None else self.net
        self.net_ = memory.fitted(net, images, xy, groups=groups, flip=flip)
        self.size_hw_ = images.shape[1:3]
        return self

    def feature_maps(self, images: Array) -> tuple[Array, float]:
        """(B, F, h, w) float32 of crops (B, S, S[, 3]), and how many crop px a map's pixel covers."""
        check_is_fitted(self, "net_")
        return self.net_.maps_by(self._module(), images), self._stride()

    def _module(self) -> _Maps:
        return _Maps(self.net_.module_.net, self.net_.input_px, self.level).eval()

    def _stride(self) -> float:
        return float(self.net_.module_.net.backbone.stride * self.size_hw_[1] / self.net_.input_px)

    def runtime_node(self) -> dict[str, Any]:
        return {**self.net_.traced_maps(self._module()), "stride": self._stride()}
