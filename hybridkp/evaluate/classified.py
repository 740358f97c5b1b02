"""Classes of objects, each said by a model that never saw the object's group: fitted, asked, stored.

Batches and labels (B,) come in, :class:`~hybridkp.files.ClassPredictions` go out; no figure is computed and
no method is known by name.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..datasets.splits import group_folds
from ..files import ClassPredictions, load_classes, save_classes
from ..files.lease import work_in
from ..memory.threads import FIT_THREADS, limit_threads
from ..structures import Array, InputError, as_batch
from .bench_landmarks import with_seed
from .processes import Progress, file_name, one_line

EACH_GROUP = 30  #: groups; so many are left out one by one, more in folds
FOLDS = 10


def classify(
    methods: Mapping[str, Any],
    batch: Any,
    labels: ArrayLike,
    groups: ArrayLike,
    names: Sequence[str],
    *,
    out: str | os.PathLike[str] | None = None,
    held_out: ArrayLike | None = None,
    folds: int | None = None,
    classes: Sequence[str] = (),
    data: str = "",
    fingerprint: str = "",
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> list[ClassPredictions]:
    """What every method says of every object when it has not seen the object's group.

    Parameters
    ----------
    methods : expression -> classifier with ``fit(batch, labels, groups=)`` and ``predict(batch)``
    batch : a Batch, a mapping of modalities or bare pictures, B rows
    labels, groups, names : (B,) of str; a group is never on both sides
    out : folder; gets ``classes/NAME.json``, from which a second call goes on
    held_out : (B,) bool: judge these rows by one training on all others, instead of folds
    folds : of groups; None = each group in turn where there are at most 30, ten folds otherwise
    classes : their order in tables; default: all labels, sorted
    data, fingerprint : name and digest of the data, for the record
    seed : every ``random_state`` is set to it
    settings : further facts that must be the same for stored classes to be kept

    Raises
    ------
    InputError
        Rows that do not fit together, fewer than two classes or groups, a held-out group that is in
        training as well, and what a method says of the data.
    """
    batch = as_batch(batch)
    labels, groups = np.asarray(labels).astype(str), np.asarray(groups).astype(str)
    if not len(batch) == len(labels) == len(groups) == len(names):
        raise InputError(
            f"{len(batch)} rows, {len(labels)} labels, {len(groups)} groups, {len(names)} names:"
            " there must be one for each row"
        )
    if len(set(labels.tolist())) < 2:
        raise InputError("there is nothing to tell apart: give labels of two classes at least")
    parts = _parts(groups, held_out, folds)
    if not any(np.isin(labels[test], labels[train]).any() for train, test in parts):
        raise InputError(
            "no judged object is of a class that training has seen, since every class lies in one group: give"
            " labels that several groups have"
        )
    judged = np.sort(np.concatenate([test for _, test in parts]))
    digest = hashlib.sha256("\0".join([fingerprint, *labels, *groups, *map(str, [*names, *judged])]).encode())
    facts = {"seed": seed, "folds": len(parts), **(settings or {})}
    frame = {
        "labels": labels[judged],
        "groups": groups[judged],
        "names": [str(names[i]) for i in judged],
        "classes": tuple(classes) or tuple(sorted(set(labels.tolist()))),
        "data": data,
        "fingerprint": digest.hexdigest()[:16],
        "settings": facts,
    }
    tell = progress or (lambda *_: None)
    if out is None:
        return [_asked(n, m, batch, labels, groups, parts, seed, frame, tell) for n, m in methods.items()]
    found = []
    with work_in(Path(out)):
        for name, method in methods.items():
            path = Path(out) / "classes" / f"{file_name(name)}.json"
            made = _kept(path, frame)
            if made is None:
                made = _asked(name, method, batch, labels, groups, parts, seed, frame, tell)
                path.parent.mkdir(parents=True, exist_ok=True)
                save_classes(made, path)
            found.append(made)
    return found


def _parts(groups: Array, held_out: ArrayLike | None, folds: int | None) -> list[tuple[Array, Array]]:
    n_groups = len(set(groups.tolist()))
    if held_out is not None:
        test = np.asarray(held_out, bool)
        both = sorted(set(groups[test].tolist()) & set(groups[~test].tolist()))
        if both:
            raise InputError(f"the group {both[0]!r} is in training and held out: a split never cuts a group")
        if test.all() or not test.any():
            raise InputError("there must be objects to train on and objects to judge")
        return [(np.flatnonzero(~test), np.flatnonzero(test))]
    if n_groups < 2:
        raise InputError(
            "all objects are of one group: nothing can be held out; --group-by finds groups in the names"
        )
    if folds is None:
        folds = n_groups if n_groups <= EACH_GROUP else FOLDS
    return group_folds(groups, folds)


def _asked(
    name: str,
    method: Any,
    batch: Any,
    labels: Array,
    groups: Array,
    parts: Sequence[tuple[Array, Array]],
    seed: int,
    frame: Mapping[str, Any],
    tell: Progress,
) -> ClassPredictions:
    """One method, trained once a fold."""
    said: Array = np.empty(len(labels), object)
    start = time.perf_counter()
    with limit_threads(FIT_THREADS):
        for done, (train, test) in enumerate(parts):
            tell(name, done, len(parts))
            try:
                model = with_seed(method, seed).fit(batch[train], labels[train], groups=groups[train])
                said[test] = model.predict(batch[test])
            except (ValueError, FloatingPointError) as error:
                raise InputError(f"{name}: {one_line(error)}") from None
    tell(name, len(parts), len(parts))
    judged = np.sort(np.concatenate([test for _, test in parts]))
    seconds = round(time.perf_counter() - start, 3)
    return ClassPredictions(name, predicted=tuple(said[judged]), fit_seconds=seconds, **frame)


def _kept(path: Path, frame: Mapping[str, Any]) -> ClassPredictions | None:
    """Stored classes of the same objects and settings; None where there are none."""
    try:
        found = load_classes(path)
    except InputError:
        return None
    same = found.fingerprint == frame["fingerprint"] and dict(found.settings) == dict(frame["settings"])
    return found if same and found.classes == tuple(frame["classes"]) else None
