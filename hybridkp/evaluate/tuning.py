"""Settings chosen inside the training part: the same number of trials for every method.

Each trial fits a method with other settings on group-safe folds of the problem's training part and is judged
on the pictures that its folds held out, by the figure that leads in a report; the judged part is never
seen.  Finished folds and trials are kept.  Which settings may vary is the caller's (the recipes') choice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from .. import memory
from ..files import remove_leftovers
from ..files.lease import work_in
from ..memory.threads import FIT_THREADS, limit_threads
from ..metrics import Metric, metric_of, metrics_for, objects_of
from ..stats import paired_difference
from ..structures import Array, InputError, Problem
from .bench_landmarks import check_crops_only, with_seed
from .crops import Crops, make_crops
from .executors import AnyExecutor, elsewhere, run_calls
from .problem import seeing
from .processes import Progress, count_workers
from .trials import FILE, LEVEL, Trial, write_trials

Space = Mapping[str, Sequence[Any]]  #: parameter (``a__b`` for nested ones) -> values to choose from


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
    problem: Problem,
    *,
    out: str | os.PathLike[str],
    n_trials: int = 8,
    cv: int = 3,
    random_state: int = 0,
    metric: str | Metric | None = None,
    n_jobs: int = 1,
    name: str = "",
    executor: AnyExecutor | str | None = None,
    progress: Progress | None = None,
) -> list[Trial]:
    """Search settings of one method by grouped cross-validation inside the problem's training part.

    Parameters
    ----------
    estimator : unfitted detector; its own parameters are the first trial
    space : parameter -> values
    problem : its ``train``, crops and normaliser; its ``val`` is not looked at
    out : folder; gets ``trials.json`` after each trial and ``cache/`` with every finished fold
    cv : folds, which never cut a group
    metric : a row, or the key of one; default: the one that leads in a report
    n_jobs : trials at a time, each in a process with one thread; -1 = one per core
    name : of the method, for :func:`found_settings`; default: that of the folder
    executor : where trials run, instead, as of :func:`.bench`
    progress : see :data:`~hybridkp.evaluate.processes.Progress`; it names the setting

    Returns
    -------
    list of Trial in the order they were drawn; :func:`best_trial` chooses

    Raises
    ------
    InputError
        For a parameter that the estimator lacks, an empty space, unusable data.
    """
    check_crops_only(name, estimator)
    known = estimator.get_params(deep=True)
    unknown = [name for name in space if name not in known]
    if unknown:
        raise InputError(f"{type(estimator).__name__} has no parameter {unknown[0]!r} to search")
    problem = seeing(problem, estimator)
    settings = draw_settings(space, n_trials, random_state, own=known)
    cut = problem.size_hw, problem.margin, 1, problem.modalities, problem.anyway, Path(out) / "cache"
    crops = make_crops(problem.train, *cut)
    errors = _Errors(problem, crops, metric)
    workers = min(count_workers(n_jobs), len(settings))
    calls = ((estimator, params, crops, cv, random_state, Path(out) / "cache") for params in settings)
    trials: list[Trial] = []
    first = np.zeros(0)
    with (
        work_in(out),
        elsewhere(executor, out) as places,
        closing(run_calls(_predict_held_out, calls, workers, places)) as found,
    ):
        remove_leftovers(out)
        for params, (xy, seconds) in zip(settings, found, strict=True):
            own = errors(xy)
            first = first if trials else own
            apart = paired_difference(own, first, crops.groups, level=LEVEL)
            error = float(np.nanmean(own)) if np.isfinite(own).any() else float("nan")
            difference = (apart.difference, apart.low, apart.high, apart.p)
            trials.append(Trial(params, errors.metric.key, error, *difference, seconds))
            write_trials(trials, Path(out) / FILE, name)
            if progress:
                progress(trials[-1].words, len(trials), len(settings))
    return trials


def _predict_held_out(
    estimator: Any,
    params: Mapping[str, Any],
    crops: Crops,
    cv: int,
    random_state: int,
    cache: Path,
) -> tuple[Array, float]:
    """Points (B, K, 2), crop px, of fits that did not see the object, and what they would take anew."""
    with limit_threads(FIT_THREADS), memory.remember(cache), memory.stopwatch() as watch:
        xy, _ = memory.out_of_fold(
            with_seed(estimator, random_state).set_params(**params),
            crops.batch,
            crops.xy,
            groups=crops.groups,
            flip=crops.flip,
            cv=cv,
            random_state=random_state,
        )
    return xy, watch.seconds


class _Errors:
    """Points (B, K, 2) in crop px -> the metric of each object as an error (B,), NaN = not judged."""

    def __init__(self, problem: Problem, crops: Crops, metric: str | Metric | None) -> None:
        objects = list(zip(crops.sample.tolist(), crops.instance.tolist(), strict=True))
        self.crops, self.objects = crops, objects_of(problem.train, objects, problem.normalizer)
        rows = metrics_for(problem.train, problem.normalizer)
        self.metric = rows[0] if metric is None else metric_of(metric, rows)
        if self.metric.summary == "set":
            raise InputError(f"{self.metric.key} has no value for each object: a search needs one that has")

    def __call__(self, xy: Array) -> Array:
        return self.metric.error(self.objects.predicted_by(self.crops.to_picture(xy)))
