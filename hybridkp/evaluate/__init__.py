"""Splits, seeds, crops and the clock: methods in, predictions out.

Names no method and computes no metric.  Names are fetched when first asked for.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
