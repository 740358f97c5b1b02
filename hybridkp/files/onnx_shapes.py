"""What each operator that our exporters write makes of shapes, and what it costs.

One rule an operator: node and known inputs to known outputs and multiply-adds.  Values are followed only
where they are small constants, such as shapes and slices.  Nothing is run here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..structures import Array
from .onnx_graph import MAX_KNOWN, MAX_RANK, Constant, GraphError, Node


@dataclass
class Known:
    """A tensor's shape, and its value where that is small and independent of the input."""

    shape: tuple[int, ...]
    value: Array | None = None


Rule = Callable[[Node, "list[Known | None]"], "tuple[Sequence[Known], float]"]


def inferred(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    try:
        made, cost = OWN[node.op](node, given)
    except GraphError:
        raise
    except Exception:  # whatever a graph that is not ours can cause
        raise GraphError(f"has an operator {node.op} that does not fit its inputs") from None
    for what in made:
        if len(what.shape) > MAX_RANK or any(n < 0 for n in what.shape) or not node.outputs:
            raise GraphError(f"has an operator {node.op} that does not fit its inputs")
    return made, cost


def _want(given: list[Known | None], at: int) -> Known:
    found = given[at]
    if found is None:
        raise GraphError("uses a tensor before it is made")
    return found


def _value(given: list[Known | None], at: int) -> Array:
    found = _want(given, at).value
    if found is None:
        raise GraphError("has a shape that hangs on the picture")
    return found


def _whole(given: list[Known | None], at: int) -> list[int]:
    return [int(v) for v in _value(given, at).ravel()]


def _optional(given: list[Known | None], at: int) -> bool:
    return len(given) > at and given[at] is not None


def _axes(node: Node, given: list[Known | None], at: int) -> list[int] | None:
    """From the attribute (older opsets) or the input."""
    if "axes" in node.attributes:
        return [int(a) for a in node.attributes["axes"]]
    return _whole(given, at) if _optional(given, at) else None


def _size(what: Known) -> int:
    return math.prod(what.shape)


def _kept(shape: tuple[int, ...], value: Array | None = None) -> Known:
    return Known(shape, value if value is not None and value.size <= MAX_KNOWN else None)


def _elementwise(compute: Callable[..., Any] | None = None) -> Rule:
    def rule(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
        parts = [_want(given, i) for i in range(len(given))]
        shape = np.broadcast_shapes(*(p.shape for p in parts))
        value = None
        if compute and all(p.value is not None for p in parts) and math.prod(shape) <= MAX_KNOWN:
            with np.errstate(all="ignore"):
                value = np.asarray(compute(*(p.value for p in parts)))
        return [_kept(shape, value)], float(math.prod(shape))

    return rule


def _divide(a: Array, b: Array) -> Array:
    return a // b if a.dtype.kind in "iu" else a / b


def _like_first(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    first = _want(given, 0)
    return [Known(first.shape)], 4.0 * _size(first)


def _reduce(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    first = _want(given, 0)
    rank, axes = len(first.shape), _axes(node, given, 1)
    gone = {a % rank for a in axes} if axes else set(range(rank))
    keep = bool(node.attributes.get("keepdims", 1))
    shape = [1 if i in gone else n for i, n in enumerate(first.shape) if keep or i not in gone]
    return [Known(tuple(shape))], float(_size(first))


def _constant(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    attributes = node.attributes
    if isinstance(attributes.get("value"), Constant):
        return [Known(attributes["value"].shape, attributes["value"].value)], 0.0
    for name in ("value_int", "value_float", "value_ints", "value_floats"):
        if name in attributes:
            value = np.asarray(attributes[name])
            return [_kept(value.shape, value)], 0.0
    raise GraphError("has a constant of an unknown kind")


def _constant_of_shape(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    shape = tuple(_whole(given, 0))
    filled = node.attributes.get("value")
    size = math.prod(shape)
    if size > MAX_KNOWN or any(n < 0 for n in shape):
        return [Known(shape)], float(size)
    value = (
        filled.value if isinstance(filled, Constant) and filled.value is not None else np.zeros(1, np.float32)
    )
    return [_kept(shape, np.broadcast_to(value.ravel()[:1], shape))], float(size)


def _pads(
    node: Node, rank: int, sizes: Sequence[int], kernel: Sequence[int], step: Sequence[int]
) -> list[int]:
    """Output sizes of a convolution or pooling over the last ``rank`` axes."""
    attributes = node.attributes
    pads = attributes.get("pads") or [0] * (2 * rank)
    dilations = attributes.get("dilations") or [1] * rank
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return [math.ceil(n / s) for n, s in zip(sizes, step, strict=True)]
    if min(*pads, 0) < 0 or min(*step, *dilations, *kernel) < 1:
        raise GraphError("has a window of impossible size")
    out = []
    for i in range(rank):
        room = sizes[i] + pads[i] + pads[i + rank] - dilations[i] * (kernel[i] - 1) - 1
        whole = math.ceil if attributes.get("ceil_mode") else math.floor
        out.append(whole(room / step[i]) + 1)
    if min(out) < 1:
        raise GraphError("has a window larger than its picture")
    return out


def _conv(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    picture, weight = _want(given, 0).shape, _want(given, 1).shape
    rank = len(picture) - 2
    step = node.attributes.get("strides") or [1] * rank
    out = _pads(node, rank, picture[2:], weight[2:], step)
    if picture[1] != weight[1] * int(node.attributes.get("group", 1)):
        raise GraphError("has a convolution whose channels do not fit")
    shape = (picture[0], weight[0], *out)
    return [Known(shape)], float(math.prod(shape) * math.prod(weight[1:]))


def _conv_transpose(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    picture, weight, attributes = _want(given, 0).shape, _want(given, 1).shape, node.attributes
    rank = len(picture) - 2
    step, pads = attributes.get("strides") or [1] * rank, attributes.get("pads") or [0] * (2 * rank)
    odd = {"output_shape", "output_padding", "auto_pad"} & {
        k for k, v in attributes.items() if v not in ("NOTSET", [0] * rank)
    }
    ones = all(v == 1 for v in (*(attributes.get("dilations") or ()), int(attributes.get("group", 1))))
    fit = rank >= 1 and len(weight) == rank + 2 and picture[1] == weight[0]
    fit = fit and len(step) == rank and len(pads) == 2 * rank and min(*step, *weight) >= 1 and min(pads) >= 0
    if odd or not ones or not fit:
        raise GraphError("has an operator ConvTranspose that does not fit its inputs")
    out = [(picture[2 + i] - 1) * step[i] + weight[2 + i] - pads[i] - pads[i + rank] for i in range(rank)]
    if min(out) < 1:
        raise GraphError("has an operator ConvTranspose that leaves nothing")
    cost = math.prod(picture) * math.prod(weight[1:])
    return [Known((picture[0], weight[1], *out))], float(cost)


def _pool(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    picture, kernel = _want(given, 0).shape, node.attributes["kernel_shape"]
    rank = len(picture) - 2
    out = _pads(node, rank, picture[2:], kernel, node.attributes.get("strides") or [1] * rank)
    shape = (*picture[:2], *out)
    return [Known(shape)] * len(node.outputs), float(math.prod(shape) * math.prod(kernel))


def _gemm(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    a, b = _want(given, 0).shape, _want(given, 1).shape
    a = a[::-1] if node.attributes.get("transA") else a
    b = b[::-1] if node.attributes.get("transB") else b
    if len(a) != 2 or len(b) != 2 or a[1] != b[0]:
        raise GraphError("has a product whose sizes do not fit")
    return [Known((a[0], b[1]))], float(a[0] * a[1] * b[1])


def _matmul(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    a, b = _want(given, 0).shape, _want(given, 1).shape
    left, right = (a if len(a) > 1 else (1, *a)), (b if len(b) > 1 else (*b, 1))
    if left[-1] != right[-2]:
        raise GraphError("has a product whose sizes do not fit")
    batch = np.broadcast_shapes(left[:-2], right[:-2])
    shape = (*batch, *left[-2 : -1 if len(a) > 1 else -2], *(right[-1:] if len(b) > 1 else ()))
    return [Known(shape)], float(math.prod(batch) * left[-2] * left[-1] * right[-1])


def _einsum(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    left, _, right = bytes(node.attributes["equation"]).decode().replace(" ", "").partition("->")
    sizes: dict[str, int] = {}
    for letters, at in zip(left.split(","), range(len(given)), strict=True):
        for letter, n in zip(letters, _want(given, at).shape, strict=True):
            if sizes.setdefault(letter, n) != n or not letter.isalpha():
                raise GraphError("has an einsum whose sizes do not fit")
    return [Known(tuple(sizes[letter] for letter in right))], float(math.prod(sizes.values()))


def _reshape(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    first, wanted = _want(given, 0), _whole(given, 1)
    shape = [
        first.shape[i] if n == 0 and not node.attributes.get("allowzero") else n for i, n in enumerate(wanted)
    ]
    if shape.count(-1) == 1:
        rest = -math.prod(shape)
        shape[shape.index(-1)] = _size(first) // rest if rest > 0 else 0
    if math.prod(shape) != _size(first) or any(n < 0 for n in shape):
        raise GraphError("has a reshape that does not fit")
    return [_kept(tuple(shape), None if first.value is None else first.value.reshape(shape))], 0.0


def _flatten(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    first = _want(given, 0)
    axis = int(node.attributes.get("axis", 1)) % (len(first.shape) + 1)
    return [Known((math.prod(first.shape[:axis]), math.prod(first.shape[axis:])))], 0.0


def _shape_of(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    shape = _want(given, 0).shape
    shape = shape[node.attributes.get("start", 0) : node.attributes.get("end", len(shape))]
    return [Known((len(shape),), np.array(shape, np.int64))], 0.0


def _concat(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    parts = [_want(given, i) for i in range(len(given))]
    axis = int(node.attributes["axis"]) % len(parts[0].shape)
    for part in parts[1:]:
        if part.shape[:axis] + part.shape[axis + 1 :] != parts[0].shape[:axis] + parts[0].shape[axis + 1 :]:
            raise GraphError("has a concatenation whose sizes do not fit")
    shape = list(parts[0].shape)
    shape[axis] = sum(p.shape[axis] for p in parts)
    values = [p.value for p in parts if p.value is not None]
    value = (
        np.concatenate(values, axis) if len(values) == len(parts) and math.prod(shape) <= MAX_KNOWN else None
    )
    return [_kept(tuple(shape), value)], float(math.prod(shape))


def _slice(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    first = _want(given, 0)
    begin, end = _whole(given, 1), _whole(given, 2)
    axes = _whole(given, 3) if _optional(given, 3) else list(range(len(begin)))
    steps = _whole(given, 4) if _optional(given, 4) else [1] * len(begin)
    cut = [slice(None)] * len(first.shape)
    for a, b, e, s in zip(axes, begin, end, steps, strict=True):
        cut[a % len(first.shape)] = slice(b, None if s < 0 and e < -first.shape[a] else e, s)
    shape = tuple(len(range(*c.indices(n))) for c, n in zip(cut, first.shape, strict=True))
    return [_kept(shape, None if first.value is None else first.value[tuple(cut)])], float(math.prod(shape))


def _gather(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    first, index = _want(given, 0), _want(given, 1)
    axis = int(node.attributes.get("axis", 0)) % len(first.shape)
    rows = _value(given, 1)  # ours gather at constant places
    if rows.size and not (-first.shape[axis] <= rows.min() and rows.max() < first.shape[axis]):
        raise GraphError("gathers from outside of a tensor")
    shape = (*first.shape[:axis], *index.shape, *first.shape[axis + 1 :])
    value = None if first.value is None else np.take(first.value, rows.astype(int), axis)
    return [_kept(shape, value)], float(math.prod(shape))


def _unsqueeze(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    first, axes = _want(given, 0), _axes(node, given, 1) or []
    rank = len(first.shape) + len(axes)
    places = {a % rank for a in axes}
    rest = iter(first.shape)
    shape = tuple(1 if i in places else next(rest) for i in range(rank))
    return [_kept(shape, None if first.value is None else first.value.reshape(shape))], 0.0


def _squeeze(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    first, axes = _want(given, 0), _axes(node, given, 1)
    rank = len(first.shape)
    gone = {a % rank for a in axes} if axes else {i for i, n in enumerate(first.shape) if n == 1}
    if any(first.shape[i] != 1 for i in gone):
        raise GraphError("squeezes an axis that is not 1")
    shape = tuple(n for i, n in enumerate(first.shape) if i not in gone)
    return [_kept(shape, None if first.value is None else first.value.reshape(shape))], 0.0


def _resize(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    first = _want(given, 0)
    if _optional(given, 3):
        shape = tuple(_whole(given, 3))
    else:
        scales = [float(v) for v in _value(given, 2).ravel()]
        if len(scales) != len(first.shape) or not all(0 < s < 1e6 for s in scales):
            raise GraphError("resizes by an impossible factor")
        shape = tuple(math.floor(n * s) for n, s in zip(first.shape, scales, strict=True))
    if len(shape) != len(first.shape):
        raise GraphError("resizes to another number of axes")
    return [Known(shape)], 8.0 * math.prod(shape)


def _expand(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    shape = np.broadcast_shapes(_want(given, 0).shape, tuple(_whole(given, 1)))
    return [Known(shape)], float(math.prod(shape))


def _batch_norm(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    first = _want(given, 0).shape
    if len(node.outputs) != 1 or any(_want(given, i).shape != first[1:2] for i in range(1, 5)):
        raise GraphError("has an operator BatchNormalization that does not fit its inputs")
    return [Known(first)], float(math.prod(first))


def _identity(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    return [_want(given, 0)], 0.0


def _tile(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    shape = tuple(n * r for n, r in zip(_want(given, 0).shape, _whole(given, 1), strict=True))
    return [Known(shape)], float(math.prod(shape))


def _depth_to_space(node: Node, given: list[Known | None]) -> tuple[Sequence[Known], float]:
    b, c, h, w = _want(given, 0).shape
    block = int(node.attributes["blocksize"])
    if block < 1 or c % block**2:
        raise GraphError("has an operator DepthToSpace that does not fit its inputs")
    return [Known((b, c // block**2, h * block, w * block))], float(b * c * h * w)


#: the operators that our exporters write, each with what it makes of shapes and what it costs
OWN: dict[str, Rule] = {
    "Add": _elementwise(np.add),
    "AveragePool": _pool,
    "BatchNormalization": _batch_norm,
    "Clip": _like_first,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "DequantizeLinear": _like_first,
    "Div": _elementwise(_divide),
    "Einsum": _einsum,
    "Equal": _elementwise(np.equal),
    "Exp": _elementwise(),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "Identity": _identity,
    "Log": _elementwise(),
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Mul": _elementwise(np.multiply),
    "QuantizeLinear": _like_first,
    "ReduceMean": _reduce,
    "ReduceSum": _reduce,
    "Relu": _elementwise(),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape_of,
    "Sigmoid": _elementwise(),
    "Slice": _slice,
    "Softmax": _like_first,
    "Sqrt": _elementwise(),
    "Squeeze": _squeeze,
    "Sub": _elementwise(np.subtract),
    "Tanh": _elementwise(),
    "Tile": _tile,
    "Unsqueeze": _unsqueeze,
    "Where": _elementwise(np.where),
}
