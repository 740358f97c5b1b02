"""From a painted head to a photograph: cast rays, light, hair, neck, background, things in the way, camera.

Arrays are pictures (H, W, 3) float32 BGR in 0..1.  The head is hit by parallel rays (weak
perspective) and its texture is read where they hit, so a landmark's place in the picture is its
surface point's projection, to a few hundredths of a pixel.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ...structures import Array
from .faces_model import DENSITY, Face, base_depth, draw_face, half_width, profile, relief_map
from .faces_paint import Looks, draw_looks, noise, paint

#: scikit-image's pictures that lie in its wheel, shared out so that train and val differ
BACKGROUNDS: dict[str, tuple[str, ...]] = {
    "real-train": (
        "astronaut.png",
        "brick.png",
        "coffee.png",
        "coins.png",
        "grass.png",
        "motorcycle_left.png",
    ),
    "real-val": ("camera.png", "chelsea.png", "gravel.png", "rocket.jpg", "text.png", "clock_motion.png"),
}
BACKGROUNDS["real"] = BACKGROUNDS["real-train"] + BACKGROUNDS["real-val"]


#: steps towards the head along a ray, head units, between which the relief is looked for
MARCH = np.linspace(0.40, -0.12, 11, dtype=np.float32)

EDGE = cv2.BORDER_REPLICATE


class View(NamedTuple):
    """Weak perspective: camera = scale * (rotation @ head) + centre, in picture px."""

    rotation: Array
    scale: float
    centre: Array

    def project(self, points: Array) -> Array:
        """(N, 3) head points to (N, 3): picture x, y, and depth towards the viewer in head units."""
        camera = points @ self.rotation.T
        return np.column_stack([self.scale * camera[:, :2] + self.centre, camera[:, 2]])


def rotation_matrix(yaw: float, pitch: float, roll: float) -> Array:
    """(3, 3) from degrees: nod (pitch), then turn (yaw), then tilt in the picture (roll)."""
    (cy, cp, cr), (sy, sp, sr) = (
        np.cos(np.deg2rad([yaw, pitch, roll])),
        np.sin(np.deg2rad([yaw, pitch, roll])),
    )
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return tilt @ turn @ nod


def to_texture(values: Array, size: int) -> Array:
    """Head coordinate to texture px along an axis of ``size`` px."""
    return values * DENSITY + (size - 1) / 2


def read_map(texture: Array, u: Array, v: Array) -> Array:
    """A texture (H, W[, C]) at head coordinates (h, w), bilinear."""
    h, w = texture.shape[:2]
    x, y = to_texture(u, w).astype(np.float32), to_texture(v, h).astype(np.float32)
    return cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=EDGE)


class Hit(NamedTuple):
    """Where the rays of a window (h, w) hit the head."""

    window: tuple[slice, slice]
    u: Array
    v: Array
    depth: Array  #: towards the viewer, head units; u is unrolled past the silhouette's sides
    cover: Array  #: 0..1, anti-aliased


def cast(face: Face, height: Array, view: View, size_hw: tuple[int, int]) -> Hit:
    """Ray casting: the base surface by Newton's method, the relief by marching and the secant rule."""
    reach = 1.15 * view.scale
    x0, y0 = np.maximum(np.floor(view.centre - reach), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(view.centre + reach), [size_hw[1], size_hw[0]]).astype(int)
    xc = ((np.arange(x0, x1) - view.centre[0]) / view.scale).astype(np.float32)[None]
    yc = ((np.arange(y0, y1) - view.centre[1]) / view.scale).astype(np.float32)[:, None]
    r = view.rotation.astype(np.float32)
    start = [r[0, i] * xc + r[1, i] * yc for i in range(3)]
    d = r[2]
    t, cover = _base_hit(face, start, d)
    front = (start[2] + t * d[2] > 0.06) & (cover > 0)
    rows, cols = np.flatnonzero(front.any(1)), np.flatnonzero(front.any(0))
    if len(rows):
        part = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        lift = _relief_hit(face, height, [s[part] for s in start], d, t[part])
        t[part] += np.where(front[part], lift, 0)
    u, v = start[0] + t * d[0], start[1] + t * d[1]
    rim = half_width(face, v) * np.sqrt(np.maximum(1 - profile(face, v)[0], 0))
    behind = start[2] + t * d[2] < 0  # the texture runs on round the side instead of folding back
    u = np.where(behind, np.sign(u) * (2 * rim - np.abs(u)), u)
    return Hit((slice(y0, y1), slice(x0, x1)), u, v, t, cover)


def _base_hit(face: Face, start: list[Array], d: Array) -> tuple[Array, Array]:
    """Depth t of the base surface along each ray, and the silhouette's coverage."""
    t = np.zeros_like(start[0])

    def value(t: Array) -> tuple[Array, Array, Array]:
        x, y, z = (s + t * di for s, di in zip(start, d, strict=True))
        a2, c2 = half_width(face, y) ** 2, face.depth**2
        p, dp = profile(face, y)
        curve = 2 * d[0] ** 2 / a2 + 2 * d[2] ** 2 / c2 + 4 * d[1] ** 2
        return x * x / a2 + p + z * z / c2 - 1, 2 * x * d[0] / a2 + dp * d[1] + 2 * z * d[2] / c2, curve

    for _ in range(3):  # the ray's nearest approach
        _, slope, curve = value(t)
        t = t - slope / curve
    low, _, curve = value(t)
    gy, gx = np.gradient(low)
    cover = np.clip(0.5 - low / np.maximum(np.hypot(gx, gy), 1e-4), 0, 1)
    t = t + np.sqrt(np.maximum(-2 * low / curve, 0))
    for _ in range(3):  # the front root
        f, slope, _ = value(t)
        t = np.where(low < -1e-3, t - np.clip(f / np.maximum(slope, 0.2), -0.3, 0.3), t)
    return t, cover.astype(np.float32)


def _relief_hit(face: Face, height: Array, start: list[Array], d: Array, t: Array) -> Array:
    """What the relief adds to t: the first crossing from the viewer's side."""

    def gap(s: Array) -> Array:
        x, y, z = (s0 + (t + s) * di for s0, di in zip(start, d, strict=True))
        return z - base_depth(face, np.stack([x, y], -1)) - read_map(height, x, y)

    # march down with the base's gap taken as linear: cheap, and only to find the bracket
    th, tw = height.shape
    tx = to_texture(start[0] + t * d[0], tw).astype(np.float32)
    ty = to_texture(start[1] + t * d[1], th).astype(np.float32)
    dx, dy = np.float32(d[0] * DENSITY), np.float32(d[1] * DENSITY)
    x, y, z = (s0 + (t + MARCH[1]) * di for s0, di in zip(start, d, strict=True))
    slope = (z - base_depth(face, np.stack([x, y], -1))) / MARCH[1]  # the gap is nearly linear in s
    above, below = np.full_like(t, MARCH[0]), np.full_like(t, MARCH[-1])
    found = np.zeros(t.shape, bool)
    for before, level in pairwise(MARCH):
        lift = cv2.remap(height, tx + level * dx, ty + level * dy, cv2.INTER_LINEAR, borderMode=EDGE)
        now = ~found & (level * slope <= lift)
        above, below = np.where(now, before, above), np.where(now, level, below)
        found |= now
    above, below = above + np.float32(0.01), below - np.float32(0.01)
    g_above, g_below = gap(above), gap(below)
    for _ in range(4):  # regula falsi with a floor on its steps
        s = above + (below - above) * np.clip(g_above / np.maximum(g_above - g_below, 1e-6), 0.02, 0.98)
        g = gap(s)
        over = g > 0
        above, g_above = np.where(over, s, above), np.where(over, g, g_above)
        below, g_below = np.where(over, below, s), np.where(over, g_below, g)
    return np.where(found, s, 0)


# --------------------------------------------------------------------------------------------
# light
# --------------------------------------------------------------------------------------------


class Light(NamedTuple):
    direction: Array  #: (3,) unit, towards the lamp, camera axes
    ambient: float
    diffuse: float
    shine: float
    colour: Array  #: (3,) BGR


def draw_light(rng: np.random.Generator, strength: float) -> Light:
    """A lamp from anywhere in front; ``strength`` 0 is even light from the viewer."""
    azimuth, up = np.deg2rad(strength * rng.normal(0, 45)), np.deg2rad(25 + strength * rng.normal(0, 22))
    direction = np.array([np.sin(azimuth) * np.cos(up), -np.sin(up), np.cos(azimuth) * np.cos(up)])
    direction[2] = max(direction[2], 0.1)
    ambient = float(np.clip(0.55 - 0.22 * strength * rng.random(), 0.1, 1))
    exposure = float(np.exp(strength * rng.normal(0, 0.22)))
    return Light(
        direction / np.linalg.norm(direction),
        ambient * exposure,
        float((1.15 - ambient) * exposure),
        0.30 * float(rng.random()) * strength,
        1 + strength * rng.normal(0, 0.05, 3),
    )


def shade(albedo: Array, hit: Hit, view: View, light: Light) -> Array:
    """Lambert and a little gloss on the normals of the depth map; (h, w, 3)."""
    depth = cv2.GaussianBlur(hit.depth, (0, 0), 0.8)
    gy, gx = np.gradient(depth * np.float32(view.scale))
    normal_z = 1 / np.sqrt(1 + gx * gx + gy * gy)
    lx, ly, lz = light.direction.astype(np.float32)
    facing = np.clip((lz - gx * lx - gy * ly) * normal_z, 0, 1)
    half = np.array([lx, ly, lz + 1], np.float32)
    half /= np.linalg.norm(half)
    gloss = np.clip((half[2] - gx * half[0] - gy * half[1]) * normal_z, 0, 1)  # Blinn's half vector
    for _ in range(4):
        gloss = gloss * gloss
    lit = np.sqrt(light.ambient + light.diffuse * facing)  # the square root: from light to display
    return albedo * lit[..., None] + (light.shine * gloss)[..., None]


# --------------------------------------------------------------------------------------------
# around the head
# --------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _stored_picture(file_name: str) -> Array | None:
    import skimage.data

    path = Path(skimage.data.__file__).parent / file_name
    return cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None


def background(kind: str, size_hw: tuple[int, int], rng: np.random.Generator) -> Array:
    """A random cut of a real picture ("real", "real-train", "real-val") or smooth "noise"."""
    h, w = size_hw
    names = BACKGROUNDS.get(kind, ())
    picture = _stored_picture(names[rng.integers(len(names))]) if names else None
    if picture is None:
        cells = int(rng.integers(2, 24))
        out = rng.uniform(0.1, 0.8, 3) + 0.15 * np.stack(
            [noise(size_hw, (cells, cells), rng) for _ in range(3)], -1
        )
        return np.clip(out, 0, 1).astype(np.float32)
    ph, pw = picture.shape[:2]
    side = min(ph, pw, int(min(ph, pw) * rng.uniform(0.35, 1)))
    y, x = int(rng.integers(0, ph - side + 1)), int(rng.integers(0, pw - side + 1))
    cut = cv2.resize(picture[y : y + side, x : x + side], (w, h), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        cut = cut[:, ::-1]
    gain = rng.uniform(0.55, 1.15) * (1 + 0.06 * rng.standard_normal(3)) / 255
    return np.clip(cut * gain.astype(np.float32), 0, 1)


@lru_cache(maxsize=12)
def _foreign_skin(seed: int) -> tuple[Array, Face]:
    """Somebody else's painted face, for clutter."""
    rng = np.random.default_rng([977, seed])
    face = draw_face(rng, rng, 1.0)
    return paint(face, draw_looks(rng), relief_map(face), rng), face


def add_clutter(picture: Array, rng: np.random.Generator, count: int) -> None:
    """Eyes and mouths of other faces, turned and scaled, laid into the picture in place."""
    h, w = picture.shape[:2]
    for _ in range(count):
        skin, face = _foreign_skin(int(rng.integers(12)))
        middle = np.array([[face.eye_x, face.eye_y], [0, face.mouth_y], [0, face.nose_y]][rng.integers(3)])
        th, tw = skin.shape[:2]
        source = (float(to_texture(middle[0], tw)), float(to_texture(middle[1], th)))
        scale = rng.uniform(0.25, 0.65) * h / 192
        matrix = cv2.getRotationMatrix2D(source, float(rng.normal(0, 35)), scale)
        target = rng.uniform(0, 1, 2) * [w, h]
        matrix[:, 2] += target - np.array(source)
        part = cv2.warpAffine(skin, matrix, (w, h), flags=cv2.INTER_LINEAR)
        radius = 0.27 * DENSITY * scale
        blob = elliptic(picture.shape[:2], target, (radius * 1.2, radius * 0.8), 0, 0.35)
        _lay(picture, blob, part)


def elliptic(
    size_hw: tuple[int, int], centre: Any, axes: tuple[float, float], angle: float, soft: float
) -> Array:
    """(H, W) float32 mask of an ellipse; ``soft`` is its edge's width relative to the axes."""
    x = np.arange(size_hw[1], dtype=np.float32)[None] - np.float32(centre[0])
    y = np.arange(size_hw[0], dtype=np.float32)[:, None] - np.float32(centre[1])
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    q = np.sqrt(((cos * x + sin * y) / axes[0]) ** 2 + ((cos * y - sin * x) / axes[1]) ** 2)
    return np.clip((1 - q) / soft + 0.5, 0, 1).astype(np.float32)


def _lay(picture: Array, mask: Array, colour: Array) -> None:
    picture += mask[..., None] * (np.asarray(colour, np.float32) - picture)


def add_body(
    picture: Array, face: Face, looks: Looks, view: View, light: Light, rng: np.random.Generator
) -> None:
    """Hair behind the head, neck, shoulders and ears, in place."""
    size_hw = picture.shape[:2]
    s, roll = view.scale, float(np.arctan2(view.rotation[1, 0], view.rotation[0, 0]))
    lit = float(np.sqrt(light.ambient + 0.55 * light.diffuse))
    streaks = 1 + 0.28 * noise(size_hw, (6, 70), rng) + 0.1 * noise(size_hw, (3, 20), rng)
    streaks = np.clip(streaks, 0.3, 2)[..., None]
    edge = 0.03 + 0.05 * rng.random()
    if looks.hair_volume > 0:
        centre = view.project(np.array([[0, -0.10, -0.15]]))[0, :2]
        wide = face.width * (1.03 + 0.26 * looks.hair_volume) * s
        mask = elliptic(size_hw, centre, (wide, face.top * (0.98 + 0.22 * looks.hair_volume) * s), roll, edge)
        if looks.hair_length > 0.4:
            low = view.project(np.array([[0, 0.35 * looks.hair_length, -0.3]]))[0, :2]
            tall = (0.55 * looks.hair_length + 0.65) * s
            mask = np.maximum(mask, elliptic(size_hw, low, (1.02 * wide, tall), 0.6 * roll, edge))
        _lay(picture, mask, (0.8 * lit * looks.hair) * streaks)
    _neck_and_cloth(picture, looks, view, roll, lit, rng)
    for side in (-1, 1) if looks.hair_length < 0.4 else ():
        ear = view.project(np.array([[side * 0.99 * face.width, 0.06, -0.05]]))[0, :2]
        mask = elliptic(size_hw, ear, (0.10 * s, 0.18 * s), roll - 0.15 * side, 0.12)
        _lay(picture, mask, (0.80 * lit * looks.skin) * np.ones_like(picture))


def _neck_and_cloth(
    picture: Array, looks: Looks, view: View, roll: float, lit: float, rng: np.random.Generator
) -> None:
    h, w = picture.shape[:2]
    s = np.float32(view.scale)
    top = int(np.clip(view.centre[1] + 0.3 * s, 0, h - 1))  # nothing above
    x = (np.arange(w, dtype=np.float32)[None] - np.float32(view.centre[0])) / s
    y = (np.arange(top, h, dtype=np.float32)[:, None] - np.float32(view.centre[1])) / s
    across = x + np.float32(0.5 * np.sin(roll)) * (y - np.float32(0.5))
    part = picture[top:]
    thick = rng.uniform(0.40, 0.54)
    round_ = np.sqrt(np.clip(1 - 0.75 * (across / thick) ** 2, 0.05, 1)) * (
        0.60 + 0.45 * np.clip(y - 0.9, 0, 1)
    )
    _lay(part, np.clip((thick - np.abs(across)) * s + 0.5, 0, 1), (lit * looks.skin) * round_[..., None])
    neckline = (
        rng.uniform(1.20, 1.45) + 0.22 * across**2 + rng.uniform(0, 0.35) * np.exp(-((across / 0.3) ** 2))
    )
    folds = 1 + 0.12 * noise(across.shape, (5, 12), rng)
    if rng.random() < 0.3:
        folds = folds + 0.2 * np.sin(np.float32(rng.uniform(8, 25)) * (across if rng.random() < 0.5 else y))
    _lay(part, np.clip((y - neckline) * s + 0.5, 0, 1), (0.9 * lit * looks.cloth) * folds[..., None])


def draw_occluder(size_hw: tuple[int, int], view: View, rng: np.random.Generator) -> tuple[str, Array]:
    """Something in front of the face: what, and its (H, W) mask."""
    s = view.scale
    at = view.centre + s * rng.uniform([-0.6, -0.5], [0.6, 0.95])
    angle = float(rng.uniform(-1.2, 1.2))
    what = str(rng.choice(["thing", "board", "fingers", "strand"], p=[0.3, 0.2, 0.3, 0.2]))
    if what == "fingers":
        mask = np.zeros(size_hw, np.float32)
        step = 0.135 * s * np.array([np.cos(angle), np.sin(angle)])
        for i in range(int(rng.integers(2, 5))):
            axes = (0.075 * s, rng.uniform(0.32, 0.5) * s)
            mask = np.maximum(mask, elliptic(size_hw, at + i * step, axes, angle, 0.15))
    elif what == "strand":
        mask = elliptic(size_hw, at, (rng.uniform(0.03, 0.08) * s, rng.uniform(0.6, 1.0) * s), angle, 0.4)
    elif what == "thing":
        mask = elliptic(size_hw, at, tuple(s * rng.uniform(0.14, 0.36, 2)), angle, 0.08)
    else:
        half = s * rng.uniform(0.12, 0.34, 2)
        x = np.abs(np.arange(size_hw[1])[None] - at[0])
        y = np.abs(np.arange(size_hw[0])[:, None] - at[1])
        mask = np.clip(np.minimum(half[0] - x, half[1] - y) + 0.5, 0, 1).astype(np.float32)
    return what, mask


def add_occluder(
    picture: Array, what: str, mask: Array, kind: str, skin: Array, rng: np.random.Generator
) -> None:
    """Lay the thing of :func:`draw_occluder` into the picture, in place."""
    size_hw = picture.shape[:2]
    if what == "fingers":
        round_ = 0.55 + 0.45 * mask + 0.06 * noise(size_hw, (20, 20), rng)
        colour = skin * np.clip(round_, 0, 1.2)[..., None]
    elif what == "strand":
        colour = np.broadcast_to(rng.uniform(0.03, 0.25, 3), picture.shape)
    else:
        colour = background(kind, size_hw, rng)
    _lay(picture, mask, colour)


def expose(picture: Array, light: Light, blur: float, grain: float, rng: np.random.Generator) -> Array:
    """The camera: colour cast, contrast, blur, noise; (H, W, 3) uint8."""
    h = picture.shape[0]
    tone = np.linspace(0, 1, 1024, dtype=np.float32) ** np.float32(np.exp(rng.normal(0, 0.12)))
    steps = np.clip(picture * (1023 * light.colour).astype(np.float32) + 0.5, 0, 1023)
    out: Array = tone[steps.astype(np.uint16)]
    sigma = blur * abs(rng.normal(0, 0.75)) * h / 192
    if sigma > 0.2:
        out = cv2.GaussianBlur(out, (0, 0), sigma)
    if rng.random() < 0.12 * blur:
        length = 3 + 2 * int(rng.integers(1, 3))
        kernel = cv2.warpAffine(
            np.eye(length, dtype=np.float32),
            cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), float(rng.uniform(0, 180)), 1),
            (length, length),
        )
        kernel = (kernel + kernel[::-1, ::-1]) / 2  # symmetric: the blur must not move the points
        out = cv2.filter2D(out, -1, kernel / max(float(kernel.sum()), 1e-6))
    level = grain * rng.uniform(0.002, 0.030)
    out = out + level * rng.standard_normal(out.shape, dtype=np.float32)
    return np.clip(out * 255 + 0.5, 0, 255).astype(np.uint8)
