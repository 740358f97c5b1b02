"""Local features everywhere, each of an 18 x 18 px patch: no context, so no memory of whole shapes.

The trunk of the networks that only see patches.  Shapes that pass: standardised pictures (B, C, H, W)
to (B, F, H // 2, W // 2).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from .backbone import Architecture, Backbone
from .blocks import conv


@dataclass(repr=False, eq=False)  # as its base has them
class Dense(Architecture):
    """Local features of 18 x 18 px at stride 2, without any context: the control of all that see more.

    Parameters
    ----------
    n_features : number of output maps
    """

    n_features: int = 48

    def build(self, channels: int, side: int) -> Backbone:
        self.check(n_features=(1, 512))
        return DenseTrunk(channels, self.n_features)


class DenseTrunk(Backbone):
    """The same numbers as from cutting an 18 x 18 patch around each output pixel, much cheaper.

    Output pixel (i, j) is centred on input point (2 j + 1/2, 2 i + 1/2): the even first kernel sees
    to that.
    """

    stride = 2

    def __init__(
        self, channels: int = 1, n_features: int = 48, widths: tuple[int, int, int] = (24, 32, 48)
    ) -> None:
        super().__init__()
        a, b, c = widths
        self.n_features = n_features
        self.first = nn.Sequential(
            nn.Conv2d(channels, a, 6, 2, 2, bias=False), nn.BatchNorm2d(a), nn.ReLU(inplace=True)
        )
        self.rest = nn.Sequential(conv(a, b), conv(b, c), conv(c, c))
        self.head = nn.Conv2d(c, n_features, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.rest(self.first(pictures)))
