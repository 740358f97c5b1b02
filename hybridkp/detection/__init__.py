"""Whole pictures: where objects are, and their landmarks, behind one call.

Names no method; finders and detectors come in through their promises.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
