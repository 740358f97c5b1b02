"""Training objects shown in the boxes that a finder gives them, besides their own.

A detector that saw exact boxes only is worse in found ones.  A data set and a fitted finder come in, the data
set with further instances goes out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..imaging.images import as_uint8
from ..metrics import box_overlap
from ..structures import Dataset, Finder, Sample

NEAR = 0.5  #: overlap from which on a found box is an object's


def found_too(dataset: Dataset, finder: Finder) -> Dataset:
    """Every object twice where the finder finds it: in its own box, and in the found one.

    Crowds stay as they are.
    """
    return replace(dataset, samples=tuple(_with_found(sample, finder) for sample in dataset))


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
