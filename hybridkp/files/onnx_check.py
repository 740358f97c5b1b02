"""ONNX graphs looked through before any engine sees them: operators, sizes and costs.

An ONNX file can read other files of the machine, loop for ever, or ask for gigabytes in a few bytes.
Our own graphs are held against what our exporters write, with every shape inferred and memory and
multiply-adds bounded; others' against a wider list of operators.  Nothing is run here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .onnx_graph import MAX_RANK, Graph, GraphError, read_graph
from .onnx_shapes import OWN, Known, inferred

MAX_ELEMENTS = 250_000_000  #: of all tensors of one run together: a gigabyte of float32
MAX_MULTIPLY_ADDS = 100e9  #: of one run: some ten seconds of one core

#: what others' graphs (YOLO-pose, ALIKED, XFeat, DISK, LightGlue, ...) may use beside our own operators.
#: Absent on purpose: operators that call out (functions, custom domains), random and training ones.
FOREIGN = frozenset(
    """Abs Acos And ArgMax ArgMin Asin Atan Cast CastLike Ceil Celu
    Cos CumSum Dropout DynamicQuantizeLinear Elu Erf Floor GatherElements
    GatherND Gelu GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization
    HardSigmoid HardSwish If InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Less
    LessOrEqual LogSoftmax Loop LpNormalization MatMulInteger Max Mean Min Mish Mod Neg NonMaxSuppression
    NonZero Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul Range Reciprocal ReduceL1
    ReduceL2 ReduceLogSumExp ReduceMax ReduceMin ReduceProd ReduceSumSquare Round ScatterElements ScatterND
    Selu Sign Sin Softplus SpaceToDepth Split Sum TopK Transpose Trilu Unique Xor""".split()  # noqa: SIM905
)


def check_foreign(data: bytes) -> Graph:
    """A graph of others: operators of one list, graphs inside graphs too, nothing outside the file.

    What it costs to run is not promised: a loop may be long.

    Raises
    ------
    GraphError
        With the operator's name.
    """
    graph = read_graph(data)
    left = [graph]
    while left:
        for node in left.pop().nodes:
            if node.op not in FOREIGN and node.op not in OWN:
                raise GraphError(f"uses the operator {node.op[:40]!r}, which is not on the list of the docs")
            left += [value for value in node.attributes.values() if isinstance(value, Graph)]
    return graph


def check_own(data: bytes, inputs: Mapping[str, Sequence[int]] | None = None) -> dict[str, tuple[int, ...]]:
    """A graph as our exporters write it: its operators, no graph inside, bounded memory and cost.

    Parameters
    ----------
    inputs : name -> shape, for sizes that the file leaves open

    Returns
    -------
    dict : name -> shape of every output

    Raises
    ------
    GraphError
        For anything else.
    """
    return _followed(data, inputs or {})[0]


def multiply_adds(data: bytes) -> float:
    """Of one run of a graph of ours, as :func:`check_own` bounds them.

    Raises
    ------
    GraphError
        As :func:`check_own`.
    """
    return _followed(data, {})[1]


def _followed(data: bytes, inputs: Mapping[str, Sequence[int]]) -> tuple[dict[str, tuple[int, ...]], float]:
    """What :func:`check_own` gives, and the multiply-adds of one run."""
    graph = read_graph(data)
    known = {name: Known(c.shape, c.value) for name, c in graph.constants.items()}
    for name, shape in graph.inputs.items():
        said = inputs.get(name, shape)
        said = said if len(said) == len(shape) else shape
        given = tuple(int(n or m) for n, m in zip(shape, said, strict=True))
        if len(given) > MAX_RANK or any(n <= 0 for n in given):
            raise GraphError(f"leaves the size of its input {name[:40]!r} open")
        known[name] = Known(given)
    elements, cost = float(sum(math.prod(k.shape) for k in known.values())), 0.0
    for node in graph.nodes:
        if node.op not in OWN:
            raise GraphError(f"uses the operator {node.op[:40]!r}, which our exporters do not write")
        if any(isinstance(value, Graph) for value in node.attributes.values()):
            raise GraphError("holds a graph inside a graph")
        made, spent = inferred(node, [known.get(name) if name else None for name in node.inputs])
        for name, what in zip(node.outputs, made, strict=False):
            elements += math.prod(what.shape)
            known[name] = what
        cost += spent
        if elements > MAX_ELEMENTS or cost > MAX_MULTIPLY_ADDS:
            raise GraphError(
                f"would take {elements * 4 / 1e9:.1f} GB and {cost / 1e9:.0f} billion multiply-adds:"
                f" at most {MAX_ELEMENTS * 4 / 1e9:.0f} GB and {MAX_MULTIPLY_ADDS / 1e9:.0f} are run"
            )
    missing = [name for name in graph.outputs if name not in known]
    if missing or not graph.outputs:
        raise GraphError("does not compute its outputs")
    return {name: known[name].shape for name in graph.outputs}, cost
