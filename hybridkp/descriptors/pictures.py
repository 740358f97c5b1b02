"""Descriptors as transformers of whole pictures: a row of features a picture, by scikit-learn's rules.

Here is only the way from pictures to one point each; what is described is each descriptor's own business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..imaging.pyramid import gaussian_pyramid
from ..structures import Array, Keypoints

if TYPE_CHECKING:  # pragma: no cover
    from ..structures import Pyramid

LEVELS = 4  #: of the pyramid, fewer for small pictures
SIZE = 1 / 6  #: of the point relative to the picture's shorter side, for descriptors that ask for one


class OfPictures:
    """``transform`` and ``fit_transform`` for what describes points: the point is the picture's centre.

    There is no ``fit``: that is what tells a descriptor that learns
    (:class:`~hybridkp.structures.LearnedDescriptor`), and a pipeline does not need it.

    >>> import numpy as np
    >>> from hybridkp.descriptors import HOG
    >>> HOG(cells=8).transform(np.zeros((3, 48, 48), np.uint8)).shape
    (3, 576)
    """

    if TYPE_CHECKING:  # pragma: no cover

        def describe(self, pyramid: Pyramid, keypoints: Keypoints) -> Array: ...

    def transform(self, images: Any) -> Array:
        """(B, D) of pictures (B, H, W) or (B, H, W, 3) uint8, or a list of pictures of any sizes.

        The descriptor's own window counts: take one that is as large as the picture, such as
        ``HOG(cells=8)`` for 32 px.
        """
        rows = [self.describe(gaussian_pyramid(image, LEVELS), _centre(np.shape(image))) for image in images]
        return np.concatenate(rows)

    def fit_transform(self, images: Any, y: Any = None) -> Array:
        """:meth:`transform`; nothing is learned."""
        return self.transform(images)


def _centre(shape: tuple[int, ...]) -> Keypoints:
    h, w = shape[:2]
    return Keypoints([[(w - 1) / 2, (h - 1) / 2]], size=[min(h, w) * SIZE], angle=[0.0])  # type: ignore[arg-type]
