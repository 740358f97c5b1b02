"""Places to look at and their descriptor rows, for all landmarks of a picture in one call.

Candidates lie on one lattice per frame, shared by all landmarks, so that each place is described
once however many windows hold it.  No classifier here.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
from sklearn.base import clone

from ..descriptors import HOG
from ..imaging.pyramid import gaussian_pyramid
from ..structures import Array, Descriptor, Keypoints, LearnedDescriptor, supports
from .response import snapped
from .search import hog_rows, rows_at


def fitted_descriptor(descriptor: Any, images: Array, xy: Array, groups: Array, flip: Any) -> Any:
    """A clone; descriptors that learn (networks), also inside a concatenation, are fitted first."""
    descriptor = clone(descriptor)
    if supports(descriptor, LearnedDescriptor):
        return descriptor.fit(images, xy, groups=groups, flip=flip)
    params = descriptor.get_params(deep=False)
    if "parts" in params:
        parts = [(name, fitted_descriptor(part, images, xy, groups, flip)) for name, part in params["parts"]]
        descriptor.set_params(parts=parts)
    elif "descriptor" in params:
        descriptor.set_params(descriptor=fitted_descriptor(params["descriptor"], images, xy, groups, flip))
    return descriptor


def is_dense_hog(descriptor: Any) -> TypeGuard[HOG]:
    """Whether rows are plain readings of orientation maps of the frame itself."""
    return type(descriptor) is HOG and descriptor.backend == "dense" and descriptor.level == 0


def hog_layout(descriptor: Any) -> dict[str, Any]:
    """What the runtime needs to know of a dense HOG."""
    return {name: getattr(descriptor, name) for name in ("cells", "cell_px", "n_orientations", "signed")}


def describe_places(descriptor: Descriptor, frame: Array, places: Array, n_levels: int) -> Array:
    """Rows (..., D) float32 of frame places (..., 2), equal places described once."""
    if is_dense_hog(descriptor):  # the very maps that dense responses are computed from
        return hog_rows(frame, places, **hog_layout(descriptor))
    pyramid = gaussian_pyramid(frame, n_levels)
    return rows_at(places, lambda xy: descriptor.describe(pyramid, Keypoints(xy)))


def training_places(
    points: Array,
    truth: Array,
    radius: int,
    step: int,
    n_negatives: int,
    near: float,
    rng: np.random.Generator,
) -> tuple[Array, Array, Array]:
    """What an expert learns from: the truth, and random places of the window around the estimate.

    Parameters
    ----------
    points, truth : (N, K, 2) in frame px
    near : float, px; places closer to the truth are neither right nor wrong

    Returns
    -------
    places : (N, K, 1 + n_negatives, 2); the truth first, rounded to whole px (error <= 0.5 px)
    label, use : (N, K, 1 + n_negatives) bool
    """
    n, k, _ = points.shape
    seen = np.all(np.isfinite(truth), axis=-1)
    right = np.rint(np.where(seen[..., None], truth, points))
    shift = rng.integers(-radius, radius + 1, (n, k, n_negatives, 2)) * step
    wrong = snapped(points, step)[:, :, None] + shift
    far = np.linalg.norm(wrong - right[:, :, None], axis=-1) > near
    label = np.zeros((n, k, 1 + n_negatives), bool)
    label[:, :, 0] = True
    use = np.concatenate([np.ones((n, k, 1), bool), far], axis=2) & seen[:, :, None]
    return np.concatenate([right[:, :, None], wrong], axis=2), label, use


def hardest(scores: Array, places: Array, truth: Array, near: float, n: int) -> Array:
    """(K, n, 2) best-scored places (K, P, 2) farther than ``near`` from the truth and each other."""
    left = np.where(np.linalg.norm(places - truth[:, None], axis=-1) > near, scores, -np.inf)
    out = np.empty((len(places), n, 2))
    row = np.arange(len(places))
    for i in range(n):
        out[:, i] = places[row, left.argmax(axis=1)]
        left[np.linalg.norm(places - out[:, i : i + 1], axis=-1) <= near] = -np.inf
    return out
