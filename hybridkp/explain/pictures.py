"""Draws what :mod:`.evidence` found: every picture of the page, enlarged so that pixels can be seen.

Pictures come out packed, with a caption; no number is computed that the page states.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from ..descriptors import HOG, SIFT, SURF
from ..descriptors.surf import SCALE_OF_SIZE
from ..imaging import (
    draw_cells,
    draw_heatmap,
    draw_hog,
    draw_landmarks,
    draw_pyramid,
    draw_signed,
    extract_patches,
    gaussian_pyramid,
    grid_offsets,
    resize_points,
    tile,
    to_grey,
)
from ..report.embed import Picture, jpeg_uri
from ..structures import Array, Keypoints, Pyramid
from ..structures.base import evenly
from .evidence import Evidence, Explanation, spread

SIDE = 330  #: px that a crop's shorter side is enlarged to, at least
SMALL = 150  #: of one among many
LENS, ZOOM = 36, 9  #: px around a landmark, and how much larger they are shown
MOST = 80  #: landmarks that get a picture of their own


class Enlarged:
    """A crop made larger by a whole number, and points in it."""

    def __init__(self, crop: Array, side: int) -> None:
        self.factor = -(-side // min(crop.shape[:2]))
        size = crop.shape[1] * self.factor, crop.shape[0] * self.factor
        self.image = cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC)

    def points(self, xy: Array) -> Array:
        return resize_points(np.asarray(xy, float), self.factor)


def picture(image: Array, title: str, caption: str, alt: str = "") -> Picture:
    return Picture(jpeg_uri(image, 88), alt or f"{title}: {caption}", title, caption)


def seen(e: Explanation) -> list[Picture]:
    """The crop as the methods of this library look at it."""
    large, grey = Enlarged(e.crop, SIDE), to_grey(e.crop)
    h, w = grey.shape
    levels = draw_pyramid(gaussian_pyramid(cv2.resize(grey, (256, 256 * h // w)), n_levels=4))
    cell = max(4, min(h, w) // 16)
    soft = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1)
    right, down = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    rises = [np.maximum(right * np.cos(t) + down * np.sin(t), 0) for t in np.pi / 4 * np.arange(8)]
    black = np.zeros((h, w), np.uint8)
    channels = tile([draw_heatmap(black, np.sqrt(rise), strength=1.0) for rise in rises], 4, ground=255)
    pixels = cv2.resize(e.crop, large.image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return [
        picture(pixels, "The crop", f"{w} x {h} px: all that the model is shown."),
        picture(
            levels,
            "Gaussian pyramid",
            "Each level has half the pixels along a side, blurred by what they hold.",
        ),
        picture(
            draw_hog(e.crop, cell), f"HOG, cells of {cell} px", "Strokes lie along the edges of each cell."
        ),
        picture(
            channels,
            "Gradient channels",
            "Where it gets brighter in each of eight directions, the first to the right.",
        ),
        *_windows(e, grey),
    ]


def _windows(e: Explanation, grey: Array) -> list[Picture]:
    """What SIFT, HOG and SURF would say of the landmark's surroundings, seen through a lens."""
    k, name = e.landmark, e.names[e.landmark]
    if not np.isfinite(e.xy[k]).all():
        return []
    pyramid, point = gaussian_pyramid(grey, 1), Keypoints(e.xy[k : k + 1])
    lens = extract_patches(e.crop, e.xy[k : k + 1], LENS * ZOOM, 1 / ZOOM)[0]
    middle = np.full(2, (LENS * ZOOM - 1) / 2)
    out = []
    for title, words, places, side, rays, turn in _described(pyramid, point):
        drawn = draw_cells(lens, middle, places * ZOOM, side * ZOOM, rays, turn)
        out.append(picture(drawn, f"{title} at {name}", words))
    return out


def _described(pyramid: Pyramid, point: Keypoints) -> Iterator[tuple[str, str, Array, float, Array, Array]]:
    """Title, words, cells, their side, rays and their angles, for each of three descriptors."""
    sift, hog, surf = SIFT(size_px=4), HOG(cells=4, cell_px=6), SURF(upright=True, size_px=9)
    places, side = sift.feature_places()
    rows = sift.describe(pyramid, point)[0].reshape(16, 8)
    yield (
        "SIFT",
        "Sixteen cells; gradients of eight directions.",
        places[::8],
        side,
        rows,
        -45.0 * np.arange(8),  # y up,
    )
    places, side = hog.feature_places()
    rows = np.tile(hog.describe(pyramid, point)[0].reshape(16, 9), (1, 2))
    turn = 20.0 * np.arange(18) + 100  # along the edge: across the gradient
    yield "HOG", "Edges of nine directions, each cell by itself.", places[::9], side, rows, turn
    side = 5 * 9 * SCALE_OF_SIZE  # a window of 20 s
    rows = surf.describe(pyramid, point)[0].reshape(16, 4)
    sums = np.maximum(np.stack([rows[:, 0], rows[:, 1], -rows[:, 0], -rows[:, 1]], axis=1), 0)
    words = "Where it gets brighter: two sums in each cell."
    yield "SURF", words, grid_offsets(4, side).reshape(-1, 2), side, sums, 90.0 * np.arange(4)


def stages(e: Explanation) -> list[Picture]:
    """One picture a stage; rings are the stage before."""
    large, before, out = Enlarged(e.crop, SIDE), None, []
    for number, stage in enumerate(e.stages, 1):
        xy = large.points(stage.xy[0])
        drawn = draw_landmarks(large.image, xy, truth=before)
        moved = (
            ""
            if before is None
            else f"moved by {np.nanmean(_far(xy, before)) / large.factor:.2f} px on average"
        )
        out.append(
            picture(drawn, f"{number}. {stage.name}", moved, f"points after stage {number}, {stage.name}")
        )
        before = xy
    return out


def _far(a: Array, b: Array) -> Array:
    return np.linalg.norm(a - b, axis=-1)


def voices(e: Explanation) -> list[Picture]:
    """What each member of each combination said; rings are the combination's result."""
    large, result = Enlarged(e.crop, SIDE), e.xy
    return [
        picture(
            draw_landmarks(large.image, large.points(voice.xy[0]), truth=large.points(result)),
            voice.name,
            f"weight {voice.weight[0].mean():.0%} on average, {voice.weight[0, e.landmark]:.0%} at"
            f" {e.names[e.landmark]}",
        )
        for _, members in e.voices
        for voice in members
    ]


def responses(e: Explanation) -> list[Picture]:
    """The map of each landmark, all of them or as many evenly chosen ones."""
    if e.maps is None:
        return []
    return [
        _small(e, k, draw_heatmap(Enlarged(e.crop, SMALL).image, e.maps[k]), f"{e.score[k]:.0%}")
        for k in _some(e)
    ]


def hidden(e: Explanation) -> list[Picture]:
    """The occlusion map of each landmark."""
    return [
        _small(
            e, k, draw_heatmap(Enlarged(e.crop, SMALL).image, e.occlusion[k]), f"{e.deletion.ratio[k]:.1f} ×"
        )
        for k in _some(e)
    ]


def _some(e: Explanation) -> Sequence[int]:
    n = len(e.names)
    return evenly(n, MOST).tolist()


def _small(e: Explanation, k: int, drawn: Array, caption: str) -> Picture:
    large = Enlarged(e.crop, SMALL)
    return picture(draw_landmarks(drawn, large.points(e.xy[k : k + 1])), e.names[k], caption)


def evidence(e: Explanation, found: Evidence) -> Picture:
    """Where the landmark's evidence lies; exact parts in two signs."""
    large = Enlarged(e.crop, SIDE)
    if found.parts is None:
        drawn = draw_heatmap(large.image, found.map)
    else:
        drawn = draw_signed(large.image, spread(found.parts, found.parts.value, e.crop.shape[:2]))
    point = large.points(e.xy[e.landmark : e.landmark + 1])
    return picture(draw_landmarks(drawn, point), found.name, found.words + ".")


def messages(e: Explanation) -> list[Picture]:
    """What the landmark's own map and each neighbour in the tree say."""
    large = Enlarged(e.crop, SIDE)
    point = large.points(e.xy[e.landmark : e.landmark + 1])
    return [
        picture(
            draw_landmarks(draw_heatmap(large.image, m.map), point),
            f"{e.names[m.landmark]} says",
            f"without it the point would be {np.hypot(*m.moved):.2f} px away",
        )
        for m in e.messages
    ]
