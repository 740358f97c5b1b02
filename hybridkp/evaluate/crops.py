"""From a data set to one batch of crops that every method shares, and back to the pictures.

One affine map per object takes its box to the crop; its inverse takes answers back.  Which
objects are used, and what happens to bad boxes, is decided here, once, for training and
evaluation alike.  No learning, no metric, no clock.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike

from ..imaging.geometry import apply_affine, crop_matrix, invert_affine, warp
from ..imaging.images import as_uint8
from ..structures import Array, Dataset, DataWarning, InputError, Instance, Sample, short_repr


@dataclass(frozen=True, eq=False)
class Crops:
    """Objects of a data set, cut out; row b is object ``instance[b]`` of the picture ``names[b]``.

    ``images`` (B, H, W, 3) uint8 BGR; ``xy`` (B, K, 2) in crop px, NaN = not labelled;
    ``matrix`` (B, 2, 3) from picture to crop; ``groups`` (B,) of str; ``sample`` and
    ``instance`` (B,) int index the data set; ``flip`` (K,) or None.
    """

    images: Array
    xy: Array
    matrix: Array
    groups: Array
    names: tuple[str, ...]
    sample: Array
    instance: Array
    flip: Array | None = None
    size_hw: tuple[int, int] = (128, 128)
    margin: float = 1.25

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.images)

    def to_picture(self, xy: ArrayLike) -> Array:
        """Points (B, K, 2) in crop px -> picture px, float64."""
        return apply_affine(invert_affine(self.matrix), xy)


def make_crops(
    dataset: Dataset,
    size_hw: tuple[int, int] = (128, 128),
    margin: float = 1.25,
    n_jobs: int = 1,
) -> Crops:
    """Every object of ``dataset`` as a crop of one size.

    Rules, each with a :class:`DataWarning` that counts the cases:

    * an object without any labelled landmark, and a crowd region (``ignore``), is left out;
    * an object whose box lies wholly outside its picture is left out;
    * a missing box, or one without area, becomes the whole picture.

    A box that reaches out of the picture is fine: beyond it the border pixel repeats.

    Raises
    ------
    InputError
        For unreadable pictures, and when nothing is left.
    """
    size_hw = (int(size_hw[0]), int(size_hw[1]))
    if min(size_hw) < 8 or not margin > 0:
        raise InputError(
            f"crops of {size_hw[0]} x {size_hw[1]} px with margin {margin}: need 8 px and margin > 0"
        )
    found = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(_sample_crops)(s, size_hw, margin) for s in dataset.samples
    )
    rows = [(i, j, crop, matrix) for i, sample in enumerate(found) for j, crop, matrix in sample[0]]
    _warn(dataset.name, np.array([sample[1] for sample in found]).reshape(-1, 3).sum(0))
    if not rows:
        raise InputError(
            f"{dataset.name}: no object with a labelled landmark: nothing to train or evaluate on"
        )
    samples = [dataset.samples[i] for i, *_ in rows]
    matrix = np.stack([m for *_, m in rows])
    xy = np.stack([s.instances[j].xy for s, (_, j, *_) in zip(samples, rows, strict=True)])
    if xy.shape[1] != len(dataset.landmarks):
        raise InputError(
            f"{dataset.name}: {xy.shape[1]} points per object, {len(dataset.landmarks)} landmark names"
        )
    return Crops(
        images=np.stack([crop for _, _, crop, _ in rows]),
        xy=apply_affine(matrix, xy),
        matrix=matrix,
        groups=np.array([s.group for s in samples]),
        names=tuple(s.name for s in samples),
        sample=np.array([i for i, *_ in rows]),
        instance=np.array([j for _, j, *_ in rows]),
        flip=dataset.flip,
        size_hw=size_hw,
        margin=float(margin),
    )


def cut(image: Array, matrix: ArrayLike, size_hw: tuple[int, int]) -> Array:
    """One crop (H, W, 3) uint8 BGR of a picture (h, w) or (h, w, 3)."""
    crop = warp(image, matrix, size_hw)
    return crop if crop.ndim == 3 else cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR)


def usable_box(instance: Instance, image_hw: tuple[int, int]) -> tuple[Array | None, bool]:
    """(box or None when wholly outside, whether the whole picture stands in for a missing box)."""
    h, w = image_hw
    box = instance.box_xywh
    if not (np.isfinite(box).all() and box[2] > 0 and box[3] > 0):
        return np.array([0.0, 0.0, w, h]), True
    outside = box[0] >= w or box[1] >= h or box[0] + box[2] <= 0 or box[1] + box[3] <= 0
    return (None if outside else box), False


def _sample_crops(
    sample: Sample, size_hw: tuple[int, int], margin: float
) -> tuple[list[tuple[int, Array, Array]], tuple[int, int, int]]:
    """[(instance, crop, matrix)] and the counts (unlabelled, outside, without box)."""
    rows: list[tuple[int, Array, Array]] = []
    unlabelled = outside = boxless = 0
    image: Any = None
    for j, instance in enumerate(sample.instances):
        if instance.ignore or not np.isfinite(instance.xy).all(axis=1).any():
            unlabelled += 1
            continue
        if image is None:
            image = as_uint8(sample.image, sample.name)
        box, whole = usable_box(instance, image.shape[:2])
        boxless += whole
        if box is None:
            outside += 1
            continue
        matrix = crop_matrix(box, size_hw, margin)
        rows.append((j, cut(image, matrix, size_hw), matrix))
    return rows, (unlabelled, outside, boxless)


def _warn(name: str, counts: Array) -> None:
    texts = (
        "{} objects without labelled landmarks (or crowds) are left out",
        "{} objects whose box lies outside the picture are left out",
        "{} objects have no box with area: the whole picture is taken",
    )
    found = [text.format(n) for text, n in zip(texts, counts.tolist(), strict=True) if n]
    if found:
        warnings.warn(f"{name}: {'; '.join(found)}", DataWarning, stacklevel=3)
