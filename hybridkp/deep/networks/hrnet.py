"""Several resolutions side by side all the way, which tell each other what they see.

Shapes that pass: standardised pictures (B, C, H, W) to (B, F, H/4, W/4).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from .backbone import Architecture, Backbone
from .blocks import Residual, conv, upsampled


@dataclass(repr=False, eq=False)  # as its base has them
class HRNet(Architecture):
    """High-resolution network (Sun et al. 2019): parallel branches that never give up the finest.

    Each stage has one branch more, of half the size, and ends in an exchange.

    As in the paper, exchange sums what the others send: strided 3 x 3 convolutions down, 1 x 1 convolutions
    and nearest upsampling up, and each branch has twice the maps of the one above.  What comes out are all
    branches, upsampled and mixed (the paper's version 2).  Departures: one stage a branch, one residual
    block of two plain 3 x 3 convolutions a branch and stage.

    Parameters
    ----------
    branches : resolutions, from stride 4 on
    width : maps of the finest
    """

    branches: int = 3
    width: int = 28

    def build(self, channels: int, side: int) -> Backbone:
        self.check(branches=(1, 4), width=(2, 256))
        return HRNetModule(channels, self.branches, self.width)


class HRNetModule(Backbone):
    """Stem to stride 4, then stage after stage, the first with one branch."""

    stride = 4

    def __init__(self, channels: int, branches: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(branches)]
        self.n_features = 2 * width
        self.stem = nn.Sequential(conv(channels, width, 3, 2), conv(width, width, 3, 2))
        self.stages = nn.ModuleList(_Stage(widths[: n + 1]) for n in range(branches))
        self.begin = nn.ModuleList(conv(a, b, 3, 2) for a, b in pairwise(widths))
        self.mix = conv(sum(widths), 2 * width, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = [self.stem(pictures)]
        for n, stage in enumerate(self.stages):
            maps = stage(maps)
            if n < len(self.begin):
                maps.append(self.begin[n](maps[-1]))
        finest = [maps[0], *(upsampled(m, maps[0]) for m in maps[1:])]
        features: Tensor = self.mix(torch.cat(finest, 1))
        return features


class _Stage(nn.Module):
    """A block in every branch, then the exchange of all with all."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Residual(w) for w in widths)
        n = range(len(widths))
        self.paths: Any = nn.ModuleList(nn.ModuleList(_path(widths, i, j) for j in n) for i in n)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = [block(m) for block, m in zip(self.blocks, maps, strict=True)]
        if len(maps) == 1:
            return maps
        out = []
        for i, (paths, own) in enumerate(zip(self.paths, maps, strict=True)):
            total = own
            for j, path in enumerate(paths):
                if j > i:
                    total = total + upsampled(path(maps[j]), own)
                elif j < i:
                    total = total + path(maps[j])
            out.append(torch.relu(total))
        return out


def _path(widths: list[int], to: int, start: int) -> nn.Module:
    """From branch ``start`` to branch ``to``: strided convolutions down, one 1 x 1 up; none to itself."""
    if start == to:
        return nn.Identity()
    if start > to:
        return nn.Sequential(nn.Conv2d(widths[start], widths[to], 1, bias=False), nn.BatchNorm2d(widths[to]))
    steps: list[nn.Module] = [conv(widths[i], widths[i + 1], 3, 2) for i in range(start, to - 1)]
    last = nn.Conv2d(widths[to - 1], widths[to], 3, 2, 1, bias=False)
    return nn.Sequential(*steps, last, nn.BatchNorm2d(widths[to]))
