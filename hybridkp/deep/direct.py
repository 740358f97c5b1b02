"""A small network that gives coordinates directly, without maps: the fastest of the deep detectors.

Squares (B, C, S, S) in, grey or BGR, points (B, K, 2) in px of the square out.  The last maps are
flattened, not averaged, so that position survives to the regression.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from .estimator import NetDetector
from .layers import Encoder, conv, standardise


def wing(error: Tensor, width: float = 4.0, curvature: float = 1.0) -> Tensor:
    """Wing loss (Feng et al. 2018) of signed errors in px: logarithmic near 0, linear beyond ``width``."""
    size = error.abs()
    offset = width - width * math.log1p(width / curvature)
    return torch.where(size < width, width * torch.log1p(size / curvature), size - offset)


class DirectModule(nn.Module):
    """Encoder to stride 32, squeezed to a few channels, one linear map to points and log scales."""

    def __init__(self, n_landmarks: int, side: int, channels: int = 1) -> None:
        super().__init__()
        self.n_landmarks, self.side = n_landmarks, side
        self.encoder = Encoder((24, 40, 64, 80, 96), channels=channels)
        cells = math.ceil(side / 32)
        self.squeeze = conv(96, 32, 1)
        self.bend = nn.Sequential(nn.Linear(32 * cells * cells, 160), nn.ReLU(inplace=True))
        self.head = nn.Linear(160, 3 * n_landmarks)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("mean_xy", torch.full((n_landmarks, 2), (side - 1) / 2))

    def features(self, pictures: Tensor) -> Tensor:
        """(B, 160) from squares (B, C, S, S)."""
        return self.bend(self.squeeze(self.encoder(standardise(pictures))[-1]).flatten(1))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        out = self.head(self.features(pictures)).view(-1, self.n_landmarks, 3)
        return self.mean_xy + out[..., :2] * (self.side / 4), out[..., 2].clamp(-6, 6)


class DirectNet(NetDetector):
    """Direct regression with the Wing loss, around the training set's mean shape.

    A third output per landmark learns the logarithm of the expected error (Laplace likelihood of
    the detached error), which becomes the score.  Parameters and attributes as in
    :class:`~hybridkp.deep.heatmap.HeatmapNet`, without ``sigma``.
    """

    def __init__(
        self,
        input_px: int = 128,
        color: bool = True,
        max_epochs: int = 40,
        batch_size: int = 16,
        learning_rate: float = 1e-3,
        weight_decay: float = 2e-2,
        patience: int = 15,
        epoch_pictures: int = 1000,
        validation_fraction: float = 0.1,
        average: float = 0.998,
        precision: str = "auto",
        device: str = "auto",
        random_state: Any = 0,
        checkpoint: Any = None,
        verbose: int = 0,
    ) -> None:
        self.input_px = input_px
        self.color = color
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.epoch_pictures = epoch_pictures
        self.validation_fraction = validation_fraction
        self.average = average
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.verbose = verbose

    def _build(self, n_landmarks: int) -> nn.Module:
        return DirectModule(n_landmarks, self.input_px, self.n_channels_)

    def _start(self, net: Any, target: Tensor) -> None:
        net.mean_xy.copy_(torch.nanmean(target, 0))

    def _loss(self, net: Any, pictures: Tensor, xy: Tensor) -> Tensor:
        found, raw = (value.float() for value in net(pictures))
        inside = (xy > -0.1 * self.input_px) & (xy < 1.1 * self.input_px)
        known = inside.all(-1)  # False for NaN
        error = (found - torch.where(known.unsqueeze(-1), xy, found.detach())) * (128 / self.input_px)
        distance = error.detach().norm(dim=-1).clamp_min(0.1)
        likelihood = distance * torch.exp(raw) - raw  # raw = -log(expected error)
        value = wing(error).sum(-1) + 0.2 * likelihood
        return (value * known).sum() / known.sum().clamp_min(1)
