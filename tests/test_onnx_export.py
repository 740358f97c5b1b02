"""Whole detectors as one ONNX file: the same numbers from an engine alone, a card, and clear refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

import onnx

from hybridkp import cli, datasets, fusion, runtime
from hybridkp.checks import make_problem
from hybridkp.deep import CNNRefiner, DirectNet, HeatmapFeatures, HeatmapNet
from hybridkp.descriptors import HOG, SIFT
from hybridkp.evaluate import exported_figures, int8_model, make_crops
from hybridkp.files import save_model
from hybridkp.imaging.crops import to_picture
from hybridkp.landmarks import (
    CascadedRegressor,
    FastCascade,
    HolisticRegressor,
    HoughForest,
    LocalBinaryFeatures,
    MeanShape,
    PatchDetector,
    WithPresence,
)
from hybridkp.metrics import nme, normalizer_lengths
from hybridkp.runtime import export_onnx
from hybridkp.runtime.builder import Complex, Graph, Tensor, declared
from hybridkp.structures import InputError

PROBLEM = make_problem(16)
HELD_OUT = make_problem(24, random_state=1).images
SMALL = {"max_epochs": 1, "epoch_pictures": 16, "device": "cpu"}
#: kinds that look at an interpolated frame
WARPING = {
    "sdm",
    "sdm-hog",
    "chain",
    "further maps",
    "average",
    "vote",
    "vote, full covariance",
    "gated",
    "stack",
}
WARPING |= {"shape", "hog+svm"}
#: kinds that round what they found before they look again: pixels of trees, grey levels of frames
JUMPING = {"lbf", "sdm-hog", "hog+svm"}
OPENCV_4 = int(cv2.__version__.split(".")[0]) < 5


def heatmap(**options):
    return HeatmapNet(input_px=32, **options, schedule=HeatmapNet.default_schedule(**SMALL))


def fast(**options):
    return FastCascade(scales=(0.5, 1.0), **options)


def pair():
    return [("a", fast(start=MeanShape())), ("b", HolisticRegressor())]


def chain():
    """heatmap:flip:tree:shape:sdm, with every step made to stay."""
    inside = fusion.PictorialStructure(fusion.MirrorAverage(heatmap()), guard=False)
    return fast(start=fusion.ShapeVote([("x", inside)], guard=False), clip=2.0)


def refined():
    return fusion.Refined(MeanShape(), CNNRefiner(48, schedule=CNNRefiner.default_schedule(**SMALL)), cv=2)


KINDS = {
    "mean-shape": MeanShape,
    "hog+ridge": HolisticRegressor,
    "channels+ridge": lambda: HolisticRegressor("channels"),
    "sdm": lambda: fast(start=HolisticRegressor("channels")),
    "sdm-hog": lambda: CascadedRegressor(scales=(0.7, 1.0), start=MeanShape()),
    "lbf": lambda: LocalBinaryFeatures(radii=(0.2, 0.1), n_trees=2, max_depth=3, alpha=0.3),
    "hog+svm": lambda: PatchDetector(scales=(0.5, 1.0), n_hard=0),
    "direct": lambda: DirectNet(input_px=48, schedule=DirectNet.default_schedule(**SMALL)),
    "heatmap": heatmap,
    "heatmap, modes": lambda: heatmap(decoding="mode"),
    "heatmap:flip": lambda: fusion.MirrorAverage(heatmap()),
    "hog+ridge:flip": lambda: fusion.MirrorAverage(HolisticRegressor()),
    "tree": lambda: fusion.PictorialStructure(heatmap(), guard=False),
    "chain": chain,
    "further maps": lambda: fast(start=MeanShape(), maps=HeatmapFeatures(heatmap(), level="encoder")),
    "cnn": refined,
    "average": lambda: fusion.Average(pair(), weights=(2, 1)),
    "vote": lambda: fusion.WeightedVote(pair()),
    "vote, full covariance": lambda: fusion.WeightedVote(pair(), covariance="full"),
    "gated": lambda: fusion.GatedVote(pair(), guard=False),
    "stack": lambda: fusion.Stacking(pair(), n_neighbours=2, guard=False),
    "shape": lambda: fusion.ShapeVote(pair(), guard=False),
}
FITTED: dict[str, object] = {}


def fitted(kind):
    if kind not in FITTED:
        p = PROBLEM
        FITTED[kind] = KINDS[kind]().fit(p.images, p.xy, groups=p.groups, flip=p.flip)
    return FITTED[kind]


def one_by_one(model):
    """In a batch, the estimator's own products round differently."""
    pairs = [model.predict_with_score(image[None]) for image in HELD_OUT]
    return np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])


def blob(crops):
    return cv2.dnn.blobFromImages([np.ascontiguousarray(crop) for crop in crops])


#: what an application has: the engine, NumPy, a file
ALONE = """
import sys, json
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
for name in ("hybridkp", "cv2", "torch", "sklearn"):
    assert name not in sys.modules
crops = np.load("crops.npy")
xy, score = session.run(["xy", "score"], {"image": crops})
one = session.run(["xy"], {"image": crops[2:3]})[0]
assert np.array_equal(one[0], xy[2]), "batch free"
np.savez("found.npz", xy=xy, score=score)
print(json.dumps(session.get_modelmeta().custom_metadata_map))
"""


def alone(path, crops):
    np.save(path.parent / "crops.npy", crops)
    program = [sys.executable, "-c", ALONE, path.name]
    done = subprocess.run(program, cwd=path.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = np.load(path.parent / "found.npz")
    return found["xy"], found["score"], json.loads(done.stdout)


def in_engine(path, crops):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options).run(["xy", "score"], {"image": crops})


# --------------------------------------------------------------------------------------------
# the same numbers
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_says_the_same_in_onnx(tmp_path, kind):
    path = export_onnx(fitted(kind), tmp_path / "m.onnx")
    xy, score = in_engine(path, blob(HELD_OUT))
    wanted, confidence = one_by_one(fitted(kind))
    off = np.abs(xy - wanted).max(axis=(1, 2))
    if OPENCV_4 and kind in WARPING:  # it interpolates in steps of 1/32 px, the graphs as OpenCV 5 does
        assert np.median(off) < 0.1
        return
    unsure = kind in JUMPING  # of 24 crops one may fall on the other side of an edge
    assert np.sort(off)[-1 - unsure] <= 1e-3 and off.max() < 0.1, off
    assert np.sort(np.abs(score - confidence).max(axis=1))[-1 - unsure] <= 1e-3


def test_the_engine_alone_is_enough_and_reads_the_card(tmp_path):
    meta = {"landmarks": ["a", "b"], "margin": 1.3, "trained_on": "toy"}
    path = export_onnx(fitted("chain"), tmp_path / "face.onnx", meta)
    xy, _, card = alone(path, blob(HELD_OUT))
    wanted, _ = one_by_one(fitted("chain"))
    assert xy.shape == wanted.shape and np.median(np.abs(xy - wanted)) < (0.05 if OPENCV_4 else 1e-4)
    assert json.loads(card["hybridkp.landmarks"]) == ["a", "b"]
    assert json.loads(card["hybridkp.margin"]) == 1.3 and json.loads(card["hybridkp.size_hw"]) == [64, 64]
    assert {"hybridkp.color_order", "hybridkp.license", "hybridkp.version"} <= set(card)


def test_names_shapes_and_opset_are_declared(tmp_path):
    model = onnx.load(str(export_onnx(fitted("sdm"), tmp_path / "m.onnx")))
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    shapes = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*model.graph.input, *model.graph.output)
    }
    k = PROBLEM.xy.shape[1]
    assert shapes == {"image": ["B", 3, 64, 64], "xy": ["B", k, 2], "score": ["B", k]}


def test_a_cascade_never_jumps_on_a_thousand_crops(tmp_path):
    """Turned, shifted, dimmed: no crop has a point that the engine puts elsewhere."""
    if OPENCV_4:
        pytest.skip("its warpAffine works in steps of 1/32 px")
    rng, model = np.random.default_rng(0), fitted("sdm")
    crops = []
    for i in range(1000):
        turn = cv2.getRotationMatrix2D((31.5, 31.5), rng.uniform(-25, 25), rng.uniform(0.8, 1.25))
        turn[:, 2] += rng.uniform(-4, 4, 2)
        crop = HELD_OUT[i % len(HELD_OUT)]
        crops.append(cv2.warpAffine(crop, turn, (64, 64), borderMode=cv2.BORDER_REFLECT_101))
    wanted = model.predict(np.stack(crops))
    found = in_engine(export_onnx(model, tmp_path / "m.onnx"), blob(crops))[0]
    assert np.abs(found - wanted).max() <= 1e-3


def test_crops_may_come_as_opencv_has_them(tmp_path):
    path = export_onnx(fitted("hog+ridge"), tmp_path / "m.onnx", pixels="uint8")
    crops = np.stack(
        [image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) for image in HELD_OUT]
    )
    np.testing.assert_allclose(in_engine(path, crops)[0], one_by_one(fitted("hog+ridge"))[0], atol=1e-3)


@pytest.mark.parametrize("kind", ["direct", "heatmap", "heatmap, modes", "heatmap:flip"])
def test_stock_opencv_runs_networks(tmp_path, kind):
    path = export_onnx(fitted(kind), tmp_path / "m.onnx", opencv=True)
    net = cv2.dnn.readNetFromONNX(str(path))
    for crop, wanted in zip(HELD_OUT[:4], one_by_one(fitted(kind))[0], strict=False):
        net.setInput(cv2.dnn.blobFromImage(crop))
        outputs = net.forward(net.getUnconnectedOutLayersNames())
        points = max(outputs, key=np.size).reshape(-1, 2)
        np.testing.assert_allclose(points, wanted, atol=1e-3)


def test_opencvs_keypoints_model_reads_the_maps(tmp_path):
    model = fitted("heatmap")
    held = WithPresence(model)
    held.detector_, held.size_hw_ = model, model.size_hw_
    held.mean_, held.weights_, held.offset_ = np.ones((1, 2)), np.ones(1), 0.0
    path = export_onnx(held, tmp_path / "maps.onnx", opencv=True, maps=True)
    reader = cv2.dnn.KeypointsModel(str(path))
    reader.setInputParams(1.0, (64, 64))
    for crop, maps in zip(HELD_OUT[:3], model.score_maps(HELD_OUT[:3], stride=4), strict=True):
        found = np.array(reader.estimate(crop, 0.0))
        y, x = np.divmod(maps.reshape(len(maps), -1).argmax(1), maps.shape[2])
        np.testing.assert_allclose(found, 4 * np.stack([x, y], 1), atol=1e-3)
    with pytest.raises(InputError, match="FastCascade has none"):
        export_onnx(fitted("sdm"), tmp_path / "no.onnx", opencv=True, maps=True)
    with pytest.raises(InputError, match="maps is for"):
        export_onnx(model, tmp_path / "no.onnx", maps=True)


def test_what_opencv_cannot_run_is_refused_by_the_operators_name(tmp_path):
    with pytest.raises(InputError, match=r"cv2\.dnn has no operator \w+ as this model needs it"):
        export_onnx(fitted("sdm"), tmp_path / "m.onnx", opencv=True)
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------------------------------------------
# the command
# --------------------------------------------------------------------------------------------


def test_a_name_that_ends_in_onnx_gets_an_onnx_file(tmp_path, capsys):
    save_model(fitted("sdm"), tmp_path / "m.hkp", {"landmarks": ["a"], "method": "sdm"})
    assert cli.main(["export", str(tmp_path / "m.hkp"), "-o", str(tmp_path / "m.onnx")]) == 0
    assert "m.onnx: sdm, " in capsys.readouterr().out
    assert onnx.load(str(tmp_path / "m.onnx")).producer_name == "hybridkp"
    with pytest.raises(InputError, match="not a hybridkp runtime file"):
        runtime.load(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--opencv"], "are for .onnx"),
        (["--int8"], "go together"),
        (["--calibrate", "synthetic"], "go together"),
    ],
)
def test_options_that_do_not_fit(tmp_path, capsys, options, match):
    save_model(fitted("mean-shape"), tmp_path / "m.hkp")
    assert cli.main(["export", str(tmp_path / "m.hkp"), "-o", str(tmp_path / "m.hkr"), *options]) == 2
    assert match in capsys.readouterr().err


def test_a_part_without_an_onnx_form_is_named(tmp_path):
    p = PROBLEM
    model = PatchDetector(SIFT(), scales=(1.0,), n_hard=0)
    with pytest.raises(InputError, match="PatchDetector on SIFT cannot be exported"):
        both = fusion.Average([("a", model), ("b", MeanShape())])
        export_onnx(both.fit(p.images, p.xy), tmp_path / "m.onnx")
    with pytest.raises(InputError, match=r"forests on patches \(landmarks\) have no ONNX form"):
        forests = HoughForest(HOG(cells=2), scales=(0.5,), n_samples=2, start=MeanShape())
        export_onnx(forests.fit(p.images, p.xy), tmp_path / "m.onnx")
    with pytest.raises(InputError, match="CascadedRegressor is not fitted"):
        export_onnx(CascadedRegressor(), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------------------------------------------
# 8 bits
# --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faces():
    from hybridkp.datasets import make_faces

    return make_faces(40, (72, 72))


@pytest.fixture(scope="module")
def trained(faces):
    from hybridkp.evaluate import make_crops

    crops = make_crops(faces, (64, 64))
    net = HeatmapNet(input_px=64, schedule=HeatmapNet.default_schedule(**{**SMALL, "epoch_pictures": 64}))
    return net.fit(crops.images, crops.xy, groups=crops.groups)


def test_the_card_says_how_good_the_file_is(tmp_path, capsys, faces, monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: faces)
    crops = make_crops(faces, (64, 64), 1.5)
    model = MeanShape().fit(crops.images[:9], crops.xy[:9])
    save_model(model, tmp_path / "m.hkp", {"margin": 1.5, "trained_on": "toy", "data_license": "none"})
    files = [str(tmp_path / name) for name in ("m.hkp", "m.onnx")]
    assert cli.main(["export", files[0], "-o", files[1], "--judge", "synthetic"]) == 0
    card = {p.key: p.value for p in onnx.load(files[1]).metadata_props}
    assert card["hybridkp.figures"] in capsys.readouterr().out
    truth = np.stack([sample.instances[0].xy for sample in faces.samples])
    lengths = normalizer_lengths(truth, faces.normalizer, crops.boxes)
    error = nme(truth, to_picture(crops.matrix, model.predict(crops.images)), lengths)
    assert f"NME, % {100 * np.nanmean(error):.2f} [" in card["hybridkp.figures"]
    assert "40 objects" in card["hybridkp.figures"] and card["hybridkp.data_license"] == "none"
    save_model(model, tmp_path / "m.hkp", {"margin": 1.5, "landmarks": faces.landmarks[::-1]})
    assert cli.main(["export", *files[:1], "-o", files[1], "--judge", "synthetic"]) == 2
    assert "m.hkp: the model was trained for other landmarks than those of" in capsys.readouterr().err
    with pytest.raises(InputError, match="has 20 landmarks, the model 5"):
        exported_figures(fitted("mean-shape"), faces)


def test_8_bits_are_small_and_judged_on_other_groups(tmp_path, faces, trained):
    small, said = int8_model(trained, faces)
    assert "held out of the calibration" in said and "10 groups" in said
    plain = export_onnx(trained, tmp_path / "32.onnx")
    path = export_onnx(small, tmp_path / "8.onnx")
    assert path.stat().st_size < 0.4 * plain.stat().st_size
    off = np.abs(in_engine(path, blob(HELD_OUT))[0] - in_engine(plain, blob(HELD_OUT))[0])
    assert 0 < np.median(off) < 0.5
    runs = runtime.load(runtime.export_runtime(small, tmp_path / "8.hkr"), "onnxruntime")
    np.testing.assert_allclose(
        runs.predict_with_score(HELD_OUT)[0], in_engine(path, blob(HELD_OUT))[0], atol=1e-3
    )


def test_8_bits_that_cost_too_much_are_refused(faces, trained, monkeypatch):
    import hybridkp.evaluate.int8 as judge

    monkeypatch.setattr(judge, "MOST", -1.0)
    with pytest.raises(InputError, match=r"grows by .* at most"):
        judge.int8_model(trained, faces)
    with pytest.raises(InputError, match="no network"):
        judge.int8_model(MeanShape().fit(HELD_OUT, np.zeros((24, 5, 2)) + 9), faces)
    with pytest.raises(InputError, match="8 groups each"):
        judge.int8_model(trained, faces.subset(range(10)))


def test_a_shape_is_laid_on_the_mean_as_frames_do():
    from hybridkp.landmarks.fast_descent import ShapeFrame
    from hybridkp.landmarks.frames import frame_maps
    from hybridkp.landmarks.graphs.steps import laid_on

    rng = np.random.default_rng(0)
    mean, shape = rng.uniform(0, 60, (2, 7, 2))  # not similar at all
    g = Graph()
    found = laid_on(ShapeFrame.of(mean), Complex.points(Tensor(g, "z", np.float64)), 7)
    both = g.concat([found.re, found.im])
    linear = run_graph(g, both, [2], z=shape)
    np.testing.assert_allclose(linear, frame_maps(shape[None], mean, 1.0)[0, :, 0], rtol=1e-9)


# --------------------------------------------------------------------------------------------
# the writer
# --------------------------------------------------------------------------------------------


def run_graph(g, out, shape, **given):
    import onnxruntime
    from onnx import helper

    g.nodes.append(helper.make_node("Identity", [out.name], ["out"]))
    inputs = [declared(name, value.dtype, value.shape) for name, value in given.items()]
    graph = g.finish("g", inputs, [declared("out", out.dtype, shape)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, given)[0]


def test_tensors_read_like_numpy():
    g = Graph()
    x = Tensor(g, "x", np.float64)
    y = (2.0 - x) * x.clip(-1, 1) / (x * x + 1.0) + g.where(x > 0.5, x.slice(0, -1, -(2**31), -1), 0.0)
    value = np.array([-3.0, -0.5, 0.0, 0.7, 2.0])
    wanted = (2 - value) * np.clip(value, -1, 1) / (value**2 + 1) + np.where(value > 0.5, value[::-1], 0)
    np.testing.assert_allclose(run_graph(g, y, [5], x=value), wanted, rtol=1e-12)
    contents = {c.SerializeToString().replace(c.name.encode(), b"") for c in g.constants.values()}
    assert len(g.constants) == len(contents), "equal constants are kept once"


# --------------------------------------------------------------------------------------------
# the examples
# --------------------------------------------------------------------------------------------


def test_the_example_needs_neither_this_library_nor_opencv():
    """That its numbers are the golden ones is a step of ``.ci/run``, which makes those for C++ too."""
    folder = Path(__file__).parents[1] / "examples" / "embedding"
    source = (folder / "face.py").read_text(encoding="utf-8")
    assert "import hybridkp" not in source and "import cv2" not in source
