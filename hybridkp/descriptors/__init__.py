"""Descriptors: pyramid + points -> rows, row i for keypoint i, everywhere and in any order.

One file per method; all satisfy :class:`hybridkp.structures.Descriptor`, keep parameters only
and hold no OpenCV object.  Keypoints are given in px of the *input*; sizes named ``*_px`` in a
descriptor's parameters are px of the *level* it looks at.  Never here: detection, learning.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
