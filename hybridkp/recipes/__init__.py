"""Methods by name: what a name means, what may be tuned, and how found settings are applied.

The one room that knows every method.  Nothing is fitted here.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
