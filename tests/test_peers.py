"""dlib behind our promise: the public checks, absent parts, and model files that were tampered with."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridkp import recipes
from hybridkp.checks import detector_checks, make_problem
from hybridkp.files import load_model, save_model
from hybridkp.peers import DlibShapePredictor
from hybridkp.peers.dlibformat import MAX_VALUES, pack, read_predictor, unpack, write_predictor
from hybridkp.structures import InputError

dlib = pytest.importorskip("dlib")

SMALL = {"cascade_depth": 4, "num_trees_per_cascade_level": 30}


def small(**options: Any) -> DlibShapePredictor:
    return DlibShapePredictor(**{**SMALL, **options})


def stream(model: DlibShapePredictor) -> bytes:
    return model.predictor_.__getstate__()[0]


@pytest.fixture(scope="module")
def fitted() -> DlibShapePredictor:
    p = make_problem()
    return small().fit(p.images, p.xy)


CASES = [pytest.param(run, id=name) for name, run in detector_checks(small())]


@pytest.mark.parametrize("run", CASES)
def test_promise(run: Callable[[], None]) -> None:
    run()


# --------------------------------------------------------------------------------------------
# options, box, points
# --------------------------------------------------------------------------------------------


def test_the_defaults_are_dlibs() -> None:
    theirs = dlib.shape_predictor_training_options()
    ours = DlibShapePredictor().get_params()
    names = {n for n in dir(theirs) if not n.startswith("_")}
    assert set(ours) - names == {"margin", "random_state"} and names - set(ours) == {
        "be_verbose",
        "random_seed",
    }
    assert all(getattr(theirs, n) == ours[n] for n in names & set(ours))


def test_it_is_what_dlib_alone_would_train() -> None:
    p = make_problem(12)
    grey = [np.ascontiguousarray(i[..., 0]) for i in p.images]
    model = small(random_state=3).fit(np.stack(grey), p.xy)
    options = dlib.shape_predictor_training_options()
    for name, value in SMALL.items():
        setattr(options, name, value)
    options.random_seed = str(np.random.RandomState(3).randint(2**31 - 1))
    box = dlib.rectangle(6, 6, 57, 57)  # 64 / 1.25 = 51.2 px, so its edges lie at 5.9 and 57.1
    objects = [
        [dlib.full_object_detection(box, [dlib.point(int(x), int(y)) for x, y in np.rint(xy)])] for xy in p.xy
    ]
    assert dlib.train_shape_predictor(grey, objects, options).__getstate__()[0] == stream(model)


@pytest.mark.parametrize(
    ("size_hw", "margin", "edges"),
    [
        ((128, 128), 1.25, (13, 13, 114, 114)),  # 102.4 px wide: its edges lie at 12.3 and 114.7
        ((100, 60), 1.25, (6, 10, 53, 89)),  # edges at 5.5 and 53.5, 9.5 and 89.5
        ((64, 64), 1.0, (0, 0, 63, 63)),
        ((65, 65), 2.0, (16, 16, 48, 48)),  # an odd side has a middle pixel: 32
    ],
)
def test_the_box_is_the_middle_of_the_crop(size_hw, margin, edges) -> None:
    box = DlibShapePredictor(margin=margin)._box(dlib, size_hw)
    assert (box.left(), box.top(), box.right(), box.bottom()) == edges


def test_points_are_whole_and_the_score_says_nothing(fitted: DlibShapePredictor) -> None:
    xy, score = fitted.predict_with_score(make_problem(5, 2).images)
    np.testing.assert_array_equal(xy, np.rint(xy))
    assert (score == 0.5).all()


def test_groups_and_flip_change_nothing(fitted: DlibShapePredictor) -> None:
    p = make_problem()
    assert stream(small().fit(p.images, p.xy, groups=p.groups, flip=p.flip)) == stream(fitted)
    assert stream(small(random_state=1).fit(p.images, p.xy)) != stream(fitted)


def test_two_threads_learn_the_same() -> None:
    p, held = make_problem(), make_problem(8, 1)
    one, two = (small(num_threads=n).fit(p.images, p.xy).predict(held.images) for n in (1, 2))
    np.testing.assert_allclose(two, one, atol=1.0)  # sums in another order may round to another pixel


def test_absent_parts_are_skipped() -> None:
    p, held = make_problem(), make_problem(12, 1)
    xy = p.xy.copy()
    xy[::2, 0] = np.nan
    xy[1::4, 3] = np.nan
    model = small().fit(p.images, xy)
    error = np.linalg.norm(model.predict(held.images) - held.xy, axis=-1).mean(axis=0)
    floor = np.linalg.norm(p.xy.mean(axis=0) - held.xy, axis=-1).mean(axis=0)
    assert (error < 0.9 * floor).all(), (error, floor)


def test_pictures_without_points_are_left_out(fitted: DlibShapePredictor) -> None:
    p = make_problem()
    images = np.concatenate([np.zeros_like(p.images[:3]), p.images])
    xy = np.concatenate([np.full_like(p.xy[:3], np.nan), p.xy])
    assert stream(small().fit(images, xy)) == stream(fitted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cascade_depth": 0}, "cascade_depth must be int in"),
        ({"cascade_depth": 2.5}, "cascade_depth must be int"),
        ({"tree_depth": 40}, "tree_depth must be int in"),
        ({"num_trees_per_cascade_level": -1}, "num_trees_per_cascade_level"),
        ({"nu": 0.0}, "nu must be float in"),
        ({"nu": float("nan")}, "nu must be float in"),
        ({"nu": "0.1"}, "nu must be float in"),
        ({"lambda_param": 0}, "lambda_param"),
        ({"feature_pool_size": 1}, "feature_pool_size"),
        ({"num_test_splits": 0}, "num_test_splits"),
        ({"feature_pool_region_padding": -0.5}, "feature_pool_region_padding"),
        ({"oversampling_translation_jitter": -0.1}, "oversampling_translation_jitter"),
        ({"oversampling_amount": 0}, "oversampling_amount"),
        ({"num_threads": -1}, "num_threads"),
        ({"margin": 0.8}, "margin must be at least 1"),
        ({"margin": 80.0}, "too small at a margin of 80"),
        ({"margin": 40.0}, "5 sides of the box off its middle"),
        ({"cascade_depth": 1000, "tree_depth": 16}, "leaf values, more than"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    p = make_problem(6)
    with pytest.raises(InputError, match=message):
        small(**options).fit(p.images, p.xy)


def test_bad_data() -> None:
    p = make_problem(6)
    with pytest.raises(InputError, match=r"xy must have shape \(6, K, 2\)"):
        small().fit(p.images, p.xy[:5])
    far = p.xy.copy()
    far[2, 1] = [1e6, 3]
    with pytest.raises(InputError, match="5 sides of the box off its middle"):
        small().fit(p.images, far)
    never = p.xy.copy()
    never[:, 2] = np.nan
    with pytest.raises(InputError, match="landmark 2 is labelled in no training picture"):
        small().fit(p.images, never)
    with pytest.raises(InputError, match="fitted on 64 x 64"):
        small(cascade_depth=1).fit(p.images, p.xy).predict(p.images[:, :60])


# --------------------------------------------------------------------------------------------
# model files
# --------------------------------------------------------------------------------------------


def test_numbers_as_dlib_writes_them() -> None:
    assert pack(np.array([1, -300, 0])) == bytes([0x01, 1, 0x82, 0x2C, 0x01, 0x01, 0])
    values = np.array([0, 1, -1, 255, 256, -65536, 2**24 - 1, -(2**40), 2**62, -(2**62)])
    np.testing.assert_array_equal(unpack(pack(values)), values)


def test_blocks_meet_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(-(2**30), 2**30, 1000) >> np.arange(1000) % 30
    whole = pack(values)
    monkeypatch.setattr("hybridkp.peers.dlibformat._BLOCK", 7)
    assert pack(values) == whole
    np.testing.assert_array_equal(unpack(whole), values)


def test_arrays_and_back_to_the_same_bytes(fitted: DlibShapePredictor) -> None:
    arrays = read_predictor(stream(fitted))
    assert arrays["leaves"].shape == (4, 30, 16, 5, 2) and arrays["anchors"].shape == (4, 400)
    middle = make_problem().xy.mean(axis=0)
    box = fitted._box(dlib, fitted.size_hw_)
    place = arrays["start"] * (box.right() - box.left()) + box.left()
    np.testing.assert_allclose(place, middle, atol=0.3)  # the training points were rounded
    assert write_predictor(arrays) == stream(fitted)


@pytest.mark.parametrize("keep", [-1, -2, 1, 100])
def test_a_stream_cut_short(fitted: DlibShapePredictor, keep: int) -> None:
    raw = stream(fitted)[:keep]
    while unpack_ends_between_numbers(raw):
        raw = raw[:-1]
    with pytest.raises(InputError, match="cut short or damaged"):
        unpack(raw)


def unpack_ends_between_numbers(raw: bytes) -> bool:
    at = 0
    while at < len(raw):
        at += 1 + (raw[at] & 15)
    return at == len(raw)


def test_a_control_byte_that_dlib_never_writes() -> None:
    for raw in (b"\x00\x01\x01", b"\x0f" + bytes(15)):
        with pytest.raises(InputError, match="cut short or damaged"):
            unpack(raw)


def spoilt(name: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    def spoil(state: dict[str, Any]) -> None:
        state[name] = change(state[name])

    return spoil


def put(value: float) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array = array.copy()
        array.flat[-1] = value
        return array

    return change


SPOILT = {
    "pixel beyond the pool": (spoilt("pixels", put(400)), "points outside its own lists"),
    "negative pixel": (spoilt("pixels", put(-1)), "points outside its own lists"),
    "anchor beyond the landmarks": (spoilt("anchors", put(5)), "points outside its own lists"),
    "huge anchor": (spoilt("anchors", lambda a: a.astype(np.int64) + 2**40), "points outside its own lists"),
    "NaN leaf": (spoilt("leaves", put(np.nan)), "not finite or far too large"),
    "infinite start": (spoilt("start", put(np.inf)), "not finite or far too large"),
    "huge offset": (spoilt("offsets", put(-1e30)), "not finite or far too large"),
    "a leaf too few": (spoilt("leaves", lambda a: a[:, :, 1:]), "do not fit together"),
    "no power of two": (spoilt("thresholds", lambda a: a[..., 1:]), "do not fit together"),
    "a stage too few": (spoilt("offsets", lambda a: a[1:]), "do not fit together"),
    "no trees": (spoilt("thresholds", lambda a: a[:, :0]), "do not fit together"),
    "another K": (spoilt("start", lambda a: a[1:]), "do not fit together"),
    "text": (spoilt("leaves", lambda a: "leaves"), "not the arrays"),
    "float indices": (spoilt("pixels", lambda a: a.astype(np.float32)), "not the arrays"),
    "flat": (spoilt("anchors", np.ravel), "not the arrays"),
    "no leaves": (lambda state: state.pop("leaves"), "not the arrays"),
    "bytes instead": (spoilt("size_hw", lambda v: "ab"), "damaged model file"),
    "a crop of no size": (spoilt("size_hw", lambda v: [0, 0]), "too small"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_model_files(fitted: DlibShapePredictor, tmp_path: Path, case: str) -> None:
    spoil, message = SPOILT[case]
    state = fitted.get_state()
    spoil(state)
    model = copy.copy(fitted)
    model.get_state = lambda: state  # type: ignore[method-assign]
    save_model(model, tmp_path / "model.hkp")
    with pytest.raises(InputError, match=message) as caught:
        load_model(tmp_path / "model.hkp")
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_too_many_trees_are_not_read(fitted: DlibShapePredictor) -> None:
    arrays = read_predictor(stream(fitted))
    stages = MAX_VALUES // arrays["leaves"][:1].size + 1
    many = {n: np.broadcast_to(a[:1], (stages, *a.shape[1:])) for n, a in arrays.items() if n != "start"}
    with pytest.raises(InputError, match=f"more than {MAX_VALUES}"):
        write_predictor({"start": arrays["start"], **many})


def test_copies_predict_the_same(fitted: DlibShapePredictor) -> None:
    images = make_problem(5, 2).images
    np.testing.assert_array_equal(copy.deepcopy(fitted).predict(images), fitted.predict(images))


# --------------------------------------------------------------------------------------------
# the extra
# --------------------------------------------------------------------------------------------


def test_without_dlib(fitted: DlibShapePredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    p = make_problem(6)
    save_model(fitted, tmp_path / "model.hkp")
    monkeypatch.setitem(sys.modules, "dlib", None)
    model = recipes.make_method("dlib", quick=True)
    with pytest.raises(InputError, match=r'dlib is not installed: pip install "hybridkp\[peers\]"'):
        model.fit(p.images, p.xy)
    with pytest.raises(InputError, match=r"model\.hkp: dlib is not installed"):
        load_model(tmp_path / "model.hkp")


def test_an_old_dlib(monkeypatch: pytest.MonkeyPatch) -> None:
    p = make_problem(6)
    monkeypatch.setattr(dlib, "__version__", "19.24.2")
    with pytest.raises(InputError, match=r"dlib 19\.24\.2 is too old"):
        small().fit(p.images, p.xy)


def test_the_recipe_is_a_peer_and_waits_to_be_named() -> None:
    assert recipes.family("dlib") == "peer" and "dlib" not in recipes.DEFAULT
    assert recipes.make_method("dlib").get_params() == DlibShapePredictor().get_params()


def test_naming_it_does_not_import_dlib() -> None:
    code = (
        "import sys; from hybridkp import recipes; recipes.make_method('dlib'); print('dlib' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
