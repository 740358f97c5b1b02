"""Settings chosen inside the training part: the same number of trials for every method.

Each trial fits a method with other settings on group-safe folds of ``train`` and is judged on the
pictures that its folds left out; ``val`` is never seen.  Trials are kept as they finish.  Which
settings may vary is the caller's (the recipes') choice; nothing is reported here but the trials.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import memory
from .evaluate.crops import Crops, make_crops
from .evaluate.runs import with_seed
from .files import write_atomic
from .geometry import apply_affine, invert_affine
from .metrics import nme, normalizer_lengths
from .structures import Array, Dataset, InputError, Normalizer

Space = Mapping[str, Sequence[Any]]  #: parameter (``a__b`` for nested ones) -> values to choose from
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Trial:
    """One setting and how it did: the mean error over the left-out objects, and its standard error.

    ``error`` is in units of the normaliser (a fraction, or px), ``seconds`` the wall clock of the
    folds' fits and answers, with what a memory spared counted in.
    """

    params: Mapping[str, Any]
    error: float
    standard_error: float
    seconds: float


def draw_settings(
    space: Space, n_trials: int, random_state: int = 0, own: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """``n_trials`` different settings; the first is {} (the defaults), the others drawn evenly.

    ``own`` are the defaults: a draw that is the same as they are is left out.

    Random search (Bergstra & Bengio, JMLR 2012): with few trials it beats a grid, as few
    parameters matter.  A space with fewer combinations gives them all.

    >>> draw_settings({"alpha": [1.0, 10.0]}, 5)
    [{}, {'alpha': 1.0}, {'alpha': 10.0}]
    >>> draw_settings({"alpha": [1.0, 10.0]}, 5, own={"alpha": 1.0})
    [{}, {'alpha': 10.0}]
    """
    if n_trials < 1:
        raise InputError(f"a search needs at least one trial, got {n_trials}")
    empty = [name for name, values in space.items() if not len(values)]
    if empty:
        raise InputError(f"the search space of {empty[0]} is empty")
    names, sizes = list(space), [len(values) for values in space.values()]
    total = int(np.prod(sizes)) if sizes else 0
    rng = np.random.default_rng(random_state)
    n = min(n_trials, total)  # one more than needed, in case the defaults are drawn
    if total <= 10**6:
        picks = rng.permutation(total)[:n]
    else:  # too many to list: repeats are as good as impossible, and dropped
        picks = np.unique(rng.integers(0, total, 2 * n))
        picks = rng.permutation(picks)[:n]
    index = np.stack(np.unravel_index(picks, sizes), 1) if n else np.zeros((0, 0), int)
    drawn = [{k: space[k][i] for k, i in zip(names, row, strict=True)} for row in index.tolist()]
    others = [d for d in drawn if own is None or any(d[k] != own.get(k) for k in d)]
    return [{}, *others[: n_trials - 1]]


def tune(
    estimator: Any,
    space: Space,
    train: Dataset,
    *,
    out: str | os.PathLike[str],
    n_trials: int = 8,
    cv: int = 3,
    random_state: int = 0,
    size_hw: tuple[int, int] = (128, 128),
    margin: float = 1.25,
    normalizer: Normalizer | None = None,
    progress: Progress | None = None,
) -> list[Trial]:
    """Search settings of one method by grouped cross-validation inside ``train``.

    Parameters
    ----------
    estimator : unfitted detector; its own parameters are the first trial
    space : parameter -> values
    out : folder; gets ``trials.json`` after each trial and ``cache/`` with every finished fold
    cv : folds, which never cut a group
    progress : called as progress(setting, done, n_trials)

    Returns
    -------
    list of Trial in the order they were drawn; :func:`best_trial` chooses

    Raises
    ------
    InputError
        For a parameter that the estimator lacks, an empty space, unusable data.
    """
    known = estimator.get_params(deep=True)
    unknown = [name for name in space if name not in known]
    if unknown:
        raise InputError(f"{type(estimator).__name__} has no parameter {unknown[0]!r} to search")
    settings = draw_settings(space, n_trials, random_state, own=known)
    crops = make_crops(train, size_hw, margin)
    lengths = _lengths(train, crops, normalizer)
    trials: list[Trial] = []
    with memory.remember(Path(out) / "cache"):
        for done, params in enumerate(settings, 1):
            trials.append(_trial(estimator, params, crops, lengths, cv, random_state))
            write_atomic(Path(out) / "trials.json", _json(trials))
            if progress:
                progress(_words(params), done, len(settings))
    return trials


def best_trial(trials: Sequence[Trial]) -> Trial:
    """The least error; the defaults stay unless another setting beats them by a standard error.

    The guard is Breiman's one-standard-error rule (1984) applied to the defaults: with few
    trials the luckiest setting is often only that.
    """
    if not trials:
        raise InputError("no trials: run the search first")
    best = min(trials, key=lambda t: np.inf if np.isnan(t.error) else t.error)
    default = trials[0]
    return default if default.error <= best.error + best.standard_error else best


def read_trials(path: str | os.PathLike[str]) -> list[Trial]:
    """What :func:`tune` wrote; :class:`InputError` for anything else."""
    try:
        rows = json.loads(Path(path).read_text())["trials"]
        return [
            Trial(dict(r["params"]), _number(r["error"]), _number(r["standard_error"]), float(r["seconds"]))
            for r in rows
        ]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); run the search again") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: holds no trials; run the search again") from None


def _trial(
    estimator: Any, params: Mapping[str, Any], crops: Crops, lengths: Array, cv: int, random_state: int
) -> Trial:
    chosen = with_seed(estimator, random_state).set_params(**params)
    with memory.stopwatch() as watch:
        answer, _ = memory.out_of_fold(
            chosen,
            crops.images,
            crops.xy,
            groups=crops.groups,
            flip=crops.flip,
            cv=cv,
            random_state=random_state,
        )
    error = nme(crops.to_picture(crops.xy), crops.to_picture(answer), lengths)
    error = error[np.isfinite(error)]
    spread = float(error.std(ddof=1) / np.sqrt(len(error))) if len(error) > 1 else float("nan")
    return Trial(dict(params), float(error.mean()) if len(error) else float("nan"), spread, watch.seconds)


def _lengths(train: Dataset, crops: Crops, normalizer: Normalizer | None) -> Array:
    truth = apply_affine(invert_affine(crops.matrix), crops.xy)
    instances = zip(crops.sample, crops.instance, strict=True)
    boxes = np.stack([train.samples[s].instances[i].box_xywh for s, i in instances])
    try:
        return normalizer_lengths(truth, tuple(normalizer or train.normalizer), boxes)
    except ValueError as error:
        raise InputError(f"{train.name}: {error}") from None


def _words(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in params.items()) or "defaults"


def _json(trials: Sequence[Trial]) -> str:
    rows = [
        {
            "params": dict(t.params),
            "error": None if np.isnan(t.error) else t.error,
            "standard_error": None if np.isnan(t.standard_error) else t.standard_error,
            "seconds": round(t.seconds, 2),
        }
        for t in trials
    ]
    return json.dumps({"format": 1, "trials": rows}, indent=1, allow_nan=False) + "\n"


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
