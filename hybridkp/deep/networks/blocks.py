"""Building blocks that several networks share: convolutions, residual blocks, picture norm.

Plain 3 x 3 convolutions throughout: on CPUs they reach several times the arithmetic rate of
depthwise ones.  Shapes that pass: (B, C, H, W) float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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


def upsampled(maps: Tensor, like: Tensor) -> Tensor:
    """(B, F, h, w) to the size of ``like`` (B, *, H, W), each value repeated."""
    return F.interpolate(maps, [int(n) for n in like.shape[-2:]], mode="nearest")


def standardise(pictures: Tensor) -> Tensor:
    """Values 0..255 to zero mean and unit spread, each picture by itself; blank stays 0."""
    centred = pictures - _mean(pictures)
    return centred / (_mean(centred * centred) + 16.0).sqrt()


def _mean(maps: Tensor) -> Tensor:
    """(B, 1, 1, 1); in two steps, as OpenCV 4.14 gets the one over three axes wrong (by 0.2 grey levels)."""
    return maps.mean((2, 3), keepdim=True).mean(1, keepdim=True)
