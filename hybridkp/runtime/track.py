"""One followed object: what is known of it, whether what is seen is it, and how it is given out.

Points (K, 2) and boxes (4,) in px of the frame.  No picture is looked at here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..imaging.geometry import points_box
from ..metrics.oks import oks_matrix
from ..structures import Array, Instance
from ..tracking.smoothing import Delayed

#: an object is not seen where its presence is lower or, of a detector that does not say it, where its mean
#: score falls under this part of its usual one
ABSENT = 0.5
REACH = 1.0  #: sizes that a lost object may be away, and a tenth more with each frame
LOOKS = 0.8  #: distance of appearances from which a lost object is taken for another
_OKS_SIGMA = 0.1


class Track:
    """What is known of one object."""

    def __init__(self, number: int, seen: Instance, filter_: Any, row: Array) -> None:
        self.number = number
        self.filter = filter_
        self.row = row  #: running mean of how it looks
        self.usual = seen.score  #: running mean of the points' mean score
        self.score: Array = seen.keypoint_scores  # type: ignore[assignment]
        self.seen: Array = seen.xy  #: (K, 2) as detected in the last frame, NaN where it was not
        self.box = seen.box_xywh
        self.side = float(max(seen.box_xywh[2:]))
        self.grow = self._growth(seen.xy, seen.box_xywh)
        self.unseen = 0  #: frames in a row in which the detector did not see it
        self.overlooked = 0  #: looks in a row in which the finder did not find it
        self.lost = False
        self.sure = False  #: found a second time
        self.delayed: Delayed | None = None  #: the points of a few frames ago

    @staticmethod
    def _growth(xy: Array, box: Array) -> float:
        """Longer side of a box by that of its points."""
        inner = float(np.max(points_box(xy)[2:], initial=0))
        return float(np.clip(max(box[2:]) / max(inner, 1e-6), 0.9, 1.8))

    def ahead(self) -> Array:
        """The box (4,) around where the points should be; its side changes by at most a tenth a frame."""
        xy = self.filter.xy
        doubt = np.sqrt(self.filter.variance)
        inner = points_box(xy[doubt <= 2 * np.nanmedian(doubt)])
        if not np.isfinite(inner).all():
            return self.box
        side = np.clip(max(inner[2:]) * self.grow, 0.9 * self.side, 1.1 * self.side)
        return np.concatenate([centre(inner) - side / 2, [side, side]])


def is_there(track: Track, seen: Instance) -> bool:
    """Whether a box still holds a followed object: by presence, where the detector says it."""
    if seen.presence is not None:
        return seen.presence >= ABSENT
    return seen.score >= ABSENT * track.usual


def alike(track: Track, xy: Array) -> float:
    """Similarity (OKS) of a followed object's points with others; 0 to 1."""
    sigmas = np.full(len(xy), _OKS_SIGMA)
    return float(oks_matrix(track.filter.xy[None], xy[None], [track.side**2 / 2], sigmas)[0, 0])


def strange(track: Track, seen: Instance, row: Array, only_looks: bool) -> float:
    """Cost of taking what is seen for a lost object, 1 at the limit."""
    looks = float(np.linalg.norm(row - track.row)) / LOOKS
    apart = float(np.linalg.norm(centre(seen.box_xywh) - centre(track.box)))
    away = apart / track.side / (REACH + 0.1 * track.unseen)
    return 0.5 * (looks + min(away, 1.0)) if only_looks else max(looks, away)


def centre(box: Array) -> Array:
    out: Array = box[:2] + box[2:] / 2
    return out


def as_instance(track: Track) -> Instance:
    xy = track.filter.xy
    known = np.isfinite(track.score)
    return Instance(
        xy,
        box_xywh=track.box,
        area=float(track.box[2] * track.box[3]),
        score=float(track.score[known].mean()) if known.any() else 0.0,
        keypoint_scores=track.score,
        track=track.number,
    )
