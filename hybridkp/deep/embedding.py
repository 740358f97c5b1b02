"""A learned local descriptor: points of a picture to rows, trained with the landmarks' names.

It keeps the promise of :class:`hybridkp.structures.Descriptor` once fitted: pyramid (levels of
(H_l, W_l) float32) and N keypoints in, (N, D) float32 out, row i for keypoint i.  So it stands
beside SIFT or HOG in a concatenation that any classifier can use.  It knows no classifier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ..imaging.geometry import rescale, resize_points
from ..imaging.images import check_crops, crops_to_grey
from ..imaging.pyramid import gaussian_pyramid
from ..memory.budget import affordable
from ..structures import Array, InputError, Keypoints, Pyramid
from .augment import Augment, augment
from .batches import Batch, sample
from .devices import draw_seed, in_parts, place
from .estimator import NetEstimator
from .networks.blocks import standardise
from .networks.dense import DenseTrunk
from .schedule import Schedule

SHARPNESS = 10.0  #: factor on the cosine between a row and a landmark's direction


class EmbeddingModule(nn.Module):
    """Dense rows of unit length, and the landmarks' directions that training compares them with."""

    def __init__(self, n_features: int, n_landmarks: int) -> None:
        super().__init__()
        self.trunk = DenseTrunk(1, n_features)
        self.names = nn.Linear(n_features, n_landmarks + 1)

    def rows(self, pictures: Tensor, xy: Tensor) -> Tensor:
        """(B, N, D) unit rows at points (B, N, 2) px of pictures (B, 1, H, W)."""
        dense = self.trunk(standardise(pictures))
        at = sample(dense, rescale(xy, 1 / self.trunk.stride).unsqueeze(2))[..., 0]
        return F.normalize(at.transpose(1, 2), dim=2, eps=1e-6)

    def forward(self, pictures: Tensor, xy: Tensor) -> Tensor:
        """(B, N, K + 1) logits: which landmark, or (the last) none."""
        directions = F.normalize(self.names.weight, dim=1)
        return SHARPNESS * self.rows(pictures, xy) @ directions.T + self.names.bias


@dataclass(eq=False, repr=False)
class CNNEmbedding(NetEstimator):
    """Rows from a small convolutional net that learned to tell landmarks and background apart.

    The net runs densely once per picture and level; its maps are read at the points by bilinear
    interpolation, so thousands of candidates cost hardly more than one.  A row sees 18 x 18 px of
    its level and the whole level's light (mean and spread).  Training shows points at the
    landmarks (within ``jitter`` px) and, as background, points 3 to 14 px away from them.

    Parameters
    ----------
    n_features : D
    level : pyramid level that :meth:`describe` reads
    train_levels : pyramid levels it is trained on, so that it serves on each of them
    jitter : spread in px of the points that still count as the landmark
    schedule, random_state : as in :class:`~hybridkp.deep.heatmap.HeatmapNet`

    Attributes
    ----------
    history_ : training curves; ``validation`` is the share of landmarks not recognised
    n_parameters_ : number of weights
    """

    augmentation = Augment(rotation=10, scale=0.08, shift=0.02, occlusion=0.0)
    schedule_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 8, "learning_rate": 3e-3, "patience": 8}

    n_features: int = 48
    level: int = 0
    train_levels: tuple[int, ...] = (0, 1)
    jitter: float = 0.7
    schedule: Schedule | None = None
    random_state: Any = 0

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> CNNEmbedding:
        """Train on crops (B, H, W[, 3]) and points (B, K, 2) in crop px, NaN = not labelled."""
        if self.n_features < 2 or not self.train_levels:
            raise InputError("CNNEmbedding needs n_features >= 2 and at least one of train_levels")
        fit = self._begin(*self._sample(check_crops(images), xy, groups), flip)
        levels, targets = self._levels(fit.images, fit.points)
        module = self._fresh(fit)

        def vary(batch: Batch, generator: Generator) -> Batch:
            choice = int(torch.randint(len(levels), (1,), generator=generator))
            pictures, target = batch[2 * choice : 2 * choice + 2]
            pictures, target = augment(pictures, target, self._varied, generator, fit.flip)
            return pictures, target, *self._candidates(target, generator)

        self._train(
            module,
            tuple(t for pair in zip(levels, targets, strict=True) for t in pair),
            self._loss,
            lambda net: self._missed(net, levels[0][fit.held_out], targets[0][fit.held_out], fit.device),
            vary,
            fit,
        )
        self._finish(module, fit)
        return self

    def describe(self, pyramid: Pyramid, keypoints: Keypoints) -> Array:
        """(N, D) float32 rows of unit length, row i for keypoint i, also at and beyond borders."""
        check_is_fitted(self, "module_")
        if not 0 <= self.level < len(pyramid):
            raise InputError(f"CNNEmbedding: the pyramid has {len(pyramid)} levels, none is {self.level}")
        if len(keypoints) == 0:
            return np.zeros((0, self.n_features), np.float32)
        picture = torch.from_numpy(np.array(pyramid.levels[self.level], np.float32))[None, None]
        at = resize_points(keypoints.xy, float(pyramid.scale[self.level]))
        module = self.module_
        place(module, self._device)
        with torch.inference_mode():
            rows = module.rows(picture.to(self._device), torch.from_numpy(at).float()[None].to(self._device))
        return rows[0].cpu().numpy().astype(np.float32)

    # ---------------------------------------------------------------------------- inside

    def _make(self, n_landmarks: int) -> EmbeddingModule:
        return EmbeddingModule(self.n_features, n_landmarks)

    def _sample(self, images: Any, xy: Any, groups: Any) -> tuple[Any, Any, Any]:
        """As many pictures as may be held at all levels, drawn at random; all where they fit."""
        pixels = 8 * float(np.prod(images.shape[1:3]))  # a float32 pyramid and its copy
        most = affordable(len(images), pixels, "CNNEmbedding")
        if most is None:
            return np.asarray(images), xy, groups
        rng = np.random.default_rng(draw_seed(self.random_state))
        rows = np.sort(rng.choice(len(images), most, replace=False))
        self.learned_from_ = most
        names = None if groups is None else np.asarray(groups)[rows]
        return np.asarray(images[rows]), np.asarray(xy)[rows], names

    def _levels(self, images: Array, xy: Array) -> tuple[list[Tensor], list[Tensor]]:
        """Each level to train on, where there is one: (B, 1, H_l, W_l) uint8, with its points."""
        grey = crops_to_grey(images)
        pyramids = [gaussian_pyramid(g, max(self.train_levels) + 1) for g in grey]
        usable = [level for level in self.train_levels if level < len(pyramids[0])] or [0]
        levels, targets = [], []
        for level in usable:
            values = np.stack([p.levels[level] for p in pyramids]).round().clip(0, 255).astype(np.uint8)
            levels.append(torch.from_numpy(values)[:, None])
            at = resize_points(xy, float(pyramids[0].scale[level]))
            targets.append(torch.from_numpy(at.astype(np.float32)))
        return levels, targets

    def _candidates(self, target: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Points (B, 3K, 2), classes (B, 3K): landmarks, then two background points each; -1 = skip."""
        b, k = target.shape[:2]
        wobble = self.jitter * torch.randn(b, k, 2, generator=generator).to(target.device)
        angle = torch.rand(b, 2 * k, generator=generator) * 2 * torch.pi
        radius = 3 + 11 * torch.rand(b, 2 * k, generator=generator) ** 2
        away = torch.stack([radius * angle.cos(), radius * angle.sin()], -1).to(target.device)
        points = torch.cat([target + wobble, target.repeat(1, 2, 1) + away], 1)
        names = torch.cat([torch.arange(k), torch.full((2 * k,), k)]).to(target.device).expand(b, -1)
        known = torch.isfinite(points).all(-1)
        return torch.where(known.unsqueeze(-1), points, 0.0), torch.where(known, names, -1)

    @staticmethod
    def _loss(module: nn.Module, batch: Batch) -> Tensor:
        pictures, _, points, names = batch
        logits = module(pictures, points).flatten(0, 1)
        total = F.cross_entropy(logits, names.flatten(), ignore_index=-1, reduction="sum")
        return total / (names >= 0).sum().clamp_min(1)

    @staticmethod
    def _missed(module: nn.Module, pictures: Tensor, target: Tensor, device: torch.device) -> float:
        known = torch.isfinite(target).all(-1).numpy()
        logits = in_parts(lambda part, at: module(part.float(), at), device, pictures, target.nan_to_num())
        wrong = logits[..., :-1].argmax(-1) != np.arange(target.shape[1])
        return float(wrong[known].mean()) if known.any() else 0.0
