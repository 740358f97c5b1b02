"""HDF5 of strangers, bounded: tables that lie in the file itself, none larger than the text readers take.

Also frames as pandas keeps them in HDF5 (DeepLabCut's ``.h5``).  Their column names are pickled there; the
pickle is never run: its opcodes are read, and only those of lists, tuples and text are known.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import Array, InputError
from .text import MAX_BYTES

MAGIC = b"\x89HDF\r\n\x1a\n"
#: opcodes of a pickle that stand for text and whole numbers
_VALUES = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "INT", "LONG", "BININT", "BININT1", "BININT2"}
BROKEN = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, IndexError, OverflowError)


@contextmanager
def open_hdf(file: Path, what: str) -> Iterator[Any]:
    """The opened file; whatever fails inside is an :class:`InputError` of one line that names ``what``."""
    try:
        import h5py
    except ImportError:
        raise InputError(f"{file}: {what} needs h5py: pip install 'hybridkp[formats]'") from None
    try:
        with h5py.File(file, "r") as opened:
            yield opened
    except InputError:
        raise
    except BROKEN as error:
        why = " ".join(str(error).split())[:100]
        raise InputError(f"{file}: {what} that cannot be read ({why}); save it again in its tool") from None


def whole(opened: Any, name: str, file: Path) -> Any:
    """A data set as an array."""
    return table_of(opened, name, file)[()]


def table_of(opened: Any, name: str, file: Path) -> Any:
    """A data set; links to elsewhere, other files' data and claims over the limit are refused."""
    import h5py

    link = opened.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink) or not isinstance(opened[name], h5py.Dataset):
        raise InputError(f"{file}: has no table '{name}' of its own; save it again in its tool")
    table = opened[name]
    if table.external or table.is_virtual:
        raise InputError(f"{file}: '{name}' lies in another file; save it again as one file")
    if table.size * max(table.dtype.itemsize, 16) > MAX_BYTES:
        raise InputError(f"{file}: '{name}' claims {table.size} rows; no labels are so many")
    return table


def read_frame(file: Path) -> tuple[list[tuple[str, ...]], list[str], Array]:
    """(columns by their levels, each row's index as a path, (N, M) numbers) of the only frame in the file."""
    with open_hdf(file, "a frame of pandas") as opened:
        groups = [key for key in opened if "table" in opened[key] or "block0_values" in opened[key]]
        if len(groups) != 1:
            raise InputError(f"{file}: holds {len(groups)} frames of pandas; DeepLabCut's files hold one")
        group = opened[groups[0]]
        return _appendable(group, file) if "table" in group else _fixed(group, file)


def _appendable(group: Any, file: Path) -> tuple[list[tuple[str, ...]], list[str], Array]:
    """pandas' ``format="table"``: a table of records, the columns in an attribute."""
    table = whole(group, "table", file)
    axes = _plain(bytes(group.attrs["non_index_axes"]), file)
    columns = [tuple(column) for column in axes[0][1]]
    if not all(isinstance(part, str) for column in columns for part in column):
        raise InputError(f"{file}: its columns' names are no text; save it again in its tool")
    names = [name for name in table.dtype.names or () if not name.startswith("values_block")]
    index = ["/".join(_text(row[name]) for name in names) for row in table]
    return columns, index, _checked(table["values_block_0"], index, columns, file)


def _fixed(group: Any, file: Path) -> tuple[list[tuple[str, ...]], list[str], Array]:
    """pandas' ``format="fixed"``: levels and their numbers for each axis, values in one block."""
    columns, index = _axis(group, "axis0", file), _axis(group, "axis1", file)
    values = _checked(whole(group, "block0_values", file), index, columns, file)
    return columns, ["/".join(row) for row in index], values


def _axis(group: Any, name: str, file: Path) -> list[tuple[str, ...]]:
    if name in group:
        return [(_text(value),) for value in whole(group, name, file).tolist()]
    n = sum(f"{name}_level{i}" in group for i in range(8))
    levels = [[_text(v) for v in whole(group, f"{name}_level{i}", file).tolist()] for i in range(n)]
    codes = [whole(group, f"{name}_label{i}", file).tolist() for i in range(n)]
    return [tuple(level[k] for level, k in zip(levels, row, strict=True)) for row in zip(*codes, strict=True)]


def _checked(values: Any, index: list[Any], columns: list[Any], file: Path) -> Array:
    numbers = np.asarray(values, float)
    if numbers.shape != (len(index), len(columns)):
        size = f"{len(index)} rows and {len(columns)} columns"
        raise InputError(f"{file}: numbers {numbers.shape} do not fit {size}; save it again in its tool")
    return numbers


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _plain(data: bytes, file: Path) -> Any:
    """Lists, tuples, text and whole numbers of a pickle, from its opcodes; anything else is refused."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    mark = object()
    for opcode, given, _ in pickletools.genops(data):
        argument: Any = given
        name = opcode.name
        if name in _VALUES:
            stack.append(argument)
        elif name == "MARK":
            stack.append(mark)
        elif name in ("LIST", "TUPLE", "APPENDS"):
            at = len(stack) - 1 - stack[::-1].index(mark)
            items = stack[at + 1 :]
            del stack[at:]
            if name == "APPENDS":
                stack[-1].extend(items)
            else:
                stack.append(items if name == "LIST" else tuple(items))
        elif name in ("EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append([] if name == "EMPTY_LIST" else ())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            n = int(name[-1])
            stack[-n:] = [tuple(stack[-n:])]
        elif name == "APPEND":
            item = stack.pop()
            stack[-1].append(item)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument)])
        elif name not in ("STOP", "PROTO", "FRAME"):
            raise InputError(f"{file}: its columns' names hold more than text ({name}); save it again")
    return stack[-1]
