"""A data set from one tool's format into another's, its pictures with it.

Annotations are written by the target's row of :mod:`.formats`, last, so that a run that stops leaves no data
that look whole.  Picture files are copied as they are; frames of films and drawn pictures become PNG.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..structures import HIDDEN, Dataset, DataWarning, InputError, Sample
from .formats import FORMATS, Format
from .load import load_dataset, split_names
from .lookup import SUFFIXES, path_of

Progress = Callable[[str, int, int], None]
STEPS = 20  #: of the progress that is told


def convert_dataset(
    data: str | os.PathLike[str] | Dataset,
    out: str | os.PathLike[str],
    to: str = "coco",
    *,
    progress: Progress | None = None,
    **options: Any,
) -> list[Dataset]:
    """Write ``data`` into the folder ``out`` in the format ``to``; every split that is there.

    Parameters
    ----------
    data : what :func:`~hybridkp.datasets.load_dataset` reads, or a data set
    out : a new or empty folder; pictures go to its ``images/``
    to : the name of a row of :data:`~hybridkp.datasets.FORMATS` that writes
    progress : called as ``progress("pictures", done, total)``
    options : the reader's, as of :func:`~hybridkp.datasets.load_dataset`

    Returns
    -------
    list of what was written, a data set for each split; their points are those that were read

    Raises
    ------
    InputError
        Unreadable data, a format that does not write, or a folder that is not empty.

    Warns
    -----
    DataWarning
        What the format has no place for, with how much of it there was.
    """
    row, folder = writable(to), Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{out}: is not an empty folder; name a new one")
    if isinstance(data, Dataset):
        parts: list[tuple[str | None, Dataset]] = [(None, data)]
    else:
        splits = split_names(str(data)) or (None,)
        parts = [(split, load_dataset(str(data), split, **options)) for split in splits]
    total, done, taken = sum(len(part) for _, part in parts), 0, set[str]()
    written = []
    for _, part in parts:
        _say_what_is_lost(row, part)
        samples = []
        for sample in part:
            samples.append(_with_picture(sample, folder, taken))
            done += 1
            if progress is not None and (done == total or done % max(total // STEPS, 1) == 0):
                progress("pictures", done, total)
        written.append(replace(part, samples=tuple(samples)))
    assert row.write is not None
    for (split, _), part in zip(parts, written, strict=True):
        row.write(part, folder, split)
    return written


def writable(name: str, rows: Sequence[Format[Dataset]] | None = None) -> Format[Dataset]:
    """The row of that name; :class:`InputError` names those that write."""
    able = [row for row in rows or FORMATS if row.write is not None]
    for row in able:
        if row.name == name:
            return row
    raise InputError(f"no format {name!r} can be written (there: {', '.join(row.name for row in able)})")


def _with_picture(sample: Sample, folder: Path, taken: set[str]) -> Sample:
    """The sample under its new name, its picture in ``folder``."""
    from ..files import picture_size, write_atomic, write_image
    from .lookup import loader

    path = path_of(sample.load)
    name = _free_name(sample.name, taken, path is None)
    target = folder / name
    if path is None:
        write_image(target, sample.image)
    else:
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); is the picture there?") from None
        write_atomic(target, data)
    return replace(sample, name=name, load=loader(target), size_hw=picture_size(target))


def _free_name(name: str, taken: set[str], as_png: bool) -> str:
    """``images/...``, inside the folder, with an ending of pictures; a second one of a name gets a number."""
    parts = [re.sub(r'[<>:"|?*\x00-\x1f]', "_", p) for p in name.replace("\\", "/").split("/")]
    parts = [part for part in parts if part not in ("", ".", "..")]
    parts = parts[1:] if parts[:1] == ["images"] and len(parts) > 1 else parts or ["picture.png"]
    path = PurePosixPath("images", *parts)
    if as_png or path.suffix.lower() not in SUFFIXES:
        path = path.with_name(f"{path.stem if path.suffix.lower() in SUFFIXES else path.name}.png")
    number, free = 1, path
    while str(free.with_suffix("")).lower() in taken:  # also apart where only the ending or the case differs
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    taken.add(str(free.with_suffix("")).lower())
    return str(free)


def _say_what_is_lost(row: Format[Dataset], data: Dataset) -> None:
    """One warning for all that the format has no place for."""
    instances = [i for sample in data for i in sample.instances]
    names = {sample.name for sample in data}
    there = {
        "hidden": ("points' being hidden", sum(int((i.visibility == HIDDEN).sum()) for i in instances)),
        "groups": ("groups", len({s.group for s in data} - names)),
        "boxes": ("boxes", sum(bool(np.isfinite(i.box_xywh).all()) for i in instances)),
        "names": ("landmarks' names", len(data.landmarks)),
        "times": ("times", sum(bool(np.isfinite(s.time)) for s in data)),
        "views": ("views", sum(bool(s.view) for s in data)),
        "tags": ("tags", sum(bool(s.tags) for s in data)),
    }
    for modality in sorted({name for s in data for name in s.modalities}):
        there[f"modality {modality}"] = (modality, sum(modality in s.modalities for s in data))
    lost = [f"{words} ({n})" for key, (words, n) in there.items() if n and key not in row.keeps]
    if lost:
        told = f"{data.name}: {row.words} has no place for {', '.join(lost)}"
        warnings.warn(told, DataWarning, stacklevel=3)
