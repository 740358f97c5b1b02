"""From a data set to one batch of crops that every method shares, and back to the pictures.

One affine map per object takes its box to the crop; its inverse takes predictions back.  Which
objects are used, and what happens to bad boxes, is decided here, once, for training and
evaluation alike.  No learning, no metric, no clock.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike

from ..datasets.linter import check_size, other_size
from ..files.lease import scratch_folder
from ..imaging.crops import cut_modalities, move_modality, to_picture, usable_box
from ..imaging.geometry import apply_affine, crop_matrix
from ..imaging.images import as_uint8
from ..memory.sources import fingerprint
from ..structures import (
    MARGIN,
    TICKETS,
    Array,
    Batch,
    Dataset,
    DataWarning,
    InputError,
    Sample,
    checked_crops,
    modality,
    stack_rows,
    ticket,
)
from .crop_files import Stored, crops_folder, store_crops, too_large

#: what decides the crops
SOURCE = ("hybridkp.evaluate.crops", "hybridkp.datasets.load")


@dataclass(frozen=True, eq=False)
class Crops:
    """Objects of a data set, cut out; row b is object ``instance[b]`` of the picture ``names[b]``.

    ``images`` (B, H, W, 3) uint8 BGR; ``xy`` (B, K, 2) in crop px, NaN = not labelled;
    ``matrix`` (B, 2, 3) from picture to crop; ``boxes`` (B, 4) that were cut; ``groups`` (B,) of str;
    ``sample`` and ``instance`` (B,) int index the data set; ``flip`` (K,) or None; ``further`` has the
    other modalities, (B, ...) each (see :data:`~hybridkp.structures.MODALITIES`).  What lies on disk is a
    :class:`~hybridkp.structures.Stream` each.
    """

    images: Array
    xy: Array
    matrix: Array
    boxes: Array
    groups: Array
    names: tuple[str, ...]
    sample: Array
    instance: Array
    flip: Array | None = None
    size_hw: tuple[int, int] = (128, 128)
    margin: float = MARGIN
    further: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.size_hw))
        seen = " and ".join(["image", *self.further])
        return (
            f"Crops({len(self)} of {size} px, {self.xy.shape[1]} landmarks, margin {self.margin:g}, {seen})"
        )

    @property
    def batch(self) -> Any:
        """What detectors are given: ``images`` alone, or a Batch where there are further modalities."""
        return Batch({"image": self.images, **self.further}) if self.further else self.images

    def to_picture(self, xy: ArrayLike) -> Array:
        """Points (B, K, 2) in crop px -> picture px, float64."""
        return to_picture(self.matrix, xy)


def make_crops(
    dataset: Dataset,
    size_hw: tuple[int, int] = (128, 128),
    margin: float = MARGIN,
    n_jobs: int = 1,
    modalities: Sequence[str] = ("image",),
    anyway: bool = False,
    folder: str | os.PathLike[str] | None = None,
) -> Crops:
    """Every object of ``dataset`` as a crop of one size.

    Rules, each with a :class:`DataWarning` that counts the cases:

    * an object without any labelled landmark, and a crowd region (``ignore``), is left out;
    * an object whose box lies wholly outside its picture is left out;
    * a missing box, or one without area, becomes the whole picture.

    With ``anyway``, two things that are errors otherwise are such cases, too: a picture of another size
    than its annotation says is cut as it is, and the objects of one that cannot be read are left out.

    A box that reaches out of the picture is fine: beyond it the border pixel repeats.  Further
    ``modalities`` that have the picture's size are cut by the same map, in their own dtype; others pass
    as they are (:data:`~hybridkp.structures.MODALITIES`).

    In a ``folder``, crops that need more than the budget (:mod:`hybridkp.memory.budget`) are cut into files
    of a folder ``crops-...`` in it, and are read from there when they are wanted: by a second call too, with
    the same data and settings, which also goes on where a first one was stopped.

    Raises
    ------
    InputError
        For unreadable pictures, pictures of another size than their annotation says (scaled down, turned,
        or another picture of the same name), a modality that a sample lacks or that is not as
        :func:`load_modalities` wants it, and when nothing is left.
    """
    size_hw = checked_crops(size_hw, margin)
    cut = partial(_sample_crops, size_hw=size_hw, margin=margin, modalities=modalities, anyway=anyway)
    if folder is not None and too_large(dataset, size_hw):
        facts = size_hw, float(margin), anyway, fingerprint(SOURCE)
        large = [name for name in modalities if modality(name).plain]
        own = crops_folder(Path(folder), dataset, large, *facts)
        if own is not None:
            stored = store_crops(own, dataset, partial(cut, modalities=large), n_jobs)
            small = [name for name in modalities if name not in large]
            return _from_disk(stored, dataset, size_hw, margin, small)
    found = Parallel(n_jobs=n_jobs, prefer="threads")(delayed(cut)(s) for s in dataset.samples)
    rows = [(i, *row) for i, sample in enumerate(found) for row in sample[0]]
    _warn(dataset.name, np.array([sample[1] for sample in found]).reshape(-1, 5).sum(0))
    if not rows:
        raise InputError(
            f"{dataset.name}: no object with a labelled landmark: nothing to train or evaluate on"
        )
    at, instance, cuts, matrices, boxes = zip(*rows, strict=True)
    arrays = {name: stack_rows(name, [crop[name] for crop in cuts]) for name in cuts[0]}
    where = np.array(at), np.array(instance), np.stack(matrices), np.stack(boxes)
    return _crops(dataset, arrays, where, size_hw, margin)


@contextmanager
def passing_crops(
    dataset: Dataset,
    size_hw: tuple[int, int],
    margin: float,
    modalities: Sequence[str],
    anyway: bool,
    cache: Path,
) -> Iterator[Crops]:
    """:func:`make_crops` for the body; what does not fit into memory lies in ``cache`` until it ends."""
    with ExitStack() as stack:
        folder = None
        if too_large(dataset, size_hw):
            folder = stack.enter_context(scratch_folder(cache, "crops"))
        yield make_crops(dataset, size_hw, margin, 1, modalities, anyway, folder)


def _from_disk(
    stored: Stored, dataset: Dataset, size_hw: tuple[int, int], margin: float, small: Sequence[str]
) -> Crops:
    """Crops of files, and with them the ``small`` modalities, which are read once more."""
    _warn(dataset.name, np.array(stored.counts))
    rows = stored.records
    if not len(rows):
        raise InputError(
            f"{dataset.name}: no object with a labelled landmark: nothing to train or evaluate on"
        )
    where = rows["sample"], rows["instance"], rows["matrix"], rows["box"]
    seen: dict[str, Any] = dict(stored.seen)
    for name in small:
        loads = [_loads(dataset.samples[i], [name])[name] for i in rows["sample"]]
        moved = (
            move_modality(name, load(), m, size_hw) for load, m in zip(loads, rows["matrix"], strict=True)
        )
        seen[name] = stack_rows(name, list(moved))
    return _crops(dataset, seen, where, size_hw, margin)


def _crops(
    dataset: Dataset,
    seen: dict[str, Any],
    where: tuple[Array, Array, Array, Array],
    size_hw: tuple[int, int],
    margin: float,
) -> Crops:
    """From crops by modality, and (B,) samples, (B,) instances, (B, 2, 3) maps and (B, 4) boxes."""
    at, instance, matrix, boxes = where
    samples = [dataset.samples[i] for i in at]
    xy = np.stack([s.instances[j].xy for s, j in zip(samples, instance, strict=True)])
    if xy.shape[1] != len(dataset.landmarks):
        raise InputError(
            f"{dataset.name}: {xy.shape[1]} points per object, {len(dataset.landmarks)} landmark names"
        )
    return Crops(
        images=seen.pop("image"),
        xy=apply_affine(matrix, xy),
        matrix=matrix,
        boxes=boxes,
        groups=np.array([s.group for s in samples]),
        names=tuple(s.name for s in samples),
        sample=at,
        instance=instance,
        flip=dataset.flip,
        size_hw=size_hw,
        margin=float(margin),
        further=seen,
    )


def loaders(sample: Sample, modalities: Sequence[str]) -> dict[str, Callable[[], Any]]:
    """Modality -> function that gives it; :class:`InputError` for one that the sample lacks."""
    return _loads(sample, ["image", *(name for name in modalities if name != TICKETS)])


def _loads(sample: Sample, modalities: Sequence[str]) -> dict[str, Callable[[], Any]]:
    known = {"image": sample.load, **sample.modalities}
    missing = [name for name in modalities if name not in known]
    if missing:
        there = ", ".join(known)
        raise InputError(
            f"{sample.name}: has no {missing[0]!r}, only {there}: add it to the data, or leave"
            " the methods out that want it"
        )
    return {name: known[name] for name in modalities}


def load_modalities(loads: Mapping[str, Callable[[], Any]], name: str = "picture") -> dict[str, Any]:
    """Modality -> what it is of one sample, the picture as uint8.

    :class:`InputError` where one that is spatial has not the picture's size, and for sound or depth with
    NaN or infinite values.
    """
    image = as_uint8(loads["image"](), name)
    out: dict[str, Any] = {"image": image}
    for what, load in loads.items():
        if what == "image":
            continue
        kind, value = modality(what), load()
        out[what] = value = np.asarray(value) if kind.plain else value
        if kind.spatial and value.shape[:2] != image.shape[:2]:
            sizes = f"{value.shape[:2]}, its picture {image.shape[:2]}"
            raise InputError(f"{name}: {what} has the size {sizes}: both need one")
        if kind.plain and value.dtype.kind == "f" and not np.isfinite(value).all():
            raise InputError(f"{name}: {what} has NaN or infinite values; write 0 where nothing is known")
    return out


def _sample_crops(
    sample: Sample, size_hw: tuple[int, int], margin: float, modalities: Sequence[str], anyway: bool
) -> tuple[list[tuple[int, dict[str, Array], Array, Array]], tuple[int, ...]]:
    """[(instance, modality -> crop, matrix, box)] and the counts of :func:`_warn`."""
    rows: list[tuple[int, dict[str, Array], Array, Array]] = []
    unlabelled = outside = boxless = unread = 0
    other = False
    picture: Any = None
    for j, instance in enumerate(sample.instances):
        if not instance.judged:
            unlabelled += 1
            continue
        if picture is None:
            try:
                picture = load_modalities(loaders(sample, modalities), sample.name)
            except InputError:
                if not anyway:
                    raise
                unread = len(sample.instances) - j
                break
            sizes = sample.size_hw, picture["image"].shape[:2]
            other = bool(other_size(*sizes))
            if not anyway:
                check_size(sample.name, *sizes)
        box, whole = usable_box(instance.box_xywh, picture["image"].shape[:2])
        boxless += whole
        if box is None:
            outside += 1
            continue
        matrix = crop_matrix(box, size_hw, margin)
        crops = cut_modalities(picture, matrix, size_hw)
        if TICKETS in modalities:
            crops[TICKETS] = ticket(sample.name, sample.image_id, j, matrix, crops["image"])
        rows.append((j, crops, matrix, box))
    return rows, (unlabelled, outside, boxless, unread, bool(other))


def _warn(name: str, counts: Array) -> None:
    texts = (
        "{} objects without labelled landmarks (or crowds) are left out",
        "{} objects whose box lies outside the picture are left out",
        "{} objects have no box with area: the whole picture is taken",
        "{} objects in pictures that cannot be read are left out",
        "{} pictures of another size than their annotation says are taken as they are",
    )
    found = [text.format(n) for text, n in zip(texts, counts.tolist(), strict=True) if n]
    if found:
        warnings.warn(f"{name}: {'; '.join(found)}", DataWarning, stacklevel=3)
