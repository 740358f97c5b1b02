"""Overlays for people: points, skeletons, matches, heat maps, pyramids, HOG glyphs.

Here lives every function that paints on a picture; each takes a grey or BGR uint8 picture and
gives a *new* (H, W, 3) BGR uint8 array.  Files are never written here, nothing is learned or
measured.  Points keep their fractions (cv2's ``shift``): an integer is a pixel's centre, as
everywhere in this house, and stroke sizes grow with the picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array, InputError, Keypoints, Pyramid
from ..structures.base import evenly
from .images import as_uint8

#: BGR.  Cyan and yellow keep apart for every common kind of colour blindness, and on skin.
TRUTH_COLOR = (255, 214, 0)
POINT_COLOR = (40, 225, 255)
#: BGR of matches.  Blue and orange differ for every common kind of colour blindness; the stroke repeats it.
RIGHT_COLOR = (255, 165, 45)
WRONG_COLOR = (0, 115, 255)
UNKNOWN_COLOR = (190, 190, 190)

_SHIFT = 4  # fractional bits that cv2 gets: 1/16 px
_FAR = 2**20  # px; a stroke that starts further away is clamped there, so that cv2 cannot overflow

Color = tuple[int, int, int]


def canvas_of(image: Array) -> Array:
    """A picture to draw on, BGR, its own array."""
    image = as_uint8(image)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image.copy()


def stroke_unit(image: Array) -> float:
    """One stroke width in px: 1 for a crop of up to 200 px, 5 for a picture of 1000."""
    return max(1.0, min(image.shape[:2]) / 200)


def _points(xy: ArrayLike, name: str) -> Array:
    out = np.asarray(xy, np.float64)
    if out.size == 0:
        out = out.reshape(0, 2)
    if out.ndim != 2 or out.shape[1] != 2:
        raise InputError(f"{name} must have shape (K, 2), got {out.shape}")
    return out


def _fixed(xy: Array) -> Array:
    """cv2's fixed-point integers."""
    return np.rint(np.clip(xy, -_FAR, _FAR) * 2**_SHIFT).astype(np.int32)


def _disc(canvas: Array, point: Array, radius: float, color: Color, thickness: int = -1) -> None:
    x, y = _fixed(point).tolist()
    r = round(radius * 2**_SHIFT)
    cv2.circle(canvas, (x, y), r, color, thickness, cv2.LINE_AA, _SHIFT)


def draw_lines(canvas: Array, start: Array, end: Array, color: Color, width: float) -> None:
    """All strokes of one colour at once, (N, 2) to (N, 2); those with NaN are left out."""
    seen = np.isfinite(start).all(1) & np.isfinite(end).all(1)
    if seen.any():
        strokes = np.stack([_fixed(start[seen]), _fixed(end[seen])], 1)
        cv2.polylines(canvas, list(strokes), False, color, max(1, round(width)), cv2.LINE_AA, _SHIFT)


def _shade(color: Color, score: float) -> Color:
    strength = 0.35 + 0.65 * float(np.clip(score, 0, 1))
    b, g, r = (round(c * strength) for c in color)
    return b, g, r


def draw_boxes(image: Array, boxes_xywh: ArrayLike, color: Color = POINT_COLOR) -> Array:
    """Boxes (N, 4) as outlines along their edges; (H, W, 3) uint8 BGR, a new array.

    >>> bool(draw_boxes(np.zeros((20, 20), np.uint8), [[4, 4, 8, 8]])[4, 4:12].any())
    True
    """
    canvas = canvas_of(image)
    boxes = np.asarray(boxes_xywh, np.float64).reshape(-1, 4)
    low, high = boxes[:, :2] - 0.5, boxes[:, :2] + boxes[:, 2:] - 0.5  # edges, from pixels' centres
    corners = [low, np.stack([high[:, 0], low[:, 1]], 1), high, np.stack([low[:, 0], high[:, 1]], 1)]
    for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
        draw_lines(canvas, start, end, color, 1.2 * stroke_unit(canvas))
    return canvas


def draw_landmarks(
    image: Array,
    xy: ArrayLike,
    *,
    truth: ArrayLike | None = None,
    skeleton: ArrayLike | None = None,
    score: ArrayLike | None = None,
    color: Color = POINT_COLOR,
    truth_color: Color = TRUTH_COLOR,
    radius: float | None = None,
) -> Array:
    """Points as dark-rimmed dots; with ``truth``, rings there and a line to each dot: the error.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) uint8
    xy : (K, 2) px, NaN = not drawn
    truth : (K, 2) px, NaN = not drawn
    skeleton : (E, 2) int, 0-based pairs of landmarks joined by a thin line
    score : (K,) 0..1; the less sure, the darker the dot
    color, truth_color : BGR
    radius : of the dots, px; by default 0.8 % of the picture's shorter side, at least 1.2

    Returns
    -------
    (H, W, 3) uint8 BGR, a new array

    Raises
    ------
    InputError
        When ``xy`` and ``truth`` or ``score`` differ in K, or the skeleton leaves 0..K-1.
    """
    canvas = canvas_of(image)
    points = _points(xy, "xy")
    unit = stroke_unit(canvas)
    size = max(1.2, 0.008 * min(canvas.shape[:2])) if radius is None else float(radius)
    edges = np.zeros((0, 2), int) if skeleton is None else np.asarray(skeleton, int).reshape(-1, 2)
    if edges.size and (edges.min() < 0 or edges.max() >= len(points)):
        raise InputError(f"the skeleton names a landmark outside 0..{len(points) - 1}")
    confidence = np.ones(len(points)) if score is None else np.asarray(score, float).reshape(-1)
    if len(confidence) != len(points):
        raise InputError(f"score must have shape ({len(points)},), got {confidence.shape}")
    draw_lines(canvas, points[edges[:, 0]], points[edges[:, 1]], _shade(color, 0.4), 0.7 * unit)
    if truth is not None:
        target = _points(truth, "truth")
        if target.shape != points.shape:
            raise InputError(f"truth must have shape {points.shape}, got {target.shape}")
        draw_lines(canvas, target, points, (255, 255, 255), 0.7 * unit)
        for point in target[np.isfinite(target).all(1)]:
            _disc(canvas, point, size + 0.6 * unit, (0, 0, 0))
            _disc(canvas, point, size, truth_color)
    drawn = np.isfinite(points).all(1)
    for point, sure in zip(points[drawn], np.nan_to_num(confidence[drawn]), strict=True):
        _disc(canvas, point, size + 0.6 * unit, (0, 0, 0))
        _disc(canvas, point, size, _shade(color, sure))
    return canvas


def draw_heatmap(image: Array, heatmap: ArrayLike, *, strength: float = 0.75) -> Array:
    """A non-negative map laid over the picture, transparent where it is low.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) uint8
    heatmap : (h, w), or (K, h, w), of which the highest of the K (each scaled to its own peak)
        is shown.  It covers the picture whatever its size: map pixel j sits at
        ``(j + 1/2) W / w - 1/2``.  NaN counts as 0.
    strength : opacity at the peak, 0..1

    Returns
    -------
    (H, W, 3) uint8 BGR, a new array
    """
    canvas = canvas_of(image)
    maps = np.nan_to_num(np.asarray(heatmap, np.float32))
    if maps.ndim not in (2, 3):
        raise InputError(f"heatmap must have shape (h, w) or (K, h, w), got {maps.shape}")
    if maps.size == 0:
        return canvas
    maps = np.maximum(maps.reshape(-1, *maps.shape[-2:]), 0)
    peak = maps.max(axis=(1, 2), keepdims=True)
    heat = (maps / np.where(peak > 0, peak, 1)).max(axis=0)
    h, w = canvas.shape[:2]
    heat = np.clip(cv2.resize(heat, (w, h), interpolation=cv2.INTER_LINEAR), 0, 1)
    color = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    opacity = (strength * heat)[:, :, None]
    return np.rint(canvas * (1 - opacity) + color * opacity).astype(np.uint8)


def draw_pyramid(pyramid: Pyramid, *, gap: int = 4) -> Array:
    """The levels side by side, finest left, on a dark ground with ``gap`` px between them.

    Levels hold 0..255; a level with negative values (a difference of Gaussians) is shown around
    mid-grey instead, stretched to its largest magnitude.  No level at all gives a 2 x 2 picture.
    """
    if len(pyramid) == 0:
        return np.full((2, 2, 3), 32, np.uint8)
    height = max(level.shape[0] for level in pyramid.levels)
    width = sum(level.shape[1] for level in pyramid.levels) + gap * (len(pyramid) - 1)
    canvas = np.full((height, width, 3), 32, np.uint8)
    left = 0
    for level in pyramid.levels:
        values = np.nan_to_num(np.asarray(level, np.float32))
        if values.size and values.min() < 0:
            values = 127.5 + 127.5 * values / np.abs(values).max()
        h, w = values.shape
        canvas[:h, left : left + w] = np.rint(values.clip(0, 255)).astype(np.uint8)[:, :, None]
        left += w + gap
    return canvas


def hog_histograms(image: Array, cell: int = 8, n_orientations: int = 9) -> Array:
    """Unsigned gradient histograms per cell, (H // cell, W // cell, n_orientations) float64.

    Dalal and Triggs (CVPR 2005) without block normalisation: centred differences of the grey
    picture, the colour channel of the largest gradient where there are three, each pixel's
    magnitude shared by the two nearest orientations.  For drawing; descriptors have their own.
    """
    pixels = as_uint8(image).astype(np.float64)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    rows, columns = pixels.shape[0] // cell, pixels.shape[1] // cell
    if min(rows, columns) == 0:
        return np.zeros((rows, columns, n_orientations))
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    dx = padded[1:-1, 2:] - padded[1:-1, :-2]
    dy = padded[2:, 1:-1] - padded[:-2, 1:-1]
    channel = np.hypot(dx, dy).argmax(axis=2)[:, :, None]
    dx, dy = (np.take_along_axis(d, channel, 2)[: rows * cell, : columns * cell, 0] for d in (dx, dy))
    place = np.degrees(np.arctan2(dy, dx)) % 180 / (180 / n_orientations)
    low = np.floor(place)
    share = place - low
    y, x = np.mgrid[: rows * cell, : columns * cell] // cell
    base = (y * columns + x) * n_orientations
    size = rows * columns * n_orientations
    out = np.zeros(size)
    for bins, weight in ((low, 1 - share), (low + 1, share)):
        index = base + bins.astype(int) % n_orientations
        out += np.bincount(index.ravel(), (weight * np.hypot(dx, dy)).ravel(), size)
    return out.reshape(rows, columns, n_orientations)


def draw_hog(image: Array, cell: int = 8, n_orientations: int = 9) -> Array:
    """HOG glyphs: in each cell one stroke per orientation, along the *edge*, as bright as its bin.

    Cells are drawn at least 16 px wide, so the result is ``max(1, ceil(16 / cell))`` times the
    covered part of the picture, ``(H // cell * cell, W // cell * cell)``.  A picture smaller than
    one cell comes back as it is.
    """
    if cell < 2 or n_orientations < 1:
        raise InputError(f"draw_hog needs cell >= 2 and n_orientations >= 1, got {cell}, {n_orientations}")
    histograms = hog_histograms(image, cell, n_orientations)
    if histograms.size == 0:
        return canvas_of(image)
    side = cell * max(1, -(-16 // cell))
    middle, reach = (side - 1) / 2, side / 2 - 1
    glyphs = np.zeros((n_orientations, side, side), np.uint8)
    for k, glyph in enumerate(glyphs):
        angle = np.pi * k / n_orientations + np.pi / 2  # an edge runs across its gradient
        step = reach * np.array([np.cos(angle), np.sin(angle)])
        ends = _fixed(np.stack([middle - step, middle + step]))
        cv2.line(glyph, ends[0].tolist(), ends[1].tolist(), 255, 1, cv2.LINE_AA, _SHIFT)
    top = np.percentile(histograms, 99.5)
    weight = np.clip(histograms / (top if top > 0 else 1), 0, 1)
    picture = np.einsum("yxk,kij->yixj", weight, glyphs.astype(np.float64))
    grey = np.rint(picture.clip(0, 255)).astype(np.uint8)
    rows, columns = histograms.shape[:2]
    return cv2.cvtColor(grey.reshape(rows * side, columns * side), cv2.COLOR_GRAY2BGR)


def draw_keypoints(image: Array, keypoints: Keypoints, *, color: Color = POINT_COLOR) -> Array:
    """Interest points: a circle of the point's size, a radius along its angle (where it has one).

    Points with NaN are left out; sizes under 2 px are drawn as 2 px.
    """
    canvas = canvas_of(image)
    width = max(1, round(0.6 * stroke_unit(canvas)))
    shown = np.isfinite(keypoints.xy).all(1)
    xy = keypoints.xy[shown].astype(np.float64)
    radius = np.maximum(np.nan_to_num(keypoints.size[shown].astype(np.float64)), 2) / 2
    for point, r in zip(xy, np.minimum(radius, _FAR), strict=True):
        _disc(canvas, point, r, color, width)
    angle = np.radians(keypoints.angle[shown].astype(np.float64))
    direction = np.stack([np.cos(angle), np.sin(angle)], 1)  # NaN where there is no angle
    draw_lines(canvas, xy, xy + radius[:, None] * direction, color, width)
    return canvas


def draw_matches(
    image_a: Array,
    image_b: Array,
    xy_a: ArrayLike,
    xy_b: ArrayLike,
    right: ArrayLike | None = None,
    *,
    most: int | None = None,
    gap: int = 6,
    ground: int = 255,
) -> Array:
    """Two pictures side by side, tops level, and a line for each match.

    Right matches are blue, solid, with dots at their ends; wrong ones orange, dashed, with crosses, and
    lie on top, so that no crowd of right ones hides them; unknown ones are thin and grey.

    Parameters
    ----------
    image_a, image_b : (H, W) or (H, W, 3) uint8, of any two sizes
    xy_a, xy_b : (M, 2) px of the first and the second picture, NaN = not drawn
    right : (M,) bool, or numbers of which NaN = nobody knows; None = nothing is known of any, and all
        are drawn in one colour
    most : draw at most so many, evenly spread over the order given
    gap : px of ``ground`` between the pictures

    Returns
    -------
    (max(H_a, H_b), W_a + gap + W_b, 3) uint8 BGR, a new array

    Raises
    ------
    InputError
        When ``xy_a``, ``xy_b`` and ``right`` differ in M.
    """
    a, b = canvas_of(image_a), canvas_of(image_b)
    start, end = _points(xy_a, "xy_a"), _points(xy_b, "xy_b")
    state = np.full(len(start), np.nan) if right is None else np.asarray(right, float).reshape(-1)
    if not len(start) == len(end) == len(state):
        raise InputError(f"matches differ in number: {len(start)}, {len(end)}, {len(state)} right or wrong")
    canvas = np.full((max(len(a), len(b)), a.shape[1] + gap + b.shape[1], 3), ground, np.uint8)
    canvas[: len(a), : a.shape[1]], canvas[: len(b), a.shape[1] + gap :] = a, b
    end = end + [a.shape[1] + gap, 0]
    rows = np.flatnonzero(np.isfinite(start).all(1) & np.isfinite(end).all(1))
    rows = rows[evenly(len(rows), len(rows) if most is None else most)]
    unit = 0.5 * (stroke_unit(a) + stroke_unit(b))
    neutral = POINT_COLOR if right is None else UNKNOWN_COLOR
    unknown = rows[np.isnan(state[rows])]
    draw_lines(canvas, start[unknown], end[unknown], neutral, 0.4 * unit)
    good, bad = rows[state[rows] > 0], rows[state[rows] == 0]
    draw_lines(canvas, start[good], end[good], RIGHT_COLOR, 0.6 * unit)
    for point in np.concatenate([start[good], end[good]]):
        _disc(canvas, point, 1.5 * unit, (0, 0, 0))
        _disc(canvas, point, 1.1 * unit, RIGHT_COLOR)
    draw_lines(canvas, *_dashes(start[bad], end[bad], 5 * unit), WRONG_COLOR, 0.8 * unit)
    ends = np.concatenate([start[bad], end[bad]])
    for arm in 1.8 * unit * np.array([[1, 1], [1, -1]]):
        draw_lines(canvas, ends - arm, ends + arm, WRONG_COLOR, unit)
    return canvas


def _dashes(start: Array, end: Array, dash: float) -> tuple[Array, Array]:
    """Lines (N, 2) to (N, 2) as strokes of ``dash`` px with as long gaps; at most 400 strokes a line."""
    start, end = np.clip(start, -_FAR, _FAR), np.clip(end, -_FAR, _FAR)
    length = np.maximum(np.linalg.norm(end - start, axis=1), 1e-9)
    step = np.maximum(dash, length / 800)
    n = np.ceil(length / (2 * step)).astype(int)
    line = np.repeat(np.arange(len(n)), n)
    first = 2 * step[line] * (np.arange(len(line)) - np.repeat(np.cumsum(n) - n, n))
    last = np.minimum(first + step[line], length[line])
    way = (end - start)[line] / length[line, None]
    return start[line] + way * first[:, None], start[line] + way * last[:, None]


def tile(pictures: Sequence[Array], columns: int, *, gap: int = 4, ground: int = 255) -> Array:
    """Pictures of any size in a grid of equal cells, row by row, each centred in its cell."""
    if not pictures or columns < 1:
        raise InputError("tile needs at least one picture and one column")
    rows = [canvas_of(p) for p in pictures]
    h, w = max(p.shape[0] for p in rows), max(p.shape[1] for p in rows)
    n_rows = -(-len(rows) // columns)
    canvas = np.full((n_rows * (h + gap) - gap, columns * (w + gap) - gap, 3), ground, np.uint8)
    for i, picture in enumerate(rows):
        row, column = divmod(i, columns)
        y = row * (h + gap) + (h - picture.shape[0]) // 2
        x = column * (w + gap) + (w - picture.shape[1]) // 2
        canvas[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return canvas
