"""A finder that is one small fully convolutional network: a map of centres, and each centre's box.

Squares (B, C, S, S) become logits (B, 1, S/4, S/4) and boxes (B, 4, S/4, S/4): offset of the centre from the
cell's, and logarithm of the sides, in cells.  Peaks are read in :mod:`hybridkp.detection.centre_maps`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ..detection.boxes_math import calibrating, objects_of
from ..detection.centre_maps import STRIDE, CentreReader, map_boxes, square_of
from ..imaging.images import as_uint8
from ..metrics.boxes import box_overlap
from ..stats.calibration import calibrate
from ..structures import Array, InputError, Sample
from .augment import Augment, augment
from .batches import Batch, Rows, picture_tensor, split_rows
from .devices import draw_seed, n_parameters, pick_device, place, seeded, set_weights, weights_of
from .export import trace
from .networks.blocks import Residual, conv, standardise
from .networks.encoder import EncoderModule
from .schedule import Schedule, Scheduled
from .training import train

_VARIED = Augment(rotation=0.0, scale=0.18, shift=0.12, stretch=0.05, occlusion=0.1)
_SPREAD = 0.12  #: of a centre's target, as a part of the object's mean side
_BOX_WEIGHT = 2.0


class CentreModule(nn.Module):
    """An encoder to stride 32, and three deconvolutions back to stride 4 with what the encoder saw there."""

    def __init__(self, channels: int, widths: tuple[int, ...], features: int) -> None:
        super().__init__()
        self.encoder = EncoderModule(channels, widths)
        _, *sides, deep = widths
        self.up = nn.ModuleList(nn.ConvTranspose2d(n, features, 4, 2, 1) for n in (deep, features, features))
        self.across = nn.ModuleList(nn.Conv2d(n, features, 1) for n in reversed(sides))
        self.neck = nn.Sequential(conv(features, features), Residual(features))
        self.centre, self.change = nn.Conv2d(features, 1, 1), nn.Conv2d(features, 4, 1)
        nn.init.constant_(self.centre.bias, -math.log(99))  # type: ignore[arg-type]  # objects are rare
        nn.init.constant_(self.change.bias[2:], 2.0)  # type: ignore[index]

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        s4, s8, s16, maps = self.encoder.stages(standardise(pictures))
        for up, across, side in zip(self.up, self.across, (s16, s8, s4), strict=True):
            maps = torch.relu(up(maps) + across(side))
        maps = self.neck(maps)
        return self.change(maps), self.centre(maps)


def centre_targets(boxes: Tensor, cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """What a map of ``cells`` x ``cells`` should say of corners (B, M, 2, 2) in cells, NaN = none.

    Returns
    -------
    centre : (B, h, w) in 0..1, a Gaussian around each object's cell, 1 in it
    target : (B, h, w, 4) low and high corner of the object whose Gaussian is highest there
    weight : (B, h, w) of the box's loss, 0 away from centres
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
    return centre, target, centre * (centre > 0.3)


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


class CentreNet(Scheduled):
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

    schedule_defaults: ClassVar[dict[str, Any]] = {
        "max_epochs": 30,
        "learning_rate": 3e-3,
        "average": 0.99,
        "precision": "auto",
        "epoch_pictures": 400,
        "validation_fraction": 0.15,
        "patience": 10,
    }

    def __init__(
        self,
        input_px: int = 256,
        color: bool = True,
        overlap: float = 0.5,
        min_score: float = 0.05,
        schedule: Schedule | None = None,
        random_state: Any = 0,
    ) -> None:
        self.input_px = input_px
        self.color = color
        self.overlap = overlap
        self.min_score = min_score
        self.schedule = schedule
        self.random_state = random_state

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
        schedule, seed = self._schedule, draw_seed(self.random_state)
        device, rows = pick_device(schedule.device), _rows(samples, self.input_px, self.color)
        groups = [s.group for s in samples]
        taught, held_out = split_rows(len(samples), groups, schedule.validation_fraction, seed)
        with seeded(seed, device):
            module = self._make()
        supply = Rows(
            tuple(r[taught] for r in rows), _vary, schedule.batch_size, schedule.epoch_pictures, device
        )
        seen = tuple(r[held_out] for r in rows)
        self.history_ = train(
            module, supply, _loss, lambda net: _validate(net, seen, device), schedule, seed=seed
        )
        self.module_, self.n_parameters_ = module.eval(), n_parameters(module)
        self.calibration_ = (1.0, 0.0)
        self.calibration_ = self._calibrate(calibrating([samples[i] for i in held_out], samples))
        return self

    def _make(self) -> CentreModule:
        if self.input_px < 64 or self.input_px % 32:
            raise InputError(f"input_px must be a multiple of 32 and at least 64, got {self.input_px}")
        return CentreModule(3 if self.color else 1, (16, 32, 48, 64, 80), 40)

    def _calibrate(self, samples: Sequence[Sample]) -> tuple[float, float]:
        raw, hit = [], []
        for sample in samples:
            true, ignored = objects_of(sample)
            boxes, logits = self._reader.judged(self._ask, as_uint8(sample.image, sample.name))
            near = box_overlap(boxes, true) >= 0.5
            first = near.argmax(0)[near.any(0)] if len(boxes) else []
            counts = box_overlap(boxes, ignored, part=True).max(1, initial=0) <= 0.5
            raw.append(logits[counts])
            hit.append(np.isin(np.arange(len(boxes)), first)[counts])
        return calibrate(np.concatenate(raw), np.concatenate(hit))

    @property
    def _reader(self) -> CentreReader:
        return CentreReader(self.input_px, bool(self.color), float(self.overlap), self.calibration_)

    def _ask(self, square: Array) -> tuple[Array, Array]:
        device = pick_device(self._schedule.device)
        place(self.module_, device)
        picture = picture_tensor(square[None], 3 if self.color else 1).float().to(device)
        with torch.inference_mode():
            change, centre = self.module_(picture.contiguous(memory_format=torch.channels_last))
        return centre[0, 0].float().cpu().numpy(), change[0].float().cpu().numpy()

    def find(self, image: Array, *, name: str = "") -> tuple[Array, Array]:
        """Boxes (N, 4) and scores (N,), best first, of a picture (h, w[, 3])."""
        check_is_fitted(self)
        return self._reader.find(self._ask, as_uint8(image, name or "picture"), self.min_score)

    def runtime_node(self) -> dict[str, Any]:
        check_is_fitted(self)
        channels = 3 if self.color else 1
        image = torch.zeros(1, channels, self.input_px, self.input_px)
        return {
            "kind": "detection.centre",
            "graph": trace(self.module_, {"image": image}, outputs=("change", "centre")),
            "channels": channels,
            "side": int(self.input_px),
            "overlap": float(self.overlap),
            "calibration": np.array(self.calibration_),
            "min_score": float(self.min_score),
        }

    def get_state(self) -> dict[str, Any]:
        if not hasattr(self, "module_"):
            return {}
        return {
            "weights": weights_of(self.module_),
            "calibration": list(self.calibration_),
            "history": self.history_,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        if not state:
            return
        slope, offset = state["calibration"]
        self.calibration_ = (float(slope), float(offset))
        self.history_ = {name: list(v) for name, v in state["history"].items()}
        self.module_ = set_weights(self._make(), state["weights"]).eval()
        self.n_parameters_ = n_parameters(self.module_)


# --------------------------------------------------------------------------------------------
# what the training loop is given
# --------------------------------------------------------------------------------------------


def _rows(samples: Sequence[Sample], side: int, color: bool) -> Batch:
    """Squares (N, C, S, S) uint8, corners (N, M, 2, 2) px of objects, and of regions that teach nothing."""
    pictures, corners = [], []
    for sample in samples:
        square, matrix = square_of(as_uint8(sample.image, sample.name), side, color)
        pictures.append(square)
        both = [map_boxes(matrix, boxes) for boxes in objects_of(sample)]
        corners.append([np.stack([b[:, :2], b[:, :2] + b[:, 2:]], 1) for b in both])
    tables = []
    for kind in (0, 1):
        table = np.full((len(samples), max(1, *(len(c[kind]) for c in corners), 1), 2, 2), np.nan, np.float32)
        for row, found in zip(table, corners, strict=True):
            row[: len(found[kind])] = found[kind]
        tables.append(torch.from_numpy(table))
    return (picture_tensor(np.stack(pictures), 3 if color else 1), *tables)


def _vary(batch: Batch, generator: Generator) -> Batch:
    """The pictures varied, and the boxes with them; edges are half a px from pixels' centres."""
    pictures, true, ignored = batch
    n, m = len(pictures), true.shape[1]
    points = torch.cat([true, ignored], 1).flatten(1, 2) - 0.5
    same = torch.arange(points.shape[1], device=points.device)
    pictures, points = augment(pictures, points, _VARIED, generator, same)
    corners = (points + 0.5).view(n, -1, 2, 2)
    corners = torch.stack([corners.amin(2), corners.amax(2)], 2)  # mirrored ones have changed sides
    return pictures, corners[:, :m], corners[:, m:]


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    pictures, true, ignored = batch
    change, logits = module(pictures.float().contiguous(memory_format=torch.channels_last))
    cells = logits.shape[-1]
    centre, target, weight = centre_targets(true / STRIDE, cells)
    counts = ~_inside(ignored / STRIDE, cells)
    return focal(logits[:, 0].float(), centre, counts) + _BOX_WEIGHT * giou_loss(
        change.float(), target, weight
    )


def _inside(corners: Tensor, cells: int) -> Tensor:
    """(B, h, w) bool: the cell's centre lies in one of the corners (B, M, 2, 2)."""
    place = torch.arange(cells, device=corners.device) + 0.5
    within = (place >= corners[:, :, 0, :, None]) & (place < corners[:, :, 1, :, None])  # False for NaN
    return (within[:, :, 1, :, None] & within[:, :, 0, None, :]).any(1)


def _validate(module: nn.Module, rows: Batch, device: torch.device) -> float:
    """The mean loss on pictures as they are."""
    place(module, device)
    total = 0.0
    with torch.inference_mode():
        for part in zip(*(r.split(16) for r in rows), strict=True):
            total += float(_loss(module, tuple(r.to(device) for r in part))) * len(part[0])
    return total / len(rows[0])
