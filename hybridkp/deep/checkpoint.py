"""The file that a training goes on from: named parts of tensors, and JSON about the run.

One safetensors file, replaced atomically.  Whose run it is, is checked; what the parts mean is the
training's business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..files import write_atomic
from ..structures import InputError

Parts = dict[str, dict[str, Tensor]]


def save_checkpoint(path: Path, parts: Mapping[str, Mapping[str, Tensor]], about: dict[str, Any]) -> None:
    """Write ``parts`` (part -> name -> tensor) and ``about``, whose ``run`` tells trainings apart."""
    tensors = {f"{part}.{name}": v for part, values in parts.items() for name, v in values.items()}
    tensors = {name: v.detach().cpu().contiguous().clone() for name, v in tensors.items()}
    write_atomic(path, save(tensors, {"hybridkp": json.dumps(about)}))


def load_checkpoint(path: Path, run: Any) -> tuple[Parts, dict[str, Any]]:
    """The inverse; :class:`InputError` for a file that is none, or that of another ``run``."""
    try:
        with safe_open(path, "pt") as stream:
            about = json.loads((stream.metadata() or {})["hybridkp"])
            tensors = {k: stream.get_tensor(k) for k in stream.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise InputError(f"{path}: not a training checkpoint; delete it to start afresh") from error
    if about["run"] != run:
        raise InputError(f"{path}: checkpoint of another training (other data, seed or parameters)")
    parts: Parts = {}
    for key, value in tensors.items():
        part, _, name = key.partition(".")
        parts.setdefault(part, {})[name] = value
    return parts, about


def optimiser_tensors(optimiser: Any) -> dict[str, Tensor]:
    """What an optimiser remembers of each weight, one tensor a name."""
    state = optimiser.state_dict()["state"]
    return {f"{i}.{name}": value for i, values in state.items() for name, value in values.items()}


def restore_optimiser(optimiser: Any, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of :func:`optimiser_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
