"""The linter's questions to numbers: are these the pictures' own pixels, and are the boxes read rightly?

Looks at whole splits: one odd object is the annotator's affair, the same oddness in most of them is a
slip of the exporter's.  Points (N, K, 2) with NaN, boxes (N, 4) x, y, w, h, sizes (N, 2) w, h.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...structures import Array, Dataset

FEW = 8  #: objects under which nothing is concluded
SAME_PLACE = 0.05  #: share of a landmark's labels in exactly one place, a corner, that is suspicious
STILL = 0.6  #: the same in the middle: things that stand still before a still camera do so, too
CORNER_PX = 1.5  #: "0, 0" and "1, 1" are missing points that somebody forgot to mark
SHORT = 0.68  #: of the picture: where no point of a split lies beyond it, and ...
NEAR = 0.36  #: ... the cloud's middle is nearer to the corner, points are of a smaller picture
BETTER = 1.25  #: times the overlap with the points' own boxes that another reading must reach, ...
MANY, MOSTLY, CLEARLY = 30, 0.8, 1.03  #: ... or so many objects, the share and times by which it is better


class Objects(NamedTuple):
    """The objects of one split whose pictures have a known size."""

    names: list[str]
    xy: Array  # (N, K, 2)
    box: Array  # (N, 4)
    size: Array  # (N, 2)


def objects_of(dataset: Dataset) -> Objects | None:
    """None when there are too few to conclude from."""
    rows = [(s.name, i, s.size_hw) for s in dataset if s.size_hw for i in s.instances if i.visibility.any()]
    if len(rows) < FEW:
        return None
    return Objects(
        [name for name, _, _ in rows],
        np.stack([i.xy for _, i, _ in rows]),
        np.stack([i.box_xywh for _, i, _ in rows]),
        np.array([size[::-1] for _, _, size in rows], float),
    )


def same_places(found: Objects, landmarks: tuple[str, ...]) -> list[tuple[bool, str]]:
    """(in a corner, words) for each landmark that lies in exactly one place in many different objects."""
    out = []
    for k, landmark in enumerate(landmarks):
        xy = found.xy[:, k]
        xy = xy[np.isfinite(xy).all(1)]
        if len(xy) < FEW:
            continue
        places, counts = np.unique(np.round(xy, 3), axis=0, return_counts=True)
        place, count = places[counts.argmax()], int(counts.max())
        corner = bool((np.abs(place) <= CORNER_PX).all())
        if count >= 3 and count >= len(xy) * (SAME_PLACE if corner else STILL):
            out.append((corner, f"{landmark} at ({place[0]:g}, {place[1]:g}) in {count} of {len(xy)}"))
    return out


def share_in_box(found: Objects) -> float:
    """Share of labelled points in their object's box, grown by a tenth of its longer side and 2 px."""
    low, side = found.box[:, None, :2], found.box[:, None, 2:]
    grow = 0.1 * side.max(2, keepdims=True) + 2
    inside = ((found.xy >= low - grow) & (found.xy <= low + side + grow)).all(2)
    return float(inside.sum() / np.isfinite(found.xy).all(2).sum())


def better_reading(found: Objects) -> str | None:
    """How boxes or points seem to be meant otherwise than they are read; None when they are well read.

    Each reading is judged by the median overlap (intersection over union) of the boxes with the points'
    own; boxes must then have sides and lie in the picture.
    """
    low, high = np.nanmin(found.xy, axis=1), np.nanmax(found.xy, axis=1)
    usable = (high - low > 2).all(1)
    if usable.sum() < FEW:
        return None
    low, high, box, size = low[usable], high[usable], found.box[usable], found.size[usable]
    start, tight, up = box[:, :2], np.hstack([low, high - low]), np.array([0, 1])
    upward = np.hstack([np.where(up, size - 1 - high, low), high - low])
    readings = {
        "boxes look like x1, y1, x2, y2": (np.hstack([start, box[:, 2:] - start]), tight),
        "boxes look like centre, width, height": (np.hstack([start - box[:, 2:] / 2, box[:, 2:]]), tight),
        "boxes or points look like y, x": (box, tight[:, [1, 0, 3, 2]]),
        "points look as if y went upwards": (box, upward),
    }
    plain = overlap(box, tight)
    for words, (read, points) in readings.items():
        fits = (read[:, 2:] > 0).all(1) & (read[:, :2] + read[:, 2:] <= size + 2).all(1)
        if read is not box and fits.mean() <= 0.95:
            continue
        then = overlap(read, points)
        mostly = len(then) >= MANY and (then > CLEARLY * plain).mean() > MOSTLY
        if mostly or np.median(then) > BETTER * np.median(plain):
            return words
    return None


def overlap(a: Array, b: Array) -> Array:
    """(N,) intersection over union of boxes (N, 4)."""
    side = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    both = np.clip(side, 0, None).prod(1)
    return both / np.maximum(a[:, 2:].prod(1) + b[:, 2:].prod(1) - both, 1e-9)


def wrong_scale(found: Objects) -> str | None:
    """Words about points that cannot be, or hardly are, pixels of their pictures; None when they may be."""
    share = found.xy / found.size[:, None]
    labelled = np.isfinite(share).all(2)
    px, share = found.xy[labelled], share[labelled]
    if np.quantile(px, 0.99) <= 1.5 and found.size.min() > 8:
        return "all points lie within 0..1: shares of the picture, not px"
    far, near = np.quantile(share, 0.99, axis=0), np.quantile(share, 0.01, axis=0)
    if (far < SHORT).all() and ((far + near) / 2 < NEAR).all():
        return (
            f"no point lies beyond {far[0]:.0%} of the width or {far[1]:.0%} of the height:"
            " percent, or px of smaller pictures?"
        )
    exchanged = found.xy[:, :, ::-1] / found.size[:, None]
    outside = (share > 1).any(1).mean()
    turned = (exchanged[labelled] > 1).any(1).mean()
    if outside > 0.1:
        return f"{outside:.0%} of the points lie outside" + (": x and y exchanged?" if turned < 0.01 else "")
    return None
