"""Senses beside the picture: depth and its normals as planes that every detector can read, and cleaning."""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
