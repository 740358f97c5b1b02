"""Tables that scikit-learn's native code trusts, checked against their use: support vectors, trees, forests.

A tree's child index or a support vector's count is a place in memory.  Fitted estimators are taken apart
into plain arrays, and built from such arrays after their shapes and ranges were looked at.  No file is
opened here, no class is looked up by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..structures import Array, InputError

State = Mapping[str, Any]

MAX_FEATURES = 10_000_000
MAX_DEPTH = 10_000  #: of a tree
#: columns of scikit-learn's table of nodes, one dtype a version
_NODE = (
    *("left_child", "right_child", "feature", "threshold", "impurity", "n_node_samples"),
    *("weighted_n_node_samples", "missing_go_to_left"),
)


def damaged(name: str) -> InputError:
    return InputError(f"holds a damaged {name}: refused")


def floats(state: State, name: str, *shape: int) -> Array:
    """A float64 array of that shape (-1 = any), finite."""
    value = np.ascontiguousarray(state[name], np.float64)
    fits = value.ndim == len(shape) and all(w in (-1, n) for w, n in zip(shape, value.shape, strict=True))
    if not fits or not np.isfinite(value).all():
        raise ValueError(name)
    return value


def whole(state: State, name: str, low: int, high: int) -> int:
    value = state[name]
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise ValueError(name)
    return int(value)


def n_features(state: State) -> int:
    return whole(state, "n_features_in_", 1, MAX_FEATURES)


def classes(state: State, name: str = "classes_") -> Array:
    """Labels (C,): numbers, booleans or words, all different."""
    value = np.asarray(state[name])
    if value.ndim != 1 or value.dtype.kind not in "biufUO" or not 1 <= len(value) <= 100_000:
        raise ValueError(name)
    if value.dtype.kind == "O" and not all(isinstance(v, str) for v in value):
        raise ValueError(name)
    if len(np.unique(value)) != len(value):
        raise ValueError(name)
    return value


# --------------------------------------------------------------------------------------------
# support vectors
# --------------------------------------------------------------------------------------------

_SVM = (
    "support_",
    "support_vectors_",
    "_n_support",
    "_dual_coef_",
    "_intercept_",
    "_probA",
    "_probB",
    "_gamma",
)


def take_svm(estimator: Any) -> dict[str, Any]:
    if estimator.kernel == "precomputed" or estimator._sparse:
        raise InputError("a model file takes support vector machines on dense features with their own kernel")
    state = {name.strip("_"): getattr(estimator, name) for name in _SVM}
    state["classes_"] = getattr(estimator, "classes_", None)
    return state | {"n_features_in_": estimator.n_features_in_}


def set_svm(estimator: Any, params: State, state: State) -> None:
    """libsvm walks ``n_support`` rows of each table: they must be there, and the counts not negative."""
    name, d = type(estimator).__name__, n_features(state)
    if params.get("kernel", "rbf") not in ("linear", "poly", "rbf", "sigmoid"):
        raise damaged(name)
    counts = np.asarray(state["n_support"], np.int32)
    classifies = name in ("SVC", "NuSVC")
    if classifies:
        estimator.classes_ = classes(state)
        n_classes = len(estimator.classes_)
        n, rows, pairs = int(counts.astype(np.int64).sum()), n_classes - 1, n_classes * (n_classes - 1) // 2
        fits = counts.shape == (n_classes,) and n_classes >= 2
    else:
        n, rows, pairs = int(counts[0]), 1, 1
        fits = counts.shape == (2,)
    support = np.asarray(state["support"], np.int32)
    if not fits or (counts < 0).any() or support.shape != (n,) or n < 1 or support.min() < 0:
        raise damaged(name)
    estimator.n_features_in_ = d
    estimator._n_support, estimator.support_ = counts, support
    estimator.support_vectors_ = floats(state, "support_vectors", n, d)
    estimator._dual_coef_ = floats(state, "dual_coef", rows, n)
    estimator._intercept_ = floats(state, "intercept", pairs)
    both = classifies and n_classes == 2
    estimator.dual_coef_ = -estimator._dual_coef_ if both else estimator._dual_coef_
    estimator.intercept_ = -estimator._intercept_ if both else estimator._intercept_
    for key in ("probA", "probB"):
        value = floats(state, key, -1)
        if len(value) not in (0, pairs):
            raise damaged(name)
        setattr(estimator, f"_{key}", value)
    estimator._gamma = float(floats({"g": [state["gamma"]]}, "g", 1)[0])
    estimator._sparse, estimator.fit_status_ = False, 0
    estimator.shape_fit_ = (int(support.max()) + 1, d)
    if name == "OneClassSVM":
        estimator.offset_ = -estimator._intercept_


# --------------------------------------------------------------------------------------------
# trees and forests
# --------------------------------------------------------------------------------------------


def take_tree(estimator: Any) -> dict[str, Any]:
    table = estimator.tree_.__getstate__()
    nodes = {
        key: np.ascontiguousarray(table["nodes"][key]) for key in _NODE if key in table["nodes"].dtype.names
    }
    state = {"n_features_in_": estimator.n_features_in_, "n_outputs_": estimator.n_outputs_}
    state |= {"nodes": nodes, "values": table["values"]}
    if hasattr(estimator, "classes_"):
        state["classes_"] = _classes_of_one_output(estimator)
    return state


def _classes_of_one_output(estimator: Any) -> Any:
    if estimator.n_outputs_ != 1:
        raise InputError("a model file takes classifiers with one output")
    return estimator.classes_


def set_tree(estimator: Any, params: State, state: State) -> None:
    """Children lie behind their parent and inside the table, features inside the row."""
    from sklearn.tree._tree import Tree

    name, d = type(estimator).__name__, n_features(state)
    outputs = whole(state, "n_outputs_", 1, 100_000)
    counts = np.ones(outputs, np.intp)
    if name.endswith("Classifier"):
        estimator.classes_ = classes(state)
        if outputs != 1:
            raise damaged(name)
        counts[0] = estimator.n_classes_ = len(estimator.classes_)
    tree = Tree(d, counts, outputs)
    kind = tree.__getstate__()["nodes"].dtype
    given = state["nodes"]
    n = len(given["left_child"])
    nodes = np.zeros(n, kind)
    for key in kind.names:
        column = np.asarray(given[key])
        if column.shape != (n,) or column.dtype.kind not in "biuf":
            raise damaged(name)
        nodes[key] = column
    left, right = nodes["left_child"].astype(np.int64), nodes["right_child"].astype(np.int64)
    own, leaf = np.arange(n), left == -1
    inside = (left > own) & (left < n) & (right > own) & (right < n)
    feature = nodes["feature"].astype(np.int64)
    if n < 1 or not (leaf & (right == -1) | inside & (feature >= 0) & (feature < d)).all():
        raise damaged("tree")
    values = floats(state, "values", n, outputs, int(counts.max()))
    tree.__setstate__({"max_depth": _depth(left, right), "node_count": n, "nodes": nodes, "values": values})
    estimator.tree_, estimator.n_features_in_, estimator.n_outputs_ = tree, d, outputs


def _depth(left: Array, right: Array) -> int:
    """The longest path of a tree whose children lie behind their parent.  Native code allocates by it."""
    children = np.concatenate([left[left >= 0], right[right >= 0]])
    depth, level = -1, np.zeros(1, np.int64)
    if np.bincount(children, minlength=1).max() > 1:
        raise damaged("tree")  # a node with two parents
    while len(level):
        depth += 1
        inner = level[left[level] >= 0]
        level = np.concatenate([left[inner], right[inner]])
        if depth > MAX_DEPTH:
            raise damaged("tree")
    return depth


TREES = {
    "RandomForestClassifier": "DecisionTreeClassifier",
    "RandomForestRegressor": "DecisionTreeRegressor",
    "ExtraTreesClassifier": "ExtraTreeClassifier",
    "ExtraTreesRegressor": "ExtraTreeRegressor",
}


def take_forest(estimator: Any) -> dict[str, Any]:
    state = {"n_features_in_": estimator.n_features_in_, "n_outputs_": estimator.n_outputs_}
    state["estimators_"] = list(estimator.estimators_)
    if hasattr(estimator, "classes_"):
        state["classes_"] = _classes_of_one_output(estimator)
    return state


def set_forest(estimator: Any, params: State, state: State) -> None:
    name, d = type(estimator).__name__, n_features(state)
    trees, outputs = list(state["estimators_"]), whole(state, "n_outputs_", 1, 100_000)
    for tree in trees:
        if type(tree).__name__ != TREES[name] or not hasattr(tree, "tree_"):
            raise damaged("forest")
        if tree.tree_.n_features != d or tree.n_outputs_ != outputs:
            raise damaged("forest")
    if name.endswith("Classifier"):
        estimator.classes_ = classes(state)
        estimator.n_classes_ = len(estimator.classes_)
        if any(tree.n_classes_ != estimator.n_classes_ for tree in trees):
            raise damaged("forest")
    if not trees:
        raise damaged("forest")
    estimator.estimators_, estimator.n_features_in_, estimator.n_outputs_ = trees, d, outputs
