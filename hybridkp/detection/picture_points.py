"""What methods of whole pictures ask of the data before they learn.  NumPy only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ..imaging.geometry import points_box
from ..landmarks.shape import PointDistribution
from ..structures import Array, InputError, Sample


def learned_from(samples: Iterable[Sample]) -> tuple[list[Sample], Array]:
    """The samples, every object with a box, and the shapes (N, K, 2) of those that have points.

    An object without a box gets that of its points.
    """
    out, shapes = [], []
    for sample in samples:
        instances = []
        for each in sample.instances:
            seen = np.isfinite(each.xy).any()
            if seen and not np.isfinite(each.box_xywh).all():
                box = points_box(each.xy)
                each = replace(each, box_xywh=np.append(box[:2], np.maximum(box[2:], 1.0)))
            if seen and not each.ignore:
                shapes.append(each.xy)
            instances.append(each)
        out.append(replace(sample, instances=tuple(instances)))
    if not shapes:
        raise InputError(
            "a method of whole pictures learns from points, and no object has one: annotate keypoints"
        )
    return out, np.stack(shapes)


def mean_shape(shapes: Array) -> Array:
    """(K, 2) the Procrustes mean of shapes (N, K, 2)."""
    lacking = np.isnan(shapes[..., 0]).all(0)
    if lacking.any():
        raise InputError(f"landmark {int(lacking.argmax())} is labelled nowhere: label it, or leave it out")
    return np.asarray(PointDistribution().fit(shapes).mean_)
