"""ONNX graphs written as if they were NumPy: tensors with operators, constants kept once, graphs inlined.

What a node of a runtime file becomes is said in each room's ``graphs`` folder, in these words; the files
are put together in ``onnx_export.py``.  This is the exporting side: it needs the onnx package.  Nothing
is run here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..structures import InputError

OPSET = 17
_PACKAGE = __name__.split(".")[0]


class Tensor:
    """A value of the graph; arithmetic adds operators.  ``dtype`` is known, shapes are the writer's."""

    __array_ufunc__ = None  # an array on the left hands over to us

    def __init__(self, graph: Graph, name: str, dtype: Any) -> None:
        self.graph, self.name, self.dtype = graph, name, np.dtype(dtype)

    def _with(self, op: str, other: Any, swapped: bool = False) -> Tensor:
        pair = (self, self.graph.tensor(other, self.dtype))
        return self.graph.op(op, *(pair[::-1] if swapped else pair))

    def __add__(self, other: Any) -> Tensor:
        return self._with("Add", other)

    def __radd__(self, other: Any) -> Tensor:
        return self._with("Add", other, True)

    def __sub__(self, other: Any) -> Tensor:
        return self._with("Sub", other)

    def __rsub__(self, other: Any) -> Tensor:
        return self._with("Sub", other, True)

    def __mul__(self, other: Any) -> Tensor:
        return self._with("Mul", other)

    def __rmul__(self, other: Any) -> Tensor:
        return self._with("Mul", other, True)

    def __truediv__(self, other: Any) -> Tensor:
        return self._with("Div", other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return self._with("Div", other, True)

    def __matmul__(self, other: Any) -> Tensor:
        return self._with("MatMul", other)

    def __neg__(self) -> Tensor:
        return self.graph.op("Neg", self)

    def __lt__(self, other: Any) -> Tensor:
        return self.graph.op("Less", self, self.graph.tensor(other, self.dtype), dtype=bool)

    def __gt__(self, other: Any) -> Tensor:
        return self.graph.op("Greater", self, self.graph.tensor(other, self.dtype), dtype=bool)

    def to(self, dtype: Any) -> Tensor:
        if self.dtype == np.dtype(dtype):
            return self
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.graph.op("Cast", self, dtype=dtype, to=kind)

    def reshape(self, *shape: int) -> Tensor:
        return self.graph.op("Reshape", self, self.graph.ints(shape))

    def transpose(self, *axes: int) -> Tensor:
        return self.graph.op("Transpose", self, perm=list(axes))

    def sum(self, *axes: int, keep: bool = True) -> Tensor:
        return self.graph.op("ReduceSum", self, self.graph.ints(axes), keepdims=int(keep))

    def largest(self, *axes: int) -> Tensor:
        return self.graph.op("ReduceMax", self, axes=list(axes), keepdims=1)

    def mean(self, *axes: int) -> Tensor:
        return self.graph.op("ReduceMean", self, axes=list(axes), keepdims=1)

    def slice(self, axis: int, start: int, end: int, step: int = 1) -> Tensor:
        g = self.graph
        return g.op("Slice", self, g.ints([start]), g.ints([end]), g.ints([axis]), g.ints([step]))

    def take(self, index: Any, axis: int = 0) -> Tensor:
        index = index if isinstance(index, Tensor) else self.graph.ints(index)
        return self.graph.op("Gather", self, index, axis=axis)

    def __getattr__(self, name: str) -> Any:
        """Operators of one input by their names: ``x.sqrt()``."""
        op = {"log": "Log", "exp": "Exp", "sqrt": "Sqrt", "floor": "Floor", "abs": "Abs", "relu": "Relu"}
        op |= {"round": "Round", "sigmoid": "Sigmoid"}
        if name not in op:
            raise AttributeError(name)
        return lambda: self.graph.op(op[name], self)

    def clip(self, low: Any, high: Any) -> Tensor:
        return self.at_least(low).at_most(high)

    def at_least(self, low: Any) -> Tensor:
        return self.graph.op("Max", self, self.graph.tensor(low, self.dtype))

    def at_most(self, high: Any) -> Tensor:
        return self.graph.op("Min", self, self.graph.tensor(high, self.dtype))


class Graph:
    """What is being written: nodes and constants."""

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.prefix = prefix  # a body's names are not those of the graph around it
        self._known: dict[Any, str] = {}
        self._n = 0

    def fresh(self) -> str:
        self._n += 1
        return f"{self.prefix}t{self._n}"

    def op(self, op: str, *inputs: Tensor, dtype: Any = None, **attributes: Any) -> Tensor:
        """One operator of one output, which has the first input's ``dtype`` unless another is given."""
        out = self.fresh()
        self.nodes.append(helper.make_node(op, [t.name for t in inputs], [out], **attributes))
        return Tensor(self, out, inputs[0].dtype if dtype is None else dtype)

    def tensor(self, value: Any, dtype: Any = None) -> Tensor:
        """A constant of an array or a number; equal ones are kept once.  A tensor stays itself."""
        if isinstance(value, Tensor):
            return value
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            name = f"{self.prefix}c{len(self.constants)}"
            self._known[key] = name
            self.constants[name] = numpy_helper.from_array(np.array(array, order="C"), name)
        return Tensor(self, self._known[key], array.dtype)

    def ints(self, values: Any) -> Tensor:
        return self.tensor(np.asarray(values, np.int64))

    def concat(self, parts: Sequence[Tensor], axis: int = 0) -> Tensor:
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=axis)

    def stack(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        at = self.ints([axis])
        return self.concat([self.op("Unsqueeze", p, at) for p in parts], axis)

    def top(self, values: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """The ``n`` largest of (N,), the largest first, and where they stand, int64."""
        value, place = self.fresh(), self.fresh()
        self.nodes.append(helper.make_node("TopK", [values.name, self.ints([n]).name], [value, place]))
        return Tensor(self, value, values.dtype), Tensor(self, place, np.int64)

    def where(self, condition: Tensor, yes: Any, no: Any) -> Tensor:
        one = yes if isinstance(yes, Tensor) else no
        both = self.tensor(yes, one.dtype), self.tensor(no, one.dtype)
        return self.op("Where", condition, *both, dtype=one.dtype)

    def pad_edge(self, maps: Tensor, *pads: int) -> Tensor:
        """The border repeated; ``pads`` of all axes' starts, then of all axes' ends."""
        return self.op("Pad", maps, self.ints(pads), mode="edge")

    def inline(self, data: bytes, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> list[Tensor]:
        """Another graph's operators, fed with our tensors; its ``outputs``, float32."""
        model = onnx.load_from_string(data)
        if any(o.domain in ("", "ai.onnx") and o.version > OPSET for o in model.opset_import):
            raise ValueError(f"a network of an opset above {OPSET}")
        names = {name: tensor.name for name, tensor in inputs.items()}
        for constant in model.graph.initializer:
            names[constant.name] = self.tensor(numpy_helper.to_array(constant)).name
        for node in model.graph.node:
            own = onnx.NodeProto()
            own.CopyFrom(node)
            for i, name in enumerate(node.input):
                own.input[i] = names[name] if name else ""
            for i, name in enumerate(node.output):
                names[name] = self.fresh()
                own.output[i] = names[name]
            own.name = ""
            self.nodes.append(own)
        return [Tensor(self, names[name], np.float32) for name in outputs]

    def loop(self, body: Any, rounds: Tensor, start: Sequence[Tensor], outputs: Sequence[str]) -> None:
        """A finished graph, run up to ``rounds`` () times; ``outputs`` are the names of what it gives."""
        given = [rounds, self.tensor(True, bool), *start]
        self.nodes.append(helper.make_node("Loop", [t.name for t in given], list(outputs), body=body))

    def name(self, tensor: Tensor, name: str) -> Tensor:
        """The tensor by a name that others can ask for."""
        self.nodes.append(helper.make_node("Identity", [tensor.name], [name]))
        return Tensor(self, name, tensor.dtype)

    def finish(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        """The onnx GraphProto; of inputs and outputs :func:`declared`."""
        used = {n for node in self.nodes for n in node.input}
        return helper.make_graph(
            self.nodes, name, inputs, outputs, [c for n, c in self.constants.items() if n in used]
        )


def declared(name: str, dtype: Any, shape: Sequence[int | str]) -> Any:
    """An input or output with its type and its shape; a text is an axis of any length."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


class Complex:
    """A complex number, or many, as two tensors: similarities of the plane are products."""

    def __init__(self, re: Tensor, im: Tensor) -> None:
        self.re, self.im = re, im

    @classmethod
    def of(cls, graph: Graph, value: Any) -> Complex:
        value = np.asarray(value)
        return cls(graph.tensor(value.real, float), graph.tensor(value.imag, float))

    @classmethod
    def points(cls, xy: Tensor) -> Complex:
        """(K, 2) as (K,)."""
        both = xy.to(np.float64)
        return cls(both.take(0, 1), both.take(1, 1))

    def __add__(self, other: Complex) -> Complex:
        return Complex(self.re + other.re, self.im + other.im)

    def __sub__(self, other: Complex) -> Complex:
        return Complex(self.re - other.re, self.im - other.im)

    def __mul__(self, other: Complex) -> Complex:
        return Complex(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)

    def scaled(self, factor: Any) -> Complex:
        return Complex(self.re * factor, self.im * factor)

    def inverse(self) -> Complex:
        power = self.re * self.re + self.im * self.im
        return Complex(self.re / power, -self.im / power)

    def conj(self) -> Complex:
        return Complex(self.re, -self.im)

    def abs(self) -> Tensor:
        return (self.re * self.re + self.im * self.im).sqrt()

    def sum(self, *axes: int, keep: bool = False) -> Complex:
        return Complex(self.re.sum(*axes, keep=keep), self.im.sum(*axes, keep=keep))

    def reshape(self, *shape: int) -> Complex:
        return Complex(self.re.reshape(*shape), self.im.reshape(*shape))

    def xy(self) -> Tensor:
        """(K,) as (K, 2)."""
        return self.re.graph.stack([self.re, self.im], 1)


class Crop:
    """The picture that all parts see: BGR (3, H, W) float32 of whole numbers; grey (H, W) made once."""

    def __init__(self, bgr: Tensor, size_hw: tuple[int, int]) -> None:
        self.bgr, self.size_hw, self.graph = bgr, size_hw, bgr.graph
        self._grey: Tensor | None = None
        self._mirrored: Crop | None = None

    @property
    def grey(self) -> Tensor:
        """As ``cv2.cvtColor`` makes it: 15 bits of fixed point, rounded."""
        if self._grey is None:
            weights = np.array([3735, 19235, 9798], np.float32).reshape(3, 1, 1)
            total = (self.bgr * weights).sum(0, keep=False)
            self._grey = ((total + 16384.0) / 32768.0).floor()
        return self._grey

    def maps(self, node: Mapping[str, Any]) -> Tensor:
        """The ``maps`` of the node's ``graph``."""
        if "looks" in node:
            raise InputError("looks (fusion) have no ONNX form: export to a .hkr file instead")
        image = {"image": self.planes(node["channels"])}
        return self.graph.inline(node["graph"], image, ["maps"])[0]

    def planes(self, channels: int) -> Tensor:
        """(1, channels, H, W) for a network."""
        picture = self.bgr if channels == 3 else self.grey
        return picture.reshape(1, channels, *self.size_hw)

    def mirrored(self) -> Crop:
        if self._mirrored is None:
            self._mirrored = Crop(self.bgr.slice(2, -1, -(2**31), -1), self.size_hw)
        return self._mirrored


Points = tuple[Tensor, Tensor]  #: (K, 2) and (K,) float32


def emit(node: dict[str, Any], crop: Crop, *given: Tensor) -> Points:
    """What a node of a runtime file says of a crop, written into the crop's graph.

    ``ROOM/graphs/NAME.py`` writes what ``ROOM/nodes/NAME.py`` computes; ``given`` are the points that a
    refiner starts from.

    Raises
    ------
    InputError
        For a node that has no such file, by the part's name.
    """
    found: Points = _form(node).emit(node, crop, *given)
    return found


def emit_all(node: dict[str, Any], crop: Crop) -> dict[str, Tensor]:
    """All that a node of a runtime file says of a crop: ``xy``, ``score``, and what it knows besides.

    A file of a ``graphs`` folder that knows more has ``emit_outputs`` beside ``emit``.
    """
    form = _form(node)
    if hasattr(form, "emit_outputs"):
        found: dict[str, Tensor] = form.emit_outputs(node, crop)
        return found
    return dict(zip(("xy", "score"), form.emit(node, crop), strict=True))


def _form(node: dict[str, Any]) -> Any:
    """The module that writes a node's kind."""
    room, _, name = str(node["kind"]).partition(".")
    try:
        return import_module(f"{_PACKAGE}.{room}.graphs.{name}")
    except ModuleNotFoundError:
        raise InputError(
            f"{name.replace('_', ' ')} ({room}) has no ONNX form: export to a .hkr file instead"
        ) from None


def members(node: dict[str, Any], crop: Crop) -> tuple[Tensor, Tensor]:
    """(M, K, 2) float64 points and (M, K) float64 scores of a rule's members."""
    pairs = [emit(member, crop) for member in node["members"]]
    xy = crop.graph.stack([p[0] for p in pairs], 0)
    return xy.to(np.float64), crop.graph.stack([p[1] for p in pairs], 0).to(np.float64)


def logit(score: Tensor) -> Tensor:
    """As :func:`hybridkp.stats.calibration.logit`."""
    clipped = score.clip(0.01, 0.99)
    return (clipped / (1.0 - clipped)).log()


def sigmoid(value: Tensor) -> Tensor:
    """Written out: not every engine has the operator for float64."""
    return 1.0 / ((-value).exp() + 1.0)


def recalibrated(score: Tensor, calibration: Any) -> Tensor:
    """As :func:`hybridkp.fusion.kernels.recalibrated` where all are there."""
    slope, offset = (float(v) for v in calibration)
    return sigmoid(logit(score) * slope + offset).to(np.float32)
