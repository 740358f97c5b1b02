"""hybridkp: classical, deep and hybrid keypoint detectors side by side.

The root keeps a few lazy doors: importing it loads neither torch nor scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_DOORS = {
    "Dataset": "structures",
    "InputError": "structures",
    "Instance": "structures",
    "Keypoints": "structures",
    "Predictions": "structures",
    "Pyramid": "structures",
    "Sample": "structures",
    "bench": "evaluate",
    "load_dataset": "datasets",
    "load_model": "files",
    "make_faces": "datasets",
    "make_method": "recipes",
    "method_names": "recipes",
    "save_model": "files",
    "write_report": "report",
}

__all__ = ["__version__", *sorted(_DOORS)]


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        value = getattr(import_module(f".{_DOORS[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'hybridkp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
