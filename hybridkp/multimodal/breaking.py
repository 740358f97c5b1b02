"""Senses that fail: rows of noise, of nothing, of another object; and numbers that show it.

What is broken here is drilled with, and measured on: see :class:`hybridkp.fusion.SenseGate`.  A Batch
comes in, a Batch with one modality exchanged goes out; (B, F) float32 of numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..imaging.images import crops_to_grey
from ..structures import Array, Batch, InputError, blocks, modality, stack_rows

#: ways to fail: values drawn evenly from the range that they have, zeros (no text), another object's row;
#: of pictures also a sixteenth of the light
WAYS = ("noise", "zeros", "shuffled", "dark")
_DARK, _READ = 16.0, 3.0  #: times less light; grey levels of noise


def broken(batch: Batch, name: str, way: str, random_state: int = 0) -> Batch:
    """The batch with one modality broken in one of :data:`WAYS`.

    >>> batch = Batch({"image": np.ones((2, 8, 8), np.uint8), "depth": np.full((2, 8, 8), 900, np.uint16)})
    >>> int(broken(batch, "depth", "zeros")["depth"].max())
    0
    """
    rows, rng = batch[name], np.random.default_rng(random_state)
    if way not in WAYS or (way == "dark" and name != "image"):
        raise InputError(
            f"{name}: cannot be broken by {way!r}: there are {', '.join(WAYS)} (dark: of pictures)"
        )
    if way == "shuffled":  # a cycle in random order: no row stays where it was
        order = rng.permutation(len(rows))
        source = np.empty(len(rows), int)
        source[order] = np.roll(order, 1)
        return batch.replace(**{name: np.asarray(rows[source])})
    if not modality(name).plain:
        empty = "" if name == "text" else ()
        letters = ["".join(rng.choice(list("abcdefghij "), 20)) if name == "text" else () for _ in rows]
        return batch.replace(**{name: stack_rows(name, letters if way == "noise" else [empty] * len(rows))})
    values = np.asarray(rows)
    if way == "zeros":
        return batch.replace(**{name: np.zeros_like(values)})
    if way == "dark":
        dim = values / _DARK + _READ * rng.standard_normal(values.shape, np.float32)
        return batch.replace(**{name: np.clip(np.rint(dim), 0, 255).astype(values.dtype)})
    low, high = float(values.min()), float(values.max())
    drawn = low + (high - low) * rng.random(values.shape, np.float32)
    return batch.replace(**{name: drawn.astype(values.dtype)})


def signs(batch: Batch, names: tuple[str, ...]) -> Array:
    """(B, 4 n) float32 that tell a sound sense from a broken one: mean, spread, roughness, part that is 0.

    Roughness is the mean step between neighbours along the last axis over the spread: about 1.1 for noise,
    little for what is smooth.  Of text the length stands for all.
    """
    columns = []
    for name in names:
        rows = batch[name]
        if not modality(name).plain:
            length = np.array([float(len(row)) for row in rows], np.float32)
            columns.append(np.stack([length] * 4, 1))
            continue
        rows = crops_to_grey(rows) if name == "image" else rows
        columns.append(np.concatenate([_signs(block) for block in blocks(rows)]))
    return np.concatenate(columns, axis=1)


def _signs(rows: Any) -> Array:
    values = np.asarray(rows, np.float32)
    axes = tuple(range(1, values.ndim))
    spread = values.std(axes)
    step = np.abs(np.diff(values, axis=-1)).mean(axes)
    return np.stack([values.mean(axes), spread, step / (spread + 1e-6), (values == 0).mean(axes)], 1)
