"""Features of several scales to one: averages, weights, attention, a choice, recurrent cells, a transformer.

The scales come upsampled to one grid, the finest first.  Shapes that pass: a list of L maps (B, F, h, w) to
(B, F, h, w).  Written with plain 4-D operators, which every engine runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import conv

Scales = list[Tensor]


class Mean(nn.Module):
    """The mean over scales: naive on purpose."""

    def __init__(self, levels: int, width: int) -> None:
        super().__init__()

    def forward(self, scales: Scales) -> Tensor:
        return sum(scales[1:], scales[0]) / len(scales)


class Weights(nn.Module):
    """One learned weight a scale, by softmax."""

    def __init__(self, levels: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(levels))

    def forward(self, scales: Scales) -> Tensor:
        weight = torch.softmax(self.weight, 0)
        return _total([scale * weight[i] for i, scale in enumerate(scales)])


class Attention(nn.Module):
    """A weight for each scale at each pixel, by softmax over scales (Chen et al. 2016)."""

    def __init__(self, levels: int, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(conv(levels * width, width, 1), nn.Conv2d(width, levels, 1))

    def forward(self, scales: Scales) -> Tensor:
        weight = torch.softmax(self.score(torch.cat(scales, 1)), 1)
        return _total([scale * weight[:, i : i + 1] for i, scale in enumerate(scales)])


class Choice(nn.Module):
    """One scale for each picture: the one whose score, from the mean of each map, is highest.

    The choice is hard from the first step on; its gradient is that of the softmax (the straight-through
    estimator, Bengio et al. 2013), so that the scales that are not chosen learn to be scored, not to see.
    """

    def __init__(self, levels: int, width: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(levels * width, levels, 1)

    def forward(self, scales: Scales) -> Tensor:
        means = torch.cat([scale.mean((2, 3), keepdim=True) for scale in scales], 1)
        soft = torch.softmax(self.score(means), 1)  # (B, L, 1, 1)
        best = F.max_pool2d(soft.view(-1, 1, len(scales), 1), (len(scales), 1))
        weight = torch.where(soft == best, 1.0, 0.0)
        if self.training:
            weight = weight + soft - soft.detach()
        return _total([scale * weight[:, i : i + 1] for i, scale in enumerate(scales)])


class SideBySide(nn.Module):
    """All maps side by side, and a 1 x 1 convolution that mixes them."""

    def __init__(self, levels: int, width: int) -> None:
        super().__init__()
        self.mix = conv(levels * width, width, 1)

    def forward(self, scales: Scales) -> Tensor:
        mixed: Tensor = self.mix(torch.cat(scales, 1))
        return mixed


class ConvGRU(nn.Module):
    """A convolutional gated recurrent unit (Ballas et al. 2016) from the coarsest scale to the finest."""

    def __init__(self, levels: int, width: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(2 * width, 2 * width, 3, 1, 1)
        self.candidate = nn.Conv2d(2 * width, width, 3, 1, 1)

    def forward(self, scales: Scales) -> Tensor:
        state = torch.tanh(scales[-1])
        for scale in scales[-2::-1]:
            update, reset = torch.sigmoid(self.gates(torch.cat([scale, state], 1))).chunk(2, 1)
            new = torch.tanh(self.candidate(torch.cat([scale, reset * state], 1)))
            state = state + update * (new - state)
        return state


class ConvLSTM(nn.Module):
    """A convolutional long short-term memory (Shi et al. 2015, without peepholes), coarsest scale first."""

    def __init__(self, levels: int, width: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(2 * width, 4 * width, 3, 1, 1)

    def forward(self, scales: Scales) -> Tensor:
        state = memory = torch.zeros_like(scales[-1])
        for scale in scales[::-1]:
            keep, add, new, show = self.gates(torch.cat([scale, state], 1)).chunk(4, 1)
            memory = torch.sigmoid(keep) * memory + torch.sigmoid(add) * torch.tanh(new)
            state = torch.sigmoid(show) * torch.tanh(memory)
        return state


class Transformer(nn.Module):
    """One block of a transformer (Vaswani et al. 2017) whose tokens are the scales of a pixel.

    Multi-head self-attention over the L tokens with a learned vector for each scale, then a layer of its own
    for each token; normalised before each (Xiong et al. 2020).  Out comes the mean over tokens.
    """

    def __init__(self, levels: int, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = math.gcd(heads, width)
        self.level = nn.Parameter(torch.randn(levels, width) * 0.02)
        self.norms = nn.ModuleList([_ChannelNorm(width), _ChannelNorm(width)])
        self.query, self.key, self.value, self.out = (nn.Conv2d(width, width, 1) for _ in range(4))
        self.bend = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.ReLU(inplace=True))
        self.straight = nn.Conv2d(2 * width, width, 1)

    def forward(self, scales: Scales) -> Tensor:
        tokens = [scale + self.level[i].view(1, -1, 1, 1) for i, scale in enumerate(scales)]
        normed = [self.norms[0](token) for token in tokens]
        keys, values = [self.key(x) for x in normed], [self.value(x) for x in normed]
        out = []
        for token, x in zip(tokens, normed, strict=True):
            token = token + self.out(self._attend(self.query(x), keys, values))
            out.append(token + self.straight(self.bend(self.norms[1](token))))
        return _total(out) / len(out)

    def _attend(self, query: Tensor, keys: Scales, values: Scales) -> Tensor:
        """(B, F, h, w): the scales' values, weighed head by head at each pixel."""
        b, f, h, w = (int(n) for n in query.shape)
        each = f // self.heads
        scores = [(query * key).view(b, self.heads, each, h * w).sum(2) for key in keys]  # (B, heads, h w)
        scores = [score.view(b, 1, self.heads * h * w) for score in scores]
        weight = torch.softmax(torch.cat(scores, 1) / math.sqrt(each), 1)
        split = [value.view(b, self.heads, each, h * w) for value in values]
        parts = [v * weight[:, i].view(b, self.heads, 1, h * w) for i, v in enumerate(split)]
        return _total(parts).view(b, f, h, w)


class _ChannelNorm(nn.Module):
    """Each pixel's F values to zero mean and unit spread, then scaled and moved (Ba et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.move = nn.Parameter(torch.ones(width, 1, 1)), nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        return centred / ((centred * centred).mean(1, keepdim=True) + 1e-5).sqrt() * self.scale + self.move


def _total(parts: Scales) -> Tensor:
    return sum(parts[1:], parts[0])


#: how scales become one; "single" looks at one level alone, the control
FUSIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "average": Mean,
    "weights": Weights,
    "attention": Attention,
    "choice": Choice,
    "concat": SideBySide,
    "convgru": ConvGRU,
    "convlstm": ConvLSTM,
    "transformer": Transformer,
    "single": Mean,
}


def halved(pictures: Tensor) -> Tensor:
    """(B, C, H, W) to half the size: binomial smoothing (1 3 3 1), which keeps pixels' centres in place.

    What lies outside counts as 0, the mean of a standardised picture.
    """
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], device=pictures.device, dtype=pictures.dtype) / 8
    c = int(pictures.shape[1])
    kernel = (row[:, None] * row).expand(c, 1, 4, 4).contiguous()
    return F.conv2d(pictures, kernel, stride=2, padding=1, groups=c)
