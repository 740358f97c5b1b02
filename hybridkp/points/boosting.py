"""Boosted trees as plain arrays: learned by scikit-learn, stored and evaluated in NumPy.

A model of arrays goes into a model file without pickle and is small.  Never here: what the columns
of a table mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..structures import Array, InputError


@dataclass(eq=False, repr=False)
class BoostedTrees(BaseEstimator):
    """Gradient boosting of shallow trees for a yes-or-no question (Friedman 2001).

    Parameters
    ----------
    n_trees, n_leaves, learning_rate : as in ``HistGradientBoostingClassifier``
    random_state : int

    Notes
    -----
    Learned by ``sklearn.ensemble.HistGradientBoostingClassifier``; the fitted state is seven arrays.

    References
    ----------
    J. H. Friedman, Greedy function approximation: a gradient boosting machine, Annals of
    Statistics 29(5), 2001.
    """

    n_trees: int = 100
    n_leaves: int = 24
    learning_rate: float = 0.1
    random_state: int = 0

    def fit(self, x: Array, y: Array) -> BoostedTrees:
        """Learn from (N, D) numbers and (N,) bool labels."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        model = HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.n_trees,
            max_leaf_nodes=self.n_leaves,
            max_depth=8,
            min_samples_leaf=50,
            early_stopping=False,
            random_state=self.random_state,
        ).fit(x, y)
        tables = [trees[0].nodes for trees in model._predictors]
        size = [len(table) for table in tables]
        nodes = np.concatenate(tables)
        first = np.repeat(np.cumsum([0, *size[:-1]]), size)
        leaf = nodes["is_leaf"].astype(bool)
        here = np.arange(len(nodes))
        self.root_ = np.cumsum([0, *size[:-1]]).astype(np.int32)
        self.feature_ = np.where(leaf, 0, nodes["feature_idx"]).astype(np.int16)
        self.threshold_ = _floor32(np.where(leaf, np.inf, nodes["num_threshold"]))
        self.left_ = np.where(leaf, here, nodes["left"] + first).astype(np.int32)
        self.right_ = np.where(leaf, here, nodes["right"] + first).astype(np.int32)
        self.value_ = np.where(leaf, nodes["value"], 0).astype(np.float32)
        self.start_ = float(np.ravel(model._baseline_prediction)[0])
        self.depth_ = int(nodes["depth"].max(initial=0))
        self.n_features_in_ = int(x.shape[1])
        return self

    def predict(self, x: Array) -> Array:
        """(N,) float32 probabilities of yes."""
        check_is_fitted(self)
        x = np.ascontiguousarray(x, np.float32)
        if x.ndim != 2 or x.shape[1] != self.n_features_in_:
            raise InputError(f"BoostedTrees: fitted on {self.n_features_in_} columns, got shape {x.shape}")
        total = np.full(len(x), self.start_)
        for start in range(0, len(x), 512):  # blocks that stay in the cache
            part = x[start : start + 512]
            flat, row = part.ravel(), np.arange(len(part)) * part.shape[1]
            node = np.repeat(self.root_[:, None], len(part), axis=1)
            for _ in range(self.depth_):
                low = flat.take(row + self.feature_.take(node)) <= self.threshold_.take(node)
                node = np.where(low, self.left_.take(node), self.right_.take(node))
            total[start : start + 512] += self.value_.take(node).sum(axis=0)
        result: Array = (1 / (1 + np.exp(-total))).astype(np.float32)
        return result


def _floor32(values: Array) -> Array:
    """The largest float32 that is not above each float64: ``x <= t`` stays as it was for float32 x."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)
