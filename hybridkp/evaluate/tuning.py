"""Settings chosen inside the training part: the same number of trials for every method.

Each trial fits a method with other settings on group-safe folds of ``train`` and is judged on the
pictures that its folds left out, by the figure that leads in a report; ``val`` is never seen.  Finished
folds and trials are kept.  Which settings may vary is the caller's (the recipes') choice; nothing is
reported here but the trials.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from .. import memory
from ..files import write_atomic
from ..memory.threads import FIT_THREADS, limit_threads
from ..metrics import LANDMARK_METRICS, Metric, metric_of, metrics_for, objects_of
from ..stats import holm, paired_difference
from ..structures import Array, Dataset, InputError, Normalizer
from .bench_landmarks import with_seed
from .crops import Crops, make_crops
from .processes import count_workers

LEVEL = 0.95  #: of the interval of a difference, and of the test that a setting must pass

Space = Mapping[str, Sequence[Any]]  #: parameter (``a__b`` for nested ones) -> values to choose from
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Trial:
    """One setting and how it did on the objects that its folds left out.

    ``error`` is the mean over objects of the figure that leads in a report, as an error
    (:meth:`hybridkp.metrics.Metric.error`): NME (a fraction), px, or 1 - PCK@0.2.
    ``difference`` is that minus the defaults' over the same objects, with its interval over groups and the p
    of "no difference" (:func:`.paired_difference`).  ``seconds`` is the wall clock of the folds' fits and
    predictions, with what a memory spared counted in.
    """

    params: Mapping[str, Any]
    metric: str  #: key of the metric
    error: float
    difference: float
    low: float
    high: float
    p: float
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
    >>> draw_settings({"scales": [[0.5, 1.0], [1.0]]}, 5, own={"scales": (0.5, 1.0)})
    [{}, {'scales': [1.0]}]
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
    others = [d for d in drawn if own is None or any(_plain(d[k]) != _plain(own.get(k)) for k in d)]
    return [{}, *others[: n_trials - 1]]


def _plain(value: Any) -> Any:
    """The same for (1, 2) and [1, 2], which mean the same to every estimator."""
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


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
    metric: str | Metric | None = None,
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> list[Trial]:
    """Search settings of one method by grouped cross-validation inside ``train``.

    Parameters
    ----------
    estimator : unfitted detector; its own parameters are the first trial
    space : parameter -> values
    out : folder; gets ``trials.json`` after each trial and ``cache/`` with every finished fold
    cv : folds, which never cut a group
    metric : a row, or the key of one; default: the one that leads in a report
    n_jobs : trials at a time, each in a process with its share of the cores; -1 = one per core
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
    errors = _Errors(train, crops, normalizer, metric)
    workers = min(count_workers(n_jobs), len(settings))
    jobs = (
        delayed(_answers)(estimator, params, crops, cv, random_state, Path(out) / "cache")
        for params in settings
    )
    trials: list[Trial] = []
    first = np.zeros(0)
    found = Parallel(n_jobs=workers, return_as="generator", pre_dispatch="n_jobs")(jobs)
    with closing(found):  # Ctrl-C: the trials that still run end with us
        for params, (xy, seconds) in zip(settings, found, strict=True):
            own = errors(xy)
            first = first if trials else own
            apart = paired_difference(own, first, crops.groups, level=LEVEL)
            error = float(np.nanmean(own)) if np.isfinite(own).any() else float("nan")
            way = (apart.difference, apart.low, apart.high, apart.p)
            trials.append(Trial(params, errors.metric.key, error, *way, seconds))
            write_atomic(Path(out) / "trials.json", _json(trials))
            if progress:
                progress(_words(params), len(trials), len(settings))
    return trials


def best_trial(trials: Sequence[Trial]) -> Trial:
    """The least error among the settings that beat the defaults beyond doubt; else the defaults.

    Beyond doubt: the paired sign-flip test against the defaults, with Holm's correction for all
    settings tried.  With few trials the luckiest setting is often only that.
    """
    if not trials:
        raise InputError("no trials: run the search first")
    default, others = trials[0], trials[1:]
    p = holm([t.p for t in others])
    clear = [t for t, doubt in zip(others, p, strict=True) if t.difference < 0 and doubt <= 1 - LEVEL]
    return min(clear, key=lambda t: t.error, default=default)


def read_trials(path: str | os.PathLike[str]) -> list[Trial]:
    """What :func:`tune` wrote; :class:`InputError` for anything else."""
    try:
        rows = json.loads(Path(path).read_text())["trials"]
        numbers = [f.name for f in fields(Trial) if f.name not in ("params", "metric")]
        return [
            Trial(dict(r["params"]), str(r["metric"]), **{name: _number(r[name]) for name in numbers})
            for r in rows
        ]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); run the search again") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: holds no trials; run the search again") from None


def _answers(
    estimator: Any,
    params: Mapping[str, Any],
    crops: Crops,
    cv: int,
    random_state: int,
    cache: Path,
) -> tuple[Array, float]:
    """Answers (B, K, 2), crop px, of fits that did not see the object, and what they would take anew."""
    with limit_threads(FIT_THREADS), memory.remember(cache), memory.stopwatch() as watch:
        xy, _ = memory.out_of_fold(
            with_seed(estimator, random_state).set_params(**params),
            crops.images,
            crops.xy,
            groups=crops.groups,
            flip=crops.flip,
            cv=cv,
            random_state=random_state,
        )
    return xy, watch.seconds


class _Errors:
    """Predictions (B, K, 2) in crop px -> the metric of each object as an error (B,), NaN = left out."""

    def __init__(
        self, train: Dataset, crops: Crops, normalizer: Normalizer | None, metric: str | Metric | None
    ) -> None:
        rows = metrics_for(train, normalizer)
        self.metric = rows[0] if metric is None else metric_of(metric, rows)
        if self.metric.summary == "set":
            raise InputError(f"{self.metric.key} has no value for each object: a search needs one that has")
        objects = zip(crops.sample.tolist(), crops.instance.tolist(), strict=True)
        self.crops, self.objects = crops, objects_of(train, list(objects), normalizer)

    def __call__(self, xy: Array) -> Array:
        return self.metric.error(self.objects.predicted_by(self.crops.to_picture(xy)))


def shown(trial: Trial) -> tuple[str, float]:
    """The heading of a trial's error, and the factor to shown units."""
    metric = metric_of(trial.metric, LANDMARK_METRICS)
    return metric.error_heading, metric.scale


def _words(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in params.items()) or "defaults"


def _json(trials: Sequence[Trial]) -> str:
    rows = [
        {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in asdict(t).items()} for t in trials
    ]
    return json.dumps({"format": 2, "trials": rows}, indent=1, allow_nan=False) + "\n"


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def found_settings(folder: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Method -> the settings that :func:`tune` chose."""
    paths = sorted(Path(folder).glob("*/trials.json"))
    if not paths:
        raise InputError(f"{folder}: holds no trials; run hybridkp tune --out {folder} first")
    return {path.parent.name: dict(best_trial(read_trials(path)).params) for path in paths}
