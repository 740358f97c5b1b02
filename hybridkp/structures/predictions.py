"""What one method predicted on one split: stored first, scored afterwards; no metric here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .base import Array, InputError, short_repr

ObjectKey = tuple[str, int, int]  #: picture, object in it, and the how-manieth of these two


def object_keys(pairs: Iterable[tuple[str, int]]) -> list[ObjectKey]:
    """Keys of (picture, object) pairs that stay apart where two pictures have one name.

    >>> object_keys([("a/1.png", 0), ("a/1.png", 0)])
    [('a/1.png', 0, 0), ('a/1.png', 0, 1)]
    """
    seen: Counter[tuple[str, int]] = Counter()
    out = []
    for name, instance in pairs:
        pair = (str(name), int(instance))
        out.append((*pair, seen[pair]))
        seen[pair] += 1
    return out


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one method predicted on one split; no metric.

    ``xy`` (B, K, 2) float32 in the coordinates of the *picture* (not of the crop), NaN = gave
    none; ``score`` (B, K) float32; ``seconds`` (B,) per object, one thread, batch 1: the clock
    covers decoded picture and box -> crop -> points in the picture; NaN where not timed.
    ``fit_seconds`` is wall clock and counts work that a memory spared; ``model_bytes`` the size
    of the model file and ``peak_bytes`` the process's largest resident size in fit and predict,
    remembered work included (-1 = unknown).  ``load`` is the machine's load average per core when
    ``seconds`` were taken, ``fit_load`` when ``fit_seconds`` were (NaN = unknown); ``host`` and ``fit_host``
    name the machines of these ("" = unknown): times of two machines compare with nothing.  Row b belongs to
    ``names[b]`` / ``instance[b]``, the latter counting the objects of that sample from 0.
    """

    method: str
    xy: Array
    score: Array
    names: tuple[str, ...]
    instance: Array
    seconds: Array
    fit_seconds: float = float("nan")
    model_bytes: int = -1
    peak_bytes: int = -1
    params: Mapping[str, Any] = field(default_factory=dict)
    dataset: str = ""
    fingerprint: str = ""
    split: str = ""
    seed: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)  #: training curves
    load: float = float("nan")
    fit_load: float = float("nan")
    host: str = ""
    fit_host: str = ""

    __repr__ = short_repr

    def __post_init__(self) -> None:
        b = len(self.names)
        xy, score = np.asarray(self.xy, np.float32), np.asarray(self.score, np.float32)
        if xy.ndim != 3 or xy.shape[0] != b or xy.shape[2] != 2 or score.shape != xy.shape[:2]:
            raise InputError(
                f"Predictions of {self.method}: xy {xy.shape} and score {score.shape} must be"
                f" ({b}, K, 2) and ({b}, K)"
            )
        object.__setattr__(self, "xy", xy)
        object.__setattr__(self, "score", score)
        object.__setattr__(self, "instance", np.asarray(self.instance, np.int64).reshape(b))
        object.__setattr__(self, "seconds", np.asarray(self.seconds, np.float64).reshape(b))
