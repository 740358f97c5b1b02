"""scikit-learn's estimators as checked arrays: the same predictions, no table that lies to native code."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier

from hybridkp.files.estimators import build, take_apart
from hybridkp.structures import InputError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 5))
TWO = (X[:, 0] + 0.1 * RNG.normal(size=80) > 0).astype(int)
LABELS = {"two": TWO, "three": np.digitize(X[:, 1], [-0.5, 0.5]), "words": np.array(["no", "yes"])[TWO]}
CLASSIFIERS = [
    LinearSVC(),
    LogisticRegression(),
    SGDClassifier(loss="log_loss", random_state=0),
    SVC(),
    SVC(kernel="poly"),
    NuSVC(),
    DecisionTreeClassifier(max_depth=3),
    RandomForestClassifier(4, random_state=0),
    ExtraTreesClassifier(4, random_state=0),
    CalibratedClassifierCV(LinearSVC(), cv=2),
    CalibratedClassifierCV(SVC(), cv=2, method="isotonic", ensemble=False),
    VotingClassifier([("a", LogisticRegression()), ("b", RandomForestClassifier(3))], voting="soft"),
    make_pipeline(StandardScaler(), PCA(2), LinearSVC()),
    make_pipeline(MinMaxScaler(), SVC()),
]
Change = Callable[[dict[str, Any]], None]


def copied(value: Any, change: Change = lambda state: None, of: str = "") -> Any:
    """Through take_apart and build; ``change`` acts on the state of estimators named ``of``."""
    if isinstance(value, list):
        return [copied(v, change, of) for v in value]
    if isinstance(value, dict):
        return {k: copied(v, change, of) for k, v in value.items()}
    if hasattr(value, "get_params"):
        name, params, state = take_apart(value)
        if name == of:
            change(state)
        return build(name, copied(params, change, of), copied(state, change, of))
    return value


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("model", CLASSIFIERS, ids=lambda m: str(m).replace("\n", "")[:50])
def test_classifiers_predict_the_same(model: Any, labels: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, LABELS[labels])
    back = copied(model)
    np.testing.assert_array_equal(back.predict(X), model.predict(X))
    for name in ("predict_proba", "decision_function"):
        if hasattr(model, name):
            np.testing.assert_array_equal(getattr(back, name)(X), getattr(model, name)(X))


@pytest.mark.parametrize("model", [Ridge(), SVR(), OneClassSVM(), RandomForestRegressor(3, random_state=0)])
def test_regressors_predict_the_same(model: Any) -> None:
    back = copied(model.fit(X, X[:, 0]))
    np.testing.assert_array_equal(back.predict(X), model.predict(X))


@pytest.mark.parametrize("model", CLASSIFIERS, ids=lambda m: str(m).replace("\n", "")[:50])
def test_unfitted_ones_keep_their_parameters(model: Any) -> None:
    from sklearn.base import clone

    fresh = clone(model)
    assert str(copied(fresh).get_params()) == str(fresh.get_params())


@pytest.mark.parametrize(
    "model",
    [KNeighborsClassifier(), GradientBoostingClassifier(n_estimators=2), FunctionTransformer(np.log1p)],
)
def test_estimators_that_are_not_on_the_list_are_named(model: Any) -> None:
    with pytest.raises(InputError, match=f"does not take {type(model).__name__}: it takes .*LinearSVC"):
        take_apart(model)


def test_functions_sparse_coefficients_and_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="function"):
        take_apart(SVC(kernel=lambda a, b: a @ b.T))
    with pytest.raises(InputError, match="sparse"):
        take_apart(LogisticRegression().fit(X, TWO).sparsify())
    for name in ("os.system", "KNeighborsClassifier", None, 3, ["SVC"]):
        with pytest.raises(InputError, match="not on the list"):
            build(name, {}, {})
    with pytest.raises(InputError, match="no parameter"):
        build("SVC", {"evil": 1}, {})


def put(name: str, value: Any) -> Change:
    def change(state: dict[str, Any]) -> None:
        state[name] = value(state[name]) if callable(value) else value

    return change


def node(column: str, row: int, value: int) -> Change:
    def change(state: dict[str, Any]) -> None:
        state["nodes"][column] = state["nodes"][column].copy()
        state["nodes"][column][row] = value

    return change


def twice(state: dict[str, Any]) -> None:
    """Two parents of one node."""
    left, right = state["nodes"]["left_child"].copy(), state["nodes"]["right_child"].copy()
    left[0] = right[0]
    state["nodes"] = {**state["nodes"], "left_child": left}


TREE, FOREST = "DecisionTreeClassifier", "RandomForestClassifier"
ATTACKS: list[tuple[Any, str, Change]] = [
    *(
        (SVC(), "SVC", change)
        for change in (
            put("support_vectors", lambda v: v[:, :1]),
            put("support_vectors", lambda v: v[:2]),
            put("dual_coef", lambda v: v[:, :1]),
            put("n_support", lambda v: v + 10**6),
            put("n_support", lambda v: -v),
            put("n_support", lambda v: v[:1]),
            put("intercept", lambda v: v[:0]),
            put("n_features_in_", 50),
            put("n_features_in_", -1),
            put("n_features_in_", 2**40),
            put("gamma", float("nan")),
            put("probA", lambda v: np.ones(7)),
            put("classes_", lambda v: v[:1]),
            put("classes_", np.array([None, None], object)),
        )
    ),
    *(
        (RandomForestClassifier(2, random_state=0), TREE, change)
        for change in (
            *(node(c, 0, v) for c in ("left_child", "right_child") for v in (10**6, -7, 0)),
            node("feature", 0, 99),
            node("feature", 0, -3),
            twice,
            put("values", lambda v: v[:1]),
            put("values", lambda v: v[:, :, :1]),
            put("n_features_in_", 1),
            put("n_outputs_", 2),
            put("n_outputs_", 10**9),
            put("classes_", lambda v: np.arange(3)),
        )
    ),
    *(
        (RandomForestClassifier(2, random_state=0), FOREST, change)
        for change in (
            put("n_features_in_", 1),
            put("n_outputs_", 3),
            put("classes_", lambda v: np.arange(5)),
            put("estimators_", []),
            put("estimators_", lambda v: [*v, LinearSVC().fit(X, TWO)]),
            put("estimators_", lambda v: [*v, DecisionTreeClassifier()]),
        )
    ),
    *(
        (LinearSVC(), "LinearSVC", change)
        for change in (
            put("coef_", lambda v: v[:, :2]),
            put("coef_", lambda v: v * np.nan),
            put("intercept_", np.ones(9)),
            put("classes_", np.zeros(2)),
        )
    ),
    (make_pipeline(PCA(2), LinearSVC()), "PCA", put("components_", lambda v: v[:, :1])),
    (CalibratedClassifierCV(LinearSVC(), cv=2), "CalibratedClassifierCV", put("members", [])),
    (CalibratedClassifierCV(LinearSVC(), cv=2), "CalibratedClassifierCV", put("classes_", np.arange(3))),
    (VotingClassifier([("a", LogisticRegression())]), "VotingClassifier", put("estimators_", [])),
]


@pytest.mark.parametrize(
    ("model", "of", "change"), ATTACKS, ids=[f"{i}-{a[1]}" for i, a in enumerate(ATTACKS)]
)
def test_tables_that_do_not_fit_are_refused(model: Any, of: str, change: Change) -> None:
    from sklearn.base import clone

    fitted = clone(model).fit(X, TWO)
    with pytest.raises(InputError, match=r"damaged|refused"):
        copied(fitted, change, of)


def test_the_depth_that_native_code_allocates_by_is_our_own() -> None:
    model = DecisionTreeClassifier(random_state=0).fit(X, RNG.integers(0, 2, len(X)))
    back = copied(model)
    assert back.tree_.max_depth == model.tree_.max_depth > 2
    assert (back.decision_path(X) != model.decision_path(X)).nnz == 0
