"""Descriptors: pyramid + points -> rows, row i for keypoint i, everywhere and in any order.

One file per method; all satisfy :class:`hybridkp.structures.Descriptor`, keep parameters only
and hold no OpenCV object.  Keypoints are given in px of the *input*; sizes named ``*_px`` in a
descriptor's parameters are px of the *level* it looks at.  Never here: detection, learning.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_DOORS = {
    "HOG": "hog",
    "ORB": "orb",
    "SIFT": "sift",
    "SURF": "surf",
    "Concat": "concat",
    "MultiLevel": "concat",
    "orientation_maps": "gradients",
    "sample_cells": "gradients",
}

__all__ = [
    "HOG",
    "ORB",
    "SIFT",
    "SURF",
    "Concat",
    "MultiLevel",
    "orientation_maps",
    "sample_cells",
]


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        value = getattr(import_module(f".{_DOORS[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
