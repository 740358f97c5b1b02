"""Reads pictures, and saves and loads models, predictions and matches.

This is the only room that opens paths for writing; every file is written whole or not at all.
No learning and no metric here.  Names are fetched when first asked for.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
