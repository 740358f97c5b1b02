"""The formats that data may come in: a row each, asked by loading, checking, describing and help.

To add one, write its reader in a file of its own and give its row to :func:`register_format` (or put it
into the list here); :func:`hybridkp.checks.reader_checks` says whether it loses anything.  Nothing is read
before a row is asked to, and what is heavy (OpenCV too) is imported then: help needs the words alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from ..structures import Dataset, InputError
from ..structures.pairs import PairSet
from . import (
    coco_folder,
    cofw,
    cvat,
    imglab,
    label_studio,
    labelme,
    lsp,
    mpii,
    poses_csv,
    pts,
    sleap,
    tps,
    wflw,
    yolo,
)
from .lookup import Tally, looks_like

T = TypeVar("T", Dataset, PairSet)

SYNTHETIC = "synthetic"
SCENES = "scenes"
#: pictures of the embedded synthetic sets per split, and the seed of each
SYNTHETIC_SPLITS = {"train": (400, 0), "val": (160, 1_000_003)}


@dataclass(frozen=True)
class Format(Generic[T]):
    """How one format is recognised, read and told; ``T`` is :class:`Dataset`, or ``PairSet`` for pairs.

    Parameters
    ----------
    name : short and unique, such as "coco"
    words : one line for help and errors, such as "a COCO JSON file"
    recognises : path -> how sure the row is that the path is its own, 0 (no) to 1 (nobody need be asked
        after it); looks at names, or at a file's first bytes, and raises nothing
    splits : path -> names of the splits there, in the order train, val, test; empty when undivided
    read : path, split (None only where there are no splits), options -> the data.  Raises
        :class:`InputError`, one line that names the file and the cure; warns with
        :class:`~hybridkp.datasets.Repaired` about what it mended.  Pictures are opened late.
    options : what ``read`` takes besides -> one line about it
    word : the row is this word and no path, such as "synthetic"
    tally : path, split, options -> :class:`~hybridkp.datasets.Tally`, counted without the reader
    write : dataset, folder, split -> None; what ``read`` then finds in that folder
    keeps : what ``write`` has a place for, of :data:`KEEPS`
    tool : whose format it is, for the table of formats; "" leaves the row out of it
    centre : what the files call the centre of the top-left pixel, and who says so
    """

    name: str
    words: str
    recognises: Callable[[Path], float]
    splits: Callable[[Path], Collection[str]]
    read: Callable[..., T]
    options: Mapping[str, str] = field(default_factory=dict)
    word: str = ""
    tally: Callable[..., Tally] | None = None
    write: Callable[[T, Path, str | None], None] | None = None
    keeps: Collection[str] = ()
    tool: str = ""
    centre: str = ""


#: several objects a picture, hidden points, points not labelled, groups, the pictures' sizes, boxes, the
#: landmarks' names, parts of a pixel, what pictures have besides (depth, sound, text, times, views, tags)
KEEPS = ("objects", "hidden", "missing", "groups", "sizes", "boxes", "names", "fractions", "senses")


def _read_synthetic(_: Path, split: str | None) -> Dataset:
    from .synthetic.faces import make_faces

    n, seed = SYNTHETIC_SPLITS[str(split)]
    return make_faces(n, random_state=seed, background=f"real-{split}", name=f"{SYNTHETIC}-{split}")


def _read_scenes(_: Path, split: str | None) -> Dataset:
    from .synthetic.scenes import make_scenes

    n, seed = SYNTHETIC_SPLITS[str(split)]
    return make_scenes(n, random_state=seed, background=f"real-{split}", name=f"{SCENES}-{split}")


def _tally_scenes(_: Path, split: str) -> Tally:
    return Tally(len(found := _read_scenes(_, split)), sum(len(s.instances) for s in found))


def _no_splits(_: Path) -> tuple[str, ...]:
    return ()


def _never(_: Path) -> float:
    return 0.0


_ORIGIN = {
    "origin": "what the files call the centre of the top-left pixel, where it is not the format's usual"
}
_CATEGORY = {"category": "name or id of the category to read, where several have keypoints"}
_IMAGES = {"images_dir": "folder of the pictures, where it is not beside the file"}


def _of(reader: ModuleType) -> dict[str, Any]:
    """What a reader's file has of a row's functions, by their names."""
    return {name: getattr(reader, name) for name in _QUESTIONS if hasattr(reader, name)}


#: functions of a reader's file; the first three it has to have
_QUESTIONS = ("recognises", "splits", "read", "tally", "write")

#: annotated pictures; asked in this order
FORMATS: list[Format[Dataset]] = [
    Format(
        name="coco",
        words="a folder with train.json and val.json, a COCO JSON file",
        **_of(coco_folder),
        options=_CATEGORY | _IMAGES,
        keeps=KEEPS,
        tool="COCO, Roboflow, FiftyOne",
        centre="0 (COCO: coordinates are 0-indexed)",
    ),
    Format(
        name="300w",
        words="a folder of .pts files",
        **_of(pts),
        options={"origin": "what the files call the centre of the top-left pixel: 1 (300-W) or 0"} | _IMAGES,
        tool="300-W, 300-VW, iBUG, menpo",
        centre="1 (made in MATLAB; origin=0 for others)",
    ),
    Format(
        name="labelme",
        words="labelme JSON",
        **_of(labelme),
        options=_ORIGIN | _IMAGES | _CATEGORY,
        keeps=("objects", "missing", "sizes", "boxes", "names", "fractions"),
        tool="labelme",
        centre="½ (its canvas draws pixel i from i to i + 1)",
    ),
    Format(
        name="label-studio",
        words="Label Studio JSON",
        **_of(label_studio),
        options=_ORIGIN | _IMAGES | _CATEGORY,
        keeps=("objects", "missing", "sizes", "boxes", "names", "fractions"),
        tool="Label Studio",
        centre="½ (per cent of the size, 0 at the outer edge)",
    ),
    Format(
        name="cvat",
        words="CVAT XML",
        **_of(cvat),
        options=_ORIGIN | _IMAGES | _CATEGORY,
        keeps=("objects", "hidden", "missing", "sizes", "boxes", "names", "fractions"),
        tool="CVAT",
        centre="½ (its canvas draws pixel i from i to i + 1)",
    ),
    Format(
        name="yolo-pose",
        words="YOLO-pose with its data.yaml",
        **_of(yolo),
        options=_CATEGORY,
        keeps=("objects", "hidden", "missing", "sizes", "boxes", "names", "fractions"),
        tool="Ultralytics, Roboflow",
        centre="0 (its converter divides COCO's numbers)",
    ),
    Format(
        name="dlc",
        words="a DeepLabCut or lightning-pose project",
        **_of(poses_csv),
        options=_ORIGIN | _IMAGES,
        keeps=("objects", "missing", "names", "fractions"),
        tool="DeepLabCut, lightning-pose",
        centre="0 (napari and matplotlib centre pixel i at i)",
    ),
    Format(
        name="sleap",
        words="SLEAP .slp",
        **_of(sleap),
        options=_ORIGIN | _IMAGES,
        keeps=("objects", "missing", "names", "fractions"),
        tool="SLEAP",
        centre="0 since format 1.1, before it ½ (SLEAP's source)",
    ),
    Format(
        name="imglab",
        words="dlib imglab XML",
        **_of(imglab),
        options=_ORIGIN | _IMAGES,
        keeps=("objects", "missing", "sizes", "boxes", "names"),
        tool="dlib imglab",
        centre="0 (dlib's points are pixel indices)",
    ),
    Format(
        name="tps",
        words="TPS",
        **_of(tps),
        options=_IMAGES,
        keeps=("missing", "sizes", "fractions"),
        tool="tpsDig, geomorph",
        centre="x 0; y = height - row (ml-morph's conversion)",
    ),
    Format(
        name="mpii",
        words="MPII's MATLAB file or JSON",
        **_of(mpii),
        options=_ORIGIN | _IMAGES,
        tool="MPII Human Pose",
        centre="1 (MATLAB's; HRNet's reader takes 1 off)",
    ),
    Format(
        name="lsp",
        words="joints.mat of Leeds Sports Pose",
        **_of(lsp),
        splits=_no_splits,
        options=_ORIGIN | _IMAGES,
        tool="Leeds Sports Pose, extended",
        centre="1 (MATLAB's)",
    ),
    Format(
        name="wflw",
        words="a list of WFLW",
        **_of(wflw),
        options=_ORIGIN | _IMAGES,
        tool="WFLW",
        centre="0 (MMPose's converter takes the numbers)",
    ),
    Format(
        name="cofw",
        words="COFW's MATLAB file",
        **_of(cofw),
        options=_ORIGIN,
        tool="COFW",
        centre="1 (MATLAB's)",
    ),
    Format(
        name=SYNTHETIC,
        words='"synthetic"',
        recognises=_never,
        splits=lambda _: tuple(SYNTHETIC_SPLITS),
        read=_read_synthetic,
        word=SYNTHETIC,
        tally=lambda _, split: Tally(SYNTHETIC_SPLITS[split][0], SYNTHETIC_SPLITS[split][0]),
    ),
    Format(
        name=SCENES,
        words='"scenes"',
        recognises=_never,
        splits=lambda _: tuple(SYNTHETIC_SPLITS),
        read=_read_scenes,
        word=SCENES,
        tally=_tally_scenes,
    ),
]


def register_format(row: Format[Dataset]) -> None:
    """Put a row in front of the others: it is asked first.  A second row of one name is an error."""
    if row.name in {r.name for r in FORMATS}:
        raise InputError(f"there is a format {row.name!r} already; take another name, or it out of FORMATS")
    FORMATS.insert(0, row)


def formats_help(rows: Collection[Format[Any]] = FORMATS) -> str:
    """What can be read, for help and errors: the words of the rows.

    >>> formats_help()  # doctest: +ELLIPSIS
    'a folder with train.json and val.json, a COCO JSON file, a folder of .pts files, ... or "scenes"'
    """
    *words, last = (row.words for row in sorted(rows, key=lambda row: bool(row.word)))
    return f"{', '.join(words)} or {last}" if words else last


def recognise_format(path: str | Path, rows: Collection[Format[T]] = FORMATS) -> Format[T]:  # type: ignore[assignment]
    """The row whose data lie at ``path``: the first that is sure, else the surest.

    Raises
    ------
    InputError
        No such path, or nobody knows what lies there: says what would have been known.
    """
    word = next((row for row in rows if row.word == str(path)), None)
    if word is not None:
        return word
    root = Path(os.path.expanduser(path))
    there = os.path.exists(root)  # unlike Path's own, also of a name that no file can have
    if there and not (root.is_file() or root.is_dir()):
        raise InputError(f"{path}: neither a regular file nor a folder; name one of them")
    best, most = None, 0.0
    for row in rows if there else ():
        try:
            sure = row.recognises(root)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); check its rights") from None
        if sure > most:
            best, most = row, sure
        if most >= 1:
            break
    places = [row for row in rows if not row.word]
    if best is None and len(places) == 1:
        return places[0]  # nobody else could read it: its own words say best what is wrong
    if best is None:
        what = f"nothing known in it ({looks_like(root)})" if there else "no such file or folder"
        raise InputError(f"{path!s:.300}: {what}; expected {formats_help(rows)}")
    return best


def read_format(row: Format[T], path: str | Path, split: str | None, options: Mapping[str, Any]) -> T:
    """``row.read``, its options checked.  Raises :class:`InputError` for an option that it does not take."""
    for name in options:
        if name not in row.options:
            there = ", ".join(row.options) or "none"
            raise InputError(f"{path}: {row.words}: takes no option {name!r} (takes: {there})")
    return row.read(Path(os.path.expanduser(path)), split, **options)
