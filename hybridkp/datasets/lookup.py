"""What lies where: the split that a name means, the picture that an annotation means.

File names come from other machines: a name is looked for as it stands, then as Windows, a server or a
URL would have written it, and never outside the folders that may be looked into.  Pictures are opened
late, through ``files.read_image``, and never kept; nothing is decoded here.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice, takewhile
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from ..structures import Array, Dataset, InputError

#: endings of pictures, most usual first
SUFFIXES = (".jpg", ".png", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".gif")

_SPLIT = re.compile(r"(?:^|[_\-.])(train|val|valid|validation|test)(?:set)?(?:\d{4})?$", re.IGNORECASE)
_ORDER = ("train", "val", "test")
SHORT_SIDE = 480  #: px, to which evaluations on HPatches usually shrink

#: how names had to be read, in words, and the function that does it
Way = tuple[str, Callable[[str], str]]

LOOKED_AT = 2000  #: files of a folder that nobody knows
#: ending -> what a file of it may be, when no reader knows it
_HINTS = {
    ".csv": "a table of frame numbers holds predictions: evaluate --predictions takes it",
    ".mat": "MATLAB files: those of MPII, LSP and COFW are read, others convert to COCO JSON",
    ".json": "a JSON of another tool: export as COCO",
    ".txt": "YOLO's texts need their data.yaml with kpt_shape",
    ".mp4": "films: label frames of them first",
}

SEARCHED = 200_000  #: files beneath the folders of pictures, when one is looked for by its name
TRIED = 20  #: names, evenly spread, by which a folder and a way of reading names are judged


class Tally(NamedTuple):
    """What a part of a data set holds, counted without its reader; None = not counted."""

    pictures: int
    objects: int | None = None
    points: int | None = None  #: labelled ones


# --------------------------------------------------------------------------------------------
# splits
# --------------------------------------------------------------------------------------------


def split_of(stem: str) -> str | None:
    """The split that a file's or folder's name says.

    >>> split_of("person_keypoints_train2017"), split_of("valid"), split_of("holiday")
    ('train', 'val', None)
    """
    found = _SPLIT.search(stem)
    if not found:
        return None
    word = found.group(1).lower()
    return "val" if word.startswith("val") else word


def in_order(splits: Mapping[str, Path]) -> dict[str, Path]:
    """The same, in the order train, val, test."""
    return dict(sorted(splits.items(), key=lambda item: _ORDER.index(item[0])))


def candidates(root: Path, ending: str, pattern: str = "") -> list[Path]:
    """A folder's files of an ending such as ".xml", sorted; a file alone, where it has the ending."""
    files = sorted(root.glob(pattern or f"*{ending}")) if root.is_dir() else [root]
    return [file for file in files if file.suffix.lower() == ending]


def by_split(files: Iterable[Path], drop: str = "") -> dict[str, Path]:
    """The files whose names say a split, by :func:`split_of`; an ending ``drop`` of stems is left out."""
    told = {file: split_of(file.stem.removesuffix(drop)) for file in files}
    return in_order({split: file for file, split in told.items() if split is not None})


def only(files: Sequence[Path], root: Path, what: str) -> Path:
    """The one file; :class:`InputError` with the first names where there are more, or none."""
    if len(files) != 1:
        names = ", ".join(file.name for file in files[:4]) or "none"
        raise InputError(f"{root}: needs one {what}, has {len(files)} ({names}); give one of them")
    return files[0]


def looks_like(root: Path) -> str:
    """What lies at a path that nobody can read: the kinds of files, and what the usual ones would be."""
    files = [root] if root.is_file() else [p for p in islice(root.rglob("*"), LOOKED_AT) if p.is_file()]
    kinds = Counter(file.suffix.lower() or "no ending" for file in files)
    if not kinds:
        return "an empty folder"
    told = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(4))
    hints = [hint for kind, hint in _HINTS.items() if kind in kinds]
    return "; ".join([told, *hints[:1]])


# --------------------------------------------------------------------------------------------
# pictures
# --------------------------------------------------------------------------------------------


def load_picture(path: str, bits: int | None = None) -> Array:
    """(H, W) or (H, W, 3) uint8 BGR of a file; a function of the module, so that it pickles."""
    from ..files import read_image

    return read_image(path, bits)


def refuse(message: str) -> Array:
    """The ``Sample.load`` of a picture that may not be opened; a function of the module likewise."""
    raise InputError(message)


def refusal_of(load: Callable[[], Array]) -> str:
    """Why a ``Sample.load`` of :func:`find_pictures` will refuse; "" where it will not."""
    return str(load.args[0]) if isinstance(load, partial) and load.func is refuse else ""


def loader(path: Path, bits: int | None = None) -> Callable[[], Array]:
    """The ``Sample.load`` of a file."""
    return partial(load_picture, str(path), *() if bits is None else (bits,))


def load_depth(path: str, cameras: tuple[float, ...] = (), size_hw: tuple[int, int] | None = None) -> Array:
    """(H, W) of a depth file, mm, 0 = none; with ``cameras`` as the colour camera would see it.

    ``cameras`` are f, cx, cy of the depth camera, those of the colour camera, and the translation in m.
    """
    from ..files import read_depth
    from ..imaging.registration import Pinhole, register_depth

    depth = read_depth(path)
    if not cameras:
        return depth
    own, other, size_hw = Pinhole(*cameras[:3]), Pinhole(*cameras[3:6]), size_hw or depth.shape
    own.check_size(depth.shape, path)
    other.check_size(size_hw, f"the picture of {path}")
    return register_depth(depth, own, other, cameras[6:], size_hw)


def load_sound(path: str, time: float) -> Array:
    """(n,) float32 of a sound file around a time in s."""
    from ..files import read_sound_at

    return read_sound_at(path, time)


def given(value: Any) -> Any:
    """What the annotations themselves hold, such as text."""
    return value


CAMERAS = "cameras.json"  #: lies beside annotations, and is none
#: what reads a file, whose path is its first argument
_READERS = (load_picture, load_depth, load_sound)


def path_of(load: Callable[[], Any]) -> str | None:
    """The file behind a ``Sample.load``, or a modality's, of this module; else None."""
    return load.args[0] if isinstance(load, partial) and load.func in _READERS else None


def cameras_of(load: Callable[[], Any]) -> tuple[float, ...]:
    """The cameras by which a depth file is registered to colour, as :func:`load_depth` takes them."""
    known = isinstance(load, partial) and load.func is load_depth and len(load.args) > 1
    return load.args[1] if known else ()  # type: ignore[attr-defined]


def file_stamp(load: Callable[[], Any]) -> str:
    """Size and time of change of the file behind, and how it is read; "" where there is none."""
    path = path_of(load)
    if path is None:
        return ""
    try:
        facts = os.stat(path)
    except OSError:
        return "-"
    how = "".join(f" {each!r}" for each in load.args[1:])  # type: ignore[attr-defined]
    return f"{facts.st_size} {facts.st_mtime_ns}{how if load.func is not load_picture else ''}"  # type: ignore[attr-defined]


def pictures_stamp(dataset: Dataset) -> str:
    """16 hex digits of the files' sizes and times of change, and of text; other functions have none.

    A data set's fingerprint leaves pixels out; this notices that files were exchanged, without reading them.
    """
    digest = hashlib.sha256()
    for sample in dataset:
        for load in (sample.load, *sample.modalities.values()):
            stamp = file_stamp(load)
            if stamp:
                digest.update(stamp.encode() + b" " * (stamp != "-"))
            elif isinstance(load, partial) and load.func is given:
                digest.update(repr(load.args).encode())
    return digest.hexdigest()[:16]


def with_one_depth(dataset: Dataset) -> Dataset:
    """The same set, its 16-bit files read with the bits that the set needs, not each with its own."""
    from ..files import needed_bits

    paths = [path_of(sample.load) for sample in dataset]
    bits = needed_bits([path for path in paths if path is not None], dataset.name)
    if bits is None:
        return dataset
    samples = tuple(
        s if path is None else replace(s, load=partial(load_picture, path, bits))
        for s, path in zip(dataset, paths, strict=True)
    )
    return replace(dataset, samples=samples)


def find_pictures(
    names: Sequence[str],
    candidates: Sequence[Path],
    where: str,
    sizes_hw: Sequence[tuple[int, int] | None] = (),
    what: str = "pictures",
    load: Callable[[str], Array] = load_picture,
    never: Sequence[str] = (),
) -> tuple[list[Callable[[], Array]], str]:
    """The ``Sample.load`` of each name, and how the names had to be read ("" = as they stand).

    One folder and one way of reading for all names: the pair that finds most of :data:`TRIED` of them
    wins, the most literal first.  Ways: as they stand; ``\\`` for ``/``; ``%20`` for a blank; without
    leading parts of the folder that *all* names share; without any folder, where all names stay different.
    Two different names never become one.
    A name that leaves the candidates is refused when its picture is asked for.  A picture whose size is known
    (``sizes_hw``) and that is not there is looked for beneath the candidates: it is the only file of that
    name and size, or none.  Files of the names ``never`` are something else, such as depth.

    Raises
    ------
    InputError
        When no candidate holds any: names the folders tried.
    """
    folders, ways = list(dict.fromkeys(candidates)), _ways(names)
    roots = [os.path.abspath(folder) for folder in folders]
    few = [names[i * len(names) // TRIED] for i in range(TRIED)]
    best = _best(list(dict.fromkeys(few)), folders, ways, roots) or _best(names, folders, ways, roots)
    folder, (told, read) = best or (folders[0], ways[0])
    paths = [folder / read(name) for name in names]
    missing = {i: paths[i] for i, size in enumerate(sizes_hw) if size is not None and not _is_file(paths[i])}
    others = {os.path.abspath(folder / _slashes(name)) for folder in folders for name in never if missing}
    found = _beneath(folders, missing, sizes_hw, others) if missing else {}
    if best is None and not found and not any(map(_is_file, paths)):
        tried = ", ".join(str(c) for c in folders)
        raise InputError(
            f"{where}: none of its {len(names)} {what} (first: {names[0][:200]}) is in {tried};"
            " put them there or say where: --images, in Python images_dir"
        )
    if found:
        told = ", ".join(filter(None, [told, f"{len(found)} by name and size, as only one file has both"]))
    loads = (_load(found.get(i, p), roots, where, load) for i, p in enumerate(paths))
    return list(loads), told


def _beneath(
    folders: Sequence[Path],
    missing: Mapping[int, Path],
    sizes_hw: Sequence[tuple[int, int] | None],
    others: set[str],
) -> dict[int, Path]:
    """Number of a missing picture -> the only file beneath the folders that has its name and size.

    ``others``: paths of files that are no pictures.
    """
    from ..files import picture_size

    wanted = Counter(path.name for path in missing.values())
    there: dict[str, set[str]] = defaultdict(set)
    walk = (entry for folder in folders for entry in os.walk(folder))
    files = ((folder, name) for folder, _, names in walk for name in names)
    for folder, name in islice(files, SEARCHED):
        if name in wanted:
            there[name].add(os.path.abspath(os.path.join(folder, name)))
    found = {}
    for i, path in missing.items():
        fits = []
        for candidate in sorted(there[path.name] - others) if wanted[path.name] == 1 else ():
            with suppress(InputError):
                fits += [Path(candidate)] * (picture_size(candidate) == sizes_hw[i])
        if len(fits) == 1:
            found[i] = fits[0]
    return found


def _best(names: Sequence[str], folders: Sequence[Path], ways: Sequence[Way], roots: Sequence[str]) -> Any:
    """(folder, way) that finds most names, the first of equals; None when all find none."""
    best, most = None, 0
    for way in ways:
        for folder in folders:
            paths = [folder / way[1](name) for name in names]
            count = sum(_is_file(path) and _inside(path, roots) for path in paths)
            if count > most:
                best, most = (folder, way), count
            if most == len(names):
                return best
    return best


def _load(path: Path, roots: Sequence[str], where: str, load: Callable[[str], Array]) -> Callable[[], Array]:
    if _inside(path, roots):
        return partial(load, str(path))
    cure = f"to allow it, read with images_dir={str(path.parent)[:200]!r}"
    return partial(refuse, f"{where}: {str(path)[:200]} lies outside the data's folders; {cure}")


def _inside(path: Path, roots: Sequence[str]) -> bool:
    absolute = os.path.abspath(path)  # ".." taken away by the text alone: links may lead anywhere
    return any(absolute.startswith(os.path.join(root, "")) for root in roots)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long
        return False


def _ways(names: Sequence[str]) -> list[Way]:
    """(told, function of a name), the most literal first."""
    out: list[Way] = [("", str)]
    for told, text in (("with / for \\", _slashes), ("with signs for %20 and its like", _unquoted)):
        if any(text(name) != out[-1][1](name) for name in names):
            out.append((told, text))
    last = out[-1][1]  # the most forgiving
    parents = [PurePosixPath(last(name)).parts[:-1] for name in names]
    equal = (a == b for a, b in zip(min(parents), max(parents), strict=False))
    shared = min(parents)[: sum(takewhile(bool, equal))]
    cut = [
        (f"without {PurePosixPath(*shared[:n])}", partial(_without, last, n))
        for n in range(1, len(shared) + 1)
    ]
    last_parts = {PurePosixPath(last(name)).name for name in names}
    alone = (
        [("without their folders", partial(_last_part, last))] if len(last_parts) == len(set(names)) else []
    )
    return out + cut + (alone if any(parents) else [])


def plain_name(name: str) -> str:
    """A picture's name as Windows, a URL or a server wrote it, with / between its parts.

    >>> plain_name("C:\\\\data\\\\my%20face.png")
    'C:/data/my face.png'
    """
    return _unquoted(name)


def _slashes(name: str) -> str:
    return name.replace("\\", "/")


def _unquoted(name: str) -> str:
    return _slashes(unquote(name))


def _without(text: Callable[[str], str], n: int, name: str) -> str:
    return str(PurePosixPath(*PurePosixPath(text(name)).parts[n:]))


def _last_part(text: Callable[[str], str], name: str) -> str:
    return PurePosixPath(text(name)).name
