"""The head of a synthetic face: who it is, what it does, its surface, and where its points lie.

A face is a few dozen numbers (:class:`Face`): an identity drawn once per person and an expression
drawn per picture.  Its surface is a tapered superellipsoid with a relief (nose, sockets, lips,
cheeks, chin) as a height map; head coordinates are x to the picture's right, y down, z to the
viewer, in units of half a face's height.  Nothing is drawn here and no picture is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...structures import Array

LANDMARKS = (
    *("right_brow_outer", "right_brow_inner", "left_brow_inner", "left_brow_outer"),
    *("right_eye_outer", "right_eye_top", "right_eye_inner", "right_eye_bottom"),
    *("left_eye_inner", "left_eye_top", "left_eye_outer", "left_eye_bottom"),
    *("nose_tip", "right_nostril", "left_nostril"),
    *("right_mouth", "upper_lip", "left_mouth", "lower_lip", "chin"),
)
SKELETON = (
    *((0, 1), (2, 3), (4, 5), (5, 6), (6, 7), (7, 4), (8, 9), (9, 10), (10, 11), (11, 8)),
    *((13, 12), (12, 14), (15, 16), (16, 17), (17, 18), (18, 15)),
)
OUTER_EYE_CORNERS = (4, 10)

#: texture px per head unit, and the half extents (x, y) of the textured part of the head
DENSITY = 90
EXTENT = (0.95, 1.16)


def uv_axes() -> tuple[Array, Array]:
    """u (W,) and v (H,): head x and y of the texture's columns and rows, px centres."""
    w, h = (round(2 * e * DENSITY) for e in EXTENT)
    u = (np.arange(w, dtype=np.float32) - (w - 1) / 2) / DENSITY
    v = (np.arange(h, dtype=np.float32) - (h - 1) / 2) / DENSITY
    return u, v


@dataclass(frozen=True)
class Face:
    """One face in one expression; lengths in head units, y down."""

    width: float  #: half width at the eyes
    top: float  #: crown, above the origin
    bottom: float  #: chin's lower end, with the jaw as open as the mouth
    depth: float
    taper: float  #: how much the jaw narrows, 0..0.5
    eye_x: float
    eye_y: float
    eye_half: float
    eye_up: float  #: upper lid above the eye's axis; small when blinking
    eye_down: float
    eye_tilt: float
    gaze: tuple[float, float]
    brow_y: float
    brow_in: float  #: of the inner end, + is down (frown)
    brow_out: float
    brow_arch: float
    brow_thick: float
    nose_y: float
    nose_half: float
    nose_high: float
    mouth_x: float
    mouth_y: float
    mouth_half: float
    smile: float
    open: float
    lip_up: float
    lip_down: float


def draw_face(person: np.random.Generator, picture: np.random.Generator, expression: float) -> Face:
    """A face: identity from ``person``, expression of the given strength from ``picture``."""

    def vary(mean: float, spread: float) -> float:
        return mean + spread * min(max(float(person.standard_normal()), -2.0), 2.0)

    smile = expression * float(picture.uniform(-0.5, 1.0))
    mouth_open = min(1.3, expression * float(picture.beta(0.8, 2.2)))
    raise_brow = expression * float(picture.normal(0, 0.025))
    frown = expression * float(picture.normal(0, 0.018))
    lids = float(np.clip(1 + expression * (picture.beta(5, 2) - 0.75) * 1.6, 0.12, 1.4))
    eye_up = vary(0.062, 0.010)
    mouth_half = vary(0.245, 0.025)
    return Face(
        width=vary(0.755, 0.03),
        top=vary(0.98, 0.03),
        bottom=vary(1.04, 0.05) + 0.13 * mouth_open,
        depth=vary(0.86, 0.03),
        taper=float(person.uniform(0.30, 0.54)),
        eye_x=vary(0.315, 0.018),
        eye_y=vary(-0.02, 0.02),
        eye_half=vary(0.142, 0.010),
        eye_up=eye_up * lids,
        eye_down=vary(0.036, 0.006) * (0.6 + 0.4 * lids) * (1 - 0.2 * max(smile, 0)),
        eye_tilt=vary(0.008, 0.010),
        gaze=tuple((expression * picture.normal(0, [0.035, 0.012])).tolist()),
        brow_y=vary(-0.185, 0.022) - raise_brow,
        brow_in=vary(0.012, 0.010) + frown,
        brow_out=vary(0.018, 0.014) - 0.4 * frown,
        brow_arch=vary(0.040, 0.014),
        brow_thick=float(person.uniform(0.016, 0.040)),
        nose_y=vary(0.345, 0.030),
        nose_half=vary(0.135, 0.018),
        nose_high=vary(0.235, 0.040),
        mouth_x=expression * float(picture.normal(0, 0.012)),
        mouth_y=vary(0.625, 0.025) + 0.02 * mouth_open,
        mouth_half=mouth_half * (1 + 0.22 * smile - 0.22 * mouth_open),
        smile=smile,
        open=mouth_open,
        lip_up=vary(0.050, 0.012) * (1 - 0.25 * max(smile, 0)),
        lip_down=vary(0.066, 0.014) * (1 - 0.2 * max(smile, 0)),
    )


# --------------------------------------------------------------------------------------------
# curves of the features: what is painted and what is labelled come from the same lines
# --------------------------------------------------------------------------------------------


def eye_lids(face: Face, u: Array) -> tuple[Array, Array]:
    """Upper and lower lid's v over |u|; they meet in the corners."""
    q = np.clip((np.abs(u) - face.eye_x) / face.eye_half, -1, 1)
    axis = face.eye_y - face.eye_tilt * q
    bow = 1 - q * q
    return axis - face.eye_up * bow, axis + face.eye_down * bow


def brow_line(face: Face, u: Array) -> Array:
    """The brow's middle line over |u|, from its inner (q = -1) to its outer end (q = 1)."""
    inner, outer = brow_ends(face)
    q = np.clip((2 * np.abs(u) - inner - outer) / (outer - inner), -1, 1)
    ends = face.brow_y + face.brow_in * (1 - q) / 2 + face.brow_out * (1 + q) / 2
    return ends - face.brow_arch * (1 - q * q) * (1 + 0.35 * q)


def brow_ends(face: Face) -> tuple[float, float]:
    return face.eye_x - 0.19, face.eye_x + 0.205


def mouth_lines(face: Face, u: Array) -> tuple[Array, Array, Array, Array]:
    """v of: upper lip's top, its lower edge, lower lip's upper edge, its bottom, over u."""
    q = np.clip((u - face.mouth_x) / face.mouth_half, -1, 1)
    bow = 1 - q * q
    corner = face.mouth_y - 0.075 * face.smile
    top = corner + (face.mouth_y - face.lip_up - 0.025 * face.open - corner) * bow
    top = top - 0.014 * np.exp(-(((np.abs(q) - 0.27) / 0.11) ** 2))
    inner_up = corner + (face.mouth_y - 0.01 * face.open - corner) * bow
    inner_low = corner + (face.mouth_y + 0.20 * face.open - corner) * bow
    bottom = corner + (face.mouth_y + 0.20 * face.open + face.lip_down - corner) * bow
    return top, inner_up, np.maximum(inner_low, inner_up), bottom


def landmarks_uv(face: Face) -> Array:
    """(20, 2) float64 head x and y of the points of :data:`LANDMARKS`."""
    inner, outer = brow_ends(face)
    ex, eh = face.eye_x, face.eye_half

    def on(curve: Array, at: float) -> tuple[float, float]:
        return at, float(curve)

    def both(side: int) -> dict[str, tuple[float, float]]:
        ends = {"outer": ex + eh, "inner": ex - eh}
        up, down = eye_lids(face, np.array(ex))
        out = {"brow_in": on(brow_line(face, np.array(inner)), side * inner)}
        out["brow_out"] = on(brow_line(face, np.array(outer)), side * outer)
        for end, x in ends.items():
            out[f"eye_{end}"] = on(eye_lids(face, np.array(x))[0], side * x)
        return out | {"eye_top": on(up, side * ex), "eye_bottom": on(down, side * ex)}

    right, left = both(-1), both(1)
    middle = mouth_lines(face, np.array(face.mouth_x))
    corner = face.mouth_y - 0.075 * face.smile
    points = (
        *(right["brow_out"], right["brow_in"], left["brow_in"], left["brow_out"]),
        *(right[f"eye_{n}"] for n in ("outer", "top", "inner", "bottom")),
        *(left[f"eye_{n}"] for n in ("inner", "top", "outer", "bottom")),
        *((0.0, face.nose_y), (-face.nose_half, face.nose_y + 0.045), (face.nose_half, face.nose_y + 0.045)),
        *((face.mouth_x - face.mouth_half, corner), (face.mouth_x, float(middle[0]))),
        *((face.mouth_x + face.mouth_half, corner), (face.mouth_x, float(middle[3]))),
        (0.6 * face.mouth_x, 0.93 * face.bottom),
    )
    return np.array(points)


# --------------------------------------------------------------------------------------------
# surface
# --------------------------------------------------------------------------------------------


def relief_map(face: Face) -> Array:
    """(H, W) float32 relief on the texture's grid."""
    u, v = uv_axes()
    return relief(face, u[None], v[:, None])


def relief(face: Face, u: Array, v: Array) -> Array:
    """Height of the features over the base surface, along z, at head x and y that broadcast."""
    u, v = np.asarray(u, np.float32), np.asarray(v, np.float32)

    def bump(x: float, y: float, sx: float, sy: float) -> Array:
        """A Gaussian hill at (x, y); a pair, mirrored, where x is not 0."""
        gu = np.exp(-(((u - x) / sx) ** 2))
        if x:
            gu = gu + np.exp(-(((u + x) / sx) ** 2))
        return np.exp(-(((v - y) / sy) ** 2)) * gu

    ny = face.nose_y
    top, inner_up, inner_low, bottom = (float(c) for c in mouth_lines(face, np.array(face.mouth_x)))
    rise = np.clip((v + 0.14) / (ny + 0.14), 0, 1) ** 1.5
    fall = 1 / (1 + np.exp((v - ny - 0.045) / 0.018))
    out = face.nose_high * (rise * fall) * np.exp(-((u / (0.060 + 0.035 * rise)) ** 2))
    out = out + 0.085 * bump(0.72 * face.nose_half, ny + 0.015, 0.050, 0.050)
    out -= 0.085 * bump(face.eye_x, face.eye_y + 0.01, 0.17, 0.10)
    out += 0.030 * bump(face.eye_x, face.eye_y, 0.11, 0.055)
    out += 0.030 * bump(face.eye_x, face.brow_y - 0.01, 0.20, 0.05)
    out += 0.050 * bump(0.43, 0.27 - 0.03 * face.smile, 0.16, 0.15)
    out += 0.040 * bump(0.0, (top + inner_up) / 2, 0.14, 0.035)
    out += 0.045 * bump(0.0, (inner_low + bottom) / 2, 0.13, 0.040)
    out -= 0.030 * bump(0.0, bottom + 0.045, 0.13, 0.035)
    out += 0.060 * bump(0.0, 0.90 * face.bottom, 0.13, 0.09)
    return out


def surface_points(face: Face, uv: Array) -> Array:
    """(N, 3) head points on the surface at (N, 2) head x and y."""
    return np.column_stack([uv, base_depth(face, uv) + relief(face, uv[:, 0], uv[:, 1])])


def half_width(face: Face, y: Array) -> Array:
    """Half width of the base surface at height y."""
    down = np.clip(y, 0, 1.3)
    return face.width * (1 - face.taper * down * down)


def profile(face: Face, y: Array) -> tuple[Array, Array]:
    """The share of 1 that height y takes in the implicit equation, and its derivative."""
    up, down = np.minimum(y, 0) / face.top, np.maximum(y, 0) / face.bottom
    square = down * down
    return up * up + square * square, 2 * up / face.top + 4 * square * down / face.bottom


def base_depth(face: Face, xy: Array) -> Array:
    """z of the base surface's front at head (x, y) points (..., 2)."""
    inside = 1 - (xy[..., 0] / half_width(face, xy[..., 1])) ** 2 - profile(face, xy[..., 1])[0]
    return face.depth * np.sqrt(np.maximum(inside, 0))
