"""The nouns that every room shares, with their shape checks, and the promises between rooms.

Letters: **B** pictures, **K** landmarks, **N** points, **D** features, **L** levels, **M** members,
**V** views.
Never here: reading files, image processing, learning.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
