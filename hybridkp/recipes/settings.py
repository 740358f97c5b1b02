"""Parameters of estimators set from outside: by name wherever they occur, or as a search found them.

What may be tuned follows from the parts of an expression; estimators and plain parameters pass through,
nothing is fitted.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.base import clone

from ..structures import InputError
from .listing import canonical
from .make import make

Params = Mapping[str, Any]


def search_space(expression: str) -> dict[str, list[Any]]:
    """Nested parameter -> values that ``hybridkp tune`` chooses from, of all parts together.

    A parameter that the expression writes out is not varied.

    >>> sorted(search_space("hog+ridge[grid=8]"))
    ['alpha']
    """
    return make(expression).space


def untuned(expression: str) -> list[str]:
    """Parts of an expression that have nothing to choose from, for a note.

    >>> untuned("sdm:subpixel")
    ['subpixel']
    """
    return make(expression).untuned


def with_settings(expression: str, estimator: Any, found: Mapping[str, Params]) -> Any:
    """The estimator of an expression with tuned settings, its own and those of its sub-expressions.

    ``found`` maps expressions to parameters, nested or, where there is only one of it, by its last name;
    what was found for the larger expression wins.

    Raises
    ------
    InputError
        For a parameter that is not there, or a value of another kind than its own.
    """
    known = {canonical(name): params for name, params in found.items()}
    places = make(expression).places if found else {}
    for place in sorted(places, key=lambda p: -len(p.split("__")) if p else 1):
        params = known.get(places[place], {})
        inner = estimator.get_params(deep=True)[place] if place and params else estimator
        nested = {_nested(inner, key): value for key, value in params.items()}
        check_parameters([inner], {key.split("__")[-1]: value for key, value in nested.items()})
        ghost = nested.keys() - inner.get_params(deep=True)
        if ghost:
            raise InputError(f"{places[place]} has no parameter {min(ghost)!r}: search its settings again")
        inner.set_params(**nested)
    return estimator


def _nested(estimator: Any, key: str) -> str:
    """The key itself, or the one nested parameter that ends with it."""
    known = estimator.get_params(deep=True)
    inside = [name for name in known if name.endswith(f"__{key}")]
    return inside[0] if key not in known and len(inside) == 1 else key


def with_parameters(estimator: Any, params: Params) -> Any:
    """A copy, each parameter set wherever the estimator, or one inside it, has one of that name."""
    from sklearn.base import clone

    known = estimator.get_params(deep=True)
    return clone(estimator).set_params(
        **{name: params[last] for name in known if (last := name.split("__")[-1]) in params}
    )


def with_pretrained(estimator: Any, file: Any, landmarks: Sequence[str], freeze: bool = False) -> Any:
    """A copy, every network in it to start from the weights of a model file (see ``deep.pretrained``).

    :class:`InputError` where there is none.
    """
    from ..deep import pretrained

    if not any(name.split("__")[-1] == "initial" for name in estimator.get_params(deep=True)):
        raise InputError(
            "nothing in this method starts from another network's weights: heatmap does, or direct"
        )
    return with_parameters(estimator, {"initial": pretrained(file, landmarks, freeze=freeze)})


def with_teacher(
    estimator: Any, file: Any, landmarks: Sequence[str], weight: float = 0.5, margin: float | None = None
) -> Any:
    """A copy, every network in it to learn from a model file's points too (see ``deep.teacher``).

    :class:`InputError` where there is none.
    """
    from ..deep import teacher

    if not any(name.split("__")[-1] == "teacher" for name in estimator.get_params(deep=True)):
        raise InputError("nothing in this method can be taught: heatmap can, or direct")
    return with_parameters(estimator, {"teacher": teacher(file, landmarks, weight=weight, margin=margin)})


def with_start(chain: Any, start: Any, *more: Any) -> Any:
    """A copy of a fitted chain whose steps follow another fitted start in place of its network's.

    Of several starts it is their mean.  The steps stay as they were fitted, behind the chain's own network
    and its ``flip``, if it has one: for a network that learned from the chain, and errs no more than the
    chain's own.

    Raises
    ------
    InputError
        For a chain that begins with no network, or with several detectors, and for a start of other crops.
    """
    from ..deep import HeatmapNet
    from ..fusion import Average, MirrorAverage

    if isinstance(chain, HeatmapNet | MirrorAverage):
        for new in (start, *more):
            if tuple(chain.size_hw_) != tuple(new.size_hw_):
                sizes = " and ".join("{} x {}".format(*each.size_hw_) for each in (chain, new))
                raise InputError(f"the chain's crops and the new start's differ: {sizes} px")
        return Average.of([start, *more]) if more else start
    made, held = copy.copy(chain), vars(chain)
    if len(held.get("members_", ())) == 1:
        made.members_ = [with_start(chain.members_[0], start, *more)]
        made.members, made.kept_ = [("start", clone(made.members_[0]))], [0]
        return made
    name = next((name for name in ("start", "detector") if f"{name}_" in held), None)
    if name is None:
        kind = type(chain).__name__
        raise InputError(f"{kind}: a chain begins with one network, as heatmap:flip:shape:sdm")
    own = with_start(held[f"{name}_"], start, *more)
    vars(made).update({name: clone(own), f"{name}_": own})
    return made


def with_presence(estimator: Any, name: str) -> tuple[Any, str]:
    """The estimator and its name, with the step ``presence`` where none says yet whether there is an object.

    One that begins with whole pictures stays as it is: it finds its objects, with a probability.
    """
    from ..detection import TopDown, WholePicture
    from ..fusion import WithCovariance
    from ..landmarks import Upright, WithPresence

    if isinstance(estimator, TopDown):
        detector, name = with_presence(estimator.detector, name)
        return estimator.set_params(detector=detector), name
    says = estimator
    while isinstance(says, WithCovariance | Upright):  # which pass presence on
        says = says.detector
    if isinstance(says, WholePicture | WithPresence):
        return estimator, name
    return WithPresence(estimator), f"{name}:presence"


def check_parameters(estimators: Sequence[Any], params: Params) -> None:
    """:class:`InputError` for a parameter that no estimator has, or a value of another kind than its own."""
    known: dict[str, list[Any]] = {}
    for estimator in estimators:
        for name, value in estimator.get_params(deep=True).items():
            known.setdefault(name.split("__")[-1], []).append(value)
    for name, value in params.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known)) or 'none'}"
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
