"""Down to stride 32 for context, back to stride 4 for place: the backbone of the heat-map network.

Cf. Ronneberger et al. 2015; lateral connections are added, not concatenated (Lin et al. 2017).
Shapes that pass: standardised pictures (B, C, H, W) to (B, 48, H/4, W/4).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from .backbone import Architecture, Backbone
from .blocks import conv
from .encoder import EncoderModule


@dataclass(repr=False, eq=False)  # as its base has them
class UNet(Architecture):
    """The U-shaped network (Ronneberger et al. 2015), small: down, up, and across.

    Departures: the lateral connections are added, not concatenated (Lin et al. 2017); residual blocks on the
    way down; the way up ends at stride 4.

    Parameters
    ----------
    width : maps of the way up at strides 16 and 8
    """

    width: int = 64

    def build(self, channels: int, side: int) -> Backbone:
        self.check(width=(4, 512))
        return UNetModule(channels, self.width)


class UNetModule(Backbone):
    """Encoder to stride 32, decoder back to stride 4 with lateral connections."""

    stride, n_features = 4, 48

    def __init__(self, channels: int = 1, width: int = 64) -> None:
        super().__init__()
        self.encoder = EncoderModule(channels, (32, 48, 64, 80, 80))
        self.context = conv(80, 80)
        self.at16 = conv(80, width, 1)
        self.at8 = conv(64, width, 1)
        self.at4 = conv(48, 48, 1)
        self.mix8 = conv(width, 48)
        self.mix4 = conv(48, 48)

    def forward(self, pictures: Tensor) -> Tensor:
        s4, s8, s16, s32 = self.encoder.stages(pictures)
        up = F.interpolate(self.context(s32), s16.shape[-2:], mode="nearest")
        up = F.interpolate(self.at16(s16 + up), s8.shape[-2:], mode="nearest")
        up = F.interpolate(self.mix8(self.at8(s8) + up), s4.shape[-2:], mode="nearest")
        return self.mix4(self.at4(s4) + up)

    def local(self, pictures: Tensor) -> Tensor:
        """(B, 48, H/4, W/4), the encoder's, before the context."""
        return self.encoder.stages(pictures)[0]
