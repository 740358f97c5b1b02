"""Batches of crops as tensors: from NumPy, their rows for training and validation, resampling.

Shapes that pass: crops (B, H, W[, C]) uint8 become (B, 1, H, W) tensors of grey values 0..255, or
(B, 3, H, W) of BGR for networks that see colour;
points stay (B, K, 2) in px with an integer at a pixel's centre.  No network and no loss here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import GroupShuffleSplit
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ..imaging.images import crops_to_grey
from ..structures import Array, InputError, Stream, blocks
from ..structures.stream import BLOCK

Batch = tuple[Tensor, ...]


def grey_tensor(images: Any) -> Tensor:
    """(B, 1, H, W) uint8 from a checked batch of crops; a copy, so that no caller's array is shared."""
    return torch.from_numpy(np.array(crops_to_grey(images))).unsqueeze(1)


def picture_tensor(images: Any, channels: int) -> Tensor:
    """(B, channels, H, W) uint8 from a checked batch of crops: grey (1), or BGR (3), grey repeated."""
    if channels == 1:
        return grey_tensor(images)
    if images.ndim == 3:
        return grey_tensor(images).expand(-1, 3, -1, -1)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(images), 3, 1)))


@dataclass(eq=False, repr=False)
class Squares:
    """Crops (B, H, W[, 3]) as tensors (B, C, S, S) of 0..255 that are made when they are asked for.

    Takes the place of a tensor of all of them where that would not fit: indices in NumPy give a view, in
    torch the values, and ``split`` the values of all, a few at a time.
    """

    crops: Any
    channels: int
    side: int
    rounded: bool = False

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, Tensor):
            return self._values(self.crops[key.cpu().numpy()])
        return Squares(self.crops[key], self.channels, self.side, self.rounded)

    def split(self, n: int) -> Iterator[Tensor]:
        return map(self._values, blocks(self.crops, n))

    def _values(self, crops: Any) -> Tensor:
        with torch.no_grad():
            values, _ = resize_square(picture_tensor(np.asarray(crops), self.channels).float(), self.side)
        return values.round().to(torch.uint8) if self.rounded else values

    def about(self) -> Any:
        """What tells these crops from others, in JSON."""
        if isinstance(self.crops, Stream):
            return self.crops.digest
        return [float(part.mean(dtype=float)) for part in blocks(self.crops)]


def rounded(squares: Tensor | Squares) -> Any:
    """The same as uint8."""
    if isinstance(squares, Squares):
        return Squares(squares.crops, squares.channels, squares.side, True)
    return squares.round().to(torch.uint8)


def split_rows(n: int, groups: Any, fraction: float, seed: int) -> tuple[Array, Array]:
    """(train rows, validation rows), never cutting a group.

    With a single group (or one picture) nothing can be held out: both are all rows.
    """
    names = (
        np.arange(n) if groups is None else np.unique(np.asarray(groups).astype(str), return_inverse=True)[1]
    )
    if names.shape != (n,):
        raise InputError(f"groups must have shape ({n},), got {names.shape}")
    if fraction <= 0 or len(np.unique(names)) < 2:
        return np.arange(n), np.arange(n)
    split = GroupShuffleSplit(1, test_size=fraction, random_state=seed)
    train, held_out = next(split.split(names, groups=names))
    return np.sort(train), np.sort(held_out)


def _mean(rows: Tensor) -> float:
    """Of all values, NaN as 0; in double precision, which is not held for all at once."""
    return sum(float(part.double().nan_to_num().sum()) for part in rows.split(BLOCK)) / max(rows.numel(), 1)


class Rows:
    """The supply of a training on rows, tensors or :class:`Squares` of one length, in a new order each epoch.

    Whole permutations in a row, filled up so that every batch is full and an epoch shows at least
    ``epoch_pictures``; ``augment`` turns a batch and a generator into the batch that the loss sees.
    """

    def __init__(
        self,
        rows: tuple[Any, ...],
        augment: Callable[[Batch, Generator], Batch],
        batch_size: int,
        epoch_pictures: int,
        device: torch.device,
    ) -> None:
        self.rows, self.augment, self.device = rows, augment, device
        n = len(rows[0])
        self.batch = max(2, min(batch_size, n))  # batch normalisation needs two rows
        self.n_steps = math.ceil(max(n, epoch_pictures) / self.batch)

    def about(self) -> Any:
        means = [r.about() if isinstance(r, Squares) else _mean(r) for r in self.rows]
        return {"n": len(self.rows[0]), "means": means}

    def epoch(
        self, kept: nn.Module, progress: Callable[[int], float], generator: Generator
    ) -> Iterator[Batch]:
        n, size = len(self.rows[0]), self.n_steps * self.batch
        order = torch.cat([torch.randperm(n, generator=generator) for _ in range(math.ceil(size / n))])
        for chosen in order[:size].reshape(self.n_steps, self.batch):
            yield self.augment(tuple(r[chosen].to(self.device) for r in self.rows), generator)

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        pass


# --------------------------------------------------------------------------------------------
# resampling; pixel centres at integers throughout
# --------------------------------------------------------------------------------------------


def resize_square(pictures: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """(B, C, H, W) float to (B, C, side, side), and the (2,) scale (sx, sy) its points moved by.

    A whole-number reduction is averaged first so that the bilinear step never skips pixels;
    then x' = (x + 1/2) s - 1/2.  Written with operators that export to ONNX.
    """
    height, width = pictures.shape[-2:]
    pool_y, pool_x = max(1, height // side), max(1, width // side)
    if pool_x > 1 or pool_y > 1:
        pictures = F.avg_pool2d(pictures, (pool_y, pool_x))
    h, w = pictures.shape[-2:]
    scale = torch.tensor([side / (w * pool_x), side / (h * pool_y)], device=pictures.device)
    if (h, w) != (side, side):
        pictures = F.interpolate(pictures, (side, side), mode="bilinear", align_corners=False)
    return pictures, scale


def sample(pictures: Tensor, xy: Tensor) -> Tensor:
    """Bilinear values of (B, C, H, W) at points (B, h, w, 2) in px: (B, C, h, w); the border repeats."""
    height, width = pictures.shape[-2:]
    size = torch.tensor([width, height], device=xy.device, dtype=xy.dtype)
    grid = (2 * xy + 1) / size - 1
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)


def pixel_grid(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """(H, W, 2) float32, the (x, y) of every pixel."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return torch.stack([x, y], -1).float()


def transform_points(matrix: Tensor, xy: Tensor) -> Tensor:
    """Points (B, ..., 2) through maps (B, 2, 3); NaN stays NaN."""
    m = matrix.reshape(len(matrix), *(1,) * (xy.ndim - 2), 2, 3).unbind(-1)
    return m[0] * xy[..., :1] + m[1] * xy[..., 1:] + m[2]


def invert_maps(matrix: Tensor) -> Tensor:
    """The inverse of (B, 2, 3) maps."""
    linear = torch.linalg.inv(matrix[:, :, :2])
    return torch.cat([linear, -linear @ matrix[:, :, 2:]], dim=2)
