"""What decided: stages, voices, the places that counted, a test by hiding them; and the page that shows it.

Fitted detectors and crops go in, numbers and one page come out.  Nothing is learned here, and no method is
known by name: what a detector can say of itself is a promise in ``structures``.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
