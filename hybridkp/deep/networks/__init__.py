"""Backbones: each a file, known by a name in the registry.

Standardised pictures (B, C, H, W) go in, one stack of feature maps comes out.  What is read from the
features (maps, coordinates) and what that costs are elsewhere: heads, codec and losses.
"""

from __future__ import annotations

from ...lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
