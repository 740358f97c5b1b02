"""The formats that pairs of pictures may come in: rows as of :mod:`.formats`, each with its reader.

What is heavy is imported when a row is asked: help needs the words alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..structures.pairs import PairSet
from .formats import SYNTHETIC, Format
from .lookup import SHORT_SIDE


def _no_splits(_: Path) -> tuple[str, ...]:
    return ()


def _never(_: Path) -> float:
    return 0.0


def _recognises_hpatches(root: Path) -> float:
    from .hpatches import recognises

    return recognises(root)


def _read_hpatches(root: Path, split: None, short_side: int | None = SHORT_SIDE) -> PairSet:
    from .hpatches import read_hpatches

    return read_hpatches(root, short_side)


def _recognises_pairs_file(root: Path) -> float:
    from .posed_pairs import recognises_pairs_file

    return recognises_pairs_file(root)


def _read_pairs_file(root: Path, split: None, short_side: int | None = SHORT_SIDE) -> PairSet:
    from .posed_pairs import read_pairs_file

    return read_pairs_file(root, short_side)


def _recognises_colmap(root: Path) -> float:
    from .posed_pairs import recognises_colmap

    return recognises_colmap(root)


def _read_colmap(root: Path, split: None, short_side: int | None = SHORT_SIDE) -> PairSet:
    from .posed_pairs import read_colmap

    return read_colmap(root, short_side)


def _read_depth_pairs(_: Path, split: None, short_side: int | None = SHORT_SIDE) -> PairSet:
    from .synthetic.depth_pairs import make_depth_pairs

    return make_depth_pairs(short_side)


def _read_synthetic_pairs(_: Path, split: None, short_side: int | None = SHORT_SIDE) -> PairSet:
    from .synthetic.photo_pairs import make_pairs

    return make_pairs(short_side)


def _row(
    name: str, words: str, read: Callable[..., PairSet], recognises: Callable[[Path], float] | None = None
) -> Format[PairSet]:
    """A row of a place that ``recognises`` knows; without it of the word ``name``."""
    return Format(
        name=name,
        words=words,
        recognises=recognises or _never,
        splits=_no_splits,
        read=read,
        options={"short_side": "px to which larger pictures are shrunk"},
        word="" if recognises else name,
    )


#: pairs of pictures with known geometry
PAIR_FORMATS: list[Format[PairSet]] = [
    _row("hpatches", "a folder in the HPatches layout", _read_hpatches, _recognises_hpatches),
    _row("superglue", "a pairs file in SuperGlue's text form", _read_pairs_file, _recognises_pairs_file),
    _row("colmap", "a COLMAP text model", _read_colmap, _recognises_colmap),
    _row("depth", '"depth"', _read_depth_pairs),
    _row(SYNTHETIC, '"synthetic"', _read_synthetic_pairs),
]
