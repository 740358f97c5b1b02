"""What COCO files say beside pictures: depth, sound, text, OCR lines, views; read and written.

Fields of a picture's record become the modalities, time, view and instant of its
:class:`~hybridkp.structures.Sample`.  Depth is registered to colour where ``cameras.json`` says how.  Files
are looked up as pictures are, never outside the data's folders, and read when they are asked for.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..imaging.registration import checked_cameras
from ..structures import InputError, Sample
from .coco_objects import size_hw_of
from .lookup import CAMERAS, find_pictures, given, load_depth, load_sound, path_of, refuse
from .tags import NO_TAGS
from .text import read_text

Record = dict[str, Any]

#: modality -> the fields of a picture's record that say where it is
FIELDS = {"depth": "depth_file", "sound": "audio_file, time", "text": "text", "words": "lines"}
LONGEST = 1e12  #: seconds; no film is as long


def senses_of(images: Sequence[Record], path: Path, folders: Sequence[Path]) -> list[Record]:
    """Of each picture's record: ``modalities``, ``time``, ``view``, ``instant`` of its sample."""
    times = [_time(image, path) for image in images]
    out: list[Record] = [
        {
            "modalities": _texts(image, path),
            "time": time,
            "view": str(image.get("view") or ""),
            "instant": "" if image.get("instant") is None else str(image["instant"]),
        }
        for image, time in zip(images, times, strict=True)
    ]
    depths = _files(images, "depth_file", load_depth, path, folders)
    cameras = depth_cameras(path.parent / CAMERAS) if depths else ()
    for row, load in depths:
        registered = cameras and load.func is load_depth
        size_hw = size_hw_of(images[row])
        out[row]["modalities"]["depth"] = partial(load, cameras, size_hw) if registered else load
    for row, load in _files(images, "audio_file", load_sound, path, folders):
        if load.func is load_sound and not math.isfinite(times[row]):
            told = f"{path}: {_name(images[row])} has an audio_file and no time: add its time in s"
            load = partial(refuse, told)
        out[row]["modalities"]["sound"] = partial(load, times[row]) if load.func is load_sound else load
    return out


def senses_written(sample: Sample, folder: Path) -> Record:
    """The fields of a picture's record from which :func:`senses_of` reads them again.

    A file of depth or sound is named where it lies beneath ``folder``; one that lies elsewhere is left out.
    A tag never stands for what the record says otherwise, such as an id.
    """
    out: Record = {name: tag for name, tag in sample.tags.items() if name not in NO_TAGS}
    out |= {name: value for name in ("view", "instant") if (value := getattr(sample, name))}
    if math.isfinite(sample.time):
        out["time"] = sample.time
    there = sample.modalities
    for name, field in (("depth", "depth_file"), ("sound", "audio_file")):
        file = path_of(there[name]) if name in there else None
        beneath = None if file is None else Path(os.path.relpath(file, folder))
        if beneath is not None and ".." not in beneath.parts:
            out[field] = beneath.as_posix()
    if "text" in there:
        out["text"] = str(there["text"]())
    if "words" in there:
        out["lines"] = [[*map(float, line[:4]), str(line[4])] for line in there["words"]()]
    return out


def depth_cameras(file: Path) -> tuple[float, ...]:
    """What a ``cameras.json`` says of a depth and a colour camera; () for nothing, or where there is none."""
    if not file.is_file():
        return ()
    try:
        found = json.loads(read_text(file))
        if not (isinstance(found, dict) and "depth_camera" in found):
            return ()
        both = found["depth_camera"], found["colour_camera"]
        pinholes = [camera[key] for camera in both for key in ("f", "cx", "cy")]
        values = [*pinholes, *found["colour_from_depth_translation_m"]]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(f"{file}: says nothing of the depth camera that can be read ({error})") from None
    return checked_cameras(values, str(file))


def _files(
    images: Sequence[Record], field: str, read: Callable[..., Any], path: Path, folders: Sequence[Path]
) -> list[tuple[int, Any]]:
    """(number of the picture, function that reads its file); one that cannot be found says so when asked."""
    rows = [row for row, image in enumerate(images) if image.get(field)]
    names = [images[row][field] for row in rows]
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        raise InputError(f"{path}: {field} {str(wrong[0])[:40]!r} is no file name")
    if not names:
        return []
    why = ""
    for tried in (folders[:1], folders):  # beside the file first: pictures may have these names too
        try:
            loads, _ = find_pictures(names, tried, str(path), what=f"{field}s", load=read)
            return list(zip(rows, loads, strict=True))
        except InputError as error:
            why = str(error)
    return [(row, partial(refuse, why)) for row in rows]


def _texts(image: Record, path: Path) -> dict[str, Any]:
    """``text`` and ``words`` of a picture's record, as far as they are there."""
    out: dict[str, Any] = {}
    text = image.get("text")
    if isinstance(text, list):  # such as several captions
        text = "\n".join(map(str, text))
    if text is not None:
        out["text"] = partial(given, str(text))
    lines = image.get("lines")
    if lines is not None:
        out["words"] = partial(given, _words(lines, f"{path}: {_name(image)}"))
    return out


def _words(lines: Any, who: str) -> tuple[Any, ...]:
    """Boxes and text, (x0, y0, x1, y1, str) each."""
    try:
        words: list[Any] = [(*map(float, line[:4]), str(line[4])) for line in lines]
        if all(math.isfinite(value) for word in words for value in word[:4]):
            return tuple(words)
    except (TypeError, ValueError, LookupError, OverflowError):
        pass
    raise InputError(f"{who}: lines must be [x0, y0, x1, y1, text] each, of finite numbers")


def _time(image: Record, path: Path) -> float:
    value = image.get("time")
    if value is None:
        return float("nan")
    if not isinstance(value, int | float) or not abs(value) < LONGEST:
        raise InputError(f"{path}: {_name(image)}: time {str(value)[:40]!r} is no number of seconds")
    return float(value)


def _name(image: Record) -> str:
    return str(image.get("file_name"))[:80]
