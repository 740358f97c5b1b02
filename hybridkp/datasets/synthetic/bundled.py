"""Photographs that lie in the wheels of scikit-image and scikit-learn: which ones judge, which ones teach.

The two lists share no picture, so that nothing learned from :data:`TRAIN_PICTURES` is judged on what
it has seen.  Files are read where the packages are installed; nothing is fetched from anywhere.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from ...structures import Array, InputError
from ..lookup import load_picture

#: only for judging, together with the motorcycle stereo pair: never to train or tune on
BENCH_PICTURES = ("astronaut", "camera", "coffee")

#: for everything of the interest-point task that learns; the last two are scikit-learn's
TRAIN_PICTURES = (
    *("brick", "cell", "chelsea", "chessboard_GRAY", "clock_motion", "coins", "grass", "gravel"),
    *("hubble_deep_field", "ihc", "moon", "page", "retina", "rocket", "text"),
    *("china", "flower"),
)
_OF_SKLEARN = ("china", "flower")
_STEREO = ("motorcycle_left.png", "motorcycle_right.png", "motorcycle_disp.npz")


def bundled_picture(name: str) -> Array:
    """One picture of the two lists, (H, W) or (H, W, 3) uint8 BGR.

    Raises
    ------
    InputError
        For another name, and when the installed package lacks the file.
    """
    if name not in BENCH_PICTURES + TRAIN_PICTURES:
        raise InputError(
            f"no bundled picture {name!r}; there are {', '.join(BENCH_PICTURES + TRAIN_PICTURES)}"
        )
    return load_picture(str(_bundled_path(name)))


def training_pictures(short_side: int | None = None) -> dict[str, Array]:
    """Name -> picture for :data:`TRAIN_PICTURES`, (H, W) or (H, W, 3) uint8 BGR, in a fixed order.

    With ``short_side`` larger pictures are shrunk (by area) to that short side; none is enlarged.
    """
    found = {name: bundled_picture(name) for name in TRAIN_PICTURES}
    if short_side is None:
        return found
    return {name: _shrunk(image, short_side) for name, image in found.items()}


def stereo_picture(index: int) -> Array:
    """The left (0) or right (1) picture of the motorcycle pair (Middlebury 2014), (500, 741, 3) BGR."""
    return load_picture(str(_file_of("skimage", "data", _STEREO[index])))


def stereo_disparity() -> Array:
    """(500, 741) float32, NaN where unknown: left (x, y) is right (x - disparity, y)."""
    path = _file_of("skimage", "data", _STEREO[2])
    with np.load(path, allow_pickle=False) as file:
        disparity: Array = file["arr_0"].astype(np.float32)
    disparity[~np.isfinite(disparity)] = np.nan
    return disparity


def _shrunk(image: Array, short_side: int) -> Array:
    h, w = image.shape[:2]
    scale = short_side / min(h, w)
    if scale >= 1:
        return image
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    shrunk: Array = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return shrunk


def _bundled_path(name: str) -> Path:
    if name in _OF_SKLEARN:
        return _file_of("sklearn", "datasets/images", f"{name}.jpg")
    path = _file_of("skimage", "data", f"{name}.png")
    return path if path.is_file() else path.with_suffix(".jpg")


def _file_of(package: str, folder: str, file_name: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{package} is not installed, and its picture {file_name} is needed")
    return Path(spec.submodule_search_locations[0]) / folder / file_name
