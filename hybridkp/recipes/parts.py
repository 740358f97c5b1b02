"""What a part is: a row of a table, in a slot of the grammar, and the task that the rows belong to.

Nothing is made or imported here: a row names its class, so that listing costs nothing.  To add a part, write
its class and its row in ``landmark_parts.py`` or ``point_parts.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

Params = Mapping[str, Any]
Space = Mapping[str, list[Any]]


@dataclass(frozen=True)
class Inside:
    """The estimator that a part works in, where the part is none by itself.

    A parameter that the part does not have is looked for here.
    """

    target: str
    part: str  #: its parameter that takes the part
    before: str = ""  #: its parameter that takes what stands before the part
    parameters: Params = field(default_factory=dict)
    slow: Params = field(default_factory=dict)  #: these too, where a part in it is slow
    space: Space = field(default_factory=dict)
    inside: Inside | None = None  #: what holds this one in turn


@dataclass(frozen=True)
class Row:
    """One part.  Parameters are named as in the class, or as the only one of that name inside of it."""

    slots: str  #: where it may stand in an expression; several with spaces
    name: str
    target: str  #: ``.room:Class`` of this package, or ``module:Class`` of another
    about: str  #: a few words
    family: str = ""  #: "floor", "classical", "deep", "hybrid", "peer"; "" for what takes after its members
    parameters: Params = field(default_factory=dict)  #: where they differ from the class's own
    quick: Params | None = None  #: in place of ``parameters`` when training has to be short
    around: Params = field(default_factory=dict)  #: what it needs of the estimator that it works in
    light: Params | None = None  #: in place of ``parameters`` among experts of which no part is slow
    space: Space = field(default_factory=dict)  #: values that a search chooses from
    holds: str = ""  #: the class's parameter that takes what stands before it, or its members
    named: bool = True  #: members are (name, estimator)
    takes: str = ""  #: members are taken from this slot alone, not as whole methods
    #: what it holds must be so: ``.room:Class`` or ``name=value``; and in words
    needs: tuple[str, str] | None = None
    inside: Inside | None = None
    optional: bool = False  #: None stands for it where nothing of its own is written
    slow: bool = False  #: takes long even on a tiny problem
    changes: bool = False  #: a step that shows its detector other crops than it is given


class Listed(NamedTuple):
    """A method worth a line in the list: a short name of an expression, or an expression with its words."""

    name: str
    about: str
    expression: str = ""  #: what it is short for
    family: str = ""  #: where its parts do not say it


@dataclass(frozen=True)
class Task:
    """The parts of one task, and its well-known methods."""

    name: str
    start: str  #: the slot of a start
    first: str  #: the slot before "+"
    last: str  #: the slot after the last "+"
    rows: tuple[Row, ...]
    listed: tuple[Listed, ...]
    nested: Mapping[str, str]  #: parameter -> slot of the part that is its value
    pictures: str = ""  #: the slot of a start that takes whole pictures, in front of a method or nowhere

    @cached_property
    def by_slot(self) -> dict[str, dict[str, Row]]:
        out: dict[str, dict[str, Row]] = {}
        for row in self.rows:
            for slot in row.slots.split():
                out.setdefault(slot, {})[row.name] = row
        return out

    @cached_property
    def short(self) -> dict[str, str]:
        """Short name -> expression."""
        return {each.name: each.expression for each in self.listed if each.expression}

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name of a part, and every short one."""
        return frozenset({row.name for row in self.rows} | self.short.keys())

    def starting(self, name: str) -> Row | None:
        """The start of that name, one of whole pictures too."""
        return self.find(self.start, name) or self.find(self.pictures, name)

    def find(self, slot: str, name: str) -> Row | None:
        return self.by_slot.get(slot, {}).get(name)
