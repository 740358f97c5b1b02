"""Reads picture files of every usual kind, upright, and refuses bad ones by name.

The header is looked at before anything is decoded.  Pictures leave as uint8, (H, W) grey or
(H, W, 3) BGR; what is drawn is written in the format that its name asks for.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from glob import glob, has_magic
from pathlib import Path

import cv2
import numpy as np

from ..imaging.images import as_uint8
from ..structures import Array, InputError
from .atomic import write_atomic

MAX_PIXELS = 200_000_000  #: larger pictures are refused before they are decoded
EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".pgm", ".ppm", ".pnm", ".jp2")


def read_image(path: str | os.PathLike[str]) -> Array:
    """One picture file as (H, W) or (H, W, 3) BGR uint8, upright.

    The EXIF orientation is applied; 16-bit, float and alpha follow the rule of
    :func:`hybridkp.imaging.images.as_uint8`.

    Raises
    ------
    InputError
        When the file is missing, a folder, empty, cut short, not a picture, larger than 200
        megapixels (refused from its header, before it takes memory) or under 2 px.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except (FileNotFoundError, ValueError):  # ValueError: a zero byte in the name
        raise InputError(f"{path}: no such picture; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, not a picture; name a file in it") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file's rights") from None
    if not data:
        raise InputError(f"{path}: the file is empty; copy it again")
    width, height, orientation, complete = _header(data)
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path}: {width} x {height} px is over {MAX_PIXELS // 10**6} megapixels; scale it down first"
        )
    if not complete:
        raise InputError(f"{path}: the picture is cut short; copy it again")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError):
        image = None
    if image is None or image.size == 0:
        raise InputError(f"{path}: not a picture that OpenCV can read; save it as PNG or JPEG")
    return as_uint8(_upright(image, orientation), str(path))


def write_image(path: str | os.PathLike[str], image: Array) -> None:
    """A picture (H, W) or (H, W, 3) BGR uint8 to a file, whole or not at all; the name's end is the format.

    Raises :class:`InputError` for an unknown format, and for more pixels than it holds.
    """
    suffix = Path(path).suffix.lower()
    try:
        ok, data = cv2.imencode(suffix or ".", image)
    except cv2.error:
        ok = False
    if not ok:
        size = f"{image.shape[1]} x {image.shape[0]} px"
        raise InputError(f"{path}: {size} cannot be written as {suffix or 'no format'!r}; try .png")
    write_atomic(path, data.tobytes())


def picture_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(h, w) of a picture file as :func:`read_image` gives it, from its header where that tells it."""
    try:
        data = Path(path).read_bytes()
        width, height, orientation, complete = _header(data)
    except (OSError, ValueError):
        width = height = 0
    if width < 1 or height < 1 or not complete:  # PNM and others; and bad files, which complain there
        h, w = read_image(path).shape[:2]
        return h, w
    return (width, height) if orientation >= 5 else (height, width)


def find_images(path: str | os.PathLike[str]) -> list[Path]:
    """The picture files that ``path`` means: a file, the pictures of a folder, or a glob; sorted.

    Raises :class:`InputError` when there are none.
    """
    text, path = str(path), Path(path)
    if path.is_dir():
        found = [p for p in path.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file()]
    elif path.exists() or not has_magic(text):
        return [path]
    else:
        found = [Path(p) for p in glob(text, recursive=True) if Path(p).suffix.lower() in EXTENSIONS]
    if not found:
        raise InputError(f"{text}: no pictures there ({', '.join(EXTENSIONS)})")
    return sorted(found)


def _upright(image: Array, orientation: int) -> Array:
    """Undo the eight EXIF orientations."""
    if orientation in (5, 6, 7, 8):
        image = np.swapaxes(image, 0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _header(data: bytes) -> tuple[int, int, int, bool]:
    """(width, height, EXIF orientation, file is whole) from the first bytes, without decoding.

    OpenCV ignores the orientation when asked for unchanged depth, fills a cut JPEG with grey
    without a word, and allocates what a header claims: hence this look first.  Formats that
    are not known here give (0, 0, 1, True) and are left to OpenCV.
    """
    try:
        if data[:2] == b"\xff\xd8":
            return _jpeg_header(data)
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            width, height = struct.unpack(">II", data[16:24])
            chunks = dict(_chunks(data, 8, ">", True))
            return width, height, _orientation(chunks.get(b"eXIf", b"")), b"IEND" in chunks
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            chunks = dict(_chunks(data, 12, "<", False))
            whole = len(data) >= struct.unpack("<I", data[4:8])[0] + 8
            return *_webp_size(chunks), _orientation(chunks.get(b"EXIF", b"")), whole
        if data[:4] in (b"II*\0", b"MM\0*"):
            tags = _tiff_tags(data)
            return tags.get(256, 0), tags.get(257, 0), 1, True  # OpenCV turns TIFF itself
        if data[:2] == b"BM":
            width, height = struct.unpack("<ii", data[18:26])
            return abs(width), abs(height), 1, True
    except (struct.error, IndexError):
        return 0, 0, 1, False
    return 0, 0, 1, True


def _jpeg_header(data: bytes) -> tuple[int, int, int, bool]:
    at, orientation, width, height = 2, 1, 0, 0
    while at + 4 <= len(data):
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        if data[at] != 0xFF:
            break
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            orientation = _orientation(data[at + 10 : at + 2 + length])
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
        elif marker == 0xDA:  # the scan: from here on an end marker must follow
            return width, height, orientation, data.find(b"\xff\xd9", at) > 0
        at += 2 + length
    return width, height, orientation, False


def _chunks(data: bytes, at: int, endian: str, png: bool) -> Iterator[tuple[bytes, bytes]]:
    """(name, payload) of PNG or RIFF chunks that are wholly there."""
    while at + 8 <= len(data):
        if png:
            length, name = struct.unpack(f"{endian}I4s", data[at : at + 8])
        else:
            name, length = struct.unpack(f"{endian}4sI", data[at : at + 8])
        if at + 8 + length > len(data):
            return
        yield name, data[at + 8 : at + 8 + length]
        at += 8 + length + (4 if png else length % 2)


def _webp_size(chunks: dict[bytes, bytes]) -> tuple[int, int]:
    if b"VP8X" in chunks:
        body = chunks[b"VP8X"]
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    return 0, 0  # at most 16383 x 16383 otherwise; the decoder checks


def _orientation(exif: bytes) -> int:
    exif = exif[6:] if exif[:6] == b"Exif\0\0" else exif
    value = _tiff_tags(exif).get(274, 1)
    return value if 1 <= value <= 8 else 1


def _tiff_tags(data: bytes) -> dict[int, int]:
    """Integer tags of the first directory of a TIFF structure (which EXIF is, too)."""
    if data[:2] not in (b"II", b"MM"):
        return {}
    endian = "<" if data[:2] == b"II" else ">"
    tags: dict[int, int] = {}
    try:
        (start,) = struct.unpack(f"{endian}I", data[4:8])
        (count,) = struct.unpack(f"{endian}H", data[start : start + 2])
        for i in range(min(count, 200)):
            entry = data[start + 2 + 12 * i : start + 14 + 12 * i]
            tag, kind, n = struct.unpack(f"{endian}HHI", entry[:8])
            if n == 1 and kind in (3, 4):
                tags[tag] = struct.unpack(
                    endian + ("H" if kind == 3 else "I"), entry[8 : 10 + 2 * (kind == 4)]
                )[0]
    except struct.error:
        pass
    return tags
