"""The parts of data that a comparison needs: what to train on, what to judge on, how many of it.

Annotations only; no picture is read, and nothing is drawn at random.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

from ..structures import Dataset, DataWarning, InputError, Pair, PairSet
from .adjust import frame_pattern
from .load import load_dataset, split_names
from .splits import group_split

HELD_OUT = 0.2  #: share held out for val when the data have no splits


def load_parts(data: str, split: str, **options: Any) -> tuple[Dataset, Dataset]:
    """The training part and the evaluated one; undivided data are divided by group.

    ``options`` are the reader's, as of :func:`~hybridkp.datasets.load_dataset`.
    """
    splits = split_names(data)
    if not splits:
        whole = load_dataset(data, **options)
        rows, held = group_split(whole.groups, HELD_OUT)
        how = "by group" if len(set(whole.groups)) < len(whole) else f"one by one, {_for_want_of(whole)}"
        told = f"{data} has no splits: {len(held)} of {len(whole)} pictures held out {how}"
        warnings.warn(told, DataWarning, stacklevel=2)
        return whole.subset(rows, f"{whole.name}-train"), whole.subset(held, f"{whole.name}-held-out")
    if "train" not in splits:
        raise InputError(f"{data}: has no train split (there: {', '.join(splits)})")
    if split == "train":
        raise InputError("--split train: evaluating on the training pictures says nothing; use val or test")
    return load_dataset(data, "train", **options), load_dataset(data, split, **options)


def _for_want_of(whole: Dataset) -> str:
    """What to do about pictures that are each their own group."""
    pattern, groups = frame_pattern([sample.name for sample in whole])
    if not pattern:
        return "for want of groups: where pictures show one subject or film, say so with --group-by"
    return (
        f"for want of groups, and their names look like frames: --group-by '{pattern}' makes {groups} groups"
    )


def thin(dataset: Dataset, n: int | None) -> Dataset:
    """At most ``n`` samples, evenly spread over the set."""
    if n is None or n >= len(dataset):
        return dataset
    return dataset.subset([i * len(dataset) // n for i in range(n)])


def few_of_each(pairs: PairSet, n: int) -> PairSet:
    """At most ``n`` pairs of every sequence, evenly spread."""
    rows: dict[str, list[Pair]] = {}
    for pair in pairs:
        rows.setdefault(pair.sequence, []).append(pair)
    chosen = [p[i * len(p) // min(n, len(p))] for p in rows.values() for i in range(min(n, len(p)))]
    return replace(pairs, pairs=tuple(chosen))


def parse_normalizer(text: str | None, dataset: Dataset) -> tuple[Any, ...] | None:
    """``--normalizer`` as :data:`hybridkp.structures.Normalizer`; None = the data's own."""
    if text is None:
        return None
    if text in ("box", "pixel", "mm"):
        return (text,)
    names, parts = list(dataset.landmarks), [p.strip() for p in text.split(",")]
    ends = [names.index(p) if p in names else int(p) if p.isdigit() else -1 for p in parts]
    if len(ends) != 2 or ends[0] == ends[1] or not all(0 <= e < len(names) for e in ends):
        raise InputError(
            f"--normalizer {text}: give box, pixel, mm, or two of the {len(names)} landmarks as I,J"
        )
    return ("points", *ends)
