"""Reads pictures, and saves and loads models, predictions and matches.

This is the only room that opens paths for writing; every file is written whole or not at all.
No learning and no metric here.  Names are fetched when first asked for.
"""

from __future__ import annotations

from ..lazy import doors

__getattr__, __dir__, __all__ = doors(
    __name__,
    {
        "MatchedSet": "matched",
        "atomic_path": "atomic",
        "find_images": "pictures",
        "load_matched": "matched",
        "load_model": "modelfile",
        "load_predictions": "predictions",
        "picture_size": "pictures",
        "read_image": "pictures",
        "read_meta": "modelfile",
        "remove_leftovers": "atomic",
        "save_matched": "matched",
        "save_model": "modelfile",
        "save_predictions": "predictions",
        "write_atomic": "atomic",
        "write_image": "pictures",
    },
)
