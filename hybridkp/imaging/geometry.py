"""Pixel conventions, boxes, similarity and affine maps, crops; the only place that says one half.

Points are (x, y), x right, y down, an integer is a pixel's *centre*.  Boxes are measured along
pixel *edges* as in COCO, so the box of a whole picture is (0, 0, W, H) and its centre is the
point (W/2 - 1/2, H/2 - 1/2).  An affine map is a (2, 3) float64 matrix that takes points.
No learning and no files here.
"""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..structures import MARGIN, Array, check_box

Xy = TypeVar("Xy")  #: an array or a tensor of coordinates

# --------------------------------------------------------------------------------------------
# maps of points
# --------------------------------------------------------------------------------------------


def apply_affine(matrix: ArrayLike, xy: ArrayLike) -> Array:
    """Points (..., 2) through a (2, 3) map, or (B, ..., 2) through (B, 2, 3); NaN stays NaN."""
    matrix, xy = np.asarray(matrix, float), np.asarray(xy, float)
    if matrix.ndim == 2:
        return xy @ matrix[:, :2].T + matrix[:, 2]
    out = np.einsum("bij,b...j->b...i", matrix[:, :, :2], xy)
    return out + matrix[:, :, 2].reshape(len(matrix), *[1] * (xy.ndim - 2), 2)


def apply_homography(matrix: ArrayLike, xy: ArrayLike) -> Array:
    """Points (N, 2) through a (3, 3) map of any scale; NaN for points at or behind the horizon.

    The sign of the matrix is chosen so that the picture's origin is in front.
    """
    full, points = np.asarray(matrix, float), np.asarray(xy, float).reshape(-1, 2)
    full = full * np.copysign(1.0, full[2, 2])
    mapped = np.column_stack([points, np.ones(len(points))]) @ full.T
    ahead = mapped[:, 2:] > 1e-9
    return np.where(ahead, mapped[:, :2] / np.where(ahead, mapped[:, 2:], 1.0), np.nan)


def invert_affine(matrix: ArrayLike) -> Array:
    """The inverse of one (2, 3) or many (B, 2, 3) maps."""
    matrix = np.asarray(matrix, float)
    linear = np.linalg.inv(matrix[..., :2])
    return np.concatenate([linear, -linear @ matrix[..., 2:]], axis=-1)


def compose(second: ArrayLike, first: ArrayLike) -> Array:
    """The map that applies ``first``, then ``second``; either may be (2, 3) or (B, 2, 3)."""
    second, first = np.asarray(second, float), np.asarray(first, float)
    linear = second[..., :2] @ first[..., :2]
    offset = second[..., :2] @ first[..., 2:] + second[..., 2:]
    return np.concatenate([linear, offset], axis=-1)


def resize_matrix(scale_xy: ArrayLike) -> Array:
    """Where points go when a picture is resized by (sx, sy): x' = (x + 1/2) s - 1/2.

    >>> apply_affine(resize_matrix((2, 2)), [[0.0, 0.0]])
    array([[0.5, 0.5]])
    """
    sx, sy = np.broadcast_to(np.asarray(scale_xy, float), 2)
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2]])


def rescale(xy: Xy, scale: Any) -> Xy:
    """Coordinates of a picture resized by ``scale``: x' = (x + 1/2) s - 1/2, in the type they come in.

    For NumPy's arrays and torch's tensors alike (this room knows no torch); ``scale`` is a number
    or one per coordinate, (2,), and ``1 / scale`` leads back.

    >>> float(rescale(np.array(31.5), 1 / 4))
    7.5
    """
    values: Any = xy
    return (values + 0.5) * scale - 0.5  # type: ignore[no-any-return]


def from_shares(xy: ArrayLike, size_hw: ArrayLike) -> Array:
    """Points (..., 2) as shares of width and height, 0 and 1 at the outer edges, in px.

    >>> from_shares([[0.5, 1.0]], (20, 10))
    array([[ 4.5, 19.5]])
    """
    return np.asarray(xy, float) * np.asarray(size_hw, float)[::-1] - 0.5


def resize_points(xy: ArrayLike, scale: float) -> Array:
    """Points of a picture resized by ``scale`` in both directions, as float64."""
    return rescale(np.asarray(xy, float), scale)


def flip_points(xy: ArrayLike, width: int, flip: ArrayLike | None = None) -> Array:
    """Points (..., K, 2) of the mirrored picture, x' = W - 1 - x, relabelled by ``flip`` (K,)."""
    out = np.array(xy, float)
    out[..., 0] = width - 1 - out[..., 0]
    return out if flip is None else out[..., np.asarray(flip, int), :]


def rotation_about(centre_xy: ArrayLike, degrees: float) -> Array:
    """The (2, 3) map that turns points about a centre, clockwise on screen.

    >>> apply_affine(rotation_about((1, 1), 90), [[2.0, 1.0]]).round(6)
    array([[1., 2.]])
    """
    centre, angle = np.asarray(centre_xy, float), np.deg2rad(degrees)
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, centre - linear @ centre])


def middle_of(size_hw: tuple[int, int]) -> Array:
    """(2,) the middle of a picture of that size."""
    h, w = size_hw
    return np.array([w - 1, h - 1]) / 2


def about_middle(size_hw: tuple[int, int], degrees: float) -> Array:
    """The (2, 3) map that turns points of a picture of that size about its middle, clockwise on screen."""
    return rotation_about(middle_of(size_hw), degrees)


def similarity(source: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Least-squares similarity maps (B, 2, 3) from ``source`` to ``target``, both (B, N, 2).

    Rotation, uniform scale and translation, never a reflection (Umeyama 1991, in its complex
    closed form for the plane).  Points with NaN on either side carry no weight; with fewer than
    two points left the map is a pure translation, with none the identity.
    """
    source, target = np.asarray(source, float), np.asarray(target, float)
    source, target = np.broadcast_arrays(source, target)
    single = source.ndim == 2
    if single:
        source, target = source[None], target[None]
    valid = np.isfinite(source).all(-1) & np.isfinite(target).all(-1)
    w = valid * (1.0 if weights is None else np.asarray(weights, float))
    total = np.maximum(w.sum(1, keepdims=True), 1e-12)
    a = np.where(valid, source[..., 0] + 1j * source[..., 1], 0)
    b = np.where(valid, target[..., 0] + 1j * target[..., 1], 0)
    mean_a = (w * a).sum(1, keepdims=True) / total
    mean_b = (w * b).sum(1, keepdims=True) / total
    da, db = a - mean_a, b - mean_b
    power = (w * np.abs(da) ** 2).sum(1)
    enough = power > 1e-9
    ratio = np.where(enough, (w * np.conj(da) * db).sum(1) / np.where(enough, power, 1), 1)
    ratio = np.where(np.abs(ratio) > 1e-9, ratio, 1)
    shift = mean_b[:, 0] - ratio * mean_a[:, 0]
    out = np.empty((len(source), 2, 3))
    out[:, 0] = np.stack([ratio.real, -ratio.imag, shift.real], 1)
    out[:, 1] = np.stack([ratio.imag, ratio.real, shift.imag], 1)
    return out[0] if single else out


def scale_of(matrix: ArrayLike) -> Array:
    """Linear scale of a similarity or affine map, the square root of its determinant."""
    return np.sqrt(np.abs(np.linalg.det(np.asarray(matrix, float)[..., :2])))


# --------------------------------------------------------------------------------------------
# boxes and crops
# --------------------------------------------------------------------------------------------


def points_box(xy: ArrayLike) -> Array:
    """The tight box (4,) around the labelled points of (K, 2); NaN when there are none."""
    points = np.asarray(xy, float)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) == 0:
        return np.full(4, np.nan)
    low, high = points.min(0), points.max(0)
    return np.concatenate([low + 0.5, high - low])


def box_about(centre_xy: ArrayLike, width: float, height: float) -> Array:
    """(4,) box of that size about a point.

    >>> box_about([10, 20], 1, 1)  # of one pixel
    array([10., 20.,  1.,  1.])
    """
    return np.concatenate(
        [np.asarray(centre_xy, float) + 0.5 - np.divide([width, height], 2), [width, height]]
    )


def map_box(matrix: ArrayLike, box_xywh: ArrayLike) -> Array:
    """The boxes (..., 4) that go along: their centres through the map, their sides by the map's scale.

    The sides keep their directions, so that the box of a turned object is as large as before.
    """
    box = np.asarray(box_xywh, float)
    centre = apply_affine(matrix, box[..., :2] + box[..., 2:] / 2 - 0.5) + 0.5
    sides = box[..., 2:] * scale_of(matrix)
    return np.concatenate([centre - sides / 2, sides], axis=-1)


def crop_matrix(box_xywh: ArrayLike, size_hw: tuple[int, int], margin: float = MARGIN) -> Array:
    """The (2, 3) map from picture to crop: the box's centre, ``margin`` times its longer side.

    The crop keeps the aspect ratio, so it shows a square (for square ``size_hw``) around the box
    and may reach outside the picture.
    """
    x, y, w, h = check_box(box_xywh)
    out_h, out_w = size_hw
    scale = min(out_w / w, out_h / h) / margin if out_w != out_h else out_w / (max(w, h) * margin)
    centre = np.array([x + w / 2, y + h / 2])  # along pixel edges
    shift = np.array([out_w, out_h]) / 2 - scale * centre + (scale - 1) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def warp(image: Array, matrix: ArrayLike, size_hw: tuple[int, int]) -> Array:
    """The picture through a map of points, (h, w[, 3]); outside, the border pixel repeats.

    When the map shrinks, the picture is first blurred by what the smaller grid cannot carry
    (sigma = sqrt(1/s^2 - 1) / 2), so that no method is fed aliasing.  Only the part of the
    picture that the crop shows is touched: the cost does not grow with a 100-megapixel input.
    """
    matrix = np.asarray(matrix, float)
    h, w = image.shape[:2]
    corners = np.array([[0, 0], [size_hw[1] - 1, 0], [0, size_hw[0] - 1], [size_hw[1] - 1, size_hw[0] - 1]])
    seen = apply_affine(invert_affine(matrix), corners)
    scale = float(scale_of(matrix))
    sigma = 0.5 * np.sqrt(max(1 / scale**2 - 1, 0.0))
    pad = int(np.ceil(3 * sigma)) + 2
    x0, y0 = np.clip(np.floor(seen.min(0)).astype(int) - pad, 0, [w - 1, h - 1])
    x1, y1 = np.clip(np.ceil(seen.max(0)).astype(int) + pad + 1, [x0 + 1, y0 + 1], [w, h])
    part = image[y0:y1, x0:x1]
    local = compose(matrix, [[1, 0, x0], [0, 1, y0]])
    factor = int(0.5 / scale)
    if factor > 1:  # far smaller: a box average first, or the blur of a large picture takes minutes
        rows, columns = part.shape[:2]
        size = (max(1, round(columns / factor)), max(1, round(rows / factor)))
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        ratio = np.array([size[0] / columns, size[1] / rows])
        local = compose(local, resize_matrix(1 / ratio))
        sigma = np.sqrt(max(sigma**2 - (factor**2 - 1) / 12, 0.0)) / factor
    if sigma > 0.3:
        part = cv2.GaussianBlur(part, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return cv2.warpAffine(
        part, local, (size_hw[1], size_hw[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def warp_nearest(values: Array, matrix: ArrayLike, size_hw: tuple[int, int]) -> Array:
    """Values (h, w[, C]) through a map of points, each pixel that of the nearest; outside they are 0.

    For what may not be mixed, such as depth, whose mean over an edge is the depth of nothing.

    >>> warp_nearest(np.array([[5, 9]]), [[1, 0, 1], [0, 1, 0]], (1, 4))
    array([[0, 5, 9, 0]])
    """
    h, w = values.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(size_hw[1]), np.arange(size_hw[0])), axis=-1)
    x, y = np.moveaxis(np.floor(apply_affine(invert_affine(matrix), grid) + 0.5), -1, 0)
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    out = np.zeros((*size_hw, *values.shape[2:]), values.dtype)
    out[inside] = values[y[inside].astype(np.intp), x[inside].astype(np.intp)]
    return out


def flip_image(image: Array, axis: int = 1) -> Array:
    """Mirrored left to right: a picture (H, W[, 3]), or with ``axis=2`` a batch (B, H, W[, 3])."""
    return np.ascontiguousarray(np.flip(image, axis))


# --------------------------------------------------------------------------------------------
# reading pictures at points
# --------------------------------------------------------------------------------------------


def sample_rows(maps: Array, x: Array, y: Array) -> Array:
    """Values (N, C) float32 of (h, w, C) float32 at points x (N,), y (N,); outside, the border repeats.

    As :func:`sample_bilinear`, several times as quick where C is small.
    """
    h, w, c = maps.shape
    x, y = np.minimum(np.maximum(x, 0), w - 1), np.minimum(np.maximum(y, 0), h - 1)
    x0, y0 = np.minimum(x.astype(np.intp), max(w - 2, 0)), np.minimum(y.astype(np.intp), max(h - 2, 0))
    index, weight = np.empty((4, len(x)), np.intp), np.empty((4, len(x)), np.float32)
    fx, fy = x - x0, y - y0
    left, top = 1 - fx, 1 - fy  # products, none below 0: what is not negative stays so
    weight[0], weight[1], weight[2], weight[3] = left * top, fx * top, left * fy, fx * fy
    y0 *= w
    np.add(x0, y0, out=index[0])
    np.add(index[0], min(w - 1, 1), out=index[1])
    down = w if h > 1 else 0
    np.add(index[0], down, out=index[2])
    np.add(index[1], down, out=index[3])
    found = maps.reshape(h * w, c).take(index, axis=0)
    found *= weight[..., None]
    out: Array = found[0]
    for part in found[1:]:
        out += part
    return out


def grid_offsets(size: int, spacing: float = 1.0) -> Array:
    """(size, size, 2) offsets (x, y) of a square grid centred on 0, ``spacing`` px apart."""
    axis = (np.arange(size) - (size - 1) / 2) * spacing
    return np.stack(np.meshgrid(axis, axis), axis=-1)


def extract_patches(
    image: Array,
    xy: ArrayLike,
    size: int,
    spacing: ArrayLike = 1.0,
    angle: ArrayLike = 0.0,
    affine: ArrayLike | None = None,
) -> Array:
    """Square patches around points, bilinear, all in one ``cv2.remap``.

    Parameters
    ----------
    image : (H, W) or (H, W, C), uint8 or float32
    xy : (N, 2); outside the picture its border pixel repeats
    spacing : px between neighbouring patch pixels, a number or (N,)
    angle : degrees clockwise on screen, a number or (N,): the patch's x axis points there
    affine : (N, 2, 2) that take the patch's axes to the picture, instead of spacing and angle

    Returns
    -------
    (N, size, size[, C]) of the picture's dtype
    """
    xy = np.asarray(xy, np.float32).reshape(-1, 2)
    n = len(xy)
    if n == 0:
        return np.zeros((0, size, size, *image.shape[2:]), image.dtype)
    grid = grid_offsets(size).astype(np.float32)
    if affine is None:
        step, turn = (np.broadcast_to(np.asarray(v, np.float32), n) for v in (spacing, angle))
        theta = np.deg2rad(turn)
        cos, sin = step * np.cos(theta), step * np.sin(theta)
        affine = np.stack([cos, -sin, sin, cos], axis=1)
    axes = np.asarray(affine, np.float32).reshape(n, 2, 2, 1, 1)
    x, y = grid[..., 0], grid[..., 1]
    maps = [xy[:, k, None, None] + axes[:, k, 0] * x + axes[:, k, 1] * y for k in range(2)]
    cuts = list(range(30000, n * size, 30000))  # cv2.remap takes at most 32767 rows
    parts = [
        cv2.remap(image, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for px, py in zip(*(np.split(m.reshape(-1, size), cuts) for m in maps), strict=True)
    ]
    return np.concatenate(parts).reshape(n, size, size, *image.shape[2:])


def sample_bilinear(image: Array, xy: ArrayLike) -> Array:
    """Values of (H, W) or (H, W, C) at points (..., 2): (...,) or (..., C) float32, exact weights.

    ``cv2.remap`` rounds its weights to 1/32 px; this does not.  Outside, the border repeats.
    """
    xy = np.asarray(xy, np.float32)
    h, w = image.shape[:2]
    x, y = np.clip(xy[..., 0], 0, w - 1), np.clip(xy[..., 1], 0, h - 1)
    x0, y0 = np.minimum(x.astype(np.int32), max(w - 2, 0)), np.minimum(y.astype(np.int32), max(h - 2, 0))
    x1, y1 = np.minimum(x0 + 1, w - 1), np.minimum(y0 + 1, h - 1)
    fx, fy = x - x0, y - y0
    if image.ndim == 3:
        fx, fy = fx[..., None], fy[..., None]
    top = image[y0, x0] * (1 - fx) + image[y0, x1] * fx
    bottom = image[y1, x0] * (1 - fx) + image[y1, x1] * fx
    return (top * (1 - fy) + bottom * fy).astype(np.float32)


def subpixel_peak(maps: Array) -> tuple[Array, Array]:
    """The highest point of each map with a parabola through its neighbours.

    Parameters
    ----------
    maps : (..., h, w) float

    Returns
    -------
    xy : (..., 2) float64, in map px; at the map's border the peak is not interpolated
    value : (...,) the highest sample
    """
    *lead, h, w = maps.shape
    flat = np.asarray(maps, float).reshape(-1, h * w)
    best = flat.argmax(1)
    row = np.arange(len(flat))
    y, x = np.divmod(best, w)
    centre = flat[row, best]

    def vertex(step: int, coordinate: Array, limit: int) -> Array:
        inside = (coordinate > 0) & (coordinate < limit - 1)
        before = flat[row, np.where(inside, best - step, best)]
        after = flat[row, np.where(inside, best + step, best)]
        curvature = before - 2 * centre + after
        ok = inside & (curvature < -1e-12)
        shift = np.where(ok, (before - after) / np.where(ok, 2 * curvature, 1), 0)
        return coordinate + np.clip(shift, -0.5, 0.5)

    xy = np.stack([vertex(1, x, w), vertex(w, y, h)], -1)
    return xy.reshape(*lead, 2), centre.reshape(lead)
