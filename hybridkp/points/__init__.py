"""Interest points: local features, their matching, and what learning adds to them.

A :class:`~hybridkp.structures.LocalFeature` goes from a picture to keypoints and rows, a
:class:`~hybridkp.structures.pairs.PairMatcher` from two pictures to matched points and a homography.
Never here: torch, metrics, truth.  Names load lazily.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
