"""What is read from a backbone's features: a map a landmark, or its coordinates.

A head knows how many features there are and at which stride, not which backbone they are from.
Shapes that pass: features (B, F, h, w) to logits (B, K, h, w), or to points (B, K, 2) in px of the
network's input with one raw confidence (B, K), or to logits over columns and over rows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .networks.backbone import Backbone
from .networks.blocks import conv


class MapsHead(nn.Conv2d):
    """Logits (B, K, h, w): the logarithm of each landmark's map up to a constant."""

    by_landmark = ("weight", "bias")  #: weights with rows for each landmark

    def __init__(self, backbone: Backbone, n_landmarks: int) -> None:
        super().__init__(backbone.n_features, n_landmarks, 1)
        self.n_landmarks = n_landmarks


class CoordinatesHead(nn.Module):
    """Points around a mean shape, and minus the logarithm of the error that is expected of each.

    The features are averaged to cells of 32 px (16 where the side is no multiple of that), squeezed to
    a few channels and flattened, not averaged over the picture, so that position survives to the
    regression.
    """

    by_landmark = ("linear.weight", "linear.bias")
    mean_xy: Tensor

    def __init__(self, backbone: Backbone, n_landmarks: int, side: int) -> None:
        super().__init__()
        self.n_landmarks, self.side = n_landmarks, side
        cell = 16 if side % 32 else 32  # a whole number of them, as engines differ in how they round
        self.pool = max(1, cell // backbone.stride)
        cells = math.ceil(side / (self.pool * backbone.stride))
        self.squeeze = conv(backbone.n_features, 32, 1)
        self.bend = nn.Sequential(nn.Linear(32 * cells * cells, 160), nn.ReLU(inplace=True))
        self.linear = nn.Linear(160, 3 * n_landmarks)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("mean_xy", torch.full((n_landmarks, 2), (side - 1) / 2))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        if self.pool > 1:
            features = F.avg_pool2d(features, self.pool)
        rows = self.bend(self.squeeze(features).flatten(1))
        out = self.linear(rows).view(-1, self.n_landmarks, 3)
        return self.mean_xy + out[..., :2] * (self.side / 4), out[..., 2].clamp(-6, 6)


class AxesHead(nn.Module):
    """Logits over columns and over rows (B, K, S * split): two one-dimensional maps a landmark.

    One map of the features a landmark, then one full connection for x and one for y that all landmarks share.
    """

    by_landmark = ("maps.weight", "maps.bias")

    def __init__(self, backbone: Backbone, n_landmarks: int, side: int, split: int) -> None:
        super().__init__()
        self.n_landmarks = n_landmarks
        at_most = max(1, side // (16 * backbone.stride))  # a full connection from 256 cells or so
        self.pool = 2 ** (at_most.bit_length() - 1)
        cells = math.ceil(side / backbone.stride) // self.pool
        self.maps = nn.Conv2d(backbone.n_features, n_landmarks, 1)
        self.columns, self.rows = (nn.Linear(cells * cells, side * split) for _ in range(2))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        if self.pool > 1:
            features = F.avg_pool2d(features, self.pool)
        flat = self.maps(features).flatten(2)
        return self.columns(flat), self.rows(flat)
