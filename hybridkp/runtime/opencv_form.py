"""A flat ONNX graph in the forms that ``cv2.dnn`` of old OpenCVs can read, the same numbers.

OpenCV 4.6 (Debian 12) cannot divide by a tensor that is one number, clip between constants, or multiply small
tensors by a row of numbers; pooling, convolutions and operands of equal shapes it has always had.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from onnx import helper, numpy_helper, shape_inference

BROADCAST = ("Add", "Sub", "Mul", "Div")


def for_opencv(model: Any) -> Any:
    """The model with means of whole pictures as pooling, clips as rectifiers, small constants written out."""
    model = shape_inference.infer_shapes(model, data_prop=True)
    graph, shapes = model.graph, _shapes(model.graph)
    values = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
    values |= {
        n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in graph.node if n.op_type == "Constant"
    }
    made: list[Any] = []
    nodes = list(graph.node)
    whole = {
        second.output[0]: first.input[0]
        for first, second in itertools.pairwise(nodes)
        if _is_mean(first, [2, 3]) and _is_mean(second, [1]) and second.input[0] == first.output[0]
    }
    halfway = {n.input[0] for n in nodes if n.output[0] in whole}
    for node in nodes:
        if node.output[0] in halfway:
            continue
        if node.output[0] in whole:
            source = whole[node.output[0]]
            made += _pooled(graph, source, node.output[0], shapes[source])
        elif node.op_type == "Clip":
            made += _rectified(node)
        else:
            if node.op_type in BROADCAST:
                _written_out(graph, node, shapes, values)
            made.append(node)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(made)
    return model


def _shapes(graph: Any) -> dict[str, tuple[int, ...]]:
    infos = (*graph.input, *graph.value_info, *graph.output)
    return {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in infos}


def _is_mean(node: Any, axes: list[int]) -> bool:
    found = [list(a.ints) for a in node.attribute if a.name == "axes"]
    return node.op_type == "ReduceMean" and found == [axes]


def _pooled(graph: Any, source: str, target: str, shape: tuple[int, ...]) -> list[Any]:
    """The mean over channels, rows and columns, (1, C, 1, 1): once for each channel."""
    _, channels, h, w = shape
    share, mean = f"share{channels}", f"{target}_mean"
    if share not in {c.name for c in graph.initializer}:
        even = np.full((channels, channels, 1, 1), 1 / channels, np.float32)
        graph.initializer.append(numpy_helper.from_array(even, share))
    return [
        helper.make_node("AveragePool", [source], [mean], kernel_shape=[h, w], strides=[1, 1]),
        helper.make_node("Conv", [mean, share], [target], kernel_shape=[1, 1]),
    ]


def _rectified(node: Any) -> list[Any]:
    """low + relu(x - low) - relu(x - high); a missing end is left out."""
    names: list[str] = [*node.input, "", ""]
    x, low, high = names[:3]
    out, at, made = node.output[0], x, []
    for name, bound in (("low", low), ("high", high)):
        if bound:
            a, b, c = (f"{out}_{name}{i}" for i in range(3))
            ways = ([at, bound], "Add", [b, bound]) if name == "low" else ([bound, at], "Sub", [bound, b])
            made.append(helper.make_node("Sub", ways[0], [a]))
            made.append(helper.make_node("Relu", [a], [b]))
            made.append(helper.make_node(ways[1], ways[2], [c]))
            at = c
    made[-1].output[0] = out
    return made


def _written_out(graph: Any, node: Any, shapes: dict[str, Any], values: dict[str, Any]) -> None:
    """A constant operand of a small tensor in the result's own shape, and second."""
    shape = shapes.get(node.output[0], ())
    for i, name in enumerate(node.input):
        if name in values and 0 < len(shape) < 4 and values[name].shape != shape:
            full = f"{node.output[0]}_full{i}"
            whole = np.ascontiguousarray(np.broadcast_to(values[name], shape))
            graph.initializer.append(numpy_helper.from_array(whole, full))
            node.input[i] = full
    if node.op_type in ("Add", "Mul") and node.input[0].endswith("_full0"):
        node.input[0], node.input[1] = node.input[1], node.input[0]
