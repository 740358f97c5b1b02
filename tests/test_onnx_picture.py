"""Whole pictures through one ONNX file: boxes given or found, the same points as the library's."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

import onnxruntime
from onnx import helper
from sklearn.ensemble import ExtraTreesClassifier

from hybridkp import runtime
from hybridkp.datasets import make_scenes
from hybridkp.deep import CentreNet
from hybridkp.detection import Cells, TopDown, WindowFinder
from hybridkp.evaluate import make_crops
from hybridkp.imaging import crop_matrix, cut
from hybridkp.landmarks import FastCascade, HolisticRegressor
from hybridkp.runtime.builder import Graph, Tensor, declared
from hybridkp.runtime.onnx_picture import picture_graph
from hybridkp.structures import InputError

OPENCV_4 = int(cv2.__version__.split(".")[0]) < 5
SCENES = make_scenes(14, (96, 128), random_state=1)
HELD_OUT = make_scenes(5, (96, 128), random_state=2)
FINDERS = {
    "hog+svm": lambda: WindowFinder(window_cells=6, octave=2, n_rounds=1),
    "acf+svm": lambda: WindowFinder(Cells(color=True), window_cells=5, octave=1, n_rounds=1),
    "hog+forest": lambda: WindowFinder(
        classifier=ExtraTreesClassifier(
            16, max_depth=8, max_features=0.1, min_samples_leaf=3, class_weight="balanced", random_state=0
        ),
        window_cells=6,
        octave=1,
        n_rounds=1,
    ),
    "centernet": lambda: CentreNet(
        # OpenCV 4 shrinks otherwise than the graph, too much for so small a training: not there
        input_px=128 if OPENCV_4 else 96,
        schedule=CentreNet.default_schedule(max_epochs=6, epoch_pictures=60, device="cpu"),
        min_score=0.02,
    ),
}


#: px of a box; the shrunk picture that a network sees has whole grey levels in OpenCV, and not in the graph
NEAR = {"hog+svm": 0.02, "acf+svm": 0.02, "hog+forest": 0.05, "centernet": 0.05}


@pytest.fixture(scope="module")
def detector():
    crops = make_crops(SCENES, (64, 64))
    return FastCascade(scales=(0.5, 1.0), start=HolisticRegressor("channels")).fit(crops.images, crops.xy)


@cache
def found_by(kind):
    return FINDERS[kind]().fit(SCENES.samples)


def engine(path, **given):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, given), strict=True))


def chw(image):
    return np.ascontiguousarray(np.moveaxis(image, 2, 0), np.float32)


@pytest.mark.skipif(OPENCV_4, reason="its warpAffine works in steps of 1/32 px")
@pytest.mark.parametrize(("size_hw", "margin"), [((64, 64), 1.25), ((48, 64), 1.1)], ids=["square", "oblong"])
def test_boxes_are_cut_as_the_library_cuts_them(size_hw, margin):
    from hybridkp.detection.graphs.cuts import box_map
    from hybridkp.detection.graphs.cuts import cut as cut_in_graph

    rng = np.random.default_rng(0)
    picture = np.clip(cv2.GaussianBlur(rng.normal(128, 90, (300, 410, 3)), (0, 0), 1), 0, 255).astype(
        np.uint8
    )
    g = Graph()
    to_crop = box_map(Tensor(g, "box", np.float64), size_hw, margin)
    g.name(cut_in_graph(Tensor(g, "picture", np.float32), to_crop, size_hw), "crop")
    inputs = [declared("picture", np.float32, [3, "H", "W"]), declared("box", np.float64, [4])]
    graph = g.finish("g", inputs, [declared("crop", np.float32, [3, *size_hw])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    sides = (9, 40, 63.7, 102.4, 120, 153.6, 205, 250, 309.5, 390)
    for side in sides:  # enlarged, as it is, blurred, averaged over 2, 3, 4 px; some hang out
        box = np.array([*rng.uniform(-20, 150, 2), side, side * rng.uniform(0.6, 1)])
        wanted = cut(picture, crop_matrix(box, size_hw, margin), size_hw)
        found = session.run(None, {"picture": chw(picture), "box": box})[0]
        off = np.abs(np.moveaxis(found, 0, 2) - wanted)
        assert off.max() <= 1 and (off > 0).mean() < 2e-3, (side, off.max(), (off > 0).mean())


@pytest.mark.parametrize("pixels", ["float", "uint8"])
def test_boxes_given_with_a_picture_of_any_size(tmp_path, detector, pixels):
    path = runtime.export_onnx(detector, tmp_path / "m.onnx", {"margin": 1.1}, picture="any", pixels=pixels)
    loaded = runtime.load(runtime.export_runtime(detector, tmp_path / "m.hkr", {"margin": 1.1}))
    for scene in HELD_OUT.samples[:3]:
        image = scene.image if scene.image.ndim == 3 else cv2.cvtColor(scene.image, cv2.COLOR_GRAY2BGR)
        boxes = np.array([[5, 6, 40.5, 44], [60, 20, 90, 60], [-10, 3, 50, 50]], np.float32)
        found = engine(path, picture=image if pixels == "uint8" else chw(image), boxes=boxes)
        wanted = loaded.detect(image, boxes)
        np.testing.assert_allclose(found["xy"], [w.xy for w in wanted], atol=0.3 if OPENCV_4 else 0.01)
        np.testing.assert_allclose(found["score"], [w.score for w in wanted], atol=0.02 if OPENCV_4 else 0.01)
    none = engine(path, picture=image if pixels == "uint8" else chw(image), boxes=boxes[:0])
    assert none["xy"].shape == (0, found["xy"].shape[1], 2) and none["score"].shape == none["xy"].shape[:2]


@pytest.mark.parametrize("kind", FINDERS)
def test_a_file_that_finds_objects_itself(tmp_path, detector, kind):
    rebox = np.array([0.03, -0.02, 0.2, 0.3]) if kind == "hog+svm" else None
    both = TopDown(found_by(kind), detector, (64, 64), 1.1, min_score=0.1, rebox=rebox)
    path = runtime.export_onnx(both, tmp_path / "m.onnx", picture=(96, 128))
    n = 0
    for scene in HELD_OUT.samples:
        image = scene.image if scene.image.ndim == 3 else cv2.cvtColor(scene.image, cv2.COLOR_GRAY2BGR)
        found, wanted = engine(path, picture=chw(image)), both.detect(image)
        assert len(found["boxes"]) == len(wanted)
        n += len(wanted)
        for i, one in enumerate(wanted):
            np.testing.assert_allclose(found["boxes"][i], one.box_xywh, atol=NEAR[kind])
            np.testing.assert_allclose(found["xy"][i], one.xy, atol=0.5 if OPENCV_4 else 0.1)
            np.testing.assert_allclose(found["score"][i], one.keypoint_scores, atol=0.02)
            assert abs(found["box_score"][i] * found["score"][i].mean() - one.score) < 0.01
    assert n >= 3, "nothing was found: nothing was compared"
    blank = engine(path, picture=np.zeros((3, 96, 128), np.float32))
    assert blank["boxes"].shape == (0, 4) and blank["xy"].shape[0] == 0


def test_what_whole_pictures_cannot_be(tmp_path, detector):
    both = TopDown(found_by("hog+svm"), detector, (64, 64), 1.1)
    path = tmp_path / "m.onnx"
    with pytest.raises(InputError, match="need the picture's size"):
        runtime.export_onnx(both, path, picture="any")
    with pytest.raises(InputError, match="sides lie in"):
        runtime.export_onnx(detector, path, picture=(0, 5))
    with pytest.raises(InputError, match="one at a time"):
        runtime.export_onnx(detector, path, picture=(96, 128), opencv=True)
    node = both.runtime_node()
    node["finder"]["kind"] = "detection.fused"
    with pytest.raises(InputError, match=r"fused \(detection\) has no ONNX form"):
        picture_graph(node, (64, 64), 1.1, (96, 128), "float")
    assert not list(tmp_path.iterdir())
