"""Pictures in, whole files out, models and predictions there and back."""

from __future__ import annotations

import errno
import os
import re
import struct
import subprocess
import sys
import warnings

import cv2
import numpy as np
import pytest
from plain_detectors import PlainMean
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from hybridkp.files import (
    atomic_path,
    find_images,
    load_model,
    load_predictions,
    read_image,
    read_meta,
    remove_leftovers,
    save_model,
    save_predictions,
    write_atomic,
)
from hybridkp.files.records import save_tensors
from hybridkp.structures import InputError, Instance, Predictions

PICTURE = np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8)


def save(path, image, *options):
    ok, data = cv2.imencode(path.suffix, image, *options)
    assert ok
    path.write_bytes(data.tobytes())
    return path


# --------------------------------------------------------------------------------------------
# pictures
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm"])
def test_lossless_formats_come_back_as_they_were(tmp_path, suffix):
    assert np.array_equal(read_image(save(tmp_path / f"p{suffix}", PICTURE)), PICTURE)


def test_names_outside_ascii(tmp_path):
    path = tmp_path / "lächeln 笑.png"
    path.write_bytes(cv2.imencode(".png", PICTURE)[1].tobytes())
    assert np.array_equal(read_image(path), PICTURE)


def exif(orientation, endian="<"):
    order = b"II" if endian == "<" else b"MM"
    entry = struct.pack(endian + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return order + struct.pack(endian + "HI", 42, 8) + struct.pack(endian + "H", 1) + entry + b"\0" * 4


TURNED = {  # what is stored so that the upright picture is `a`, by the EXIF standard's table
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("endian", "<>")
def test_exif_turned_png_and_jpeg_come_upright(tmp_path, orientation, endian):
    smooth = cv2.GaussianBlur(PICTURE, (0, 0), 4)
    stored = np.ascontiguousarray(TURNED[orientation](smooth))
    body = exif(orientation, endian)
    png = cv2.imencode(".png", stored)[1].tobytes()
    import zlib

    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    (tmp_path / "p.png").write_bytes(png[:33] + chunk + png[33:])
    assert np.array_equal(read_image(tmp_path / "p.png"), smooth)
    jpeg = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    segment = b"Exif\0\0" + body
    app1 = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    (tmp_path / "p.jpg").write_bytes(jpeg[:2] + app1 + jpeg[2:])
    assert np.abs(read_image(tmp_path / "p.jpg").astype(int) - smooth).max() <= 6


def test_opencv_and_we_agree_on_orientation(tmp_path):
    for orientation in range(1, 9):
        jpeg = cv2.imencode(".jpg", PICTURE)[1].tobytes()
        segment = b"Exif\0\0" + exif(orientation)
        app1 = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
        path = tmp_path / f"{orientation}.jpg"
        path.write_bytes(jpeg[:2] + app1 + jpeg[2:])
        assert np.array_equal(read_image(path), cv2.imread(str(path), cv2.IMREAD_COLOR))


def test_find_images(tmp_path):
    for name in ("b.png", "a.JPG", "note.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in find_images(tmp_path)] == ["a.JPG", "b.png"]
    assert [p.name for p in find_images(f"{tmp_path}/*.png")] == ["b.png"]
    assert find_images(tmp_path / "missing.png") == [tmp_path / "missing.png"]  # read_image complains
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        find_images(tmp_path / "empty")


# --------------------------------------------------------------------------------------------
# whole files
# --------------------------------------------------------------------------------------------


def test_write_atomic_makes_folders_and_replaces(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_atomic(path, "one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["file.txt"]


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch, where):
    path = tmp_path / "file.txt"
    write_atomic(path, "old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, where, full)
    with pytest.raises(InputError, match=r"file\.txt.*No space left"):
        write_atomic(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_ctrl_c_while_writing_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "x") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="asks for processes as POSIX does")
def test_leftovers_of_dead_processes_are_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with atomic_path(tmp_path / "new") as temporary:
        ours = temporary.name
        left = ours.replace(f"-{os.getpid()}-", f"-{dead.pid}-")
        others = [f".x.{dead.pid}.y.part", "a.part", "a.1.part", f".a.hkp.{dead.pid}.x_1.part"]
        for name in (left, *others):
            (tmp_path / name).touch()
        remove_leftovers(tmp_path)
        assert temporary.exists()
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "new"])


def test_leftovers_of_another_machine_have_time(tmp_path):
    with atomic_path(tmp_path / "new") as temporary:
        other = re.sub("hybridkp-[0-9a-f]{8}-", "hybridkp-00000000-", temporary.name)
    (tmp_path / other).touch()
    remove_leftovers(tmp_path)
    assert (tmp_path / other).exists()
    os.utime(tmp_path / other, (1, 1))
    remove_leftovers(tmp_path)
    assert not (tmp_path / other).exists()


def test_a_folder_of_that_name(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_atomic(tmp_path / "x", "")
    assert os.listdir(tmp_path) == ["x"]


# --------------------------------------------------------------------------------------------
# models
# --------------------------------------------------------------------------------------------


class Holder(BaseEstimator):
    def __init__(self, value=None, inner=None):
        self.value = value
        self.inner = inner


def there_and_back(tmp_path, estimator):
    save_model(estimator, tmp_path / "m.hkp")
    return load_model(tmp_path / "m.hkp", trusted=[Holder, PlainMean])


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2**70,
        0.1,
        float("inf"),
        "text\0ü",
        (1, (2.5, None)),
        [1, [2, {"a": (3,)}]],
        {"$": "array", "n": "a0"},
        {"a": {"b": 1}},
    ],
    ids=repr,
)
def test_plain_values(tmp_path, value):
    back = there_and_back(tmp_path, Holder(value)).value
    assert back == value and type(back) is type(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.zeros((0, 2)),
        np.array(3.5),
        np.array([True, False]),
        np.arange(5, dtype=np.int16)[::-2],
        np.arange(5, dtype=">f8"),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([1, np.nan, np.inf], np.float16),
        np.array([["a", "bcd"]]),
        np.array(["x", "yz"], object),
        np.float32(0.1),
        np.int64(7),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_arrays(tmp_path, array):
    estimator = Holder()
    estimator.array_ = array
    back = there_and_back(tmp_path, estimator).array_
    assert type(back) is type(array)
    assert back.dtype == array.dtype.newbyteorder("=") and back.shape == array.shape
    np.testing.assert_array_equal(back, array)
    if isinstance(back, np.ndarray):
        assert back.flags.writeable


def test_estimators_and_dataclasses_within_each_other(tmp_path):
    estimator = Holder(1, Holder(LinearSVC(C=0.5)))
    estimator.inner_ = Holder(2)
    estimator.inner_.deep_ = np.arange(3)
    estimator.item_ = Instance(np.array([[1.0, np.nan]]), box_xywh=np.arange(4))
    estimator._secret = 1
    estimator.dunder__ = 2
    back = there_and_back(tmp_path, estimator)
    assert back.inner.value.C == 0.5 and back.inner_.value == 2
    assert back.inner_.deep_.tolist() == [0, 1, 2]
    assert isinstance(back.item_, Instance)
    assert not hasattr(back, "_secret") and not hasattr(back, "dunder__")


CLASSIFIERS = {
    "linear-svc": LinearSVC(random_state=0),
    "svc": SVC(),
    "forest": RandomForestClassifier(4, random_state=0),
    "extra": ExtraTreesClassifier(4, random_state=0),
    "logistic": LogisticRegression(),
    "calibrated": CalibratedClassifierCV(LinearSVC(random_state=0), cv=2),
    "isotonic": CalibratedClassifierCV(SVC(), cv=2, method="isotonic", ensemble=False),
    "vote": VotingClassifier(
        [("a", CalibratedClassifierCV(LinearSVC(), cv=2)), ("b", RandomForestClassifier(3, random_state=0))],
        voting="soft",
    ),
    "pipeline": make_pipeline(StandardScaler(), PCA(2), LinearSVC(random_state=0)),
    "ridge": Ridge(),
    "forest-regressor": RandomForestRegressor(3, random_state=0),
    "extra-regressor": ExtraTreesRegressor(3, random_state=0),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_scikit_learn_estimators_answer_as_before(tmp_path, name):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5))
    y = (x[:, 0] + 0.1 * rng.normal(size=60) > 0).astype(int)
    estimator = Holder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.models_ = [CLASSIFIERS[name].fit(x, y)] * 2
    back = there_and_back(tmp_path, estimator).models_
    np.testing.assert_array_equal(back[0].predict(x), estimator.models_[0].predict(x))
    assert back[0] is back[1]  # stored once


def test_same_model_same_bytes(tmp_path):
    model = PlainMean().fit(np.zeros((3, 8, 8), np.uint8), np.ones((3, 2, 2)))
    save_model(model, tmp_path / "a")
    save_model(model, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_own_state_goes_through_get_and_set(tmp_path):
    class Net(Holder):
        def get_state(self):
            return {"weights": np.arange(3)}

        def set_state(self, state):
            self.net = state["weights"] * 2

    save_model(Net(), tmp_path / "m")
    assert load_model(tmp_path / "m", trusted=[Net]).net.tolist() == [0, 2, 4]


def test_meta(tmp_path):
    save_model(Holder(), tmp_path / "m", {"landmarks": ["a"], "margin": 1.25})
    assert read_meta(tmp_path / "m") == {"landmarks": ["a"], "margin": 1.25}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (lambda: 0, "function"),
        (np.random.default_rng(0), "Generator"),
        ({1: 2}, "not a string"),
        (np.array([object()]), "dtype object"),
        (np.zeros(2, complex), "complex"),
        (cv2.KeyPoint(), "KeyPoint"),
    ],
    ids=["function", "generator", "int-key", "objects", "complex", "cv2"],
)
def test_what_has_no_place_is_refused_by_name(tmp_path, value, reason):
    with pytest.raises(InputError, match=rf"Holder\.value.*{reason}"):
        save_model(Holder(value), tmp_path / "m")
    assert os.listdir(tmp_path) == []


def test_a_model_that_contains_itself(tmp_path):
    loop = []
    loop.append(loop)
    with pytest.raises(InputError, match="too deep"):
        save_model(Holder(loop), tmp_path / "m")


def test_an_estimator_that_could_not_be_loaded_is_not_saved(tmp_path):
    from sklearn.preprocessing import FunctionTransformer

    with pytest.raises(InputError, match=r"does not take|cannot be saved"):
        save_model(Holder(FunctionTransformer(os.system)), tmp_path / "m")


# --------------------------------------------------------------------------------------------
# predictions
# --------------------------------------------------------------------------------------------


def some_predictions(**changes):
    fields = {
        "method": "a → b",
        "xy": np.array([[[1.5, np.nan]], [[3, 4]]]),
        "score": np.ones((2, 1)),
        "names": ("p/1.jpg", "p/2.jpg"),
        "instance": np.array([0, 3]),
        "seconds": np.array([0.1, np.nan]),
        "params": {"c": np.float32(0.5), "size_hw": (128, 128), "f": len},
        "fit_seconds": 2.5,
        "model_bytes": 10,
        "history": {"loss": [1.0, 0.5]},
        "seed": 3,
    }
    return Predictions(**{**fields, **changes})


def test_predictions_there_and_back(tmp_path):
    before = some_predictions()
    save_predictions(before, tmp_path / "p.safetensors")
    after = load_predictions(tmp_path / "p.safetensors")
    for name in ("xy", "score", "instance", "seconds"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        assert getattr(after, name).dtype == getattr(before, name).dtype
    for name in ("method", "names", "fit_seconds", "model_bytes", "history", "seed", "peak_bytes"):
        assert getattr(after, name) == getattr(before, name)
    assert after.params["c"] == 0.5 and after.params["size_hw"] == [128, 128]


@pytest.mark.parametrize(
    ("name", "value"),
    [("params", [1]), ("seed", "x"), ("seed", True), ("names", 7), ("versions", None), ("fit_seconds", {})],
)
def test_predictions_with_other_types_are_refused(tmp_path, name, value):
    arrays = {"xy": np.zeros((1, 2, 2)), "score": np.zeros((1, 2)), "instance": np.zeros(1, np.int64)}
    rest = {"method": "m", "names": ["a"], "seed": 0, "split": "", "dataset": "", "fingerprint": ""}
    rest |= {"params": {}, "versions": {}, "history": {}, "fit_seconds": 1}
    rest |= {"model_bytes": 1, "peak_bytes": 1}
    path = tmp_path / "p.safetensors"
    save_tensors(path, "predictions", 1, arrays | {"seconds": np.zeros(1)}, rest)
    assert load_predictions(path).names == ("a",)
    save_tensors(path, "predictions", 1, arrays | {"seconds": np.zeros(1)}, rest | {name: value})
    with pytest.raises(InputError, match="damaged"):
        load_predictions(path)


@pytest.mark.parametrize("cut", [0, 4, 60, -3])
def test_damaged_predictions(tmp_path, cut):
    path = tmp_path / "p.safetensors"
    save_predictions(some_predictions(), path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"p\.safetensors: not a predictions file"):
        load_predictions(path)
