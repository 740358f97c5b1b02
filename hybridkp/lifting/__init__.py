"""From points in one picture to points in space: learned from pairs, by ridge to network, and fused.

(B, K, 2) px in, (B, K, 3) out, in the camera's axes and relative to a root landmark.  No pictures are seen
and no camera is needed to predict.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
