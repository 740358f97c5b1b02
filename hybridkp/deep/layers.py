"""Building blocks that several networks share: convolutions, residual blocks, picture norm.

Plain 3 x 3 convolutions throughout: on CPUs they reach several times the arithmetic rate of
depthwise ones.  Shapes that pass: (B, C, H, W) float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two 3 x 3 convolutions around a short cut (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm(self.second(self.first(x))))


def standardise(pictures: Tensor) -> Tensor:
    """Values 0..255 to zero mean and unit spread, each picture by itself; blank stays 0."""
    centred = pictures - _mean(pictures)
    return centred / (_mean(centred * centred) + 16.0).sqrt()


def _mean(maps: Tensor) -> Tensor:
    """(B, 1, 1, 1); in two steps, as OpenCV 4.14 gets the one over three axes wrong (by 0.2 grey levels)."""
    return maps.mean((2, 3), keepdim=True).mean(1, keepdim=True)


class Encoder(nn.Module):
    """Strides 2, 4, 8, 16, 32; ``forward`` gives the last four maps, finest first.

    The three middle strides have a residual block each, where its cost buys the most.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (32, 48, 64, 80, 80),
        blocks: tuple[int, ...] = (1, 1, 1),
        channels: int = 1,
    ) -> None:
        super().__init__()
        a, b, c, d, e = widths
        self.stem = conv(channels, a, 3, 2)
        self.stride4 = nn.Sequential(conv(a, b, 3, 2), *[Residual(b) for _ in range(blocks[0])])
        self.stride8 = nn.Sequential(conv(b, c, 3, 2), *[Residual(c) for _ in range(blocks[1])])
        self.stride16 = nn.Sequential(conv(c, d, 3, 2), *[Residual(d) for _ in range(blocks[2])])
        self.stride32 = conv(d, e, 3, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        s4 = self.stride4(self.stem(x))
        s8 = self.stride8(s4)
        s16 = self.stride16(s8)
        return s4, s8, s16, self.stride32(s16)


class DenseTrunk(nn.Module):
    """Local features everywhere: (B, 1, H, W) to (B, D, H // 2, W // 2), each seeing 18 x 18 px.

    Output pixel (i, j) is centred on input point (2 j + 1/2, 2 i + 1/2): the even first kernel sees
    to that.  The same numbers come out as from cutting an 18 x 18 patch around each, much cheaper.
    """

    def __init__(self, outputs: int, widths: tuple[int, int, int] = (24, 32, 48)) -> None:
        super().__init__()
        a, b, c = widths
        self.first = nn.Sequential(
            nn.Conv2d(1, a, 6, 2, 2, bias=False), nn.BatchNorm2d(a), nn.ReLU(inplace=True)
        )
        self.rest = nn.Sequential(conv(a, b), conv(b, c), conv(c, c))
        self.head = nn.Conv2d(c, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rest(self.first(x)))
