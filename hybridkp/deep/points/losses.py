"""What the interest-point network is trained to do, as functions of its two maps.

Four terms: labelled points (cross-entropy of the score map), one place in both views (reprojection
of sub-pixel peaks, ALIKE, Zhao et al. 2022), rows that find each other (dual softmax, as LoFTR and
SiLK), and scores that say which points will match.  No pictures and no loop here.
Letters: **P** pairs, **N** points of a view, **D** features; points in px of the view.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import masked_mean
from .network import unit_spread
from .views import PairBatch

SAME_POINT_PX = 3.0  #: nearer points are the same point for the descriptors, further ones are not
WEIGHTS = {"label": 0.5, "place": 0.5, "peak": 0.1, "match": 1.5, "reliability": 0.4}


def label_maps(batch: PairBatch, sigma: float = 0.9) -> Tensor:
    """(2P, S, S) targets: a bump of height ``weight`` and width ``sigma`` at every labelled point."""
    n, side = batch.pictures.shape[:2]
    maps = np.zeros((n, side, side), np.float32)
    step = np.arange(-2, 3)
    for plane, xy, weight in zip(maps, batch.xy, batch.weight, strict=True):
        at = np.rint(xy).astype(np.int64)
        keep = ((at >= 2) & (at < side - 2)).all(1)
        at, xy, weight = at[keep], xy[keep], weight[keep]
        rows = at[:, 1, None] + step
        columns = at[:, 0, None] + step
        far = (rows - xy[:, 1:])[:, :, None] ** 2 + (columns - xy[:, :1])[:, None, :] ** 2
        bump = weight[:, None, None] * np.exp(-far / (2 * sigma**2))
        np.maximum.at(plane, (rows[:, :, None], columns[:, None, :]), bump.astype(np.float32))
    return torch.from_numpy(maps)


def soft_points(logits: Tensor, valid: Tensor, n_points: int, border: int = 5) -> tuple[Tensor, ...]:
    """The best peaks of (B, S, S) logits: sub-pixel (B, N, 2), their logit (B, N) and spread (B, N).

    The same decoding as :mod:`hybridkp.points.dense`, differentiable; places without a peak are
    filled with the next best px, whose logit is low.
    """
    b, _, width = logits.shape
    score = logits.detach()
    window = np.ones((5, 5), np.uint8)
    largest = torch.from_numpy(np.stack([cv2.dilate(plane, window) for plane in score.cpu().numpy()]))
    allowed = torch.zeros_like(valid)
    allowed[:, border:-border, border:-border] = True
    score = score.masked_fill((score < largest) | ~(valid & allowed), -30.0)
    place = score.flatten(1).topk(n_points, 1).indices
    place = torch.where(allowed.flatten(1).gather(1, place), place, border * width + border)
    step = torch.arange(-2, 3)
    dy, dx = (g.flatten() for g in torch.meshgrid(step, step, indexing="ij"))
    window_at = (place[:, :, None] + dy * width + dx).flatten(1)
    values = logits.flatten(1).gather(1, window_at).view(b, n_points, 25)
    weight = torch.softmax(values, 2)
    step_xy = torch.stack([dx, dy], 1).float()
    offset = weight @ step_xy
    whole = torch.stack([place % width, place // width], 2)
    spread = (weight * ((step_xy - offset[:, :, None]) ** 2).sum(3)).sum(2)
    return whole + offset, values[:, :, 12], spread


def project(homography: Tensor, xy: Tensor) -> Tensor:
    """(P, N, 2) through (P, 3, 3)."""
    at = xy @ homography[:, :, :2].transpose(1, 2) + homography[:, None, :, 2]
    return at[:, :, :2] / at[:, :, 2:].clamp_min(1e-6)


def rows_at(rows: Tensor, xy: Tensor) -> Tensor:
    """(B, N, D) unit rows of maps (B, D, h, w), bilinear, at points in px of the picture."""
    size = torch.tensor([rows.shape[3] * 4, rows.shape[2] * 4])
    grid = ((2 * xy + 1) / size - 1)[:, :, None]
    found = F.grid_sample(rows, grid, padding_mode="border", align_corners=False)[..., 0]
    return F.normalize(found.transpose(1, 2), dim=2, eps=1e-6)


def _inside(valid: Tensor, xy: Tensor, border: float = 4.0) -> Tensor:
    side = valid.shape[-1]
    at = xy.detach().round().long().clamp(0, side - 1)
    shown = valid.flatten(1).gather(1, at[:, :, 1] * side + at[:, :, 0])
    return shown & ((xy >= border) & (xy <= side - 1 - border)).all(2)


def match_loss(
    rows: Tensor, partner: Tensor, xy: Tensor, use: Tensor, sharpness: Tensor
) -> tuple[Tensor, Tensor]:
    """Dual softmax: row i of (B, N, D) belongs to row i of ``partner``, at ``xy`` (B, N, 2) of its view.

    Points of one view within :data:`SAME_POINT_PX` of each other do not count against each other; points
    of two other views do.  Returns the loss and (B, N), whether a point and its partner are each
    other's best within their views.
    """
    b, n = use.shape
    same = (torch.cdist(xy, xy) < SAME_POINT_PX) & ~torch.eye(n, dtype=torch.bool)
    cosine = rows @ partner.transpose(1, 2)
    keep = ~same & use[:, None] & use[:, :, None]
    truth = cosine.diagonal(dim1=1, dim2=2)
    # exponentials of values <= 0, masked afterwards: tiny floats would cost ten times the time
    within = torch.exp((cosine - 1) * sharpness) * keep
    loss = torch.zeros(())
    for ours, theirs, dim in ((rows, partner, 2), (partner, rows, 1)):
        mass = within.sum(dim)
        for shift in (1, 2, 3) if b > 4 else ():
            far = ours @ theirs.roll(shift, 0).transpose(1, 2)
            mass = mass + (torch.exp((far - 1) * sharpness) * use.roll(shift, 0)[:, None]).sum(2)
        entropy = torch.log(mass.clamp_min(1e-30)) - (truth - 1) * sharpness
        loss = loss + 0.5 * masked_mean(entropy, use)
    with torch.no_grad():
        seen = torch.where(keep, cosine, -2.0)
        best = (truth >= seen.max(1).values) & (truth >= seen.max(2).values) & use
    return loss, best


class PointLoss(nn.Module):
    """All terms together; the sharpness of the softmax is learned with the network."""

    def __init__(self, n_points: int = 150, n_random: int = 100) -> None:
        super().__init__()
        self.n_points, self.n_random = n_points, n_random
        self.log_sharpness = nn.Parameter(torch.tensor(3.0))

    def forward(self, net: nn.Module, batch: PairBatch, generator: torch.Generator) -> dict[str, Tensor]:
        pictures = torch.from_numpy(np.ascontiguousarray(batch.pictures))[:, None]
        logits, rows = net(unit_spread(pictures).contiguous(memory_format=torch.channels_last))
        logits, valid = logits[:, 0], torch.from_numpy(batch.valid)
        return self.terms(logits, rows, valid, batch, generator)

    def terms(
        self, logits: Tensor, rows: Tensor, valid: Tensor, batch: PairBatch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The terms of :data:`WEIGHTS`, unweighted, and two numbers to watch."""
        p = len(batch.homography)
        there = torch.from_numpy(batch.homography.astype(np.float32))
        back = torch.from_numpy(np.linalg.inv(batch.homography).astype(np.float32))
        xy, height, spread = soft_points(logits, valid, self.n_points)
        xy_a, xy_b = xy[:p], xy[p:]
        a_in_b, b_in_a = project(there, xy_a), project(back, xy_b)
        seen = torch.cat([_inside(valid[p:], a_in_b), _inside(valid[:p], b_in_a)])
        far_ab, far_ba = torch.cdist(a_in_b, xy_b), torch.cdist(xy_a, b_in_a)
        far = 0.5 * (far_ab + far_ba)
        near_a, near_b = far.min(2).values, far.min(1).values
        nearest = torch.cat([near_a, near_b])
        real = height.detach() > -25
        close = (nearest < 3.0) & seen & real
        place = masked_mean(nearest, close)
        peak = masked_mean(spread, real)
        match, right = self._match(rows, xy, there, back, valid, generator)
        repeated = (nearest.detach() < 2.0) & right[:, : self.n_points]
        known = seen & real
        reliability = F.binary_cross_entropy_with_logits(height, repeated.float(), reduction="none")
        return {
            "label": self._label(logits, valid, batch),
            "place": place,
            "peak": peak,
            "match": match,
            "reliability": masked_mean(reliability, known),
            "repeated": (close & (nearest < 2)).sum() / known.sum().clamp_min(1),
            "right": masked_mean(right[:, : self.n_points], known),
        }

    def _match(
        self, rows: Tensor, xy: Tensor, there: Tensor, back: Tensor, valid: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Points of both views, and random ones, against their places in the other view, a little off."""
        p, side = len(there), valid.shape[-1]
        anywhere = torch.rand(2 * p, self.n_random, 2, generator=generator) * (side - 8) + 4
        at = torch.cat([xy.detach(), anywhere], 1)
        other = torch.cat([project(there, at[:p]), project(back, at[p:])])
        use = _inside(torch.cat([valid[p:], valid[:p]]), other) & _inside(valid, at)
        jitter = torch.randn(other.shape, generator=generator) * 0.6
        rows_here = rows_at(rows, at)
        rows_there = rows_at(torch.cat([rows[p:], rows[:p]]), other + jitter)
        sharpness = self.log_sharpness.exp().clamp(5, 40)
        return match_loss(rows_here, rows_there, other, use, sharpness)

    @staticmethod
    def _label(logits: Tensor, valid: Tensor, batch: PairBatch) -> Tensor:
        target = label_maps(batch)
        count = valid & torch.from_numpy(batch.labelled)[:, None, None]
        weight = (1 + 12 * target) * count
        loss: Any = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return 6 * (loss * weight).sum() / count.sum().clamp_min(1)


def total(terms: dict[str, Tensor], progress: float) -> Tensor:
    """The weighted sum; places and reliability come in once there are peaks to speak of."""
    ramp = min(1.0, max(0.0, (progress - 0.03) / 0.07))
    grow = {"place": ramp, "peak": ramp, "reliability": ramp}
    return sum((WEIGHTS[k] * grow.get(k, 1.0) * terms[k] for k in WEIGHTS), torch.zeros(()))
