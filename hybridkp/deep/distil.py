"""A network taught by another detector: the teacher's points, beside the labels, are what it learns.

The teacher is any fitted detector in a model file, a whole chain or a vote; the student is a network of this
room.  No training here.  Shapes that pass: crops (B, H, W[, 3]) uint8 and points (B, K, 2) in crop px.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..detection import TopDown
from ..files import load_model, read_meta
from ..imaging.geometry import apply_affine, invert_affine, resize_matrix, warp
from ..structures import MARGIN, Array, Detector, InputError, Parameters, blocks, supports
from .transfer import digest_of

_BLOCK = 64  # crops that the teacher is asked about at a time
_SAME_MARGIN = 0.01  # crops that differ by less show the same


@dataclass(eq=False, repr=False)
class Teacher(Parameters):
    """A fitted detector in a model file, asked once about every training crop; :func:`teacher` makes it.

    A student's target is the mean of label and teacher, ``1 - weight`` to ``weight``, and the teacher's alone
    where there is no label.  Augmentation then moves that target as it moves a label.  Annotators place a
    point on a smooth edge anywhere along it, a detector that has seen all of them in the same place: what
    it says of its own training crops are labels with less noise (knowledge distillation: Hinton et al. 2015;
    of poses: Zhang et al. 2019).  Departure: points in place of soft maps, so that any detector may teach
    and any head may learn.

    Validation, calibration and whatever follows in a chain see labels alone.

    Parameters
    ----------
    file : the model file; it is read when the student is fitted, and is not part of that one's file
    digest : SHA-256 of the file, so that a changed file is no silent other teacher
    rows : for each landmark of the student its row in the teacher, or -1
    weight : 0..1, of the teacher
    """

    file: str
    digest: str
    rows: Sequence[int] = ()
    weight: float = 0.5

    def taught(self, images: Array, xy: Array) -> Array:
        """What to learn of crops (B, H, W[, 3]) with labels (B, K, 2), NaN = not labelled.

        Raises
        ------
        InputError
            For a file that has changed, and for other landmarks.
        """
        if digest_of(self.file) != self.digest:
            raise InputError(f"{self.file}: has changed since it was given as a teacher: give it again")
        if len(self.rows) != xy.shape[1]:
            raise InputError(f"{self.file}: a teacher of {len(self.rows)} landmarks, not of {xy.shape[1]}")
        found = np.full(xy.shape, np.nan)
        known = np.asarray(self.rows) >= 0
        found[:, known] = _asked(_detector(self.file), images)[:, np.asarray(self.rows)[known]]
        mean = (1 - self.weight) * xy + self.weight * found
        target: Array = np.where(np.isfinite(mean), mean, np.where(np.isfinite(xy), xy, found))
        return target


def teacher(
    file: str | os.PathLike[str],
    landmarks: Sequence[str],
    *,
    weight: float = 0.5,
    margin: float | None = None,
) -> Teacher:
    """The teacher of a network for ``landmarks``, from any model file of a detector.

    Parameters
    ----------
    margin : crop side / box side of the student's crops, where it is known: the teacher must have the same

    Raises
    ------
    InputError
        For a weight out of range, a file of anything but a detector of crops, one that shares no landmark,
        and one whose crops show more or less of the picture.
    """
    if not 0 <= weight <= 1:
        raise InputError(f"a teacher's weight must lie in 0..1, got {weight}")
    _detector(file)
    meta = read_meta(file)
    known = [str(name) for name in meta.get("landmarks", ())]
    rows = tuple(known.index(name) if name in known else -1 for name in landmarks)
    if max(rows, default=-1) < 0:
        raise InputError(f"{file}: shares no landmark with the data, so it cannot teach them")
    theirs = float(meta.get("margin", MARGIN))
    if margin is not None and abs(theirs - margin) > _SAME_MARGIN:
        raise InputError(
            f"{file}: its crops have a margin of {theirs:g}, not {margin:g}: give --margin {theirs:g}"
        )
    return Teacher(str(file), digest_of(file), rows, weight)


def _detector(file: str | os.PathLike[str]) -> Any:
    """The file's detector of crops, that of a finder in front of one too."""
    model: Any = load_model(file)
    model = model.detector if isinstance(model, TopDown) else model
    if not supports(model, Detector):
        raise InputError(
            f"{file}: holds a {type(model).__name__}: a teacher is a fitted detector of landmarks"
        )
    return model


def _asked(model: Any, images: Array) -> Array:
    """(B, K, 2) in px of ``images``, which are resized to the crops that the model knows."""
    own = int(model.size_hw_[0]), int(model.size_hw_[1])
    there = resize_matrix((own[1] / images.shape[2], own[0] / images.shape[1]))
    found = []
    for part in blocks(images, _BLOCK):
        if own != images.shape[1:3]:
            part = np.stack([warp(crop, there, own) for crop in part])
        found.append(apply_affine(invert_affine(there), model.predict(part)))
    return np.concatenate(found)
