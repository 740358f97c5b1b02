"""Descriptors made of descriptors: side by side, and over several pyramid levels.

Works with anything that keeps :class:`hybridkp.structures.Descriptor`'s promise; knows no method
by name.  No learning here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..imaging.pyramid import sub_pyramid
from ..structures import Array, Descriptor, InputError, Keypoints, NamedMembers, Parameters, Pyramid
from .pictures import OfPictures

FUSIONS = ("concat", "average", "product")  #: of levels


@dataclass(eq=False, repr=False)
class Concat(OfPictures, NamedMembers, Parameters):
    """Several descriptors of the same points, side by side.

    Parameters
    ----------
    parts : sequence of (name, descriptor)
        Parameters of a part are reached as ``name__parameter``, as in scikit-learn.
    normalize : "l2" or None
        "l2": each part's row is scaled to unit length, so that none drowns the others (SIFT rows
        are about 512 long, HOG rows about 1); a zero row stays zero.
    weights : sequence of float or None
        Factor of each part, after the normalisation.
    """

    _named = "parts"

    parts: Sequence[tuple[str, Descriptor]]
    normalize: str | None = "l2"
    weights: Sequence[float] | None = None

    @property
    def n_features(self) -> int:
        return sum(part.n_features for _, part in self.parts)

    def describe(self, pyramid: Pyramid, keypoints: Keypoints) -> Array:
        """Rows (N, D) float32, the parts in their order.

        Raises
        ------
        InputError
            Without parts, with a wrong number of weights, or for a part whose rows are packed
            bits.
        """
        self._check()
        weights = [1.0] * len(self.parts) if self.weights is None else list(self.weights)
        out = np.empty((len(keypoints), self.n_features), np.float32)
        start = 0
        for (name, part), weight in zip(self.parts, weights, strict=True):
            rows = part.describe(pyramid, keypoints)
            if rows.dtype != np.float32:
                raise InputError(f"Concat: part {name!r} gives {rows.dtype} rows; ORB needs bits='unpacked'")
            factor: Any = weight
            if self.normalize == "l2":
                length = np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
                factor = weight / np.maximum(length, 1e-12)
            out[:, start : start + rows.shape[1]] = rows * factor
            start += rows.shape[1]
        return out

    def _check(self) -> None:
        if not self.parts:
            raise InputError("Concat: give at least one (name, descriptor)")
        if self.normalize not in ("l2", None):
            raise InputError(f'Concat: normalize must be "l2" or None, got {self.normalize!r}')
        if self.weights is not None and len(self.weights) != len(self.parts):
            raise InputError(f"Concat: {len(self.parts)} parts but {len(self.weights)} weights")


@dataclass(eq=False, repr=False)
class MultiLevel(OfPictures, Parameters):
    """The same points, described on several pyramid levels, as one row: detail and context.

    Parameters
    ----------
    descriptor : Descriptor
        Its own ``level`` counts from each of ``levels`` on.  One that has a method
        ``describe_levels(pyramid, keypoints, levels)`` is asked for all levels at once.
    levels : sequence of int
    fusion : "concat" (side by side); or one row of D numbers: "average", or "product" (the levels'
        geometric mean with the sign of their product: what all levels see)
    falloff : weight of each level relative to the one before; ``hybridkp tune`` learns it on folds

    Notes
    -----
    Sizes in px of the level cover ever more of the picture: HOG with 4 cells of 4 px looks at
    16, 32 and 64 px of the input on levels 0, 1 and 2.
    """

    descriptor: Descriptor
    levels: Sequence[int] = (0, 1, 2)
    fusion: str = "concat"
    falloff: float = 1.0

    @property
    def n_features(self) -> int:
        return self.descriptor.n_features * (len(self.levels) if self.fusion == "concat" else 1)

    def describe(self, pyramid: Pyramid, keypoints: Keypoints) -> Array:
        """Rows (N, L * D), level after level; or one of their size (N, D).

        Raises
        ------
        InputError
            Without levels, for a level the pyramid lacks, an unknown fusion, and a falloff of 0 and below.
        """
        weights = self._weights()
        together = getattr(self.descriptor, "describe_levels", None)
        if together is not None:
            rows = together(pyramid, keypoints, self.levels)
        else:
            rows = [self.descriptor.describe(sub_pyramid(pyramid, level), keypoints) for level in self.levels]
        if self.fusion == "concat":
            return np.concatenate([row * weight for row, weight in zip(rows, weights, strict=True)], axis=1)
        if self.fusion == "product":
            share = (weights / weights.sum())[:, None, None]
            return np.prod(np.sign(rows), 0) * np.prod(np.abs(rows) ** share, 0)
        return np.average(rows, axis=0, weights=weights).astype(np.float32)

    def _weights(self) -> Array:
        """(L,) float32."""
        if len(self.levels) == 0:
            raise InputError("MultiLevel: give at least one level")
        if self.fusion not in FUSIONS:
            raise InputError(f"MultiLevel: fusion must be one of {', '.join(FUSIONS)}, got {self.fusion!r}")
        if not 0 < self.falloff < 1e3:
            raise InputError(f"MultiLevel: falloff must be above 0 and below 1000, got {self.falloff}")
        return np.float32(self.falloff) ** np.arange(len(self.levels), dtype=np.float32)
