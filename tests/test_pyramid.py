"""Pyramids: alignment to a twentieth of a pixel, honest blur, small and odd pictures."""

from __future__ import annotations

import numpy as np
import pytest

from hybridkp.imaging.geometry import resize_points
from hybridkp.imaging.pyramid import dog_pyramid, gaussian_pyramid, level_points, sub_pyramid
from hybridkp.structures import InputError, Keypoints


def blob(
    size_hw: tuple[int, int], xy: tuple[float, float], sigma: float, height: float = 200.0
) -> np.ndarray:
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    return (height * np.exp(-((x - xy[0]) ** 2 + (y - xy[1]) ** 2) / (2 * sigma**2))).astype(np.float32)


def centre_and_variance(level: np.ndarray) -> tuple[np.ndarray, float]:
    y, x = np.mgrid[: level.shape[0], : level.shape[1]]
    total = level.sum(dtype=float)
    centre = np.array([(level * x).sum(dtype=float), (level * y).sum(dtype=float)]) / total
    return centre, float((level * (x - centre[0]) ** 2).sum(dtype=float) / total)


@pytest.mark.parametrize("size_hw", [(128, 128), (129, 131), (101, 140)])
@pytest.mark.parametrize("scale", [0.5, 2**-0.5, 0.8])
def test_levels_are_aligned_to_the_pixel_centre(size_hw, scale):
    xy = (50.3, 47.7)
    pyramid = gaussian_pyramid(blob(size_hw, xy, 4.0), 3, scale)
    for level, s in zip(pyramid.levels, pyramid.scale, strict=True):
        centre, _ = centre_and_variance(level)
        # cv2.pyrDown is 0.25 level px off on level 1
        assert np.abs(centre - resize_points(xy, s)).max() < 0.01


@pytest.mark.parametrize(("scale", "tolerance"), [(0.5, 0.01), (2**-0.5, 0.06), (0.8, 0.06)])
def test_sigma_is_the_blur_that_was_added(scale, tolerance):
    pyramid = gaussian_pyramid(blob((160, 160), (80.2, 79.6), 5.0), 3, scale)
    for level, s, sigma in zip(pyramid.levels, pyramid.scale, pyramid.sigma, strict=True):
        added = centre_and_variance(level)[1] / s**2 - 5.0**2
        assert added == pytest.approx(sigma**2 - 0.5**2, rel=tolerance, abs=1e-3)


def test_halving_keeps_the_blur_in_level_pixels():
    pyramid = gaussian_pyramid(np.zeros((64, 64), np.uint8), 4)
    assert pyramid.scale.tolist() == [1, 0.5, 0.25, 0.125]
    np.testing.assert_allclose(pyramid.sigma * pyramid.scale, 0.5, rtol=2e-3)


def test_level_zero_is_the_input():
    image = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)
    image.setflags(write=False)
    pyramid = gaussian_pyramid(image)
    np.testing.assert_array_equal(pyramid.levels[0], image)
    assert [level.shape for level in pyramid.levels] == [(40, 50), (20, 25), (10, 12)]
    assert all(level.dtype == np.float32 for level in pyramid.levels)


def test_small_pictures_have_fewer_levels():
    assert len(gaussian_pyramid(np.zeros((28, 200), np.uint8), 5)) == 2  # 28, 14, and no 7
    assert len(gaussian_pyramid(np.zeros((4, 4), np.uint8), 5)) == 1


def test_colour_float_and_blank():
    grey = gaussian_pyramid(np.full((32, 32, 3), 77, np.uint8)).levels
    assert all(np.allclose(level, 77, atol=1e-3) for level in grey)
    np.testing.assert_allclose(gaussian_pyramid(np.full((32, 32), 0.5)).levels[0], 127.5)


@pytest.mark.parametrize("bad", [{"n_levels": 0}, {"scale": 1.0}, {"scale": 0.0}, {"sigma0": -1.0}])
def test_bad_parameters(bad):
    with pytest.raises(InputError, match="pyramid needs"):
        gaussian_pyramid(np.zeros((16, 16), np.uint8), **bad)


def test_dog_answers_a_blob_at_its_centre_and_nothing_else():
    pyramid = dog_pyramid(gaussian_pyramid(blob((96, 96), (41.0, 37.0), 2.0)))
    level = pyramid.levels[0]
    assert np.unravel_index(level.argmin(), level.shape) == (37, 41)  # a light blob is negative
    blank = dog_pyramid(gaussian_pyramid(np.full((32, 32), 9, np.uint8)))
    assert max(np.abs(level).max() for level in blank.levels) < 1e-3
    with pytest.raises(InputError, match="ratio"):
        dog_pyramid(blank, 1.0)


def test_level_points():
    pyramid = gaussian_pyramid(np.zeros((64, 64), np.uint8))
    image, xy = level_points(pyramid, Keypoints([[10.0, 20.0], [1e9, -1e9]]), 1)
    assert image is pyramid.levels[1]
    np.testing.assert_allclose(xy[0], [4.75, 9.75])
    assert np.isfinite(xy).all() and xy[1, 0] > 64 and xy[1, 1] < -64
    with pytest.raises(InputError, match="keypoint 1 has no finite position"):
        level_points(pyramid, Keypoints([[1, 1], [np.nan, 2]]), 0)
    with pytest.raises(InputError, match="level 3 asked of a pyramid of 3 levels"):
        level_points(pyramid, Keypoints([[1, 1]]), 3)


def test_sub_pyramid_still_counts_in_input_px():
    pyramid = gaussian_pyramid(np.zeros((64, 64), np.uint8))
    rest = sub_pyramid(pyramid, 1)
    assert len(rest) == 2 and rest.scale.tolist() == [0.5, 0.25]
    with pytest.raises(InputError, match="level 5"):
        sub_pyramid(pyramid, 5)
