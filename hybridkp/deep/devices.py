"""Where and how exactly torch computes: devices, precision, seeds, weights in and out, rows in parts.

Nothing here knows pictures or landmarks: any module and any tensors with equal numbers of rows pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor, nn

from ..structures import Array, InputError

PART = 32  #: rows that a trained network sees at once


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


def half_precision(precision: str, device: torch.device) -> bool:
    """Whether the forward pass of a training computes in bfloat16.

    "float32" and "bfloat16" say so themselves; "auto" is bfloat16 where the hardware multiplies it
    natively (on CPUs AMX, measured 2.0 times as fast, and AVX-512 BF16, 1.4 times; CUDA from Ampere on).
    Weights, optimiser and losses stay float32, and so does every prediction.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise InputError(f"precision must be 'auto', 'float32' or 'bfloat16', got {precision!r}")
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # torch has no public names for these yet
    asked = [getattr(torch.cpu, f"_is_{unit}_supported", None) for unit in ("amx_tile", "avx512_bf16")]
    return device.type == "cpu" and any(ask is not None and bool(ask()) for ask in asked)


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


def in_parts(call: Callable[..., Any], device: torch.device, *rows: Any) -> Any:
    """What ``call`` gives for :data:`PART` rows at a time, without gradients, as NumPy arrays.

    A tensor, or a tuple of them, with one row per row of the tensors (or of what splits like them) ``rows``.
    """
    made = []
    with torch.inference_mode():
        for part in zip(*(r.split(PART) for r in rows), strict=True):
            found = call(*(r.to(device) for r in part))
            alone = isinstance(found, Tensor)
            made.append([f.float().cpu() for f in ((found,) if alone else found)])
    columns = tuple(torch.cat(column).numpy() for column in zip(*made, strict=True))
    return columns[0] if alone else columns
