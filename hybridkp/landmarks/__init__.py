"""Semantic keypoints by classical means: floors, starts, local experts and cascades.

Crops (B, H, W[, 3]) go in, points (B, K, 2) and scores (B, K) come out; every class keeps the
promise of :class:`hybridkp.structures.Detector`.  Never here: networks, files, metrics.
Names load lazily.  :mod:`.shape`, :mod:`.frames`, :mod:`.response`, :mod:`.crop_features`, :mod:`.descent`,
:mod:`.fast_descent`, :mod:`.binary_descent`, :mod:`.trees` and :mod:`.search` need no scikit-learn: the
runtime stands on them.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
