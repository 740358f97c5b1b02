"""One class for each picture or object: from its annotation, from a table, or from its own points.

Data sets come in, names of classes come out; what has none is "".  Nothing is learned here.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ..structures import Array, Dataset, InputError
from .text import read_csv

APART, TOGETHER = "apart", "together"


def tag_names(dataset: Dataset) -> list[str]:
    """Tags that pictures of the data set carry, most frequent first."""
    count: dict[str, int] = {}
    for sample in dataset:
        for name in sample.tags:
            count[name] = count.get(name, 0) + 1
    return sorted(count, key=lambda name: (-count[name], name))


def classes_by_tag(dataset: Dataset, tag: str) -> list[str]:
    """The tag of each picture, "" where it has none.

    Raises
    ------
    InputError
        No picture has it; names those there are.
    """
    out = [sample.tags.get(tag, "") for sample in dataset]
    if not any(out):
        there = ", ".join(tag_names(dataset)) or "none: give a table of classes"
        raise InputError(f"{dataset.name}: no picture is labelled with {tag!r} (there: {there})")
    return out


def classes_of_table(dataset: Dataset, path: str | Path) -> list[str]:
    """The class of each picture in a CSV table of picture and class, "" for pictures that it lacks.

    The first line is read as a heading where it names no picture.  A picture may go by its whole name or
    by the file's alone, where that is the name of one only.

    Raises
    ------
    InputError
        A table that cannot be read, a line without a class, a picture with two, or no picture of the data.
    """
    known: dict[str, str] = {}
    for row, line in enumerate(read_csv(Path(path)), 1):
        cells = [cell.strip() for cell in line]
        if not any(cells):
            continue
        if len(cells) < 2 or not cells[0] or not cells[1]:
            raise InputError(f"{path}, line {row}: needs a picture and its class, name,class")
        if known.setdefault(cells[0], cells[1]) != cells[1]:
            raise InputError(
                f"{path}, line {row}: {cells[0]} has two classes, {known[cells[0]]} and {cells[1]}"
            )
    short: dict[str, list[str]] = {}
    for sample in dataset:
        short.setdefault(PurePath(sample.name).name, []).append(sample.name)
    alone = {names[0] for names in short.values() if len(names) == 1}
    out = []
    for sample in dataset:
        found = known.get(sample.name, "")
        if not found and sample.name in alone:
            found = known.get(PurePath(sample.name).name, "")
        out.append(found)
    if not any(out):
        first = next(iter(known), "nothing")
        raise InputError(f"{path}: names no picture of {dataset.name} (it begins with {first!r})")
    return out


def apart(xy: Array, lengths: Array, pair: tuple[int, int], ratio: float) -> list[str]:
    """Whether two landmarks lie further apart than ``ratio`` normalisers: "apart", "together", "" unknown.

    ``xy`` (B, K, 2), ``lengths`` (B,) of the normaliser.

    >>> apart(np.array([[[0, 0], [0, 3]], [[0, 0], [0, 1]]]), np.array([10, 10]), (0, 1), 0.2)
    ['apart', 'together']
    """
    gap = np.linalg.norm(xy[:, pair[0]] - xy[:, pair[1]], axis=1) / lengths
    return ["" if not np.isfinite(g) else APART if g > ratio else TOGETHER for g in gap]


def landmark_number(dataset: Dataset, word: str) -> int:
    """A landmark by its name, or by its number from 0."""
    if word in dataset.landmarks:
        return dataset.landmarks.index(word)
    number = int(word) if word.isdecimal() else -1
    if not 0 <= number < len(dataset.landmarks):
        raise InputError(
            f"{dataset.name}: no landmark {word!r} (names, or 0 to {len(dataset.landmarks) - 1})"
        )
    return number


def tags_of(image: Any) -> dict[str, str]:
    """What a COCO file says of a whole picture in a word: text fields that mean nothing else."""
    return {
        str(key): value.strip()
        for key, value in image.items()
        if isinstance(value, str) and key not in NO_TAGS and 0 < len(value.strip()) <= MOST_LETTERS
    }


MOST_LETTERS = 60  #: of a tag
NO_TAGS = {
    *("file_name", "group", "license", "licence", "coco_url", "flickr_url", "date_captured", "text"),
    *("audio_file", "depth_file", "lines", "width", "height", "id", "time", "mm_per_px"),
}
