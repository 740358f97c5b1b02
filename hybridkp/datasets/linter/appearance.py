"""The linter's question to points and pixels together: is there something at the points?

A landmark looks alike from object to object and unlike the other landmarks; at wrong places nothing does.
So a set is read as exporters are known to write it wrongly (x and y exchanged, mirrored, of pictures of
another size, ...), and a reading under which landmarks look much more alike than they do as they stand is
told.  No boxes are needed, nor names, nor pictures that are not square.  Points (N, K, 2) with NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ...imaging.geometry import from_shares, resize_points
from ...imaging.images import to_grey
from ...structures import Array, Dataset, InputError, Instance, Sample

OBJECTS = 120  #: that are looked at, evenly spread
FEW, LANDMARKS = 12, 3  #: objects, and landmarks, under which nothing is concluded
SIDE = 192  #: px, the longer side at which pictures are looked at
SIGMAS = (1.0, 2.5, 6.0)  #: px of it: brightness, gradient and Laplacian at these scales
INSIDE = 0.95  #: share of the points that another reading has to leave in the picture
#: another reading has to explain so many times as much, or leave so many times less unexplained, ...
BETTER, CLEARER = 2.5, 1.25
MORE = 0.012  #: ... and that much of the variance more in either half of the objects
MOVED = 0.2  #: of the object's extent, by which it has to move the points

#: words -> function of points (K, 2), picture's width and height, box x, y, w, h
READINGS: dict[str, Callable[[Array, float, float, Array], Array]] = {
    "as they stand": lambda p, w, h, box: p,
    "with x and y exchanged": lambda p, w, h, box: p[:, ::-1],
    "with y from the lower edge": lambda p, w, h, box: p * [1, -1] + [0, h - 1],
    "mirrored left to right": lambda p, w, h, box: p * [-1, 1] + [w - 1, 0],
    "turned by 180 degrees": lambda p, w, h, box: [w - 1, h - 1] - p,
    "turned by 90 degrees": lambda p, w, h, box: p[:, ::-1] * [-1, 1] + [w - 1, 0],
    "turned by 270 degrees": lambda p, w, h, box: p[:, ::-1] * [1, -1] + [0, h - 1],
    "mirrored along the other diagonal": lambda p, w, h, box: [w - 1, h - 1] - p[:, ::-1],
    "as px of pictures half as large": lambda p, w, h, box: resize_points(p, 2),
    "as px of pictures twice as large": lambda p, w, h, box: resize_points(p, 0.5),
    "as shares of the picture": lambda p, w, h, box: from_shares(p, (h, w)),
    "as percent of the picture": lambda p, w, h, box: from_shares(p / 100, (h, w)),
    "as thousandths of the picture": lambda p, w, h, box: from_shares(p / 1000, (h, w)),
    "as px of a square picture": lambda p, w, h, box: p * [w / max(w, h), h / max(w, h)],
    "as px from the box's corner": lambda p, w, h, box: p + box[:2],
    "as shares of the box": lambda p, w, h, box: from_shares(p, box[:1:-1]) + box[:2],
}


def better_place(dataset: Dataset) -> str:
    """How the points seem to be meant, and how much more alike landmarks then look; "" = as they stand."""
    if len(dataset.landmarks) < LANDMARKS:
        return ""
    found = _values(dataset)
    if found is None:
        return ""
    values, inside = found  # (N, R, K, F), (R,)
    halves = np.stack([_alike(values[0::2]), _alike(values[1::2])])  # (2, R)
    gain = np.where(inside >= INSIDE, halves.min(0), -np.inf)
    best = int(gain.argmax())
    plain, then = np.clip(halves[:, 0], 0, 1), halves[:, best]
    clear = then.mean() > BETTER * plain.mean() or 1 - plain.mean() > CLEARER * (1 - then.mean())
    if best == 0 or not clear or not (then > plain + MORE).all():
        return ""
    return (
        f"read {list(READINGS)[best]}, landmarks look more alike from object to object (which landmark it is"
        f" explains {then.mean():.1%} of what lies there, as they stand {plain.mean():.1%})"
    )


def _alike(values: Array) -> Array:
    """(R,) share of the variance of (N, R, K, F) that the landmark explains, mean over features."""
    known = np.isfinite(values)
    count = known.sum(0)
    filled = np.where(known, values, 0)
    mean = filled.sum(0) / np.maximum(count, 1)
    within = (np.where(known, values - mean, 0) ** 2).sum(0) / np.maximum(count - 1, 1)
    usable = count >= FEW // 4
    within = np.where(usable, within, 0).sum(1) / np.maximum(usable.sum(1), 1)  # (R, F)
    total_count = np.maximum(known.sum((0, 2)), 1)
    total_mean = filled.sum((0, 2)) / total_count
    total = (np.where(known, values - total_mean[:, None], 0) ** 2).sum((0, 2)) / total_count
    share = np.where(usable.any(1) & (total > 1e-6), 1 - within / np.maximum(total, 1e-6), 0)
    return np.asarray(share.mean(1))


def _values(dataset: Dataset) -> tuple[Array, Array] | None:
    """Features (N, R, K, F) at the points under each reading, NaN outside, and the share inside (R,)."""
    rows = [(s, i) for s in dataset for i in s.instances if (i.visibility > 0).sum() >= LANDMARKS]
    rows = [rows[n * len(rows) // OBJECTS] for n in range(OBJECTS)] if len(rows) > OBJECTS else rows
    values, seen = [], []
    last: tuple[Sample | None, Array] = (None, np.zeros(0))
    for sample, instance in rows:
        try:
            if last[0] is not sample:
                last = (sample, sample.image)
        except InputError:
            continue
        one, known = _at_points(last[1], instance)
        values.append(one)
        seen.append(known)
    if len(values) < FEW:
        return None
    inside = np.sum(seen, axis=0)
    return np.stack(values), inside / max(sum(np.isfinite(i.xy).all(1).sum() for _, i in rows), 1)


def _at_points(image: Array, instance: Instance) -> tuple[Array, Array]:
    """(R, K, F) with NaN outside, and how many points are inside (R,)."""
    h, w = image.shape[:2]
    channels, scale = _features(to_grey(image))
    read = np.stack([way(instance.xy, w, h, instance.box_xywh) for way in READINGS.values()])
    at = np.floor(resize_points(read, scale) + 0.5)
    inside: Array = np.all((at >= 0) & (at < channels[0].shape[::-1]), axis=2)
    x, y = np.moveaxis(np.where(inside[..., None], at, 0).astype(int), 2, 0)
    values = np.stack([channel[y, x] for channel in channels], -1)
    middle, spread = np.array([np.ravel(cv2.meanStdDev(channel)) for channel in channels]).T
    values = (values - middle) / (spread + 1e-3)
    values[_hardly_moved(read)] = np.nan
    return np.where(inside[..., None], values, np.nan), inside.sum(1)


def _hardly_moved(read: Array) -> Array:
    """(R,) readings (R, K, 2) that leave the points about where they are: they would compare noise."""
    labelled = read[0, np.isfinite(read[0]).all(1)]
    moved = np.linalg.norm(read[:, np.isfinite(read[0]).all(1)] - labelled, axis=2)
    hardly: Array = np.median(moved, axis=1) < MOVED * max(np.ptp(labelled, axis=0).max(), 1)
    hardly[0] = False
    return hardly


def _features(grey: Array) -> tuple[list[Array], float]:
    """Channels (H, W) that do not change when the picture turns, and the scale."""
    scale = min(1.0, SIDE / max(grey.shape))
    if scale < 1:
        size = max(2, round(grey.shape[1] * scale)), max(2, round(grey.shape[0] * scale))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    out: list[Array] = []
    for sigma in SIGMAS:
        blurred = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), sigma)
        gradient = cv2.magnitude(cv2.Sobel(blurred, -1, 1, 0), cv2.Sobel(blurred, -1, 0, 1))
        out += [blurred, gradient, cv2.Laplacian(blurred, -1)]
    return out, scale
