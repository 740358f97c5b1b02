"""Named constructors of the interest-point task: the one room that knows every pair matcher.

A recipe is a function of the point budget and the seed that gives a fresh
:class:`~hybridkp.pairs.PairMatcher`.  To add a method: write the function, add the line in
:data:`_METHODS`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, NamedTuple

from .structures import InputError


class _Recipe(NamedTuple):
    make: Callable[[int, int], Any]  #: (n_points, random_state) -> PairMatcher
    about: str  #: one line
    family: str  #: "classical", "deep" or "hybrid"


_METHODS: dict[str, _Recipe] = {}

#: what ``hybridkp bench-points`` runs without ``--methods``
DEFAULT: tuple[str, ...] = ()


def method_names() -> list[str]:
    """Names for :func:`make_matcher`."""
    return list(_METHODS)


def _recipe(name: str) -> _Recipe:
    if name not in _METHODS:
        near = difflib.get_close_matches(name, _METHODS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`hybridkp list --task points` shows them"
        raise InputError(f"unknown method {name!r}: {hint}")
    return _METHODS[name]


def make_matcher(name: str, n_points: int = 1024, random_state: int = 0) -> Any:
    """A fresh pair matcher with a budget of ``n_points`` per picture."""
    return _recipe(name).make(n_points, random_state)


def describe_method(name: str) -> str:
    """One line about a method."""
    return _recipe(name).about


def family(name: str) -> str:
    """``"classical"``, ``"deep"`` or ``"hybrid"``."""
    return _recipe(name).family
