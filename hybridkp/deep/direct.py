"""A small network that gives coordinates directly, without maps: the fastest of the deep detectors.

Squares (B, C, S, S) in, grey or BGR, points (B, K, 2) in px of the square out.  Backbone, coordinates
head and loss are parts; no training here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .distil import Teacher
from .estimator import NetDetector
from .heads import CoordinatesHead
from .losses import POINT_LOSSES, check_loss, laplace, masked_mean, point_loss
from .networks.backbone import Backbone
from .networks.blocks import standardise
from .networks.registry import make_backbone
from .schedule import Schedule
from .transfer import Pretrained


class DirectModule(nn.Module):
    """A backbone, and points and log scales from its features."""

    def __init__(self, backbone: Backbone, n_landmarks: int, side: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = CoordinatesHead(backbone, n_landmarks, side)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.head(self.backbone(standardise(pictures)))
        return found


@dataclass(eq=False, repr=False)
class DirectNet(NetDetector):
    """Direct regression around the training set's mean shape.

    A third output per landmark learns the logarithm of the expected error (Laplace likelihood of
    the detached error), which becomes the score.  Parameters and attributes as in
    :class:`~hybridkp.deep.heatmap.HeatmapNet`, without ``sigma`` and ``decoding``.

    Parameters
    ----------
    loss : of the points' errors: "wing" (Feng et al. 2018) or "l2"
    """

    schedule_defaults: ClassVar[dict[str, Any]] = {
        "max_epochs": 40,
        "learning_rate": 1e-3,
        "weight_decay": 2e-2,
        "patience": 15,
        "average": 0.998,
        "precision": "auto",
    }

    input_px: int = 128
    color: bool = True
    backbone: Any = "encoder"
    loss: str = "wing"
    initial: Pretrained | None = None
    teacher: Teacher | None = None
    inputs: tuple[str, ...] = ("image",)
    dropout: float = 0.25
    schedule: Schedule | None = None
    random_state: Any = 0

    def _build(self, n_landmarks: int) -> nn.Module:
        check_loss(self.loss, "coordinates", *POINT_LOSSES)
        backbone = make_backbone(self.backbone, self.n_channels_, self.input_px)
        return DirectModule(backbone, n_landmarks, self.input_px)

    def _start(self, net: Any, target: Tensor) -> None:
        net.head.mean_xy.copy_(torch.nanmean(target, 0))

    def _loss(self, net: Any, pictures: Tensor, xy: Tensor) -> Tensor:
        found, raw = (value.float() for value in net(pictures))
        value, error, known = point_loss(self.loss, found, xy, self.input_px)
        return masked_mean(value + 0.2 * laplace(error, raw), known)
