"""How long, how fast and where networks are trained: one estimator, nested in each of theirs.

Nothing is trained here, and torch is not needed.  What a network's estimator inherits to have a schedule with
defaults of its own is here too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from sklearn.base import BaseEstimator

from ..structures import InputError


@dataclass(repr=False, eq=False)  # scikit-learn's own
class Schedule(BaseEstimator):
    """How long, how fast and where a network is trained; a parameter of every network.

    An epoch shows every row at least once and at least ``epoch_pictures`` rows in all: small sets are
    repeated, under fresh augmentation.  Each network has defaults of its own: its ``default_schedule``.

    Examples
    --------
    >>> from hybridkp.deep import HeatmapNet, Schedule
    >>> net = HeatmapNet().set_params(schedule__max_epochs=60)  # the rest as it was
    >>> net.schedule.max_epochs, net.schedule.learning_rate
    (60, 0.003)
    >>> net = HeatmapNet(schedule=Schedule(max_epochs=60, learning_rate=1e-3))
    """

    max_epochs: int = 30
    batch_size: int = 16  #: rows per step
    learning_rate: float = 2e-3  #: at its peak
    weight_decay: float = 1e-2
    warm_up: float = 0.05  #: part of all steps until the peak
    patience: int = 12  #: epochs without a better validation before the training stops
    epoch_pictures: int = 1000  #: rows that an epoch shows at least
    turns: float = 0.0  #: degrees by which crops are also turned, evenly to both sides; 180 for any direction
    vary: float = 1.0  #: how much crops are turned, sized, moved and stretched, times the usual
    clip_norm: float = 5.0  #: of the gradient, at most
    #: weight of the past, per step, in the mean of the weights that is validated and kept (Polyak &
    #: Juditsky 1992); 0 keeps the last weights themselves
    average: float = 0.0
    #: of the forward pass in training, "float32", "bfloat16" or "auto" (bfloat16 where the hardware has
    #: it); predictions are always float32
    precision: str = "float32"
    validation_fraction: float = 0.1  #: part of the groups kept for early stopping and calibration
    #: the schedule follows the clock wherever that is ahead of the steps, and ends in time on any
    #: machine; no two such trainings are the same.  None follows the steps alone
    minutes: float | None = None
    #: what ``minutes`` count: "wall" is time as it passes, "cpu" that of this process on its processors,
    #: which is fair where others use the machine too
    clock: str = "wall"
    device: str = "auto"  #: CUDA, MPS, else CPU; or a torch device name
    #: file written after each epoch; when it exists, the training goes on from it.  None: inside
    #: :func:`hybridkp.memory.remember` the memory gives a place and clears it away
    checkpoint: Any = None
    verbose: int = 0  #: 1 shows a progress bar on stderr

    def rate(self, progress: float) -> float:
        """The learning rate at a progress of 0..1."""
        if progress < self.warm_up:
            return self.learning_rate * (progress / self.warm_up + 0.05)
        done = (progress - self.warm_up) / (1 - self.warm_up)
        return self.learning_rate * (0.5 + 0.5 * math.cos(math.pi * done) + 1e-3)


class Scheduled(BaseEstimator):
    """An estimator with the parameter ``schedule``: a :class:`Schedule`, or None for its own defaults.

    The defaults' values are parameters all the same: ``get_params`` shows and ``set_params`` changes
    ``schedule__max_epochs`` and the others, also where ``schedule`` is None.
    """

    schedule: Schedule | None
    schedule_defaults: ClassVar[dict[str, Any]] = {}  #: where they differ from those of Schedule

    @classmethod
    def default_schedule(cls, **changes: Any) -> Schedule:
        """The schedule that None stands for, with ``changes``."""
        return Schedule(**{**cls.schedule_defaults, **changes})

    @property
    def _schedule(self) -> Schedule:
        if self.schedule is not None and not isinstance(self.schedule, Schedule):
            raise InputError(
                f"schedule must be a Schedule or None, got {type(self.schedule).__name__}: "
                f"see {type(self).__name__}.default_schedule"
            )
        return self.default_schedule() if self.schedule is None else self.schedule

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters, with those of the default schedule where ``schedule`` is None."""
        params: dict[str, Any] = super().get_params(deep)
        if deep and self.schedule is None:
            params |= {f"schedule__{k}": v for k, v in self.default_schedule().get_params().items()}
        return params

    def set_params(self, **params: Any) -> Scheduled:
        """As scikit-learn's; a change of the default schedule makes it the estimator's own."""
        inner = any(name.startswith("schedule__") for name in params)
        if inner and params.get("schedule", self.schedule) is None:
            params["schedule"] = self.default_schedule()
        super().set_params(**params)
        return self
