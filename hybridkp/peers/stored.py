"""Another's stored predictions as a detector: looked up by the picture and the object that a crop shows.

A file goes in: COCO results, COCO annotations, or predictions that this library stored.  Points come out in
px of the crop.  Nothing is learned; a picture that the file does not have has no points.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.text import read_any_json
from ..files import load_predictions
from ..imaging.geometry import apply_affine
from ..imaging.images import check_crops
from ..structures import TICKETS, Array, Batch, InputError, name_number, pixel_sum, read_tickets
from .scheme import PeerMixin, as_table

SIDE = 256


@dataclass(eq=False, repr=False)
class StoredPoints(PeerMixin):
    """Predictions that another program made beforehand, for exactly the pictures of a comparison.

    Parameters
    ----------
    file : ``.json``, COCO results (``image_id`` or ``file_name``, ``keypoints``, ``score``) or annotations;
        or ``.safetensors`` of a bench of ours
    take : for each landmark the number of the file's point that it is; default the first K; behind ``linear``
        all are used

    Attributes
    ----------
    names_ : (P,) uint64 and ids_ (P,) int64 of the pictures; instance_ : (P,), -1 = not said
    xy_ : (P, M, 2) px of the picture; confidence_ : (P, M)

    Notes
    -----
    A program does not say which annotated object it means: of those in the picture the one counts whose
    points' middle lies nearest to the middle of the crop and inside it.  Predictions of ours say it.  No
    truth is looked at.  The crops must come with a ticket each (``modalities`` with "object"), as a bench and
    a search give them; a crop whose pixels have changed, such as its mirror image, is refused.  The file is
    read by ``fit``: a model file holds what was read and opens none.
    """

    file: str = ""
    take: tuple[int, ...] | None = None

    def ready(self, images: Any) -> StoredPoints:
        """Read the file."""
        crops = check_crops(images)
        self.size_hw_ = (int(crops.shape[1]), int(crops.shape[2]))
        read: Callable[[Path], tuple[Any, ...]] = _own if self.file.endswith(".safetensors") else _coco
        self.names_, self.ids_, self.instance_, self.xy_, self.confidence_ = read(Path(self._path()))
        return self

    def points(self, images: Any) -> tuple[Array, Array]:
        """(B, M, 2) float32 crop px, NaN = gave none, and (B, M)."""
        if not isinstance(images, Batch) or TICKETS not in images.modalities:
            raise InputError(
                "predictions: are looked up by picture, and these crops do not say theirs: `hybridkp bench`"
                " and `tune` do; for new pictures ask the program itself, program[command=...]"
            )
        crops = check_crops(images, self.size_hw_)
        tickets = read_tickets(np.asarray(images[TICKETS]))
        xy = np.full((len(crops), *self.xy_.shape[1:]), np.nan, np.float32)
        confidence = np.zeros(xy.shape[:2], np.float32)
        for row, (crop, its) in enumerate(zip(crops, tickets, strict=True)):
            if pixel_sum(crop) != its["pixels"]:
                raise InputError(
                    "predictions: a crop is not the one that its predictions are for (mirrored, or made"
                    " harder): ask the program itself, program[command=...]"
                )
            found = self._of(its)
            if found is not None:
                xy[row], confidence[row] = (
                    apply_affine(its["matrix"], self.xy_[found]),
                    self.confidence_[found],
                )
        return xy, confidence

    def seen_modalities(self) -> tuple[str, ...]:
        return "image", TICKETS

    def input_hw(self) -> tuple[int, int]:
        return SIDE, SIDE

    def content(self) -> str:
        """16 hex digits of the file."""
        return hashlib.sha256(Path(self._path()).read_bytes()).hexdigest()[:16]

    def _path(self) -> str:
        if not self.file:
            raise InputError('predictions: give the file: predictions[file="theirs.json"]')
        if not Path(self.file).is_file():
            raise InputError(f"{self.file}: no such file of predictions")
        return self.file

    def _of(self, its: Any) -> int | None:
        """The row of an object, None where the file has none."""
        same = (self.names_ == its["name"]) | ((self.ids_ == its["image_id"]) & (its["image_id"] >= 0))
        rows = np.flatnonzero(same & ((self.instance_ < 0) | (self.instance_ == its["instance"])))
        if not len(rows):
            return None
        if self.instance_[rows[0]] >= 0:
            return int(rows[0])
        middle = np.nanmedian(apply_affine(its["matrix"], self.xy_[rows]), axis=1)
        half = np.array(self.size_hw_[::-1]) / 2
        away = np.abs(middle - (half - 0.5))
        inside = np.flatnonzero((away <= half).all(axis=1))
        return int(rows[inside[np.hypot(*away[inside].T).argmin()]]) if len(inside) else None


def _own(path: Path) -> tuple[Array, ...]:
    kept = load_predictions(path)
    names = np.array([name_number(name) for name in kept.names], np.uint64)
    ids = np.full(len(names), -1, np.int64)
    return names, ids, np.asarray(kept.instance, np.int64), kept.xy.astype(float), kept.score


def _coco(path: Path) -> tuple[Array, ...]:
    document = read_any_json(path)
    files: dict[Any, str] = {}
    if isinstance(document, dict):
        images = document.get("images")
        images = [i for i in images if isinstance(i, dict)] if isinstance(images, list) else []
        files = {str(i.get("id")): str(i.get("file_name")) for i in images}
        document = document.get("annotations")
    if not isinstance(document, list) or not all(isinstance(one, dict) for one in document):
        raise InputError(f"{path}: no COCO results: a list of {{image_id, keypoints, score}}")
    names, ids, answers = [], [], []
    for one in document:
        values, of = one.get("keypoints"), one.get("image_id", -1)
        if not isinstance(values, list) or not values or len(values) % 3:
            raise InputError(f"{path}: an object of picture {str(of)[:40]} has no keypoints x, y, score, ...")
        table = [values[i : i + 3] for i in range(0, len(values), 3)]
        answers.append([None if p[:2] == [0, 0] else p for p in table])
        name = one.get("file_name", files.get(str(of)))
        names.append(0 if name is None else name_number(str(name)))
        ids.append(of if isinstance(of, int) and name is None and abs(of) < 2**62 else -1)
    if not answers:
        raise InputError(f"{path}: holds no object")
    xy, confidence = as_table(answers, str(path))
    there = np.isfinite(xy).all(axis=2).max(axis=1, initial=False)
    at = np.array(names, np.uint64), np.array(ids, np.int64), np.full(len(names), -1, np.int64)
    return (*(a[there] for a in at), xy.astype(float)[there], confidence[there])
