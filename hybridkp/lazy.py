"""Lazy doors (PEP 562): a package names what it offers, and imports it when it is first asked for.

So ``import hybridkp`` loads no NumPy, and a light module of a room never drags along the heavy
ones beside it.  Never here: anything but the standard library.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

Doors = tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]


def doors(package: str, where: Mapping[str, str], *more: str) -> Doors:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package whose names load lazily.

    Parameters
    ----------
    package : the package's ``__name__``
    where : public name -> the submodule that defines it
    more : public names that the package defines itself
    """
    public = [*more, *sorted(where)]

    def load(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f".{where[name]}", package), name)
        setattr(sys.modules[package], name, value)  # the next time it is simply there
        return value

    def names() -> list[str]:
        return list(public)

    return load, names, public
