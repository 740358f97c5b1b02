"""Trained detectors in an OpenCV application: NumPy and cv2, no torch and no scikit-learn.

:func:`export_runtime` writes a fitted detector as plain arrays and ONNX graphs, :func:`load`
reads it back as a :class:`RuntimeDetector`.  A graph runs on ONNX Runtime where that is
installed, else on ``cv2.dnn``.  Nothing is learned here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_DOORS = {
    "RuntimeDetector": "detector",
    "export_runtime": "export",
    "load": "detector",
}

__all__ = sorted(_DOORS)


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        value = getattr(import_module(f".{_DOORS[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'hybridkp.runtime' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
