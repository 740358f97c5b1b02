"""Reads picture files of every usual kind, upright, and refuses bad ones by name.

The header is looked at before anything is decoded.  Pictures leave as uint8, (H, W) grey or
(H, W, 3) BGR; what is drawn is written in the format that its name asks for.
"""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from collections.abc import Iterable
from glob import glob, has_magic
from pathlib import Path

import cv2
import numpy as np

from ..imaging.images import RangeWarning, as_uint8, depth_of
from ..structures import Array, InputError
from ..structures.base import evenly
from .atomic import write_atomic
from .headers import KINDS, Header, read_header

MAX_PIXELS = 200_000_000  #: larger pictures are refused before they are decoded
_TRIED = 20  #: files that are looked at for what all of a set need
MAX_BYTES = 2**30  #: of a file, and of a picture once decoded
_SHALLOW = (".jpg", ".jpeg", ".bmp", ".gif", ".webp")  #: 8 bits in any case
EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".pgm", ".ppm", ".pnm", ".jp2")


def read_image(path: str | os.PathLike[str], bits: int | None = None, upright: bool = True) -> Array:
    """One picture file as (H, W) or (H, W, 3) BGR uint8, upright.

    The EXIF orientation is applied; 16-bit, float and a fourth channel follow the rules of
    :func:`hybridkp.imaging.images.as_uint8`.

    Parameters
    ----------
    path : a regular file
    bits : how many of a 16-bit file's bits mean something; default what the file says (PNG's sBIT,
        TIFF's MaxSampleValue, PGM's maxval), else what the picture's own values need
    upright : False: the rows as the file has them, whatever its EXIF orientation says

    Raises
    ------
    InputError
        When the file is missing, a folder, no regular file, empty, cut short, not a picture, of another
        kind than :data:`KINDS`, larger than 200 megapixels or :data:`MAX_BYTES` once decoded (refused
        from its header, before it takes memory) or under 2 px.
    """
    path = Path(path)
    return decode_image(_read_file(path), path, bits, upright)


def decode_image(data: bytes, path: Path, bits: int | None = None, upright: bool = True) -> Array:
    """The same of a picture file's bytes; ``path`` is named in errors."""
    header = _checked(data, path)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError):
        image = None
    if image is None or image.size == 0:
        raise InputError(f"{path}: not a picture that OpenCV can read; save it as PNG or JPEG")
    image = _upright(image, header.orientation) if upright else image
    said = (bits or header.bits) if image.dtype == np.uint16 else None
    return as_uint8(image, str(path), said, header.alpha)


def read_depth(path: str | os.PathLike[str]) -> Array:
    """One depth file as (H, W): uint16 in mm, or float32 as it is; 0 = no value.

    Raises :class:`InputError` as :func:`read_image` does, and for what has channels or 8 bits.
    """
    path = Path(path)
    data = _read_file(path)
    _checked(data, path)
    try:
        depth = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError):
        depth = None
    if depth is None or depth.size == 0:
        raise InputError(f"{path}: not a depth file that OpenCV can read; save it as 16-bit PNG, in mm")
    if depth.ndim != 2 or depth.dtype not in (np.uint16, np.float32):
        kind = f"{depth.shape} {depth.dtype}"
        raise InputError(f"{path}: holds {kind}, depth is one channel of 16 bits in mm, or of float32")
    if depth.dtype == np.float32 and (not np.isfinite(depth).all() or depth.min() < 0):
        raise InputError(f"{path}: has negative or infinite depths; write 0 where nothing is known")
    return np.ascontiguousarray(depth)


def _read_file(path: Path) -> bytes:
    """The bytes of a regular file; whatever else a name may mean is not opened to its end."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, ValueError):  # ValueError: a zero byte, half a character in the name
        raise InputError(f"{path!s:.200}: no such picture; check the path") from None
    except OSError as error:
        if os.path.isdir(path):  # where folders cannot be opened
            raise InputError(f"{path}: is a folder, not a picture; name a file in it") from None
        raise InputError(
            f"{path!s:.200}: cannot be read ({error.strerror}); check the file's rights"
        ) from None
    try:
        state = os.fstat(handle)
        if stat.S_ISDIR(state.st_mode):
            raise InputError(f"{path}: is a folder, not a picture; name a file in it")
        if not stat.S_ISREG(state.st_mode):
            raise InputError(f"{path}: is no regular file (a device or a pipe); name a picture file")
        if state.st_size > MAX_BYTES:
            raise InputError(f"{path}: over {MAX_BYTES // 2**20} MB; scale the picture down first")
        with open(handle, "rb", closefd=False) as file:
            return file.read(MAX_BYTES)
    finally:
        os.close(handle)


def _checked(data: bytes, path: Path) -> Header:
    """The picture's header; what is unknown, too large or cut short is refused before it is decoded."""
    if not data:
        raise InputError(f"{path}: the file is empty; copy it again")
    header = read_header(data)
    if header is None:
        raise InputError(
            f"{path}: not a picture of a known kind ({', '.join(KINDS)}); save it as PNG or JPEG"
        )
    if not header.whole:
        raise InputError(f"{path}: the picture is cut short; copy it again")
    width, height = header.width, header.height
    if width < 1 or height < 1:
        raise InputError(f"{path}: not a picture: its header has no size; save it as PNG or JPEG")
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path}: {width} x {height} px is over {MAX_PIXELS // 10**6} megapixels; scale it down first"
        )
    if width * height * header.pixel_bytes > MAX_BYTES:
        raise InputError(
            f"{path}: {width} x {height} px of {header.pixel_bytes} bytes take over {MAX_BYTES // 2**20} MB;"
            " scale it down first"
        )
    return header


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
    """(h, w) of a picture file as :func:`read_image` gives it, from its header."""
    return _upright_size(picture_header(path))


def _upright_size(header: Header) -> tuple[int, int]:
    height, width = header.height, header.width
    return (width, height) if header.orientation >= 5 else (height, width)


def picture_facts(path: str | os.PathLike[str]) -> tuple[tuple[int, int], str]:
    """(h, w) as :func:`picture_size` says it, and 24 hex digits of the file's bytes; nothing is decoded."""
    data = _read_file(Path(path))
    size_hw = _upright_size(_checked(data, Path(path)))
    return size_hw, hashlib.blake2b(data, digest_size=12).hexdigest()


def needed_bits(paths: Iterable[str | os.PathLike[str]], name: str) -> int | None:
    """Of how many bits the 16-bit ones among picture files make use together; None when there is none.

    Looks at :data:`_TRIED` files, evenly spread, and warns of ``name`` where they need fewer than 16 bits.
    What cannot be read is left out: it complains when it is asked for.
    """
    known, found = list(dict.fromkeys(map(Path, paths))), []
    for path in [known[i] for i in evenly(len(known), _TRIED)]:
        try:
            if path.suffix.lower() in _SHALLOW or not (header := picture_header(path)).deep:
                continue
            image = cv2.imdecode(np.frombuffer(_read_file(path), np.uint8), cv2.IMREAD_UNCHANGED)
        except (InputError, cv2.error, MemoryError):
            continue
        if image is not None:
            found.append(header.bits or depth_of([image]))
    bits = max(found, default=None)
    if bits is not None and bits < 16:
        told = f"{name}: 16-bit files whose values need {bits} bits only: all are read so"
        warnings.warn(told, RangeWarning, stacklevel=2)
    return bits


def picture_header(path: str | os.PathLike[str]) -> Header:
    """What a picture file says about itself; nothing is decoded.  Raises as :func:`read_image` does."""
    return _checked(_read_file(Path(path)), Path(path))


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
