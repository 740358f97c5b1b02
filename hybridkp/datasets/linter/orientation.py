"""The linter's question to shapes: were left and right exchanged?

An instance whose points fit the mean shape much better after renaming left to right (and right
to left, without mirroring the picture) was probably labelled with the sides exchanged.
"""

from __future__ import annotations

import numpy as np

from ...imaging.geometry import apply_affine, similarity
from ...structures import Array, Dataset

MIN_PAIRS = 2  #: fully labelled mirror pairs that a judgement needs
RATIO = 0.6  #: the exchanged fit must be under this share of the plain one
FLOOR = 0.08  #: of the shape's size; below, the plain fit is good enough to leave alone


def mean_shape(shapes: Array, rounds: int = 4) -> Array:
    """(K, 2) generalised Procrustes mean of (B, K, 2) with NaN (Gower 1975; similarity maps).

    Size 1 (root mean square distance to the centroid), centred on 0; NaN where never labelled.
    """
    complete = np.isfinite(shapes).all(2).sum(1)
    mean = _normalised(shapes[int(complete.argmax())])
    for _ in range(rounds):
        aligned = apply_affine(similarity(shapes, mean[None]), shapes)
        known: Array = np.asarray(np.isfinite(aligned).all(2))
        total = np.where(known[..., None], aligned, 0).sum(0)
        count = known.sum(0)[:, None]
        mean = _normalised(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return mean


def _normalised(shape: Array) -> Array:
    centred = shape - np.nanmean(shape, axis=0)
    size = np.sqrt(np.nanmean((centred**2).sum(1)))
    return centred / max(float(size), 1e-12)


def fit_error(shapes: Array, mean: Array) -> Array:
    """(B,) root mean square distance to ``mean`` after the best similarity, in its size."""
    aligned = apply_affine(similarity(shapes, mean[None]), shapes)
    squared = ((aligned - mean) ** 2).sum(2)
    known = np.isfinite(squared)
    return np.sqrt(np.where(known, squared, 0).sum(1) / np.maximum(known.sum(1), 1))


def swapped_sides(dataset: Dataset) -> list[str]:
    """Names of suspicious instances, worst first; empty when ``flip`` is unknown."""
    if dataset.flip is None:
        return []
    rows = [(s.name, i.xy) for s in dataset for i in s.instances]
    shapes = np.stack([xy for _, xy in rows])
    known = np.isfinite(shapes).all(2)
    sided = dataset.flip != np.arange(len(dataset.flip))
    pairs = (known & known[:, dataset.flip] & sided).sum(1) // 2
    usable = np.flatnonzero((pairs >= MIN_PAIRS) & (known.sum(1) >= 4))
    if len(usable) < 3:
        return []
    shapes = shapes[usable]
    both = np.isfinite(shapes).all(2) & np.isfinite(shapes[:, dataset.flip]).all(2)
    shapes = np.where(both[..., None], shapes, np.nan)  # the same points in either reading
    mean = mean_shape(shapes)
    plain, exchanged = fit_error(shapes, mean), fit_error(shapes[:, dataset.flip], mean)
    ratio = exchanged / np.maximum(plain, 1e-12)
    hit = np.flatnonzero((ratio < RATIO) & (plain > FLOOR))
    return [rows[usable[i]][0] for i in hit[np.argsort(ratio[hit])]]
