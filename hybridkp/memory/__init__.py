"""Fits and out-of-fold predictions on disk, and what they hang on: source, threads, resident size.

The only hidden state of the library.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
