"""Trained models, and others' predictions, on data that nobody trained on: stored first, judged afterwards.

The clean part of :func:`.robustness` is what a model file says about a data set; here it becomes the rows
of a report, beside those of files that other programs wrote (:mod:`.foreign`).  Fits nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..files import read_meta
from ..structures import Dataset, InputError, Predictions, ReadyMade, supports
from .conditions import CLEAN, robustness
from .executors import AnyExecutor
from .foreign import read_foreign
from .processes import Progress, file_name
from .ready_made import ask_ready_made
from .stored import stored_models

PathLike = str | os.PathLike[str]


def evaluate(
    models: Sequence[PathLike] | Mapping[str, PathLike],
    dataset: Dataset,
    *,
    out: PathLike,
    predictions: Mapping[str, Any] | None = None,
    split: str = "",
    executor: AnyExecutor | str | None = None,
    progress: Progress | None = None,
) -> list[Predictions]:
    """What each model says about each object of ``dataset``, and what others said, ready for one table.

    Parameters
    ----------
    models : model files of ``bench`` or ``train``, or folders of a bench (every model of seed 0 in them);
        a mapping gives them names of its own
    out : folder; gets ``predictions/``, from which a second call goes on
    predictions : name -> somebody else's predictions as of :func:`.read_foreign`, or a detector that learns
        nothing, such as :class:`~hybridkp.peers.OnnxLandmarks`
    split : the name of the judged part, for the record
    executor : where models predict, instead of here, as of :func:`.bench`

    Returns
    -------
    list of Predictions, the models' first.  On the part that a bench judged they are the bench's own, to
    the bit, but for the clock: nothing is timed here.

    Raises
    ------
    InputError
        Nothing to judge, two rows of one name, a model of other landmarks, files that cannot be read.
    """
    named, others = name_models(models), dict(predictions or {})
    if not named and not others:
        raise InputError("nothing to judge: name a model file, or --predictions NAME=FILE")
    twice = sorted(named.keys() & others.keys())
    if twice:
        raise InputError(f"two rows are called {twice[0]!r}: give the predictions another name")
    found: list[Predictions] = []
    if named:
        tell = None if progress is None else lambda _, done, total: progress("models", done, total)
        folder = Path(out) / "predictions"
        found = robustness(named, dataset, out=folder, kinds=(), executor=executor, progress=tell)[CLEAN]
    for name, theirs in others.items():
        ask = ask_ready_made if supports(theirs, ReadyMade) else read_foreign
        found.append(ask(theirs, dataset, name))
    return [replace(p, split=split) for p in found]


def name_models(models: Sequence[PathLike] | Mapping[str, PathLike]) -> dict[str, PathLike]:
    """Name -> file: each model's own name; files of one name go by their files' names as well."""
    if isinstance(models, Mapping):
        return dict(models)
    paths: list[Path] = []
    for path in map(Path, models):
        paths += stored_models(path).values() if path.is_dir() else [path]
    paths = list(dict.fromkeys(paths))
    names = [str(read_meta(path).get("method") or path.stem) for path in paths]
    count = Counter(names)
    out: dict[str, PathLike] = {}
    for name, path in zip(names, paths, strict=True):
        label = name if count[name] == 1 else f"{name} ({path.stem})"
        label = label if label not in out and file_name(label) else f"{name} ({path})"
        out[label] = path
    return out
