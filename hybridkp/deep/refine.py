"""A small network that moves given points: patches in, residuals and confidence out.

It reads two pyramid levels around each start point with one shared trunk, tells the landmarks
apart by a learned vector and a head each, and lets all of them see all others and the start shape
through one joint layer.  Pictures are squares of grey values (B, 1, S, S), starts (B, K, 2) px.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted
from torch import Generator, Tensor, nn

from ..imaging.geometry import rescale
from ..imaging.images import check_crops
from ..stats.calibration import calibrated
from ..structures import Array, InputError, check_start
from .augment import Augment, augment
from .batches import Batch, pixel_grid, rounded, sample
from .devices import in_parts, place
from .estimator import NetEstimator, mean_error
from .export import trace
from .losses import laplace, masked_mean, signed_error
from .networks.blocks import conv, standardise
from .schedule import Schedule

ROOM = 100_000  #: weights at most in the joint layer, whatever K


def patches(pictures: Tensor, xy: Tensor, size: int) -> Tensor:
    """(B, K, 2, size, size): around each of (B, K, 2), one px apart on the picture and on its half."""
    b, k = xy.shape[:2]
    offset = pixel_grid(size, size, xy.device) - (size - 1) / 2
    half = nn.functional.avg_pool2d(pictures, 2)
    out = []
    for level, scale in ((pictures, 1.0), (half, 0.5)):
        at = rescale(xy, scale)[:, :, None, None, :] + offset
        out.append(sample(level, at.reshape(b, k * size, size, 2)).reshape(b, k, size, size))
    return torch.stack(out, 2)


class RefineModule(nn.Module):
    """Pictures and points to better points and raw confidences, ``n_steps`` times with the same weights."""

    mean_xy: Tensor

    def __init__(self, n_landmarks: int, side: int, patch_px: int, n_steps: int) -> None:
        super().__init__()
        self.side, self.patch_px, self.n_steps = side, patch_px, n_steps
        cells = -(-patch_px // 4)
        alone, shared = 40, 16
        self.first = conv(2, 24, kernel=5, stride=2)
        self.second = conv(24, 32)
        self.third = conv(32, 48, stride=2)
        self.who = nn.Parameter(torch.zeros(n_landmarks, 32))
        self.flat = nn.Linear(48 * cells * cells, alone)
        self.squeeze = nn.Linear(alone, shared)
        seen = (shared + 2) * n_landmarks
        joint = max(8, min(80, ROOM // seen))
        self.joint = nn.Sequential(
            nn.Linear(seen, joint), nn.ReLU(inplace=True), nn.Linear(joint, joint), nn.ReLU(inplace=True)
        )
        self.weight = nn.Parameter(torch.randn(n_landmarks, alone + joint, 3) * 0.01)
        self.bias = nn.Parameter(torch.zeros(n_landmarks, 3))
        self.register_buffer("mean_xy", torch.zeros(n_landmarks, 2))

    def step(self, pictures: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised pictures and points to moved points (B, K, 2) and raw confidence (B, K)."""
        return self.move(patches(pictures, xy, self.patch_px).flatten(0, 1), xy)

    def move(self, rows: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`step` from the patches (B * K, 2, size, size) that it reads."""
        b, k = xy.shape[:2]
        rows = rows.contiguous(memory_format=torch.channels_last)
        rows = self.second(self.first(rows)) + self.who.repeat(b, 1)[:, :, None, None]
        alone = torch.relu(self.flat(self.third(rows).flatten(1))).view(b, k, -1)
        shape = (xy - self.mean_xy) / (0.1 * self.side)
        joint = self.joint(torch.cat([self.squeeze(alone), shape], 2).flatten(1))
        both = torch.cat([alone, joint.unsqueeze(1).expand(-1, k, -1)], 2)
        out = torch.einsum("bkf,kfo->bko", both, self.weight) + self.bias
        return xy + out[..., :2] * (self.side / 16), out[..., 2].clamp(-6, 6)

    def forward(self, pictures: Tensor, xy: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The prediction of each step, the last one is the result; gradients stay within one step."""
        pictures, predictions = standardise(pictures), []
        for _ in range(self.n_steps):
            predictions.append(self.step(pictures, xy.detach()))
            xy = predictions[-1][0].clamp(-0.25 * self.side, 1.25 * self.side)
        return predictions


class Move(nn.Module):
    """The part of a step that is a graph on every engine: where to, given the patches."""

    def __init__(self, module: RefineModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, rows: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
        return self.module.move(rows, xy)


@dataclass(eq=False, repr=False)
class CNNRefiner(NetEstimator):
    """Moves any detector's points by what it sees around them (cf. Sun et al. 2013, Trigeorgis et al. 2016).

    Trained on starts that no detector gave on its own training pictures (out of fold), stretched,
    shrunk and jittered so that the one network serves every step.  The loss is the absolute error
    of each step; the confidence is the rate of a Laplace distribution of the remaining error,
    turned into a probability on held-out groups.

    Parameters
    ----------
    input_px : crops are resampled to this square; the patches' px are px of it
    patch_px : side of a patch; it covers as many px on the square and twice as many on its half
    n_steps : how often to read and move, with the same weights
    jitter : spread of the extra noise on training starts, in units of the side
    schedule, random_state : as in :class:`~hybridkp.deep.heatmap.HeatmapNet`

    Attributes
    ----------
    history_, n_parameters_ : as in :class:`~hybridkp.deep.heatmap.HeatmapNet`
    """

    augmentation = Augment(rotation=12, scale=0.08, shift=0.03, occlusion=0.2)
    schedule_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 15, "patience": 10}

    input_px: int = 128
    patch_px: int = 16
    n_steps: int = 2
    jitter: float = 0.01
    schedule: Schedule | None = None
    random_state: Any = 0

    def fit(
        self,
        images: Any,
        xy: ArrayLike,
        start: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        flip: ArrayLike | None = None,
    ) -> CNNRefiner:
        """Learn to move ``start`` to ``xy``, both (B, K, 2) in crop px, NaN = not labelled / not given."""
        fit = self._begin(images, xy, groups, flip)
        squares, scale = self._squares(fit.images)
        target, k = self._to_square(fit.points, scale), fit.points.shape[1]
        module = self._fresh(fit)
        module.mean_xy.copy_(torch.nanmean(target, 0))
        begin = self._starts(module, start, scale, len(squares))
        mirror_both = None if fit.flip is None else torch.cat([fit.flip, fit.flip + k])

        def vary(batch: Batch, generator: Generator) -> Batch:
            both = torch.cat(batch[1:], 1)
            pictures, both = augment(batch[0], both, self._varied, generator, mirror_both)
            return pictures, both[:, :k], self._jitter(both[:, :k], both[:, k:], generator)

        def held_out(net: nn.Module) -> tuple[Array, Array]:
            return self._run(net, squares[fit.held_out], begin[fit.held_out], fit.device)

        self._train(
            module,
            (rounded(squares), target, begin),
            self._loss,
            lambda net: mean_error(self._errors(held_out(net)[0], target[fit.held_out])),
            vary,
            fit,
        )
        found, raw = held_out(module)
        self.calibration_ = calibrated(raw, self._errors(found, target[fit.held_out]))
        self._finish(module, fit)
        return self

    def refine(self, images: Any, start: ArrayLike) -> tuple[Array, Array]:
        """(B, K, 2) float32 moved points, (B, K) probability of an error under 2.5 % of the side.

        A start that is NaN stays NaN with score 0; the others see the landmark's mean place for it.
        """
        check_is_fitted(self)
        images = check_crops(images, self.size_hw_)
        squares, scale = self._squares(images)
        begin = self._starts(self.module_, start, scale, len(images))
        xy, raw = self._run(self.module_, squares, begin, self._device)
        given = np.isfinite(np.asarray(start, float)).all(-1)
        moved = np.where(given[..., None], rescale(xy, 1 / scale.numpy()), np.nan)
        return moved.astype(np.float32), np.where(given, self._probability(raw), 0).astype(np.float32)

    # ---------------------------------------------------------------------------- inside

    def _make(self, n_landmarks: int) -> RefineModule:
        if self.patch_px < 4 or self.input_px < 2 * self.patch_px or self.n_steps < 1:
            raise InputError("CNNRefiner needs patch_px >= 4, input_px >= 2 patch_px and n_steps >= 1")
        return RefineModule(n_landmarks, self.input_px, self.patch_px, self.n_steps)

    def _starts(self, module: RefineModule, start: ArrayLike, scale: Tensor, n: int) -> Tensor:
        mean = module.mean_xy.cpu()
        begin = self._to_square(check_start(start, (n, *mean.shape)), scale)
        begin = torch.where(torch.isfinite(begin).all(-1, keepdim=True), begin, mean)
        return begin.clamp(-0.25 * self.input_px, 1.25 * self.input_px)

    def _jitter(self, xy: Tensor, start: Tensor, generator: Generator) -> Tensor:
        """Half of the starts stay; the others' errors are scaled, shifted together and each for itself."""
        b, side = len(xy), self.input_px

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator).to(xy.device)

        error = torch.where(torch.isfinite(xy), start - xy, 0.0)
        stretch = torch.rand(b, 1, 1, generator=generator).to(xy.device) * 1.5
        noise = self.jitter * side * (normal(b, 1, 2) + 0.5 * normal(*xy.shape))
        chosen = (torch.rand(b, 1, 1, generator=generator) < 0.5).to(xy.device)
        return torch.where(chosen, start + error * (stretch - 1) + noise, start)

    @staticmethod
    def _loss(module: nn.Module, batch: Batch) -> Tensor:
        pictures, xy, start = batch
        known = torch.isfinite(xy).all(-1)
        total = torch.zeros((), device=xy.device)
        for found, raw in module(pictures, start):
            error = signed_error(found, xy, known)
            total = total + masked_mean(error.abs().sum(-1) + 0.2 * laplace(error, raw), known)
        return total

    @staticmethod
    def _run(module: nn.Module, pictures: Any, start: Tensor, device: torch.device) -> tuple[Array, Array]:
        place(module, device)
        found: tuple[Array, Array] = in_parts(lambda *part: module(*part)[-1], device, pictures, start)
        return found

    def runtime_node(self) -> dict[str, Any]:
        patch = torch.zeros(self.n_landmarks_, 2, self.patch_px, self.patch_px)
        inputs = {"patches": patch, "start": torch.zeros(1, self.n_landmarks_, 2)}
        return {
            "kind": "deep.refiner",
            "graph": trace(Move(self.module_), inputs),
            "side": self.input_px,
            "patch_px": self.patch_px,
            "n_steps": self.n_steps,
            "mean_xy": self.module_.mean_xy.cpu().numpy(),
            "calibration": np.array(self.calibration_),
        }
