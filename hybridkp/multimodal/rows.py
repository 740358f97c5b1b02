"""Rows of several senses side by side: each sense's own rows, standardised on the training part.

A :class:`~hybridkp.structures.Batch` goes in, rows (B, D) come out, and which senses are there, (B, S) bool.
What a sense's rows are is said once, in :data:`MAKERS`; never here: who learns from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from ..actions import TrackRows
from ..descriptors.grid import grid_rows
from ..imaging.images import crops_to_grey
from ..structures import Array, InputError, as_batch
from .breaking import roughness
from .depth import fill_holes
from .sound import SoundRows
from .text import TextRows, WordRows

STRANGE = 2.0  #: times the largest squared distance of a training row: such a row is no such sense
_NOISY = ("image", "sound")  #: whose roughness tells noise
_STEADY = 0.1  #: of the usual roughness, by which it may vary at least


class PictureRows(TransformerMixin, BaseEstimator):
    """Orientation histograms on a grid over each crop (B, H, W[, C]); a picture without any edge is missing.

    Parameters
    ----------
    grid : cells along the shorter side
    n_orientations : over half the turn
    """

    def __init__(self, grid: int = 8, n_orientations: int = 8):
        self.grid = grid
        self.n_orientations = n_orientations

    def fit(self, pictures: Any, y: Any = None) -> PictureRows:
        """Nothing is learned; the crops' (h, w) are noted."""
        self.size_hw_ = tuple(np.shape(pictures)[1:3])
        return self

    def transform(self, pictures: Any) -> Array:
        """(B, H, W[, 3]) uint8 -> (B, D) float32."""
        grey = crops_to_grey(np.asarray(pictures))
        rows = grid_rows(grey, self.grid, self.n_orientations)
        flat = np.ptp(grey.reshape(len(grey), -1), axis=1) == 0 if len(grey) else np.zeros(0, bool)
        rows[flat] = np.nan
        return rows


class DepthRows(TransformerMixin, BaseEstimator):
    """How far away things are, on a grid: the logarithm of each cell's median depth, so that mm count.

    A hole is as far as the nearest pixel with a value (:func:`.fill_holes`); depth without any is missing.

    Parameters
    ----------
    grid : cells along the shorter side
    """

    def __init__(self, grid: int = 6):
        self.grid = grid

    def fit(self, depth: Any, y: Any = None) -> DepthRows:
        """Nothing is learned; the cells of crops (B, H, W) are noted."""
        h, w = np.shape(depth)[1:3]
        step = max(min(h, w) / max(self.grid, 1), 1.0)
        self.cells_ = (round(h / step), round(w / step))
        return self

    def transform(self, depth: Any) -> Array:
        """(B, H, W) mm, 0 = none -> (B, D) float32."""
        n_rows, n_columns = self.cells_
        out = np.empty((len(depth), n_rows, n_columns), np.float32)
        for row, image in zip(out, depth, strict=True):
            whole = fill_holes(image)
            for i, band in enumerate(np.array_split(whole, n_rows)):
                row[i] = [np.median(cell) for cell in np.array_split(band, n_columns, axis=1)]
        return np.log(np.where(out > 0, out, np.nan)).reshape(len(out), -1)


class PlainRows(TransformerMixin, BaseEstimator):
    """Rows (B, ...) of numbers as they are; infinite ones, and such as are NaN throughout, are missing."""

    def fit(self, rows: Any, y: Any = None) -> PlainRows:
        """Nothing is learned; the width is noted."""
        self.width_ = int(np.prod(np.shape(rows)[1:]))
        return self

    def transform(self, rows: Any) -> Array:
        """(B, ...) -> (B, D) float32."""
        flat = np.asarray(rows, np.float32).reshape(len(rows), -1)
        return np.where(np.isfinite(flat), flat, np.nan)


#: modality -> what makes its rows; any other that holds numbers is taken as rows that are there already
MAKERS: Mapping[str, Callable[[], Any]] = {
    "image": PictureRows,
    "depth": DepthRows,
    "sound": SoundRows,
    "text": TextRows,
    "words": WordRows,
    "track": TrackRows,
}


@dataclass(eq=False, repr=False)
class SenseRows(TransformerMixin, BaseEstimator):
    """The senses' rows, standardised and concatenated: early fusion, for any classifier or regressor.

    Parameters
    ----------
    inputs : modalities of the batch; a single name may stand alone
    makers : modality -> transformer, in place of :data:`MAKERS`
    strange : a row whose squared distance to the training rows' mean (in standard deviations, mean over
        columns) is more than so many times the largest in training is treated as missing: a broken
        microphone is no evidence.  So is a picture or a sound whose roughness (:func:`.roughness`) is so
        many times further from the usual than any in training: noise.  None believes everything

    Attributes
    ----------
    makers_ : list of fitted transformers
    width_ : list of int, columns of each sense

    Notes
    -----
    Each sense is divided by the square root of its number of columns, so that many columns are no louder
    than few.  What is missing (NaN) becomes the training mean, 0, which says nothing.
    """

    inputs: Sequence[str] | str = ("image",)
    makers: Mapping[str, Any] | None = None
    strange: float | None = STRANGE

    def fit(self, batch: Any, y: Any = None) -> SenseRows:
        """Learn mean and spread of each sense's rows, and how far its training rows lie apart."""
        batch = as_batch(batch)
        known = {**{k: make() for k, make in MAKERS.items()}, **(self.makers or {})}
        names = _names(self.inputs)
        if len(set(names)) < len(names) or not names:
            raise InputError(f"inputs must be names of modalities, each once, got {self.inputs!r}")
        self.makers_, self.mean_, self.spread_, self.reach_, self.rough_ = [], [], [], [], []
        for name in names:
            maker = clone(known[name]) if name in known else PlainRows()
            maker.fit(batch[name])
            rows = maker.transform(batch[name])
            there = np.asarray(np.isfinite(rows).any(axis=1))
            if not there.any():
                raise InputError(f"{name}: no training row says anything; leave it out of the inputs")
            seen = np.isfinite(rows)
            count = np.maximum(seen.sum(0), 1)
            mean = np.where(seen, rows, 0).sum(0, dtype=np.float64) / count
            spread = np.sqrt(np.where(seen, (rows - mean) ** 2, 0).sum(0) / count)
            self.makers_.append(maker)
            self.mean_.append(mean)
            self.spread_.append(np.where(spread > 1e-6 * (1 + np.abs(mean)), spread, np.inf))
            self.reach_.append(float(_apart(self._standard(len(self.mean_) - 1, rows))[there].max()))
            self.rough_.append(_usual(_rough(batch[name])[there]) if name in _NOISY else None)
        self.width_ = [len(m) for m in self.mean_]
        return self

    def transform(self, batch: Any) -> Array:
        """(B, D) float32; what is missing is 0."""
        return self.rows_and_presence(batch)[0]

    def rows_and_presence(self, batch: Any) -> tuple[Array, Array]:
        """Rows (B, D) float32, and (B, S) bool: which of the senses say something about which row."""
        check_is_fitted(self, "makers_")
        batch = as_batch(batch)
        out, there = [], []
        for s, (name, maker) in enumerate(zip(_names(self.inputs), self.makers_, strict=True)):
            rows = maker.transform(batch[name])
            if rows.shape[1] != self.width_[s]:
                raise InputError(f"{name}: {rows.shape[1]} columns, {self.width_[s]} in training")
            rows = self._standard(s, rows)
            good = np.asarray(np.isfinite(rows).any(axis=1))
            if self.strange is not None:
                good &= _apart(rows) <= self.strange * max(self.reach_[s], 1e-9)
                if (heard := self.rough_[s]) is not None:
                    usual, reach = heard
                    good &= np.abs(_rough(batch[name]) - usual) <= self.strange * reach
            rows = np.where(np.isfinite(rows) & good[:, None], rows, 0)
            out.append(rows / np.sqrt(self.width_[s]))
            there.append(good)
        return np.hstack(out).astype(np.float32), np.stack(there, axis=1)

    def _standard(self, s: int, rows: Array) -> Array:
        return (rows - self.mean_[s]) / self.spread_[s]


def _rough(rows: Any) -> Array:
    """(B,) roughness of pictures, grey, or of waves."""
    return roughness(crops_to_grey(np.asarray(rows)) if np.ndim(rows) > 2 else rows)


def _usual(rough: Array) -> tuple[float, float]:
    """The middle of roughnesses (B,), and how far the furthest lies from it."""
    middle = float(np.median(rough))
    return middle, max(float(np.abs(rough - middle).max()), _STEADY * middle)


def _apart(rows: Array) -> Array:
    """(B,) mean squared standardised value of the columns that are there; 0 where none is."""
    seen = np.isfinite(rows)
    return np.where(seen, np.nan_to_num(rows) ** 2, 0).sum(1) / np.maximum(seen.sum(1), 1)


def _names(inputs: Sequence[str] | str) -> list[str]:
    return [inputs] if isinstance(inputs, str) else [str(name) for name in inputs]
