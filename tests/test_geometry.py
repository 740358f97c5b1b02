"""The half pixel: boxes, crops, flips and samplers against pictures of a known blob."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridkp.imaging import geometry
from hybridkp.structures import InputError


def blob(size_hw: tuple[int, int], xy: np.ndarray, sigma: float = 4.0) -> np.ndarray:
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]]
    square = (columns - xy[0]) ** 2 + (rows - xy[1]) ** 2
    return (255 * np.exp(-square / (2 * sigma**2))).astype(np.float32)


def centroid(image: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(image.shape)
    return np.array([(image * columns).sum(), (image * rows).sum()]) / image.sum()


@pytest.mark.parametrize("seed", range(8))
def test_box_crop_resize_flip_and_back_within_two_hundredths(seed: int) -> None:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(140, 160, 2)
    image = blob((300, 320), xy, sigma=6)
    side = rng.uniform(120, 180)
    box = [xy[0] - side / 2 + rng.uniform(-9, 9), xy[1] - side / 2 + rng.uniform(-9, 9), side, side * 0.9]
    matrix = geometry.crop_matrix(box, (128, 128), margin=1.25)
    crop = geometry.warp(image, matrix, (128, 128))
    small = cv2.resize(geometry.flip_image(crop), (96, 96), interpolation=cv2.INTER_LINEAR)
    found = centroid(small)
    back = geometry.resize_points(found, 128 / 96)
    back = geometry.flip_points(back, 128)
    back = geometry.apply_affine(geometry.invert_affine(matrix), back)
    np.testing.assert_allclose(back, xy, atol=0.02)


def test_crop_matrix_shows_the_box() -> None:
    matrix = geometry.crop_matrix([10, 20, 40, 40], (100, 100), margin=1.0)
    edges = geometry.apply_affine(matrix, [[9.5, 19.5], [49.5, 59.5]])  # the box's pixel edges
    np.testing.assert_allclose(edges, [[-0.5, -0.5], [99.5, 99.5]], atol=1e-9)


def test_whole_picture_at_its_own_size_is_the_identity() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(6, 8)[:, :6]
    matrix = geometry.crop_matrix([0, 0, 6, 6], (6, 6), margin=1.0)
    np.testing.assert_allclose(matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    np.testing.assert_array_equal(geometry.warp(image, matrix, (6, 6)), image)


@pytest.mark.parametrize("box", [[0, 0, 0, 5], [0, 0, 5, -1], [np.nan, 0, 5, 5]])
def test_empty_boxes_are_refused(box: list[float]) -> None:
    with pytest.raises(InputError, match="box needs"):
        geometry.crop_matrix(box, (64, 64))


def test_crop_far_outside_the_picture_repeats_the_border() -> None:
    image = np.full((20, 20, 3), 7, np.uint8)
    crop = geometry.warp(image, geometry.crop_matrix([500, 500, 10, 10], (32, 32)), (32, 32))
    assert (crop == 7).all()


def test_flip_twice_is_nothing() -> None:
    xy = np.random.default_rng(0).uniform(0, 50, (4, 3, 2))
    flip = [1, 0, 2]
    np.testing.assert_allclose(geometry.flip_points(geometry.flip_points(xy, 64, flip), 64, flip), xy)


angles = st.floats(-3, 3)
shifts = st.floats(-50, 50)


@settings(max_examples=40, deadline=None)
@given(angles, st.floats(0.2, 5), shifts, shifts)
def test_similarity_is_recovered(angle: float, scale: float, dx: float, dy: float) -> None:
    source = np.random.default_rng(0).normal(0, 10, (6, 2))
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[c, -s, dx], [s, c, dy]])
    np.testing.assert_allclose(
        geometry.similarity(source, geometry.apply_affine(matrix, source)), matrix, atol=1e-6
    )


def test_similarity_leaves_missing_points_out_and_survives_none() -> None:
    source = np.random.default_rng(0).normal(0, 10, (2, 5, 2))
    target = source + [3, -1]
    target[0, 2] = np.nan
    target[1] = np.nan
    out = geometry.similarity(source, target)
    np.testing.assert_allclose(out[0], [[1, 0, 3], [0, 1, -1]], atol=1e-9)
    assert np.isfinite(out[1]).all()
    one = geometry.similarity(source[0, :1], source[0, :1] + 4)
    np.testing.assert_allclose(one, [[1, 0, 4], [0, 1, 4]], atol=1e-9)


def test_similarity_never_mirrors() -> None:
    source = np.array([[0, 0], [10, 0], [0, 5.0]])
    matrix = geometry.similarity(source, source * [-1, 1])
    assert np.linalg.det(matrix[:, :2]) > 0


@settings(max_examples=30, deadline=None)
@given(st.floats(8, 22), st.floats(8, 22))
def test_samplers_agree_on_a_ramp(x: float, y: float) -> None:
    rows, columns = np.mgrid[:30, :30].astype(np.float32)
    ramp = 3 * columns + 2 * rows
    assert geometry.sample_bilinear(ramp, [[x, y]])[0] == pytest.approx(3 * x + 2 * y, abs=1e-3)
    patch = geometry.extract_patches(ramp, [[x, y]], 3)[0]
    assert patch[1, 1] == pytest.approx(3 * x + 2 * y, abs=0.1)  # cv2.remap rounds to 1/32 px
    assert patch[1, 2] - patch[1, 1] == pytest.approx(3, abs=0.1)


def test_patches_turn_clockwise_on_screen() -> None:
    image = blob((60, 60), np.array([36.0, 30.0]), 1.5)
    patch = geometry.extract_patches(image, [[30, 30]], 25, angle=90)[0]
    # the patch's x axis points down on screen, so a blob to the right appears at the patch's top
    np.testing.assert_allclose(centroid(patch), [12, 6], atol=0.05)


@settings(max_examples=30, deadline=None)
@given(st.floats(6, 24), st.floats(6, 24))
def test_subpixel_peak_of_a_parabola_is_exact(x: float, y: float) -> None:
    rows, columns = np.mgrid[:31, :31]
    peak, value = geometry.subpixel_peak(-((columns - x) ** 2) - (rows - y) ** 2)
    np.testing.assert_allclose(peak, [x, y], atol=1e-6)
    assert value <= 0


def test_subpixel_peak_at_the_border_stays() -> None:
    maps = np.zeros((2, 1, 4, 5))
    maps[0, 0, 0, 0] = maps[1, 0, 3, 4] = 1
    np.testing.assert_array_equal(geometry.subpixel_peak(maps)[0][:, 0], [[0, 0], [4, 3]])


def test_a_batch_is_mirrored_picture_by_picture():
    batch = np.random.default_rng(0).integers(0, 255, (3, 4, 5, 3), dtype=np.uint8)
    flipped = geometry.flip_image(batch, axis=2)
    assert flipped.flags.c_contiguous
    for one, other in zip(batch, flipped, strict=True):
        np.testing.assert_array_equal(geometry.flip_image(one), other)
        np.testing.assert_array_equal(one[:, 0], other[:, -1])
