"""What detectors are given: the same rows in one or several modalities, such as pictures and depth.

Letters: **B** rows.  Never here: reading files, image processing, learning.  Arrays (B, ...) pass through,
``image`` being (B, H, W[, 3]) uint8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .base import Array, InputError
from .modalities import modality, stack_rows
from .stream import Stream


class Batch:
    """Rows of several modalities: ``batch["image"]`` (B, H, W[, 3]) uint8, ``batch["depth"]``, ...

    A slice, a mask or an index array of rows gives a Batch, so that scikit-learn's tools
    (``cross_val_score`` and the like) take one as they take an array.  To whoever knows pictures only it
    looks like the array of its pictures: ``shape``, ``len``, a row by its number, iteration and
    ``np.asarray`` speak of ``image`` (of the first modality where there are no pictures).

    Parameters
    ----------
    modalities : name -> (B, ...) array

    Raises
    ------
    InputError
        Without modalities, for a different number of rows, and for a name that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> batch = Batch({"image": np.zeros((5, 8, 8), np.uint8), "depth": np.ones((5, 8, 8), np.uint16)})
    >>> batch
    Batch(5 rows: image (8, 8) uint8, depth (8, 8) uint16)
    >>> len(batch[1:3]), batch[[0, 4]]["depth"].shape
    (2, (2, 8, 8))
    """

    def __init__(self, modalities: Mapping[str, Any]) -> None:
        self.modalities: dict[str, Any] = {
            k: v
            if isinstance(v, Stream)
            else np.asanyarray(v)
            if isinstance(v, np.ndarray) or modality(k).plain
            else stack_rows(k, v)
            for k, v in modalities.items()
        }
        counts = {name: len(rows) for name, rows in self.modalities.items()}
        if not counts or len(set(counts.values())) > 1:
            raise InputError(f"a batch needs modalities of one number of rows, got {counts}")
        self._first = self.modalities.get("image", next(iter(self.modalities.values())))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            if key not in self.modalities:
                there = ", ".join(self.modalities)
                raise InputError(f"the batch has no {key!r}, only {there}: give a Batch with it")
            return self.modalities[key]
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:  # as scikit-learn indexes arrays
            key = key[0]
        if isinstance(key, int | np.integer):
            return self._first[key]
        if isinstance(key, tuple):
            raise InputError(f"a batch is indexed by rows or by a modality's name, got {key}")
        return Batch({name: rows[key] for name, rows in self.modalities.items()})

    def __len__(self) -> int:
        return len(self._first)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._first)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self._first, dtype) if copy else np.asarray(self._first, dtype)

    def __repr__(self) -> str:
        parts = (f"{name} {rows.shape[1:]} {rows.dtype}" for name, rows in self.modalities.items())
        return f"Batch({len(self)} rows: {', '.join(parts)})"

    @property
    def shape(self) -> tuple[int, ...]:
        return self._first.shape

    @property
    def ndim(self) -> int:
        return self._first.ndim

    @property
    def dtype(self) -> Any:
        return self._first.dtype

    def replace(self, **modalities: Any) -> Batch:
        """The same rows with some modalities exchanged or added."""
        return Batch({**self.modalities, **modalities})

    def map_pictures(self, change: Callable[[str, Any], Any]) -> Batch:
        """``change`` applied to name and rows of every modality that moves with the pictures."""
        size_hw = self.shape[1:3]

        def moves(name: str, rows: Any) -> bool:
            return name == "words" or (
                modality(name).spatial and rows.ndim >= 3 and rows.shape[1:3] == size_hw
            )

        return Batch(
            {
                name: change(name, rows) if moves(name, rows) else rows
                for name, rows in self.modalities.items()
            }
        )


def as_batch(images: Any) -> Batch:
    """A Batch of what a detector may be given: a Batch, a mapping of modalities, or bare pictures."""
    if isinstance(images, Batch):
        return images
    return Batch(images if isinstance(images, Mapping) else {"image": images})
