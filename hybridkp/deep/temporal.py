"""A temporal convolution that names the action of a track: what is done, from how points move.

Tracks (T, K, 2) in px and words come in; the network sees (B, L, K + 1, 2) in body sizes, the body's middle
being the last point, and gives a logit for each word.  No picture is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ..actions import Motion, check_tracks, motion_of, tracks_of
from ..structures import Array, InputError
from .batches import Batch, Rows, split_rows
from .devices import draw_seed, in_parts, n_parameters, pick_device, seeded, set_weights, weights_of
from .schedule import Schedule, Scheduled
from .training import train

DILATIONS = (1, 2, 4, 8)
TURN, SCALE, NOISE, HIDDEN = (
    0.15,
    0.1,
    0.02,
    0.05,
)  #: radians, share, body sizes, chance that a point is not seen


class _Block(nn.Module):
    """Two convolutions over time with a way around them."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.inside = nn.Sequential(
            *(
                nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            ),
            *(nn.Dropout(dropout), nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)),
            nn.BatchNorm1d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.inside(x))


class TemporalModule(nn.Module):
    """Points (B, L, K + 1, 2) and frames a step (B,) to logits (B, C).

    Places and speeds go through dilated convolutions with residuals (Bai, Kolter and Koltun 2018; here they
    also look ahead), of which the mean and the most over time are kept.
    """

    def __init__(self, n_landmarks: int, n_classes: int, width: int, dropout: float) -> None:
        super().__init__()
        n = 2 * (n_landmarks + 1)
        self.begin = nn.Sequential(nn.BatchNorm1d(2 * n), nn.Conv1d(2 * n, width, 1), nn.ReLU())
        self.blocks = nn.Sequential(*(_Block(width, d, dropout) for d in DILATIONS))
        self.end = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * width, n_classes))

    def forward(self, points: Tensor, step: Tensor) -> Tensor:
        place = points.flatten(2)
        speed = F.pad(torch.diff(place, dim=1), (0, 0, 0, 1)) / step.clamp(min=1e-3)[:, None, None]
        x = self.blocks(self.begin(torch.cat([place, speed], 2).transpose(1, 2)))
        out: Tensor = self.end(torch.cat([x.mean(2), x.amax(2)], 1))
        return out


@dataclass(eq=False, repr=False)
class TemporalNet(ClassifierMixin, Scheduled):
    """Names the action of a track by a small temporal convolutional network.

    Parameters
    ----------
    width : channels of the network
    dropout : share of values that a training step does not see
    flip : (K,) the landmark on the other side of each, or None.  With it, training mirrors every other track,
        and a track is judged as it is and mirrored
    schedule : :class:`~hybridkp.deep.Schedule`, or None for this network's own
    random_state : fixes weights, order and augmentation

    Attributes
    ----------
    classes_ : (C,) words; module_; history_; n_parameters_
    """

    schedule_defaults: ClassVar[dict[str, Any]] = {
        "max_epochs": 25,
        "batch_size": 32,
        "learning_rate": 3e-3,
        "weight_decay": 2e-2,
        "average": 0.99,
        "patience": 25,
        "epoch_pictures": 500,
    }

    width: int = 64
    dropout: float = 0.3
    flip: Any = None
    schedule: Schedule | None = None
    random_state: Any = 0

    def fit(self, tracks: Any, labels: Any, *, groups: Any = None) -> TemporalNet:
        """Learn from N tracks (T, K, 2) px, or a batch of them, and their labels (N,).

        Part of the groups is held out, and chooses the epoch.
        """
        known, words = check_tracks(tracks_of(tracks)), np.asarray(labels).astype(str)
        self.n_landmarks_ = int(known[0].shape[1])
        if words.shape != (len(known),):
            raise InputError(f"labels {words.shape} must be one for each of the {len(known)} tracks")
        if self.flip is not None and sorted(np.ravel(self.flip).tolist()) != [*range(self.n_landmarks_)]:
            raise InputError(f"flip must name each of the {self.n_landmarks_} landmarks once")
        schedule, seed = self._schedule, draw_seed(self.random_state)
        device = pick_device(schedule.device)
        self.classes_, index = np.unique(words, return_inverse=True)
        rows = (*_tensors(motion_of(known)), torch.from_numpy(index))
        taught, held_out = split_rows(len(index), groups, schedule.validation_fraction, seed)
        with seeded(seed, device):
            module = self._make()
        supply = Rows(
            tuple(r[taught] for r in rows), self._vary, schedule.batch_size, schedule.epoch_pictures, device
        )
        seen = tuple(r[held_out].to(device) for r in rows)
        self.history_ = train(module, supply, _loss, lambda net: _validate(net, seen), schedule, seed=seed)
        self.module_, self.n_parameters_ = module.eval(), n_parameters(module)
        return self

    def _make(self) -> TemporalModule:
        if self.width < 1 or not 0 <= self.dropout < 1:
            raise InputError(f"width must be at least 1, dropout in [0, 1); got {self.width}, {self.dropout}")
        return TemporalModule(self.n_landmarks_, len(self.classes_), self.width, self.dropout)

    def _vary(self, batch: Batch, generator: Generator) -> Batch:
        """Turned, scaled, shaken, mirrored, and with points that are not seen."""
        points, step, index = batch
        n, _, k, _ = points.shape
        draw = torch.rand(n, 4, generator=generator).to(points.device)
        angle = TURN * (2 * draw[:, 0] - 1)
        scale = 1 + SCALE * (2 * draw[:, 1] - 1)
        side = torch.ones_like(scale)
        if self.flip is not None:
            side = torch.where(draw[:, 2] < 0.5, -1.0, 1.0)
            other = torch.as_tensor([*np.asarray(self.flip).tolist(), k - 1], device=points.device)
            points = torch.where(side[:, None, None, None] < 0, points[:, :, other], points)
        cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
        turn = torch.stack([cos * side, -sin, sin * side, cos], 1).reshape(n, 1, 2, 2)
        points = points @ turn.transpose(2, 3)
        noise = torch.randn(n, 1, k, 2, generator=generator).to(points.device)
        seen = (torch.rand(n, 1, k, 1, generator=generator) >= HIDDEN).to(points.device)
        return (points + NOISE * noise * (points != 0)) * seen, step, index

    def predict_proba(self, tracks: Any) -> Array:
        """(N, C) in 0..1, summing to 1, in the order of ``classes_``."""
        return self.said(tracks)[0]

    def said(self, tracks: Any) -> tuple[Array, Array]:
        """Probabilities (N, C), and (N,) bool: whether two points of the track were ever seen."""
        check_is_fitted(self, "module_")
        known = check_tracks(tracks_of(tracks), self.n_landmarks_)
        motion = motion_of(known)
        views = [motion] if self.flip is None else [motion, motion.mirrored(self.flip)]
        device = pick_device(self._schedule.device)
        self.module_.to(device)
        found = [in_parts(self.module_, device, *_tensors(view)) for view in views]
        grown = [np.exp(logit - logit.max(1, keepdims=True)) for logit in found]
        there = np.array([np.isfinite(track).all(2).any(0).sum() >= 2 for track in known])
        return np.mean([g / g.sum(1, keepdims=True) for g in grown], axis=0), there

    def predict(self, tracks: Any) -> Array:
        """(N,) words."""
        out: Array = self.classes_[self.predict_proba(tracks).argmax(1)]
        return out

    def get_state(self) -> dict[str, Any]:
        """What a model file holds; nothing before the fit."""
        if not hasattr(self, "module_"):
            return {}
        return {
            "weights": weights_of(self.module_),
            "n_landmarks": self.n_landmarks_,
            "classes": [str(c) for c in self.classes_],
            "history": self.history_,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        if not state:
            return
        self.n_landmarks_, self.classes_ = int(state["n_landmarks"]), np.array(state["classes"], str)
        self.history_ = {name: list(v) for name, v in state["history"].items()}
        self.module_ = set_weights(self._make(), state["weights"]).eval()
        self.n_parameters_ = n_parameters(self.module_)


def _tensors(motion: Motion) -> tuple[Tensor, Tensor]:
    """Points (N, L, K + 1, 2), 0 where never seen, and frames a step (N,)."""
    points = np.concatenate([motion.body, motion.middle[:, :, None]], axis=2)
    return torch.from_numpy(np.nan_to_num(points).astype(np.float32)), torch.from_numpy(motion.step).float()


def _loss(net: nn.Module, batch: Batch) -> Tensor:
    points, step, index = batch
    return F.cross_entropy(net(points, step), index, label_smoothing=0.1)


def _validate(net: nn.Module, seen: Batch) -> float:
    with torch.inference_mode():
        return float(_loss(net, seen))
