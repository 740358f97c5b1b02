"""The interest-point network: a picture to a map of point scores and a map of descriptors.

One pass serves detection and description (as SuperPoint, DeTone et al. 2018; the light encoder with
merged scales follows ALIKE, Zhao et al. 2022).  Here are the module, the folding of its batch
normalisations and its plain ONNX graph; how it is trained is in
:mod:`~hybridkp.deep.points.learning`, how it runs without torch in :mod:`hybridkp.points.net`.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..export import trace
from ..networks.blocks import conv

STRIDE = 4  #: input px per descriptor cell
DIVISOR = 16  #: both sides of the input must be multiples of it


class Pointwise(nn.Conv2d):
    """A 1 x 1 convolution that stays channels last: half the time of torch's own on CPUs."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            return super().forward(input)
        out = F.linear(input.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return out.permute(0, 3, 1, 2)


def _double(maps: Tensor) -> Tensor:
    """Twice the size, bilinear: rows that jumped from cell to cell would follow the grid."""
    return F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)


class PointModule(nn.Module):
    """Encoder to stride 16, merged at stride 4 for the descriptors, at stride 2 for the scores.

    Every step down is symmetric about a cell's centre (an even stem, 2 x 2 pools), so that
    descriptor cell j sits at input px 4 j + 3/2 and score px i at input px i.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (16, 32, 64, 48), n_features: int = 64) -> None:
        super().__init__()
        w2, w4, w8, w16 = widths
        stem = nn.Conv2d(1, w2, 4, stride=2, padding=1, bias=False)
        self.at2 = nn.Sequential(stem, nn.BatchNorm2d(w2), nn.ReLU(inplace=True))
        self.at4 = nn.Sequential(nn.MaxPool2d(2), conv(w2, w4), conv(w4, w4))
        self.at8 = nn.Sequential(nn.MaxPool2d(2), conv(w4, w8), conv(w8, w8))
        self.at16 = nn.Sequential(nn.MaxPool2d(2), conv(w8, w16), conv(w16, w16))
        self.from16 = Pointwise(w16, w8)
        self.from8 = Pointwise(w8, n_features)
        self.from4 = Pointwise(w4, n_features)
        one = Pointwise(n_features, n_features, bias=False)
        self.mix = nn.Sequential(one, nn.BatchNorm2d(n_features), nn.ReLU(inplace=True))
        self.describe = Pointwise(n_features, n_features)
        self.context = Pointwise(n_features, w2)
        self.detail = nn.Conv2d(w2, w2, 3, padding=1)
        self.score = nn.Conv2d(w2, 4, 3, padding=1)
        nn.init.constant_(self.score.bias, -3.0)  # type: ignore[arg-type]

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Grey of :func:`unit_spread`, (B, 1, H, W), to logits (B, 1, H, W) and rows (B, D, H/4, W/4)."""
        s2 = self.at2(pictures)
        s4 = self.at4(s2)
        s8 = self.at8(s4)
        up = _double(self.from16(self.at16(s8)))
        up = _double(self.from8(F.relu(s8 + up)))
        merged = self.mix(F.relu(self.from4(s4) + up))
        up = F.interpolate(self.context(merged), scale_factor=2.0, mode="nearest")
        logits = F.pixel_shuffle(self.score(F.relu(self.detail(s2) + up)), 2)
        return logits, self.describe(merged)


def unit_spread(pictures: Tensor) -> Tensor:
    """Grey (B, 1, H, W) in 0..255 to zero mean and unit spread, each picture by itself."""
    spread, mean = torch.std_mean(pictures, (1, 2, 3), correction=0, keepdim=True)
    return (pictures - mean) / (spread + 1.0)


def folded(module: nn.Module) -> Any:
    """A copy in evaluation mode whose batch normalisations have moved into the convolutions."""
    module = copy.deepcopy(module).cpu().eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for part in list(module.modules()):
        if isinstance(part, nn.Sequential):
            for i in range(len(part) - 1):
                if isinstance(part[i], nn.Conv2d) and isinstance(part[i + 1], nn.BatchNorm2d):
                    part[i] = fuse_conv_bn_eval(part[i], part[i + 1])  # type: ignore[arg-type,type-var]
                    part[i + 1] = nn.Identity()
    return module


def export_points(module: nn.Module, opset: int = 16) -> bytes:
    """The plain graph for :class:`hybridkp.points.net.NetFeature`, as bytes.

    Input ``image`` (1, 1, H, W) float32, grey of :func:`unit_spread`, H and W multiples of 16; outputs
    ``logits`` (1, 1, H, W) and ``rows`` (1, D, H/4, W/4).  Only convolutions, pools,
    upsampling and pixel shuffle, so that ``cv2.dnn`` of OpenCV 4 and 5 runs it with any size.
    """
    free = {"image": {2: "h", 3: "w"}, "logits": {2: "h", 3: "w"}, "rows": {2: "h4", 3: "w4"}}
    return trace(folded(module), {"image": torch.zeros(1, 1, 64, 96)}, opset, ("logits", "rows"), free)
