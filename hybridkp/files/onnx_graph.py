"""An ONNX file's graph as plain data: its protobuf read with bounds, without the onnx package.

Nothing is run or judged here (see ``onnx_check.py``), and no other file is opened: external data,
functions, sparse tensors and custom domains are refused.  Reference: the ONNX intermediate representation.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..structures import Array, InputError

MAX_NODES = 20_000
MAX_RANK = 8
MAX_KNOWN = 4096  #: elements of a constant whose value is followed, such as shapes and slices
MAX_DEPTH = 8  #: of graphs inside graphs (others' files only)

_DTYPES: dict[int, Any] = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
    12: np.uint32,
    13: np.uint64,
}


class GraphError(InputError):
    """A graph that no engine will see; the message says why, without the file's name."""


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise GraphError("is truncated or not ONNX")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at


def fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """(number, value) of a message: int for numbers, memoryview for everything with a length."""
    at = 0
    while at < len(data):
        value: Any
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = data[at : at + size], at + size
        elif kind == 2:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise GraphError("is truncated or not ONNX")
        if at > len(data):
            raise GraphError("is truncated or not ONNX")
        yield key >> 3, value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _ints(value: Any) -> list[int]:
    """A repeated number, packed or not."""
    if isinstance(value, int):
        return [_signed(value)]
    out, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        out.append(_signed(number))
        if len(out) > MAX_KNOWN:
            raise GraphError(f"has a list of more than {MAX_KNOWN} numbers")
    return out


def _text(value: Any) -> str:
    try:
        return bytes(value).decode()
    except (UnicodeDecodeError, TypeError):
        raise GraphError("is truncated or not ONNX") from None


@dataclass
class Constant:
    """A tensor of the file: its shape, and its value where that is small."""

    shape: tuple[int, ...]
    value: Array | None = None


@dataclass
class Node:
    op: str
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)  #: numbers, lists, Constant, Graph, bytes


@dataclass
class Graph:
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Constant] = field(default_factory=dict)
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)  #: 0 = a size that the file leaves open
    outputs: list[str] = field(default_factory=list)


def _tensor(data: memoryview) -> tuple[str, Constant]:
    dims: list[int] = []
    name, kind, raw = "", 0, memoryview(b"")
    typed: dict[int, list[Any]] = {4: [], 5: [], 7: [], 10: []}
    stored = 0
    for number, value in fields(data):
        if number == 1:
            dims += _ints(value)
        elif number == 2:
            kind = int(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw, stored = value, len(value)
        elif number in (13, 14):
            if number == 13 or value:
                raise GraphError("keeps data in another file (external data)")
        elif number in typed:
            stored += 8 if isinstance(value, int) else len(value)
            if stored <= 8 * MAX_KNOWN:
                typed[number].append(value)
    if len(dims) > MAX_RANK or any(not 0 <= d < 2**31 for d in dims):
        raise GraphError(f"has a tensor {name[:40]!r} of impossible shape")
    size = math.prod(dims)
    dtype = _DTYPES.get(kind)
    if dtype is None or size > 8 * max(stored, 1):
        raise GraphError(
            f"has a tensor {name[:40]!r} of an unknown type, or with less data than its shape says"
        )
    value = _small(size, dtype, raw, typed) if size <= MAX_KNOWN else None
    return name, Constant(tuple(dims), None if value is None else value.reshape(dims))


def _small(size: int, dtype: Any, raw: memoryview, typed: Mapping[int, Sequence[Any]]) -> Array | None:
    if len(raw):
        if len(raw) != size * np.dtype(dtype).itemsize:
            raise GraphError("has a tensor whose data do not fit its shape")
        return np.frombuffer(raw, dtype)
    whole = [v for part in (*typed[5], *typed[7]) for v in _ints(part)]
    if whole:
        return np.array(whole).astype(dtype) if len(whole) == size else None
    width, code = (8, "d") if typed[10] else (4, "f")
    data = b"".join(bytes(part) for part in typed[10] or typed[4])
    if len(data) != width * size:
        return None
    return np.array(struct.unpack(f"<{size}{code}", data)).astype(dtype)


def _attribute(data: memoryview, depth: int) -> tuple[str, Any]:
    name, out, ints, floats = "", None, [], []
    for number, value in fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            out = struct.unpack("<f", value)[0]
        elif number == 3:
            out = _signed(value)
        elif number == 4:
            out = bytes(value[:10_000])
        elif number == 5:
            out = _tensor(value)[1]
        elif number in (6, 11):
            out = _graph(value, depth + 1)
        elif number == 7:
            floats += [value] if isinstance(value, memoryview) else []
        elif number == 8:
            ints += _ints(value)
        elif number == 10:
            out = _tensor(value)[1]
        elif number in (21, 22, 23):
            raise GraphError("refers to functions or sparse tensors")
    if floats:
        flat = b"".join(bytes(part) for part in floats)
        out = list(struct.unpack(f"<{len(flat) // 4}f", flat[: len(flat) // 4 * 4]))
    return name, ints if ints else out


def _node(data: memoryview, depth: int) -> Node:
    node = Node("")
    for number, value in fields(data):
        if number == 1:
            node.inputs.append(_text(value))
        elif number == 2:
            node.outputs.append(_text(value))
        elif number == 4:
            node.op = _text(value)
        elif number == 5:
            name, attribute = _attribute(value, depth)
            node.attributes[name] = attribute
        elif number == 7 and bytes(value) not in (b"", b"ai.onnx"):
            raise GraphError(f"uses operators of the domain {_text(value)[:40]!r}")
    return node


def _declared(data: memoryview) -> tuple[str, tuple[int, ...]]:
    """Name and shape of a graph's input or output."""
    name, dims = "", []
    for number, value in fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            for _, tensor in (f for f in fields(value) if f[0] == 1):
                for _, shape in (f for f in fields(tensor) if f[0] == 2):
                    for _, dim in (f for f in fields(shape) if f[0] == 1):
                        known = [_signed(v) for n, v in fields(dim) if n == 1]
                        dims.append(known[0] if known and known[0] > 0 else 0)
    return name, tuple(dims)


def _graph(data: memoryview, depth: int = 0) -> Graph:
    if depth > MAX_DEPTH:
        raise GraphError(f"nests graphs more than {MAX_DEPTH} deep")
    graph = Graph()
    for number, value in fields(data):
        if number == 1:
            graph.nodes.append(_node(value, depth))
            if len(graph.nodes) > MAX_NODES:
                raise GraphError(f"has more than {MAX_NODES} operators")
        elif number == 5:
            name, constant = _tensor(value)
            graph.constants[name] = constant
        elif number == 11:
            name, shape = _declared(value)
            graph.inputs[name] = shape
        elif number == 12:
            graph.outputs.append(_declared(value)[0])
        elif number == 15:
            raise GraphError("holds sparse tensors")
    for name in graph.constants:
        graph.inputs.pop(name, None)
    return graph


def read_graph(data: bytes) -> Graph:
    """The graph of an ONNX file's bytes.

    Raises
    ------
    GraphError
        For truncated bytes, external data, functions, sparse tensors, custom domains.
    """
    try:
        return _model(memoryview(data))
    except (
        TypeError,
        ValueError,
        AttributeError,
        struct.error,
    ) as error:  # fields of another kind than ONNX's
        if isinstance(error, GraphError):
            raise
        raise GraphError("is truncated or not ONNX") from None


def _model(data: memoryview) -> Graph:
    found = None
    for number, value in fields(data):
        if number == 7:
            if found is not None:
                raise GraphError("holds two graphs")
            found = _graph(value)
        elif number in (20, 25):
            raise GraphError("holds functions or training graphs")
    if found is None or not found.nodes:
        raise GraphError("holds no graph")
    return found
