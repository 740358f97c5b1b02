"""The formats that pairs of pictures may come in: rows as of :mod:`.formats`, each with its reader.

What is heavy is imported when a row is asked: help needs the words alone.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ..structures.pairs import PairSet
from .formats import SYNTHETIC, Format
from .lookup import SHORT_SIDE


def _no_splits(_: Path) -> tuple[str, ...]:
    return ()


def _never(_: Path) -> float:
    return 0.0


def _read_synthetic_pairs(_: Path, split: None, short_side: int | None = SHORT_SIDE) -> PairSet:
    from .synthetic.photo_pairs import make_pairs

    return make_pairs(short_side)


def _read_depth_pairs(_: Path, split: None, short_side: int | None = SHORT_SIDE) -> PairSet:
    from .synthetic.depth_pairs import make_depth_pairs

    return make_depth_pairs(short_side)


def _recognises_posed(kind: str, root: Path) -> float:
    from . import posed_pairs

    found: float = getattr(posed_pairs, f"recognises_{kind}")(root)
    return found


def _read_posed(kind: str, root: Path, split: None, short_side: int | None = SHORT_SIDE) -> PairSet:
    from . import posed_pairs

    found: PairSet = getattr(posed_pairs, f"read_{kind}")(root, short_side)
    return found


def _recognises_hpatches(root: Path) -> float:
    from .hpatches import recognises

    return recognises(root)


def _read_hpatches(root: Path, split: None, short_side: int | None = SHORT_SIDE) -> PairSet:
    from .hpatches import read_hpatches

    return read_hpatches(root, short_side)


_SHRINK = {"short_side": "px to which larger pictures are shrunk"}
#: pairs of pictures with known geometry
PAIR_FORMATS: list[Format[PairSet]] = [
    Format(
        name="hpatches",
        words="a folder in the HPatches layout",
        recognises=_recognises_hpatches,
        splits=_no_splits,
        read=_read_hpatches,
        options=_SHRINK,
    ),
    Format(
        name="superglue",
        words="a pairs file in SuperGlue's text form",
        recognises=partial(_recognises_posed, "pairs_file"),
        splits=_no_splits,
        read=partial(_read_posed, "pairs_file"),
        options=_SHRINK,
    ),
    Format(
        name="colmap",
        words="a COLMAP text model",
        recognises=partial(_recognises_posed, "colmap"),
        splits=_no_splits,
        read=partial(_read_posed, "colmap"),
        options=_SHRINK,
    ),
    Format(
        name="depth",
        words='"depth"',
        recognises=_never,
        splits=_no_splits,
        read=_read_depth_pairs,
        options=_SHRINK,
        word="depth",
    ),
    Format(
        name=SYNTHETIC,
        words='"synthetic"',
        recognises=_never,
        splits=_no_splits,
        read=_read_synthetic_pairs,
        options=_SHRINK,
        word=SYNTHETIC,
    ),
]
