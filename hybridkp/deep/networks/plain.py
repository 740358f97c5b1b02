"""The textbook CNN: convolution and pooling, over and over.

The full connection that ends it is the coordinates head.  Shapes that pass: standardised pictures
(B, C, H, W) to (B, F, H / s, W / s), s = 2 to the power of the depth.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ...structures import InputError
from .backbone import Architecture, Backbone
from .blocks import conv


@dataclass(repr=False, eq=False)  # as its base has them
class Plain(Architecture):
    """Convolutions and max-pooling in turn, then full connection (LeCun et al. 1998): the textbook CNN.

    Departures: ReLU and batch norm in place of the sigmoid (Krizhevsky et al. 2012, Ioffe & Szegedy 2015);
    each layer has twice the maps of the one before.

    Parameters
    ----------
    kernel : side of a convolution, px of its layer; odd
    depth : convolutions, each followed by a pooling of 2 x 2
    width : maps of the first layer

    Examples
    --------
    >>> Plain().receptive_field, Plain(kernel=5, depth=4).receptive_field
    (22, 76)
    """

    kernel: int = 3
    depth: int = 3
    width: int = 32

    @property
    def receptive_field(self) -> int:
        """Input px on a side that an output px sees."""
        return receptive_field([(self.kernel, 1), (2, 2)] * self.depth)

    def build(self, channels: int, side: int) -> Backbone:
        self.check(kernel=(1, 15), depth=(1, 6), width=(1, 256))
        if self.kernel % 2 == 0:
            raise InputError(f"plain: kernel must be odd, got {self.kernel}")
        if side < self.receptive_field:
            raise InputError(
                f"plain: its receptive field of {self.receptive_field} px is larger than the picture "
                f"of {side} px: "
                f"give input_px={-(-self.receptive_field // 16) * 16}, or less kernel or depth"
            )
        if side % 2**self.depth:
            raise InputError(
                f"plain: depth={self.depth} needs an input_px that {2**self.depth} divides, got {side}"
            )
        return PlainModule(channels, self.kernel, [self.width * 2**i for i in range(self.depth)])


def receptive_field(layers: list[tuple[int, int]]) -> int:
    """Input px on a side that one output px of layers (kernel, stride) sees (Araujo et al. 2019).

    >>> receptive_field([(3, 1), (3, 1)])  # two 3 x 3 are a 5 x 5
    5
    """
    seen, step = 1, 1
    for kernel, stride in layers:
        seen, step = seen + (kernel - 1) * step, step * stride
    return seen


class PlainModule(Backbone):
    """``widths`` are the layers' maps."""

    def __init__(self, channels: int, kernel: int, widths: list[int]) -> None:
        super().__init__()
        self.n_features, self.stride = widths[-1], 2 ** len(widths)
        pairs = zip([channels, *widths], widths, strict=False)
        self.layers = nn.Sequential(*(nn.Sequential(conv(a, b, kernel), nn.MaxPool2d(2)) for a, b in pairs))

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.layers(pictures)
        return features
