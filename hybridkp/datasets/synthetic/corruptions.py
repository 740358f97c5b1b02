"""Harder copies of a data set: blur, noise, JPEG, low light, occlusion, rotation, small size.

Each kind has four severities with stated physical values, so that curves over severity can be
drawn.  Pictures are corrupted when they are read; points and boxes move along where the picture's
geometry changes.  Nothing is trained on these copies here, and no file is written.

References
----------
D. Hendrycks, T. Dietterich, Benchmarking neural network robustness to common corruptions and
perturbations, ICLR 2019 (the idea of graded severities; the values here are our own, in units of
the object's box where that makes sense).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np

from ...imaging.crops import move_modality
from ...imaging.geometry import about_middle, apply_affine, map_box, resize_matrix, scale_of, warp
from ...imaging.images import as_uint8
from ...structures import Array, Dataset, InputError, Instance, Sample

SEVERITIES = (1, 2, 3, 4)


class Corruption(NamedTuple):
    """What a kind does; ``values`` are those of the severities 1 to 4."""

    values: tuple[float, ...]
    unit: str  #: what the values are, for the axis of a plot
    change: Callable[[Array, Array, float, np.random.Generator], Array] | None = None
    move: Callable[[tuple[int, int], float, np.random.Generator], tuple[Array, tuple[int, int]]] | None = None


def corrupted(dataset: Dataset, kind: str, severity: int, random_state: int = 0) -> Dataset:
    """The same objects in harder pictures.

    Parameters
    ----------
    kind : one of :data:`CORRUPTIONS`
    severity : 1 to 4
    random_state : the same seed gives each picture the same place of occlusion and side of rotation
        at every severity

    Returns
    -------
    Dataset named ``<name>+<kind>-<severity>``; its samples keep names, groups and the order of
    instances, so that answers can be compared object by object

    Raises
    ------
    InputError
        For an unknown kind or severity.
    """
    if kind not in CORRUPTIONS:
        raise InputError(f"unknown corruption {kind!r}: there are {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise InputError(f"severity {severity}: give 1, 2, 3 or 4")
    samples = tuple(_corrupted(s, kind, severity, random_state) for s in dataset.samples)
    return replace(dataset, name=f"{dataset.name}+{kind}-{severity}", samples=samples)


def _corrupted(sample: Sample, kind: str, severity: int, random_state: int) -> Sample:
    corruption = CORRUPTIONS[kind]
    seed = [random_state, zlib.crc32(sample.name.encode()), zlib.crc32(kind.encode())]
    value = corruption.values[severity - 1]
    if corruption.move is None:
        load = partial(_changed, sample.load, sample.instances, kind, value, tuple(seed))
        return replace(sample, load=load)
    size_hw = sample.size_hw or as_uint8(sample.image, sample.name).shape[:2]
    matrix, out_hw = corruption.move(size_hw, value, np.random.default_rng(seed))
    instances = tuple(_moved(instance, matrix) for instance in sample.instances)
    further = {
        name: partial(_moved_along, name, load, matrix, out_hw) for name, load in sample.modalities.items()
    }
    load = partial(_warped, sample.load, matrix, out_hw)
    scale = abs(float(np.linalg.det(matrix[:, :2]))) ** 0.5
    moved = {"instances": instances, "size_hw": out_hw, "mm_per_px": sample.mm_per_px / scale}
    return replace(sample, load=load, modalities=further, **moved)


def _changed(
    load: Callable[[], Array],
    instances: tuple[Instance, ...],
    kind: str,
    value: float,
    seed: tuple[int, ...],
) -> Array:
    change = CORRUPTIONS[kind].change
    assert change is not None
    image = as_uint8(load())
    boxes = [i.box_xywh for i in instances if np.isfinite(i.box_xywh).all() and (i.box_xywh[2:] > 0).all()]
    whole = [np.array([0.0, 0.0, image.shape[1], image.shape[0]])]
    return change(image, np.stack(boxes or whole), value, np.random.default_rng(seed))


def _warped(load: Callable[[], Array], matrix: Array, size_hw: tuple[int, int]) -> Array:
    return warp(as_uint8(load()), matrix, size_hw)


def _moved_along(name: str, load: Callable[[], Any], matrix: Array, size_hw: tuple[int, int]) -> Any:
    """A further modality of a moved picture, in its own dtype."""
    return move_modality(name, load(), matrix, size_hw)


def _moved(instance: Instance, matrix: Array) -> Instance:
    return replace(
        instance,
        xy=apply_affine(matrix, instance.xy),
        box_xywh=map_box(matrix, instance.box_xywh),
        area=instance.area * float(scale_of(matrix)) ** 2,
    )


# --------------------------------------------------------------------------------------------
# what each kind does: (picture, boxes (N, 4), value, generator) -> picture
# --------------------------------------------------------------------------------------------


def _blur(image: Array, boxes: Array, value: float, rng: np.random.Generator) -> Array:
    sigma = value / 100 * float(np.sqrt(boxes[:, 2] * boxes[:, 3]).mean())
    return cv2.GaussianBlur(image, (0, 0), max(sigma, 0.01), borderType=cv2.BORDER_REPLICATE)


def _noise(image: Array, boxes: Array, value: float, rng: np.random.Generator) -> Array:
    return _round(image + value * rng.standard_normal(image.shape, np.float32))


def _jpeg(image: Array, boxes: Array, value: float, rng: np.random.Generator) -> Array:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(value)])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR if image.ndim == 3 else cv2.IMREAD_GRAYSCALE))


def _low_light(image: Array, boxes: Array, value: float, rng: np.random.Generator) -> Array:
    """The sensor gets 1 / value of the light: fewer steps, and noise of 2 grey levels stays."""
    return _round(image / np.float32(value) + 2 * rng.standard_normal(image.shape, np.float32))


def _occlusion(image: Array, boxes: Array, value: float, rng: np.random.Generator) -> Array:
    """A rectangle of one colour over ``value`` percent of each box, anywhere inside it."""
    out = image.copy()
    for x, y, w, h in boxes:
        aspect = np.exp(rng.uniform(-0.5, 0.5))
        share = value / 100
        side = np.minimum([np.sqrt(share * aspect), np.sqrt(share / aspect)], 1.0)
        start = np.array([x, y]) + rng.uniform(0, 1, 2) * (1 - side) * [w, h]
        x0, y0 = np.maximum(np.rint(start), 0).astype(int)
        x1, y1 = np.maximum(np.rint(start + side * [w, h]), 0).astype(int)
        out[y0:y1, x0:x1] = rng.integers(0, 256, image.shape[2:], np.uint8)
    return out


def _round(image: Array) -> Array:
    return np.rint(image).clip(0, 255).astype(np.uint8)


# --------------------------------------------------------------------------------------------
# what moves: (picture's size, value, generator) -> map of points (2, 3), size
# --------------------------------------------------------------------------------------------


def _rotation(
    size_hw: tuple[int, int], value: float, rng: np.random.Generator
) -> tuple[Array, tuple[int, int]]:
    """About the picture's centre, to a random side; the size stays, the border repeats."""
    return about_middle(size_hw, value if rng.random() < 0.5 else -value), size_hw


def _smaller(
    size_hw: tuple[int, int], value: float, rng: np.random.Generator
) -> tuple[Array, tuple[int, int]]:
    out_hw = (max(2, round(size_hw[0] / value)), max(2, round(size_hw[1] / value)))
    return resize_matrix((out_hw[1] / size_hw[1], out_hw[0] / size_hw[0])), out_hw


CORRUPTIONS: dict[str, Corruption] = {
    "blur": Corruption((0.75, 1.5, 2.5, 4.0), "sigma, % of the box side", change=_blur),
    "noise": Corruption((10.0, 20.0, 40.0, 60.0), "standard deviation, grey levels", change=_noise),
    "jpeg": Corruption((30.0, 15.0, 8.0, 4.0), "JPEG quality", change=_jpeg),
    "low-light": Corruption((3.0, 8.0, 16.0, 32.0), "times less light", change=_low_light),
    "occlusion": Corruption((10.0, 20.0, 30.0, 40.0), "% of the box covered", change=_occlusion),
    "rotation": Corruption((10.0, 20.0, 30.0, 45.0), "degrees, to either side", move=_rotation),
    "small": Corruption((2.0, 4.0, 6.0, 8.0), "times smaller", move=_smaller),
}
