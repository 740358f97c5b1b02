"""Tracks of any length in the body's own frame and at a fixed number of instants.

N tracks (T, K, 2) in px become (N, L, K, 2) of points about the body's middle and (N, L, 2) of that middle,
both in body sizes; whatever of a track is NaN is bridged in time where the point was ever seen.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..structures import Array, Batch, InputError
from ..structures.base import short_repr

INSTANTS = 48  #: L
TRACK = "track"  #: the modality's name in a batch


@dataclass(frozen=True)
class Motion:
    """What N tracks do, in body sizes; x right, y down.  NaN throughout where nothing was ever seen."""

    body: Array  #: (N, L, K, 2) about the middle of each instant; NaN where a point was never seen
    middle: Array  #: (N, L, 2) about its median place
    step: Array  #: (N,) frames from one instant to the next

    __repr__ = short_repr

    def mirrored(self, flip: Any) -> Motion:
        """As in a mirror; ``flip`` (K,) names the landmark on the other side."""
        side = np.array([-1.0, 1.0])
        return Motion(self.body[:, :, np.asarray(flip)] * side, self.middle * side, self.step)


def tracks_of(batch: Any) -> Any:
    """The tracks of a :class:`~hybridkp.structures.Batch` or a mapping with the modality ``track``, else what
    was given: a sequence of tracks."""
    return batch[TRACK] if isinstance(batch, Batch | Mapping) else batch


def track_batch(tracks: Sequence[Any]) -> Batch:
    """Tracks of any lengths as a batch, which cross-validation can index.

    >>> len(track_batch([np.zeros((5, 3, 2)), np.zeros((8, 3, 2))])[[1]])
    1
    """
    column = np.empty(len(tracks), object)
    for i, track in enumerate(tracks):
        column[i] = track
    return Batch({TRACK: column})


def check_tracks(tracks: Any, n_landmarks: int | None = None) -> list[Array]:
    """The tracks as float arrays.

    Raises
    ------
    InputError
        For no tracks, one of another shape than (T, K, 2), another K than ``n_landmarks``, infinite points.
    """
    out = [np.asarray(track, float) for track in tracks]
    if not out:
        raise InputError("no tracks: at least one (T, K, 2) is needed")
    k = out[0].shape[1] if n_landmarks is None and out[0].ndim == 3 else n_landmarks
    for i, track in enumerate(out):
        if track.ndim != 3 or track.shape[1:] != (k, 2) or not len(track):
            raise InputError(f"track {i}: needs (T, {k or 'K'}, 2), got {track.shape}")
        if np.isinf(track).any():
            raise InputError(f"track {i}: has infinite points; what was not seen is NaN")
    return out


def motion_of(tracks: Sequence[Array], instants: int = INSTANTS) -> Motion:
    """Checked tracks in the body's frame.

    A frame's middle is the mean of its points; a track's unit, the median distance of its points from their
    middle.  Neither changes where the body stands in the picture, or how large it is; which way is up stays.

    >>> walk = np.arange(9.0)[:, None, None] + np.array([[0, 0], [4.0, 0]])
    >>> found = motion_of([walk], 3)
    >>> found.body[0, 0].tolist(), found.middle[0, :, 0].tolist(), float(found.step[0])
    ([[-1.0, 0.0], [1.0, 0.0]], [-2.0, 0.0, 2.0], 4.0)
    """
    length = np.array([len(track) for track in tracks])
    start = np.cumsum(length) - length
    xy = bridged(np.concatenate(tracks), start)
    own = np.repeat(np.arange(len(length)), length)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a track without any point, NaN is the mean
        middle = np.nanmean(xy, axis=1)
        about = xy - middle[:, None]
        apart = np.nanmedian(np.linalg.norm(about, axis=2), axis=1)
    unit = np.array([np.median(part) for part in np.split(apart, start[1:])])
    unit = np.maximum(unit, 1e-6)[own]
    at, share = _instants(start, length, instants)
    body, path = about / unit[:, None, None], middle / unit[:, None]
    path = _between(path, at, share)
    return Motion(
        _between(body, at, share),
        path - np.median(path, axis=1, keepdims=True),
        (length - 1) / (instants - 1),
    )


def bridged(xy: Array, start: Array) -> Array:
    """Frames (F, K, 2) of tracks that begin at the rows ``start``: gaps are filled evenly between the two
    sightings around them, ends with the nearest one; a point that its track never shows stays NaN."""
    row = np.arange(len(xy))[:, None]
    own = np.searchsorted(start, row[:, 0], side="right") - 1
    first = start[own][:, None]
    last = np.append(start[1:], len(xy))[own][:, None] - 1
    seen = np.isfinite(xy).all(2)
    before = np.maximum.accumulate(np.where(seen, row, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, row, len(xy))[::-1], axis=0)[::-1]
    has_before, has_after = before >= first, after <= last
    before, after = np.where(has_before, before, after), np.where(has_after, after, before)
    known = has_before | has_after
    before, after = np.where(known, before, 0), np.where(known, after, 0)
    share = ((row - before) / np.maximum(after - before, 1))[..., None].clip(0, 1)
    column = np.arange(xy.shape[1])
    out = (1 - share) * xy[before, column] + share * xy[after, column]
    return np.where(known[..., None], out, np.nan)


def _instants(start: Array, length: Array, instants: int) -> tuple[Array, Array]:
    """Rows (N, L) before each instant, and the share (N, L) of the row after."""
    place = np.linspace(0, 1, instants) * (length - 1)[:, None]
    at = np.minimum(np.floor(place).astype(int), np.maximum(length - 2, 0)[:, None])
    return start[:, None] + at, place - at


def _between(values: Array, at: Array, share: Array) -> Array:
    share = share.reshape(*share.shape, *(1,) * (values.ndim - 1))
    following = np.minimum(at + 1, len(values) - 1)
    return np.where(share > 0, (1 - share) * values[at] + share * values[following], values[at])
