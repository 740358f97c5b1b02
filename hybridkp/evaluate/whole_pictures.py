"""What finders and methods find in whole pictures, and what methods say in the boxes that are given.

Fitted ones come in, stored answers (:class:`~hybridkp.files.FoundBoxes`) go out; nothing is fitted or judged.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..detection import BoxesGiven, TopDown
from ..files import FoundBoxes, load_found, load_model, save_found
from ..imaging.images import as_uint8
from ..structures import (
    MARGIN,
    Array,
    Dataset,
    Finder,
    InputError,
    Instance,
    PictureDetector,
    Sample,
    modalities_of,
)
from .conditions import model_facts
from .crops import load_modalities, loaders
from .foreign import found_objects
from .judging import name_models
from .processes import Progress, file_name

LEAST = 0.1  #: score from which on a box is stored, for average precision

Cut = tuple[tuple[int, int] | None, float]  #: (h, w) of the crops, and crop side / box side


def is_whole(method: Any) -> bool:
    """Whether a method finds its objects in whole pictures itself."""
    return isinstance(method, PictureDetector)


def any_whole(models: Sequence[str | os.PathLike[str]]) -> bool:
    """Whether one of these model files, or of the models in these folders, finds its objects itself."""
    return any(is_whole(load_model(path)) for path in name_models(models).values())


def ask_pictures(name: str, model: Any, dataset: Dataset, cut: Cut = (None, MARGIN)) -> FoundBoxes:
    """What a fitted finder or method says of every picture.

    A finder gives boxes alone.  A finder with a detector is asked twice, in the boxes that it finds and in
    the given ones; a detector of crops, which finds nothing itself, in the given ones.
    """
    facts: dict[str, Any] = {"data": dataset.name, "fingerprint": dataset.fingerprint}
    if isinstance(model, Finder):
        pairs = [model.find(as_uint8(s.image, s.name), name=s.name) for s in dataset]
        boxes, scores = tuple(boxes for boxes, _ in pairs), tuple(score for _, score in pairs)
        return FoundBoxes(name, tuple(s.name for s in dataset), boxes, scores, **facts)
    if not is_whole(model):
        return replace(_told(name, TopDown(BoxesGiven(), model, *cut), dataset), told=True, **facts)
    found = []
    for sample in dataset:
        image = _seen(sample, model)
        every = model.at_least(LEAST).detect(image, name=sample.name)
        found.append((every, len(model.detect(image, name=sample.name))))
    given = _told(name, model, dataset) if isinstance(model, TopDown) else None
    return replace(_stored(name, dataset, found), given=given, **facts)


def _told(name: str, model: TopDown, dataset: Dataset) -> FoundBoxes:
    """What it says where it is told each object's own box."""
    found = []
    for sample in dataset:
        boxes = np.array([i.box_xywh for i in sample.instances if i.judged]).reshape(-1, 4)
        boxes = boxes[np.isfinite(boxes).all(1)]
        told = TopDown(BoxesGiven({"": boxes}), model.detector, model.size_hw, model.margin)
        every = told.detect(_seen(sample, model.detector)) if len(boxes) else []
        found.append((every, len(every)))
    return _stored(name, dataset, found)


def _seen(sample: Sample, model: Any) -> Any:
    """The picture, or modality -> array where the model sees more."""
    seen = load_modalities(loaders(sample, modalities_of(model)), sample.name)
    return seen if len(seen) > 1 else seen["image"]


def _stored(name: str, dataset: Dataset, found: Sequence[tuple[list[Instance], int]]) -> FoundBoxes:
    """Objects of each picture, and how many of the first are sure, as they are kept."""
    k = len(dataset.landmarks)

    def column(pick: Any, *shape: int) -> tuple[Array, ...]:
        return tuple(np.array([pick(i) for i in every], float).reshape(-1, *shape) for every, _ in found)

    return FoundBoxes(
        name,
        tuple(s.name for s in dataset),
        column(lambda i: i.box_xywh, 4),
        column(lambda i: i.score),
        points=column(lambda i: i.xy, k, 2),
        sure=tuple(n for _, n in found),
    )


def evaluate_pictures(
    models: Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]],
    dataset: Dataset,
    *,
    out: str | os.PathLike[str],
    predictions: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> list[FoundBoxes]:
    """What model files say of whole pictures, and what others found there: ready for one table.

    Parameters
    ----------
    models : as of :func:`.evaluate`; a model without a finder is asked in the given boxes
    out : folder; gets ``found/NAME.json``, from which a second call goes on
    predictions : name -> somebody else's file, as of :func:`.read_foreign`

    Raises
    ------
    InputError
        A model of other landmarks, files that cannot be read, two rows of one name.
    """
    named, rows = name_models(models), []
    if twice := sorted(named.keys() & (predictions or {}).keys()):
        raise InputError(f"two rows are called {twice[0]!r}: give the predictions another name")
    for done, (name, file) in enumerate(named.items()):
        if progress is not None:
            progress(name, done, len(named))
        rows.append(_asked_before(name, Path(file), dataset, Path(out) / "found"))
    return rows + [found_objects(file, dataset, name) for name, file in (predictions or {}).items()]


def _asked_before(name: str, file: Path, dataset: Dataset, folder: Path) -> FoundBoxes:
    path = folder / f"{file_name(name)}.json"
    about = {"model": hashlib.sha256(file.read_bytes()).hexdigest()[:16]}
    if path.exists():
        try:
            kept = load_found(path)
            if kept.fingerprint == dataset.fingerprint and dict(kept.settings) == about:
                return kept
        except InputError:  # damaged
            pass
    facts = model_facts(file, dataset)
    height, width = facts["size_hw"]
    found = ask_pictures(name, load_model(file), dataset, ((height, width), facts["margin"]))
    found = replace(found, settings=about, model_bytes=file.stat().st_size)
    save_found(found, path)
    return load_found(path)
