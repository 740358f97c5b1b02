"""A short list of scikit-learn estimators as plain values and arrays, each checked before it is built.

scikit-learn's native code trusts the tables that it is given: a tree's child index, a support vector's
count or a label is a place in memory.  So a model file holds only estimators of this list, by their public
names, as the arrays that predicting needs; their shapes and ranges are held against their use.  No file is
opened here, nothing is unpickled, no class is looked up by a name that a file gives.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from ..structures import Array, InputError
from .native_tables import (
    TREES,
    State,
    classes,
    damaged,
    floats,
    n_features,
    set_forest,
    set_svm,
    set_tree,
    take_forest,
    take_svm,
    take_tree,
)

#: public name -> where scikit-learn keeps it; each has its way to be taken apart and built below
MODULES: dict[str, str] = {
    **dict.fromkeys(["LinearSVC", "SVC", "NuSVC", "SVR", "OneClassSVM"], "sklearn.svm"),
    **dict.fromkeys(
        ["LogisticRegression", "LinearRegression", "Ridge", "SGDClassifier"], "sklearn.linear_model"
    ),
    **dict.fromkeys(["DecisionTreeClassifier", "DecisionTreeRegressor"], "sklearn.tree"),
    **dict.fromkeys(["ExtraTreeClassifier", "ExtraTreeRegressor"], "sklearn.tree"),
    **dict.fromkeys(["RandomForestClassifier", "RandomForestRegressor"], "sklearn.ensemble"),
    **dict.fromkeys(["ExtraTreesClassifier", "ExtraTreesRegressor", "VotingClassifier"], "sklearn.ensemble"),
    **dict.fromkeys(["StandardScaler", "MinMaxScaler"], "sklearn.preprocessing"),
    "CalibratedClassifierCV": "sklearn.calibration",
    "IsotonicRegression": "sklearn.isotonic",
    "PCA": "sklearn.decomposition",
    "Pipeline": "sklearn.pipeline",
}


def take_apart(estimator: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Public name, parameters and fitted state of an estimator of the list.

    Values are numbers, words, None, arrays, lists and dicts of these, and further estimators.

    Raises
    ------
    InputError
        For any other estimator.
    """
    name = type(estimator).__name__
    if type(estimator) is not _class(name):
        raise InputError(f"a model file does not take {name}: it takes {', '.join(sorted(MODULES))}")
    params = estimator.get_params(deep=False)
    callables = [key for key, value in params.items() if callable(value)]
    if callables:
        raise InputError(f"a model file does not take a {name} whose {callables[0]} is a function")
    if name == "Pipeline":
        params = {"steps": [[key, part] for key, part in estimator.steps]}
    fitted = hasattr(estimator, _mark(name))
    if fitted and name in ("CalibratedClassifierCV", "VotingClassifier"):  # their parts are in the state
        keep = ("method", "ensemble", "voting", "weights", "flatten_transform")
        params = {key: params[key] for key in keep if key in params}
    state = _TAKE.get(name, _plain)(estimator) if fitted else {}
    return name, params, {key: value for key, value in state.items() if value is not None}


def build(name: Any, params: State, state: State) -> Any:
    """The inverse, for values that a stranger may have written.

    Raises
    ------
    InputError
        For a name that is not on the list, unknown parameters, and tables that do not fit together.
    """
    cls = _class(name)
    if cls is None:
        raise InputError(f"holds the type {str(name)[:60]!a}, which is not on the list: refused")
    known = set(cls._get_param_names())
    unknown = set(params) - known
    if unknown:
        raise InputError(f"{name} has no parameter {min(unknown)[:40]!a}")
    try:
        if name == "Pipeline":
            return _pipeline(cls, params)
        if name == "CalibratedClassifierCV" or name == "VotingClassifier":
            return _BUILD[name](cls, params, state)
        estimator = cls(**params)
        if state:
            _BUILD.get(name, _set_plain)(estimator, params, state)
    except InputError:
        raise
    except Exception as error:  # whatever tables that are not ours can cause
        raise InputError(f"holds a damaged {name} ({type(error).__name__}): refused") from None
    return estimator


def _class(name: Any) -> Any:
    module = MODULES.get(name) if isinstance(name, str) else None
    return getattr(import_module(module), name) if module else None


def _mark(name: str) -> str:
    """The attribute that tells a fitted estimator."""
    marks = {"Pipeline": "steps", "CalibratedClassifierCV": "calibrated_classifiers_"}
    marks |= {"VotingClassifier": "estimators_", "IsotonicRegression": "X_thresholds_"}
    return marks.get(name, "n_features_in_")


# --------------------------------------------------------------------------------------------
# estimators that are a few dense arrays
# --------------------------------------------------------------------------------------------

#: name -> fitted attributes; C classes or components (rows), D features
_PLAIN: dict[str, tuple[str, ...]] = {
    "LinearSVC": ("coef_", "intercept_", "classes_"),
    "LogisticRegression": ("coef_", "intercept_", "classes_"),
    "SGDClassifier": ("coef_", "intercept_", "classes_"),
    "LinearRegression": ("coef_", "intercept_"),
    "Ridge": ("coef_", "intercept_"),
    "StandardScaler": ("mean_", "scale_", "var_"),
    "MinMaxScaler": ("min_", "scale_"),
    "PCA": ("components_", "mean_", "explained_variance_"),
}


def _plain(estimator: Any) -> dict[str, Any]:
    names = ("n_features_in_", *_PLAIN[type(estimator).__name__])
    state = {name: getattr(estimator, name) for name in names}
    if any(hasattr(value, "indptr") for value in state.values()):
        raise InputError("a model file does not take sparse coefficients: call densify() first")
    return state


def _set_plain(estimator: Any, params: State, state: State) -> None:
    name, d = type(estimator).__name__, n_features(state)
    estimator.n_features_in_ = d
    if name in ("StandardScaler", "MinMaxScaler"):
        for key in _PLAIN[name]:
            setattr(estimator, key, floats(state, key, d) if key in state else None)
    elif name == "PCA":
        estimator.components_ = floats(state, "components_", -1, d)
        estimator.mean_ = floats(state, "mean_", d)
        estimator.explained_variance_ = floats(state, "explained_variance_", len(estimator.components_))
        estimator.n_components_ = len(estimator.components_)
    elif "classes_" in _PLAIN[name]:
        estimator.classes_ = classes(state)
        n = len(estimator.classes_)
        estimator.coef_ = floats(state, "coef_", 1 if n == 2 else n, d)
        estimator.intercept_ = _intercept(state, len(estimator.coef_))
    else:
        one = np.ndim(state["coef_"]) == 1
        estimator.coef_ = floats(state, "coef_", d) if one else floats(state, "coef_", -1, d)
        rows = 1 if one else len(estimator.coef_)
        intercept = _intercept(state, rows)
        estimator.intercept_ = float(intercept[0]) if np.ndim(state["intercept_"]) == 0 else intercept


def _intercept(state: State, n: int) -> Array:
    value = np.asarray(state["intercept_"], np.float64)
    if value.ndim == 0:
        value = np.full(n, float(value))
    return floats({"intercept_": value}, "intercept_", n)


def one_of(value: Any, *names: str) -> Any:
    if type(value).__name__ not in names or type(value) is not _class(type(value).__name__):
        raise ValueError("a part of another kind")
    return value


# --------------------------------------------------------------------------------------------
# estimators of estimators
# --------------------------------------------------------------------------------------------


def _pipeline(cls: Any, params: State) -> Any:
    steps = [(name, part) for name, part in params["steps"]]
    if not steps or any(not isinstance(n, str) or type(p) is not _class(type(p).__name__) for n, p in steps):
        raise damaged("Pipeline")
    return cls(steps)


def _take_isotonic(estimator: Any) -> dict[str, Any]:
    return {"x": estimator.X_thresholds_, "y": estimator.y_thresholds_, "increasing": estimator.increasing_}


def _set_isotonic(estimator: Any, params: State, state: State) -> None:
    x, y = floats(state, "x", -1), floats(state, "y", len(state["x"]))
    if len(x) < 1 or (np.diff(x) < 0).any():
        raise damaged("IsotonicRegression")
    table = {"X_thresholds_": x, "y_thresholds_": y, "X_min_": x[0], "X_max_": x[-1]}
    table |= {"increasing_": bool(state["increasing"]), "n_features_in_": 1}
    import sklearn

    estimator.__setstate__({**estimator.__dict__, **table, "_sklearn_version": sklearn.__version__})


def _take_calibrated(estimator: Any) -> dict[str, Any]:
    members = []
    for member in estimator.calibrated_classifiers_:
        if member.method not in ("sigmoid", "isotonic"):
            raise InputError("a model file takes calibrations by sigmoid and isotonic regression")
        curves = [
            curve if member.method == "isotonic" else [float(curve.a_), float(curve.b_)]
            for curve in member.calibrators
        ]
        members.append({"estimator": member.estimator, "curves": curves, "method": member.method})
    return {"classes_": estimator.classes_, "members": members}


def _build_calibrated(cls: Any, params: State, state: State) -> Any:
    from sklearn.calibration import _CalibratedClassifier, _SigmoidCalibration

    estimator = cls(**params)
    if not state:
        return estimator
    estimator.classes_ = classes(state)
    n = len(estimator.classes_)
    made = []
    for member in state["members"]:
        inner, curves = one_of(member["estimator"], *MODULES), list(member["curves"])
        if len(curves) != (1 if n == 2 else n) or not np.array_equal(inner.classes_, estimator.classes_):
            raise damaged("CalibratedClassifierCV")
        if member["method"] == "sigmoid":
            for at, (a, b) in enumerate(curves):
                curves[at] = _SigmoidCalibration()
                curves[at].a_, curves[at].b_ = float(a), float(b)
        elif member["method"] != "isotonic" or any(not one_of(c, "IsotonicRegression") for c in curves):
            raise damaged("CalibratedClassifierCV")
        made.append(_CalibratedClassifier(inner, curves, classes=estimator.classes_, method=member["method"]))
    if not made:
        raise damaged("CalibratedClassifierCV")
    estimator.calibrated_classifiers_ = made
    return estimator


def _take_voting(estimator: Any) -> dict[str, Any]:
    names = [name for name, part in estimator.estimators if part != "drop"]
    return {"names": names, "estimators_": list(estimator.estimators_), "classes_": estimator.classes_}


def _build_voting(cls: Any, params: State, state: State) -> Any:
    from sklearn.preprocessing import LabelEncoder

    if not state:
        return cls(**{**params, "estimators": [(name, part) for name, part in params["estimators"]]})
    parts = [one_of(part, *MODULES) for part in state.get("estimators_", [])]
    names = [str(name) for name in state.get("names", [])]
    if not parts or len(names) != len(parts):
        raise damaged("VotingClassifier")
    estimator = cls(list(zip(names, parts, strict=True)), **params)
    estimator.classes_ = classes(state)
    estimator.le_ = LabelEncoder()
    estimator.le_.classes_ = estimator.classes_
    n = len(estimator.classes_)
    if any(not np.array_equal(part.classes_, np.arange(n)) for part in parts):
        raise damaged("VotingClassifier")
    estimator.estimators_ = parts
    return estimator


_TAKE: dict[str, Callable[[Any], dict[str, Any]]] = {
    **dict.fromkeys(["SVC", "NuSVC", "SVR", "OneClassSVM"], take_svm),
    **dict.fromkeys(TREES, take_forest),
    **dict.fromkeys(TREES.values(), take_tree),
    "CalibratedClassifierCV": _take_calibrated,
    "IsotonicRegression": _take_isotonic,
    "Pipeline": lambda estimator: {},
    "VotingClassifier": _take_voting,
}
_BUILD: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(["SVC", "NuSVC", "SVR", "OneClassSVM"], set_svm),
    **dict.fromkeys(TREES, set_forest),
    **dict.fromkeys(TREES.values(), set_tree),
    "CalibratedClassifierCV": _build_calibrated,
    "IsotonicRegression": _set_isotonic,
    "VotingClassifier": _build_voting,
}
