"""Whether a crop holds an object: beside any detector's points, in files, and in whole pictures."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

from hybridkp import recipes, runtime
from hybridkp.checks import make_problem
from hybridkp.evaluate import predict
from hybridkp.files import load_model, save_model
from hybridkp.fusion import WithVisibility
from hybridkp.landmarks import HolisticRegressor, MeanShape, WithPresence
from hybridkp.landmarks.aligned import aligned_row, whole_row
from hybridkp.landmarks.views import ABSENT, PRESENT, SHUFFLED, TURNED, seen_otherwise
from hybridkp.runtime.nodes import build
from hybridkp.structures import Batch, InputError, Prediction, predict_all

TRAIN, TEST = make_problem(60), make_problem(30, random_state=1)


@pytest.fixture(scope="module")
def model():
    images, xy, groups, flip = TRAIN
    return WithPresence(HolisticRegressor()).fit(images, xy, groups=groups, flip=flip)


@pytest.fixture(scope="module")
def empty():
    """Crops of stripes, of one tone, and of an edge."""
    crops = np.zeros((12, *TEST.images.shape[1:]), np.uint8)
    crops[:4, ::8] = 255
    crops[4:8] = 90
    crops[8:, :, 30:] = 200
    return crops


def test_objects_are_told_from_nothing(model, empty):
    _, _, there = model.predict_with_presence(TEST.images)
    _, score, absent = model.predict_with_presence(empty)
    assert there.shape == (30,) and there.dtype == np.float32
    assert absent.max() < 0.5 < np.quantile(there, 0.1)
    assert score.max() < 0.5, "scores fall with it"


def test_a_half_of_the_object_is_none(model):
    halves = seen_otherwise(TEST.images, TEST.xy, "half", np.random.default_rng(0))
    there, half = (model.predict_with_presence(crops)[2] for crops in (TEST.images, halves))
    assert np.mean(half[:, None] < there) > 0.95


def test_points_are_the_detectors_and_scores_fall_by_the_presence(model):
    found, own = model.predict_all(TEST.images), model.detector_.predict_with_score(TEST.images)
    np.testing.assert_array_equal(found.xy, own[0])
    np.testing.assert_allclose(found.score, own[1] * found.presence[:, None], atol=1e-6)
    np.testing.assert_array_equal(model.predict_with_score(TEST.images)[1], found.score)
    assert model.held()[0][1] is model.detector_ and len(model.stages(TEST.images)) == 1


def test_what_is_inside_goes_on_telling():
    images, xy, groups, _ = TRAIN
    hidden = xy.copy()
    hidden[::3, 0] = np.nan
    inside = WithPresence(WithVisibility(MeanShape())).fit(images, hidden, groups=groups)
    found = predict_all(inside, TEST.images)
    assert found.visibility.shape == found.score.shape and found.presence.shape == (30,)
    alone = found[3]
    assert alone.xy.shape == found.xy.shape[1:] and alone.presence == found.presence[3]
    again = Prediction.stacked([found[i] for i in range(30)])
    np.testing.assert_array_equal(again.visibility, found.visibility)


def test_a_turned_object_is_as_present():
    """The frame turns with the points, and how they lie is no part of the row."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (64, 64), dtype=np.uint8)
    xy = np.array([[20.0, 20], [44, 22], [30, 41]])
    turned = np.stack([63 - xy[:, 1], xy[:, 0]], 1)  # a quarter to the right
    mean, score = xy + 1.5, np.full(3, 0.5)
    row = aligned_row(grey, xy, score, mean)
    other = aligned_row(np.ascontiguousarray(np.rot90(grey, -1)), turned, score, mean)
    np.testing.assert_allclose(other[-5:-3], row[-5:-3], atol=1e-9)
    inner = np.s_[: 64 * 8]
    assert np.corrcoef(row[inner], other[inner])[0, 1] > 0.8
    whole = whole_row(grey, xy, mean), whole_row(np.ascontiguousarray(np.rot90(grey, -1)), turned, mean)
    assert np.corrcoef(*whole)[0, 1] > 0.8 > np.corrcoef(whole[0], whole_row(grey, turned, mean))[0, 1]


def test_points_that_are_missing_and_scores_that_are_none():
    grey, mean = np.zeros((40, 32), np.uint8), np.array([[8.0, 9], [20, 22]])
    row = aligned_row(grey, np.full((2, 2), np.nan), np.full(2, np.nan), mean)
    assert np.isfinite(row).all() and row[-1] == row[-2] < -4


@pytest.mark.parametrize("kind", [PRESENT, *ABSENT, SHUFFLED, TURNED])
def test_every_modality_is_seen_through_the_same_box(kind):
    words = np.empty(len(TRAIN.images), object)
    words[:] = [((1.0, 2, 9, 5, "total"),)] * len(words)
    depth = np.where(TRAIN.images[..., 1] > 128, 3000, 500).astype(np.uint16)
    batch = Batch({"image": TRAIN.images, "depth": depth, "words": words, "sound": np.zeros((60, 9))})
    seen = seen_otherwise(batch, TRAIN.xy, kind, np.random.default_rng(0))
    assert seen.shape == batch.shape and np.array_equal(seen["sound"], batch["sound"])
    assert set(np.unique(seen["depth"])) <= {0, 500, 3000}, "no depth is made up"
    assert (seen["words"][0] == words[0]) == (kind == SHUFFLED)
    if kind in ABSENT:  # none of them relit
        bright, depth = seen["image"][..., 1].astype(float), seen["depth"]
        assert bright[depth == 3000].mean() > bright[depth == 500].mean() + 40


class Counted(MeanShape):
    asked = 0

    def predict_with_score(self, images):
        Counted.asked += len(images)
        return super().predict_with_score(images)


@pytest.mark.parametrize("settings, times", [({}, 2 * 6), ({"looks": 1}, 6), ({"upright": True}, 7)])
def test_each_crop_is_seen_as_each_kind_so_often(settings, times):
    images, xy, groups, _ = TRAIN
    Counted.asked = 0
    WithPresence(Counted(), **settings).fit(images[:9], xy[:9], groups=groups[:9])
    assert Counted.asked == 9 * times


def test_few_pictures_and_one_group():
    images, xy, _, _ = TRAIN
    found = WithPresence(MeanShape()).fit(images[:3], xy[:3], groups=np.zeros(3)).predict_all(images[:3])
    assert np.isfinite(found.presence).all()
    for wrong in ({"penalty": 0.0}, {"max_pictures": 1}, {"looks": 0}):
        with pytest.raises(InputError, match="presence"):
            WithPresence(MeanShape(), **wrong).fit(images, xy)


def test_files_say_the_same(model, empty, tmp_path):
    crops = np.concatenate([TEST.images[:8], empty])
    wanted = model.predict_all(crops)
    save_model(model, tmp_path / "m.hkp", {})
    np.testing.assert_array_equal(load_model(tmp_path / "m.hkp").predict_all(crops).presence, wanted.presence)
    runtime.export_runtime(model, tmp_path / "m.hkr")
    loaded = runtime.load(tmp_path / "m.hkr")
    found = loaded.predict_all(crops)
    np.testing.assert_allclose(found.presence, wanted.presence, atol=1e-6)
    np.testing.assert_allclose(found.score, wanted.score, atol=1e-6)
    node, before = model.runtime_node(), 128 + 5  # numbers of a row in files of before
    for n, fails in ((before, nullcontext()), (before - 1, pytest.raises(ValueError))):
        with fails:
            build({**node, "weights": model.weights_[-n:]}, "auto").predict_all(crops[0])
    h, w = crops.shape[1:3]
    seen = loaded.in_box(crops[0], np.array([0, 0, w, h], float))
    assert 0 <= seen.presence <= 1


def test_an_onnx_file_has_it_as_an_output(model, empty, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    crops = np.concatenate([TEST.images[:8], empty])
    path = runtime.export_onnx(model, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(path))
    blob = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32)
    xy, score, presence = session.run(["xy", "score", "presence"], {"image": blob})
    wanted = model.predict_all(crops)
    assert np.abs(xy - wanted.xy).max() < 1e-3
    assert np.abs(presence - wanted.presence).max() < 1e-3 and np.abs(score - wanted.score).max() < 1e-3
    picture = runtime.export_onnx(model, tmp_path / "p.onnx", picture="any", pixels="uint8")
    boxes = np.array([[3, 2, 30, 30], [0, 0, 40, 40]], np.float32)
    found = onnxruntime.InferenceSession(str(picture)).run(
        ["xy", "presence"], {"picture": crops[0], "boxes": boxes}
    )
    assert found[0].shape == (2, *xy.shape[1:]) and found[1].shape == (2,)


def test_whole_pictures_say_it_too(model, tmp_path):
    import cv2

    for name, crop in (("object", TEST.images[0]), ("nothing", np.full_like(TEST.images[0], 120))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), crop)
    pictures = [tmp_path / "object.png", tmp_path / "nothing.png"]
    with pytest.warns(UserWarning, match="no boxes"):
        found = predict(model, pictures, meta={"margin": 1.0})["annotations"]
    assert found[0]["presence"] > 0.5 > found[1]["presence"]
    assert found[0]["score"] > found[1]["score"]


def test_groups_of_other_pictures_are_refused():
    with pytest.raises(InputError, match="groups must have shape"):
        WithPresence(MeanShape()).fit(TRAIN.images, TRAIN.xy, groups=[0, 1])


def test_the_grammar_knows_it():
    made = recipes.make_method("mean-shape:presence")
    assert isinstance(made, WithPresence) and isinstance(made.detector, MeanShape)


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("mean-shape", "mean-shape:presence"),
        ("hog+svm/mean-shape:covariance", "hog+svm/mean-shape:covariance:presence"),
        ("mean-shape:presence[penalty=9]", "mean-shape:presence[penalty=9]"),
        ("hog+svm/mean-shape:presence:covariance", "hog+svm/mean-shape:presence:covariance"),
    ],
)
def test_training_adds_it_once(method, name):
    made, called = recipes.with_presence(recipes.make_method(method), method)
    assert called == name
    assert sum(isinstance(part, WithPresence) for part in (made, *made.get_params().values())) == 1


def test_score_maps_are_found_behind_it(model, tmp_path):
    pytest.importorskip("onnx")
    with pytest.raises(InputError, match="HolisticRegressor has none"):
        runtime.export_onnx(model, tmp_path / "m.onnx", opencv=True, maps=True)
