"""Training objects shown in the boxes that a finder gives them, and beside them, besides their own.

A detector that saw exact boxes only is worse in found ones.  A data set and a fitted finder come in, the data
set with further instances goes out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..detection.boxes_math import corrected, corrections
from ..imaging.geometry import points_box
from ..imaging.images import as_uint8
from ..metrics import box_overlap
from ..structures import Array, Dataset, Finder, Sample

NEAR = 0.5  #: overlap from which on a found box is an object's
#: deviations of a moved box's centre, in sides, and of its sides' logarithms; chosen on training parts
MOVED = (0.09, 0.09, 0.15, 0.15)
COPIES = 2  #: moved boxes beside each
LOOSE = (0.06, 0.06, 0.1, 0.1)  #: of the same four


def found_too(dataset: Dataset, finder: Finder) -> Dataset:
    """Every object twice where the finder finds it: in its own box, and in the found one.

    Crowds stay as they are.
    """
    return replace(dataset, samples=tuple(_with_found(sample, finder) for sample in dataset))


def moved_too(dataset: Dataset, random_state: int = 0) -> Dataset:
    """Every object again in boxes beside each of its own, at least as far off as a finder's on new pictures.

    The boxes that a finder gives of its own training pictures are better than those that come later.
    Crowds, and objects without points or box, stay as they are.
    """
    rng = np.random.default_rng(random_state)
    samples = []
    for sample in dataset:
        again = [
            replace(i, box_xywh=corrected(i.box_xywh[None], rng.normal(0, MOVED, (1, 4)))[0])
            for _ in range(COPIES)
            for i in sample.instances
            if not i.ignore and np.isfinite(i.xy).any() and np.isfinite(i.box_xywh).all()
        ]
        samples.append(replace(sample, instances=(*sample.instances, *again)))
    return replace(dataset, samples=tuple(samples))


def rebox_of(dataset: Dataset) -> Array | None:
    """(4,) from the box of an object's points to its own: the median of objects that are labelled whole.

    None where there is none, where points have no extent, and where they say less of the object's box than a
    finder does: where the median deviation is above :data:`LOOSE`.
    """
    pairs = [
        (points_box(i.xy), i.box_xywh)
        for sample in dataset
        for i in sample.instances
        if not i.ignore and np.isfinite(i.xy).all() and np.isfinite(i.box_xywh).all()
    ]
    points, boxes = (np.reshape([pair[n] for pair in pairs], (-1, 4)) for n in (0, 1))
    usable = (points[:, 2:] > 1).all(1) & (boxes[:, 2:] > 0).all(1)
    if not usable.any():
        return None
    change = corrections(points[usable], boxes[usable])
    middle = np.median(change, axis=0)
    loose = (np.median(np.abs(change - middle), axis=0) > LOOSE).any()
    return None if loose else np.asarray(middle)


def _with_found(sample: Sample, finder: Finder) -> Sample:
    objects = [i for i in sample.instances if not i.ignore]
    boxes, _ = finder.find(as_uint8(sample.image, sample.name), name=sample.name)
    if not objects or not len(boxes):
        return sample
    overlap = box_overlap([i.box_xywh for i in objects], boxes)
    nearest = overlap.argmax(1)
    again = [
        replace(objects[n], box_xywh=boxes[nearest[n]])
        for n in np.flatnonzero(overlap.max(1) >= NEAR).tolist()
    ]
    return replace(sample, instances=(*sample.instances, *again))
