"""A bench's folder, read back: its problem, its predictions or matches, its models.

``bench.json`` says on what and in which setting the bench ran; predictions, matches and models lie in files
of their own.  Nothing is computed here.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..datasets import few_of_each, load_pairs
from ..datasets.lookup import pictures_stamp
from ..files import MatchedSet, load_matched, load_predictions, read_meta, write_atomic
from ..structures import DataWarning, InputError, PairSet, Predictions, Problem
from .problem import load_problem
from .processes import file_name

#: what a bench notes of its problem, so that it can be loaded again, and of what kinds it is
_SOURCE: dict[str, tuple[type, ...]] = {
    "data": (str,),
    "split": (str,),
    "max_val": (int, type(None)),
    "normalizer": (str, list, type(None)),
}
#: what a bench of interest points notes of its pairs
_PAIRS: dict[str, tuple[type, ...]] = {"task": (str,), "data": (str,), "short_side": (int,), "quick": (bool,)}
QUICK_PAIRS = 2  #: of each sequence in a quick bench
#: parameters of stored predictions that belong to one method
_OWN = ("estimator", "estimator_source")


def prediction_path(out: Path, method: str, seed: int) -> Path:
    """Where the predictions of one method and seed are kept."""
    return out / "predictions" / f"{file_name(method)}-{seed}.safetensors"


def model_path(out: Path, method: str, seed: int) -> Path:
    """Where the model of one method and seed is kept."""
    return out / "models" / f"{file_name(method)}-{seed}.hkp"


def setting(predictions: Predictions) -> dict[str, Any]:
    """What a bench shares among its methods: crops, training set, clock, and the source of these.

    Predictions of two methods may stand in one table only when this is equal (and the data too).
    """
    return {name: value for name, value in predictions.params.items() if name not in _OWN}


def note_problem(out: Path, problem: Problem, found: Sequence[Predictions] = ()) -> None:
    """Note where the problem came from, and the setting of what was predicted; nothing where unknown."""
    if problem.source:
        facts = dict(problem.source) | ({"setting": setting(found[0])} if found else {})
        write_atomic(out / "bench.json", json.dumps(facts, indent=1))


def stored_predictions(out: str | os.PathLike[str]) -> list[Predictions]:
    """The predictions in a bench's folder, in the order of their files' names."""
    paths = sorted((Path(out) / "predictions").glob("*.safetensors"))
    if not paths:
        raise InputError(f"{out}: no stored predictions there; run the bench first")
    return [load_predictions(path) for path in paths]


def stored_problem(
    out: str | os.PathLike[str],
    *,
    data: str | None = None,
    normalizer: str | None = None,
    max_val: int | None = None,
    **options: Any,
) -> Problem:
    """The problem of a bench's folder; what is given replaces what the bench noted, ``options`` too.

    Raises
    ------
    InputError
        Where no bench has noted it, and for data that cannot be read.
    """
    given = {"data": data, "normalizer": normalizer, "max_val": max_val}
    facts = _facts(out) | {name: value for name, value in given.items() if value is not None}
    known = facts.get("options")
    options = {**(known if isinstance(known, dict) else {}), **options}
    problem = {name: facts[name] for name in _SOURCE}
    return load_problem(**problem, anyway=facts.get("anyway") is True, **options)


def comparable_predictions(
    out: str | os.PathLike[str], problem: Problem
) -> tuple[list[Predictions], list[str]]:
    """Stored predictions that may stand in one table, and the methods of those that may not.

    These are the ones on the problem's judged part and in the setting of the last bench; of a bench that
    was stopped, in the most common one.

    Raises
    ------
    InputError
        Where nothing is stored for these data.
    """
    stored, fingerprint = stored_predictions(out), problem.val.fingerprint
    good = [p for p in stored if p.fingerprint == fingerprint]
    if not good:
        raise InputError(f"{out}: holds predictions for other data than {problem.name}; run the bench again")
    settings = [setting(p) for p in good]
    last = _facts(out).get("setting")
    if last not in settings:
        last = max(settings, key=settings.count)
    good = [p for p, its in zip(good, settings, strict=True) if its == last]
    if not str(good[0].params.get("pictures")).endswith(pictures_stamp(problem.val)):
        warnings.warn(
            f"{out}: pictures have changed, or were copied, since these predictions were made: if they"
            " are others, run the bench again",
            DataWarning,
            stacklevel=2,
        )
    return good, sorted({p.method for p in stored} - {p.method for p in good})


def stored_models(
    out: str | os.PathLike[str], methods: Sequence[str] | None = None, seed: int = 0
) -> dict[str, Path]:
    """Method -> model file of a bench's folder; None = every method there.

    Raises
    ------
    InputError
        For a method without a model of that seed, and where there are none.
    """
    suffix = f"-{seed}.hkp"
    paths = sorted((Path(out) / "models").glob(f"*{suffix}"))
    # a method's name may hold what no file's name can: the file itself says it
    found = {str(read_meta(p).get("method", p.name.removesuffix(suffix))): p for p in paths}
    missing = [name for name in methods or () if name not in found]
    if missing or not found:
        there = f" (there: {', '.join(found)})" if found else ""
        raise InputError(f"{out}: has no model of {missing[0] if missing else f'seed {seed}'}{there}")
    return {name: found[name] for name in methods or found}


# --------------------------------------------------------------------------------------------
# interest points
# --------------------------------------------------------------------------------------------


def note_pairs(out: Path, data: str, short_side: int, quick: bool) -> None:
    """Note which pairs a bench of interest points matched."""
    facts = {"task": "points", "data": data, "short_side": short_side, "quick": quick}
    write_atomic(out / "bench.json", json.dumps(facts, indent=1))


def stored_task(out: str | os.PathLike[str]) -> str:
    """ "points" for the folder of a bench of interest points, else "landmarks"."""
    try:
        return str(_facts(out, _PAIRS)["task"])
    except InputError:
        return "landmarks"


def stored_matches(out: str | os.PathLike[str]) -> list[MatchedSet]:
    """The matches in a points bench's folder, in the order of their files' names."""
    paths = sorted((Path(out) / "matched").glob("*.safetensors"))
    if not paths:
        raise InputError(f"{out}: no stored matches there; run the bench first")
    return [load_matched(path) for path in paths]


def load_some_pairs(data: str, short_side: int, quick: bool) -> PairSet:
    """Pairs of pictures as :func:`hybridkp.datasets.load_pairs` reads them; ``quick``: few of a sequence."""
    pairs = load_pairs(data, short_side)
    return few_of_each(pairs, QUICK_PAIRS) if quick else pairs


def comparable_matches(
    out: str | os.PathLike[str], data: str | None = None
) -> tuple[list[MatchedSet], PairSet]:
    """Stored matches that belong to the pairs of a bench's folder, and these; ``data``: where they are now.

    Raises
    ------
    InputError
        Where nothing is stored for these pairs.
    """
    facts, found = _facts(out, _PAIRS), stored_matches(out)
    data = data or facts["data"]
    pairs = load_some_pairs(data, facts["short_side"], facts["quick"])
    fingerprint = pairs.fingerprint
    found = [m for m in found if m.fingerprint == fingerprint]
    if not found:
        raise InputError(f"{out}: holds matches of other pairs than {data}; run the bench again")
    return found, pairs


def _facts(out: str | os.PathLike[str], kinds: Mapping[str, tuple[type, ...]] = _SOURCE) -> dict[str, Any]:
    """What a bench noted about its data; all of ``kinds`` has to be there, and of these kinds."""
    try:
        facts = json.loads((Path(out) / "bench.json").read_text(encoding="utf-8"))
        if not all(isinstance(facts[name], its) for name, its in kinds.items()):
            raise TypeError("bench.json")
        return dict(facts)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise InputError(f"{out}: its bench.json is missing or damaged; run the bench again") from None
