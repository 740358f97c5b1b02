"""A data set from one tool's format into another's, its pictures with it.

Annotations are written by the target's row of :mod:`.formats`, last, so that a run that stops leaves no data
that look whole.  Picture files are copied as they are; frames of films and drawn pictures become PNG.  COCO
files keep depth, sound, text, times, views and tags as well.  Depth is read from them as it was read before.
"""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..structures import HIDDEN, Dataset, DataWarning, InputError, Instance, Sample
from .cleaning import Parts, Progress, cleaned, tell
from .coco_senses import depth_cameras
from .formats import FORMATS, Format
from .linter.pixels import check_size
from .load import load_dataset, split_names
from .lookup import CAMERAS, SUFFIXES, cameras_of, load_depth, loader, path_of

CURE = "--clean leaves out what cannot be used, in Python clean=True"
MAX_MM = 65535  #: of depth in a 16-bit PNG


def convert_dataset(
    data: str | os.PathLike[str] | Dataset,
    out: str | os.PathLike[str],
    to: str = "coco",
    *,
    clean: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> list[Dataset]:
    """Write ``data`` into the folder ``out`` in the format ``to``; every split that is there.

    Parameters
    ----------
    data : what :func:`~hybridkp.datasets.load_dataset` reads, or a data set
    out : a new or empty folder; pictures go to its ``images/``, files of depth and sound to folders beside it
    to : the name of a row of :data:`~hybridkp.datasets.FORMATS` that writes
    clean : leave out what no run can use, by the rules of :func:`~hybridkp.datasets.cleaning.cleaned`
    progress : called as ``progress("pictures", done, total)``; before that, with ``clean``, "looked at"
    options : the reader's, as of :func:`~hybridkp.datasets.load_dataset`

    Returns
    -------
    list of what was written, a data set for each split; their points are those that were read

    Raises
    ------
    InputError
        Unreadable data, pictures of another size than annotated, a format that does not write, a folder
        that is not empty, and a link that leads out of the data's folder: what lies behind is not the data's
        to give away.

    Warns
    -----
    DataWarning
        What the format has no place for, and what was left out, with how much of it there was.
    """
    row, folder = writable(to), Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{out}: is not an empty folder; name a new one")
    if isinstance(data, Dataset):
        parts: Parts = [(None, data)]
    else:
        splits = split_names(str(data)) or (None,)
        parts = [(split, load_dataset(str(data), split, **options)) for split in splits]
    roots = () if isinstance(data, Dataset) else _roots(data, options.get("images_dir"))
    for path in _files(parts) if roots else ():
        _check_link(path, roots)
    if clean:
        parts, told = cleaned(parts, progress)
        if told:
            name = data.name if isinstance(data, Dataset) else data
            warnings.warn(f"{name}: {told}", DataWarning, stacklevel=2)
    total, done, taken = sum(len(part) for _, part in parts), 0, set[str]()
    written, copied, senses = [], dict[str, Path](), "senses" in row.keeps
    beside, cameras = _kept_cameras(data, parts) if senses else (None, ())
    for _, part in parts:
        _say_what_is_lost(row, part)
        samples = []
        for sample in part:
            sample = _with_picture(sample, folder, taken)
            samples.append(_with_senses(sample, folder, copied, cameras) if senses else sample)
            done += 1
            tell(progress, "pictures", done, total)
        written.append(replace(part, samples=tuple(samples)))
    if beside is not None:
        _copy(beside, folder / CAMERAS)
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
    from ..files import picture_size, write_image

    path = path_of(sample.load)
    name = _free_name(sample.name, taken, path is None)
    target = folder / name
    if path is None:
        write_image(target, sample.image)
    else:
        _copy(Path(path), target)
    size_hw = picture_size(target)
    check_size(sample.name, sample.size_hw, size_hw, CURE)  # the new file would say that all is well
    return replace(sample, name=name, load=loader(target), size_hw=size_hw)


def _copy(path: Path, target: Path) -> None:
    from ..files import write_atomic

    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is no regular file (a folder, a device or a pipe)")
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path!s:.200}: cannot be read ({why}); is it there? {CURE}") from None
    write_atomic(target, data)


def _roots(data: str | os.PathLike[str], images_dir: Any) -> tuple[str, ...]:
    """The folders that a user has named, without links; () for a word such as "synthetic"."""
    root = os.path.expanduser(data)
    if not os.path.exists(root):
        return ()
    named = [root if os.path.isdir(root) else os.path.dirname(os.path.abspath(root))]
    named += [] if images_dir is None else [os.path.expanduser(images_dir)]
    return tuple(os.path.realpath(folder) for folder in named)


def _files(parts: Parts) -> dict[str, None]:
    """All files that would be copied, each once."""
    loads = (load for _, part in parts for s in part for load in (s.load, *s.modalities.values()))
    return dict.fromkeys(path for load in loads if (path := path_of(load)) is not None)


def _check_link(path: str, roots: Sequence[str]) -> None:
    """:class:`InputError` where a link on the way leads out of the folders ``roots``."""
    try:
        absolute, real = os.path.abspath(path), os.path.realpath(path)
    except ValueError:  # a zero byte in the name: there is no such file
        return
    if real != absolute and not any(real.startswith(os.path.join(root, "")) for root in roots):
        raise InputError(
            f"{path!s:.200}: is a link to {real:.200}, outside the data's folder, and is not copied; to allow"
            f" it, say --images {os.path.dirname(real):.200} (in Python images_dir), or put the file there"
        )


def _with_senses(sample: Sample, folder: Path, copied: dict[str, Path], cameras: tuple[float, ...]) -> Sample:
    """The sample with its depth and sound in ``folder``: files as they are, other depth as 16-bit PNG, mm.

    ``copied``: file -> where it is now, since many pictures may have one film's sound.  ``cameras``: by which
    depth files in ``folder`` will be registered; one that was read by others is written as it was read.
    """
    from ..files import write_image

    modalities: dict[str, Any] = dict(sample.modalities)
    for name in [name for name in ("depth", "sound") if name in modalities]:
        load = modalities[name]
        path, stem = path_of(load), PurePosixPath(sample.name).relative_to("images").with_suffix("")
        if path is not None and (name == "sound" or cameras_of(load) == cameras):
            if path not in copied:
                copied[path] = folder / name / f"{stem}{Path(path).suffix}"
                _copy(Path(path), copied[path])
            modalities[name] = partial(load.func, str(copied[path]), *load.args[1:])
            continue
        try:
            found = np.asarray(load())  # which says why where a file was refused
        except InputError as error:
            raise InputError(f"{error}; {CURE}") from None
        if name == "sound":
            raise InputError(f"{sample.name}: its sound is in no file, and a COCO file names files: save it")
        if found.size and not 0 <= found.min() <= found.max() <= MAX_MM:
            raise InputError(
                f"{sample.name}: its depth is not within 0 and {MAX_MM} mm, as a 16-bit PNG holds"
            )
        target = folder / "depth" / f"{stem}.png"
        write_image(target, np.rint(found).astype(np.uint16))
        modalities[name] = partial(load_depth, str(target))
    return replace(sample, modalities=modalities)


def _kept_cameras(
    data: str | os.PathLike[str] | Dataset, parts: Parts
) -> tuple[Path | None, tuple[float, ...]]:
    """``cameras.json`` beside the data, and what it says of depth; none where depth was not read by it."""
    if isinstance(data, Dataset):
        return None, ()
    root = Path(os.path.expanduser(data))
    file = root / CAMERAS if root.is_dir() else root.parent / CAMERAS
    if not root.exists() or not file.is_file():  # a word such as "synthetic" lies nowhere
        return None, ()
    depths = (s.modalities["depth"] for _, part in parts for s in part if "depth" in s.modalities)
    used = {cameras_of(load) for load in depths}
    said = depth_cameras(file) if used else ()
    return (file, said) if used <= {said} else (None, ())


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


def _has_area(instance: Instance) -> bool:
    """Whether its area, which OKS goes by, is said and is not its box's."""
    box = instance.box_xywh[2] * instance.box_xywh[3]
    return bool(np.isfinite([instance.area, box]).all() and not np.isclose(instance.area, box, rtol=1e-3))


def _say_what_is_lost(row: Format[Dataset], data: Dataset) -> None:
    """One warning for all that the format has no place for."""
    instances = [i for sample in data for i in sample.instances]
    names = {sample.name for sample in data}
    there = {
        "hidden": ("points' being hidden", sum(int((i.visibility == HIDDEN).sum()) for i in instances)),
        "groups": ("groups", len({s.group for s in data} - names)),
        "boxes": ("boxes", sum(bool(np.isfinite(i.box_xywh).all()) for i in instances)),
        "names": ("landmarks' names", len(data.landmarks)),
    }
    lost = [f"{words} ({n})" for key, (words, n) in there.items() if n and key not in row.keeps]
    if "senses" not in row.keeps:
        senses = {"times": sum(bool(np.isfinite(s.time)) for s in data)}
        senses |= {"views": sum(bool(s.view) for s in data), "tags": sum(bool(s.tags) for s in data)}
        senses |= {
            "mm per px": sum(s.mm_per_px > 0 for s in data),
            "tracks": sum(i.track >= 0 for i in instances),
        }
        senses["areas other than the box's"] = sum(_has_area(i) for i in instances)
        senses["points of a second annotator"] = sum(i.second_xy is not None for i in instances)
        senses |= Counter(name for s in data for name in sorted(s.modalities))
        lost += [f"{name} ({n})" for name, n in senses.items() if n]
    if lost:
        told = f"{data.name}: {row.words} has no place for {', '.join(lost)}"
        warnings.warn(told, DataWarning, stacklevel=3)
