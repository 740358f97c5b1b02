"""Parameters of estimators set from outside: by name wherever they occur, or as a search found them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from ..structures import InputError
from .search_spaces import PARTS

Params = Mapping[str, Any]


def with_settings(name: str, estimator: Any, found: Mapping[str, Params]) -> Any:
    """The estimator of a recipe with tuned settings, its own and those of its members.

    ``found`` maps recipes to parameters; a combination takes what was found for its members.
    """
    known = estimator.get_params(deep=True)
    inside = {m: m for m in found if m in known} | PARTS.get(name, {})
    for place, recipe in inside.items():
        estimator.set_params(**{f"{place}__{k}": v for k, v in found.get(recipe, {}).items()})
    return estimator.set_params(**found.get(name, {}))


def with_parameters(estimator: Any, params: Params) -> Any:
    """The estimator, each parameter set wherever it, or an estimator inside it, has one of that name."""
    known = estimator.get_params(deep=True)
    return estimator.set_params(
        **{name: params[last] for name in known if (last := name.split("__")[-1]) in params}
    )


def check_parameters(estimators: Sequence[Any], params: Params) -> None:
    """:class:`InputError` for a parameter that no estimator has, or a value of another kind than its own."""
    known: dict[str, list[Any]] = {}
    for estimator in estimators:
        for name, value in estimator.get_params(deep=True).items():
            known.setdefault(name.split("__")[-1], []).append(value)
    for name, value in params.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
            raise InputError(f"no method here has a parameter {name!r}: {hint}")
        kinds = {_kind(own) for own in known[name]}
        if "" not in kinds | {_kind(value)} and _kind(value) not in kinds:
            raise InputError(f"{name}={value}: give {' or '.join(sorted(kinds))}, such as {known[name][0]}")


def parameterised(methods: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """Named estimators with such parameters, after :func:`check_parameters`."""
    check_parameters(list(methods.values()), params)
    return {name: with_parameters(estimator, params) for name, estimator in methods.items()}


def _kind(value: Any) -> str:
    """A word for people; empty where anything may stand."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list | tuple):
        return "a list"
    return "a word" if isinstance(value, str) else ""
