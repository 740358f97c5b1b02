"""Cameras as files: our JSON, Anipose's and sleap-anipose's TOML, OpenCV's YAML and JSON; read and written.

A file is data: it is read as text by parsers that make plain numbers of it, with a limit to its size.
OpenCV's own reader is not asked, because a damaged file can end it and the process with it.  What a camera
is, says :mod:`.cameras`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.text import read_any_json, read_head, read_text
from ..files import write_atomic
from ..structures import InputError
from .cameras import Camera, Cameras

MAX_BYTES = 4 << 20  #: of a file of cameras
MAX_CAMERAS = 1000
_ANY = {  #: how files of different programs call the same thing
    "matrix": ("matrix", "camera_matrix", "cameraMatrix", "intrinsic", "intrinsics", "K", "M"),
    "distortions": ("distortions", "distortion_coefficients", "distCoeffs", "dist_coeffs", "distortion", "D"),
    "rotation": ("rotation", "rvec", "R", "rotation_matrix", "rotation_vector"),
    "translation": ("translation", "tvec", "T", "t", "translation_vector"),
    "size": ("size", "image_size", "imageSize", "resolution"),
}


def read_cameras(path: str | os.PathLike[str]) -> Cameras:
    """The cameras of a file, or of a folder with one OpenCV file for each camera.

    Parameters
    ----------
    path : ``.json`` as this library or OpenCV writes it, ``.toml`` of Anipose or sleap-anipose, ``.yaml`` or
        ``.yml`` of OpenCV's FileStorage (one camera, whose name is the file's, or a mapping of several), or a
        folder of such files

    Notes
    -----
    OpenCV's samples call a camera's pose ``R`` and ``T`` or ``rvec`` and ``tvec``; a file without one stands
    in the origin, which is right for one camera and an error for several.  Anipose's fisheye cameras are
    refused: their lens is another one.

    Raises
    ------
    InputError
        For a file that is missing, too large, damaged, of another kind, or whose cameras make no sense.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in (".yaml", ".yml", ".json", ".toml"))
        if not files:
            raise InputError(f"{path}: holds no .json, .toml or .yaml of cameras")
        parts = [_read_file(file) for file in files[: MAX_CAMERAS + 1]]
        rows = {name: row for part, _ in parts for name, row in part.items()}
        if len(rows) < sum(len(part) for part, _ in parts):
            raise InputError(f"{path}: two files have cameras of one name; name them apart")
        return _made(rows, next((unit for _, unit in parts if unit), ""), path)
    return _made(*_read_file(path), path)


def write_cameras(cameras: Cameras, path: str | os.PathLike[str], **facts: Any) -> None:
    """Write ``.json`` (ours, ``facts`` beside the cameras) or ``.toml`` (Anipose's, facts as metadata)."""
    path = Path(path)
    if path.suffix.lower() == ".toml":
        write_atomic(path, _toml(cameras, facts))
        return
    if path.suffix.lower() != ".json":
        raise InputError(f"{path}: cameras are written as .json or .toml (Anipose); name the file so")
    rows = {camera.name: _row(camera) for camera in cameras}
    document = {"cameras": rows, "unit": cameras.unit, **facts}
    write_atomic(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def _row(camera: Camera) -> dict[str, Any]:
    row: dict[str, Any] = {} if camera.size_hw is None else {"size": list(camera.size_hw[::-1])}
    for what in ("matrix", "distortions", "rotation", "translation"):
        row[what] = getattr(camera, what).tolist()
    return row


def _toml(cameras: Cameras, facts: Mapping[str, Any]) -> str:
    """Anipose's: a table for each camera, numbers as JSON writes them."""
    lines = []
    for i, camera in enumerate(cameras):
        row = _row(camera)
        row["distortions"] = (row["distortions"] + [0.0] * 5)[: max(5, len(row["distortions"]))]
        lines += [f"[cam_{i}]", f"name = {json.dumps(camera.name)}"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in row.items()]
        lines += ["fisheye = false", ""]
    plain = {k: v for k, v in facts.items() if isinstance(v, str | int | float)}
    if cameras.unit:
        plain["unit"] = cameras.unit
    lines += ["[metadata]", *(f"{key} = {json.dumps(value)}" for key, value in plain.items())]
    return "\n".join(lines) + "\n"


# --------------------------------------------------------------------------------------------
# reading
# --------------------------------------------------------------------------------------------


def _read_file(path: Path) -> tuple[dict[str, Any], str]:
    """Name -> facts of each camera, and the unit."""
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: over {MAX_BYTES >> 20} MB; a file of cameras holds a few numbers")
    kind = path.suffix.lower()
    if kind == ".toml":
        document = _read_toml(path)
    elif kind in (".yaml", ".yml"):
        document = _read_yaml(path)
    elif kind == ".json" or read_head(path, 64).lstrip()[:1] == b"{":
        document = read_any_json(path)
    else:
        raise InputError(f"{path}: no file of cameras by its name: .json, .toml (Anipose) or .yaml (OpenCV)")
    if not isinstance(document, dict):
        raise InputError(f"{path}: holds {type(document).__name__}, not the facts of cameras")
    return _cameras_of(document, path)


def _read_toml(path: Path) -> Any:
    import tomllib

    try:
        return tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not valid TOML ({' '.join(str(error).split())[:100]})") from None


def _read_yaml(path: Path) -> Any:
    """OpenCV's dialect: its first line is no YAML, matrices have a tag; anchors and aliases are refused."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent):
                raise InputError(f"{path}: has YAML aliases; cameras need none: remove them")
            return super().compose_node(parent, index)

    def plain(loader: Any, _: str, node: Any) -> Any:
        return loader.construct_mapping(node, deep=True)

    Loader.add_multi_constructor("tag:yaml.org,2002:opencv-", plain)
    text = re.sub(r"\A%YAML[ :][^\n]*\n(---[^\n]*\n)?", "", read_text(path))
    try:
        return yaml.load(text, Loader)  # a SafeLoader: it makes numbers, texts, lists and mappings
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())[:100]})") from None


def _cameras_of(document: dict[str, Any], path: Path) -> tuple[dict[str, Any], str]:
    inside = document.get("cameras")
    if isinstance(inside, list):  # nameless lists number theirs
        inside = _named(list(enumerate(inside)), path)
    unit = document.get("unit") or _get(document.get("board"), "unit", "")
    if not unit:
        unit = _get(document.get("metadata"), "unit", "")
    if not isinstance(inside, dict):
        if any(name in document for name in _ANY["matrix"]):
            inside = {path.stem: document}  # one camera, as OpenCV's calibration sample writes it
        elif {"M1", "D1", "M2", "D2"} <= set(document):
            inside = _stereo(document)
        else:
            rows = [(k, v) for k, v in document.items() if k != "metadata" and _find(v, "matrix") is not None]
            inside = _named(rows, path)
    if not inside:
        raise InputError(f"{path}: no cameras in it: each needs a matrix, distortions, rotation, translation")
    if len(inside) > MAX_CAMERAS:
        raise InputError(f"{path}: more than {MAX_CAMERAS} cameras")
    return {str(k): v for k, v in inside.items()}, str(unit)[:20]


def _named(rows: Sequence[tuple[Any, Any]], path: Path) -> dict[str, Any]:
    """Each camera by the name that it has inside, else by its key."""
    out = {str(_get(row, "name", key)): row for key, row in rows}
    if len(out) < len(rows):
        raise InputError(f"{path}: two cameras have one name; their names must differ")
    return out


def _stereo(document: Mapping[str, Any]) -> dict[str, Any]:
    """OpenCV's stereo sample: the first camera is the world, R and T lead to the second."""
    second = {"matrix": document["M2"], "distortions": document["D2"]}
    second |= {k: v for k, v in document.items() if k in ("R", "T")}
    first = {"matrix": document["M1"], "distortions": document["D1"], "R": [0, 0, 0], "T": [0, 0, 0]}
    return {"left": first, "right": second}


def _get(value: Any, key: str, default: Any) -> Any:
    return value.get(key, default) if isinstance(value, dict) else default


def _find(row: Any, what: str) -> Any:
    """The entry by any of its names; an OpenCV matrix as its numbers."""
    if not isinstance(row, dict):
        return None
    value = next((row[name] for name in _ANY[what] if row.get(name) is not None), None)
    return value.get("data") if isinstance(value, dict) else value


def _made(rows: Mapping[str, Any], unit: str, path: Path) -> Cameras:
    cameras = []
    for name, row in rows.items():
        if not isinstance(row, dict) or _find(row, "matrix") is None:
            raise InputError(f"{path}: camera {name[:60]!r} has no matrix")
        if row.get("fisheye") is True or str(row.get("model", "")).lower() == "fisheye":
            raise InputError(f"{path}: camera {name[:60]!r} is a fisheye; that lens is not known here")
        posed = [_find(row, what) is not None for what in ("rotation", "translation")]
        if not all(posed) and (len(rows) > 1 or any(posed)):
            lacks = "rotation" if not posed[0] else "translation"
            raise InputError(f"{path}: camera {name[:60]!r} has no {lacks}; several cameras need one world")
        matrix = _find(row, "matrix")
        try:
            if np.size(matrix) == 4:  # fx, fy, cx, cy
                fx, fy, cx, cy = np.ravel(matrix)
                matrix = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
            facts = {w: _find(row, w) for w in ("distortions", "rotation", "translation")}
            cameras.append(Camera(name, matrix, **facts, size_hw=_size(row)))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{path}: camera {name[:60]!r}: its matrix must hold numbers") from None
    return Cameras(tuple(cameras), unit)


def _size(row: Mapping[str, Any]) -> tuple[int, int] | None:
    size = _find(row, "size")
    if size is None and "image_width" in row and "image_height" in row:
        size = [row["image_width"], row["image_height"]]
    if size is None:
        return None
    try:
        values = [int(v) for v in size] if isinstance(size, list) else []
    except (TypeError, ValueError, OverflowError):
        values = []
    if len(values) != 2 or not all(0 < v < 1 << 20 for v in values):
        raise InputError(f"size {str(size)[:40]} is not [width, height] in px")
    return values[1], values[0]
