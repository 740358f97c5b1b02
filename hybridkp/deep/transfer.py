"""Where the training of a network starts: at the weights of another one, read from its model file.

What fits by name is taken, the head's rows by the landmarks' names.  No training here.  Shapes that pass:
weights as they are stored, rows of a head (K, ...).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files import load_model, read_meta
from ..landmarks import WithPresence
from ..structures import InputError, Parameters


@dataclass(eq=False, repr=False)
class Pretrained(Parameters):
    """A network's model file as the start of another training; :func:`pretrained` makes it.

    Parameters
    ----------
    file : the model file; it is read when the new network is fitted, and is not part of that one's file
    digest : SHA-256 of the file, so that a changed file is no silent other start
    rows : for each landmark of the new network its row in the old one, or -1
    freeze : leave the backbone's weights as they are; its batch norms still learn the new pictures'
        statistics
    """

    file: str
    digest: str
    rows: Sequence[int] = ()
    freeze: bool = False

    def start(self, net: Any) -> None:
        """Copy what fits into a fresh network in place.

        Raises
        ------
        InputError
            For a file that has changed, and for a network with another backbone.
        """
        if digest_of(self.file) != self.digest:
            raise InputError(f"{self.file}: has changed since it was given as a start: give it again")
        source = _network(self.file)
        old, new = source.state_dict(), net.state_dict()
        for name in old.keys() & new.keys():  # of colour for grey, where all channels are the same
            if old[name].ndim == 4 and (old[name].shape[1], new[name].shape[1]) == (3, 1):
                old[name] = old[name].sum(1, keepdim=True)
        same = type(source.backbone) is type(net.backbone)
        if not same or not _copy(old, new, [name for name in new if name.startswith("backbone.")]):
            raise InputError(
                f"{self.file}: its backbone, a {type(source.backbone).__name__}, shares no weights with "
                f"{type(net.backbone).__name__}: start from a model of the same one"
            )
        if type(source) is type(net):
            heads = [name for name in new if name.startswith(("head.", "early."))]
            by_landmark = [name for name in heads if name.endswith(net.head.by_landmark)]
            _copy(old, new, [name for name in heads if name not in by_landmark and name != "head.mean_xy"])
            for name in by_landmark:
                self._copy_rows(old.get(name), new[name], source.head.n_landmarks, net.head.n_landmarks)
        if self.freeze:
            net.backbone.requires_grad_(False)

    def _copy_rows(self, old: Tensor | None, new: Tensor, k_old: int, k_new: int) -> None:
        if old is None or old.shape[1:] != new.shape[1:] or len(self.rows) != k_new:
            return
        before, after = old.view(k_old, -1), new.view(k_new, -1)
        if before.shape[1] == after.shape[1]:
            for i, row in enumerate(self.rows):
                if 0 <= row < k_old:
                    after[i] = before[row]


def pretrained(file: str | os.PathLike[str], landmarks: Sequence[str], *, freeze: bool = False) -> Pretrained:
    """The start of a training for ``landmarks``, from a model file of one network.

    Raises
    ------
    InputError
        For a file of anything but one network.
    """
    _network(file)
    known = list(read_meta(file).get("landmarks", ()))
    rows = tuple(known.index(name) if name in known else -1 for name in landmarks)
    return Pretrained(str(file), digest_of(file), rows, freeze)


def _network(file: str | os.PathLike[str]) -> Any:
    from .estimator import NetDetector

    model: Any = load_model(file)
    model = model.detector_ if isinstance(model, WithPresence) else model
    if not isinstance(model, NetDetector):
        raise InputError(f"{file}: holds a {type(model).__name__}: a start is one network, such as heatmap")
    return model.module_.net


def digest_of(file: str | os.PathLike[str]) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _copy(old: dict[str, Tensor], new: dict[str, Tensor], names: list[str]) -> int:
    """How many weights of these names have the same shape in both, and were copied; counters are none."""
    fitting = [name for name in names if name in old and old[name].shape == new[name].shape]
    with torch.no_grad():
        for name in fitting:
            new[name].copy_(old[name])
    return sum(new[name].ndim > 1 for name in fitting)
