"""Networks and the estimators around them: the only room where torch is imported.

Every network is a file, every estimator follows scikit-learn's rules, all are trained by the one
loop in :mod:`~hybridkp.deep.training`.  Importing this package loads no torch: names are lazy.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "CNNEmbedding": "embedding",
    "CNNRefiner": "refine",
    "DirectNet": "direct",
    "HeatmapNet": "heatmap",
    "PatchCNN": "patchcnn",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(import_module(f".{_WHERE[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'hybridkp.deep' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
