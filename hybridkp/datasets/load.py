"""One door for data: whatever :mod:`.formats` has a row for, annotated pictures and pairs of pictures.

Asks the rows what lies there and joins splits; knows no format itself.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..structures import Dataset, InputError
from ..structures.pairs import PairSet
from .adjust import OPTIONS, adjust
from .formats import read_format, recognise_format
from .lookup import SHORT_SIDE, with_one_depth
from .pair_formats import PAIR_FORMATS


def split_names(path: str | Path) -> tuple[str, ...]:
    """The splits found at ``path``, in the order train, val, test; empty when it is undivided."""
    return tuple(recognise_format(path).splits(Path(os.path.expanduser(path))))


def load_dataset(path: str | Path, split: str | None = None, **options: Any) -> Dataset:
    """Annotated pictures from wherever ``path`` points.

    * "synthetic": the embedded faces (:func:`~hybridkp.datasets.synthetic.faces.make_faces`), train and
      val with other seeds, other people and other backgrounds;
    * a file or folder of any row of :data:`~hybridkp.datasets.FORMATS`, those that
      :func:`~hybridkp.datasets.formats.register_format` was given too.

    Parameters
    ----------
    path : see above
    split : None reads everything there is, the splits one after the other
    options : for every format ``group_by``, a regular expression that finds the group in a picture's name
        (:func:`~hybridkp.datasets.adjust.group_by`), and ``box_jitter``, by what share of its sides a box is
        moved and scaled (:func:`~hybridkp.datasets.adjust.box_jitter`); and what the format's reader takes
        besides, such as ``images_dir``, COCO's ``category`` and the .pts files' ``origin``

    Raises
    ------
    InputError
        No such path, nothing readable there, no such split (names those there are), or an option that
        the format does not have.
    """
    row, root = recognise_format(path), Path(os.path.expanduser(path))
    splits = tuple(row.splits(root))
    if split is not None and split not in splits:
        there = ", ".join(splits) or "none: the data are undivided"
        raise InputError(f"{path}: no split {split!r} (there: {there})")
    wanted = splits if split is None else (split,)
    ours = {name: value for name, value in options.items() if name in OPTIONS and name not in row.options}
    its = {name: value for name, value in options.items() if name not in ours}
    parts = [replace(read_format(row, path, s, its), name=_name(root, s)) for s in wanted or (None,)]
    whole = parts[0] if len(parts) == 1 and (split or not splits) else _join(parts, _name(root, None))
    return with_one_depth(adjust(whole, ours))


def load_pairs(path: str | Path, short_side: int | None = SHORT_SIDE) -> PairSet:
    """Pairs of pictures with known geometry, from what :data:`~hybridkp.datasets.PAIR_FORMATS` has a row for.

    A folder in the HPatches layout, SuperGlue's pairs file or a COLMAP text model; or the embedded ones:
    "synthetic" (photographs under homographies) and "depth" (rooms with exact cameras).
    """
    row = recognise_format(path, PAIR_FORMATS)
    return read_format(row, path, None, {"short_side": short_side})


def _name(root: Path, split: str | None) -> str:
    stem = root.resolve().stem if root.is_file() else root.resolve().name
    return f"{stem}-{split}" if split else stem


def _join(parts: list[Dataset], name: str) -> Dataset:
    """Parts of one landmark scheme as one set."""
    first = parts[0]
    for part in parts[1:]:
        if part.landmarks != first.landmarks:
            raise InputError(
                f"{part.name} has {len(part.landmarks)} landmarks, {first.name} {len(first.landmarks)}"
                " (or other names): splits must share one scheme; read them one by one with split="
            )
    return replace(first, name=name, samples=tuple(s for part in parts for s in part.samples))
