"""The mean of the predictions on a picture and on its mirror image: :class:`.MirrorAverage` without maps.

Pure NumPy; for the estimator and the runtime.  Points (B, K, 2) and scores (B, K) pass through.
"""

from __future__ import annotations

import numpy as np

from ...imaging.geometry import flip_image, flip_points
from ...runtime.nodes import Node, Run, build
from ...runtime.values import array
from ...structures import Array
from ..kernels import weighted_points


def mirror_mean(
    xy: Array, score: Array, other: Array, confidence: Array, flip: Array, width: int
) -> tuple[Array, Array]:
    """Means of the predictions for pictures and on their mirror images, ``width`` px wide.

    Parameters
    ----------
    xy, other : (B, K, 2); ``other`` as it was found in the mirror image
    score, confidence : (B, K)
    flip : (K,) ``flip[k]`` is the landmark that k becomes in the mirror image

    Returns
    -------
    (B, K, 2) float32 points and (B, K) float32 scores
    """
    both = np.stack([xy, flip_points(other, width, flip)])
    scores = np.stack([score, confidence[:, flip]])
    return weighted_points(both, np.ones(scores.shape), scores)


def make(node: Node, engine: str) -> Run:
    detector, flip = build(node["detector"], engine), array(node["flip"], -1)
    if not np.array_equal(np.sort(flip), np.arange(len(flip))):
        raise ValueError("flip must be a permutation")

    def run(picture: Array) -> tuple[Array, Array]:
        (xy, score), (other, confidence) = detector(picture), detector(flip_image(picture))
        shape = xy[None], score[None], other[None], confidence[None]
        fused, both = mirror_mean(*shape, flip, picture.shape[1])
        return fused[0], both[0]

    return run
