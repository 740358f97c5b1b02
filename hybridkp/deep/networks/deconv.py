"""Down to stride 32, and back to stride 4 by three transposed convolutions.

Shapes that pass: standardised pictures (B, C, H, W) to (B, F, H/4, W/4).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from .backbone import Architecture, Backbone
from .encoder import EncoderModule


@dataclass(repr=False, eq=False)  # as its base has them
class Deconv(Architecture):
    """The simple baseline (Xiao et al. 2018): a residual network, then three transposed convolutions.

    Each is 4 x 4 of stride 2 with batch norm and ReLU, as in the paper.  Departure: the residual network is
    :class:`.Encoder`, and the transposed convolutions have fewer maps.

    Parameters
    ----------
    width : maps of each transposed convolution (256 in the paper)
    """

    width: int = 48

    def build(self, channels: int, side: int) -> Backbone:
        self.check(width=(1, 512))
        return DeconvModule(channels, self.width)


class DeconvModule(Backbone):
    """Encoder and decoder; what the encoder's padding added below and on the right is cut off again."""

    stride = 4

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.n_features = width
        self.encoder = EncoderModule(channels)
        sizes = pairwise([self.encoder.n_features, width, width, width])
        self.decoder = nn.Sequential(*(_doubled(a, b) for a, b in sizes))

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.decoder(self.encoder(pictures))
        height, width = (-(-int(n) // 4) for n in pictures.shape[-2:])
        if tuple(features.shape[-2:]) != (height, width):
            features = features[:, :, :height, :width]
        return features

    def local(self, pictures: Tensor) -> Tensor:
        """(B, 40, H/4, W/4), the encoder's."""
        return self.encoder.stages(pictures)[0]


def _doubled(inputs: int, outputs: int) -> nn.Sequential:
    up = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)
    return nn.Sequential(up, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
