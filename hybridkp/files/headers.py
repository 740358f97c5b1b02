"""What picture files say about themselves, without decoding: size, depth, EXIF orientation, wholeness.

OpenCV ignores the orientation when asked for unchanged depth, fills a cut JPEG with grey without a word,
and allocates what a header claims: hence this look first.  Bytes go in; nothing is opened or decoded.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ("JPEG", "PNG", "WebP", "TIFF", "BMP", "PNM", "JPEG 2000", "GIF")


class Header(NamedTuple):
    """A picture file's own words."""

    width: int
    height: int
    pixel_bytes: int  #: of a decoded pixel, at the decoder's worst
    orientation: int = 1  #: EXIF's, 1 to 8
    whole: bool = True
    alpha: bool = False  #: a fourth channel is said to be alpha
    bits: int | None = None  #: that mean something, where the file says it
    deep: bool = False  #: values of more than 8 bits


CUT = Header(0, 0, 1, whole=False)


def read_header(data: bytes) -> Header | None:
    """The header of one of :data:`KINDS`; None for anything else, :data:`CUT` where it ends early."""
    for start, read in _READERS:
        if start.match(data):
            try:
                return read(data)
            except (struct.error, IndexError, ValueError):
                return CUT
    return None


def _jpeg(data: bytes) -> Header:
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
            return Header(width, height, 3, orientation, data.find(b"\xff\xd9", at) > 0)
        at += 2 + length
    return Header(width, height, 3, orientation, False)


def _png(data: bytes) -> Header:
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    chunks = dict(_chunks(data, 8, ">", True))
    alpha = colour in (4, 6) or b"tRNS" in chunks
    channels = 4 if alpha else 1 if colour == 0 else 3
    bits = chunks[b"sBIT"][0] if chunks.get(b"sBIT") and depth == 16 else None
    orientation, whole = _orientation(chunks.get(b"eXIf", b"")), b"IEND" in chunks
    each = 2 if depth == 16 else 1
    return Header(width, height, channels * each, orientation, whole, alpha, bits, depth == 16)


def _webp(data: bytes) -> Header:
    chunks = dict(_chunks(data, 12, "<", False))
    width = height = 0
    if b"VP8X" in chunks:
        body = chunks[b"VP8X"]
        width, height = (int.from_bytes(body[a : a + 3], "little") + 1 for a in (4, 7))
    elif b"VP8L" in chunks:
        packed = int.from_bytes(chunks[b"VP8L"][1:5], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    elif b"VP8 " in chunks:
        width, height = (v & 0x3FFF for v in struct.unpack("<HH", chunks[b"VP8 "][6:10]))
    whole = len(data) >= struct.unpack("<I", data[4:8])[0] + 8 and width > 0
    return Header(width, height, 4, _orientation(chunks.get(b"EXIF", b"")), whole, True)


def _tiff(data: bytes) -> Header:
    tags = tiff_tags(data)
    samples, depth = tags.get(277, 1), max(8, tags.get(258, 8))
    tile = tags.get(322, 0) * tags.get(323, 0)
    width, height = tags.get(256, 0), tags.get(257, 0)
    area = max(1, width * height)
    worst = max(4 if samples > 1 else 1, samples) * -(-depth // 8) * max(1, -(-tile // area))
    bits = tags[281].bit_length() if depth == 16 and 281 in tags else None
    return Header(
        width, height, worst, 1, True, tags.get(338) in (1, 2), bits, 8 < depth <= 16
    )  # OpenCV turns TIFF itself


def _bmp(data: bytes) -> Header:
    (size,) = struct.unpack("<I", data[14:18])
    if size == 12:
        width, height, _, depth = struct.unpack("<HHHH", data[18:26])
        return Header(width, height, 3)
    width, height, _, depth = struct.unpack("<iiHH", data[18:30])
    alpha = size >= 56 and depth == 32 and data[66:70] not in (b"", bytes(4))
    return Header(abs(width), abs(height), 4 if depth == 32 else 3, alpha=alpha)


_TOKEN = re.compile(rb"(?:\s|#[^\n]*\n)*([^\s#]+)")


def _pnm(data: bytes) -> Header:
    kind = data[:2]
    if kind == b"P7":
        head, end, _ = data.partition(b"ENDHDR\n")
        fields = dict(line.split(None, 1) for line in head.split(b"\n")[1:] if len(line.split(None, 1)) == 2)
        width, height, channels, top = (int(fields[k]) for k in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
        alpha = b"ALPHA" in fields.get(b"TUPLTYPE", b"")
        at = len(head) + len(end)
    else:
        words, at = [], 2
        for _ in range(2 if kind in (b"P1", b"P4") else 3):
            found = _TOKEN.match(data, at)
            if found is None:
                return CUT
            words.append(found[1])
            at = found.end()
        width, height = int(words[0]), int(words[1])
        channels, alpha = 3 if kind in (b"P3", b"P6", b"PF") else 1, False
        top = 255 if len(words) < 3 or kind in (b"Pf", b"PF") else int(words[2])
        at += 1
    if width < 0 or height < 0 or not 0 < top < 65536:
        return CUT
    each = 4 if kind in (b"Pf", b"PF") else 2 if top > 255 else 1
    need = -(-width // 8) * height if kind == b"P4" else width * height * channels * each
    bits = top.bit_length() if top > 255 else None
    whole = kind in (b"P1", b"P2", b"P3") or len(data) - at >= need
    return Header(width, height, max(channels, 3) * each, 1, whole, alpha, bits, each == 2)


def _jp2(data: bytes) -> Header:
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0:
        return CUT
    x, y, left, top = struct.unpack(">IIII", data[at + 8 : at + 24])
    (channels,) = struct.unpack(">H", data[at + 40 : at + 42])
    whole = data.find(b"\xff\xd9", at) > 0
    return Header(
        max(0, x - left),
        max(0, y - top),
        4 * channels + 4,
        1,
        whole,
        channels == 4,
        None,
        data[at + 42] & 127 > 7,
    )


def _gif(data: bytes) -> Header:
    width, height = struct.unpack("<HH", data[6:10])
    return Header(width, height, 8, 1, b";" in data[-16:], True)


_READERS = tuple(
    (re.compile(start, re.DOTALL), read)
    for start, read in (
        (rb"\xff\xd8", _jpeg),
        (rb"\x89PNG\r\n\x1a\n", _png),
        (rb"RIFF....WEBP", _webp),
        (rb"II[*+]\0|MM\0[*+]", _tiff),
        (rb"BM", _bmp),
        (rb"P[1-6fF]\s|P7\n", _pnm),
        (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", _jp2),
        (rb"GIF8[79]a", _gif),
    )
)


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


def _orientation(exif: bytes) -> int:
    exif = exif[6:] if exif[:6] == b"Exif\0\0" else exif
    value = tiff_tags(exif).get(274, 1)
    return value if 1 <= value <= 8 else 1


#: TIFF's kinds of whole numbers: signed or not, 1, 2, 4 or 8 bytes
_WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}


def tiff_tags(data: bytes) -> dict[int, int]:
    """Whole numbers (the largest, where a tag has several) of the first directory of a TIFF structure.

    EXIF is one too; BigTIFF has other widths.  Of a tag that stands there twice the larger value counts.
    """
    if data[:2] not in (b"II", b"MM"):
        return {}
    endian = "<" if data[:2] == b"II" else ">"
    big = struct.unpack(f"{endian}H", data[2:4])[0] == 43 if len(data) >= 4 else False
    start_at, offset, number, size = (8, "Q", "Q", 20) if big else (4, "I", "H", 12)
    width = struct.calcsize(offset)
    tags: dict[int, int] = {}
    try:
        (start,) = struct.unpack(endian + offset, data[start_at : start_at + width])
        first = start + struct.calcsize(f"={number}")
        (count,) = struct.unpack(endian + number, data[start:first])
        for i in range(min(count, 65535)):
            entry = data[first + size * i : first + size * (i + 1)]
            tag, kind, n = struct.unpack(f"{endian}HH{offset}", entry[: 4 + width])
            if kind not in _WHOLE or not 0 < n <= 64:
                continue
            length = n * struct.calcsize(f"={_WHOLE[kind]}")
            at = entry[4 + width :]
            if length > width:
                (there,) = struct.unpack(endian + offset, at)
                at = data[there : there + length]
            values = struct.unpack(f"{endian}{n}{_WHOLE[kind]}", at[:length])
            tags[tag] = max(*values, tags.get(tag, values[0]))
    except struct.error:
        pass
    return tags
