"""Reads pictures, and saves and loads models and predictions.

This is the only room that opens paths for writing; every file is written whole or not at all.
No learning and no metric here.  Names are fetched when first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_DOORS = {
    "atomic_path": "atomic",
    "find_images": "pictures",
    "load_model": "modelfile",
    "load_predictions": "predictions",
    "read_image": "pictures",
    "read_meta": "modelfile",
    "remove_leftovers": "atomic",
    "save_model": "modelfile",
    "save_predictions": "predictions",
    "write_atomic": "atomic",
}

__all__ = sorted(_DOORS)


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        value = getattr(import_module(f".{_DOORS[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'hybridkp.files' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
