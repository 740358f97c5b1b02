"""Labels that can be trusted: which are suspicious, which to make next, and how exact people are.

Data sets and unfitted detectors go in; ranks, OKS constants and one page come out.  No method is known by
name, and no label is changed.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
