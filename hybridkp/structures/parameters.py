"""Parameters by scikit-learn's rules without scikit-learn, for what an application reaches.

``get_params``, ``set_params``, ``repr`` and ``clone`` follow from the signature of ``__init__``, which only
stores.  What learns inherits from ``sklearn.base.BaseEstimator`` instead; named members come to either.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from .base import InputError, check_number, check_whole

if TYPE_CHECKING:  # pragma: no cover
    from typing import Self


def parameter_names(cls: type) -> list[str]:
    """Names of the parameters of ``cls.__init__``, sorted."""
    return sorted(inspect.signature(cls).parameters)


def _nested(params: dict[str, Any]) -> dict[str, Any]:
    """``name__parameter`` of every value that has parameters itself."""
    return {
        f"{name}__{inner}": value
        for name, part in params.items()
        if hasattr(part, "get_params") and not isinstance(part, type)
        for inner, value in part.get_params(deep=True).items()
    }


def _unknown(estimator: Any, key: str) -> InputError:
    return InputError(f"Invalid parameter: {type(estimator).__name__} has no parameter {key!r}")


class Parameters:
    """What is set up once and learns nothing: a local feature, a matcher, a descriptor."""

    _least: ClassVar[Mapping[str, float]] = {}  #: of parameters that are numbers; those not in it may be any

    def check_numbers(self) -> None:
        """:class:`InputError` for a dataclass's int that is no whole number, a float that is none, or NaN."""
        known: Any = fields(self) if is_dataclass(self) else ()
        for field in known:
            value, name = getattr(self, field.name), f"{type(self).__name__}: {field.name}"
            if field.type == "float":
                check_number(value, name, self._least.get(field.name, -float("inf")))
            elif field.type == "int":
                check_whole(value, name, int(self._least.get(field.name, -(2**63))))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; with ``deep`` also those of parameters, as ``name__parameter``."""
        out = {name: getattr(self, name) for name in parameter_names(type(self))}
        return {**out, **_nested(out)} if deep else out

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; :class:`InputError` for one that is not there."""
        names = parameter_names(type(self))
        for key in params:
            name, _, inner = key.partition("__")
            if name not in names or (inner and not hasattr(getattr(self, name), "set_params")):
                raise _unknown(self, key)
        for key in sorted(params, key=lambda key: "__" in key):  # whole parts before what is in them
            name, _, inner = key.partition("__")
            if inner:
                getattr(self, name).set_params(**{inner: params[key]})
            else:
                setattr(self, name, params[key])
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        shown = [
            f"{name}={value!r}"
            for name, value in self.get_params(deep=False).items()
            if repr(value) != repr(defaults[name].default)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class NamedMembers:
    """Members in a sequence of (name, member), reached as ``name`` and ``name__parameter``.

    To stand before a base class with ``get_params`` and ``set_params``; :attr:`_named` says which of its
    parameters is the sequence.
    """

    _named: ClassVar[str] = "members"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters; with ``deep`` also every member by its name, and theirs as ``name__parameter``."""
        out: dict[str, Any] = super().get_params(deep=deep)  # type: ignore[misc]
        if deep:
            named = dict(getattr(self, self._named))
            out |= named | _nested(named)
        return out

    def set_params(self, **params: Any) -> Self:
        """Set parameters, members by name, and parameters of members as ``name__parameter``."""
        own, inside = {}, []
        if self._named in params:
            setattr(self, self._named, params.pop(self._named))
        members: Sequence[tuple[str, Any]] = getattr(self, self._named)
        named = dict(members)
        for key, value in params.items():
            name, _, inner = key.partition("__")
            if name not in named:
                if name not in parameter_names(type(self)):
                    raise _unknown(self, key)
                own[key] = value
            elif inner:
                inside.append((name, inner, value))
            else:
                named[name] = value
        if own:
            super().set_params(**own)  # type: ignore[misc]
        if any(named[name] is not member for name, member in members):
            setattr(self, self._named, [(name, named[name]) for name, _ in members])
        for name, inner, value in inside:
            named[name].set_params(**{inner: value})
        return self


def clone(value: Any) -> Any:
    """A copy with the same parameters that has learned nothing, as ``sklearn.base.clone`` makes it."""
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)([clone(v) for v in value])
    if isinstance(value, type) or not hasattr(value, "get_params"):
        return copy.deepcopy(value)
    if hasattr(value, "__sklearn_clone__"):
        return value.__sklearn_clone__()
    return type(value)(**{name: clone(v) for name, v in value.get_params(deep=False).items()})
