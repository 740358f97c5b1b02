"""Others' networks and others' rows: decoded where they say, scored beside ours, combined with ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hybridkp import memory
from hybridkp.cli import main
from hybridkp.datasets import convert_dataset, from_arrays, load_dataset
from hybridkp.evaluate import ask_ready_made, evaluate, fuse_rows
from hybridkp.files import load_model, save_model
from hybridkp.files.graphs import open_graph
from hybridkp.peers import OnnxLandmarks
from hybridkp.recipes import make_finder, make_method, make_rule
from hybridkp.structures import Dataset, InputError, Instance, Predictions, Sample

onnx = pytest.importorskip("onnx", reason="the extra 'onnx'")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

SIDE = 64


def net(
    path: Path, nodes: list[Any], weights: dict[str, Any], outputs: list[str], shape: Any = (1, 3, SIDE, SIDE)
) -> Path:
    start = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    kept = [numpy_helper.from_array(np.asarray(v), name) for name, v in weights.items()]
    graph = helper.make_graph(nodes, "g", [start], ends, kept)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def says(path: Path, **values: Any) -> Path:
    """A network that says the same of every picture."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0),
        helper.make_node("Mul", ["m", "none"], ["z"]),
    ]
    nodes += [helper.make_node("Add", [f"c_{name}", "z"], [name]) for name in values]
    weights = {f"c_{name}": np.asarray(v, np.float32) for name, v in values.items()}
    return net(path, nodes, weights | {"none": np.float32(0)}, list(values))


def sees(path: Path) -> Path:
    """Heat maps of a quarter of the size: how red, how green."""
    weights = {"w": np.eye(3, dtype=np.float32)[:2].reshape(2, 3, 1, 1)}
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"])]
    nodes.append(helper.make_node("AveragePool", ["c"], ["y"], kernel_shape=[4, 4], strides=[4, 4]))
    return net(path, nodes, weights, ["y"])


def marked(n: int, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Pictures with a red and a green square that fill a cell each, and their middles (N, 2, 2)."""
    rng, cell = np.random.default_rng(0), 4 * side // SIDE
    images, xy = np.zeros((n, side, side, 3), np.uint8), np.zeros((n, 2, 2))
    for b in range(n):
        for k, (i, j) in enumerate(rng.permutation(14)[:4].reshape(2, 2) + 1):
            images[b, i * cell : (i + 1) * cell, j * cell : (j + 1) * cell, 2 - k] = 255
            xy[b, k] = (np.array([j, i]) + 0.5) * cell - 0.5
    return images, xy


@pytest.mark.parametrize("side", [SIDE, 2 * SIDE])
def test_heat_maps_lie_where_the_pixels_are(side: int, tmp_path: Path) -> None:
    images, xy = marked(3, side)
    model = make_method(f'onnx[file="{sees(tmp_path / "a.onnx")}",pixels=unit]').fit(images, xy)
    found, score = model.predict_with_score(images)
    np.testing.assert_allclose(found, xy, atol=0.05)  # a half-pixel shift is ten times that
    assert (score > 0.7).all()
    save_model(model, tmp_path / "m.hkp")
    np.testing.assert_array_equal(load_model(tmp_path / "m.hkp").predict(images), found)
    swapped = OnnxLandmarks(str(tmp_path / "a.onnx"), pixels="unit", colour="bgr", take=[1, 0]).fit(
        images, xy
    )
    assert np.abs(swapped.predict(images) - xy).max() > 4, "blue is nowhere"


PLACE = np.array([[10.0, 20.0], [30.5, 41.0]])


def _bins(values: np.ndarray) -> np.ndarray:
    out = np.zeros((1, 2, 2 * SIDE))
    out[0, [0, 1], np.rint(2 * values).astype(int)] = 0.8
    return out


def _yolo(rows: int = 3) -> np.ndarray:
    out = np.zeros((1, 5 + 6, rows))
    out[0, 4] = [0.1, 0.9, 0.5]
    out[0, 5:] = 1.0
    out[0, 5:, 1] = np.column_stack([PLACE, [0.7, 0.6]]).ravel()
    return out


KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], Any]] = {
    "simcc": ({}, {"a": _bins(PLACE[:, 0]), "b": _bins(PLACE[:, 1])}, [0.8, 0.8]),
    "yolo": ({}, {"a": _yolo()}, [0.7, 0.6]),
    "yolo, turned": ({"output": "yolo"}, {"a": _yolo().transpose(0, 2, 1)}, [0.7, 0.6]),
    "points": ({}, {"a": np.column_stack([PLACE, [0.7, 0.6]])[None]}, [0.7, 0.6]),
    "flat": ({}, {"a": PLACE.reshape(1, 4)}, [1, 1]),
    "shares": ({"unit": "share"}, {"a": (PLACE + 0.5).reshape(1, 4) / SIDE}, [1, 1]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_output(kind: str, tmp_path: Path) -> None:
    options, outputs, sure = KINDS[kind]
    path = says(tmp_path / "a.onnx", **outputs)
    images, xy = np.zeros((2, SIDE, SIDE, 3), np.uint8), np.zeros((2, 2, 2))
    found, score = OnnxLandmarks(str(path), **options).fit(images, xy).predict_with_score(images)
    np.testing.assert_allclose(found, [PLACE] * 2, atol=1e-4)
    np.testing.assert_allclose(score, [sure] * 2, atol=1e-5)


@pytest.mark.parametrize(("aligned", "at"), [("edges", 21.5), ("cells", 20), ("corners", 21)])
def test_heat_maps_are_aligned_as_one_says(aligned: str, at: float, tmp_path: Path) -> None:
    maps = np.zeros((1, 2, 16, 16))
    maps[..., 5, 5] = 1
    path = says(tmp_path / "a.onnx", a=maps)
    images, xy = np.zeros((1, SIDE, SIDE), np.uint8), np.zeros((1, 2, 2))
    found = OnnxLandmarks(str(path), aligned=aligned).fit(images, xy).predict(images)
    np.testing.assert_allclose(found, np.full((1, 2, 2), at), atol=1e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p, "No such file"),
        (lambda p: p.write_bytes(b"no graph") and p, "not ONNX"),
        (lambda p: says(p, a=np.zeros((1, 5, 7))), "none that are known for 2 landmarks"),
        (lambda p: says(p, a=np.zeros((1, 2, 0, 0))), "heat maps are .* gives .1, 2, 0, 0."),
        (lambda p: net(p, [helper.make_node("Relu", ["x"], ["y"])], {}, ["y"], (1, 9)), "is no picture"),
    ],
)
def test_networks_that_do_not_fit_are_one_line(make: Any, words: str, tmp_path: Path) -> None:
    path = make(tmp_path / "a.onnx")
    with pytest.raises(InputError, match=words) as caught:
        OnnxLandmarks(str(path)).fit(np.zeros((1, 32, 32), np.uint8), np.zeros((1, 2, 2)))
    assert "a.onnx" in str(caught.value) and "\n" not in str(caught.value)


def test_another_file_of_the_name_is_another_fit(tmp_path: Path) -> None:
    images, xy = np.zeros((2, SIDE, SIDE, 3), np.uint8), np.zeros((2, 2, 2))
    path = says(tmp_path / "a.onnx", a=np.full((1, 2, 2), 5.0))
    model = OnnxLandmarks(str(path))
    with memory.remember(tmp_path / "fits"):
        assert (memory.fitted(model, images, xy).predict(images) == 5).all()
        says(path, a=np.full((1, 2, 2), 9.0))
        assert (memory.fitted(model, images, xy).predict(images) == 9).all()


# --------------------------------------------------------------------------------------------
# in one table with ours
# --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("squares")
    images, xy = marked(24)
    big = np.stack([cv2.resize(i, (96, 96), interpolation=cv2.INTER_NEAREST) for i in images])
    data = from_arrays(
        big,
        (xy + 0.5) * 1.5 - 0.5,
        boxes=[[9.6, 9.6, 76.8, 76.8]] * 24,
        landmarks=["red", "green"],
        groups=[f"g{n // 3}" for n in range(24)],
    )
    convert_dataset(data, folder / "data")
    sees(folder / "net.onnx")
    return folder


def test_a_network_is_a_row_of_the_table(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = says(tmp_path / "dull.onnx", a=np.full((1, 2, 2), 31.5))
    theirs = ["--predictions", f"net={squares / 'net.onnx'}[pixels=unit]", "--predictions", f"dull={other}"]
    code = main(["evaluate", str(squares / "data"), *theirs, "--fuse", "vote", "--fuse", "average",
                 "-o", str(tmp_path / "out")])  # fmt: skip
    told = capsys.readouterr()
    assert code == 0, told.err
    for name in ("net", "dull", "vote(net,dull)", "average(net,dull)"):
        assert name in told.out
    data = load_dataset(squares / "data")
    row = ask_ready_made(OnnxLandmarks(str(squares / "net.onnx"), pixels="unit"), data, "net")
    truth = np.stack([s.instances[0].xy for s in data])
    np.testing.assert_allclose(row.xy, truth, atol=0.1)
    with pytest.raises(InputError, match="two rows"):
        fuse_rows([row], data, make_rule("vote", ["net"]), "vote")
    with pytest.raises(InputError, match="more than points"):
        fuse_rows([row, row], data, make_rule("product", ["a", "b"]), "product")


def noisy(data: Dataset, name: str, spread: float, missing: int = 0) -> Predictions:
    truth = np.stack([s.instances[0].xy for s in data])
    xy = truth + np.random.default_rng(len(name)).normal(0, spread, truth.shape)
    xy[:missing] = np.nan
    rows = tuple(s.name for s in data), np.zeros(len(data), int), np.full(len(data), np.nan)
    return Predictions(name, xy, np.full(truth.shape[:2], 0.7), *rows, fingerprint=data.fingerprint)


@pytest.mark.parametrize("rule", ["average", "vote", "stack", "shape"])
def test_rules_over_others_rows_learn_on_other_groups(rule: str) -> None:
    rng = np.random.default_rng(0)
    shape = rng.uniform(20, 76, (5, 2))
    xy = shape + rng.normal(0, 3, (120, 1, 2)) + rng.normal(0, 1, (120, 5, 2))
    data = from_arrays(
        np.zeros((120, 96, 96), np.uint8), xy, groups=np.arange(120) // 2, boxes=[[8, 8, 80, 80]] * 120
    )
    rows = [noisy(data, "a", 2.0), noisy(data, "bb", 2.0, missing=5), noisy(data, "ccc", 2.0)]
    names = [row.method for row in rows]
    found = fuse_rows(rows, data, make_rule(rule, names), "all")

    def error(row: Predictions) -> float:
        return float(np.nanmean(np.linalg.norm(row.xy - xy, axis=2)))

    assert np.isfinite(found.xy).all(), "two others speak where one says nothing"
    assert error(found) < 0.75 * min(map(error, rows)), "three independent ones: 0.58"
    again = fuse_rows(rows, data, make_rule(rule, names), "all")
    np.testing.assert_array_equal(found.xy, again.xy)
    late = fuse_rows([r for r in rows if r.method != "bb"], data, make_rule(rule, ["a", "ccc"]), "two")
    assert error(late) < min(map(error, rows))


def test_what_learns_is_no_row(squares: Path, tmp_path: Path) -> None:
    with pytest.raises((InputError, TypeError)):
        evaluate(
            [], load_dataset(squares / "data"), out=tmp_path, predictions={"x": make_method("hog+ridge")}
        )


@pytest.mark.parametrize(
    ("outputs", "options"),
    [
        (
            {"o": np.transpose([[[24.0, 28, 16, 8, 0.2, 0.9]] * 2 + [[9.0, 9, 4, 4, 0, 0]] * 9], (0, 2, 1))},
            "",
        ),
        ({"o": np.transpose([[[24.0, 28, 16, 8, 0.9]] + [[9.0, 9, 4, 4, 0]] * 9], (0, 2, 1))}, ""),
        ({"o": [[[16.0, 24, 32, 32, 0.9, 2], [0, 24, 8, 32, 0.9, 1]]]}, "category=2,"),
        ({"b": [[16.0, 24, 32, 32]], "n": [1.0], "s": [0.9]}, ""),
        ({"b": [[[0.25, 0.375, 0.5, 0.5]]], "s": [[0.9]]}, "unit=share,"),
    ],
)
def test_boxes_of_others_come_back_to_the_picture(tmp_path, outputs, options) -> None:
    net = says(tmp_path / "net.onnx", **outputs)
    finder = make_finder(f'onnx[{options}file="{net}"]')
    image = np.zeros((40, 80, 3), np.uint8)  # in 64 x 64: by 0.8, and 16 px down
    boxes, score = finder.find(image)
    np.testing.assert_allclose(boxes, [[20, 10, 20, 10]], atol=1e-4)
    assert score == pytest.approx([0.9], abs=1e-4)
    own = [Instance([[25.0, 15]], box_xywh=[22, 12, 20, 10]), Instance([[60.0, 30]], box_xywh=[50, 20, 9, 9])]
    samples = [Sample(f"{i}.png", lambda: image, tuple(own), str(i)) for i in range(4)]
    model = finder.fit(samples)
    save_model(model, tmp_path / "m.hkp")
    net.unlink()
    boxes, score = load_model(tmp_path / "m.hkp").find(image)
    np.testing.assert_allclose(boxes, [[22, 12, 20, 10]], atol=1e-3)


def test_boxes_that_nobody_knows_are_told(tmp_path) -> None:
    for outputs, options, told in (
        ({"o": [[1.0, 2]]}, "", "no boxes that are known"),
        ({"o": [[[1.0, 1, 1, 1, 1]] * 9]}, "category=3,", "none with the number 3"),
        ({"a": [1.0], "b": [2.0]}, "", r"no boxes \(N, 4\)"),
    ):
        net = says(tmp_path / "net.onnx", **outputs)
        with pytest.raises(InputError, match=told):
            make_finder(f'onnx[{options}file="{net}"]').find(np.zeros((9, 9), np.uint8))
    with pytest.raises(InputError, match="give the file"):
        make_finder("onnx").find(np.zeros((9, 9), np.uint8))
    with pytest.raises(InputError, match="colour must be one of rgb, bgr"):
        make_finder(f'onnx[colour=red,file="{net}"]').find(np.zeros((9, 9), np.uint8))


def test_a_graph_is_opened_once_and_again_when_its_file_is_another(monkeypatch, tmp_path) -> None:
    opened: list[int] = []

    def opener(graph: bytes, *facts: Any) -> Any:
        opened.append(len(graph))
        return open_graph(graph, *facts)

    monkeypatch.setattr("hybridkp.peers.onnx.open_graph", opener)
    net = says(tmp_path / "net.onnx", b=[[16.0, 24, 32, 32]], s=[0.9])
    image, finder = np.zeros((SIDE, SIDE, 3), np.uint8), make_finder(f'onnx[file="{net}"]')
    finder.find(image)
    finder.find(image)
    own = Instance([[25.0, 15]], box_xywh=[16, 24, 16, 8])
    model = finder.fit([Sample(f"{i}.png", lambda: image, (own,), str(i)) for i in range(3)])
    model.find(image)
    assert len(opened) == 1
    says(net, b=[[0.0, 0, 32, 16]], s=[0.8])
    np.testing.assert_allclose(make_finder(f'onnx[file="{net}"]').find(image)[0], [[0, 0, 32, 16]], atol=1e-4)
    assert len(opened) == 2
    images, xy = marked(2)
    points = make_method(f'onnx[file="{sees(tmp_path / "a.onnx")}",pixels=unit]').fit(images, xy)
    points.predict(images)
    points.predict(images)
    assert len(opened) == 3
