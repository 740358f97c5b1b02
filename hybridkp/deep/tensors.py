"""The border between NumPy and torch: devices, seeds, weights, batches of crops, resampling.

Shapes that pass: crops (B, H, W[, C]) uint8 become (B, 1, H, W) tensors of grey values 0..255, or
(B, 3, H, W) of BGR for networks that see colour;
points stay (B, K, 2) in px with an integer at a pixel's centre.  No network and no loss here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils import check_random_state
from torch import Tensor, nn
from torch.nn import functional as F

from ..imaging.images import crops_to_grey
from ..structures import Array, InputError


def pick_device(device: str = "auto") -> torch.device:
    """``"auto"`` takes CUDA, else Apple's MPS, else the CPU; any torch device name is taken as it is."""
    if device != "auto":
        try:
            return torch.device(device)
        except RuntimeError as error:
            raise InputError(
                f"device {device!r} is unknown to torch: use 'auto', 'cpu', 'cuda' or 'mps'"
            ) from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def draw_seed(random_state: Any) -> int:
    """One integer from a ``random_state`` (None, int, RandomState)."""
    return int(check_random_state(random_state).randint(2**31 - 1))


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Run the body with torch's global generators at ``seed`` and give them back as they were."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        yield


def grey_tensor(images: Array) -> Tensor:
    """(B, 1, H, W) uint8 from a checked batch of crops; a copy, so that no caller's array is shared."""
    return torch.from_numpy(np.array(crops_to_grey(images))).unsqueeze(1)


def picture_tensor(images: Array, channels: int) -> Tensor:
    """(B, channels, H, W) uint8 from a checked batch of crops: grey (1), or BGR (3), grey repeated."""
    if channels == 1:
        return grey_tensor(images)
    if images.ndim == 3:
        return grey_tensor(images).expand(-1, 3, -1, -1)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, 3, 1)))


def weights_of(module: nn.Module) -> dict[str, Array]:
    """Parameters and buffers as NumPy arrays, for saving without pickle."""
    return {name: value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}


def set_weights(module: Any, weights: Mapping[str, Array]) -> Any:
    """The inverse of :func:`weights_of`; raises :class:`InputError` where names or shapes differ."""
    try:
        module.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.items()})
    except RuntimeError as error:
        raise InputError(f"stored weights do not fit {type(module).__name__}: refit the model") from error
    return module


def place(module: nn.Module, device: torch.device) -> None:
    """Move a module, with weights laid out channels last (15 to 25 % faster on CPUs)."""
    module.to(device=device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def n_parameters(module: nn.Module) -> int:
    """Number of trained weights."""
    return sum(p.numel() for p in module.parameters())


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
    train, held = next(split.split(names, groups=names))
    return np.sort(train), np.sort(held)


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
