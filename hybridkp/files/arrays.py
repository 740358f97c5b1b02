"""Named arrays as bytes and back: the safetensors layout, read and written with NumPy alone.

A header of JSON says each array's type, shape and place; the numbers follow.  Reading gives only what the
bytes hold, so that a crafted header cannot ask for more memory than its file has.  Never here: paths.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from ..structures import Array

_TYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "I16": "<i2",
    "F16": "<f2",
    "U32": "<u4",
    "I32": "<i4",
    "F32": "<f4",
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
}
_NAMES = {np.dtype(code): name for name, code in _TYPES.items()}


def dump_arrays(arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file; arrays are of numbers or booleans."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    parts, end = [], 0
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize):  # all aligned
        little = array.dtype.newbyteorder("<") if array.dtype.itemsize > 1 else array.dtype
        part = np.ascontiguousarray(array, little).tobytes()
        place = [end, end := end + len(part)]
        header[name] = {"dtype": _NAMES[little], "shape": list(array.shape), "data_offsets": place}
        parts.append(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *parts])


def load_arrays(data: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays, writable and ours, and metadata.

    Raises
    ------
    ValueError
        For bytes that are not whole: the arrays must fill the file, side by side.
    """
    try:
        start = 8 + struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:start])
        metadata = dict(header.pop("__metadata__", {}))
        arrays, places = {}, [(0, 0), (len(data) - start, len(data) - start)]
        for name, entry in header.items():
            dtype, shape = np.dtype(_TYPES[entry["dtype"]]), [int(n) for n in entry["shape"]]
            first, end = (int(n) for n in entry["data_offsets"])
            if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != end - first:
                raise ValueError(f"{name[:40]!r} has a false shape")
            arrays[name] = np.frombuffer(data[start + first : start + end], dtype).reshape(shape).copy()
            places.append((first, end))
    except (struct.error, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__} in the header of arrays") from None
    places.sort()
    if places[0][0] or any(end != first for (_, end), (first, _) in pairwise(places)):
        raise ValueError("the arrays do not fill their file")
    return arrays, metadata
