"""Metrics as scorers of scikit-learn's searches and cross-validation: higher is better, always.

A scorer is a plain function of an estimator, its pictures and their points; nothing of scikit-learn here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..structures import InputError, Normalizer
from .landmarks import normalizer_lengths
from .metric import Metric, Objects, metric_of
from .rows import LANDMARK_METRICS

Scorer = Callable[[Any, Any, Any], float]


def scorer(metric: str | Metric = "error_px", normalizer: Normalizer = ("pixel",)) -> Scorer:
    """``scoring=`` for ``cross_val_score``, ``GridSearchCV`` and their like.

    Parameters
    ----------
    metric : the key of a row of :data:`LANDMARK_METRICS`, such as "nme_percent" or "pck_5px_percent", or a
        row of yours; what is better when lower is negated
    normalizer : what errors are divided by, ("pixel",) or ("points", i, j); crops have no boxes

    Returns
    -------
    function of a fitted detector, crops (B, H, W[, 3]) and points (B, K, 2) in crop px -> float

    Raises
    ------
    InputError
        An unknown metric, or a normaliser that crops do not have.

    >>> import numpy as np
    >>> from sklearn.model_selection import cross_val_score
    >>> from hybridkp.landmarks import MeanShape
    >>> crops, points = np.zeros((6, 32, 32), np.uint8), np.full((6, 2, 2), 10.0)
    >>> cross_val_score(MeanShape(), crops, points, scoring=scorer("error_px"), cv=3).round(6).tolist()
    [0.0, 0.0, 0.0]
    """
    row = metric_of(metric, LANDMARK_METRICS)
    if normalizer[0] in ("box", "mm"):
        raise InputError('scorer: crops have no boxes and no scale; take ("pixel",) or ("points", i, j)')

    def score(estimator: Any, images: Any, xy: Any) -> float:
        truth = np.asarray(xy, float)
        judged = Objects(truth, estimator.predict(images), normalizer_lengths(truth, tuple(normalizer)))
        values = np.asarray(row(judged), float)
        known = values[np.isfinite(values)]
        middle = np.nan if not known.size else np.median(known) if row.summary == "median" else np.mean(known)
        value = float(middle) * row.scale
        return 0.0 - value if row.lower_is_better else value

    return score
