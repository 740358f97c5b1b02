"""What may be tuned: for each recipe, the values that ``hybridkp tune`` chooses a parameter from.

Plain data, keyed by the names of ``recipes.py``; estimators are never made here.  Floors and
combinations have no entry: a combination takes what was found for its members.
"""

from __future__ import annotations

from typing import Any

_EXPERTS: dict[str, list[Any]] = {"n_negatives": [2, 4, 8], "n_hard": [1, 2, 4], "mirror": [False, True]}
_TREES: dict[str, list[Any]] = {
    "classifier__max_depth": [8, 10, 14],
    "classifier__min_samples_leaf": [1, 3, 10],
    "classifier__max_features": ["sqrt", 0.2],
}
_NET: dict[str, list[Any]] = {
    "schedule__learning_rate": [5e-4, 1e-3, 2e-3, 3e-3, 5e-3],
    "schedule__weight_decay": [1e-3, 1e-2, 2e-2, 5e-2],
}
SPACES: dict[str, dict[str, list[Any]]] = {
    "hog+ridge": {"alpha": [10.0, 30.0, 100.0, 300.0, 1000.0], "grid": [8, 12, 16, 20]},
    "sdm": {
        "alpha": [30.0, 100.0, 300.0, 1000.0],
        "scales": [[0.7, 1.0, 1.25, 1.25], [0.5, 0.7, 1.0, 1.25], [0.7, 1.0, 1.25, 1.25, 1.25]],
        "n_levels": [1, 2],
    },
    "sdm-fast": {
        "alpha": [0.02, 0.04, 0.07, 0.14, 0.28],
        "scales": [[0.5, 0.5, 1.0, 1.0], [0.5, 0.75, 1.0, 1.0], [0.5, 0.5, 1.0, 1.0, 1.25]],
        "n_perturbations": [0, 1, 2],
    },
    "lbf": {
        "alpha": [1.0, 2.0, 3.0, 5.0],
        "n_trees": [4, 5, 8],
        "max_depth": [4, 5],
        "n_perturbations": [0, 1, 2],
    },
    "hough-forest": {
        "smoothing": [1.0, 1.5, 2.5],
        "n_samples": [4, 8, 12],
        "scales": [[0.5, 1.0], [0.5, 0.75, 1.0]],
        "mirror": [False, True],
    },
    "hog+svm": _EXPERTS,
    "sift+svm": _EXPERTS,
    "sift-hog+svm": _EXPERTS,
    "hog+forest": {**_TREES, **_EXPERTS},
    "surf+forest": {**_TREES, **_EXPERTS},
    "orb+forest": {**_TREES, **_EXPERTS},
    "heatmap": {**_NET, "sigma": [0.8, 1.2, 1.8]},
    "heatmap-96": {**_NET, "sigma": [0.8, 1.2, 1.8]},
    "heatmap-80": {**_NET, "sigma": [0.8, 1.2, 1.8]},
    "direct": _NET,
    "patch-cnn": {**_NET, "n_passes": [3, 5, 8], "window": [0.02, 0.03, 0.05]},
    "cnn-hog+svm": _EXPERTS,
    "dlib": {
        "nu": [0.05, 0.1, 0.2],
        "tree_depth": [3, 4, 5],
        "oversampling_translation_jitter": [0.0, 0.05, 0.1],
        "feature_pool_region_padding": [0.0, 0.1],
    },
}
#: where a hybrid keeps a detector that has a recipe of its own, beyond members of that name
PARTS: dict[str, dict[str, str]] = {
    "hog+svm+cnn": {"detector": "hog+svm"},
    "hog+svm+subpixel": {"detector": "hog+svm"},
    "sdm+cnn": {"detector": "sdm-fast"},
    "deeppose": {"detector": "direct"},
    "heatmap-flip": {"detector": "heatmap"},
    "heatmap>sdm": {"start__detector": "heatmap"},
    "heatmap>tree": {"detector__detector": "heatmap"},
    "heatmap>shape": {"start__detector": "heatmap"},
    "heatmap>tree>shape>sdm": {"start__start__detector__detector": "heatmap"},
    "blend": {"heatmap>sdm__start__detector": "heatmap"},
    "heatmap>sdm+maps": {"start__detector": "heatmap", "maps__net": "heatmap"},
    "heatmap-96>sdm": {"start": "heatmap-96"},
    **{
        vote: {"heatmap-flip__detector": "heatmap"}
        for vote in ("average", "product", "vote", "vote-3", "vote-gated", "vote-shape", "stack")
    },
}
