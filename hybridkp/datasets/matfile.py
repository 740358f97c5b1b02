"""MATLAB's ``.mat`` of strangers, bounded: numbers, text, cells and structures of versions 5 to 7.

SciPy's reader ends the process on damaged files; this one checks every count against the bytes that are
there.  The layout is The MathWorks' "MAT-File Format".  Values become arrays (column-major, as MATLAB has
them), text, lists (cells) and lists of dicts (structures).  Objects, functions and sparse arrays are refused.
Version 7.3 is HDF5: :mod:`.hdf` opens it.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import Array, InputError
from .text import MAX_BYTES, read_head

HEADER = 128  #: bytes before the first variable
MAX_DEPTH = 24  #: of cells and structures in each other
MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, CHAR, FIRST, LAST = 1, 2, 4, 6, 15  #: classes of arrays; FIRST to LAST are numbers
#: type of stored numbers -> NumPy's
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {1: "utf-8", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}


def is_mat(file: Path) -> bool:
    """Whether a file begins as MATLAB's do, of version 5 to 7.3."""
    return read_head(file, 20).startswith((b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"))


def is_hdf(file: Path) -> bool:
    """Whether it is one of version 7.3, and so an HDF5 file."""
    return read_head(file, 20).startswith(b"MATLAB 7.3")


def mat_names(file: Path) -> list[str]:
    """The variables' names, without their values; none of a file that cannot be read.

    Several readers ask about one file, of which each variable has to be inflated: an answer is kept.
    """
    facts = file.stat()
    return list(_names(file, facts.st_mtime_ns, facts.st_size))


@lru_cache(maxsize=8)
def _names(file: Path, *_: int) -> tuple[str, ...]:
    try:
        if is_hdf(file):
            from .hdf import open_hdf

            with open_hdf(file, "a MATLAB file") as opened:
                return tuple(str(name) for name in opened)
        return tuple(name for _, name, _ in _variables(file))
    except InputError:
        return ()


def read_mat(file: Path, name: str) -> Any:
    """The value of one variable.

    Raises
    ------
    InputError
        A file that is not MATLAB's, is damaged, claims too much, or has no such variable.
    """
    for reader, its, at in _variables(file):
        if its == name:
            return reader.matrix(at, 0)
    raise InputError(f"{file}: has no variable {name!r}")


def _variables(file: Path) -> Iterator[tuple[_Reader, str, int]]:
    """(reader, name, where its matrix begins) of each variable of the file."""
    if not is_mat(file) or is_hdf(file):
        raise InputError(f"{file}: not a MATLAB file of version 5 to 7; save it with -v7")
    if file.stat().st_size > MAX_BYTES:
        raise InputError(f"{file}: over {MAX_BYTES >> 20} MB; save fewer variables")
    data = file.read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128], "")
    if not order:
        raise InputError(f"{file}: damaged in its header; save it again in MATLAB")
    outer, at = _Reader(data, order, file), HEADER
    while at < len(data):
        kind, start, size, at = outer.tag(at, padded=False)
        if kind == COMPRESSED:
            inner = _Reader(_inflated(data[start : start + size], file), order, file)
            yield inner, inner.name(0), 0
        elif kind == MATRIX:
            yield outer, outer.name(start - 8), start - 8


def _inflated(data: bytes, file: Path) -> bytes:
    try:
        inflater = zlib.decompressobj()
        out = inflater.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise InputError(f"{file}: damaged ({error}); save it again in MATLAB") from None
    if inflater.unconsumed_tail:
        raise InputError(f"{file}: a variable over {MAX_BYTES >> 20} MB; save fewer at a time")
    return out


class _Reader:
    """Elements of one run of bytes; places are offsets in it."""

    def __init__(self, data: bytes, order: str, file: Path):
        self.data, self.order, self.file = data, order, file
        self._two = struct.Struct(f"{order}II")

    def broken(self, why: str) -> InputError:
        return InputError(f"{self.file}: damaged ({why}); save it again in MATLAB")

    def tag(self, at: int, padded: bool = True) -> tuple[int, int, int, int]:
        """(type, where its data begin, how many bytes, where the next element begins)."""
        if at + 8 > len(self.data):
            raise self.broken("it ends early")
        kind, size = self._two.unpack_from(self.data, at)
        start, end = at + 8, at + 8 + size
        if kind >> 16:  # a small element: type, size and up to four bytes in one
            kind, size = kind & 0xFFFF, kind >> 16
            start, end = at + 4, at + 8
            if size > 4:
                raise self.broken("a small element that is not small")
        elif padded or kind != COMPRESSED:
            end = start + size + -size % 8
        if start + size > len(self.data):
            raise self.broken("it ends early")
        return kind, start, size, end

    def name(self, at: int) -> str:
        return self._head(at)[2]

    def _head(self, at: int) -> tuple[int, tuple[int, ...], str, int, int]:
        """(class, size, name, where the contents begin, where they end) of the matrix at ``at``."""
        kind, start, size, _ = self.tag(at)
        if kind != MATRIX:
            raise self.broken("no matrix where one should be")
        if not size:
            return FIRST, (0, 0), "", start, start
        _, flags, n, at = self.tag(start)
        if n != 8:
            raise self.broken("an array without flags")
        kind = self._two.unpack_from(self.data, flags)[0]
        if kind & 0x800:
            raise InputError(f"{self.file}: holds complex numbers; no landmarks are")
        dims, at = self.numbers(at)
        if not 2 <= len(dims) <= 8 or (dims < 0).any():
            raise self.broken("an array without a size")
        _, text, n, at = self.tag(at)
        name = self.data[text : text + n].decode("ascii", "replace")
        return kind & 0xFF, tuple(int(d) for d in dims), name, at, start + size

    def numbers(self, at: int) -> tuple[Array, int]:
        """The numbers of an element, and where the next begins."""
        kind, start, size, end = self.tag(at)
        if kind not in _NUMBERS or size % int(_NUMBERS[kind][1]):
            raise self.broken("no numbers where they should be")
        count = size // int(_NUMBERS[kind][1])
        return np.frombuffer(self.data, self.order + _NUMBERS[kind], count, start), end

    def matrix(self, at: int, depth: int) -> Any:
        """The value of the matrix at ``at``."""
        if depth > MAX_DEPTH:
            raise self.broken("too many cells in each other")
        kind, dims, _, at, end = self._head(at)
        n = math.prod(dims)
        if kind == CHAR:
            return self._text(at, n)
        if kind == CELL:
            return self._many(at, n, end, depth)[0]
        if kind == STRUCT:
            return self._structures(at, n, end, depth)
        if not FIRST <= kind <= LAST:
            raise InputError(f"{self.file}: holds an object or a sparse array; save plain arrays")
        if not n:
            return np.zeros(0)
        values, _ = self.numbers(at)
        if len(values) != n:
            raise self.broken(f"{len(values)} numbers for {n} places")
        return values.reshape(dims, order="F")

    def _text(self, at: int, n: int) -> str:
        if not n:
            return ""
        kind, start, size, _ = self.tag(at)
        if kind not in _TEXT:
            raise self.broken("no text where it should be")
        ends = {"<": "-le", ">": "-be"}[self.order] if kind not in (1, 2, 16) else ""
        return self.data[start : start + size].decode(_TEXT[kind] + ends, "replace")

    def _many(self, at: int, n: int, end: int, depth: int) -> tuple[list[Any], int]:
        if 8 * n > end - at:
            raise self.broken(f"claims {n} cells")
        out = []
        for _ in range(n):
            _, start, size, following = self.tag(at)
            if start + size > end:  # or the same bytes could be read again and again
                raise self.broken("a cell larger than what it is in")
            out.append(self.matrix(at, depth + 1))
            at = following
        return out, at

    def _structures(self, at: int, n: int, end: int, depth: int) -> list[dict[str, Any]]:
        width, at = self.numbers(at)
        _, start, size, at = self.tag(at)
        step = int(width[0]) if len(width) == 1 else 0
        if step < 1 or size % step or (size < step and n):
            raise self.broken("a structure without fields")
        names = [
            self.data[p : p + step].split(b"\0")[0].decode("ascii", "replace")
            for p in range(start, start + size, step)
        ]
        values, _ = self._many(at, n * len(names), end, depth)
        return [dict(zip(names, values[len(names) * i :], strict=False)) for i in range(n)]
