"""Hiding parts of a crop and asking again: occlusion maps, and the test whether a map tells the truth.

Works for any detector, since nothing but ``predict`` is asked.  Shapes: one crop (H, W[, 3]) uint8, cells on
a G x G grid over it, K landmarks, R random draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..imaging.geometry import rescale
from ..structures import Array, InputError

GRID = 16  #: cells along each side
SHARE = 0.1  #: of the cells that the deletion test hides
ENOUGH = 3.0  #: a map that does not hurt so many times as much as chance is not to be trusted
WIDTHS = (2.0, 4.0)  #: cells along a side of the windows that are hidden
DIRECTIONS = 36  #: that are tried
_BLOCK = 64  # crops asked about at a time


class Deletion(NamedTuple):
    """How far landmarks move, in crop px, when a tenth of the cells is hidden."""

    important: Array  #: (K,) the cells that a map calls the most important
    chance: Array  #: (K,) the mean over random tenths

    @property
    def ratio(self) -> Array:
        """(K,) how many times as much the important cells matter."""
        return self.important / np.maximum(self.chance, 1e-6)


def occlusion(model: Any, image: Array, grid: int = GRID) -> Array:
    """How far each cell pushes each landmark, px, where its surroundings are hidden: (K, grid, grid).

    Windows two and four cells wide around each cell show a blurred copy of the crop in place of the crop
    itself (Zeiler & Fergus, ECCV 2014, who used grey: but a grey square has edges, which gradient features
    take for evidence).  Two windows that push a landmark to opposite sides undo each other, so only the
    part of a move along one direction counts: the direction in which the most important tenth of the cells
    agrees best.  What pushes against it has 0.  ``2 * grid**2`` predictions, all landmarks at once.

    Raises
    ------
    InputError
        When the crop has fewer pixels along a side than the grid has cells.
    """
    h, w = image.shape[:2]
    if grid < 1 or min(h, w) < grid:
        raise InputError(f"a grid of {grid} x {grid} cells does not fit a crop of {w} x {h} px")
    blurred = blur(image)

    def crops() -> Iterator[Array]:
        for wide in WIDTHS:
            rows, columns = _windows(h, grid, wide), _windows(w, grid, wide)  # (G, H), (G, W)
            for row in rows:
                for column in columns:
                    yield _mixed(image, blurred, row[:, None] & column, grid)

    xy = _ask(model, image, crops())
    moved = np.nan_to_num(xy[1:] - xy[0]).reshape(len(WIDTHS), grid**2, -1, 2)
    share = np.square(min(WIDTHS) / np.array(WIDTHS)) / len(WIDTHS)  # per area
    return _agreeing(np.einsum("s,sckd->kcd", share, moved)).reshape(-1, grid, grid)


def _agreeing(moves: Array) -> Array:
    """Moves (K, C, 2) to what each adds in the direction on which the largest tenth agrees best: (K, C)."""
    angle = np.linspace(0, 2 * np.pi, DIRECTIONS, endpoint=False)
    along = moves @ np.stack([np.cos(angle), np.sin(angle)])  # (K, C, A)
    n = max(1, round(SHARE * moves.shape[1]))
    best = np.sort(along, axis=1)[:, -n:].sum(1).argmax(1)
    return np.maximum(along[np.arange(len(moves)), :, best], 0)


def deletion_test(
    model: Any,
    image: Array,
    importance: Array,
    landmarks: Sequence[int] | None = None,
    n_draws: int = 20,
    random_state: int = 0,
) -> Deletion:
    """Hide the most important tenth of the cells, and tenths drawn at random; how far do points move?

    Parameters
    ----------
    importance : (K, G, G), what a map says of each landmark; the highest cells count as important
    landmarks : whose maps they are; None: those of all K that the model has, in their order
    n_draws : random tenths, the same for all landmarks

    Returns
    -------
    Deletion
        Both in crop px, measured from the points of the whole crop.  Random *cells* of the same size are
        hidden, not random pixels: noise is a picture of its own.

    References
    ----------
    W. Samek et al., Evaluating the visualization of what a deep neural network has learned, IEEE TNNLS
    28(11), 2017.
    """
    importance = np.asarray(importance, float)
    if importance.ndim != 3 or importance.shape[1] != importance.shape[2]:
        raise InputError(f"importance must have shape (K, G, G), got {importance.shape}")
    k, grid, _ = importance.shape
    n = max(1, round(SHARE * grid**2))
    rng = np.random.default_rng(random_state)
    flat = importance.reshape(k, -1)
    top = np.argsort(-flat, axis=1, kind="stable")[:, :n]
    drawn = np.stack([rng.permutation(grid**2)[:n] for _ in range(n_draws)])
    blurred = blur(image)

    def crops() -> Iterator[Array]:
        for cells in (*top, *drawn):
            mask = np.zeros(grid**2, bool)
            mask[cells] = True
            yield _mixed(image, blurred, _enlarged(mask.reshape(grid, grid), image.shape[:2]), grid)

    xy = _ask(model, image, crops())
    moved = np.nan_to_num(np.linalg.norm(xy[1:] - xy[0], axis=-1))  # (K + R, landmarks of the model)
    moved = moved[:, np.arange(k) if landmarks is None else list(landmarks)]
    return Deletion(moved[:k].diagonal().copy(), moved[k:].mean(0))


def on_grid(pixels: Array, grid: int = GRID) -> Array:
    """A map (H, W) of amounts, summed over each cell: (grid, grid)."""
    h, w = pixels.shape
    rows, columns = _cells(h, grid), _cells(w, grid)
    return np.stack([pixels[rows == i].sum(0) for i in range(grid)]) @ np.eye(grid)[columns]


def blur(image: Array) -> Array:
    """What is shown where something is hidden: the crop blurred by a tenth of its shorter side."""
    return cv2.GaussianBlur(image, (0, 0), min(image.shape[:2]) / 10, borderType=cv2.BORDER_REPLICATE)


def _cells(length: int, grid: int) -> Array:
    """(length,) which cell each pixel is in."""
    return np.arange(length) * grid // length


def _windows(length: int, grid: int, wide: float) -> Array:
    """(grid, length) bool: the pixels of the window, so many cells wide, around each cell."""
    centre = rescale(np.arange(grid)[:, None], length / grid)
    return np.abs(np.arange(length) - centre) < wide / 2 * length / grid


def _enlarged(mask: Array, size_hw: tuple[int, ...]) -> Array:
    rows, columns = (_cells(n, len(mask)) for n in size_hw)
    return mask[rows[:, None], columns]


def _mixed(image: Array, blurred: Array, mask: Array, grid: int) -> Array:
    """The crop, blurred where the mask (H, W) says so, with soft borders: a sharp one would be an edge."""
    sigma = min(mask.shape) / grid / 3
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    soft = soft[..., None] if image.ndim == 3 else soft
    return np.rint(image + soft * (blurred.astype(np.float32) - image)).astype(np.uint8)


def _ask(model: Any, image: Array, crops: Iterator[Array]) -> Array:
    """(1 + N, K, 2): points of the whole crop, then of the others, some at a time."""
    predict: Callable[[Array], Array] = model.predict
    found, block = [], [image]
    for crop in crops:
        block.append(crop)
        if len(block) == _BLOCK:
            found.append(predict(np.stack(block)))
            block = []
    if block:
        found.append(predict(np.stack(block)))
    return np.concatenate(found).astype(float)
