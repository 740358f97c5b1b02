"""Methods that begin with whole pictures: grouping by part fields, centres with offsets, steps on crops."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from hybridkp import memory, recipes, runtime
from hybridkp.cli import main
from hybridkp.datasets import FORMATS
from hybridkp.detection import GivenStart, WholePicture
from hybridkp.detection.centre_maps import STRIDE, CentreReader, square_of
from hybridkp.detection.objects_read import FieldReader, OffsetReader, around, completed
from hybridkp.detection.part_fields import find_peaks, group, in_order, limb_scores
from hybridkp.detection.picture_steps import cut_start
from hybridkp.evaluate import train
from hybridkp.files import load_model, save_model
from hybridkp.imaging.geometry import apply_affine, points_box, rescale
from hybridkp.runtime.nodes import build
from hybridkp.structures import Batch, Dataset, DataWarning, InputError, Instance, PictureDetector, Sample

LIMBS = np.array([[0, 1], [1, 2], [2, 3]])
SIDE = 64


def fields(objects: np.ndarray, limbs: np.ndarray = LIMBS, cells: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Exact heat maps (K, h, w) and fields (L, 2, h, w) of objects (N, K, 2) in cells."""
    torch = pytest.importorskip("torch")
    from hybridkp.deep.part_fields import field_targets, heat_targets

    xy = torch.from_numpy(objects)[None]
    heat, (way, _) = heat_targets(xy, cells, 1.0), field_targets(xy, torch.from_numpy(limbs), cells)
    return heat[0].numpy(), way[0].numpy()


def grouped(objects: np.ndarray, limbs: np.ndarray = LIMBS) -> np.ndarray:
    heat, way = fields(objects, limbs)
    return group(find_peaks(heat, 0.1), way, limbs, objects.shape[1]).xy


def test_two_skeletons_that_cross_are_told_apart() -> None:
    one = np.array([[5.3, 6.1], [16.2, 15.8], [27.9, 26.4], [40.6, 38.2]])
    other = np.array([[41.2, 5.4], [30.4, 14.9], [17.7, 27.6], [6.8, 37.7]])
    found = grouped(np.stack([one, other]))
    assert len(found) == 2
    for true in (one, other):
        assert min(np.abs(found - true).max((1, 2))) < 0.02, "cells, between pixels"


def test_a_missing_joint_tears_an_object_and_a_second_way_mends_it() -> None:
    xy = np.array([[[5.0, 6], [16, 15], [27, 26], [40, 38]]])
    lacking = xy.copy()
    lacking[0, 1] = np.nan
    parts = grouped(lacking)
    assert sorted(np.isfinite(p[:, 0]).sum() for p in parts) == [1, 2], (
        "joint 0 is alone, 2 and 3 hold together"
    )
    more = in_order([*LIMBS, [0, 2], [1, 3]])
    (whole,) = grouped(lacking, more)
    np.testing.assert_allclose(whole, lacking[0], atol=0.02)
    (end,) = grouped(np.concatenate([xy[:, :3], np.full((1, 1, 2), np.nan)], 1))
    np.testing.assert_allclose(end[:3], xy[0, :3], atol=0.02)
    assert np.isnan(end[3]).all()


def test_grouping_of_nothing_and_of_crowds() -> None:
    empty = group(find_peaks(np.zeros((4, 9, 9)), 0.1), np.zeros((3, 2, 9, 9)), LIMBS, 4)
    assert empty.xy.shape == (0, 4, 2) and empty.raw.shape == (0,)
    rng = np.random.default_rng(0)
    noisy = group(find_peaks(rng.random((4, 40, 40)), 0.1), rng.normal(0, 1, (3, 2, 40, 40)), LIMBS, 4)
    assert (np.isfinite(noisy.xy[..., 0]).sum(0) <= 40).all() and (np.diff(noisy.raw) <= 0).all()
    assert (noisy.score[np.isnan(noisy.xy[..., 0])] == 0).all()
    none = np.zeros((0, 2), int)
    heat, way = fields(np.array([[[3.0, 4.0]], [[20.0, 8.5]]]), none)
    lone = group(find_peaks(heat, 0.1), way, none, 1)
    np.testing.assert_allclose(np.sort(lone.xy[:, 0, 0]), [3, 20], atol=0.02)


def test_a_field_is_read_along_the_limb() -> None:
    start, end = np.array([[4.0, 20.0]]), np.array([[40.0, 20.0], [40.0, 28.0], [4.0, 20.0]])
    _, way = fields(np.stack([[start[0], end[0]]]), np.array([[0, 1]]))
    right, slanted, nowhere = limb_scores(way[0], start, end)[0]
    assert right > 0.95 and slanted == 0 and nowhere == 0
    assert limb_scores(-way[0], start, end)[0, 0] == 0, "the other way round it does not flow"
    assert limb_scores(way[0], start, np.zeros((0, 2))).shape == (1, 0)


def test_what_is_not_labelled_teaches_nothing() -> None:
    torch = pytest.importorskip("torch")
    from hybridkp.deep.part_fields import field_loss

    xy = torch.tensor([[[[20.0, 20], [40, 20]], [[24, 60], [np.nan, np.nan]]]])
    boxes = torch.tensor([[[[10.0, 10], [60, 30]], [[10.0, 50], [60, 90]]]])
    crowd = torch.tensor([[[[90.0, 90], [120, 120]]]])
    limbs = torch.tensor([[0, 1]])
    heat = torch.zeros(1, 2, 32, 32, requires_grad=True)
    flow = torch.full((1, 2, 32, 32), 0.2, requires_grad=True)
    field_loss(flow, heat, (boxes, crowd, xy), limbs, 1.0).backward()
    assert (heat.grad[0, 1, 13:22, 3:14] == 0).all() and (heat.grad[0, 0, 13:22, 3:14] != 0).any()
    assert (flow.grad[0, :, 13:22, 3:14] == 0).all(), "nor does a limb whose end is unknown"
    assert (heat.grad[0, :, 23:29, 23:29] == 0).all() and (flow.grad[0, :, 23:29, 23:29] == 0).all()
    assert (heat.grad[0, 1, 4, 9] < 0).all(), "a labelled point does"


def test_readers_give_points_where_they_are() -> None:
    image = np.zeros((90, 150, 3), np.uint8)
    _, matrix = square_of(image, 128, True)
    true = np.array([[20.25, 31.5], [60.0, 40.25], [101.5, 22.0], [120.0, 61.75]])
    heat, way = fields(rescale(apply_affine(matrix, true), 1 / STRIDE)[None], cells=32)
    reader = FieldReader(128, True, LIMBS, true, np.array([1.5, 2.0]), 0.1, 0.5, 0.5)
    (found,) = reader.detect(lambda _: (way.reshape(-1, 32, 32), heat), image)
    np.testing.assert_allclose(found.xy, true, atol=0.1)
    np.testing.assert_allclose(found.box_xywh, around(true, np.array([1.5, 2.0])), atol=0.3)
    box = np.array([20.0, 30, 60, 40])
    low, high = (apply_affine(matrix, [corner - 0.5])[0] + 0.5 for corner in (box[:2], box[:2] + box[2:]))
    middle, size = (low + high) / 2 / STRIDE, (high - low) / STRIDE
    x, y = middle.astype(int)
    centre, change, offsets = (
        np.full((1, 32, 32), -5.0, np.float32),
        np.zeros((4, 32, 32)),
        np.zeros((8, 32, 32)),
    )
    centre[0, y, x] = 3.0
    change[:, y, x] = *(middle - [x, y] - 0.5), *np.log(size)
    offsets[:, y, x] = (((apply_affine(matrix, true) + 0.5) / STRIDE - middle) / size).ravel()
    reader = OffsetReader(CentreReader(128, True, 0.5, (1.0, 0.0)))
    (found,) = (i for i in reader.detect(lambda _: (offsets, change, centre), image) if i.score > 0.5)
    np.testing.assert_allclose(found.xy, true, atol=1e-5)
    np.testing.assert_allclose(found.box_xywh, box, atol=1e-5)
    np.testing.assert_allclose(completed(np.full((4, 2), np.nan), true), true)


# --------------------------------------------------------------------------------------------
# sticks: pictures of one or two bent lines with four joints
# --------------------------------------------------------------------------------------------


def sticks(n: int, random_state: int = 0) -> Dataset:
    samples = []
    for index in range(n):
        rng = np.random.default_rng([random_state, index])
        instances = []
        for row in range(1 + index % 2):
            y = rng.uniform(12, 20) + 26 * row
            xy = np.array([[8.0, y], [22, y + 5], [38, y - 3], [52, y + 4]]) + rng.uniform(-3, 3, (4, 2))
            box = points_box(xy) + [-4, -4, 8, 8]
            instances.append(Instance(xy, box_xywh=box, area=box[2] * box[3]))

        def load(instances: tuple[Instance, ...] = tuple(instances), index: int = index) -> np.ndarray:
            image = np.full((SIDE, SIDE, 3), 120, np.uint8)
            for instance in instances:
                points = np.round(instance.xy * 16).astype(np.int32)
                cv2.polylines(image, [points], False, (200, 200, 200), 2, cv2.LINE_AA, 4)
                for point, color in zip(
                    points, ((0, 0, 255), (0, 255, 0), (255, 0, 0), (0, 0, 0)), strict=True
                ):
                    cv2.circle(image, point.tolist(), 3 * 16, color, -1, cv2.LINE_AA, 4)
            return image

        samples.append(Sample(f"{index}.png", load, tuple(instances), f"g{index}", (SIDE, SIDE)))
    return Dataset("sticks", ("a", "b", "c", "d"), tuple(samples), LIMBS, category="stick")


SHORT = "input_px=64,batch_size=8,epoch_pictures=40,average=0.9,precision=float32,validation_fraction=0"
LONG = {"paf": "max_epochs=15", "onestage": "max_epochs=24"}
_FITTED: dict[str, WholePicture] = {}


def fitted(start: str) -> WholePicture:
    """Eight pictures learned by heart, as they are; once in this file."""
    if start not in _FITTED:
        net = recipes.make_method(f"{start}[{SHORT},{LONG[start]}]")
        calm = dict.fromkeys(vars(net.start.varied), 0.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(net.start), "varied", replace(net.start.varied, **calm))
            _FITTED[start] = net.fit(sticks(8).samples, skeleton=LIMBS)
    return _FITTED[start]


@pytest.mark.parametrize("start", ["paf", "onestage"])
def test_eight_pictures_are_learned_to_less_than_a_pixel(start: str) -> None:
    model = fitted(start)
    assert isinstance(model, PictureDetector)
    off = []
    for sample in sticks(8):
        found = model.detect(sample.image)
        assert len(found) == len(sample.instances)
        assert [i.score for i in found] == sorted((i.score for i in found), reverse=True)
        off += [min(np.linalg.norm(i.xy - t.xy, axis=1).mean() for i in found) for t in sample.instances]
    assert np.mean(off) < 1


@pytest.mark.parametrize("start", ["paf", "onestage"])
@pytest.mark.parametrize("engine", ["onnxruntime", "cv2.dnn"])
def test_the_runtime_sees_the_same(start: str, engine: str) -> None:
    model = fitted(start)
    run = build(model.runtime_node(), engine)
    for sample in sticks(4):
        for ours, theirs in zip(model.detect(sample.image), run.detect(sample.image), strict=True):
            np.testing.assert_allclose(theirs.xy, ours.xy, atol=1e-2)
            np.testing.assert_allclose(theirs.box_xywh, ours.box_xywh, atol=1e-2)
            np.testing.assert_allclose(theirs.score, ours.score, atol=1e-3)


@pytest.mark.parametrize("start", ["paf", "onestage"])
def test_a_model_file_gives_it_back(start: str, tmp_path) -> None:
    model = fitted(start)
    save_model(model, tmp_path / "m.hkp")
    loaded = load_model(tmp_path / "m.hkp")
    image = sticks(2).samples[1].image
    for ours, theirs in zip(model.detect(image), loaded.detect(image), strict=True):
        np.testing.assert_allclose(theirs.xy, ours.xy, atol=1e-3)
    for picture in (image[..., 0], image[:9, :7], np.zeros((2, 2), np.uint8)):
        model.detect(np.ascontiguousarray(picture))
    assert model.at_least(1.0).detect(image) == [] and model.detect(image), "the model itself is left alone"


def test_damaged_nodes_are_refused() -> None:
    for start, changes in (
        (
            "paf",
            {
                "skeleton": [[0, 9]],
                "side": 10**6,
                "least_height": np.nan,
                "mean": np.zeros((4, 3)),
                "channels": 2,
            },
        ),
        ("onestage", {"side": -1, "overlap": 0, "calibration": np.zeros(3)}),
    ):
        node = fitted(start).runtime_node()
        for name, value in changes.items():
            broken = copy.deepcopy(node)
            broken["start"][name] = np.array(value) if isinstance(value, list) else value
            with pytest.raises((InputError, ValueError)):
                build(broken)


# --------------------------------------------------------------------------------------------
# steps, expressions, commands
# --------------------------------------------------------------------------------------------


class Rough:
    """A start that sees every stick, two px off, and never its last joint."""

    def get_params(self, deep: bool = True) -> dict[str, object]:
        return {}

    def fit(self, samples, *, skeleton=None, flip=None):
        return self

    def detect(self, image, *, name=""):
        true = next(s for s in sticks(24) if s.name == name).instances
        rng = np.random.default_rng(int(name.split(".")[0]))
        moved = [i.xy + rng.uniform(-2, 2, 2) for i in true]
        for xy in moved:
            xy[3] = np.nan
        return [replace(i, xy=xy, visibility=None, score=0.9) for i, xy in zip(true, moved, strict=True)]


def test_steps_begin_where_the_start_left_off() -> None:
    data = sticks(24)
    steps = recipes.make_method("paf:sdm").detector
    model = WholePicture(Rough(), steps, (64, 64)).fit(data.samples)
    before, after = [], []
    for sample in data:
        rough = Rough().detect(None, name=sample.name)
        for true, start, found in zip(
            sample.instances, rough, model.detect(sample.image, name=sample.name), strict=True
        ):
            before.append(np.nanmean(np.linalg.norm(start.xy - true.xy, axis=1)))
            after.append(np.linalg.norm(found.xy - true.xy, axis=1).mean())
            assert found.box_xywh.tolist() == start.box_xywh.tolist() and 0 < found.score <= 0.9
    assert np.mean(after) < 0.5 * np.mean(before) and np.isfinite(after).all(), "the last joint too"
    model.start_ = fitted("paf").start_
    run = build(model.runtime_node())
    for sample in sticks(4):
        for ours, theirs in zip(model.detect(sample.image), run.detect(sample.image), strict=True):
            np.testing.assert_allclose(theirs.xy, ours.xy, atol=1e-2)
            np.testing.assert_allclose(theirs.score, ours.score, atol=1e-3)
    with pytest.raises(InputError, match="two groups at least"):
        WholePicture(Rough(), steps).fit([replace(s, group="one") for s in data])
    blind = type("Blind", (Rough,), {"detect": lambda self, image, *, name="": []})()
    with pytest.raises(InputError, match="hardly any object"):
        WholePicture(blind, steps).fit(data.samples)
    with pytest.raises(InputError, match="need the points"):
        GivenStart().fit(np.zeros((2, 8, 8), np.uint8), np.zeros((2, 1, 2))).predict(
            np.zeros((1, 8, 8), np.uint8)
        )
    given = Batch({"image": np.zeros((1, 8, 8), np.uint8), "start": np.ones((1, 4, 2), np.float32)})
    assert (GivenStart().predict(given) == 1).all()


def test_what_steps_know_besides_points_is_kept() -> None:
    data = sticks(24)
    steps = recipes.make_method("paf:sdm:covariance").detector
    model = WholePicture(Rough(), steps, (64, 64)).fit(data.samples)
    model.start_ = fitted("paf").start_
    run, image = build(model.runtime_node()), data.samples[0].image
    (ours,), (theirs,) = model.detect(image), run.detect(image)
    assert ours.covariance.shape == (4, 2, 2) and (np.linalg.eigvalsh(ours.covariance) > 0).all()
    np.testing.assert_allclose(theirs.covariance, ours.covariance, rtol=0.01)
    (found,) = model.start_.detect(image)
    crop, start, matrix = cut_start(image, found, model.mean_, (64, 64), model.margin)
    cut = Batch({"image": crop[None], "start": start[None].astype(np.float32)})
    there = model.detector_.predict_with_covariance(cut)[2][0]  # px of the crop
    np.testing.assert_allclose(there / matrix[0, 0] ** 2, ours.covariance, rtol=1e-5)


def test_expressions_of_whole_pictures() -> None:
    assert recipes.canonical(" paf : sdm ") == "paf:sdm" and recipes.family("onestage:sdm") == "hybrid"
    both = recipes.make_method("onestage[input_px=96]:shape:sdm")
    assert both.start.input_px == 96 and isinstance(both.detector.start.members[0][1], GivenStart)
    for wrong, told in (
        ("hog+svm/paf", "finds its objects itself"),
        ("vote(paf,sdm)", "takes whole pictures"),
        ("sdm:paf", "takes whole pictures"),
        ("paf:flip", "has seen the picture as it is"),
        ("paf:tree", "needs score maps"),
        ("paf[bad=1]", "no parameter 'bad'"),
        ("paf[inputs=depth]", "no parameter 'inputs'"),
    ):
        with pytest.raises(InputError, match=told):
            recipes.make_method(wrong)


def test_data_that_cannot_be_grouped_are_told() -> None:
    data = sticks(4)
    net = recipes.make_method(f"paf[{SHORT},max_epochs=1]")
    with pytest.warns(DataWarning, match="the data have no skeleton: they are joined by"):
        assert len(copy.deepcopy(net).fit(data.samples).start_.skeleton_) == 3
    with pytest.warns(DataWarning, match=r"leaves landmarks apart: .*\(\d-3\)"):
        limbs = copy.deepcopy(net).fit(data.samples, skeleton=LIMBS[:2]).start_.skeleton_
    assert limbs[:2].tolist() == LIMBS[:2].tolist() and len(limbs) == 3
    bare = [replace(s, instances=()) for s in data]
    for expression in ("paf", "onestage"):
        with pytest.raises(InputError, match="no object has one: annotate keypoints"):
            recipes.make_method(expression).fit(bare)
        with pytest.raises(InputError, match="multiple of 32"):
            recipes.make_method(f"{expression}[input_px=70]").fit(data.samples, skeleton=LIMBS)
        with pytest.raises(InputError, match="landmark 1 is labelled nowhere"):
            recipes.make_method(expression).fit(of_points(data, lambda xy: xy * [[1], [np.nan], [1], [1]]))
    with pytest.raises(InputError, match="there is only one: take onestage"):
        net.fit(of_points(data, lambda xy: xy[:1]))


def of_points(data: Dataset, change: Callable[[np.ndarray], np.ndarray]) -> list[Sample]:
    """The samples, the points of their objects changed."""
    return [
        replace(s, instances=tuple(replace(i, xy=change(i.xy), visibility=None) for i in s.instances))
        for s in data
    ]


def test_a_stopped_training_is_not_gone_on_with_by_another_network(tmp_path, monkeypatch) -> None:
    data, places = sticks(4), []

    def stopped(self: WholePicture, *_: object, **__: object) -> None:
        places.append(memory.checkpoint("the same training"))
        raise KeyboardInterrupt

    monkeypatch.setattr(WholePicture, "fit", stopped)
    plain, wide = recipes.make_method("paf"), recipes.make_method("paf[sigma=2]")
    fewer = replace(data, skeleton=LIMBS[:2])
    for net, taught in ((plain, data), (plain, data), (wide, data), (plain, fewer)):
        with pytest.raises(KeyboardInterrupt):
            train(net, taught, tmp_path / "m.hkp", name="paf")
    assert places[0] == places[1] and len(set(places)) == 3


def test_from_train_to_the_runtime(tmp_path, capsys) -> None:
    folder, model, light = tmp_path / "sticks", tmp_path / "m.hkp", tmp_path / "m.hkr"
    (folder / "images").mkdir(parents=True)
    samples = tuple(replace(s, name=f"train_{s.name}") for s in sticks(8))
    for sample in samples:
        cv2.imwrite(str(folder / "images" / sample.name), sample.image)
    coco = next(row for row in FORMATS if row.name == "coco")
    for split in ("train", "val"):
        coco.write(replace(sticks(8), samples=samples), folder, split)
    method = f"onestage[{SHORT},max_epochs=5]"
    assert main(["train", str(folder), "--method", method, "--crop", "32", "-o", str(model)]) == 0
    picture = str(folder / "images" / "train_1.png")
    capsys.readouterr()
    asked = ["predict", str(model), picture, "--min-score", "0.02"]
    assert main([*asked, "-o", str(tmp_path / "out")]) == 0 and capsys.readouterr().err == ""
    document = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert main(["export", str(model), "-o", str(light)]) == 0
    detector = runtime.load(light)
    assert isinstance(detector, runtime.RuntimePictureDetector) and detector.landmarks == ["a", "b", "c", "d"]
    assert main(["predict", str(light), *asked[2:], "-o", str(tmp_path / "out2")]) == 0
    again = json.loads((tmp_path / "out2" / "predictions.json").read_text())
    assert len(document["annotations"]) == len(again["annotations"]) > 0
    for ours, theirs in zip(document["annotations"], again["annotations"], strict=True):
        np.testing.assert_allclose(theirs["keypoints"], ours["keypoints"], atol=0.05)
    assert main(["evaluate", str(model), str(folder), "-o", str(tmp_path / "judged")]) == 0
    (row,) = json.loads((tmp_path / "judged" / "results.json").read_text())["methods"]
    assert row["oks_ap"] >= 0 and row["false_per_picture"] >= 0 and row["error_given"] is None
    # what has no place here is said in a line
    (tmp_path / "boxes.json").write_text(json.dumps({"images": [], "annotations": []}))
    for command, told in (
        ([*asked, "--boxes", str(tmp_path / "boxes.json"), "-o", str(tmp_path / "no")], "leave --boxes out"),
        (
            ["train", str(folder), "--method", "paf", "--finder", "hog+svm", "-o", str(model)],
            "finds its objects itself",
        ),
        (["export", str(model), "-o", str(tmp_path / "m.onnx")], "export to a .hkr file"),
    ):
        capsys.readouterr()
        assert main(command) == 2
        error = capsys.readouterr().err.strip().splitlines()
        assert told in error[-1], error
    with pytest.raises(InputError, match="begins with whole pictures"):
        runtime.Tracker(detector)
    with pytest.raises(InputError, match="takes no boxes"):
        detector.in_box(np.zeros((9, 9), np.uint8), np.array([0, 0, 9, 9]))
