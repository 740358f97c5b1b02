"""The picture at several sizes, a trunk for each, and one of several ways to make one of what they see.

Shapes that pass: standardised pictures (B, C, H, W) to (B, F, H/4, W/4).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...imaging.pyramid import MIN_LEVEL_SIDE
from ...structures import InputError
from .backbone import Architecture, Backbone
from .blocks import conv, upsampled
from .scales import FUSIONS, halved


@dataclass(repr=False, eq=False)  # as its base has them
class Pyramid(Architecture):
    """A trunk per level of a Gaussian pyramid (Farabet et al. 2013), fused at the finest level's grid.

    Parameters
    ----------
    levels : pictures, each half the size of the one before; 1 to 5
    fusion : "average", "weights" (one a level), "attention" (a weight a level and pixel, Chen et al. 2016),
        "choice" (one level for a picture), "concat", "convgru" (Ballas et al. 2016) and "convlstm" (Shi et
        al. 2015) from the coarsest level to the finest, "transformer" (Vaswani et al. 2017) over levels, or
        "single": the finest alone, a control
    shared : the levels have one trunk's weights, as in the paper; False: each its own
    width : maps

    Notes
    -----
    Departure: the trunk has a stem of two strided convolutions and three residual blocks.  What the levels
    share are the convolutions; each has its own batch norm, as levels differ in contrast: with norms shared
    as well, what is trained (each level's own mean) is not what is asked (the mean of all).
    """

    levels: int = 3
    fusion: str = "attention"
    shared: bool = True
    width: int = 48

    def build(self, channels: int, side: int) -> Backbone:
        self.check(levels=(1, 5), width=(2, 512))
        if self.fusion not in FUSIONS:
            near = difflib.get_close_matches(str(self.fusion), FUSIONS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(FUSIONS)}"
            raise InputError(f"pyramid: no fusion {self.fusion!r}: {hint}")
        levels = 1 if self.fusion == "single" else self.levels
        smallest = side >> (levels - 1)
        if smallest < MIN_LEVEL_SIDE:
            raise InputError(
                f"pyramid: level {levels} of a picture of {side} px has {smallest} px, and less than "
                f"{MIN_LEVEL_SIDE} show nothing: give fewer levels or more input_px"
            )
        return PyramidModule(channels, levels, self.fusion, self.shared, self.width)


class PyramidModule(Backbone):
    """Trunks, upsampling to the finest grid, fusion, and a convolution that mixes."""

    stride = 4

    def __init__(self, channels: int, levels: int, fusion: str, shared: bool, width: int) -> None:
        super().__init__()
        self.n_features, self.levels = width, levels
        norms, trunks = (levels, 1) if shared else (1, levels)
        self.trunks = nn.ModuleList(_Trunk(channels, width, norms) for _ in range(trunks))
        self.fuse = FUSIONS[fusion](levels, width)
        self.mix = conv(width, width)

    def _levels(self, pictures: Tensor) -> list[Tensor]:
        """(B, F, h, w) of each level, all on the finest grid."""
        out: list[Tensor] = []
        for i in range(self.levels):
            pictures = halved(pictures) if i else pictures
            maps = self.trunks[i](pictures) if len(self.trunks) > 1 else self.trunks[0](pictures, i)
            out.append(upsampled(maps, out[0]) if i else maps)
        return out

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.mix(self.fuse(self._levels(pictures)))
        return features

    def local(self, pictures: Tensor) -> Tensor:
        """(B, F, H/4, W/4), the finest level's own."""
        features: Tensor = self.trunks[0](pictures)
        return features


class _Trunk(nn.Module):
    """Stem to stride 4 and three residual blocks; a batch norm for each of ``n`` levels."""

    def __init__(self, channels: int, width: int, n: int) -> None:
        super().__init__()
        half = width // 2
        self.stem = nn.ModuleList([_Conv(channels, half, 2, n), _Conv(half, width, 2, n)])
        self.blocks = nn.ModuleList(_Conv(width, width, 1, n) for _ in range(6))

    def forward(self, x: Tensor, level: int = 0) -> Tensor:
        for convolution in self.stem:
            x = torch.relu(convolution(x, level))
        for first, second in zip(self.blocks[::2], self.blocks[1::2], strict=True):
            x = torch.relu(x + second(torch.relu(first(x, level)), level))
        return x


class _Conv(nn.Module):
    """A convolution that all levels share, and a batch norm for each."""

    def __init__(self, inputs: int, outputs: int, stride: int, n: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(n))

    def forward(self, x: Tensor, level: int) -> Tensor:
        out: Tensor = self.norms[level](self.convolution(x))
        return out
