"""Pictures and places in them: the door for pictures, geometry, pyramids, OpenCV's versions, drawing.

No learning, no files.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
