"""Parameters of estimators set from outside: by name wherever they occur, or as a search found them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from .search_spaces import PARTS
from .structures import InputError

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
    """:class:`InputError` for a parameter that no estimator has, nor one inside it."""
    known = {name.split("__")[-1] for e in estimators for name in e.get_params(deep=True)}
    for name in params:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
            raise InputError(f"no method here has a parameter {name!r}: {hint}")
