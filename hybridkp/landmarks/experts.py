"""Local experts: one classifier per landmark (and fold), any of scikit-learn's.

Rows of descriptors in, scores out; linear models become one array of weights, forests are read
tree by tree.  Knows nothing of pictures or positions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.svm import SVC, LinearSVC

from ..memory.threads import limit_threads
from ..stats.calibration import logit
from ..structures import Array
from .trees import packed, path_contributions, share_odds

_LINEAR = (LinearSVC, LogisticRegression, RidgeClassifier, SGDClassifier)
_FORESTS = (RandomForestClassifier, ExtraTreesClassifier)


def default_classifier() -> LinearSVC:
    return LinearSVC(C=0.01, dual=False, tol=1e-2)


def is_linear(classifier: Any) -> bool:
    """Whether the fitted classifier is one row of weights and a bias."""
    return isinstance(classifier, _LINEAR) or (isinstance(classifier, SVC) and classifier.kernel == "linear")


class Experts:
    """F x K fitted classifiers with one :meth:`score`; state goes to and from a plain dict.

    Fold f's experts saw only the pictures of *other* folds; a new picture gets the mean of all.
    """

    def __init__(self, state: dict[str, Any]):
        self.state = state
        self.linear = "weights" in state
        if self.linear:
            self.mean_weights = state["weights"].mean(axis=0)
            self.mean_bias = state["bias"].mean(axis=0)

    @classmethod
    def fit(
        cls,
        classifier: Any,
        rows: Array,
        label: Array,
        use: Array,
        fold: Array,
        n_folds: int,
        n_jobs: int | None,
    ) -> Experts:
        """Learn from rows (K, N, M, D), label and use (N, K, M) bool and each picture's fold (N,)."""
        unit = 2.5 / max(_rms_norm(rows), 1e-6)
        jobs = [(f, k) for f in range(n_folds) for k in range(len(rows))]
        models = Parallel(n_jobs=n_jobs)(
            delayed(_fit_one)(classifier, rows[k], label[:, k], use[:, k], fold != f, unit) for f, k in jobs
        )
        k, d = len(rows), rows.shape[-1]
        table = [models[i : i + k] for i in range(0, len(models), k)]
        state: dict[str, Any] = {"unit": float(unit)}
        if is_linear(classifier):
            weights, bias = np.zeros((n_folds, k, d), np.float32), np.zeros((n_folds, k), np.float32)
            for f, j in jobs:
                if table[f][j] is not None:
                    weights[f, j] = table[f][j].coef_[0] * unit
                    bias[f, j] = np.ravel(table[f][j].intercept_)[0]
            return cls({**state, "weights": weights, "bias": bias})
        if isinstance(classifier, _FORESTS):
            return cls({**state, "trees": _as_arrays(table)})
        return cls({**state, "models": table})

    def score(self, rows: Array, fold: int | None = None) -> Array:
        """Rows (N, K, P, D) -> (N, K, P) float32, of one fold's experts or of all (None)."""
        if self.linear:
            weights = self.mean_weights if fold is None else self.state["weights"][fold]
            bias = self.mean_bias if fold is None else self.state["bias"][fold]
            return np.matmul(rows, weights[:, :, None])[..., 0] + bias[:, None]
        if "trees" in self.state:
            root = self.state["trees"]["root"]
            root = root if fold is None else root[fold : fold + 1]
            return share_odds(self.state["trees"], rows * np.float32(self.state["unit"]), root)
        tables = self.state["models"] if fold is None else [self.state["models"][fold]]
        n, k, p, d = rows.shape
        out = np.zeros((n, k, p), np.float32)
        with limit_threads(1):
            for j in range(k):
                x = np.ascontiguousarray(rows[:, j].reshape(n * p, d), np.float32) * np.float32(
                    self.state["unit"]
                )
                total = np.sum([positive_scores(models[j], x) for models in tables], axis=0)
                out[:, j] = total.reshape(n, p) / len(tables)
        return out

    def contributions(self, row: Array, landmark: int) -> tuple[str, float, Array]:
        """A landmark's score of one row (D,), taken apart: what it is, the rest, each feature's part (D,)."""
        if self.linear:
            parts = self.mean_weights[landmark] * row
            return "score of the linear expert", float(self.mean_bias[landmark]), parts
        trees, unit = self.state["trees"], np.float32(self.state["unit"])
        root = trees["root"][:, landmark].ravel()
        return "share of the forest for yes", *path_contributions(trees, row * unit, root, trees["share"])


def can_be_taken_apart(classifier: Any) -> bool:
    """Whether :meth:`Experts.contributions` knows an unfitted classifier."""
    return classifier is None or is_linear(classifier) or isinstance(classifier, _FORESTS)


def _rms_norm(rows: Array) -> float:
    some = rows[:, :: max(1, rows.shape[1] // 50)].astype(np.float32)
    return float(np.sqrt((some**2).sum(axis=-1).mean()))


def _fit_one(classifier: Any, rows: Array, label: Array, use: Array, train: Array, unit: float) -> Any:
    """One fitted clone, or None where there are not two classes to tell apart."""
    for chosen in (use & train[:, None], use):
        y = label[chosen]
        if 0 < y.sum() < len(y):
            x = rows[chosen].astype(np.float32) * np.float32(unit)
            with limit_threads(1):
                return clone(classifier).fit(x, y)
    return None


def _as_arrays(table: list[list[Any]]) -> dict[str, Any]:
    """Forests (F, K) as columns of nodes: small, quick to save, and walked all at once."""
    models = [model for row in table for model in row]
    n_trees = max((len(m.estimators_) for m in models if m is not None), default=1)
    trees = [None if m is None else m.estimators_[t].tree_ for m in models for t in range(n_trees)]
    out = packed(trees, _share)
    return {**out, "root": out["root"].reshape(len(table), len(table[0]), n_trees)}


def _share(tree: Any) -> dict[str, Array]:
    """How much of what reached a node was positive."""
    if tree is None:
        return {"share": np.full(1, 0.5)}
    value = tree.value[:, 0]
    return {"share": value[:, 1] / value.sum(axis=1)}


def positive_scores(model: Any, rows: Array) -> Array:
    """(N,) the higher the likelier; log odds where the model gives probabilities."""
    if model is None:
        return np.zeros(len(rows), np.float32)
    if hasattr(model, "decision_function"):
        return model.decision_function(rows).astype(np.float32)
    return logit(positive_probability(model, rows)).astype(np.float32)


def positive_probability(model: Any, rows: Array) -> Array:
    """``predict_proba(rows)[:, 1]``, without scikit-learn's overhead per call for forests."""
    if isinstance(model, _FORESTS):
        rows = np.ascontiguousarray(rows, np.float32)
        total = np.zeros(len(rows))
        for tree in model.estimators_:
            value = tree.tree_.predict(rows).reshape(len(rows), -1)
            total += value[:, 1] / value.sum(axis=1)
        return total / len(model.estimators_)
    if isinstance(model, VotingClassifier) and model.voting == "soft":
        weights = model.weights if model.weights is not None else [1.0] * len(model.estimators_)
        votes = [w * positive_probability(m, rows) for w, m in zip(weights, model.estimators_, strict=True)]
        return np.sum(votes, axis=0) / np.sum(weights)
    return model.predict_proba(rows)[:, 1]
