"""One class of a part at a time: which of its parameters a key means, what it takes, and the estimator.

No expression is read here; only what is written in one pair of brackets passes through.
"""

from __future__ import annotations

import difflib
import inspect
import re
from ast import literal_eval
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any

from sklearn.base import clone

from .parts import Space

_ROOT = __name__.split(".")[0]
_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_KINDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a word",
    "None": "none",
}


@dataclass
class Made:
    """An estimator and what is known of the places inside it, by its nested parameters."""

    estimator: Any
    space: dict[str, list[Any]] = field(default_factory=dict)  #: parameter -> values to choose from
    places: dict[str, str] = field(default_factory=dict)  #: where an estimator sits -> its expression
    untuned: list[str] = field(default_factory=list)  #: parts that have no search space

    @property
    def text(self) -> str:
        """The expression of the whole."""
        return self.places[""]

    @property
    def name(self) -> str:
        """Its name as a member; two underscores would look like a parameter of one."""
        return self.text.replace("__", "_")

    def take(self, place: str, other: Made) -> None:
        """What ``other`` knows, seen from outside: it sits at ``place``."""
        self.space |= {f"{place}__{key}": values for key, values in other.space.items()}
        self.places |= {f"{place}__{key}" if key else place: text for key, text in other.places.items()}
        self.untuned += [part for part in other.untuned if part not in self.untuned]


class Construction:
    """A class and what its constructor will get.

    ``held`` names parameters that other parts fill, so that no key can mean them.
    """

    def __init__(self, target: str, held: Collection[str] = (), space: Space | None = None) -> None:
        self.cls = load(target)
        self.held, self.space = held, space or {}
        self.values: dict[str, Any] = {}
        self.nested: dict[str, Made] = {}  #: parts among the values
        self.written: set[str] = set()

    @cached_property
    def own(self) -> dict[str, inspect.Parameter]:
        known = inspect.signature(self.cls).parameters.items()
        return {k: p for k, p in known if p.kind not in _STARRED and k not in self.held}

    @cached_property
    def inner(self) -> dict[str, tuple[Any, Any]]:
        """Parameters of what is inside, as the class makes it by itself: nested name -> owner, value."""
        needed = {k: () if k in ("members", "parts") else None for k in self.held}
        needed |= {k: None for k, p in self.own.items() if p.default is p.empty}
        known = self.cls(**needed).get_params(deep=True)
        return {n: (known[n.rpartition("__")[0]], value) for n, value in known.items() if "__" in n}

    def find(self, key: str) -> list[str]:
        """Where a key could be set: the own parameter, or else those inside of that name."""
        return [key] if key in self.own else [name for name in self.inner if name.endswith(f"__{key}")]

    def leaves(self) -> Iterator[str]:
        yield from self.own
        yield from (name.rpartition("__")[2] for name in self.inner)

    def annotation(self, place: str) -> str:
        owner, _, leaf = place.rpartition("__")
        if owner and self.inner[place][0] is None:  # made when it is fitted: its default says the kind
            default = self.inner[place][1]
            return "Any" if default is None else type(default).__name__
        if owner:
            return str(inspect.signature(type(self.inner[place][0])).parameters[leaf].annotation)
        annotation = self.own[leaf].annotation
        return "Any" if annotation is inspect.Parameter.empty else str(annotation)

    def set(self, place: str, value: Any, written: bool = False) -> None:
        if isinstance(value, Made):
            self.nested[place] = value
            value = value.estimator
        self.values[place] = value
        if written:
            self.written.add(place)

    def build(self, held: Mapping[str, Made | list[Made] | list[tuple[str, Made]]]) -> Made:
        """The estimator, and the places of what it holds."""
        values, inside = dict(self.values), dict(self.nested)
        for key, made in held.items():
            if isinstance(made, Made):
                values[key], inside[key] = made.estimator, made
            else:
                pairs = [each for each in made if isinstance(each, tuple)]
                inside |= dict(pairs)
                values[key] = [(n, m.estimator) for n, m in pairs] or [m.estimator for m in made]  # type: ignore[union-attr]
        deep = {key: value for key, value in values.items() if "__" in key}
        estimator = self.cls(**{key: value for key, value in values.items() if key not in deep})
        # what a class holds by default may be shared by all of them: a copy is changed
        out = Made(clone(estimator).set_params(**deep) if deep else estimator)
        for place, made in inside.items():
            out.take(place, made)
        for key, choices in self.space.items():
            (place,) = self.find(key)
            if place not in self.written:
                out.space[place] = list(choices)
        return out


def load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module, _ROOT), name)


def is_protocol(kind: Any) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def fit_kind(annotation: str, value: Any) -> tuple[Any, str]:
    """The value as a parameter of that annotation takes it, and "" or the words for what it takes.

    >>> fit_kind("tuple[float, ...] | None", 0.5)
    ((0.5,), '')
    >>> fit_kind("int", "ten")
    ('ten', 'a whole number')
    >>> fit_kind("Literal['mutual', 'ratio']", "rati")
    ('rati', "mutual or ratio: did you mean 'ratio'?")
    """
    words = []
    for kind in re.split(r"\s*\|\s*(?![^\[]*\])", annotation.strip("'")):
        if kind.startswith("Literal["):
            known = literal_eval(f"({kind[8:-1]},)")
            if value in known:
                return value, ""
            near = "".join(difflib.get_close_matches(str(value), known, n=1))
            words.append(" or ".join(known) + f": did you mean '{near}'?" * bool(near))
        if kind == "Any" or (_plain_kind(value) in _accepted(kind)):
            return float(value) if kind == "float" else value, ""
        if re.match(r"(tuple|list|Sequence)\[", kind) and kind.count("tuple") < 2:
            items = value if isinstance(value, tuple) else (value,)
            number = "float" in kind or "int" in kind
            words.append("a list of numbers" if number else "a list of words")
            if all(_plain_kind(item) in (("int", "float") if number else ("str",)) for item in items):
                return tuple(map(float, items)) if "float" in kind else items, ""
        elif kind in _KINDS:
            words.append(_KINDS[kind])
    if set(words) <= {"none"}:
        return value, "what cannot be written here: give its own parameters by their names"
    return value, " or ".join(words)


def _accepted(kind: str) -> tuple[str, ...]:
    return {"float": ("int", "float"), "Path": ("str",)}.get(kind, (kind,))


def _plain_kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def reduced(made: Made, reducer: Made) -> Made:
    """A classifier behind a reducer of its rows."""
    pairs = [("reducer", reducer), ("classifier", made)]
    return Construction("sklearn.pipeline:Pipeline", ("steps",)).build({"steps": pairs})
