"""The file that a training goes on from: named parts of tensors, and JSON about the run.

One file of :mod:`hybridkp.files.records`, replaced atomically.  Whose run it is, is checked; what the parts
mean is the training's business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files.records import load_tensors, save_tensors
from ..structures import Array, InputError

Parts = dict[str, dict[str, Tensor]]


def save_checkpoint(path: Path, parts: Mapping[str, Mapping[str, Tensor]], about: dict[str, Any]) -> None:
    """Write ``parts`` (part -> name -> tensor) and ``about``, whose ``run`` tells trainings apart."""
    arrays = {
        f"{part}.{k}": v.detach().cpu().numpy() for part, values in parts.items() for k, v in values.items()
    }
    save_tensors(path, "checkpoint", 1, arrays, about)


def load_checkpoint(path: Path, run: Any) -> tuple[Parts, dict[str, Any]]:
    """The inverse; :class:`InputError` for a file that is none, or that of another ``run``."""
    parts, about = load_tensors(path, "checkpoint", 1, _built)
    if about["run"] != run:
        raise InputError(f"{path}: checkpoint of another training (other data, seed or parameters)")
    return parts, about


def _built(arrays: dict[str, Array], about: dict[str, Any]) -> tuple[Parts, dict[str, Any]]:
    parts: Parts = {}
    for key, value in arrays.items():
        part, _, name = key.partition(".")
        parts.setdefault(part, {})[name] = torch.from_numpy(value)
    if not {"run", "history"} <= about.keys() or not 0 <= float(about["seconds"]) < math.inf:
        raise KeyError("run")
    return parts, about


def check_like(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """ValueError unless names, shapes and types are those of ``own``."""
    if {k: (v.shape, v.dtype) for k, v in tensors.items()} != {k: (v.shape, v.dtype) for k, v in own.items()}:
        raise ValueError("weights of another network")


def check_history(history: Any, own: Mapping[str, Any]) -> None:
    """ValueError unless it has the lists of ``own``, of numbers and all of one length."""
    if not isinstance(history, dict) or history.keys() != own.keys():
        raise ValueError("another history")
    if len({len(values) for values in history.values()}) != 1:
        raise ValueError("a history of another length")
    if not all(isinstance(v, int | float) for values in history.values() for v in values):
        raise ValueError("a history that is no numbers")


def check_moments(tensors: Mapping[str, Tensor], weights: Sequence[Tensor]) -> None:
    """ValueError unless each is one number, or of the shape of its weight."""
    for key, value in tensors.items():
        index = int(key.split(".")[0])
        if not 0 <= index < len(weights) or value.shape not in ((), weights[index].shape):
            raise ValueError("an optimiser's memory of another network")


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
