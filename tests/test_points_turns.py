"""Turned and resized pictures: the search, its geometry, and what upright pairs keep."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hybridkp import recipes
from hybridkp.datasets import bundled_picture
from hybridkp.datasets.synthetic.photo_pairs import warp_homography
from hybridkp.imaging.geometry import apply_affine, apply_homography
from hybridkp.metrics import corner_error
from hybridkp.points import FeatureMatcher, NetFeature, TurnedMatcher
from hybridkp.points.turns import turn_and_scale, turned_view
from hybridkp.structures import InputError

PICTURE = np.ascontiguousarray(bundled_picture("camera")[64:384, 96:416])


def turned(degrees: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The picture turned and resized about its centre within its own frame, and the map to it."""
    centre = (np.array(PICTURE.shape[::-1]) - 1) / 2
    angle = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.vstack([np.column_stack([linear, centre - linear @ centre]), [0, 0, 1]])
    return warp_homography(PICTURE, matrix, PICTURE.shape), matrix


@pytest.mark.parametrize("degrees, scale", [(90, 1.0), (180, 1.0), (270, 1.0)])
def test_quarter_turns_keep_every_pixel(degrees: int, scale: float) -> None:
    image, matrix = turned_view(PICTURE[:200], degrees, scale)
    assert_array_equal(image, np.rot90(PICTURE[:200], -degrees // 90))
    x, y = apply_affine(matrix, [[30.0, 50.0]])[0]
    assert PICTURE[50, 30] == image[round(y), round(x)] and abs(x % 1) < 1e-9


def test_turn_and_scale_are_those_of_the_map() -> None:
    _, matrix = turned(130, 0.7)
    assert_allclose(turn_and_scale(matrix, PICTURE.shape), (130, 0.7), atol=1e-9)
    assert np.isnan(turn_and_scale(np.full((3, 3), np.nan), PICTURE.shape)).all()


def test_turns_find_what_upright_cannot_and_to_part_of_a_pixel() -> None:
    image, truth = turned(140, 0.65)
    upright, found = (recipes.make_matcher(m, 512).match(PICTURE, image) for m in ("net", "net:turns"))
    assert not corner_error(upright.homography, truth, PICTURE.shape) < 3
    middle = [(np.array(PICTURE.shape[::-1]) - 1) / 2]
    away = apply_homography(found.homography, middle) - apply_homography(truth, middle)
    assert np.linalg.norm(away) < 0.2, "a shift by half a pixel, of either picture, is found"
    assert corner_error(found.homography, truth, PICTURE.shape) < 1 and found.inlier.sum() > 100
    inside = (found.keypoints_a.xy >= 0) & (found.keypoints_a.xy <= np.array(PICTURE.shape[::-1]) - 1)
    assert inside.all(), "no point of the turned picture's border"


def test_an_upright_pair_is_left_alone() -> None:
    image, _ = turned(4, 1.0)
    alone = FeatureMatcher(NetFeature(256)).match(PICTURE, image)
    found = TurnedMatcher(FeatureMatcher(NetFeature(256))).match(PICTURE, image)
    assert_array_equal(found.xy_a, alone.xy_a)
    assert_array_equal(found.homography, alone.homography)
    assert "turns" not in found.seconds


def test_blank_pictures_and_bad_parameters() -> None:
    blank = np.zeros((60, 80), np.uint8)
    found = TurnedMatcher(FeatureMatcher(NetFeature(64))).match(blank, blank)
    assert len(found.xy_a) == 0 and np.isnan(found.homography).all()
    with pytest.raises(InputError, match="turns must be at least 1"):
        TurnedMatcher(FeatureMatcher(NetFeature(64)), turns=0).match(blank, blank)
    with pytest.raises(InputError, match="needs single features"):
        recipes.make_matcher("rootsift:net:turns")
