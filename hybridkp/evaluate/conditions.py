"""Trained models on harder copies of the judged pictures: predictions now, curves later.

Nothing is fitted: the models of a bench predict again, under blur, noise, JPEG, low light,
occlusion, rotation and small size.  Predictions are stored before any metric, a file for each model
and condition, so that a run that was stopped goes on.  Names no method.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import memory
from ..datasets import CORRUPTIONS, corrupted
from ..datasets.synthetic.corruptions import SEVERITIES
from ..files import load_model, load_predictions, read_meta, remove_leftovers, save_predictions
from ..files.lease import clear_abandoned, work_in
from ..memory.sources import fingerprint
from ..memory.threads import FIT_THREADS, limit_threads
from ..structures import MARGIN, TICKETS, Dataset, InputError, Predictions, Problem, as_problem, modalities_of
from .bench_landmarks import check_crops_only
from .crops import Crops, passing_crops
from .executors import AnyExecutor, elsewhere, run_calls, until_visible
from .processes import Progress, count_workers, file_name, versions

#: what may decide a prediction: a model file does not say which of these rooms it needs
_SOURCE = (
    *("hybridkp.landmarks", "hybridkp.deep", "hybridkp.descriptors", "hybridkp.fusion"),
    *("hybridkp.peers", "hybridkp.evaluate.conditions", "hybridkp.datasets.load"),
)


class Condition(NamedTuple):
    """One corruption at one severity; ("clean", 0) is the pictures as they are."""

    kind: str
    severity: int

    def of(self, dataset: Dataset, random_state: int = 0) -> Dataset:
        """The data set under this condition."""
        return dataset if not self.severity else corrupted(dataset, *self, random_state=random_state)

    def __str__(self) -> str:
        return f"{self.kind}-{self.severity}"


CLEAN = Condition("clean", 0)  #: the pictures as they are


def robustness(
    models: Mapping[str, str | os.PathLike[str]],
    data: Problem | Dataset,
    *,
    out: str | os.PathLike[str],
    kinds: Sequence[str] | None = None,
    severities: Sequence[int] = SEVERITIES,
    random_state: int = 0,
    n_jobs: int = 1,
    executor: AnyExecutor | str | None = None,
    progress: Progress | None = None,
) -> dict[Condition, list[Predictions]]:
    """Predictions of every model for the judged part as it is and under each corruption and severity.

    All models see the same corrupted pictures and, of one crop size, the same crops; how it crops is
    said by the model.

    Parameters
    ----------
    models : name -> model file of ``bench`` or ``train``
    data : a problem, of which ``val`` is judged on, or a data set
    out : folder; gets ``<condition>/<name>.safetensors``
    kinds : of :data:`hybridkp.datasets.CORRUPTIONS`; None = all
    n_jobs : conditions at a time, each in a process with one thread
    executor : where conditions are predicted, instead, as of :func:`.bench`
    progress : see :data:`~hybridkp.evaluate.processes.Progress`; it names the condition

    Returns
    -------
    dict from condition to predictions, in the order of ``models``

    Raises
    ------
    InputError
        No models, an unknown kind or severity, a model of another landmark scheme, a file that
        cannot be read.
    """
    if not models:
        raise InputError("no models: train some first, hybridkp bench does")
    problem, conditions = as_problem(data), _conditions(kinds, severities)
    dataset = problem.val
    meta = {name: model_facts(path, dataset) for name, path in models.items()}
    params = {
        name: {
            "model": hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16],
            "random_state": int(random_state),
            "source": fingerprint(_SOURCE),
            "size_hw": [int(v) for v in meta[name]["size_hw"]],
            "margin": float(meta[name]["margin"]),
            "modalities": list(meta[name]["modalities"]),
            "anyway": problem.anyway,
        }
        for name, path in models.items()
    }
    workers = count_workers(n_jobs)
    paths = {c: {n: Path(out) / str(c) / f"{file_name(n)}.safetensors" for n in models} for c in conditions}
    calls = ((c, models, params, dataset, paths[c], int(random_state)) for c in conditions)
    with (
        work_in(out),
        elsewhere(executor, out) as places,
        closing(run_calls(_predict, calls, workers, places, ordered=False)) as found,
    ):
        remove_leftovers(out)
        clear_abandoned(Path(out) / "cache")
        for done, condition in enumerate(found, 1):
            if progress:
                progress(str(condition), done, len(conditions))
    return {c: [load_predictions(until_visible(path)) for path in paths[c].values()] for c in conditions}


def _conditions(kinds: Sequence[str] | None, severities: Sequence[int]) -> list[Condition]:
    kinds = list(CORRUPTIONS) if kinds is None else list(dict.fromkeys(kinds))
    unknown = [k for k in kinds if k not in CORRUPTIONS]
    if unknown:
        raise InputError(f"unknown corruption {unknown[0]!r}: there are {', '.join(CORRUPTIONS)}")
    wrong = [s for s in severities if s not in SEVERITIES]
    if wrong:
        raise InputError(f"severity {wrong[0]}: give 1, 2, 3 or 4")
    harder = [Condition(kind, int(s)) for kind in kinds for s in dict.fromkeys(severities)]
    return [CLEAN, *harder]


def check_landmarks(meta: Mapping[str, Any], dataset: Dataset) -> None:
    """:class:`InputError` where a model's landmarks, by its ``meta``, are not the data's in their order."""
    if list(meta.get("landmarks") or dataset.landmarks) != list(dataset.landmarks):
        raise InputError(f"the model was trained for other landmarks than those of {dataset.name}")


def model_facts(path: str | os.PathLike[str], dataset: Dataset) -> dict[str, Any]:
    """Size, margin and modalities of a model file's crops; :class:`InputError` for other landmarks."""
    meta = read_meta(path)
    try:
        check_landmarks(meta, dataset)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if "size_hw" not in meta:
        raise InputError(f"{path}: does not say its crop size; make it with hybridkp bench or train")
    defaults = {"margin": MARGIN, "modalities": ["image"]}
    return {"size_hw": meta["size_hw"]} | {name: meta.get(name, value) for name, value in defaults.items()}


def _predict(
    condition: Condition,
    models: Mapping[str, str | os.PathLike[str]],
    params: Mapping[str, Mapping[str, Any]],
    dataset: Dataset,
    paths: Mapping[str, Path],
    random_state: int,
) -> Condition:
    """Stores every model's predictions under one condition; those that are there already are kept."""
    harder = condition.of(dataset, random_state)
    todo = [n for n in models if not _kept(paths[n], params[n], harder.fingerprint)]
    cuts = {n: (tuple(p["size_hw"]), p["margin"], tuple(p["modalities"])) for n, p in params.items()}
    anyway = any(p["anyway"] for p in params.values())
    with limit_threads(FIT_THREADS):
        for cut in dict.fromkeys(cuts[n] for n in todo):
            cache = next(iter(paths.values())).parents[1] / "cache"
            with passing_crops(harder, *cut, anyway, cache) as crops:
                for name in (n for n in todo if cuts[n] == cut):
                    about = {"params": dict(params[name]), "split": str(condition)}
                    save_predictions(_predicted(models[name], name, crops, harder, about), paths[name])
    return condition


def _predicted(
    model: str | os.PathLike[str], name: str, crops: Crops, harder: Dataset, about: Mapping[str, Any]
) -> Predictions:
    estimator = load_model(model)
    check_crops_only(name, estimator)
    if TICKETS in modalities_of(estimator):
        raise InputError(f"{name}: its start's predictions are of the pictures as they are: leave it out")
    xy, score = memory.predict_in_blocks(estimator, crops.batch)
    return Predictions(
        method=name,
        xy=crops.to_picture(xy),
        score=score,
        names=crops.names,
        instance=crops.instance,
        seconds=np.full(len(crops), np.nan),
        dataset=harder.name,
        fingerprint=harder.fingerprint,
        versions=versions(),
        **about,
    )


def _kept(path: Path, params: Mapping[str, Any], fingerprint: str) -> bool:
    if not path.exists():
        return False
    try:
        found = load_predictions(path)
    except InputError:
        return False
    return found.fingerprint == fingerprint and dict(found.params) == dict(params)
