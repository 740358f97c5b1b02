"""Model files that were made to do harm: each gives one line, and nothing in it runs."""

from __future__ import annotations

import io
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
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, OneClassSVM

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


def make(path, root, arrays=b"", sklearn=b"", members=(), compress=zipfile.ZIP_STORED, **manifest):
    """A model file, part by part."""
    with zipfile.ZipFile(path, "w", compress) as file:
        if arrays:
            file.writestr("arrays.safetensors", arrays)
        if sklearn:
            file.writestr("sklearn/0.skops", sklearn)
        for name, data in members:
            file.writestr(name, data)
        body = {"format": 1, "hybridkp": "0", "meta": {"$": "dict", "v": {}}, "root": root} | manifest
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
# the scikit-learn part
# --------------------------------------------------------------------------------------------


def skops_zip(schema, members=(), compress=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compress) as file:
        for name, data in members:
            file.writestr(name, data)
        file.writestr("schema.json", json.dumps(schema))
    return buffer.getvalue()


def listed(node):
    protocol = {"protocol": 2, "_skops_version": "0.11"}
    return {
        "__class__": "list",
        "__module__": "builtins",
        "__loader__": "ListNode",
        "__id__": 1,
        "content": [node],
    } | protocol


def text_node(value):
    return {
        "__class__": "str",
        "__module__": "builtins",
        "__loader__": "JsonNode",
        "__id__": 9,
        "content": json.dumps(value),
        "is_json": True,
    }


ROOT = {"$": "sklearn", "n": 0}


@pytest.mark.parametrize(
    ("module", "name", "loader"),
    [
        ("os", "system", "FunctionNode"),
        ("builtins", "eval", "FunctionNode"),
        ("builtins", "eval", "TypeNode"),
        ("subprocess", "Popen", "ObjectNode"),
        ("subprocess", "Popen", "TypeNode"),
        ("os", "system", "ObjectNode"),
        ("functools", "partial", "PartialNode"),
        ("operator", "methodcaller", "OperatorFuncNode"),
        ("builtins", "getattr", "MethodNode"),
        ("numpy", "frompyfunc", "FunctionNode"),
        ("numpy", "load", "FunctionNode"),
        ("numpy.ctypeslib", "load_library", "ObjectNode"),
        ("sklearn.utils", "Bunch", "NoSuchNode"),
        ("sklearn.preprocessing._function_transformer", "os.system", "ObjectNode"),
        ("sklearn.datasets", "fetch_openml", "ObjectNode"),
        ("builtins", "__import__", "ObjectNode"),
    ],
)
def test_types_that_are_not_on_the_list(tmp_path, mark, module, name, loader):
    content = {
        "content": text_node(f"touch {mark}"),
        "attrs": text_node({}),
        "args": text_node([f"touch {mark}"]),
    }
    node = {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 2, **content}
    refuse(make(tmp_path / "m", ROOT, sklearn=skops_zip(listed(node))), "refused|damaged")


def test_a_real_estimator_with_a_function_inside(tmp_path, mark):
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    data = skops.io.dumps([FunctionTransformer(os.system).fit(np.ones((2, 2)))])
    refuse(make(tmp_path / "m", ROOT, sklearn=data), "refused")


def test_a_bare_list_of_something_else(tmp_path):
    import skops.io

    refuse(make(tmp_path / "m", ROOT, sklearn=skops.io.dumps({"a": 1})), "not a list")
    refuse(make(tmp_path / "m", ROOT, sklearn=skops.io.dumps([1, 2])), "something else")


def repacked(data, change):
    """A skops file with members changed by ``change(name, bytes) -> bytes``."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return out.getvalue()


def test_arrays_in_it_that_lie_or_hold_objects(tmp_path, mark):
    import skops.io

    data = skops.io.dumps([LinearSVC().fit([[0.0], [1]], [0, 1])])

    def huge(name, content):
        if not name.endswith(".npy"):
            return content
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
        )
        return buffer.getvalue() + bytes(8)

    def objects(name, content):
        if not name.endswith(".npy"):
            return content
        buffer = io.BytesIO()
        np.save(buffer, np.array([Bomb()], object), allow_pickle=True)
        return buffer.getvalue()

    refuse(make(tmp_path / "m", ROOT, sklearn=repacked(data, huge)), "false shape")
    refuse(make(tmp_path / "m", ROOT, sklearn=repacked(data, objects)), "objects")
    refuse(make(tmp_path / "m", ROOT, sklearn=repacked(data, lambda n, c: c[:-1])), "damaged|false shape")


def test_a_compressed_or_deep_part(tmp_path):
    refuse(make(tmp_path / "m", ROOT, sklearn=skops_zip({}, compress=zipfile.ZIP_DEFLATED)), "compressed")
    node = text_node(1)
    for _ in range(400):
        node = {"content": [node]}
    refuse(make(tmp_path / "m", ROOT, sklearn=skops_zip(node)), "too deeply")


@pytest.mark.parametrize("target", ["left_child", "right_child", "feature"])
@pytest.mark.parametrize("value", [10**6, -7, 0])
def test_a_tree_that_points_out_of_its_table(tmp_path, target, value):
    """Native code follows child indices without looking: they are looked at before."""
    import skops.io

    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2))
    data = skops.io.dumps([RandomForestClassifier(2, random_state=0).fit(x, x[:, 0] > 0)])
    if target == "feature" and value == 0:
        pytest.skip("feature 0 exists")

    def change(name, content):
        if not name.endswith(".npy"):
            return content
        array = np.load(io.BytesIO(content))
        if array.dtype.names and target in array.dtype.names:
            array[target][0] = value
            buffer = io.BytesIO()
            np.save(buffer, array)
            return buffer.getvalue()
        return content

    refuse(make(tmp_path / "m", ROOT, sklearn=repacked(data, change)), "damaged tree")


def _svm(change):
    model = SVC().fit(np.arange(12.0).reshape(6, 2), [0, 1, 0, 1, 2, 2])
    change(model)
    return model


def _forest(change):
    x = np.random.default_rng(0).normal(size=(30, 3))
    model = RandomForestClassifier(2, random_state=0).fit(x, x[:, 0] > 0)
    change(model)
    return model


@pytest.mark.parametrize(
    "model",
    [
        _svm(lambda m: setattr(m, "support_vectors_", m.support_vectors_[:, :1])),
        _svm(lambda m: setattr(m, "support_vectors_", m.support_vectors_[:2])),
        _svm(lambda m: setattr(m, "_dual_coef_", m._dual_coef_[:1])),
        _svm(lambda m: setattr(m, "_n_support", m._n_support + 10**6)),
        _svm(lambda m: setattr(m, "_n_support", -m._n_support)),
        _svm(lambda m: setattr(m, "_intercept_", m._intercept_[:1])),
        _svm(lambda m: setattr(m, "n_features_in_", 50)),
        _forest(lambda m: setattr(m, "n_features_in_", 1)),
        _forest(lambda m: setattr(m.estimators_[1], "n_features_in_", 99)),
        _forest(lambda m: m.estimators_.append(LinearSVC())),
        _forest(lambda m: delattr(m.estimators_[0], "tree_")),
    ],
    ids=range(11),
)
def test_tables_that_native_code_would_trust(tmp_path, model):
    import skops.io

    refuse(make(tmp_path / "m", ROOT, sklearn=skops.io.dumps([model])), "damaged")
    nested = skops.io.dumps([Pipeline([("a", LinearSVC()), ("b", model)])])
    refuse(make(tmp_path / "m", ROOT, sklearn=nested), "damaged")


@pytest.mark.parametrize(
    "model", [SVC(), SVR(), NuSVC(), OneClassSVM(), SVC(kernel="linear"), GradientBoostingClassifier()]
)
def test_honest_tables_pass(tmp_path, model):
    x = np.random.default_rng(0).normal(size=(40, 3))
    for y in (x[:, 0] > 0, np.digitize(x[:, 1], [-0.5, 0.5])):
        holder = Holder(None)
        holder.model_ = model.fit(x, y)
        save_model(holder, tmp_path / "m")
        back = load_model(tmp_path / "m", trusted=[Holder]).model_
        np.testing.assert_array_equal(back.predict(x), model.predict(x))
