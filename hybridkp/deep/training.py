"""The one training loop, for every network of this room.

AdamW with linear warm-up and cosine decay, a running mean of the weights, early stopping on a
validation that keeps the best weights, and a checkpoint from which a killed training goes on to the
same result as one never interrupted.  The loop knows neither pictures nor landmarks: whoever trains
brings a supply of batches, a loss and a validation.

Each epoch draws all its random numbers from (seed, epoch), so there is no generator state to store.
"""

from __future__ import annotations

import copy
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from .. import memory
from ..structures import InputError
from .checkpoint import (
    check_history,
    check_like,
    check_moments,
    load_checkpoint,
    optimiser_tensors,
    restore_optimiser,
    save_checkpoint,
)
from .devices import half_precision, pick_device, place, seeded
from .schedule import Schedule

History = dict[str, list[float]]
Loss = Callable[[nn.Module, Any], Tensor]


class Supply(Protocol):
    """Where the batches of a training come from."""

    n_steps: int  #: batches in an epoch

    def about(self) -> Any:
        """JSON that tells these data from others."""
        ...

    def epoch(self, kept: nn.Module, progress: Callable[[int], float], generator: Generator) -> Iterator[Any]:
        """One epoch's batches; ``kept`` has the best guess at the final weights, ``progress`` (of a step)
        says how much of the training is over, and all random numbers come from the ``generator``."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """What a resumed training needs beyond what :meth:`about` fixes."""
        ...

    def restore(self, tensors: dict[str, Tensor]) -> None: ...


def _running_mean(module: nn.Module, weight: float) -> AveragedModel | None:
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


def _clock(name: str) -> Callable[[], float]:
    """Seconds since some moment."""
    clocks = {"wall": time.perf_counter, "cpu": time.process_time}
    if name not in clocks:
        raise InputError(f"clock must be 'wall' or 'cpu', got {name!r}")
    return clocks[name]


class _Run:
    """What changes while a module is trained, and how that goes to a checkpoint and back."""

    def __init__(self, module: nn.Module, supply: Supply, loss: Loss, schedule: Schedule, seed: int) -> None:
        self.module, self.supply, self.loss, self.schedule, self.seed = module, supply, loss, schedule, seed
        self.device = pick_device(schedule.device)
        place(module, self.device)
        self.optimiser = torch.optim.AdamW(module.parameters(), weight_decay=schedule.weight_decay)
        self.mean = _running_mean(module, schedule.average)
        self.kept = module if self.mean is None else self.mean.module.eval()
        self.best = copy.deepcopy(self.kept.state_dict())
        self.history: History = {"loss": [], "validation": [], "learning_rate": []}
        plan = schedule.get_params()
        for elsewhere in ("device", "checkpoint", "verbose"):  # they change no result
            del plan[elsewhere]
        self.about = json.loads(json.dumps({"schedule": plan, "seed": seed, "data": supply.about()}))
        self.now = _clock(schedule.clock)
        self.start, self.first = self.now(), 0

    def save(self, path: Path) -> None:
        mean = {} if self.mean is None else self.mean.state_dict()
        parts = {"now": self.module.state_dict(), "mean": mean, "best": self.best}
        parts |= {"optimiser": optimiser_tensors(self.optimiser), "supply": self.supply.tensors()}
        seconds = self.now() - self.start
        save_checkpoint(path, parts, {"run": self.about, "history": self.history, "seconds": seconds})

    def resume(self, path: Path) -> None:
        """Go on from a file; :class:`InputError`, and nothing changed, where its parts are not ours."""
        parts, about = load_checkpoint(path, self.about)
        mean = {} if self.mean is None else self.mean.state_dict()
        try:
            check_history(about["history"], self.history)
            for name, own in (("now", self.module.state_dict()), ("mean", mean), ("best", self.best)):
                check_like(parts.get(name, {}), own)
            check_moments(parts["optimiser"], list(self.module.parameters()))
            self.supply.restore(parts.get("supply", {}))
        except (LookupError, TypeError, ValueError) as error:
            raise InputError(f"{path}: a damaged checkpoint ({error}); delete it to start afresh") from None
        self.module.load_state_dict(parts["now"])
        if self.mean is not None:
            self.mean.load_state_dict(parts["mean"])
        restore_optimiser(self.optimiser, parts["optimiser"])
        self.best, self.history = parts["best"], about["history"]
        memory.credit(about["seconds"])
        self.start -= about["seconds"]
        self.first = len(self.history["loss"])

    def progress(self, epoch: int, step: int = 0) -> float:
        done = (epoch + step / self.supply.n_steps) / self.schedule.max_epochs
        if self.schedule.minutes is None:
            return done
        return max(done, (self.now() - self.start) / (60 * self.schedule.minutes))

    def over(self, epoch: int) -> bool:
        low = self.history["validation"]
        tired = bool(low) and epoch - 1 - low.index(min(low)) >= self.schedule.patience
        return tired or self.progress(epoch) >= 1

    def epoch(self, epoch: int) -> None:
        """Every batch of one epoch; evaluation mode after it."""
        seed = (self.seed * 1_000_003 + epoch) % (2**63)
        generator = Generator().manual_seed(seed)
        torch.manual_seed(seed)
        half = half_precision(self.schedule.precision, self.device)
        total, n, rate = 0.0, 0, 0.0
        batches = self.supply.epoch(self.kept, lambda step: self.progress(epoch, step), generator)
        for step, batch in enumerate(batches):
            self.module.train()
            rate = self.schedule.rate(min(1.0, self.progress(epoch, step)))
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
                value = self.loss(self.module, batch)
            self.optimiser.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(self.module.parameters(), self.schedule.clip_norm)
            self.optimiser.step()
            if self.mean is not None:
                self.mean.update_parameters(self.module)
            total, n = total + float(value.detach()), n + 1
            if self.progress(epoch, step + 1) >= 1:
                break
        self.module.eval()
        self.history["loss"].append(total / n)
        self.history["learning_rate"].append(rate)


class _Checkpoint:
    """Where a run is kept: in the file that a user named, or in the memory's, which may fail without harm."""

    def __init__(self, run: _Run, named: Any, remembered: Path | None) -> None:
        self.run, self.named = run, named is not None
        self.path = remembered if named is None else Path(named)

    def resume(self) -> None:
        if self.path is not None and self.path.exists():
            try:
                self.run.resume(self.path)
            except InputError as error:
                self._told(error, "trained from the start")

    def save(self) -> None:
        if self.path is not None:
            try:
                self.run.save(self.path)
            except InputError as error:
                self._told(error, "trained on without it")
                self.path = None

    def _told(self, error: InputError, what: str) -> None:
        if self.named:
            raise error
        warnings.warn(f"{error}; {what}", RuntimeWarning, stacklevel=4)


def train(
    module: nn.Module,
    supply: Supply,
    loss: Loss,
    validate: Callable[[nn.Module], float],
    schedule: Schedule,
    *,
    seed: int,
) -> History:
    """Train ``module`` in place and leave it in evaluation mode with its best weights.

    Parameters
    ----------
    supply : gives the batches
    loss : module and a batch to a scalar
    validate : module (in evaluation mode) to a number, lower is better

    Returns
    -------
    history : ``loss``, ``validation`` and ``learning_rate``, one number per epoch
    """
    run = _Run(module, supply, loss, schedule, seed)
    kept = _Checkpoint(run, schedule.checkpoint, memory.checkpoint(f"{run.about} {module}"))
    kept.resume()
    epochs, quiet = schedule.max_epochs, not schedule.verbose
    bar = tqdm(total=epochs, initial=run.first, disable=quiet, file=sys.stderr, unit="epoch")
    with seeded(seed, run.device), bar:
        for epoch in range(run.first, epochs):
            if run.over(epoch):
                break
            run.epoch(epoch)
            value, low = validate(run.kept), run.history["validation"]
            low.append(value)
            if value <= min(low):
                run.best = copy.deepcopy(run.kept.state_dict())
            bar.update()
            bar.set_postfix(loss=run.history["loss"][-1], validation=value)
            kept.save()
    module.load_state_dict(run.best)
    module.eval()
    return run.history
