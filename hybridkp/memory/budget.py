"""How much memory a fit may fill with rows, and what is done where the data need more.

Two ways out, each where it belongs: rows that are added up are read in blocks, all of them; what has to see
all its rows at once (scikit-learn's forests and SVMs) learns from a sample of the pictures, and says so.
Below the budget nothing changes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..structures import Array, Batch, DataWarning, Stream
from ..structures.stream import BLOCK

ROW_BYTES = 2**30  #: that one table of rows, or the crops of one part of the data, may take


def fits_in(n: int, bytes_each: float) -> bool:
    """Whether ``n`` rows may lie in memory together."""
    return n * bytes_each <= ROW_BYTES


def rows_in(share: float, bytes_each: float) -> int:
    """How many rows, one at least, take that share of the budget."""
    return max(1, int(share * ROW_BYTES // bytes_each))


def affordable(n: int, bytes_each: float, who: str, asked: int | None = None) -> int | None:
    """``asked``, or fewer where so many pictures of ``n`` do not fit; then a warning says so.

    None stands for all, as in the detectors' ``max_pictures``.
    """
    most = rows_in(1, bytes_each)
    if min(n, n if asked is None else asked) <= most:
        return asked
    warnings.warn(
        f"{who}: learns from {most} of {n} pictures, drawn at random: more do not fit into"
        f" {ROW_BYTES // 2**20} MiB",
        DataWarning,
        stacklevel=3,
    )
    return most


def predict_in_blocks(model: Any, images: Any) -> tuple[Array, Array]:
    """``model.predict_with_score(images)``; of crops that are read from disk a block at a time."""
    if not on_disk(images):
        found: tuple[Array, Array] = model.predict_with_score(images)
        return found
    parts = [model.predict_with_score(crops) for _, crops in parts_of(images, np.arange(len(images)))]
    xy, score = map(np.concatenate, zip(*parts, strict=True))
    return xy, score


def on_disk(images: Any) -> bool:
    return isinstance(images["image"] if isinstance(images, Batch) else images, Stream)


def parts_of(images: Any, rows: Array) -> Iterator[tuple[Array, Any]]:
    """Indices and the crops there, as arrays: all at once, or, where they are on disk, a block at a time."""
    if not on_disk(images):
        yield rows, images[rows]
        return
    for first in range(0, len(rows), BLOCK):
        some = images[rows[first : first + BLOCK]]
        if isinstance(some, Batch):
            crops: Any = Batch({name: np.asarray(part) for name, part in some.modalities.items()})
        else:
            crops = np.asarray(some)
        yield rows[first : first + BLOCK], crops
