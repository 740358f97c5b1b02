"""Objects through the frames of a film: motion, optical flow, identities, smoothing.

What was fitted elsewhere is used here; nothing is learned, no file is opened.  NumPy and OpenCV only, as an
application has them.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
