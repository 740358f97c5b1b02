"""Down by max-pooling, and up again by putting each value where its maximum was.

Shapes that pass: standardised pictures (B, C, H, W) to (B, F, H/4, W/4).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .backbone import Architecture, Backbone
from .blocks import Residual, conv, upsampled


@dataclass(repr=False, eq=False)  # as its base has them
class Unpool(Architecture):
    """Max-unpooling (Noh et al. 2015, Badrinarayanan et al. 2017): maxima go back where they were.

    Unpooling, then convolutions that fill the gaps, as in the papers.  Departures: no indices are kept; a
    value goes to wherever the pooled map equals its own maximum, which every engine can compute, and where
    two pixels share a maximum both get it.  The first two halvings are strided convolutions; two poolings
    follow.

    Parameters
    ----------
    width : maps at stride 4; one half more at stride 8, twice as many at stride 16
    """

    width: int = 48

    def build(self, channels: int, side: int) -> Backbone:
        self.check(width=(2, 512))
        return UnpoolModule(channels, self.width)


def unpool(values: Tensor, pooled: Tensor, before: Tensor) -> Tensor:
    """(B, F, h, w) values to (B, F, 2 h, 2 w): where ``before`` has the maxima ``pooled``, else 0."""
    return torch.where(before == upsampled(pooled, before), upsampled(values, before), 0.0)


class UnpoolModule(Backbone):
    """Encoder with two poolings and the decoder that mirrors it."""

    stride = 4

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.n_features = a = width
        b, c = width + width // 2, 2 * width
        self.stem = nn.Sequential(conv(channels, a // 2, 3, 2), conv(a // 2, a, 3, 2), Residual(a))
        self.middle = nn.Sequential(conv(a, b), Residual(b))
        self.deep = nn.Sequential(conv(b, c), Residual(c), conv(c, b))
        self.up8 = nn.Sequential(conv(b, b), conv(b, a))
        self.up4 = nn.Sequential(conv(a, a), conv(a, a))

    def forward(self, pictures: Tensor) -> Tensor:
        s4 = self.stem(pictures)
        pooled8 = F.max_pool2d(s4, 2)
        s8 = self.middle(pooled8)
        pooled16 = F.max_pool2d(s8, 2)
        up8 = self.up8(unpool(self.deep(pooled16), pooled16, s8))
        features: Tensor = self.up4(unpool(up8, pooled8, s4))
        return features

    def local(self, pictures: Tensor) -> Tensor:
        """(B, F, H/4, W/4), before the context."""
        features: Tensor = self.stem(pictures)
        return features
