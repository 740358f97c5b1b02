"""Strides 2 to 32 in plain convolutions: the trunk of the coordinate network and half of the U-shaped one.

The three middle strides have a residual block each, where its cost buys the most.  Shapes that pass:
standardised pictures (B, C, H, W) to (B, F, H/32, W/32).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ...structures import InputError
from .backbone import Architecture, Backbone
from .blocks import Residual, conv


@dataclass(repr=False, eq=False)  # as its base has them
class Encoder(Architecture):
    """Residual network (He et al. 2016) to stride 32: stages of half the size each, short cuts, batch norm.

    Departures: three residual blocks of plain 3 x 3 convolutions in all; no pooling before the first.

    Parameters
    ----------
    widths : maps at strides 2, 4, 8, 16 and 32
    """

    widths: tuple[int, ...] = (24, 40, 64, 80, 96)

    def build(self, channels: int, side: int) -> Backbone:
        if len(self.widths) != 5 or not all(isinstance(w, int) and 1 <= w <= 512 for w in self.widths):
            raise InputError(f"encoder: widths must be five whole numbers from 1 to 512, got {self.widths}")
        return EncoderModule(channels, self.widths)


class EncoderModule(Backbone):
    """Each stride halves the maps of the one before; ``widths`` are the channels of the five."""

    stride = 32

    def __init__(self, channels: int = 1, widths: tuple[int, ...] = (24, 40, 64, 80, 96)) -> None:
        super().__init__()
        a, b, c, d, e = widths
        self.n_features = e
        self.stem = conv(channels, a, 3, 2)
        self.stride4 = nn.Sequential(conv(a, b, 3, 2), Residual(b))
        self.stride8 = nn.Sequential(conv(b, c, 3, 2), Residual(c))
        self.stride16 = nn.Sequential(conv(c, d, 3, 2), Residual(d))
        self.stride32 = conv(d, e, 3, 2)

    def stages(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The maps of strides 4, 8, 16 and 32."""
        s4 = self.stride4(self.stem(pictures))
        s8 = self.stride8(s4)
        s16 = self.stride16(s8)
        return s4, s8, s16, self.stride32(s16)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.stages(pictures)[-1]
