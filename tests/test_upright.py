"""Objects at any angle: the turn is told, the crop made upright, the points turned back."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest

from hybridkp import recipes, runtime
from hybridkp.checks import make_problem
from hybridkp.files import load_model, save_model
from hybridkp.fusion import WithCovariance
from hybridkp.imaging import to_grey
from hybridkp.imaging.geometry import about_middle, apply_affine, warp
from hybridkp.landmarks import HolisticRegressor, MeanShape, Upright, WithPresence
from hybridkp.landmarks.nodes.upright import Righted, likely_turns
from hybridkp.landmarks.polar import N_TURNS, answers_to, correlation_filter, polar_row
from hybridkp.landmarks.upright import turns_against, upright_shape
from hybridkp.runtime.nodes import build
from hybridkp.structures import Batch, InputError, Prediction, Presence, predict_all, supports

TRAIN, TEST = make_problem(60), make_problem(24, random_state=1)


@pytest.fixture(scope="module")
def model():
    images, xy, groups, flip = TRAIN
    return Upright(HolisticRegressor()).fit(images, xy, groups=groups, flip=flip)


@pytest.fixture(scope="module")
def told():
    """Of a detector that tells presence and covariance; what stands nearly upright is turned too."""
    images, xy, groups, flip = TRAIN
    inner = WithPresence(WithCovariance(HolisticRegressor()))
    told = Upright(inner, least=0.0).fit(images, xy, groups=groups, flip=flip)
    assert told.detector_.upright and not inner.upright
    return told


def turned(images, xy, degrees):
    matrix = about_middle(images.shape[1:3], degrees)
    return np.stack([warp(image, matrix, image.shape[:2]) for image in images]), apply_affine(matrix, xy)


def test_a_quarter_turn_shifts_the_rows():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (80, 64), dtype=np.uint8)
    square = np.ascontiguousarray(grey[8:72])
    row = polar_row(square)
    other = polar_row(np.ascontiguousarray(np.rot90(square, -1)))  # clockwise
    np.testing.assert_allclose(other, np.roll(row, N_TURNS // 4, axis=0), atol=0.02)
    assert np.abs(other - np.roll(row, N_TURNS // 4 + 1, axis=0)).max() > 0.15
    np.testing.assert_allclose(polar_row(grey), row, atol=0.02)  # the same disc


def test_the_filter_answers_where_the_row_was_shifted_to():
    rng = np.random.default_rng(0)
    one = rng.random((N_TURNS, 6))
    one -= one.mean(axis=0)
    turns = rng.integers(0, N_TURNS, 9)
    rows = np.stack([np.roll(one, t, axis=0) for t in turns])
    rule = correlation_filter(rows, turns * 360 / N_TURNS, width=2.0, penalty=0.01)
    answers = answers_to(rows, rule)
    np.testing.assert_array_equal(answers.argmax(axis=1), turns)
    half = answers_to(0.5 * (np.roll(one, 7, axis=0) + np.roll(one, 8, axis=0)), rule).tolist()
    assert likely_turns(half, 180.0)[0].degrees == pytest.approx(7.5 * 360 / N_TURNS, abs=0.5)
    assert all(abs(turn.degrees) <= 20 for turn in likely_turns(half, 15.0))


def test_nested_rules_do_not_multiply(model):
    """A stranger's file may nest them: outside three turns are tried, inside each is asked once."""
    crop, asked = TEST.images[0], []

    class Sees:
        def predict_all(self, picture):
            asked.append(picture)
            return Prediction(np.zeros((5, 2), np.float32), np.zeros(5, np.float32), presence=np.float64(0))

        def __call__(self, picture):
            return self.predict_all(picture)[:2]

    rule = build({**model.runtime_node(), "filter": 0.1 * model.filter_}, "auto").rule  # never sure
    once = len(rule.likely(to_grey(crop)))
    nested = Sees()
    for _ in range(6):
        nested = Righted(nested, rule)
    nested.predict_all(crop)
    assert 1 < len(asked) == once <= 3
    asked.clear()
    nested.predict_all(crop)
    assert len(asked) == once, "the next call begins anew"


def test_any_angle_errs_as_upright_does(model):
    plain = HolisticRegressor().fit(*TRAIN[:2])
    errors = {}
    for degrees in (0, 60, 180):
        images, xy = turned(TEST.images, TEST.xy, degrees)
        errors[degrees] = np.linalg.norm(model.predict(images) - xy, axis=2).mean()
        assert (
            degrees == 0 or errors[degrees] < 0.3 * np.linalg.norm(plain.predict(images) - xy, axis=2).mean()
        )
    assert max(errors.values()) < 1.3 * errors[0]


def test_a_quarter_turn_of_the_crop_turns_the_points(model):
    model = copy.copy(model)
    model.least = 0.0  # else objects that stand a little aside are left so
    images = np.ascontiguousarray(np.rot90(TEST.images, -1, (1, 2)))
    xy = model.predict(TEST.images)
    wanted = np.stack([TEST.images.shape[1] - 1 - xy[..., 1], xy[..., 0]], axis=-1)
    np.testing.assert_allclose(model.predict(images), wanted, atol=0.1)


def test_the_turn_is_that_of_the_points():
    some = turned(TRAIN.images, TRAIN.xy, 30.0)[1][:10]
    lie = turns_against(upright_shape(TRAIN.xy), np.concatenate([TRAIN.xy, some]))
    np.testing.assert_allclose(lie[60:] - lie[:10], 30, atol=1e-6)
    assert abs(np.angle(np.exp(1j * np.deg2rad(lie[:60])).mean(), deg=True)) < 1, "as most of them stand"


def test_mirror_images_of_objects_that_lie_aside():
    """What is upright need not be upright on the screen: a mirrored object then stands otherwise."""
    images, xy = turned(TRAIN.images, TRAIN.xy, 70.0)
    aside = Upright(MeanShape()).fit(images, xy, groups=TRAIN.groups, flip=TRAIN.flip)
    assert np.median(np.abs(aside.off_)) < 8


def test_presence_chooses_among_turns_and_covariances_turn(told):
    upside_down = predict_all(told.detector_, np.ascontiguousarray(TEST.images[:, ::-1, ::-1]))
    assert np.mean(upside_down.presence < predict_all(told.detector_, TEST.images).presence) > 0.9
    crops, truth = turned(TEST.images, TEST.xy, 90.0)
    found = predict_all(told, crops)
    assert np.median(np.linalg.norm(found.xy - truth, axis=2)) < 4
    upright = predict_all(told, TEST.images)
    swapped = upright.covariance[..., ::-1, ::-1] * np.array([[1, -1], [-1, 1]])
    wanted = apply_affine(about_middle(crops.shape[1:3], 90.0), upright.xy)
    same = np.linalg.norm(found.xy - wanted, axis=2).max(axis=1) < 0.1  # by the same turn
    assert same.mean() > 0.8
    np.testing.assert_allclose(found.covariance[same], swapped[same], rtol=0.1, atol=0.2)


def test_presence_inside_of_another_step_hears_of_turns_and_is_told():
    images, xy, groups, _ = (part[:24] for part in TRAIN)
    made = recipes.make_method("mean-shape:presence:covariance:upright")
    inner = made.detector
    assert isinstance(inner, WithCovariance) and isinstance(inner.detector, WithPresence)
    assert supports(inner, Presence) and not supports(WithCovariance(MeanShape()), Presence)
    made.fit(images, xy, groups=groups)
    assert made.detector_.detector_.upright and not inner.detector.upright
    assert made.predict_with_presence(images[:2])[2].shape == (2,)


def test_every_modality_is_turned():
    _, xy, groups, _ = TRAIN
    images = np.stack([cv2.blur(image, (9, 9)) for image in TRAIN.images])
    batch = Batch(
        {"image": images, "depth": images[..., 1].astype(np.uint16) * 10, "sound": np.zeros((60, 9))}
    )

    class Sees(MeanShape):
        def fit(self, seen, xy, *, groups=None, flip=None):
            depth = seen["depth"].astype(float)  # 0 where nothing is seen
            assert np.corrcoef(seen["image"][..., 1][depth > 0], depth[depth > 0])[0, 1] > 0.95
            assert not np.array_equal(seen["image"], images) and seen["sound"].shape == (60, 9)
            return super().fit(seen, xy, groups=groups, flip=flip)

    assert Upright(Sees()).fit(batch, xy, groups=groups).predict(batch[:3]).shape == (3, 5, 2)


def test_few_pictures_one_group_and_what_cannot_be():
    images, xy, _, _ = TRAIN
    some = xy[:3].copy()
    some[0, 1] = np.nan
    found = Upright(MeanShape()).fit(images[:3], some, groups=np.zeros(3)).predict_all(images[:2])
    assert np.isfinite(found.xy).all()
    lone = np.where(np.eye(2, dtype=bool)[np.arange(60) % 2, :, None], xy[:, :2], np.nan)  # one point each
    assert len(Upright(MeanShape()).fit(images, np.concatenate([xy[:9, :2], lone[9:]])).off_) == 9
    with pytest.raises(InputError, match="two labelled points"):
        Upright(MeanShape()).fit(images, lone)
    for wrong in (
        {"turns": 0.0},
        {"turns": 181.0},
        {"penalty": 0.0},
        {"max_pictures": 1},
        {"least": -1.0},
        {"least": 31.0},
    ):
        with pytest.raises(InputError, match="upright"):
            Upright(MeanShape(), **wrong).fit(images, xy)
    for wrong, said in (({"flip": [0, 1]}, "flip must be"), ({"groups": [0, 1]}, "groups must have shape")):
        with pytest.raises(InputError, match=said):
            Upright(MeanShape()).fit(images, xy, **wrong)
    with pytest.raises(InputError, match="no direction"):
        Upright(MeanShape()).fit(images, xy[:, :1])


def test_what_stands_nearly_upright_is_shown_as_it_is(model):
    """By the same arrays: no turn costs nothing; a file of before the rule had such a limit has none."""
    seen = []

    class Sees:
        def __call__(self, picture):
            seen.append(picture)
            return np.zeros((5, 2), np.float32), np.zeros(5, np.float32)

    node = model.runtime_node()
    rule = build(node, "auto").rule
    turns = [rule.likely(to_grey(crop))[0].degrees for crop in TEST.images]
    for crop in TEST.images:
        Righted(Sees(), rule)(crop)
    as_it_is = [np.shares_memory(a, b) for a, b in zip(seen, TEST.images, strict=True)]
    assert as_it_is == [turn == 0 for turn in turns] and 0 < np.mean(as_it_is) < 1
    assert min(abs(turn) for turn in turns if turn) >= model.least == rule.least
    assert build({k: v for k, v in node.items() if k != "least"}, "auto").rule.least == 0


def test_files_say_the_same(model, tmp_path):
    crops = turned(TEST.images[:8], TEST.xy[:8], 200.0)[0]
    wanted = model.predict_all(crops)
    save_model(model, tmp_path / "m.hkp", {})
    np.testing.assert_array_equal(load_model(tmp_path / "m.hkp").predict_all(crops).xy, wanted.xy)
    runtime.export_runtime(model, tmp_path / "m.hkr")
    np.testing.assert_allclose(runtime.load(tmp_path / "m.hkr").predict_all(crops).xy, wanted.xy, atol=1e-4)


def test_an_onnx_file_says_the_same(told, tmp_path):
    """But where a grey level of the turned crop is rounded otherwise; OpenCV 4 reads in steps of 1/32 px."""
    onnxruntime, near = pytest.importorskip("onnxruntime"), 0.1 if cv2.__version__.startswith("4") else 1e-3
    crops = np.concatenate([turned(TEST.images[:4], TEST.xy[:4], 200.0)[0], TEST.images[4:8]])
    unsure, leaves = copy.copy(told), copy.copy(told)
    unsure.filter_, leaves.least = 0.02 * told.filter_, 10.0
    assert np.abs(leaves.predict(crops[4:]) - told.predict(crops[4:])).max() > 0.5, "it does something else"
    for model in (leaves, unsure):
        wanted = model.predict_all(crops)
        file = runtime.export_onnx(model, tmp_path / "m.onnx")
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        values = session.run(names, {"image": cv2.dnn.blobFromImages(list(crops))})
        found = dict(zip(names, values, strict=True))
        off = np.sort(np.abs(found["xy"] - wanted.xy).max(axis=(1, 2)))
        assert off[5] < near and off[-1] < 20 * near
        for name in ("presence", "covariance", "score"):
            np.testing.assert_allclose(found[name], getattr(wanted, name), atol=20 * near)


def test_it_is_a_step_behind_presence():
    made = recipes.make_method("mean-shape:presence:upright[turns=90]")
    assert isinstance(made, Upright) and made.turns == 90.0 and isinstance(made.detector, WithPresence)
    assert recipes.with_presence(made, "name") == (made, "name")
    with pytest.raises(InputError, match=r"'upright' needs presence.* behind the step presence$"):
        recipes.make_method("mean-shape:covariance:upright")
