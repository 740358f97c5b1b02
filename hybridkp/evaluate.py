"""Splits, seeds, crops and the clock: methods in, :class:`~hybridkp.structures.Predictions` out.

Names no method and computes no metric.
"""

from __future__ import annotations

from .crops import Crops, make_crops

__all__ = ["Crops", "make_crops"]
