"""Exported detectors: the same results, without torch and scikit-learn, and files that do no harm."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import types
import zipfile

import cv2
import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

import hybridkp.runtime
from hybridkp import cli, fusion, runtime
from hybridkp.checks import make_problem
from hybridkp.datasets import make_faces
from hybridkp.deep.nodes.refiner import point_patches, to_square
from hybridkp.descriptors import HOG, SIFT
from hybridkp.evaluate import Problem, predict, train
from hybridkp.files import load_model, save_model
from hybridkp.landmarks import (
    CascadedRegressor,
    HolisticRegressor,
    HoughForest,
    MeanShape,
    PatchDetector,
    SubpixelRefiner,
)
from hybridkp.runtime.nodes import build
from hybridkp.structures import InputError

PROBLEM = make_problem(16)
HELD_OUT = make_problem(6, random_state=1).images
SMALL = {"max_epochs": 1, "epoch_pictures": 16, "device": "cpu"}


def _heatmap(**options):
    pytest.importorskip("torch")
    from hybridkp.deep import HeatmapNet

    return HeatmapNet(**options, schedule=HeatmapNet.default_schedule(**SMALL))


def _direct():
    pytest.importorskip("torch")
    from hybridkp.deep import DirectNet

    return DirectNet(schedule=DirectNet.default_schedule(**SMALL))


def _refined():
    """A cascade of networks: each stage has its own weights and starts where the one before ended."""
    pytest.importorskip("torch")
    from hybridkp.deep import CNNRefiner

    stage = CNNRefiner(48, n_steps=1, schedule=CNNRefiner.default_schedule(**SMALL))
    return fusion.Refined(fusion.Refined(HolisticRegressor(), stage, cv=2), stage, cv=2)


def _trees():
    return ExtraTreesClassifier(4, max_depth=5, random_state=0)


def PAIR():
    return [("a", CascadedRegressor()), ("b", HolisticRegressor())]


CLASSICAL = {
    "mean": MeanShape,
    "holistic": HolisticRegressor,
    "cascade": CascadedRegressor,
    "cascade, signed": lambda: CascadedRegressor(HOG(cells=3, signed=True), scales=(0.8,), start=MeanShape()),
    "patches": lambda: PatchDetector(n_hard=0),
    "patches, forests": lambda: PatchDetector(HOG(cells=3), _trees(), scales=(0.5, 1.0), n_hard=0),
    "voting forests": lambda: HoughForest(HOG(cells=3), n_samples=3),
    "patches, uncorrected": lambda: PatchDetector(HOG(), scales=(0.5, 1.0), alpha=np.inf, n_hard=0),
    "average": lambda: fusion.Average([("a", HolisticRegressor()), ("b", MeanShape())]),
    "average, weighted": lambda: fusion.Average(PAIR(), weights=(2, 1)),
    "vote": lambda: fusion.WeightedVote(PAIR()),
    "vote, full covariance": lambda: fusion.WeightedVote(PAIR(), covariance="full"),
    "vote, gated": lambda: fusion.GatedVote(PAIR(), guard=False),
    "stacking": lambda: fusion.Stacking(PAIR(), n_neighbours=2, guard=False),
    "vote with shapes": lambda: fusion.ShapeVote(PAIR(), guard=False),
    "shapes alone": lambda: fusion.ShapeVote(PAIR()[:1], guard=False),
}
NETS = {
    "heatmap": _heatmap,
    "heatmap, smaller": lambda: _heatmap(input_px=32),
    "direct": _direct,
    "refined": _refined,
}
FITTED: dict[str, object] = {}


def fitted(kind):
    if kind not in FITTED:
        p = PROBLEM
        FITTED[kind] = {**CLASSICAL, **NETS}[kind]().fit(p.images, p.xy, groups=p.groups, flip=p.flip)
    return FITTED[kind]


@pytest.fixture(scope="module")
def cascade(tmp_path_factory):
    path = tmp_path_factory.mktemp("runtime") / "cascade.hkr"
    names = [f"p{i}" for i in range(5)]
    return runtime.export_runtime(fitted("cascade"), path, {"landmarks": names, "margin": 1.25})


def agree(model, found):
    """One crop at a time: in a batch, the estimator's own matrix products round differently."""
    one = [model.predict_with_score(image[None]) for image in HELD_OUT]
    assert found[0].dtype == found[1].dtype == np.float32
    np.testing.assert_allclose(found[0], np.concatenate([xy for xy, _ in one]), atol=1e-3)
    np.testing.assert_allclose(found[1], np.concatenate([score for _, score in one]), atol=1e-3)


# --------------------------------------------------------------------------------------------
# the same results
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSICAL)
def test_classical_detectors_answer_alike(tmp_path, kind):
    path = runtime.export_runtime(fitted(kind), tmp_path / "m.hkr")
    detector = runtime.load(path)
    assert detector.size_hw == (64, 64)
    agree(fitted(kind), detector.predict_with_score(HELD_OUT))


@pytest.mark.parametrize("engine", ["onnxruntime", "cv2.dnn"])
@pytest.mark.parametrize("kind", NETS)
def test_networks_answer_alike_on_both_engines(tmp_path, kind, engine):
    if engine == "onnxruntime":
        pytest.importorskip("onnxruntime")
    path = runtime.export_runtime(fitted(kind), tmp_path / "m.hkr")
    agree(fitted(kind), runtime.load(path, engine).predict_with_score(HELD_OUT))


def test_whole_pictures_as_the_library_predicts_them(tmp_path):
    faces = make_faces(14, (96, 96))
    problem = Problem(faces, size_hw=(64, 64), margin=1.4)
    train(CascadedRegressor(scales=(1.0,)), problem, tmp_path / "m.hkp")
    sample = make_faces(1, (120, 100), random_state=5).samples[0]
    cv2.imwrite(str(tmp_path / "face.png"), sample.image)
    box = sample.instances[0].box_xywh
    document = predict(tmp_path / "m.hkp", [tmp_path / "face.png"], boxes={"face.png": box[None]})
    wanted = np.reshape(document["annotations"][0]["keypoints"], (-1, 3))[:, :2]
    assert cli.main(["export", str(tmp_path / "m.hkp"), "-o", str(tmp_path / "m.hkr")]) == 0
    detector = runtime.load(tmp_path / "m.hkr")
    assert detector.landmarks == list(faces.landmarks) and detector.meta["margin"] == 1.4
    found = detector.detect(sample.image, box)
    np.testing.assert_allclose(found.xy, wanted, atol=0.02)
    np.testing.assert_array_equal(found.label, np.arange(len(wanted)))
    assert len(found.to_cv2()) == len(wanted)


def test_patches_are_read_as_torch_reads_them():
    torch = pytest.importorskip("torch")
    from hybridkp.deep.batches import resize_square
    from hybridkp.deep.refine import patches

    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (150, 70)).astype(np.uint8)
    for side in (32, 64, 128):
        square, scale = to_square(grey, side)
        wanted, by = resize_square(torch.from_numpy(grey[None, None].astype(np.float32)), side)
        np.testing.assert_allclose(square, wanted[0, 0].numpy(), atol=1e-2)
        np.testing.assert_allclose(scale, by.numpy(), rtol=1e-6)
        xy = rng.uniform(-0.25 * side, 1.25 * side, (9, 2))
        half = torch.nn.functional.avg_pool2d(wanted, 2)[0, 0].numpy()
        found = point_patches([wanted[0, 0].numpy(), half], xy, 6)
        expected = patches(wanted, torch.from_numpy(xy[None].astype(np.float32)), 6)[0].numpy()
        np.testing.assert_allclose(found, expected, atol=5e-3)


# --------------------------------------------------------------------------------------------
# an application
# --------------------------------------------------------------------------------------------

APPLICATION = """
import sys, types
import cv2, numpy as np
cv2.FaceDetectorYN = types.SimpleNamespace(create=lambda *_: types.SimpleNamespace(
    setInputSize=lambda size: None, detect=lambda image: (1, np.float32([{box} + [0] * 11]))))
{code}
heavy = {{"torch", "sklearn", "scipy", "skimage", "joblib", "matplotlib"}}
assert not heavy & {{m.split(".")[0] for m in sys.modules}}, heavy & set(sys.modules)
print(landmarks.detect(cv2.imread("people.jpg"), {box}).xy.tolist())
"""


@pytest.mark.parametrize("kind", ["cascade", "patches", "heatmap"])
def test_the_ten_lines_run_without_torch_and_scikit_learn(tmp_path, kind):
    runtime.export_runtime(fitted(kind), tmp_path / "face.hkr")
    sample = make_faces(1, (160, 140), random_state=5).samples[0]
    cv2.imwrite(str(tmp_path / "people.jpg"), sample.image)
    code = textwrap.dedent(hybridkp.runtime.__doc__.split("code-block:: python\n")[1])
    box = sample.instances[0].box_xywh.tolist()
    program = APPLICATION.format(code=code, box=box)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = np.array(json.loads(done.stdout))
    drawn, before = cv2.imread(str(tmp_path / "found.png")), cv2.imread(str(tmp_path / "people.jpg"))
    for x, y in found.round().astype(int):
        if 0 <= x < drawn.shape[1] and 0 <= y < drawn.shape[0]:
            assert (drawn[y, x] == (0, 255, 0)).all()
    assert (drawn != before).any()


ALONE = """
import sys
for name in ("sklearn", "scipy", "skimage", "torch", "safetensors", "joblib", "threadpoolctl"):
    sys.modules[name] = None
import cv2, numpy as np
from hybridkp import points, runtime
image = np.load("picture.npy")
for path in sys.argv[1:]:
    assert np.isfinite(runtime.load(path).detect(image).xy).all()
net = points.NetFeature(n_points=200)
first = points.FeatureMatcher(points.SIFTFeature(n_points=200))
matcher = points.TwoStageMatcher(points.GridRefinedMatcher(first), net)
found = matcher.set_params(first__first__ratio=0.8).match(image, np.roll(image, 3, axis=1))
assert found.inlier.sum() > 20 and matcher.get_params()["first__first__feature__n_points"] == 200
door = points.as_feature2d(points.ORBFeature(n_points=50))
mask = np.zeros(image.shape[:2], np.uint8)
mask[:, :60] = 1
assert len(door.detect(image, mask)) > 0
"""


def test_an_application_needs_numpy_and_cv2_alone(tmp_path):
    kinds = ["patches", "stacking", "vote with shapes", "average, weighted"]
    for i, kind in enumerate(kinds):
        runtime.export_runtime(fitted(kind), tmp_path / f"{i}.hkr")
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.uniform(0, 255, (120, 160)), (0, 0), 2)
    np.save(tmp_path / "picture.npy", cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8))
    program = [sys.executable, "-c", ALONE, *(f"{i}.hkr" for i in range(len(kinds)))]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "kind", ["fusion.kernels", "fusion.__init__", "cli.main", "landmarks..grid", "os.path"]
)
def test_a_file_names_nodes_and_nothing_else(kind):
    with pytest.raises(InputError, match="which this hybridkp cannot run"):
        build({"kind": kind})


def test_pictures_of_every_kind(cascade):
    detector = runtime.load(cascade)
    grey = cv2.cvtColor(HELD_OUT[0], cv2.COLOR_BGR2GRAY)
    wanted = detector.detect(grey).xy
    opaque = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    deep = grey.astype(np.uint16) * 257
    for same in (grey[..., None], np.dstack([grey] * 3), opaque, deep, deep.astype(">u2"), grey / 255):
        np.testing.assert_allclose(detector.detect(same).xy, wanted, atol=1e-3)
    inside = detector.detect(cv2.copyMakeBorder(grey, 7, 0, 5, 0, cv2.BORDER_REPLICATE), (5, 7, 64, 64))
    np.testing.assert_allclose(inside.xy, wanted + [5, 7], atol=1e-2)
    assert np.isfinite(detector.detect(grey, (-30, 40, 64, 64)).xy).all()  # hangs out


@pytest.mark.parametrize(
    ("image", "box", "match"),
    [
        (np.zeros((1, 1), np.uint8), None, "too small"),
        (np.full((64, 64), np.nan), None, "NaN"),
        (None, None, "None"),
        (np.zeros((64, 64), np.int64), None, "dtype"),
        (HELD_OUT[:2], None, "a picture is"),
        (HELD_OUT[0], (0, 0, 0, 10), "positive width"),
        (HELD_OUT[0], (0, 0, np.nan, 10), "finite"),
        (HELD_OUT[0], (64, 0, 10, 10), "outside the picture"),
        (HELD_OUT[0], [(0, 0, 10)], "many are"),
        (HELD_OUT[0], [(0, 0, 10, 10), (64, 0, 10, 10)], "outside the picture"),
        (HELD_OUT[0], [(0, 0, 10, 10), (64, 0, 10)], "a box is four numbers"),
        (HELD_OUT[0], "face", "a box is four numbers"),
        (HELD_OUT[0], (-1e30, -1e30, 2e30, 2e30), "a box needs"),
        (HELD_OUT[0], (0, 0, 1e-300, 1e-300), "a box needs"),
        (HELD_OUT[0], (0, 0, 10), "many are"),
        ("p.png", None, "got str"),
    ],
)
def test_bad_pictures_and_boxes(cascade, image, box, match):
    detector = runtime.load(cascade)
    with pytest.raises(InputError, match=match):
        detector.detect(image, box)
    if isinstance(box, tuple) and len(box) == 4:
        with pytest.raises(InputError, match=match):
            detector.in_box(image, box)


def test_many_boxes_at_once(cascade):
    detector = runtime.load(cascade)
    boxes = [(0, 0, 64, 64), (5, 3, 50, 60)]
    both = detector.detect(HELD_OUT[0], boxes)
    for box, found in zip(boxes, both, strict=True):
        np.testing.assert_array_equal(found.xy, detector.detect(HELD_OUT[0], box).xy)
    assert detector.detect(HELD_OUT[0], np.zeros((0, 4))) == []


def test_the_command_predicts_with_a_runtime_file(tmp_path):
    save_model(fitted("cascade"), tmp_path / "m.hkp", {"landmarks": list("abcde"), "size_hw": [64, 64]})
    cv2.imwrite(str(tmp_path / "p.png"), HELD_OUT[0])
    assert cli.main(["export", str(tmp_path / "m.hkp"), "-o", str(tmp_path / "m.hkr")]) == 0
    found = []
    for name in ("m.hkp", "m.hkr"):
        out = tmp_path / name.replace(".", "-")
        picture = str(tmp_path / "p.png")
        assert cli.main(["predict", str(tmp_path / name), picture, "-o", str(out), "--no-overlays"]) == 0
        found.append(json.loads((out / "predictions.json").read_text()))
    assert found[0]["annotations"][0]["keypoints"] == pytest.approx(found[1]["annotations"][0]["keypoints"])
    assert found[1]["categories"][0]["keypoints"] == list("abcde")


def test_crops_of_another_size(cascade):
    with pytest.raises(InputError, match="fitted on"):
        runtime.load(cascade).predict_with_score(HELD_OUT[:, :40])


# --------------------------------------------------------------------------------------------
# what cannot be exported
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("detector", "match"),
    [
        (CascadedRegressor(SIFT()), "SIFT"),
        (PatchDetector(HOG(backend="opencv"), scales=(1.0,), n_hard=0), "dense HOG"),
        (PatchDetector(scales=(1.0,), step=2, n_hard=0), "linear experts with steps of 2 px"),
        (fusion.Refined(HolisticRegressor(), SubpixelRefiner(), cv=2), "SubpixelRefiner cannot be exported"),
        (fusion.MapFusion([("a", PatchDetector(scales=(1.0,), n_hard=0))]), "MapFusion cannot be exported"),
    ],
)
def test_the_part_that_cannot_be_exported_is_named(tmp_path, detector, match):
    p = PROBLEM
    model = detector.fit(p.images, p.xy, groups=p.groups)
    with pytest.raises(InputError, match=match):
        runtime.export_runtime(model, tmp_path / "m.hkr")
    assert not (tmp_path / "m.hkr").exists()


@pytest.mark.parametrize("name", ["m.hkp", "other.bin"])
def test_a_model_file_is_not_written_over(tmp_path, capsys, name):
    save_model(fitted("mean"), tmp_path / "m.hkp")
    before = (tmp_path / "m.hkp").read_bytes()
    assert cli.main(["export", str(tmp_path / "m.hkp"), "-o", str(tmp_path / name)]) == 2
    assert f"{name}: give a name that ends in .hkr or .onnx" in capsys.readouterr().err
    with pytest.raises(InputError, match=f"{name}: call a runtime file .hkr"):
        runtime.export_runtime(fitted("mean"), tmp_path / name)
    assert (tmp_path / "m.hkp").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_unfitted_detectors_cannot_be_exported(tmp_path):
    with pytest.raises(InputError, match="MeanShape is not fitted"):
        runtime.export_runtime(MeanShape(), tmp_path / "m.hkr")


def test_meta_that_is_not_plain(tmp_path):
    for value in (np.zeros(2), float("nan"), object()):
        with pytest.raises(InputError, match="meta must"):
            runtime.export_runtime(fitted("mean"), tmp_path / "m.hkr", {"value": value})
    assert not list(tmp_path.iterdir())


def test_the_command_says_which_file(tmp_path, capsys):
    p = PROBLEM
    save_model(CascadedRegressor(SIFT()).fit(p.images, p.xy), tmp_path / "m.hkp")
    assert cli.main(["export", str(tmp_path / "m.hkp"), "-o", str(tmp_path / "m.hkr")]) == 2
    error = capsys.readouterr().err
    assert "m.hkp" in error and "SIFT" in error and error.count("\n") == 1


# --------------------------------------------------------------------------------------------
# files
# --------------------------------------------------------------------------------------------


def refuse(path, match=None):
    with pytest.raises(InputError, match=match) as caught:
        runtime.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def rewrite(source, target, change, compress=zipfile.ZIP_STORED):
    """A copy of a runtime file with its manifest changed in place."""
    with zipfile.ZipFile(source) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    manifest = json.loads(parts["manifest.json"])
    change(manifest)
    parts["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(target, "w", compress) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return target


def test_files_of_other_kinds(tmp_path, cascade):
    refuse(tmp_path / "missing.hkr", "no such")
    refuse(tmp_path, "folder")
    (tmp_path / "empty.hkr").write_bytes(b"")
    refuse(tmp_path / "empty.hkr", "truncated")
    save_model(fitted("mean"), tmp_path / "model.hkp")
    refuse(tmp_path / "model.hkp", "hybridkp export")


def test_a_runtime_file_is_no_model_file_and_says_so(cascade):
    with pytest.raises(InputError, match="hkr: a runtime file, for hybridkp"):
        load_model(cascade)


def test_truncated_files(tmp_path, cascade):
    data = cascade.read_bytes()
    for share in (0.01, 0.3, 0.7, 0.99, 0.9999):
        (tmp_path / "cut.hkr").write_bytes(data[: int(len(data) * share)])
        refuse(tmp_path / "cut.hkr")


def test_flipped_bytes_never_crash(tmp_path, cascade):
    rng, data = np.random.default_rng(0), cascade.read_bytes()
    for place in rng.integers(0, len(data), 12):
        bad = bytearray(data)
        bad[place] ^= 0xFF
        (tmp_path / "bad.hkr").write_bytes(bad)
        refuse(tmp_path / "bad.hkr")


def _set(*path_and_value):
    *path, last, value = path_and_value

    def change(manifest):
        for step in path:
            manifest = manifest[step]
        manifest[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_set("runtime", 99), "format 99"),
        (_set("root", "kind", "shell"), "'shell'"),
        (_set("root", "kind", ["vote"]), "cannot run"),
        (_set("root", {}), "damaged"),
        (_set("root", None), "damaged"),
        (_set("root", "scales", [1.0]), "damaged"),
        (_set("root", "scales", [1e9] * 4), "damaged"),
        (lambda m: m.update(size_hw=[1024, 1024]) or _set("root", "scales", [8.0] * 4)(m), "damaged"),
        (_set("root", "hog", "cells", 10**6), "damaged"),
        (_set("root", "hog", "cells", 3), "damaged"),
        (_set("root", "mean", {"$array": "none", "columns": False}), "damaged"),
        (_set("root", "start", {"kind": "fusion.average", "members": []}), "damaged"),
        (_set("root", "start", {"kind": "deep.net", "graph": "no bytes"}), "damaged"),
        (_set("size_hw", [10**6, 10**6]), "damaged"),
        (_set("size_hw", "ab"), "damaged"),
        (_set("meta", "margin", -1), "damaged"),
        (_set("meta", "landmarks", ["one"]), "damaged"),
    ],
)
def test_hostile_manifests(tmp_path, cascade, change, match):
    refuse(rewrite(cascade, tmp_path / "bad.hkr", change), match)


def test_members_are_not_compressed(tmp_path, cascade):
    refuse(rewrite(cascade, tmp_path / "bomb.hkr", lambda m: None, zipfile.ZIP_DEFLATED), "not a hybridkp")


def test_nesting_without_end(tmp_path, cascade):
    with zipfile.ZipFile(tmp_path / "deep.hkr", "w") as file:
        file.writestr("manifest.json", '{"runtime": 1, "root": ' + "[" * 100_000 + "]" * 100_000 + "}")
        file.writestr("arrays.safetensors", b"")
    refuse(tmp_path / "deep.hkr", "not a hybridkp")


@pytest.mark.parametrize("engine", ["onnxruntime", "cv2.dnn"])
def test_a_graph_that_is_none(tmp_path, engine):
    if engine == "onnxruntime":
        pytest.importorskip("onnxruntime")
    model = types.SimpleNamespace(
        size_hw_=(64, 64), runtime_node=lambda: {"kind": "deep.net", "graph": b"no graph"}
    )
    path = runtime.export_runtime(model, tmp_path / "m.hkr")
    with pytest.raises(InputError, match="network"):
        runtime.load(path, engine)


def test_without_onnxruntime(tmp_path, monkeypatch):
    path = runtime.export_runtime(fitted("direct"), tmp_path / "m.hkr")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    agree(fitted("direct"), runtime.load(path).predict_with_score(HELD_OUT))
    with pytest.raises(InputError, match="not installed"):
        runtime.load(path, "onnxruntime")


def test_unknown_engine(tmp_path):
    model = types.SimpleNamespace(size_hw_=(64, 64), runtime_node=lambda: {"kind": "deep.net", "graph": b""})
    with pytest.raises(InputError, match="engine must be"):
        runtime.load(runtime.export_runtime(model, tmp_path / "m.hkr"), "tensorrt")


# --------------------------------------------------------------------------------------------
# nodes of fusion that do not fit together
# --------------------------------------------------------------------------------------------


def fused_node(kind, **changes):
    """A whole node of two constant members with three landmarks, then changed."""
    k, m = 3, 2
    point = {"kind": "landmarks.mean_shape", "xy": np.zeros((k, 2)), "score": np.full(k, 0.5)}
    parts = {
        "average": {"weights": np.ones(m)},
        "votes": {
            "full": True,
            "variance": np.ones((2 * m, k)),
            "correlation": np.tile(np.eye(2 * m), (k, 1, 1)),
            "factors": [],
            "calibration": np.array([1.0, 0.0]),
        },
        "gating": {
            "side": 64,
            "confidence": True,
            "agreement": True,
            "centre": np.zeros(5),
            "slope": np.zeros((m, 5)),
            "bias": np.zeros((m, k)),
            "calibration": np.array([1.0, 0.0]),
        },
        "stacking": {
            "mean": np.arange(6.0).reshape(k, 2),
            "neighbours": np.zeros((k, 1), np.int64),
            "weights": np.ones((m, k)),
            "coefficients": np.zeros((k, 8, 2)),
            "offset": np.zeros((k, 2)),
            "calibration": np.array([1.0, 0.0]),
        },
    }
    parts["shape_vote"] = {
        "mean": np.zeros(2 * k),
        "modes": np.eye(2 * k)[:2],
        "residual": 1.0,
        "slope": np.zeros(m),
        "level": np.zeros((m, k)),
        "calibration": np.zeros(2),
    }
    return {"kind": f"fusion.{kind}", "members": [point, point], **parts[kind], **changes}


@pytest.mark.parametrize("kind", ["average", "votes", "gating", "shape_vote", "stacking"])
def test_a_whole_node_of_fusion_runs(kind):
    xy, score = build(fused_node(kind), "auto")(np.zeros((64, 64), np.uint8))
    np.testing.assert_array_equal(xy, np.zeros((3, 2)))
    np.testing.assert_allclose(score, 0.5)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("average", {"weights": np.array([1.0, 0.0])}),
        ("average", {"weights": np.ones(3)}),
        ("votes", {"variance": -np.ones((4, 3))}),
        ("votes", {"variance": np.ones((2, 3))}),
        ("votes", {"correlation": np.tile(np.ones((4, 4)) - 2 * np.eye(4), (3, 1, 1))}),
        ("gating", {"slope": np.zeros((2, 4))}),
        ("gating", {"agreement": False}),
        ("gating", {"bias": np.full((2, 3), np.nan)}),
        ("gating", {"side": 0}),
        ("shape_vote", {"mean": np.zeros(7), "modes": np.zeros((1, 7))}),
        ("shape_vote", {"modes": np.zeros((2, 5))}),
        ("shape_vote", {"residual": 0.0}),
        ("shape_vote", {"residual": float("nan")}),
        ("shape_vote", {"level": np.full((2, 3), 1e4)}),
        ("shape_vote", {"slope": np.zeros(3)}),
        ("stacking", {"neighbours": np.full((3, 1), 3)}),
        ("stacking", {"neighbours": np.full((3, 1), -1)}),
        ("stacking", {"neighbours": np.zeros((3, 1))}),
        ("stacking", {"coefficients": np.zeros((3, 7, 2))}),
        ("stacking", {"weights": np.zeros((2, 3))}),
        ("stacking", {"members": []}),
    ],
)
def test_a_node_of_fusion_that_does_not_fit_is_refused(kind, changes):
    with pytest.raises(ValueError):
        build(fused_node(kind, **changes), "auto")
