"""The public doors that files name classes by: ``hybridkp.fusion:WeightedVote``, whatever module defines it.

The stubs say which doors there are, so that a name from a file is looked up before anything is imported.
Classes go in and out; never here: what is done with them.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ..lazy import stub_names
from ..structures import InputError

_ROOT = Path(__file__).parents[1]
_CLOSED = ("cli",)  #: rooms whose doors no file may open


@lru_cache(maxsize=1)
def doors() -> dict[tuple[str, str], str]:
    """(module that defines it, name) -> door, of everything that the stubs name."""
    found: dict[tuple[str, str], str] = {}
    for stub in sorted(_ROOT.rglob("__init__.pyi")):
        rooms = stub.relative_to(_ROOT).parts[:-1]
        package = ".".join((_ROOT.name, *rooms))
        for name, module in stub_names(stub.read_text(encoding="utf-8")).items():
            if module and not set(rooms) & set(_CLOSED):
                found.setdefault((f"{package}.{module}", name), f"{package}:{name}")
    return found


def door_of(cls: type) -> str:
    """The door of a class of ours; of anybody else's, module and name.

    Raises
    ------
    InputError
        For a class of ours that no stub names.
    """
    module, name = cls.__module__, cls.__qualname__
    if not module.startswith(f"{_ROOT.name}."):
        return f"{module}:{name}"
    door = doors().get((module, name))
    if door is None:
        raise InputError(f"{module}.{name} has no public door: name it in the stub of its package")
    return door


def open_door(door: str) -> Any:
    """What a door leads to; None where there is no such door.  Nothing else is ever imported."""
    if door not in doors().values():
        return None
    package, name = door.split(":")
    return getattr(import_module(package), name)


def programs_in(value: Any) -> list[type]:
    """The classes in an estimator that run a program: whoever gave it may have them read again."""
    if hasattr(value, "get_params") and not isinstance(value, type):
        own = [type(value)] if getattr(value, "runs_programs", False) else []
        return [*own, *programs_in(list(value.get_params(deep=False).values()))]
    if isinstance(value, list | tuple):
        return [kind for each in value for kind in programs_in(each)]
    return []
