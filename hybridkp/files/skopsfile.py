"""scikit-learn estimators to bytes and back, through skops with a fixed list of types.

skops builds only types on a list; this room keeps that list, refuses the node kinds that call
functions, checks every declared size before anything is allocated, and looks through forests
and support vector machines, whose native code trusts the tables it is given.  No path is opened here.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..structures import InputError

#: beyond skops' own list (public scikit-learn estimators, NumPy dtypes): private parts of
#: estimators.  Of these, only Tree has native code that trusts its content: see _check_tree.
TRUSTED = (
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.linear_model._sgd_fast.Hinge",
    "sklearn.linear_model._sgd_fast.Log",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)

#: node kinds that hold data.  Absent on purpose: functions, methods, partials, operators,
#: reduce nodes.
NODES = frozenset(
    [
        "BytearrayNode",
        "BytesNode",
        "DefaultDictNode",
        "DictNode",
        "JsonNode",
        "ListNode",
        "LossNode",
        "MaskedArrayNode",
        "NdArrayNode",
        "ObjectNode",
        "OrderedDictNode",
        "RandomGeneratorNode",
        "RandomStateNode",
        "SetNode",
        "SliceNode",
        "SparseMatrixNode",
        "TreeNode",
        "TupleNode",
        "TypeNode",
        "CachedNode",
        "DatetimeTimedeltaNode",
        "SGDNode",
        "DTypeNode",
    ]
)
ROOTS = frozenset(("builtins", "collections", "numpy", "scipy", "sklearn"))
MAX_SCHEMA_DEPTH = 300


def dump_estimators(estimators: list[Any]) -> bytes:
    """A list of scikit-learn estimators as bytes; what could not be loaded again is refused."""
    import skops.io

    try:
        data = skops.io.dumps(estimators)
        untrusted = sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED))
    except Exception as error:
        raise InputError(
            f"a scikit-learn estimator cannot be saved: {' '.join(str(error).split())[:200]}"
        ) from None
    if untrusted:
        raise InputError(f"a model file does not take {untrusted[0]}: use another classifier")
    return data


def load_estimators(data: bytes) -> list[Any]:
    """The inverse; :class:`InputError` for every type that is not on the list."""
    import skops.io

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            _check_members(file)
        untrusted = sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED))
        if untrusted:
            raise InputError(f"holds the type {untrusted[0][:80]!a}, which is not on the list: refused")
        found = skops.io.loads(data, trusted=list(TRUSTED))
    except InputError:
        raise
    except RecursionError:
        raise InputError("the scikit-learn part is nested too deeply") from None
    except Exception as error:
        text = " ".join(str(error).split())[:160]
        raise InputError(f"the scikit-learn part is damaged ({type(error).__name__}: {text})") from None
    if not isinstance(found, list):
        raise InputError("the scikit-learn part is not a list")
    for estimator in found:
        if not type(estimator).__module__.startswith("sklearn."):
            raise InputError("the scikit-learn part holds something else")
        try:
            for part in _parts(estimator, 0):
                _check_native(part)
        except (AttributeError, TypeError, ValueError) as error:
            raise (
                error
                if isinstance(error, InputError)
                else InputError(f"the scikit-learn part is damaged ({type(error).__name__})")
            ) from None
    return found


def _check_members(file: zipfile.ZipFile) -> None:
    infos = file.infolist()
    if len({i.filename for i in infos}) != len(infos):
        raise InputError("the scikit-learn part names a member twice")
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise InputError("the scikit-learn part is compressed, which is not part of the format")
        if info.filename.endswith(".npy"):
            with file.open(info) as member:
                _check_npy(member, info.file_size)
    schema = json.loads(file.read("schema.json"))
    _check_schema(schema, 0)


def _check_npy(member: Any, size: int) -> None:
    """A declared shape that the bytes do not fill would be allocated before it is missed."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(member)
    if dtype.hasobject:
        raise InputError("the scikit-learn part holds an array of objects: refused")
    if math.prod(shape) * dtype.itemsize != size - member.tell():
        raise InputError("the scikit-learn part holds an array with a false shape")


def _check_schema(node: Any, depth: int) -> None:
    if depth > MAX_SCHEMA_DEPTH:
        raise InputError("the scikit-learn part is nested too deeply")
    if isinstance(node, dict):
        if "__loader__" in node:
            kind, module = str(node["__loader__"]), str(node.get("__module__"))
            if kind not in NODES or module.split(".")[0] not in ROOTS:
                name = f"{module}.{node.get('__class__')}"
                raise InputError(f"holds {name[:80]!a} as a {kind[:40]!a}, which is not on the list: refused")
        for value in node.values():
            _check_schema(value, depth + 1)
    elif isinstance(node, list):
        for value in node:
            _check_schema(value, depth + 1)


def _parts(value: Any, depth: int) -> Iterator[Any]:
    """Every scikit-learn object below and with ``value``."""
    if depth > 40:
        raise InputError("the scikit-learn part is nested too deeply")
    if isinstance(value, (list, tuple)):
        children: Any = value
    elif isinstance(value, np.ndarray) and value.dtype == object:
        children = value.flat
    elif isinstance(value, dict):
        children = value.values()
    elif type(value).__module__.startswith("sklearn."):
        yield value
        children = vars(value).values() if hasattr(value, "__dict__") else ()
    else:
        return
    for child in children:
        yield from _parts(child, depth + 1)


def _check_native(part: Any) -> None:
    """What native code takes on trust: tables of trees, and support vectors."""
    kind = type(part).__module__
    if kind == "sklearn.tree._tree":
        _check_tree(part)
    width = getattr(part, "n_features_in_", None)
    if hasattr(part, "tree_") and part.tree_.n_features != width:
        raise InputError("the scikit-learn part holds a damaged tree: refused")
    if kind in ("sklearn.ensemble._forest", "sklearn.ensemble._gb"):
        members = np.asarray(getattr(part, "estimators_", ()), object).ravel()
        if any(getattr(m, "n_features_in_", None) != width or not hasattr(m, "tree_") for m in members):
            raise InputError("the scikit-learn part holds a damaged forest: refused")
    if kind == "sklearn.svm._classes" and hasattr(part, "_n_support"):
        _check_svm(part, width)


def _check_svm(svm: Any, width: Any) -> None:
    counts = np.asarray(svm._n_support)
    if hasattr(svm, "classes_"):  # vectors of each class; one against one
        n, rows, pairs = int(counts.sum()), len(counts) - 1, len(counts) * (len(counts) - 1) // 2
    else:
        n, rows, pairs = int(counts[0]), 1, 1
    shapes = (
        svm.support_vectors_.shape,
        svm._dual_coef_.shape,
        svm.support_.shape,
        np.shape(svm._intercept_),
    )
    wanted = ((n, width), (rows, n), (n,), (pairs,))
    if (counts < 0).any() or (svm.kernel != "precomputed" and shapes != wanted):
        raise InputError("the scikit-learn part holds a damaged support vector machine: refused")


def _check_tree(tree: Any) -> None:
    """Children lie behind their parent and inside the table, features inside the row."""
    if type(tree).__name__ != "Tree":
        raise InputError("the scikit-learn part holds an unknown tree")
    n = tree.node_count
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
    own = np.arange(n)
    leaf = left == -1
    inside = (left > own) & (left < n) & (right > own) & (right < n)
    feature = np.asarray(tree.feature)
    good = leaf | (inside & (feature >= 0) & (feature < tree.n_features))
    if n < 1 or left.shape != (n,) or not good.all() or len(tree.value) != n:
        raise InputError("the scikit-learn part holds a damaged tree: refused")
