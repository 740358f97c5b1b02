"""Several detectors as one: average, votes, a gate, stacking, averages or products of score maps, a tree.

Fusion knows no detector by name: anything that keeps the ``Detector`` promise can be a member.
What it learns, it learns from out-of-fold predictions, never from a member's own training output.
Shapes: M members, each (B, K, 2) points and (B, K) scores.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
