"""Classifiers of tracks put to use: compared, trained to a file, and asked for the actions of a film.

Tracks come in as :class:`~hybridkp.datasets.Tracks`; no method is known by name.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..actions import track_batch
from ..datasets import Tracks
from ..files import ClassPredictions, atomic_path, load_model, read_meta, save_model
from ..memory.threads import FIT_THREADS, limit_threads
from ..structures import InputError
from .bench_landmarks import with_seed
from .classified import classify
from .processes import Progress


def classify_tracks(
    methods: Mapping[str, Any],
    train: Tracks,
    val: Tracks | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    folds: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[ClassPredictions]:
    """What every method says of the tracks of ``val``, or of those of ``train`` by folds of groups.

    Parameters
    ----------
    methods : expression -> classifier of a batch with the modality ``track``
    out, folds, seed, progress : as of :func:`.classify`

    Raises
    ------
    InputError
        Tracks without labels, other landmarks in ``val``, an action in ``val`` that ``train`` lacks.
    """
    both = [train] if val is None else [train, val]
    for part in both:
        _labelled(part)
        _same_landmarks(part, train.landmarks, "val")
    strange = sorted({*both[-1].labels} - {*train.labels})
    if strange:
        raise InputError(f"no track to learn from shows {strange[0]!r}, which is among those to judge")
    column = {
        name: [v for part in both for v in getattr(part, name)] for name in ("tracks", "labels", "names")
    }
    groups = [f"{side}{group}" for side, part in enumerate(both) for group in part.groups]
    digest = hashlib.sha256()
    for track in column["tracks"]:
        digest.update(np.nan_to_num(track, nan=-1.0).astype(np.float32).tobytes())
    return classify(
        methods,
        track_batch(column["tracks"]),
        column["labels"],
        groups,
        column["names"],
        out=out,
        held_out=None if val is None else np.repeat([False, True], [len(train), len(val)]),
        folds=folds,
        data="tracks",
        fingerprint=digest.hexdigest(),
        seed=seed,
        progress=progress,
    )


def train_actions(
    estimator: Any, tracks: Tracks, path: str | os.PathLike[str], *, name: str = "", seed: int = 0
) -> Any:
    """Fit a classifier on labelled tracks and save it; returns the fitted clone."""
    _labelled(tracks)
    with limit_threads(FIT_THREADS):
        model = with_seed(estimator, seed).fit(
            track_batch(tracks.tracks), np.array(tracks.labels), groups=np.array(tracks.groups)
        )
    save_model(model, path, {"landmarks": list(tracks.landmarks), "method": name, "task": "actions"})
    return model


def predict_actions(
    model: str | os.PathLike[str],
    tracks: Tracks,
    out: str | os.PathLike[str] | None = None,
    *,
    window: int | None = None,
) -> list[dict[str, Any]]:
    """The action of each track, or of each of its pieces.

    Parameters
    ----------
    model : a file of :func:`train_actions`
    out : CSV file
    window : frames of a piece; pieces overlap by half.  None: each track as a whole

    Returns
    -------
    one dict a row: ``track``, ``first`` and ``last`` frame, ``action`` and its ``probability``; the action is
    empty where fewer than two points were ever seen.

    Raises
    ------
    InputError
        For a file that is none of actions, and for tracks of other landmarks.
    """
    meta, loaded = read_meta(model), load_model(model)
    if meta.get("task") != "actions":
        raise InputError(f"{model}: is no classifier of tracks; `hybridkp actions train` makes one")
    _same_landmarks(tracks, tuple(meta["landmarks"]), str(model))
    pieces = tracks.windows(window) if window else tracks
    probability, there = loaded.said(track_batch(pieces.tracks))
    rows = []
    begin = pieces.first or (0,) * len(pieces)
    for i, (name, first, piece) in enumerate(zip(pieces.names, begin, pieces.tracks, strict=True)):
        best = int(probability[i].argmax())
        row = {"track": name, "first": first, "last": first + len(piece) - 1}
        row |= {"action": str(loaded.classes_[best]) if there[i] else ""}
        rows.append({**row, "probability": round(float(probability[i, best]), 4) if there[i] else ""})
    if out is not None:
        with atomic_path(out) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return rows


def _labelled(tracks: Tracks) -> None:
    missing = [name for name, label in zip(tracks.names, tracks.labels, strict=True) if not label]
    if missing:
        raise InputError(
            f"{missing[0]}: has no action; an .npz names it in 'action', a folder by the subfolder's name"
        )


def _same_landmarks(tracks: Tracks, landmarks: tuple[str, ...], of: str) -> None:
    if tracks.landmarks != landmarks:
        odd = next((name for name in tracks.landmarks if name not in landmarks), "their order")
        raise InputError(f"the landmarks of the tracks are not those of {of}: {odd!r} differs")
