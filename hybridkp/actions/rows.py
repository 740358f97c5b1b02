"""What a motion looks like as one row of figures: places, speeds, distances, angles, and their statistics.

:class:`~hybridkp.actions.motion.Motion` of N tracks comes in, (N, D) float32 goes out; NaN where a landmark
was never seen.  All tracks at once: no loop over them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..structures import Array
from .motion import Motion, check_tracks, motion_of

BLOCK = 512  #: tracks that are worked on at once
PARTS = 4  #: of a track's time, whose mean poses are told apart
WAVES = 6  #: frequencies of which a point's movement is made, in waves a track


class TrackRows(TransformerMixin, BaseEstimator):
    """Tracks (T, K, 2) of any lengths as rows (N, D): the maker of the modality ``track``.

    The limbs that angles are measured between are learned, so that any landmarks will do.

    Attributes
    ----------
    limbs_ : (K - 1, 2); n_landmarks_

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> tracks = [rng.normal(0, 9, (n, 5, 2)) for n in (20, 31, 24)]
    >>> TrackRows().fit_transform(tracks).shape
    (3, 201)
    """

    def fit(self, tracks: Any, y: Any = None) -> TrackRows:
        """Learn which landmarks limbs join; ``y`` is not needed."""
        known = check_tracks(tracks)
        self.n_landmarks_ = int(known[0].shape[1])
        self.limbs_ = limbs_of(motion_of(known[:BLOCK]).body)
        return self

    def transform(self, tracks: Any) -> Array:
        """(N, D) float32; NaN throughout for a track of which fewer than two points were ever seen."""
        check_is_fitted(self)
        known = check_tracks(tracks, self.n_landmarks_)
        parts = [known[i : i + BLOCK] for i in range(0, len(known), BLOCK)]
        rows = np.concatenate([motion_rows(motion_of(part), self.limbs_) for part in parts])
        few = [np.isfinite(track).all(2).any(0).sum() < 2 for track in known]
        rows[np.array(few)] = np.nan
        return rows


def limbs_of(body: Array) -> Array:
    """(K - 1, 2) pairs of landmarks that lie nearest to each other, so that all are joined: a skeleton for
    any landmarks, from what they do (minimum spanning tree of the median distances)."""
    k = body.shape[2]
    flat = body.reshape(-1, k, 2)
    flat = flat[:: max(1, len(flat) // 4000)]
    apart = np.linalg.norm(flat[:, :, None] - flat[:, None], axis=-1)
    known = np.isfinite(apart).any(0)
    median = np.full((k, k), 1e3)
    median[known] = np.nanmedian(apart[:, known], axis=0)
    tree = minimum_spanning_tree(np.triu(median + 1e-6, 1)).tocoo()
    return np.stack([tree.row, tree.col], 1).astype(np.int64)


def joints_of(limbs: Array) -> Array:
    """(J, 3) landmarks a, b, c of every two limbs that meet in b."""
    out = []
    for i, one in enumerate(limbs.tolist()):
        for other in limbs[i + 1 :].tolist():
            shared = set(one) & set(other)
            if len(shared) == 1:
                (b,) = shared
                out.append((sum(one) - b, b, sum(other) - b))
    return np.array(out, np.int64).reshape(-1, 3)


def motion_rows(motion: Motion, limbs: Array) -> Array:
    """(N, D) float32: statistics over time of places, speeds, distances, the limbs' directions, the angles
    between them and their change, of the mean poses of a track's parts, and of how the body moves on."""
    body, n = motion.body, len(motion.body)
    per_frame = np.maximum(motion.step, 1e-6)[:, None, None]
    speed = np.linalg.norm(np.diff(body, axis=1), axis=-1) / per_frame
    first, second = np.triu_indices(body.shape[2], 1)
    apart = np.linalg.norm(body[:, :, first] - body[:, :, second], axis=-1)
    angle, cosine = _angles(body, joints_of(limbs))
    turn = np.abs(_wrapped(np.diff(angle, axis=1))) / per_frame
    parts = np.stack([part.mean(1) for part in np.array_split(body, PARTS, axis=1)], 1)
    waves = np.abs(np.fft.rfft(body - body.mean(1, keepdims=True), axis=1))[:, 1 : WAVES + 1]
    columns = [
        *_statistics(body, "mean std least most"),
        *_statistics(speed, "mean std most"),
        *_statistics(apart, "mean std"),
        *_statistics(_directions(body, limbs), "mean std"),
        *_statistics(cosine, "mean std least most"),
        *_statistics(turn, "mean most"),
        parts,
        np.log(waves.mean(-1) / body.shape[1] + 1e-3),
        *_way(motion, per_frame),
    ]
    return np.concatenate([c.reshape(n, -1) for c in columns], axis=1).astype(np.float32)


def _statistics(values: Array, which: str) -> list[Array]:
    known: dict[str, Any] = {"mean": np.mean, "std": np.std, "least": np.min, "most": np.max}
    return [known[name](values, axis=1) for name in which.split()]


def _directions(body: Array, limbs: Array) -> Array:
    """(N, L, J, 2) unit vectors along the limbs."""
    along = body[:, :, limbs[:, 1]] - body[:, :, limbs[:, 0]]
    return along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-6)


def _angles(body: Array, joints: Array) -> tuple[Array, Array]:
    """Angles (N, L, J) in radians, and their cosines."""
    one = body[:, :, joints[:, 0]] - body[:, :, joints[:, 1]]
    other = body[:, :, joints[:, 2]] - body[:, :, joints[:, 1]]
    cross = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
    angle = np.arctan2(cross, (one * other).sum(-1))
    return angle, np.cos(angle)


def _wrapped(angle: Array) -> Array:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _way(motion: Motion, per_frame: Array) -> list[Array]:
    """Where the body goes: speed, how far in all, its place at eight instants."""
    speed = np.diff(motion.middle, axis=1) / per_frame
    eight = motion.middle[:, np.linspace(0, motion.middle.shape[1] - 1, 8).round().astype(int)]
    return [np.abs(speed).mean(1), speed.std(1), np.ptp(motion.middle, axis=1), eight]
