"""The skin of a synthetic face, painted flat: brows, eyes, nostrils, lips, beard, glasses, hairline.

Everything is an anti-aliased mask from the curves of :mod:`.faces_model`, so that what is painted
is where the landmark says.  Arrays are the texture (H, W, 3) float32 BGR albedo in 0..1; light
comes later and elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ...structures import Array
from .faces_model import DENSITY, Face, brow_ends, brow_line, eye_lids, mouth_lines, uv_axes


@dataclass(frozen=True)
class Looks:
    """Colours (BGR, 0..1) and what a person wears; drawn once per person."""

    skin: Array
    hair: Array
    lips: Array
    iris: Array
    hairline: float  #: v of the hair's edge over the forehead
    temple: float  #: |u| beyond which hair covers the temples
    hair_volume: float  #: 0 bald ... 1 much
    hair_length: float  #: v where the hair behind the head ends
    fringe: float  #: sideways slope of the hairline
    brow_dark: float
    beard: float
    moustache: float
    freckles: float
    blush: float
    glasses: str  #: "", "clear", "dark"
    frame: Array
    frame_width: float
    cloth: Array


def draw_looks(rng: np.random.Generator) -> Looks:
    """A person's looks; tones span light to dark skin, and every hair colour with every skin."""
    melanin = rng.beta(1.0, 1.7)
    light, dark = np.array([0.62, 0.72, 0.90]), np.array([0.13, 0.19, 0.31])
    skin = np.exp((1 - melanin) * np.log(light) + melanin * np.log(dark)) * rng.normal(1, 0.04, 3)
    hairs = np.array([[0.04, 0.04, 0.05], [0.06, 0.09, 0.14], [0.12, 0.21, 0.34], [0.30, 0.48, 0.66]])
    hairs = np.concatenate([hairs, [[0.55, 0.56, 0.58], [0.10, 0.20, 0.48]]])
    hair = hairs[rng.choice(6, p=[0.34, 0.26, 0.16, 0.10, 0.09, 0.05])] * rng.uniform(0.7, 1.3)
    man = rng.random() < 0.5
    lipstick = (not man) and rng.random() < 0.45
    lips = skin * [0.72, 0.66, 0.90]
    if lipstick:
        lips = 0.35 * lips + 0.65 * np.array([0.22, 0.14, 0.55]) * rng.uniform(0.6, 1.3, 3)
    irises = np.array([[0.06, 0.10, 0.18], [0.10, 0.19, 0.30], [0.45, 0.36, 0.26], [0.25, 0.36, 0.30]])
    bearded = man and rng.random() < 0.45
    return Looks(
        skin=np.clip(skin, 0.05, 0.95).astype(np.float32),
        hair=np.clip(hair, 0.02, 0.9).astype(np.float32),
        lips=np.clip(lips, 0.03, 0.9),
        iris=irises[rng.choice(4, p=[0.4, 0.25, 0.2, 0.15])],
        hairline=rng.uniform(-0.80, -0.46),
        temple=rng.uniform(0.60, 0.72),
        hair_volume=0.0 if man and rng.random() < 0.15 else rng.uniform(0.25, 1),
        hair_length=rng.uniform(-0.2, 0.3) if man else rng.choice([0.2, 0.9, 1.5]) * rng.uniform(0.7, 1.2),
        fringe=rng.normal(0, 0.25),
        brow_dark=rng.uniform(0.45, 0.95),
        beard=rng.uniform(0.35, 0.95) if bearded else (0.25 * rng.random() if man else 0.0),
        moustache=rng.uniform(0.3, 0.95) if man and (bearded or rng.random() < 0.2) else 0.0,
        freckles=rng.uniform(0, 1) * (rng.random() < 0.3),
        blush=rng.uniform(0, 1),
        glasses=str(rng.choice(["", "clear", "dark"], p=[0.72, 0.22, 0.06])),
        frame=np.clip(rng.choice([0.05, 0.12, 0.4]) * rng.uniform(0.6, 1.4, 3), 0.02, 0.8),
        frame_width=rng.uniform(0.010, 0.024),
        cloth=rng.uniform(0.03, 0.9, 3).astype(np.float32),
    )


def noise(shape_hw: tuple[int, int], cells_hw: tuple[int, int], rng: np.random.Generator) -> Array:
    """Smooth noise (h, w) float32, about unit deviation, with this many cells per side."""
    small = rng.standard_normal((cells_hw[0] + 1, cells_hw[1] + 1)).astype(np.float32)
    return cv2.resize(small, (shape_hw[1], shape_hw[0]), interpolation=cv2.INTER_CUBIC)


def _step(distance: Array, soft: float = 0.0) -> Array:
    """Coverage of a half plane: 0 outside, 1 inside, one texture px (or ``soft`` units) wide."""
    return np.clip(distance / max(1 / DENSITY, soft) + 0.5, 0, 1)


class Canvas:
    """The texture with its coordinates; ``blend`` lays a colour over a window."""

    def __init__(self, base: Array) -> None:
        self.u, self.v = uv_axes()
        self.pixels = np.ascontiguousarray(np.broadcast_to(base, (len(self.v), len(self.u), 3)), np.float32)

    def window(self, u0: float, u1: float, v0: float, v1: float) -> tuple[Any, Array, Array]:
        """(slices, u (1, w), v (h, 1)) of the part between these coordinates."""
        cols = slice(*np.searchsorted(self.u, [u0, u1]))
        rows = slice(*np.searchsorted(self.v, [v0, v1]))
        return (rows, cols), self.u[None, cols], self.v[rows, None]

    def darken(self, at: Any, amount: Array) -> None:
        part = self.pixels[at]
        part *= (1 - amount[..., None]).astype(np.float32)

    def blend(self, at: Any, alpha: Array, colour: Array) -> None:
        part = self.pixels[at]
        part += alpha[..., None].astype(np.float32) * (np.asarray(colour, np.float32) - part)


def paint(face: Face, looks: Looks, height: Array, rng: np.random.Generator) -> Array:
    """(H, W, 3) float32 BGR albedo of the whole head; ``height`` is its relief."""
    canvas = Canvas(looks.skin)
    _skin(canvas, face, looks, height, rng)
    _mouth(canvas, face, looks)
    _beard(canvas, face, looks, rng)
    _nostrils(canvas, face, looks)
    for side in (-1, 1):
        _eye(canvas, face, looks, side)
        _brow(canvas, face, looks, side, rng)
    if looks.glasses:
        _glasses(canvas, face, looks)
    if looks.hair_volume > 0:
        _hairline(canvas, looks, rng)
    return np.clip(canvas.pixels, 0.01, 1)


def _skin(canvas: Canvas, face: Face, looks: Looks, height: Array, rng: np.random.Generator) -> None:
    shape = canvas.pixels.shape[:2]
    tone = 1 + 0.05 * noise(shape, (5, 4), rng) + 0.035 * noise(shape, (40, 34), rng)
    hollow = np.clip(1 + 3.5 * (height - cv2.blur(cv2.blur(height, (19, 19)), (19, 19))), 0.6, 1.15)
    if looks.freckles:
        tone -= 0.16 * looks.freckles * np.clip(noise(shape, (90, 75), rng) - 1.1, 0, 1)
    canvas.pixels *= (tone * hollow)[..., None]
    u, v = canvas.u[None], canvas.v[:, None]
    cheeks = np.exp(-(((np.abs(u) - 0.42) / 0.17) ** 2)) * np.exp(-(((v - 0.27) / 0.15) ** 2))
    tip = np.exp(-((u / 0.12) ** 2)) * np.exp(-(((v - face.nose_y) / 0.12) ** 2))
    red = (cheeks + 0.6 * tip) * looks.blush
    canvas.pixels *= 1 - red[..., None] * np.array([0.16, 0.15, 0.02], np.float32)
    # the fold from the nose's wing to beside the mouth, deeper in a smile
    x0, y0 = face.nose_half + 0.02, face.nose_y + 0.02
    x1, y1 = face.mouth_half + 0.07, face.mouth_y + 0.02
    at, u, v = canvas.window(-x1 - 0.1, x1 + 0.1, y0 - 0.01, y1 + 0.01)
    along = np.clip((v - y0) / (y1 - y0), 0, 1)
    across = np.abs(u) - (x0 + (x1 - x0) * along**1.3)
    fold = np.exp(-((across / 0.022) ** 2)) * np.clip(8 * along * (1 - along), 0, 1)
    canvas.darken(at, (0.10 + 0.22 * max(face.smile, 0)) * fold)


def _mouth(canvas: Canvas, face: Face, looks: Looks) -> None:
    m, half = face.mouth_x, face.mouth_half
    at, u, v = canvas.window(m - half - 0.03, m + half + 0.03, face.mouth_y - 0.25, face.mouth_y + 0.5)
    top, inner_up, inner_low, bottom = mouth_lines(face, u)
    ends = _step(half - np.abs(u - m), 0.012)
    lips = _step(v - top, 0.014) * _step(bottom - v, 0.018) * ends
    middle = (v - top) / np.maximum(bottom - top, 1e-3)
    canvas.blend(at, 0.9 * lips, looks.lips)
    light = 0.10 * np.exp(-(((middle - 0.75) / 0.1) ** 2)) - 0.22 * (middle < 0.45)
    canvas.darken(at, -lips * light)
    gap = _step(v - inner_up) * _step(inner_low - v) * ends
    canvas.blend(at, gap, np.array([0.05, 0.04, 0.09]))
    teeth = gap * _step(inner_up + 0.055 - v, 0.02) * _step(0.8 * half - np.abs(u - m), 0.05)
    ivory = np.array([0.68, 0.76, 0.80]) * (0.9 - 0.3 * np.abs(u - m) / half)[..., None]
    canvas.blend(at, 0.9 * teeth, ivory)
    tongue = gap * np.exp(-(((u - m) / (0.6 * half)) ** 2)) * _step(v - inner_low + 0.07, 0.05)
    canvas.blend(at, 0.7 * tongue, np.array([0.22, 0.20, 0.45]))
    line = np.exp(-(((v - inner_up) / 0.010) ** 2)) * ends
    canvas.darken(at, 0.55 * line)


def _beard(canvas: Canvas, face: Face, looks: Looks, rng: np.random.Generator) -> None:
    if looks.beard <= 0.02 and looks.moustache <= 0.02:
        return
    at, u, v = canvas.window(-0.9, 0.9, 0.1, 1.15)
    shape = (v.shape[0], u.shape[1])
    hairs = np.clip(0.75 + 0.25 * noise(shape, (70, 110), rng), 0, 1.2)
    top, _, _, bottom = mouth_lines(face, u)
    mouth = (
        _step(v - top, 0.03)
        * _step(bottom - v, 0.03)
        * _step(face.mouth_half - np.abs(u - face.mouth_x), 0.03)
    )
    edge = 0.50 + 0.20 * np.cos(2.2 * u) - 0.6 * np.clip(np.abs(u) - 0.42, 0, 1)
    jaw = _step(v - edge, 0.10) * looks.beard
    upper = np.exp(-(((v - top + 0.05) / 0.045) ** 2)) * _step(face.mouth_half + 0.04 - np.abs(u), 0.05)
    alpha = np.clip(np.maximum(jaw, looks.moustache * upper) * hairs * (1 - mouth), 0, 0.95)
    canvas.blend(at, alpha, looks.hair * 0.8)


def _nostrils(canvas: Canvas, face: Face, looks: Looks) -> None:
    y = face.nose_y + 0.060
    at, u, v = canvas.window(-0.3, 0.3, y - 0.15, y + 0.12)
    holes = np.exp(-(((((np.abs(u) - 0.45 * face.nose_half) / 0.034) ** 2) + ((v - y) / 0.016) ** 2) ** 2))
    wings = np.exp(-(((np.abs(u) - face.nose_half) / 0.014) ** 2) - ((v - y + 0.025) / 0.038) ** 2)
    under = np.exp(-((u / face.nose_half) ** 4) - ((v - y - 0.012) / 0.020) ** 2)
    canvas.pixels[at] *= (1 - 0.75 * holes - 0.38 * wings * (1 - holes) - 0.15 * under * (1 - holes))[
        ..., None
    ]


def _eye(canvas: Canvas, face: Face, looks: Looks, side: int) -> None:
    x = side * face.eye_x
    half = face.eye_half
    at, u, v = canvas.window(x - half - 0.06, x + half + 0.06, face.eye_y - 0.22, face.eye_y + 0.16)
    up, down = eye_lids(face, u)
    q = (u - x) / half
    ends = _step(half - np.abs(u - x))
    inside = _step(v - up) * _step(down - v) * ends
    # the hollow around the eye, the lid's crease and bags
    crease = up - 0.038 - 0.012 * (1 - q * q)
    lid = np.exp(-(((v - crease) / 0.010) ** 2)) * _step(1.0 - np.abs(q), 0.2)
    canvas.darken(at, 0.30 * lid)
    canvas.darken(at, 0.14 * np.exp(-(((v - down - 0.04) / 0.016) ** 2) - q**4))
    shadow = 0.35 * np.exp(-np.maximum(v - up, 0) / 0.022) + 0.25 * np.abs(q)
    white = np.array([0.74, 0.76, 0.80]) * (1 - shadow)[..., None]
    canvas.blend(at, inside, white)
    centre = (x + face.gaze[0], face.eye_y - 0.012 + face.gaze[1])
    r = np.hypot(u - centre[0], v - centre[1])
    canvas.blend(at, inside * _step(0.066 - r, 0.012), looks.iris * (0.55 + 0.6 * (r / 0.066))[..., None])
    canvas.blend(at, inside * _step(0.030 - r, 0.010), np.array([0.02, 0.02, 0.02]))
    glint = np.hypot(u - centre[0] + 0.022, v - centre[1] + 0.022)
    canvas.blend(at, 0.9 * inside * _step(0.013 - glint, 0.010), np.array([0.95, 0.95, 0.95]))
    thick = 0.010 + 0.006 * np.clip(side * q, 0, 1)
    lash = np.exp(-(((v - up) / thick) ** 2)) * _step(1.03 - np.abs(q), 0.08)
    canvas.darken(at, 0.78 * lash)
    lower = np.exp(-(((v - down) / 0.007) ** 2)) * _step(1.0 - np.abs(q), 0.08)
    canvas.darken(at, 0.35 * lower)
    tear = np.exp(-(((u - x + side * half) / 0.018) ** 2) - ((v - face.eye_y - face.eye_tilt) / 0.014) ** 2)
    canvas.blend(at, 0.5 * tear, looks.skin * [0.75, 0.72, 1.0])


def _brow(canvas: Canvas, face: Face, looks: Looks, side: int, rng: np.random.Generator) -> None:
    inner, outer = brow_ends(face)
    low, high = sorted((side * inner, side * outer))
    at, u, v = canvas.window(low - 0.05, high + 0.05, face.brow_y - 0.16, face.brow_y + 0.14)
    q = (2 * np.abs(u) - inner - outer) / (outer - inner)
    thick = face.brow_thick * np.clip(1.15 - 0.45 * q, 0.4, 2)
    off = v - brow_line(face, u)
    strands = np.clip(0.9 + 0.35 * noise((v.shape[0], u.shape[1]), (14, 22), rng), 0, 1.1)
    alpha = _step(thick - np.abs(off), 0.022) * _step(1 - np.abs(q), 0.10)
    canvas.blend(at, np.clip(alpha * strands * looks.brow_dark, 0, 1), looks.hair * 0.7)


def _glasses(canvas: Canvas, face: Face, looks: Looks) -> None:
    y = face.eye_y + 0.035
    at, u, v = canvas.window(-0.95, 0.95, y - 0.3, y + 0.3)
    rx, ry = face.eye_half + 0.055, 0.145
    r = (np.abs((np.abs(u) - face.eye_x) / rx) ** 3 + np.abs((v - y) / ry) ** 3) ** (1 / 3)
    rim = np.exp(-(((r - 1) * ry / looks.frame_width) ** 4))
    bridge = np.exp(-(((v - y + 0.05) / looks.frame_width) ** 4)) * _step(face.eye_x - rx - np.abs(u))
    arms = np.exp(-(((v - y + 0.04) / (0.8 * looks.frame_width)) ** 4)) * _step(np.abs(u) - face.eye_x - rx)
    if looks.glasses == "dark":
        canvas.blend(at, 0.86 * _step(1 - r, 0.1), 0.5 * looks.frame)
    else:
        streak = _step(1 - r, 0.1) * np.exp(-(((u + v - 0.1 * np.sign(u)) / 0.03) ** 2))
        canvas.blend(at, 0.25 * streak, np.array([0.9, 0.9, 0.9]))
    canvas.blend(at, np.maximum(np.maximum(rim, bridge), arms), looks.frame)


def _hairline(canvas: Canvas, looks: Looks, rng: np.random.Generator) -> None:
    at, u, v = canvas.window(-1, 1, -1.2, 0.25)
    shape = (v.shape[0], u.shape[1])
    wave = 0.03 * noise((1, shape[1]), (1, 14), rng)
    edge = looks.hairline + looks.fringe * u + 0.2 * u * u + 1.3 * np.clip(np.abs(u) - 0.50, 0, 1) + wave
    above = _step(edge - v, 0.035)
    sides = _step(np.abs(u) - looks.temple + 0.10 * np.clip(v + 0.1, -1, 0), 0.03) * _step(0.12 - v, 0.1)
    streaks = np.clip(1 + 0.30 * noise(shape, (5, 60), rng) + 0.12 * noise(shape, (20, 90), rng), 0.3, 2)
    canvas.blend(at, np.maximum(above, sides), looks.hair * streaks[..., None])
