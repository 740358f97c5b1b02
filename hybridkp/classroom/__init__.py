"""The classroom: a page on which a picture is made harder by sliders, and detectors answer beside each other.

Fitted detectors and pictures go in; a local server, or one file that needs none, comes out.  Nothing is
learned here but by the doors of ``evaluate``, and no detector is known by name but the small ones of
:mod:`.models`.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
