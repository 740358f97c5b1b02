"""Several calibrated cameras: calibration, triangulation, cameras that contradict the pictures, pose.

Points of views (V, N, 2) px and cameras come in; points of the world (N, 3) go out, in the cameras' unit,
with their errors.  No detector is known by name, and nothing here has learned from pictures.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
