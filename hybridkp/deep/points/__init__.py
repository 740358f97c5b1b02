"""The library's own learned local feature: its network, its training, its export."""

from __future__ import annotations

from ...lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
