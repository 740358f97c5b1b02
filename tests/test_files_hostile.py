"""Model files that were made to do harm: each gives one line, and nothing in it runs."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from plain_detectors import PlainMean
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier

from hybridkp.checks import make_problem
from hybridkp.files import load_model, load_predictions, save_model
from hybridkp.structures import InputError

RAN = []


class Bomb:
    """Unpickled, it would leave a mark."""

    def __reduce__(self):
        return (RAN.append, ("ran",))


class Holder(BaseEstimator):
    def __init__(self, value=None):
        self.value = value


@pytest.fixture
def mark(tmp_path):
    """A file that a shell command in a hostile file would make; also watches RAN."""
    RAN.clear()
    path = tmp_path / "mark"
    yield path
    assert not path.exists() and RAN == []


def refuse(path, match, **options):
    with pytest.raises(InputError, match=match) as caught:
        load_model(path, **options)
    text = str(caught.value)
    assert "\n" not in text and str(path) in text and len(text) < 500


def make(path, root, arrays=b"", members=(), compress=zipfile.ZIP_STORED, **manifest):
    """A model file, part by part."""
    with zipfile.ZipFile(path, "w", compress) as file:
        if arrays:
            file.writestr("arrays.safetensors", arrays)
        for name, data in members:
            file.writestr(name, data)
        body = {"format": 1, "hybridkp": "0", "meta": {"$": "dict", "v": {}}, "root": root}
        body = {**body, "estimators": [], **manifest}
        file.writestr("manifest.json", json.dumps(body))
    return path


def estimator(module, name, params=None, state=None):
    return {"$": "estimator", "class": f"{module}:{name}", "params": params or {}, "state": state or {}}


# --------------------------------------------------------------------------------------------
# files of other kinds
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_by_another_name(tmp_path, mark, protocol):
    path = tmp_path / "model.hkp"
    path.write_bytes(pickle.dumps(Bomb(), protocol))
    refuse(path, "not a hybridkp model file")


def test_a_torch_like_zip_with_a_pickle(tmp_path, mark):
    path = tmp_path / "model.hkp"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Bomb()))
    refuse(path, "not a hybridkp model file")


def test_a_pickle_beside_a_good_manifest(tmp_path, mark):
    refuse(make(tmp_path / "m", None, members=[("data.pkl", pickle.dumps(Bomb()))]), "do not belong")


@pytest.mark.parametrize("data", [b"", b"PK", b"\x80\x04.", b"{}", bytes(1000)])
def test_rubbish(tmp_path, data):
    path = tmp_path / "m"
    path.write_bytes(data)
    refuse(path, "not a hybridkp model file")


def test_missing_and_folder(tmp_path):
    refuse(tmp_path / "none", "no such model file")
    refuse(tmp_path, "folder")


def good_model(path):
    model = Holder(RandomForestClassifier(2, random_state=0).fit([[0.0], [1]], [0, 1]))
    model.arrays_ = [np.arange(100.0), np.ones((3, 3), np.float32)]
    save_model(model, path)
    return path


def test_every_truncation_is_noticed(tmp_path):
    whole = good_model(tmp_path / "whole").read_bytes()
    path = tmp_path / "cut"
    for n in np.linspace(0, len(whole) - 1, 60).astype(int):
        path.write_bytes(whole[:n])
        refuse(path, "not a hybridkp model file", trusted=[Holder])


def test_every_flipped_byte_gives_an_answer_or_one_line(tmp_path):
    whole = bytearray(good_model(tmp_path / "whole").read_bytes())
    path = tmp_path / "flipped"
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(whole), 80):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(damaged))
        try:
            load_model(path, trusted=[Holder])
        except InputError as error:
            assert "\n" not in str(error)


# --------------------------------------------------------------------------------------------
# names in the manifest
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("subprocess", "Popen"),
        ("pickle", "loads"),
        ("sklearn.base", "BaseEstimator"),
        ("hybridkp.files.modelfile", "zipfile"),
        ("hybridkp.files.modelfile", "save_model"),
        ("hybridkp.structures", "hashlib"),
        ("hybridkp.structures", "InputError"),
        ("hybridkp.cli", "main"),
        ("hybridkp.__main__", "main"),
        ("hybridkp", "save_model"),
        ("hybridkp.files..os", "system"),
        ("hybridkp.files.os", "system"),
        ("hybridkp.nowhere", "Thing"),
        ("hybridkp.structures", "Sample.load"),
        ("hybridkp.structures", "__builtins__"),
        ("../hybridkp.structures", "Instance"),
        ("hybridkp.structures\n", "Instance"),
        (1, "a"),
        (None, None),
        (["os"], "system"),
    ],
)
@pytest.mark.parametrize("kind", ["estimator", "dataclass"])
def test_names_that_are_not_ours(tmp_path, mark, module, name, kind):
    node = estimator(module, name, {"value": f"touch {mark}"})
    node |= {"$": kind, "fields": {"command": f"touch {mark}"}}
    refuse(make(tmp_path / "m", node), "refused|does not have|not a string|damaged")


def test_an_estimator_is_not_made_as_plain_data(tmp_path):
    """So that a class which runs programs is always asked for, whatever the file calls it, and wherever."""
    node = {"$": "dataclass", "class": "hybridkp.peers:ProgramPoints", "fields": {"command": "true"}}
    pair = {"$": "tuple", "v": ["a", node]}
    holder = {"$": "dataclass", "class": "hybridkp.structures:Pyramid", "fields": {"levels": [node]}}
    finder = {"$": "dataclass", "class": "hybridkp.detection:WindowFinder", "fields": {}}
    learned = estimator("hybridkp.fusion", "Average", state={"members_": {"$": "dict", "v": {"a": node}}})
    for root in (node, finder, holder, learned, estimator("hybridkp.fusion", "Average", {"members": [pair]})):
        refuse(make(tmp_path / "m", root), "not a dataclass")


def test_a_module_is_not_even_imported(tmp_path):
    code = (
        "import sys\nfrom hybridkp.files import load_model\n"
        "try: load_model(sys.argv[1])\nexcept ValueError: pass\n"
        "assert 'antigravity' not in sys.modules and 'hybridkp.cli' not in sys.modules\n"
    )
    for module in ("antigravity", "hybridkp.cli"):
        path = make(tmp_path / "m", estimator(module, "X"))
        subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=60)


@pytest.mark.parametrize(
    "state", ["__class__", "__dict__", "fit", "_private", "predict", "a.b_", "__init_", "x__"]
)
def test_state_cannot_replace_what_is_not_state(tmp_path, state):
    node = estimator(PlainMean.__module__, "PlainMean", state={state: 1})
    refuse(make(tmp_path / "m", node), "not a fitted attribute", trusted=[PlainMean])


def test_unknown_parameters(tmp_path):
    node = estimator(PlainMean.__module__, "PlainMean", {"evil": 1})
    refuse(make(tmp_path / "m", node), "no parameter 'evil'", trusted=[PlainMean])


@pytest.mark.parametrize(
    "root",
    [
        {"$": "pickle", "v": "x"},
        {"no": "kind"},
        {"$": "array", "n": "missing"},
        {"$": "array"},
        {"$": "array", "strings": [1], "shape": [1]},
        {"$": "array", "strings": ["a"], "shape": [10**12]},
        {"$": "sklearn", "n": 0},
        {"$": "sklearn", "n": -1},
        {"$": "sklearn", "n": True},
        {"$": "float", "v": "__import__('os')"},
        {"$": "dict", "v": [1]},
        {"$": "tuple", "v": "abc"},
        {"$": "estimator"},
        {"$": "dataclass", "class": "hybridkp.structures:Keypoints", "fields": {"xy": "?"}},
        {"$": "dataclass", "class": "hybridkp.structures:Keypoints", "fields": {"no": 1}},
        {"$": ["list"]},
    ],
    ids=str,
)
def test_broken_grammar(tmp_path, root):
    refuse(make(tmp_path / "m", root), r"\S")


def test_depth(tmp_path):
    node = None
    for _ in range(200):
        node = [node]
    refuse(make(tmp_path / "m", node), "too deeply")
    path = tmp_path / "deep"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("manifest.json", "[" * 200_000 + "]" * 200_000)
    refuse(path, "too deeply")


@pytest.mark.parametrize(
    "text", ['{"format": NaN}', '{"format": 1, "root": Infinity}', "[1]", "null", "\xff", "{"]
)
def test_manifest_that_is_no_manifest(tmp_path, text):
    path = tmp_path / "m"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("manifest.json", text.encode("latin1"))
    refuse(path, "manifest")


def test_another_format_says_who_wrote_it(tmp_path):
    refuse(make(tmp_path / "m", None, format=2, hybridkp="7.1"), r"format 2 \(written by hybridkp 7\.1\)")


# --------------------------------------------------------------------------------------------
# the zip and the arrays
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "manifest.json/", "sklearn/1.skops", "C:\\evil"])
def test_members_that_do_not_belong(tmp_path, name):
    refuse(make(tmp_path / "m", None, members=[(name, b"x")]), "do not belong")
    assert sorted(os.listdir(tmp_path)) == ["m"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice(tmp_path):
    refuse(make(tmp_path / "m", None, members=[("manifest.json", b"{}")]), "do not belong")


def test_a_zip_bomb(tmp_path):
    bomb = bytes(50_000_000)
    path = make(tmp_path / "m", None, arrays=bomb, compress=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    refuse(path, "compressed")


def test_a_declared_size_beyond_the_file(tmp_path):
    path = make(tmp_path / "m", None, arrays=b"x" * 100)
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<II", 100, 100), struct.pack("<II", 2**31, 2**31)))
    refuse(path, "not a hybridkp model file")


def tensors(header, body=b"", length=None):
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(text) if length is None else length) + text + body


@pytest.mark.parametrize(
    "data",
    [
        tensors({"a0": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4]}}, b"1234"),
        tensors({"a0": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 4]}}, b"1234"),
        tensors({"a0": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4000]}}, b"1234"),
        tensors({"a0": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"1234"),
        tensors({"a0": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)),
        tensors({}, length=2**62),
        tensors(b"[" * 100_000),
        b"\0",
    ],
    ids=["shape", "overflow", "offsets", "negative", "objects", "header", "depth", "short"],
)
def test_arrays_that_lie(tmp_path, data):
    refuse(make(tmp_path / "m", {"$": "array", "n": "a0"}, arrays=data), "damaged")
    path = tmp_path / "p.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match="not a predictions file"):
        load_predictions(path)


# --------------------------------------------------------------------------------------------
# scikit-learn's estimators: what their tables may hold is in test_files_estimators.py
# --------------------------------------------------------------------------------------------

ROOT = {"$": "sklearn", "n": 0}


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins:eval",
        "subprocess:Popen",
        "sklearn.utils:Bunch",
        "FunctionTransformer",
        "KNeighborsClassifier",
        "GradientBoostingClassifier",
        "__class__",
        None,
        7,
        ["SVC"],
    ],
)
def test_types_that_are_not_on_the_list(tmp_path, mark, name):
    node = {"class": name, "params": {"func": f"touch {mark}"}, "state": {"x": 1}}
    refuse(make(tmp_path / "m", ROOT, estimators=[node]), "refused|damaged")


@pytest.mark.parametrize(
    "nodes",
    [
        None,
        3,
        [None],
        [{}],
        [{"class": "SVC"}],
        [{"class": "SVC", "params": [], "state": {}}],
        [{"class": "SVC", "params": {"evil": 1}, "state": {}}],
        [{"class": "SVC", "params": {}, "state": {"n_support": "many"}}],
        [{"class": "Pipeline", "params": {"steps": [["a", ROOT]]}, "state": {}}],  # holds itself
        [{"class": "Pipeline", "params": {"steps": [["a", 3]]}, "state": {}}],
        [{"class": "VotingClassifier", "params": {}, "state": {"estimators_": []}}],
    ],
    ids=str,
)
def test_a_table_of_estimators_that_is_none(tmp_path, nodes):
    refuse(make(tmp_path / "m", ROOT, estimators=nodes), r"\S")


def test_parts_that_do_not_fit_show_when_the_file_is_read(tmp_path):
    """Arrays of the right kind and the wrong size: no traceback from deep inside, later."""
    from hybridkp.landmarks import HolisticRegressor

    p = make_problem(8)
    model = HolisticRegressor(grid=2).fit(p.images, p.xy)
    model.weights_ = model.weights_[:3]
    save_model(model, tmp_path / "m")
    refuse(tmp_path / "m", "damaged")
