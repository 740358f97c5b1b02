"""From a data set to objects with a class each: a batch of senses, labels, groups and names.

Where classes come from is the caller's word (:func:`tagged_by`, :func:`apart_by`, or a table's path).
Nothing is learned and nothing judged here.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import load_dataset, split_names
from ..datasets.parts import thin
from ..datasets.tags import apart, classes_by_tag, classes_of_table, landmark_number
from ..metrics import normalizer_lengths
from ..structures import Array, Dataset, InputError
from ..structures.base import short_repr
from .crops import make_crops

#: from a data set to the class of each object of each sample; "" = none
Label = Callable[[Dataset], list[list[str]]]
SENSES = ("image", "sound", "text")  #: looked for where nobody says otherwise
TOO_OFTEN = 0.5  #: of the objects, that their text may name the class of


@dataclass(frozen=True, eq=False)
class ClassRows:
    """B objects: ``batch`` of their senses, ``labels``, ``groups`` and ``names`` (B,)."""

    batch: Any
    labels: Array
    groups: Array
    names: tuple[str, ...]
    inputs: list[str]
    held_out: Array | None  #: (B,) bool, the judged part where there is one
    named: float  #: share of the objects whose text holds the name of their class; 0 without text
    data: str
    fingerprint: str

    __repr__ = short_repr


def tagged_by(field: str) -> Label:
    """The class is a text field of the picture's annotation."""

    def label(dataset: Dataset) -> list[list[str]]:
        found = classes_by_tag(dataset, field)
        return [[name] * len(s.instances) for name, s in zip(found, dataset, strict=True)]

    return label


def apart_by(words: Sequence[str]) -> Label:
    """The class is whether two landmarks lie further apart than a share of the normaliser.

    ``words``: the landmarks' names or numbers, and the ratio.
    """
    try:
        first, second, ratio = words[0], words[1], float(words[2])
        if len(words) != 3 or not np.isfinite(ratio) or ratio < 0:
            raise ValueError
    except (ValueError, IndexError):
        raise InputError(
            f"{','.join(words)}: needs two landmarks and a ratio, such as p62,p66,0.06"
        ) from None

    def label(dataset: Dataset) -> list[list[str]]:
        pair = landmark_number(dataset, first), landmark_number(dataset, second)
        out: list[list[str]] = []
        for s in dataset:
            if not s.instances:
                out.append([])
                continue
            xy = np.stack([i.xy for i in s.instances])
            boxes = np.stack([i.box_xywh for i in s.instances])
            out.append(apart(xy, normalizer_lengths(xy, tuple(dataset.normalizer), boxes), pair, ratio))
        return out

    return label


def class_rows(
    data: str | os.PathLike[str] | Dataset,
    label: Label | str | os.PathLike[str],
    *,
    inputs: Sequence[str] | None = None,
    only: Sequence[str] | None = None,
    split: str | None = None,
    size_hw: tuple[int, int] = (96, 96),
    margin: float = 1.0,
    most: int | None = None,
    most_classes: int = 40,
    **reading: Any,
) -> ClassRows:
    """Objects of a data set that have a class, ready for :func:`.classify`.

    Parameters
    ----------
    data : a data set, or where it lies: all its splits together
    label : a function as of :func:`tagged_by` and :func:`apart_by`, or the path of a CSV table
    inputs : senses; None = the picture, and sound and text where every picture has them, but no text that
        mostly holds the class's own name: that gives the answer away
    only : these classes alone
    split : the part that is judged, all others are trained on
    most : pictures, evenly chosen among those with a class
    reading : options of :func:`~hybridkp.datasets.load_dataset`

    Raises
    ------
    InputError
        No object has a class, more than ``most_classes`` of them, or a sense that is not there.
    """
    dataset, judged = _read(data, split, reading)
    ask = label if callable(label) else _table(Path(label))
    wanted = None if only is None else set(only)
    found = [[c if wanted is None or c in wanted else "" for c in row] for row in ask(dataset)]
    rows = np.array([i for i, row in enumerate(found) if any(row)], int)
    if not len(rows):
        known = Counter(c for row in ask(dataset) for c in row if c).most_common(8)
        raise InputError(
            f"{dataset.name}: no object is of a class in {', '.join(only or ())};"
            f" there are {', '.join(f'{c} ({n})' for c, n in known)}"
        )
    part = thin(dataset.subset(rows), most)
    chosen = {id(s): row for s, row in zip(dataset.samples, found, strict=True)}
    named = _named(part, [next(filter(None, chosen[id(s)]), "") for s in part])
    there = [s for s in SENSES if s == "image" or _all_have(part, s)]
    senses = list(inputs) if inputs else [s for s in there if s != "text" or named <= TOO_OFTEN]
    crops = make_crops(part, size_hw, margin, modalities=[s for s in senses if s != "image"] or ("image",))
    names = [chosen[id(part.samples[s])][i] for s, i in zip(crops.sample, crops.instance, strict=True)]
    labels = np.array(names)
    kept = np.flatnonzero(labels != "")
    classes = set(labels[kept].tolist())
    if len(classes) > most_classes:
        raise InputError(
            f"{dataset.name}: {len(classes)} classes are more than {most_classes}: a number or a name that"
            " differs everywhere is no class; --only chooses some"
        )
    batch = crops.batch[kept]
    at = crops.sample[kept]
    return ClassRows(
        batch=batch,
        labels=labels[kept],
        groups=crops.groups[kept],
        names=tuple(f"{crops.names[r]}#{crops.instance[r]}" for r in kept),
        inputs=senses,
        held_out=None if judged is None else np.array([id(part.samples[s]) in judged for s in at]),
        named=named if "text" in senses else 0.0,
        data=dataset.name,
        fingerprint=part.fingerprint,
    )


def _read(data: Any, split: str | None, reading: dict[str, Any]) -> tuple[Dataset, set[int] | None]:
    """All samples, and which of them (by identity) are judged."""
    if isinstance(data, Dataset):
        if split:
            raise InputError("a data set that is read already has no parts: name its path")
        return data, None
    whole = load_dataset(data, **reading)
    if not split:
        return whole, None
    names = split_names(data)
    if split not in names:
        raise InputError(f"{data}: no split {split!r} (there: {', '.join(names) or 'none'})")
    *before, size = (len(load_dataset(data, name, **reading)) for name in names[: names.index(split) + 1])
    start = sum(before)  # the whole has its splits one after the other, and names may stand in several
    return whole, {id(s) for s in whole.samples[start : start + size]}


def _table(path: Path) -> Label:
    def label(dataset: Dataset) -> list[list[str]]:
        found = classes_of_table(dataset, path)
        return [[name] * len(s.instances) for name, s in zip(found, dataset, strict=True)]

    return label


def _named(dataset: Dataset, labels: Sequence[str]) -> float:
    """The share of pictures whose text holds their class as a word."""
    found = []
    for sample, label in zip(dataset, labels, strict=True):
        load = sample.modalities.get("text")
        words = set() if load is None else set(str(load()).lower().split())
        found.append(label.lower() in words)
    return float(np.mean(found)) if found else 0.0


def _all_have(dataset: Dataset, sense: str) -> bool:
    return all(sense in sample.modalities for sample in dataset)
