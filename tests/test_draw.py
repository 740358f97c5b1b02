"""Facts about overlays: where things land, what stays untouched, what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from hybridkp.imaging import draw
from hybridkp.structures import InputError, Keypoints, Pyramid

GREY = np.full((60, 80), 90, np.uint8)


def frozen(a):
    a = np.array(a)
    a.setflags(write=False)
    return a


def centroid(before, after):
    """Centre of the change, (x, y)."""
    weight = np.abs(after.astype(float) - before.astype(float)).sum(2)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def bgr(image):
    return np.repeat(image[:, :, None], 3, 2)


@pytest.mark.parametrize("point", [(30.0, 20.0), (30.25, 20.5), (41.75, 33.125), (10.5, 50.5)])
def test_a_point_is_centred_where_asked(point):
    out = draw.draw_landmarks(GREY, [point], color=(255, 255, 255), radius=3)
    np.testing.assert_allclose(centroid(bgr(GREY), out), point, atol=0.12)


@pytest.mark.parametrize("image", [GREY, bgr(GREY)])
def test_every_overlay_is_new_and_leaves_its_input(image):
    image = frozen(image)
    points = Keypoints([[3, 4], [30, 20]], size=[8, 12], angle=[np.nan, 45])
    outs = [
        draw.draw_landmarks(image, frozen([[3.0, 4.0]]), truth=frozen([[5.0, 4.0]])),
        draw.draw_heatmap(image, frozen(np.eye(5))),
        draw.draw_hog(image),
        draw.draw_keypoints(image, points),
        draw.draw_matches(image, image, frozen([[3.0, 4.0]]), frozen([[5.0, 4.0]]), frozen([True])),
    ]
    for out in outs:
        assert out.dtype == np.uint8
        assert out.ndim == 3 and out.shape[2] == 3
        assert not np.shares_memory(out, image)
    assert outs[0].shape == outs[1].shape == outs[3].shape == (60, 80, 3)


def test_nothing_to_draw_changes_nothing():
    nothing = np.full((4, 2), np.nan)
    half = [[np.nan, 3.0], [2.0, np.nan]]
    for xy in (np.zeros((0, 2)), nothing, half):
        np.testing.assert_array_equal(draw.draw_landmarks(GREY, xy), bgr(GREY))
    out = draw.draw_landmarks(GREY, nothing, truth=nothing, skeleton=[[0, 1]], score=[1, 0, np.nan, 1])
    np.testing.assert_array_equal(out, bgr(GREY))
    np.testing.assert_array_equal(draw.draw_keypoints(GREY, Keypoints(np.zeros((0, 2)))), bgr(GREY))
    np.testing.assert_array_equal(draw.draw_keypoints(GREY, Keypoints([[np.nan, 1]])), bgr(GREY))
    np.testing.assert_array_equal(draw.draw_heatmap(GREY, np.zeros((3, 4, 4))), bgr(GREY))


def test_points_outside_and_far_away_do_not_disturb():
    far = [[-500.0, 20], [1e30, 1e30], [-1e12, 5], [79, 59]]
    out = draw.draw_landmarks(GREY, far, truth=far, skeleton=[[1, 3]])
    assert (out[59, 79] != 90).any()


def test_truth_and_prediction_have_their_own_colours():
    out = draw.draw_landmarks(GREY, [[20, 20]], truth=[[50, 40]], radius=3)
    assert tuple(out[20, 20]) == draw.POINT_COLOR
    assert tuple(out[40, 50]) == draw.TRUTH_COLOR
    assert (out[30, 35] > 150).all()  # the error's line


def test_unsure_points_are_darker():
    sure = draw.draw_landmarks(GREY, [[20, 20]], score=[1.0], radius=3)[20, 20]
    unsure = draw.draw_landmarks(GREY, [[20, 20]], score=[0.1], radius=3)[20, 20]
    assert unsure.astype(int).sum() < sure.astype(int).sum()


def test_sizes_grow_with_the_picture():
    small, large = np.zeros((100, 100), np.uint8), np.zeros((1000, 1000), np.uint8)
    drawn = [(draw.draw_landmarks(i, [[50, 50]]) > 0).any(2).sum() for i in (small, large)]
    assert drawn[1] > 10 * drawn[0]


@pytest.mark.parametrize(
    "options",
    [{"truth": [[1, 2], [3, 4]]}, {"score": [1, 1]}, {"skeleton": [[0, 1]]}],
    ids=["truth", "score", "skeleton"],
)
def test_disagreeing_shapes_are_named(options):
    with pytest.raises(InputError):
        draw.draw_landmarks(GREY, [[1.0, 2.0]], **options)


@pytest.mark.parametrize("stride", [2, 4])
def test_a_heat_maps_peak_lands_on_its_pixel(stride):
    heat = np.zeros((64 // stride, 64 // stride))
    heat[5, 9] = 1.0
    out = draw.draw_heatmap(np.zeros((64, 64), np.uint8), heat)
    expected = (np.array([9, 5]) + 0.5) * stride - 0.5
    np.testing.assert_allclose(centroid(np.zeros((64, 64, 3)), out), expected, atol=0.05)


def test_a_pyramid_stands_side_by_side():
    levels = (np.full((8, 10), 200, np.float32), np.full((4, 5), 100, np.float32))
    out = draw.draw_pyramid(Pyramid(levels, np.array([1, 0.5]), np.array([0, 1.0])), gap=2)
    assert out.shape == (8, 17, 3)
    assert (out[:8, :10] == 200).all() and (out[:4, 12:] == 100).all() and (out[4:, 12:] == 32).all()
    assert draw.draw_pyramid(Pyramid((), np.zeros(0), np.zeros(0))).ndim == 3


def test_a_dog_level_is_shown_around_grey():
    level = np.array([[-4.0, 0.0], [0.0, 4.0]], np.float32)
    out = draw.draw_pyramid(Pyramid((level,), np.ones(1), np.ones(1)))[:, :, 0]
    assert out[0, 0] == 0 and out[1, 1] == 255 and out[0, 1] in (127, 128)


def test_hog_histograms_by_hand():
    ramp = np.tile(np.arange(16, dtype=np.uint8) * 10, (16, 1))  # gradient along +x, 20 a pixel
    out = draw.hog_histograms(ramp, cell=8, n_orientations=9)
    assert out.shape == (2, 2, 9)
    assert out[..., 1:].max() == 0
    np.testing.assert_allclose(out[..., 0], 8 * (7 * 20 + 10))
    both = draw.hog_histograms(ramp.T + ramp, cell=8, n_orientations=8)  # 45 degrees = bin 2 of 8
    assert (both[0, 0].argmax(), both[1, 1].argmax()) == (2, 2)


def test_hog_strokes_run_along_the_edge():
    edge = np.zeros((16, 16), np.uint8)
    edge[:, 8:] = 255
    glyph = draw.draw_hog(edge, cell=16)[:, :, 0]
    assert (glyph > 100).any(1).sum() > 10 > (glyph > 100).any(0).sum()
    assert draw.draw_hog(edge, cell=8).shape == (32, 32, 3)
    assert draw.draw_hog(edge, cell=17).shape == (16, 16, 3)
    assert draw.draw_hog(np.zeros((16, 16), np.uint8)).max() == 0


def test_keypoints_show_size_and_angle():
    black = np.zeros((60, 60), np.uint8)
    out = draw.draw_keypoints(black, Keypoints([[30, 30]], size=[20], angle=[90])).any(2)
    assert out[30, 40] and out[30, 20] and out[20, 30] and out[40, 30]  # the circle
    assert out[35, 30] and not out[25, 30]  # 90 degrees clockwise on screen is down
    bare = draw.draw_keypoints(black, Keypoints([[30, 30]], size=[20])).any(2)
    assert not bare[35, 30]


def near(picture, color):
    """Which pixels have a colour, give or take the softness of a thin stroke's edge."""
    return (np.abs(picture.astype(int) - color) < 60).all(-1)


def test_matches_are_coloured_by_truth():
    xy_a, xy_b = [[10, 10], [10, 25], [10, 40]], [[60, 10], [60, 25], [60, 40]]
    out = draw.draw_matches(GREY, GREY, xy_a, xy_b, [1, 0, np.nan], gap=6)
    assert out.shape == (60, 166, 3)
    expected = [draw.RIGHT_COLOR, draw.WRONG_COLOR, draw.UNKNOWN_COLOR]
    for i, y in enumerate((10, 25, 40)):
        assert [near(out[y - 6 : y + 7], c).any() for c in expected] == [i == j for j in range(3)]
    for x in (10, 60 + 86):  # both ends, in each picture's own pixels
        assert tuple(out[10, x]) == draw.RIGHT_COLOR and tuple(out[25, x]) == draw.WRONG_COLOR
    assert near(out[10, 20:140], draw.RIGHT_COLOR).all(), "a right match is solid"
    dashed = near(out[25, 20:140], draw.WRONG_COLOR)
    assert 0.3 < dashed.mean() < 0.7, "a wrong one is dashed"
    plain = draw.draw_matches(GREY, GREY, xy_a, xy_b)
    assert near(plain[25, 20:140], draw.POINT_COLOR).all()
    assert not any(near(plain, c).any() for c in expected)


def test_a_wrong_match_lies_on_top_of_right_ones():
    rows = np.arange(5, 55, dtype=float)
    xy_a = np.stack([np.full(50, 10.0), rows], 1)
    out = draw.draw_matches(GREY, GREY, [[10, 30], *xy_a], [[60, 30], *xy_a], [False] + [True] * 50)
    assert near(out[30, 20:140], draw.WRONG_COLOR).mean() > 0.3


def test_matches_of_odd_pictures_and_points():
    tall = np.full((90, 20, 3), 10, np.uint8)
    out = draw.draw_matches(GREY, tall, np.zeros((0, 2)), np.zeros((0, 2)), [], gap=4, ground=7)
    assert out.shape == (90, 104, 3) and (out[60:, :84] == 7).all()
    np.testing.assert_array_equal(out[:60, :80], bgr(GREY))
    np.testing.assert_array_equal(out[:, 84:], tall)
    far = [[1e30, 5], [np.nan, 5], [-500, 1e12]]
    assert draw.draw_matches(GREY, tall, far, [[5, 5]] * 3, [0, 0, 0]).shape == (90, 106, 3)
    with pytest.raises(InputError, match="differ in number: 1, 1, 2"):
        draw.draw_matches(GREY, GREY, [[1, 1]], [[1, 1]], [True, False])


def test_at_most_so_many_matches():
    xy = np.stack([np.arange(5.0, 75, 7), np.full(10, 30.0)], 1)
    some = draw.draw_matches(GREY, GREY, xy, xy, np.ones(10), most=3)
    chosen = [0, 4, 9]
    np.testing.assert_array_equal(some, draw.draw_matches(GREY, GREY, xy[chosen], xy[chosen], np.ones(3)))


def test_tiles():
    out = draw.tile([np.zeros((4, 6), np.uint8)] * 3, 2, gap=2, ground=9)
    assert out.shape == (10, 14, 3)
    assert (out[6:, 8:] == 9).all() and (out[:4, :6] == 0).all()
    with pytest.raises(InputError):
        draw.tile([], 2)
