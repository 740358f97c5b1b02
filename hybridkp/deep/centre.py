"""A finder that is one small fully convolutional network: a map of centres, and each centre's box.

Squares (B, C, S, S) become logits (B, 1, S/4, S/4) and boxes (B, 4, S/4, S/4): offset of the centre from the
cell's, and logarithm of the sides, in cells.  Peaks are read in :mod:`hybridkp.detection.centre_maps`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from ..detection.boxes_math import calibrating, objects_of
from ..detection.centre_maps import STRIDE, CentreReader
from ..detection.fitting import calibrated
from ..imaging.images import as_uint8
from ..structures import Array, InputError, Sample
from .augment import Augment
from .batches import Batch
from .schedule import Schedule
from .squares import FEATURES, SquareNet, Trunk, inside, pictures_of

_SPREAD = 0.12  #: of a centre's target, as a part of the object's mean side
BOX_WEIGHT = 2.0


class CentreModule(Trunk):
    """A trunk with a map of centres and each centre's box; with ``n_points``, points relative to that box."""

    def __init__(self, channels: int, n_points: int = 0) -> None:
        super().__init__(channels)
        self.centre, self.change = nn.Conv2d(FEATURES, 1, 1), nn.Conv2d(FEATURES, 4, 1)
        nn.init.constant_(self.centre.bias, -math.log(99))  # type: ignore[arg-type]  # objects are rare
        nn.init.constant_(self.change.bias[2:], 2.0)  # type: ignore[index]
        self.points = nn.Conv2d(FEATURES, 2 * n_points, 1) if n_points else None

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        maps = self.maps(pictures)
        points = [self.points(maps)] if self.points else []
        return (*points, self.change(maps), self.centre(maps))


def centre_targets(boxes: Tensor, cells: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What a map of ``cells`` x ``cells`` should say of corners (B, M, 2, 2) in cells, NaN = none.

    Returns
    -------
    centre : (B, h, w) in 0..1, a Gaussian around each object's cell, 1 in it
    target : (B, h, w, 4) low and high corner of the object whose Gaussian is highest there
    weight : (B, h, w) of the box's loss, 0 away from centres
    which : (B, h, w) the row of that object
    """
    known = torch.isfinite(boxes).flatten(2).all(2)
    corners = torch.where(known[..., None, None], boxes, 0.0)
    middle, size = corners.mean(2), (corners[:, :, 1] - corners[:, :, 0]).clamp_min(1e-3)
    known &= ((middle >= 0) & (middle < cells)).all(2)
    place = torch.arange(cells, device=boxes.device)
    sigma = (_SPREAD * size.prod(2).sqrt()).clamp_min(0.5)
    apart = place - middle.floor()[..., None]  # (B, M, 2, cells), from the object's own cell
    near = torch.exp(-(apart**2) / (2 * sigma[..., None, None] ** 2))
    each = near[:, :, 1, :, None] * near[:, :, 0, None, :] * known[..., None, None]
    centre, which = each.max(1)
    flat = corners.flatten(2)  # (B, M, 4)
    target = flat.gather(1, which.flatten(1)[..., None].expand(-1, -1, 4)).view(*centre.shape, 4)
    return centre, target, centre * (centre > 0.3), which


def focal(logits: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Penalty-reduced focal loss (Law & Deng 2018), per object; cells with ``counts`` 0 teach nothing."""
    p = torch.sigmoid(logits)
    right = -((1 - p) ** 2) * F.logsigmoid(logits)
    wrong = -(p**2) * (1 - target) ** 4 * F.logsigmoid(-logits)
    at_centre = (target >= 0.999).to(p.dtype)
    loss = torch.where(at_centre > 0, right, wrong) * counts
    return loss.sum() / at_centre.sum().clamp_min(1)


def giou_loss(change: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - generalised IoU (Rezatofighi et al. 2019) of (B, 4, h, w) as boxes, mean by ``weight``."""
    h, w = change.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(h, device=change.device), torch.arange(w, device=change.device), indexing="ij"
    )
    middle = torch.stack([x + 0.5 + change[:, 0], y + 0.5 + change[:, 1]], -1)
    half = torch.exp(change[:, 2:].clamp(-4, 6)).movedim(1, -1) / 2
    low, high = middle - half, middle + half
    true_low, true_high = target[..., :2], target[..., 2:]
    shared = (torch.minimum(high, true_high) - torch.maximum(low, true_low)).clamp_min(0).prod(-1)
    union = (high - low).prod(-1) + (true_high - true_low).prod(-1) - shared
    hull = (torch.maximum(high, true_high) - torch.minimum(low, true_low)).prod(-1)
    giou = shared / union.clamp_min(1e-6) - (hull - union) / hull.clamp_min(1e-6)
    return ((1 - giou) * weight).sum() / weight.sum().clamp_min(1e-6)


@dataclass(eq=False, repr=False)
class CentreNet(SquareNet):
    """Objects as points (Zhou, Wang, Krähenbühl 2019): a compact network with a deconvolution head.

    Parameters
    ----------
    input_px : side of the square that the whole picture is fitted into; a multiple of 32
    color : see colour, else grey
    overlap : of two boxes, above which the better one stays
    min_score : boxes below are not given
    schedule : :class:`~hybridkp.deep.Schedule`, or None for this network's own
    random_state : fixes weights, order and augmentation

    Attributes
    ----------
    n_parameters_ : number of weights
    history_ : training curves; ``validation`` is the loss on pictures that were held out

    Notes
    -----
    Departures from the paper: the size is learned by generalised IoU in a neighbourhood of the centre, not
    by a distance at the centre alone; boxes are suppressed as others' are; a score is the probability of an
    overlap of one half, calibrated on held-out pictures.
    """

    varied: ClassVar[Augment] = Augment(rotation=0.0, scale=0.18, shift=0.12, stretch=0.05, occlusion=0.1)
    schedule_defaults: ClassVar[dict[str, Any]] = {
        "max_epochs": 30,
        "learning_rate": 3e-3,
        "average": 0.99,
        "precision": "auto",
        "epoch_pictures": 400,
        "validation_fraction": 0.15,
        "patience": 10,
    }

    input_px: int = 256
    color: bool = True
    overlap: float = 0.5
    min_score: float = 0.05
    schedule: Schedule | None = None
    random_state: Any = 0

    def fit(self, samples: Iterable[Sample]) -> CentreNet:
        """Learn from the boxes of samples; crowds are left alone, pictures without an object are welcome.

        Raises
        ------
        InputError
            When no sample has a box.
        """
        samples = list(samples)
        if not any(len(objects_of(s)[0]) for s in samples):
            raise InputError("a finder learns from boxes, and no object has one: annotate bbox")
        held_out = self._train(samples, 0, _loss, torch.zeros(0, dtype=torch.long))
        reader = self._reader
        self.calibration_ = calibrated(
            lambda image, _: reader.judged(self._maps, image), calibrating(held_out, samples)
        )
        return self

    def _make(self) -> CentreModule:
        return CentreModule(self._channels)

    @property
    def _reader(self) -> CentreReader:
        return CentreReader(self.input_px, bool(self.color), float(self.overlap), self.calibration_)

    def _maps(self, square: Array) -> tuple[Array, Array]:
        change, centre = self._ask(square)
        return centre[0], change

    def find(self, image: Array, *, name: str = "") -> tuple[Array, Array]:
        """Boxes (N, 4) and scores (N,), best first, of a picture (h, w[, 3])."""
        check_is_fitted(self)
        return self._reader.find(self._maps, as_uint8(image, name or "picture"), self.min_score)

    def runtime_node(self) -> dict[str, Any]:
        check_is_fitted(self)
        return {
            "kind": "detection.centre",
            **self._graph(self.module_, ("change", "centre")),
            "overlap": float(self.overlap),
            "min_score": float(self.min_score),
        }


def centre_loss(
    change: Tensor, logits: Tensor, true: Tensor, ignored: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss of centres and boxes; the targets' weights (B, h, w), and whose (B, h, w) each cell is."""
    cells = logits.shape[-1]
    centre, target, weight, which = centre_targets(true / STRIDE, cells)
    counts = ~inside(ignored / STRIDE, cells).any(1)
    loss = focal(logits[:, 0].float(), centre, counts)
    return loss + BOX_WEIGHT * giou_loss(change.float(), target, weight), weight, which


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    pictures, true, ignored, _ = batch
    change, logits = module(pictures_of(pictures))
    return centre_loss(change, logits, true, ignored)[0]
