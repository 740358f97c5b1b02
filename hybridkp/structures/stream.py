"""Rows that are read when they are asked for: crops on disk that need not fit into memory.

Letters: **B** rows.  Never here: writing, image processing of its own, learning.  A :class:`Stream` passes
where an array (B, ...) of crops passes: ``len``, ``shape``, a row by its number, a part by slice, mask or
indices, iteration.  Parts are views: nothing is read or copied until a row is wanted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Array, InputError

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 1024  #: rows that are read at a time where all are wanted

Change = Callable[[Array], Array]  #: of one row; a function of a module, so that it pickles and has a name


class ArrayFile:
    """A ``.npy`` file whose rows are read one by one; not mapped, so that memory holds what was asked for.

    Parameters
    ----------
    path : of the file
    digest : of its content, where it is known; else the file is read once when somebody asks

    Raises
    ------
    InputError
        For a file that is no ``.npy`` of rows in C order, or that was cut off.
    """

    def __init__(self, path: str | os.PathLike[str], digest: str = "") -> None:
        from pathlib import Path  # not for an application, whose imports count

        self.path, self._digest = Path(path).absolute(), digest
        try:
            with open(self.path, "rb") as file:
                version = np.lib.format.read_magic(file)
                if version != (1, 0):
                    raise ValueError(f"format {version}")
                self.shape, fortran, self.dtype = np.lib.format.read_array_header_1_0(file)
                self._offset = file.tell()
            if fortran or not self.shape or self.dtype.hasobject:
                raise ValueError("no plain rows")
            self._row_bytes = int(np.prod(self.shape[1:])) * self.dtype.itemsize
            if self.path.stat().st_size != self._offset + len(self) * self._row_bytes:
                raise ValueError("it was cut off")
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.path}: cannot be read as rows ({error}); delete it, it is made again"
            ) from None

    def __len__(self) -> int:
        return int(self.shape[0])

    def read(self, first: int, n: int = 1) -> Array:
        """(n, ...) rows from ``first`` on."""
        count, offset = n * int(np.prod(self.shape[1:])), self._offset + first * self._row_bytes
        rows = np.fromfile(self.path, self.dtype, count, offset=offset)
        if rows.size != count:
            raise InputError(f"{self.path}: was cut off while it was in use")
        return rows.reshape(n, *self.shape[1:])

    @property
    def digest(self) -> str:
        """Hex digits of the content."""
        import hashlib  # not for an application, whose imports count

        if not self._digest:
            found = hashlib.sha256(f"{self.dtype}{self.shape}".encode())
            for first in range(0, len(self), BLOCK):
                found.update(self.read(first, min(BLOCK, len(self) - first)).tobytes())
            self._digest = found.hexdigest()[:32]
        return self._digest


class Stream:
    """Rows of files, in any order, each as it is or changed on its way (to grey, mirrored).

    Parameters
    ----------
    sources : (file, changes) each; the changes are applied in turn to a row that was read
    part, rows : (B,) int, of each row its source and its number there

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/rows.npy", np.arange(12, dtype=np.uint8).reshape(4, 3))
    ...     stream = Stream.of(ArrayFile(f"{folder}/rows.npy"))
    ...     part = stream[[3, 1]]
    ...     print(len(part), part.shape, part[0], np.asarray(part).tolist())
    2 (2, 3) [ 9 10 11] [[9, 10, 11], [3, 4, 5]]
    """

    def __init__(
        self, sources: Sequence[tuple[ArrayFile, tuple[Change, ...]]], part: Array, rows: Array
    ) -> None:
        self.sources, self.part, self.rows = tuple(sources), part, rows
        file, changes = self.sources[0]
        row = np.zeros(file.shape[1:], file.dtype)
        for change in changes:
            row = change(row)
        self.shape: tuple[int, ...] = (len(rows), *row.shape)
        self.dtype = row.dtype

    @classmethod
    def of(cls, file: ArrayFile) -> Stream:
        """All rows of a file as they are."""
        return cls([(file, ())], np.zeros(len(file), np.int64), np.arange(len(file)))

    @staticmethod
    def joined(streams: Sequence[Stream]) -> Stream:
        """Rows of the first, then of the second, ..."""
        sources: list[tuple[ArrayFile, tuple[Change, ...]]] = []
        parts: list[Array] = []
        for stream in streams:
            parts.append(stream.part + len(sources))
            sources += stream.sources
        return Stream(sources, np.concatenate(parts), np.concatenate([s.rows for s in streams]))

    def where(self, folder: Path) -> dict[str, str]:
        """The place of a whole file, seen from ``folder``, in words for a JSON file; see :meth:`at`."""
        file = self.sources[0][0]
        return {"file": os.path.relpath(file.path, folder), "digest": file.digest}

    @classmethod
    def at(cls, folder: Path, where: Mapping[str, str]) -> Stream:
        """The stream that :meth:`where` told of."""
        return cls.of(ArrayFile(folder / where["file"], where["digest"]))

    def map(self, change: Change) -> Stream:
        """The same rows with one more change."""
        return Stream([(file, (*done, change)) for file, done in self.sources], self.part, self.rows)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Of all rows, were they in memory."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:  # as scikit-learn indexes arrays
            key = key[0]
        if isinstance(key, tuple):
            raise InputError(f"a stream of crops is indexed by rows alone, got {key}")
        part, rows = self.part[key], self.rows[key]
        if np.ndim(rows) == 0:
            return self._changed(int(part), self.sources[int(part)][0].read(int(rows))[0])
        return Stream(self.sources, part, rows)

    def _changed(self, part: int, row: Array) -> Array:
        for change in self.sources[part][1]:
            row = change(row)
        return row

    def __iter__(self) -> Iterator[Array]:
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        out = np.empty(self.shape, self.dtype if dtype is None else dtype)
        if copy is False:
            raise ValueError("a stream has no array of its own")
        first = 0
        while first < len(self):
            n = self._run(first)
            part = int(self.part[first])
            for i, row in enumerate(self.sources[part][0].read(int(self.rows[first]), n), first):
                out[i] = self._changed(part, row)
            first += n
        return out

    def _run(self, first: int) -> int:
        """How many rows from ``first`` on lie behind each other in one file, up to :data:`BLOCK`."""
        rows, part = self.rows[first : first + BLOCK], self.part[first : first + BLOCK]
        broken = (np.diff(rows) != 1) | (np.diff(part) != 0)
        return int(np.argmax(broken)) + 1 if broken.any() else len(rows)

    def __repr__(self) -> str:
        return f"Stream({self.shape} {self.dtype}, {self.nbytes / 2**20:.0f} MiB on disk)"

    @property
    def digest(self) -> str:
        """32 hex digits of what the rows hold; no row is read where the files' digests are known."""
        import hashlib

        words = [
            (file.digest, *(f"{c.__module__}.{c.__qualname__}" for c in done)) for file, done in self.sources
        ]
        found = hashlib.sha256(repr((words, self.shape)).encode())
        found.update(self.part.tobytes())
        found.update(self.rows.tobytes())
        return found.hexdigest()[:32]


def blocks(rows: Any, size: int = BLOCK) -> Iterator[Array]:
    """(n, ...) arrays of at most ``size`` rows, in order, of an array or a stream."""
    for first in range(0, len(rows), size):
        yield np.asarray(rows[first : first + size])
