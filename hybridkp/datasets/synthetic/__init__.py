"""Data that need no download: procedural faces, real photographs under known changes, corruptions."""

from __future__ import annotations

from ...lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
