"""Hourglasses in a row: each goes down and up again, and each is told in training what was wanted.

Shapes that pass: standardised pictures (B, C, H, W) to (B, F, H/4, W/4), once a stack.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from ...structures import InputError
from .backbone import Architecture, Backbone
from .blocks import Residual, conv, upsampled


@dataclass(repr=False, eq=False)  # as its base has them
class Hourglass(Architecture):
    """Stacked hourglasses (Newell et al. 2016), each with a loss of its own (intermediate supervision).

    As in the paper, each pools and upsamples with a residual block on every level and on every short cut.

    Departures: residual blocks are two plain 3 x 3 convolutions; what a stack hands on are its features, not
    its maps as well, so that the backbone knows no landmarks; fewer maps (256 in the paper) and levels (4).

    Parameters
    ----------
    stacks : hourglasses in a row, 1 to 4
    depth : how often each halves the maps
    width : maps throughout
    """

    stacks: int = 2
    depth: int = 3
    width: int = 36

    def build(self, channels: int, side: int) -> Backbone:
        self.check(stacks=(1, 4), depth=(1, 6), width=(2, 512))
        if side < 4 * 2**self.depth:
            raise InputError(
                f"hourglass: depth={self.depth} needs pictures of {4 * 2**self.depth} px, got {side}: "
                "give less depth or more input_px"
            )
        return HourglassModule(channels, self.stacks, self.depth, self.width)


class HourglassModule(Backbone):
    """Stem to stride 4, then the stacks."""

    stride = 4

    def __init__(self, channels: int, stacks: int, depth: int, width: int) -> None:
        super().__init__()
        self.n_features, self.n_stages = width, stacks
        self.stem = nn.Sequential(conv(channels, width, 3, 2), conv(width, width, 3, 2), Residual(width))
        self.stacks = nn.ModuleList(_Glass(depth, width) for _ in range(stacks))
        self.bends = nn.ModuleList(conv(width, width, 1) for _ in range(stacks))
        self.back = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(stacks - 1))

    def staged(self, pictures: Tensor) -> list[Tensor]:
        x, out = self.stem(pictures), []
        for i, (stack, bend) in enumerate(zip(self.stacks, self.bends, strict=True)):
            out.append(bend(stack(x)))
            if i < len(self.back):
                x = x + self.back[i](out[-1])
        return out

    def forward(self, pictures: Tensor) -> Tensor:
        return self.staged(pictures)[-1]

    def local(self, pictures: Tensor) -> Tensor:
        """(B, F, H/4, W/4), before the first stack."""
        features: Tensor = self.stem(pictures)
        return features


class _Glass(nn.Module):
    """One hourglass, which holds the next smaller one."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.across, self.down, self.up = Residual(width), Residual(width), Residual(width)
        self.inner = _Glass(depth - 1, width) if depth > 1 else Residual(width)

    def forward(self, x: Tensor) -> Tensor:
        below = self.up(self.inner(self.down(F.max_pool2d(x, 2))))
        return self.across(x) + upsampled(below, x)
