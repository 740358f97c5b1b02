"""What networks of whole pictures share: the trunk, the squares they are taught in, training and state.

A picture is fitted into a square; its objects' points (N, M, K, 2) and the corners of their boxes go along,
NaN = none.  Squares (B, C, S, S) become maps (B, F, S/4, S/4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Generator, Tensor, nn

from ..detection.boxes_math import boxed, objects_of
from ..detection.centre_maps import map_boxes, square_of
from ..imaging.geometry import apply_affine
from ..imaging.images import as_uint8
from ..structures import Array, InputError, Sample
from .augment import Augment, augment
from .batches import Batch, Rows, picture_tensor, split_rows
from .devices import draw_seed, n_parameters, pick_device, place, seeded, set_weights, weights_of
from .export import trace
from .networks.blocks import Residual, conv, standardise
from .networks.encoder import EncoderModule
from .schedule import Scheduled
from .training import train

WIDTHS, FEATURES = (16, 32, 48, 64, 80), 40
Loss = Callable[[nn.Module, Batch], Tensor]


class Trunk(nn.Module):
    """An encoder to stride 32, and three deconvolutions back to stride 4 with what the encoder saw there."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encoder, n = EncoderModule(channels, WIDTHS), FEATURES
        _, *sides, deep = WIDTHS
        self.up = nn.ModuleList(nn.ConvTranspose2d(before, n, 4, 2, 1) for before in (deep, n, n))
        self.across = nn.ModuleList(nn.Conv2d(side, n, 1) for side in reversed(sides))
        self.neck = nn.Sequential(conv(n, n), Residual(n))

    def maps(self, pictures: Tensor) -> Tensor:
        """(B, features, S/4, S/4) of pictures (B, C, S, S) in 0..255."""
        s4, s8, s16, maps = self.encoder.stages(standardise(pictures))
        for up, across, side in zip(self.up, self.across, (s16, s8, s4), strict=True):
            maps = torch.relu(up(maps) + across(side))
        return self.neck(maps)


class Taught(NamedTuple):
    """Squares and what is in them; M objects and I regions that teach nothing, at most, NaN = none."""

    pictures: Tensor  #: (N, C, S, S) uint8
    boxes: Tensor  #: (N, M, 2, 2) low and high corner, px along edges
    ignored: Tensor  #: (N, I, 2, 2)
    xy: Tensor  #: (N, M, K, 2) px; K is 0 where no points are asked for


def squares_of(samples: Sequence[Sample], side: int, color: bool, n_points: int = 0) -> Taught:
    """The samples' squares with their objects; with ``n_points``, objects need a box or points."""
    pictures, tables = [], []
    for sample in samples:
        square, matrix = square_of(as_uint8(sample.image, sample.name), side, color)
        pictures.append(square)
        both = [_corners(map_boxes(matrix, boxes)) for boxes in objects_of(sample)]
        points = [apply_affine(matrix, i.xy) for i in boxed(sample)[0]] if n_points else []
        tables.append((*both, np.reshape(points, (len(points), n_points, 2))))
    filled = [_filled([row[i] for row in tables]) for i in range(3)]
    return Taught(picture_tensor(np.stack(pictures), 3 if color else 1), *filled)


def _corners(boxes: Array) -> Array:
    return np.stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


def _filled(rows: list[Array]) -> Tensor:
    """Arrays (n_i, ...) of different lengths as one, NaN where a row has fewer."""
    table = np.full((len(rows), max(1, *map(len, rows)), *rows[0].shape[1:]), np.nan, np.float32)
    for row, found in zip(table, rows, strict=True):
        row[: len(found)] = found
    return torch.from_numpy(table)


def vary(batch: Batch, generator: Generator, amount: Augment, flip: Tensor | None) -> Batch:
    """Pictures varied, boxes and points with them; edges are half a px from pixels' centres.

    ``flip`` (K,) relabels the points of a mirror image; None: nothing is mirrored.
    """
    pictures, boxes, ignored, xy = batch
    n, m, (objects, k) = len(pictures), boxes.shape[1], xy.shape[1:3]
    corners = torch.cat([boxes, ignored], 1)
    x, y = corners[..., 0] - 0.5, corners[..., 1] - 0.5
    four = torch.stack([torch.stack([x[..., i], y[..., j]], -1) for i in (0, 1) for j in (0, 1)], 2)
    points = torch.cat([four.flatten(1, 2), xy.flatten(1, 2)], 1)
    same = None
    if flip is not None:
        rest = four.shape[1] * 4
        blocks = rest + torch.arange(objects)[:, None] * k + flip.cpu()
        same = torch.cat([torch.arange(rest), blocks.flatten()]).to(points.device)
    pictures, points = augment(pictures, points, amount, generator, same)
    four, xy = points[:, : 4 * corners.shape[1]], points[:, 4 * corners.shape[1] :]
    four = (four + 0.5).view(n, -1, 4, 2)
    corners = torch.stack([four.amin(2), four.amax(2)], 2)
    return pictures, corners[:, :m], corners[:, m:], xy.reshape(n, objects, k, 2)


def inside(corners: Tensor, cells: int) -> Tensor:
    """(B, M, h, w) bool: the cell's centre lies in each of the corners (B, M, 2, 2), in cells."""
    place = torch.arange(cells, device=corners.device) + 0.5
    within = (place >= corners[:, :, 0, :, None]) & (place < corners[:, :, 1, :, None])  # False for NaN
    return within[:, :, 1, :, None] & within[:, :, 0, None, :]


class SquareNet(Scheduled):
    """A network of squares: how it is trained, asked, stored.  ``_make`` gives the module."""

    input_px: int
    color: bool
    random_state: Any
    module_: nn.Module
    calibration_: tuple[float, float]
    history_: dict[str, list[float]]
    varied: ClassVar[Augment] = Augment()
    schedule_defaults: ClassVar[dict[str, Any]] = {
        "max_epochs": 40,
        "learning_rate": 3e-3,
        "average": 0.99,
        "precision": "auto",
        "epoch_pictures": 400,
        "validation_fraction": 0.15,
        "patience": 12,
    }

    def _make(self) -> nn.Module:
        raise NotImplementedError

    @property
    def _channels(self) -> int:
        return 3 if self.color else 1

    def _check_side(self) -> None:
        if self.input_px < 64 or self.input_px % 32:
            raise InputError(f"input_px must be a multiple of 32 and at least 64, got {self.input_px}")

    def _train(
        self, samples: Sequence[Sample], n_points: int, loss: Loss, flip: Tensor | None
    ) -> list[Sample]:
        """Learn ``module_``; the samples that were held out."""
        schedule, seed = self._schedule, draw_seed(self.random_state)
        device = pick_device(schedule.device)
        self._check_side()
        rows = squares_of(samples, self.input_px, self.color, n_points)
        taught, held_out = split_rows(
            len(samples), [s.group for s in samples], schedule.validation_fraction, seed
        )
        with seeded(seed, device):
            module = self._make()
        amount = self.varied.varied(schedule.vary, schedule.turns)
        supply = Rows(
            tuple(r[taught] for r in rows),
            partial(vary, amount=amount, flip=flip),
            schedule.batch_size,
            schedule.epoch_pictures,
            device,
        )
        seen = tuple(r[held_out] for r in rows)
        self.history_ = train(
            module, supply, loss, lambda net: _validate(net, seen, loss, device), schedule, seed=seed
        )
        self.module_, self.n_parameters_ = module.eval(), n_parameters(module)
        self.calibration_ = (1.0, 0.0)
        return [samples[i] for i in held_out]

    def _ask(self, square: Array) -> tuple[Array, ...]:
        """What the module says of a square (S, S[, 3]), without the axis of rows."""
        device = pick_device(self._schedule.device)
        place(self.module_, device)
        picture = picture_tensor(square[None], self._channels).to(device)
        with torch.inference_mode():
            found = self.module_(pictures_of(picture))
        return tuple(maps[0].float().cpu().numpy() for maps in found)

    def _graph(self, module: nn.Module, outputs: tuple[str, ...]) -> dict[str, Any]:
        """What every runtime node of a network of squares holds."""
        image = torch.zeros(1, self._channels, self.input_px, self.input_px)
        return {
            "graph": trace(module, {"image": image}, outputs=outputs),
            "channels": self._channels,
            "side": int(self.input_px),
            "calibration": np.array(self.calibration_),
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
        self._check_side()
        slope, offset = state["calibration"]
        self.calibration_ = (float(slope), float(offset))
        self.history_ = {name: list(v) for name, v in state["history"].items()}
        self.module_ = set_weights(self._make(), state["weights"]).eval()
        self.n_parameters_ = n_parameters(self.module_)


def flip_tensor(flip: ArrayLike | None) -> Tensor | None:
    return None if flip is None else torch.as_tensor(np.asarray(flip, int))


def pictures_of(batch: Tensor) -> Tensor:
    """A batch's pictures as modules take them."""
    return batch.float().contiguous(memory_format=torch.channels_last)


def _validate(module: nn.Module, rows: Batch, loss: Loss, device: torch.device) -> float:
    """The mean loss on pictures as they are."""
    place(module, device)
    total = 0.0
    with torch.inference_mode():
        for part in zip(*(r.split(16) for r in rows), strict=True):
            total += float(loss(module, tuple(r.to(device) for r in part))) * len(part[0])
    return total / len(rows[0])
