"""Points read from two one-dimensional maps a landmark, one over columns and one over rows.

Squares (B, C, S, S) in, grey or BGR, points (B, K, 2) in px of the square out.  Backbone, head and loss are
parts; no training here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..imaging.geometry import rescale
from ..structures import InputError
from .codec import axis
from .distil import Teacher
from .estimator import NetDetector
from .heads import AxesHead
from .losses import POINT_LOSSES, check_loss, masked_mean, point_loss
from .networks.backbone import Backbone
from .networks.blocks import standardise
from .networks.registry import make_backbone
from .schedule import Schedule
from .transfer import Pretrained


class SimCCModule(nn.Module):
    """A backbone, and a distribution over ``split`` bins a px for x and one for y."""

    def __init__(self, backbone: Backbone, n_landmarks: int, side: int, split: int) -> None:
        super().__init__()
        self.backbone, self.split = backbone, split
        self.head = AxesHead(backbone, n_landmarks, side, split)

    def logits(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(B, K, S * split) over columns, and over rows."""
        found: tuple[Tensor, Tensor] = self.head(self.backbone(standardise(pictures)))
        return found

    def read(self, logits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Points (B, K, 2) in input px and a raw confidence (B, K) that falls with the spread."""
        maps = [torch.softmax(one, -1) for one in logits]
        at = axis(int(maps[0].shape[-1]), maps[0].device)
        mean = [(one * at).sum(-1, keepdim=True) for one in maps]
        spread = [(one * at * at).sum(-1) - (m * m).squeeze(-1) for one, m in zip(maps, mean, strict=True)]
        variance = (spread[0] + spread[1]).clamp_min(0) / self.split**2
        return rescale(torch.cat(mean, -1), 1 / self.split), -0.5 * torch.log(variance + 1e-2)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        return self.read(self.logits(pictures))


@dataclass(eq=False, repr=False)
class SimCCNet(NetDetector):
    """Coordinate classification (Li et al. 2022): which column, which row?

    Bins finer than a px and Gaussian targets, as in the paper.  Departure: a point is the expectation of its
    distributions, not the middle of the largest bin, so that it has no steps.  Parameters and attributes as
    in :class:`~hybridkp.deep.heatmap.HeatmapNet`, without ``decoding``.

    Parameters
    ----------
    split : bins a px
    sigma : spread of the training target in input px
    loss : "cross-entropy" of the distributions; or of their expectations "l2" or "wing"
    """

    schedule_defaults: ClassVar[dict[str, Any]] = {
        "max_epochs": 40,
        "learning_rate": 2e-3,
        "weight_decay": 2e-2,
        "average": 0.998,
        "precision": "auto",
    }

    input_px: int = 128
    color: bool = True
    backbone: Any = "unet"
    loss: str = "cross-entropy"
    split: int = 2
    sigma: float = 2.0
    initial: Pretrained | None = None
    teacher: Teacher | None = None
    inputs: tuple[str, ...] = ("image",)
    dropout: float = 0.25
    schedule: Schedule | None = None
    random_state: Any = 0

    def _build(self, n_landmarks: int) -> nn.Module:
        check_loss(self.loss, "one-dimensional maps", "cross-entropy", *POINT_LOSSES)
        if self.split not in range(1, 9) or self.sigma <= 0:
            raise InputError(f"simcc: split must be 1 to 8 and sigma above 0, got {self.split}, {self.sigma}")
        backbone = make_backbone(self.backbone, self.n_channels_, self.input_px)
        return SimCCModule(backbone, n_landmarks, self.input_px, self.split)

    def _loss(self, net: Any, pictures: Tensor, xy: Tensor) -> Tensor:
        columns, rows = (one.float() for one in net.logits(pictures))
        if self.loss in POINT_LOSSES:
            value, _, known = point_loss(self.loss, net.read((columns, rows))[0], xy, self.input_px)
            return masked_mean(value, known)
        known = ((xy > -0.5) & (xy < self.input_px - 0.5)).all(-1)  # False for NaN
        at = rescale(torch.where(known.unsqueeze(-1), xy, 0.0), self.split)
        bins = axis(self.input_px * self.split, xy.device)
        total = torch.zeros_like(known, dtype=torch.float32)
        for i, logits in enumerate((columns, rows)):
            off = bins - at[..., i : i + 1]
            target = torch.softmax(off * off / (-2 * (self.sigma * self.split) ** 2), -1)
            total = total - (target * torch.log_softmax(logits, -1)).sum(-1)
        return masked_mean(total, known)
