"""Finders, and what joins them to detectors, in the runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...structures import Array, Instance

Find = Callable[[Array], tuple[Array, Array]]  #: uint8 picture (h, w[, 3]) -> boxes (N, 4), scores (N,)
Look = Callable[[Array], list[Instance]]  #: uint8 picture (h, w[, 3]) -> its objects, best first


class Found:
    """A function of a picture as a finder of :class:`.TopDown`."""

    def __init__(self, find: Find) -> None:
        self._find = find

    def fit(self, samples: Any) -> Found:
        return self

    def find(self, image: Array, *, name: str = "") -> tuple[Array, Array]:
        return self._find(image)
