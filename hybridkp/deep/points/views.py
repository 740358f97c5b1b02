"""Training pairs for interest points: two views of one picture and the homography between them.

Sources are pictures handed in, collages of them, and drawn shapes whose corners are known.  NumPy and
OpenCV only; every random number comes from the generator handed in.  No network, no loss here.
Points are (N, 2) px, an integer at a pixel's centre; a homography takes view 1 to view 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from ...structures import Array

Generator = np.random.Generator


@dataclass(frozen=True)
class Views:
    """How far the two views of a pair may differ; angles in degrees, uniform up to the value."""

    rotation: float = 45.0
    scale: float = 2.5  #: largest ratio of scales, and its inverse
    tilt: float = 3.0  #: largest ratio of the scales along and across some direction
    perspective: float = 0.4  #: largest move of a corner, in units of the side
    contrast: float = 0.6  #: log of the factor
    brightness: float = 35.0
    gamma: float = 0.7  #: log of the exponent
    noise: float = 10.0  #: standard deviation, grey values
    blur: float = 2.5  #: sigma, px
    shade: float = 0.35  #: probability of a light gradient or shadow


class Source(NamedTuple):
    """A grey picture (H, W) uint8 with its points (N, 2) and their weights (N,), or None = unknown."""

    picture: Array
    xy: Array | None
    weight: Array | None


class PairBatch(NamedTuple):
    """P pairs of views S x S: pictures (2P, S, S) float32, view 1 of all pairs first, and truth."""

    pictures: Array
    valid: Array  #: (2P, S, S) bool, px that show the source
    homography: Array  #: (P, 3, 3) float64, view 1 -> view 2
    xy: list[Array]  #: 2P times (N, 2) labelled points in the view
    weight: list[Array]  #: 2P times (N,)
    labelled: Array  #: (2P,) bool, whether ``xy`` is complete


def transform(homography: Array, xy: Array) -> Array:
    """(N, 2) float64 points through a homography (3, 3)."""
    at = np.asarray(xy, np.float64) @ homography[:, :2].T + homography[:, 2]
    return at[:, :2] / at[:, 2:]


# ------------------------------------------------------------------------------ sources
def _texture(size: int, rng: Generator) -> Array:
    """Smooth random grey: noise of several octaves."""
    out = np.zeros((size, size), np.float32)
    for cells in (3, 8, 24):
        coarse = rng.normal(0, 1, (cells, cells)).astype(np.float32)
        out += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC) * rng.uniform(0, 1)
    return (out * rng.uniform(5, 40) + rng.uniform(40, 215)).clip(0, 255)


def _polygon(rng: Generator, size: int) -> Array:
    """(n, 2) corners of a star-shaped polygon with clear corners."""
    n = int(rng.integers(3, 7))
    angle = np.sort(
        rng.uniform(0, 2 * math.pi, 1) + (np.arange(n) + rng.uniform(-0.3, 0.3, n)) * 2 * math.pi / n
    )
    radius = rng.uniform(0.07, 0.3) * size * rng.uniform(0.6, 1.3, n)
    return rng.uniform(0, size, 2) + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def _fill(canvas: Array, corners: Array, value: float, thickness: int = -1) -> None:
    fixed = np.rint(corners * 16).astype(np.int32)[None]
    if thickness < 0:
        cv2.fillPoly(canvas, fixed, value, cv2.LINE_AA, 4)
    else:
        cv2.polylines(canvas, fixed, False, value, thickness, cv2.LINE_AA, 4)


def _polygons(canvas: Array, rng: Generator) -> Array:
    """Overlapping polygons; the corners that a later one covers are no points."""
    size, points = len(canvas), np.zeros((0, 2))
    for _ in range(int(rng.integers(3, 14))):
        corners = _polygon(rng, size)
        contour = corners.astype(np.float32)[:, None]
        off = [cv2.pointPolygonTest(contour, (float(x), float(y)), True) for x, y in points]
        points = points[np.array(off, float) < -1.5] if len(points) else points
        old = float(canvas[tuple(np.rint(corners.mean(0)).astype(int).clip(0, size - 1)[::-1])])
        value = rng.uniform(0, 255)
        _fill(canvas, corners, value if abs(value - old) > 25 else (old + 90) % 255)
        points = np.concatenate([points, corners])
    return points


def _board(canvas: Array, rng: Generator) -> Array:
    """A checkerboard under a perspective; its inner crossings and outer corners."""
    size = len(canvas)
    rows, columns = rng.integers(3, 8, 2)
    flat = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    seen = np.array([[0.15, 0.15], [0.85, 0.15], [0.85, 0.85], [0.15, 0.85]], np.float32) * size
    seen += rng.uniform(-0.14, 0.14, (4, 2)).astype(np.float32) * size
    matrix = cv2.getPerspectiveTransform(flat, seen).astype(np.float64)
    grey = rng.uniform(0, 255, (rows, columns))
    grey[(np.add.outer(np.arange(rows), np.arange(columns)) % 2) == 0] += rng.choice([-110, 110])
    for i in range(rows):
        for j in range(columns):
            cell = np.array([[j, i], [j + 1, i], [j + 1, i + 1], [j, i + 1]], float)
            _fill(canvas, transform(matrix, cell), float(np.clip(grey[i, j], 0, 255)))
    grid = np.stack(np.meshgrid(np.arange(columns + 1), np.arange(rows + 1)), -1).reshape(-1, 2)
    return transform(matrix, grid)


def _lines(canvas: Array, rng: Generator) -> Array:
    """Stars and open lines of some px width: their centre and free ends."""
    size, points = len(canvas), []
    for _ in range(int(rng.integers(1, 5))):
        centre, n = rng.uniform(0.1, 0.9, 2) * size, int(rng.integers(2, 6))
        value, width = float(rng.uniform(0, 255)), int(rng.integers(2, 5))
        angle = (np.arange(n) + rng.uniform(0, 0.7, n)) * 2 * math.pi / n
        ends = centre + rng.uniform(0.08, 0.3, (n, 1)) * size * np.stack([np.cos(angle), np.sin(angle)], 1)
        for end in ends:
            _fill(canvas, np.stack([centre, end]), value, width)
        points += [centre[None], ends]
    return np.concatenate(points)


def shapes(rng: Generator, size: int = 256) -> Source:
    """Drawn corners, crossings and line ends on a textured ground, with exact points."""
    canvas = _texture(size, rng)
    points = (_polygons, _polygons, _board, _lines)[int(rng.integers(4))](canvas, rng)
    if rng.random() < 0.6:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 1.2))
    if rng.random() < 0.5:  # a common grain that both views show
        canvas = canvas + cv2.GaussianBlur(rng.normal(0, 12, canvas.shape), (0, 0), 0.8)
    return Source(canvas.clip(0, 255).astype(np.uint8), points, np.ones(len(points)))


def grey_of(picture: Array, rng: Generator) -> Array:
    """A random mixture of the colours of (H, W[, 3]) uint8, sometimes inverted."""
    if picture.ndim == 3:
        weight = rng.dirichlet([1.5, 2.5, 1.5])
        picture = cv2.transform(picture, weight.astype(np.float32)[None])
    return 255 - picture if rng.random() < 0.12 else picture


def collage(pictures: Sequence[Array], rng: Generator, size: int = 300) -> Source:
    """Dead leaves: polygons and ellipses cut from other pictures over each other; points unknown."""

    def cut() -> Array:
        picture = pictures[int(rng.integers(len(pictures)))]
        side = min(int(size * rng.uniform(0.6, 1.6)), *picture.shape[:2])
        y, x = (int(rng.integers(0, s - side + 1)) for s in picture.shape[:2])
        part = grey_of(picture[y : y + side, x : x + side], rng)
        return cv2.resize(
            part, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        )

    canvas = cut().astype(np.float32)
    for _ in range(int(rng.integers(3, 9))):
        mask = np.zeros((size, size), np.float32)
        if rng.random() < 0.7:
            _fill(mask, _polygon(rng, size), 1.0)
        else:
            centre = tuple(int(v) for v in rng.integers(0, size, 2))
            axes = tuple(int(v) for v in rng.integers(size // 16, size // 4, 2))
            cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1, cv2.LINE_AA)
        piece = cut() if rng.random() < 0.75 else _texture(size, rng)
        canvas += (piece - canvas) * mask * rng.choice([1.0, 1.0, 0.6])
    return Source(canvas.clip(0, 255).astype(np.uint8), None, None)


# ------------------------------------------------------------------------------ views
def random_view(rng: Generator, side: int, views: Views, strength: float) -> Array:
    """(3, 3): a view's px, about its centre, to the source's px about the origin; scale near 1."""
    half = side / 2
    square = np.array([[-half, -half], [half, -half], [half, half], [-half, half]], np.float32)
    move = rng.uniform(-1, 1, (4, 2)).astype(np.float32) * (views.perspective * strength * side * 0.5)
    matrix = cv2.getPerspectiveTransform(square, square + move).astype(np.float64)
    angle = math.radians(rng.uniform(-1, 1) * views.rotation * strength)
    scale = math.exp(rng.uniform(-1, 1) * math.log(views.scale) * strength)
    across, longer = 0.0, 1.0
    if views.tilt > 1:
        across = rng.uniform(0, math.pi)
        longer = math.exp(rng.uniform(0, 0.5) * math.log(views.tilt) * strength)
    stretch = np.diag([scale * longer, scale / longer, 1.0])
    return _turn(angle - across) @ stretch @ _turn(across) @ matrix


def _turn(angle: float) -> Array:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def render_view(source: Array, view_to_source: Array, side: int) -> tuple[Array, Array]:
    """The view (side, side) float32 and where it shows the source; minified views are softened first."""
    local = math.sqrt(abs(np.linalg.det(view_to_source[:2, :2]))) / abs(view_to_source[2, 2])
    if local > 1.25:
        source = cv2.GaussianBlur(source, (0, 0), 0.45 * math.sqrt(local**2 - 1))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    picture = cv2.warpPerspective(
        source, view_to_source, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101
    )
    ones = np.ones(source.shape, np.uint8)
    inside = cv2.warpPerspective(ones, view_to_source, (side, side), flags=cv2.INTER_NEAREST | 16)
    return picture.astype(np.float32), inside > 0


def vary(picture: Array, rng: Generator, views: Views) -> Array:
    """Light, blur and noise of its own for one view (S, S) float32 in 0..255."""
    side = len(picture)
    if rng.random() < 0.35:
        sigma = rng.uniform(0.3, views.blur)
        if rng.random() < 0.7:
            picture = cv2.GaussianBlur(picture, (0, 0), sigma)
        else:  # motion
            length = int(2 * sigma) * 2 + 1
            kernel = np.zeros((length, length), np.float32)
            angle = rng.uniform(0, math.pi)
            end = np.array([math.cos(angle), math.sin(angle)]) * (length // 2)
            middle = length // 2
            first, last = ([round(float(middle + sign * v)) for v in end] for sign in (-1, 1))
            cv2.line(kernel, first, last, 1.0)
            picture = cv2.filter2D(picture, -1, kernel / kernel.sum())
    if rng.random() < 0.8:
        gamma = math.exp(rng.uniform(-1, 1) * views.gamma)
        picture = 255 * (picture / 255).clip(0, 1) ** gamma
        mean = float(picture.mean())
        picture = (picture - mean) * math.exp(rng.uniform(-1, 0.5) * views.contrast) + mean
        picture = picture + rng.uniform(-1, 1) * views.brightness
    if rng.random() < views.shade:
        coarse = rng.uniform(0.4, 1.25, (3, 3)).astype(np.float32)
        picture = picture * cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.7:
        picture = picture + rng.normal(0, 0.5 + views.noise * rng.random() ** 2, picture.shape).astype(
            np.float32
        )
    return picture.clip(0, 255).astype(np.float32)


def _centres(source: Array, reach: float, rng: Generator) -> Array:
    height, width = source.shape
    low = [min(reach, (width - 1) / 2), min(reach, (height - 1) / 2)]
    best, most = np.zeros(2), -1.0
    for _ in range(3):  # of three places the richest: there is nothing to learn from sky
        at = rng.uniform(low, [width - 1 - low[0], height - 1 - low[1]])
        x, y = (at - reach / 2).astype(int).clip(0)
        spread = float(source[y : y + int(reach) : 3, x : x + int(reach) : 3].std())
        if spread > most:
            best, most = at, spread
    return best


def make_pair(source: Source, rng: Generator, side: int, views: Views) -> tuple:
    """Two views of a source: pictures, valid masks, homographies from the source to each view."""
    middle = (side - 1) / 2
    to_centre = np.array([[1, 0, -middle], [0, 1, -middle], [0, 0, 1]])
    centre = _centres(source.picture, side * 0.55, rng)
    found = []
    strengths = (0.2, 0.05 + 0.95 * rng.random() ** 1.5)  # easy pairs among the hard: both occur, both count
    for strength in strengths[:: int(rng.choice([-1, 1]))]:
        shift = centre + rng.uniform(-0.08, 0.08, 2) * side
        place = np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]])
        to_source = place @ random_view(rng, side, views, strength) @ to_centre
        picture, inside = render_view(source.picture, to_source, side)
        found.append((vary(picture, rng, views), inside, np.linalg.inv(to_source)))
    return tuple(zip(*found, strict=True))


def make_batch(sources: Sequence[Source], rng: Generator, side: int, views: Views) -> PairBatch:
    """One pair per source, stacked; see :class:`PairBatch`."""
    pairs = [make_pair(s, rng, side, views) for s in sources]
    pictures = np.stack([p[0][v] for v in (0, 1) for p in pairs])
    valid = np.stack([p[1][v] for v in (0, 1) for p in pairs])
    maps = [p[2] for p in pairs]
    homography = np.stack([m[1] @ np.linalg.inv(m[0]) for m in maps])
    xy, weight = [], []
    for v in (0, 1):
        for source, to_view in zip(sources, maps, strict=True):
            at = transform(to_view[v], source.xy if source.xy is not None else np.zeros((0, 2)))
            inside = ((at > 1) & (at < side - 2)).all(1)
            xy.append(at[inside].astype(np.float32))
            weight.append((np.zeros(0) if source.weight is None else source.weight)[inside])
    labelled = np.array([s.xy is not None for s in sources] * 2)
    return PairBatch(pictures, valid, homography / homography[:, 2:, 2:], xy, weight, labelled)
