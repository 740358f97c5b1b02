"""The one training loop, for every network of this room.

AdamW with linear warm-up and cosine decay, a running mean of the weights, early stopping on a
validation part that keeps the best weights, and a checkpoint from which a killed training goes on
to the same result as one never interrupted.  The loop knows neither pictures nor landmarks:
batches are tuples of tensors with equal numbers of rows, the caller brings loss, augmentation and
validation.

Each epoch draws all its random numbers from (seed, epoch), so there is no generator state to
store.  A checkpoint is one safetensors file with JSON in its header, replaced atomically.
"""

from __future__ import annotations

import copy
import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from .. import memory
from ..files import write_atomic
from ..structures import InputError
from .tensors import place, seeded

Batch = tuple[Tensor, ...]
History = dict[str, list[float]]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.  An epoch shows every row at least once and at least
    ``epoch_pictures`` rows in all: small sets are repeated, under fresh augmentation.
    """

    max_epochs: int = 30
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warm_up: float = 0.05  #: part of all steps
    patience: int = 12  #: epochs without a better validation before the training stops
    epoch_pictures: int = 1000
    clip_norm: float = 5.0
    #: weight of the past, per step, in the mean of the weights that is validated and kept (Polyak &
    #: Juditsky 1992); 0 keeps the last weights themselves
    average: float = 0.0
    precision: str = "float32"  #: of the forward pass in training; see :func:`half_precision`


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


def _average(module: nn.Module, weight: float) -> AveragedModel | None:
    """The running mean of a module's weights, quicker to forget in the first steps."""
    if not 0 <= weight < 1:
        raise InputError(f"average must lie in [0, 1), got {weight}")
    if weight == 0:
        return None

    def blend(mean: Any, now: Any, n: Any) -> None:
        if not torch.is_floating_point(mean[0]):
            torch._foreach_copy_(mean, now)  # the batch norms' counters
        else:
            steps = float(n)
            torch._foreach_lerp_(mean, now, 1 - min(weight, (1 + steps) / (10 + steps)))

    return AveragedModel(module, multi_avg_fn=blend, use_buffers=True)


def _rate(progress: float, schedule: Schedule) -> float:
    if progress < schedule.warm_up:
        return schedule.learning_rate * (progress / schedule.warm_up + 0.05)
    done = (progress - schedule.warm_up) / (1 - schedule.warm_up)
    return schedule.learning_rate * (0.5 + 0.5 * math.cos(math.pi * done) + 1e-3)


def _order(n: int, schedule: Schedule, generator: Generator) -> Tensor:
    """(steps, batch) row numbers: whole permutations in a row, filled up so every batch is full."""
    batch = max(2, min(schedule.batch_size, n))  # batch normalisation needs two rows
    steps = math.ceil(max(n, schedule.epoch_pictures) / batch)
    rounds = math.ceil(steps * batch / n)
    rows = torch.cat([torch.randperm(n, generator=generator) for _ in range(rounds)])
    return rows[: steps * batch].reshape(steps, batch)


def _save(
    path: Path, module: nn.Module, mean: AveragedModel | None, best: dict, optimiser: Any, about: dict
) -> None:
    tensors = {f"now.{k}": v for k, v in module.state_dict().items()}
    tensors |= {} if mean is None else {f"mean.{k}": v for k, v in mean.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in best.items()}
    for i, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{k}": v for k, v in state.items()}
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    write_atomic(path, save(tensors, {"hybridkp": json.dumps(about)}))


def _resume(
    path: Path, module: nn.Module, mean: AveragedModel | None, optimiser: Any, run: dict
) -> tuple[dict, dict]:
    """Load a checkpoint of the same ``run`` into module, mean and optimiser: (best weights, about)."""
    try:
        with safe_open(path, "pt") as stream:
            about = json.loads((stream.metadata() or {})["hybridkp"])
            tensors = {k: stream.get_tensor(k) for k in stream.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise InputError(f"{path}: not a training checkpoint; delete it to start afresh") from error
    if about["run"] != run:
        raise InputError(f"{path}: checkpoint of another training (other data, seed or parameters)")

    def part(name: str) -> dict[str, Tensor]:
        return {k[len(name) + 1 :]: v for k, v in tensors.items() if k.startswith(name + ".")}

    module.load_state_dict(part("now"))
    if mean is not None:
        mean.load_state_dict(part("mean"))
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in part("optimiser").items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return part("best"), about


def _epoch(
    module: nn.Module,
    rows: Batch,
    loss: Callable[[nn.Module, Batch], Tensor],
    augment: Callable[[Batch, Generator], Batch],
    optimiser: Any,
    mean: AveragedModel | None,
    schedule: Schedule,
    seed: int,
    epoch: int,
    device: torch.device,
) -> tuple[float, float]:
    """Every batch of one epoch: the mean loss and the last learning rate; evaluation mode after it."""
    generator = Generator().manual_seed((seed * 1_000_003 + epoch) % (2**63))
    torch.manual_seed((seed * 1_000_003 + epoch) % (2**63))
    order, total, rate = _order(len(rows[0]), schedule, generator), 0.0, 0.0
    half = half_precision(schedule.precision, device)
    module.train()
    for step, chosen in enumerate(order):
        rate = _rate((epoch + step / len(order)) / schedule.max_epochs, schedule)
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = augment(tuple(r[chosen].to(device) for r in rows), generator)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            value = loss(module, batch)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(module.parameters(), schedule.clip_norm)
        optimiser.step()
        if mean is not None:
            mean.update_parameters(module)
        total += float(value.detach())
    module.eval()
    return total / len(order), rate


def train(
    module: nn.Module,
    rows: Batch,
    loss: Callable[[nn.Module, Batch], Tensor],
    validate: Callable[[nn.Module], float],
    augment: Callable[[Batch, Generator], Batch],
    schedule: Schedule,
    *,
    seed: int,
    device: torch.device,
    checkpoint: str | os.PathLike[str] | None = None,
    verbose: int = 0,
) -> History:
    """Train ``module`` in place and leave it in evaluation mode with its best weights.

    Parameters
    ----------
    rows : tensors with equal first dimension, the training rows
    loss : module and an augmented batch to a scalar
    validate : module (in evaluation mode) to a number, lower is better
    augment : batch and generator to the batch that the loss sees
    checkpoint : file written after each epoch; when it exists, the training goes on from it.  None:
        inside :func:`hybridkp.memory.remember` the memory gives a place and clears it away
    verbose : 1 shows a progress bar on stderr

    Returns
    -------
    history : ``loss``, ``validation`` and ``learning_rate``, one number per epoch
    """
    place(module, device)
    optimiser = torch.optim.AdamW(module.parameters(), weight_decay=schedule.weight_decay)
    history: History = {"loss": [], "validation": [], "learning_rate": []}
    mean = _average(module, schedule.average)
    kept = module if mean is None else mean.module.eval()
    best = copy.deepcopy(kept.state_dict())
    fingerprint = [float(r.double().nan_to_num().mean()) for r in rows]
    run = {"schedule": asdict(schedule), "seed": seed, "n": len(rows[0]), "data": fingerprint}
    run = json.loads(json.dumps(run))
    path = memory.checkpoint(f"{run} {module}") if checkpoint is None else Path(checkpoint)
    start = time.perf_counter()
    if path is not None and path.exists():
        best, about = _resume(path, module, mean, optimiser, run)
        history = about["history"]
        spent = about.get("seconds", 0.0)
        memory.credit(spent)
        start -= spent
    first = len(history["loss"])
    bar = tqdm(total=schedule.max_epochs, initial=first, disable=not verbose, file=sys.stderr, unit="epoch")
    with seeded(seed, device), bar:
        for epoch in range(first, schedule.max_epochs):
            low = history["validation"]
            if low and epoch - 1 - low.index(min(low)) >= schedule.patience:
                break
            value, rate = _epoch(module, rows, loss, augment, optimiser, mean, schedule, seed, epoch, device)
            history["loss"].append(value)
            history["learning_rate"].append(rate)
            history["validation"].append(validate(kept))
            if history["validation"][-1] <= min(history["validation"]):
                best = copy.deepcopy(kept.state_dict())
            bar.update()
            bar.set_postfix(loss=history["loss"][-1], validation=history["validation"][-1])
            if path is not None:
                about = {"run": run, "history": history, "seconds": time.perf_counter() - start}
                _save(path, module, mean, best, optimiser, about)
    module.load_state_dict(best)
    module.eval()
    return history
