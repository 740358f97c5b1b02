"""Senses that fail: rows of noise, of nothing, of another object; and numbers that show it.

What is broken here is drilled with, and measured on: see :class:`hybridkp.fusion.SenseGate`.  A Batch
comes in, a Batch with one modality exchanged goes out; (B, F) float32 of numbers.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from ..imaging.images import crops_to_grey
from ..structures import Array, Batch, InputError, blocks, modality, stack_rows

#: ways to fail: values drawn evenly from the range that they have (letters by chance), zeros (no text),
#: another object's row; of pictures also a sixteenth of the light
WAYS = ("noise", "zeros", "shuffled", "dark")
_DARK, _READ = 16.0, 3.0  #: times less light; grey levels of noise
_CELLS = 40  #: along the longer side, where print and text are compared
_LETTER = 0.008  #: of the longer side, the usual width of a letter


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
    if not len(rows):
        return batch
    if way == "shuffled":  # a cycle in random order: no row stays where it was
        order = rng.permutation(len(rows))
        source = np.empty(len(rows), int)
        source[order] = np.roll(order, 1)
        return batch.replace(**{name: np.asarray(rows[source])})
    if not modality(name).plain:
        said = [_by_chance(row, rng) if way == "noise" else row[:0] for row in rows]
        return batch.replace(**{name: stack_rows(name, said)})
    values = np.asarray(rows)
    if way == "zeros":
        return batch.replace(**{name: np.zeros_like(values)})
    if way == "dark":
        dim = values / _DARK + _READ * rng.standard_normal(values.shape, np.float32)
        return batch.replace(**{name: np.clip(np.rint(dim), 0, 255).astype(values.dtype)})
    low, high = float(values.min()), float(values.max())
    drawn = low + (high - low) * rng.random(values.shape, np.float32)
    return batch.replace(**{name: drawn.astype(values.dtype)})


def _by_chance(row: Any, rng: np.random.Generator) -> Any:
    """A text, or lines of text, of as many letters, none of which was read."""
    if not isinstance(row, str):
        return tuple((*line[:4], _by_chance(line[4], rng)) for line in row)
    return "".join(rng.choice(list("abcdefghij "), len(row)))


def signs(batch: Batch, names: tuple[str, ...]) -> Array:
    """(B, F) float32 that tell a sound sense from a broken one: mean, spread, roughness, part that is 0.

    Roughness (:func:`roughness`) is about 1.1 for noise, little for what is smooth.  Of text:
    lines, length, and the shares of digits and of blanks.  Of lines of text beside a picture also how well
    they lie on its print, see :func:`agreement`.
    """
    columns = []
    for name in names:
        rows = batch[name]
        if not modality(name).plain:
            columns.append(np.array([_signs_of_text(row) for row in rows], np.float32).reshape(-1, 4))
            continue
        rows = crops_to_grey(rows) if name == "image" and len(rows) else rows
        columns.append(np.concatenate([np.zeros((0, 4), np.float32), *map(_signs, blocks(rows))]))
    if {"image", "words"} <= set(names):
        columns.append(agreement(crops_to_grey(np.asarray(batch["image"])), batch["words"])[:, None])
    return np.concatenate(columns, axis=1)


def agreement(grey: Array, words: Any) -> Array:
    """(B,) float32: correlation of where edges are in pictures (B, H, W) and where text is said to be.

    Places are rounded to cells, and a line's length is that of its letters.

    >>> page = np.zeros((1, 80, 80), np.uint8)
    >>> page[0, 40:44, 20:60:4] = 255
    >>> here, there = [(20, 40, 60, 44, "total 12345")], [(20, 70, 60, 74, "total 12345")]
    >>> bool(agreement(page, [here]) > 0.3 > agreement(page, [there]))
    True
    """
    h, w = grey.shape[1:]
    step = max(h, w) / _CELLS
    n_rows, n_columns = max(round(h / step), 1), max(round(w / step), 1)
    out = np.zeros(len(grey), np.float32)
    for b, (picture, lines) in enumerate(zip(grey, words, strict=True)):
        edges = np.abs(cv2.Sobel(picture, cv2.CV_32F, 1, 0))
        print_ = np.sqrt(cv2.resize(edges, (n_columns, n_rows), interpolation=cv2.INTER_AREA))
        said = np.zeros_like(print_)
        for x0, y0, x1, y1, text in lines:
            row, half = int((y0 + y1) / 2 / step), len(text) * _LETTER * _CELLS / 2
            first, last = (round((x0 + x1) / 2 / step + side * half) for side in (-1, 1))
            if 0 <= row < n_rows:
                said[row, max(first, 0) : max(last, 0) + 1] = 1
        spread = print_.std() * said.std()
        if spread > 0:
            out[b] = ((print_ - print_.mean()) * (said - said.mean())).mean() / spread
    return out


def _signs(rows: Any) -> Array:
    values = np.asarray(rows, np.float32)
    axes = tuple(range(1, values.ndim))
    return np.stack([values.mean(axes), values.std(axes), roughness(values), (values == 0).mean(axes)], 1)


def _signs_of_text(row: Any) -> tuple[float, float, float, float]:
    lines = [row] if isinstance(row, str) else [line[4] for line in row]
    said = "".join(lines)
    n = max(len(said), 1)
    return len(lines), len(said), sum(map(str.isdigit, said)) / n, sum(map(str.isspace, said)) / n


def roughness(rows: Any) -> Array:
    """(B,) float32: the mean step between neighbours along the last axis, over the spread.

    >>> roughness([[0, 1, 0, 1], [0, 1, 2, 3]]).round(2)
    array([2.  , 0.89], dtype=float32)
    """
    values = np.asarray(rows, np.float32)
    axes = tuple(range(1, values.ndim))
    return np.asarray(np.abs(np.diff(values, axis=-1)).mean(axes) / (values.std(axes) + 1e-6))
