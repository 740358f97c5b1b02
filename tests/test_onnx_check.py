"""Strangers' ONNX graphs: nothing outside the file, no endless loop, no gigabytes, and never a traceback."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hybridkp.checks import make_problem
from hybridkp.files.onnx_check import check_foreign, check_own, multiply_adds
from hybridkp.files.onnx_graph import GraphError, read_graph
from hybridkp.files.onnx_shapes import OWN

NET = Path(__file__).parents[1] / "hybridkp" / "points" / "weights" / "net.onnx"
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def model(nodes: list[Any], constants: dict[str, Any] | None = None, shape: Any = (1, 1, 8, 8)) -> bytes:
    """A graph from ``image`` to ``out``."""
    made = [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", FLOAT, shape)],
        [helper.make_tensor_value_info("out", FLOAT, None)],
        made,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def node(op: str, *inputs: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs, ["out"], **attributes)


def int64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


BODY = helper.make_graph(
    [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Identity", ["s"], ["t"])],
    "body",
    [
        helper.make_tensor_value_info(n, k, s)
        for n, k, s in (("i", INT64, []), ("c", TensorProto.BOOL, []), ("s", FLOAT, None))
    ],
    [helper.make_tensor_value_info(n, k, s) for n, k, s in (("d", TensorProto.BOOL, []), ("t", FLOAT, None))],
)
REFUSED: dict[str, tuple[bytes, str]] = {
    "an endless loop": (
        model([node("Loop", "n", "yes", "image", body=BODY)], {"n": np.array(2**62), "yes": np.array(True)}),
        "Loop",
    ),
    "gigabytes from a constant": (model([node("ConstantOfShape", "n")], {"n": int64(1_500_000_000)}), "GB"),
    "gigabytes by repetition": (
        model([node("Tile", "image", "n")], {"n": int64(1, 1, 10_000, 10_000)}),
        "GB",
    ),
    "gigabytes by expansion": (model([node("Expand", "image", "n")], {"n": int64(100_000, 100, 8, 8)}), "GB"),
    "gigabytes by resizing": (
        model([node("Resize", "image", "", "", "n")], {"n": int64(1, 1, 32768, 32768)}),
        "GB",
    ),
    "an outer product": (
        model(
            [helper.make_node("Reshape", ["w", "n"], ["column"]), node("MatMul", "column", "w")],
            {"w": np.zeros((1, 50_000), np.float32), "n": int64(50_000, 1)},
        ),
        "GB",
    ),
    "a padded convolution": (
        model([node("Conv", "image", "w", pads=[40_000] * 4)], {"w": np.zeros((1, 1, 3, 3), np.float32)}),
        "GB",
    ),
    "a transposed convolution of huge steps": (
        model(
            [node("ConvTranspose", "image", "w", strides=[9000, 9000])],
            {"w": np.zeros((1, 1, 3, 3), np.float32)},
        ),
        "GB",
    ),
    "a transposed convolution of other channels": (
        model([node("ConvTranspose", "image", "w")], {"w": np.zeros((4, 1, 3, 3), np.float32)}),
        "ConvTranspose",
    ),
    "a batch norm of other channels": (
        model([node("BatchNormalization", "image", "w", "w", "w", "w")], {"w": np.zeros(5, np.float32)}),
        "BatchNormalization",
    ),
    "an operator that nobody knows": (model([node("Detonate", "image")]), "Detonate"),
    "another domain": (model([helper.make_node("Relu", ["image"], ["out"], domain="evil")]), "domain"),
    "a size left open": (model([node("Relu", "image")], shape=(1, 1, "h", "w")), "open"),
    "an output that is not made": (model([helper.make_node("Relu", ["image"], ["other"])]), "outputs"),
    "an input that is not made": (model([node("Relu", "ghost")]), "before"),
    "nothing": (b"", "no graph"),
    "text": (b"not a graph, but long enough to look like one", "ONNX"),
}


def external(location: str) -> bytes:
    tensor = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[16])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    found = onnx.load_from_string(model([node("Relu", "image")]))
    found.graph.initializer.append(tensor)
    return found.SerializeToString()


@pytest.mark.parametrize("name", REFUSED)
def test_refused_of_ours(name: str) -> None:
    data, why = REFUSED[name]
    with pytest.raises(GraphError, match=why):
        check_own(data)


@pytest.mark.parametrize("check", [check_own, check_foreign])
@pytest.mark.parametrize("where", ["/etc/passwd", "../../secret", "weights.bin"])
def test_no_graph_reads_another_file(check: Any, where: str) -> None:
    with pytest.raises(GraphError, match="external"):
        check(external(where))


def test_external_data_inside_a_loop_is_found() -> None:
    body = onnx.GraphProto()
    body.CopyFrom(BODY)
    body.initializer.append(onnx.load_from_string(external("/etc/passwd")).graph.initializer[0])
    data = model([node("Loop", "n", "yes", "image", body=body)], {"n": np.array(2), "yes": np.array(True)})
    with pytest.raises(GraphError, match="external"):
        check_foreign(data)


def test_others_may_loop_but_not_do_anything() -> None:
    assert check_foreign(REFUSED["an endless loop"][0]).outputs == ["out"]
    for name in ("an operator that nobody knows", "another domain"):
        with pytest.raises(GraphError):
            check_foreign(REFUSED[name][0])


def test_functions_are_refused() -> None:
    found = onnx.load_from_string(model([node("Relu", "image")]))
    found.functions.append(
        helper.make_function("evil", "F", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], [])
    )
    with pytest.raises(GraphError, match="functions"):
        check_foreign(found.SerializeToString())


def _graphs(tree: Any) -> list[bytes]:
    if isinstance(tree, bytes):
        return [tree]
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [graph for part in inner for graph in _graphs(part)]


@pytest.fixture(scope="module")
def ours() -> list[bytes]:
    """Graphs of every kind that our exporters write."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    from hybridkp import deep, fusion
    from hybridkp.deep.export import export_onnx
    from hybridkp.deep.networks import Pyramid
    from hybridkp.runtime.int8 import in_8_bits

    p = make_problem(8)
    tiny = deep.Schedule(max_epochs=1, epoch_pictures=16)
    heatmap = deep.HeatmapNet(input_px=32, decoding="mode", schedule=tiny)
    made = [fusion.MirrorAverage(heatmap), deep.DirectNet(input_px=48, schedule=tiny)]
    made.append(deep.HeatmapNet(input_px=96, decoding="mean", schedule=tiny))
    direct = deep.DirectNet(input_px=32, schedule=tiny)
    made.append(fusion.Refined(direct, deep.CNNRefiner(schedule=tiny), cv=2))
    fitted = [m.fit(p.images, p.xy, groups=p.groups, flip=p.flip) for m in made]
    graphs = [g for m in fitted for g in _graphs(m.runtime_node())]
    zoo = [deep.HeatmapNet(32, backbone=b)._make(2).eval() for b in ("deconv", Pyramid(fusion="convgru"))]
    small = _graphs(in_8_bits(fitted[1].runtime_node(), p.images[:4]))
    graphs += [*small, *_graphs(fitted[0].maps_node(4))]
    return [*graphs, *(export_onnx(net, (1, 32, 32)) for net in zoo)]


def test_our_graphs_pass_and_their_shapes_are_known(ours: list[bytes]) -> None:
    ort = pytest.importorskip("onnxruntime")
    for data in ours:
        session = ort.InferenceSession(data)
        feed = {i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs()}
        names = [o.name for o in session.get_outputs()]
        real = {n: v.shape for n, v in zip(names, session.run(None, feed), strict=True)}
        assert check_own(data) == real
        check_foreign(data)


def test_the_shipped_network_passes() -> None:
    shapes = check_own(NET.read_bytes(), {"image": (1, 1, 480, 640)})
    assert all(shape[0] == 1 for shape in shapes.values()) and len(shapes) >= 2
    with pytest.raises(GraphError, match="GB"):
        check_own(NET.read_bytes(), {"image": (1, 1, 40_000, 40_000)})


def test_multiply_adds_are_counted() -> None:
    data = model([node("Conv", "image", "w", pads=[1] * 4)], {"w": np.zeros((2, 1, 3, 3), np.float32)})
    assert multiply_adds(data) == 2 * 8 * 8 * 9
    data = model(
        [node("ConvTranspose", "image", "w", strides=[2, 2])], {"w": np.zeros((1, 3, 4, 4), np.float32)}
    )
    assert multiply_adds(data) == 8 * 8 * 3 * 16 and check_own(data) == {"out": (1, 3, 18, 18)}


def test_the_list_holds_no_operator_that_we_do_not_write(ours: list[bytes]) -> None:
    written = {n.op for data in (*ours, NET.read_bytes()) for n in read_graph(data).nodes}
    assert set(OWN) == written


def test_damaged_graphs_are_refused_in_a_line(ours: list[bytes]) -> None:
    """Bytes flipped, cut and doubled: success or our own error, never another."""
    rng = random.Random(0)
    refused = 0
    for case in range(1500):
        data = bytearray(min(ours, key=len) if case % 3 else REFUSED["an outer product"][0])
        start = len(data) if case % 2 else min(len(data), 4000)  # weights are most of a file
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(start)
            match rng.randrange(3):
                case 0:
                    data[at] = rng.randrange(256)
                case 1:
                    del data[at : at + rng.randint(1, 40)]
                case _:
                    data[at:at] = data[at : at + rng.randint(1, 40)]
            start = max(1, min(start, len(data)))
        for check in (check_own, check_foreign):
            try:
                check(bytes(data))
            except GraphError as error:
                refused += 1
                assert len(str(error)) < 300 and "\n" not in str(error)
    assert refused > 300
