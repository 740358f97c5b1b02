"""Senses besides the picture: depth, sound and text as rows of numbers, cleaned, and fused.

Arrays of a :class:`~hybridkp.structures.Batch` go in, rows (B, D) come out.  Files are read elsewhere.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
