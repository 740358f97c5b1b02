"""Faces aligned by their points: the template, the five points of any scheme, NaN, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from hybridkp.datasets import make_faces
from hybridkp.datasets.schemes import COCO_17, FACE_5, IBUG_68
from hybridkp.imaging import FACE_TEMPLATE, align, apply_affine, five_points, invert_affine, similarity
from hybridkp.structures import InputError

TURN = np.array([[1.7, -0.6, 40.0], [0.6, 1.7, 15.0]])


def dots(xy: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A blob at each point, to a fraction of a pixel."""
    yy, xx = np.mgrid[: size[0], : size[1]]
    return np.clip(sum(250 * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / 18) for x, y in xy), 0, 255).astype(
        np.uint8
    )


def centre(picture: np.ndarray, at: np.ndarray, reach: int = 7) -> np.ndarray:
    x, y = np.rint(at).astype(int)
    part = picture[y - reach : y + reach + 1, x - reach : x + reach + 1].astype(float)
    offset = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.array([x, y]) + [(part * offset[1]).sum() / part.sum(), (part * offset[0]).sum() / part.sum()]


def test_points_come_to_lie_on_the_template() -> None:
    xy = apply_affine(TURN, FACE_TEMPLATE)
    picture = dots(xy, (260, 260))
    crop = align(picture, xy)
    assert crop.shape == (112, 112) and crop.dtype == np.uint8
    for point in FACE_TEMPLATE[:2]:
        assert np.abs(centre(crop, point) - point).max() < 0.15, "half a pixel would show"
    with_gaps = xy.copy()
    with_gaps[[2, 4]] = np.nan
    np.testing.assert_array_equal(align(picture, with_gaps), crop)
    assert align(np.dstack([picture] * 3), xy, size_hw=(64, 80)).shape == (64, 80, 3)


def test_all_points_count_in_the_least_squares() -> None:
    rng = np.random.default_rng(0)
    xy = apply_affine(TURN, FACE_TEMPLATE) + rng.normal(0, 3, (5, 2))
    matrix = similarity(xy, FACE_TEMPLATE)
    residual = apply_affine(matrix, xy) - FACE_TEMPLATE
    for other in (matrix + [[0, 0, 0.5], [0, 0, 0]], matrix * [[1.01, 1.01, 1], [1.01, 1.01, 1]]):
        assert (residual**2).sum() < ((apply_affine(other, xy) - FACE_TEMPLATE) ** 2).sum()
    assert np.linalg.det(matrix[:, :2]) > 0 and np.linalg.det(invert_affine(matrix)[:, :2]) > 0


def test_five_points_of_any_scheme() -> None:
    ours = make_faces(1, random_state=3)
    found = five_points(ours.samples[0].instances[0].xy, ours.landmarks)
    left, right, nose, mouth_left, mouth_right = found
    assert left[0] < nose[0] < right[0] and mouth_left[0] < mouth_right[0] and nose[1] < mouth_left[1]
    np.testing.assert_allclose(five_points(FACE_TEMPLATE, FACE_5.landmarks), FACE_TEMPLATE)

    ibug = np.full((68, 2), np.nan)
    ibug[36:42], ibug[42:48] = FACE_TEMPLATE[0], FACE_TEMPLATE[1]
    ibug[[30, 48, 54]] = FACE_TEMPLATE[2:]
    for turn in (
        np.eye(2),
        np.array([[-1.0, 0], [0, -1]]),
        np.array([[0.0, -1], [1, 0]]),
    ):  # also upside down
        got = five_points(ibug @ turn.T, IBUG_68.landmarks)
        np.testing.assert_allclose(got, FACE_TEMPLATE @ turn.T, atol=1e-9)

    person = np.full((17, 2), np.nan)
    person[[2, 1, 0]] = FACE_TEMPLATE[:3]  # the person's right eye is on the left
    got = five_points(person, COCO_17.landmarks)
    np.testing.assert_allclose(got[:3], FACE_TEMPLATE[:3])
    assert np.isnan(got[3:]).all() and align(np.zeros((120, 120), np.uint8), got).shape == (112, 112)

    sides = ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"]  # of the picture
    profile = FACE_TEMPLATE.copy()
    profile[1] = np.nan
    np.testing.assert_allclose(five_points(profile, sides), profile)


def test_what_cannot_be_aligned_is_told() -> None:
    picture = np.zeros((50, 50, 3), np.uint8)
    nothing = np.full((5, 2), np.nan)
    for points in (nothing, np.vstack([[[9.0, 9.0]], nothing[1:]]), np.ones((5, 2))):
        with pytest.raises(InputError, match="two known points"):
            align(picture, points)
    with pytest.raises(InputError, match="must both be"):
        align(picture, np.ones((3, 2)))
    with pytest.raises(InputError, match="no eyes"):
        five_points(np.ones((2, 2)), ["left_paw", "tail"])
    with pytest.raises(InputError, match="one \\(x, y\\)"):
        five_points(np.ones((3, 2)), ["left_eye", "right_eye"])


def test_identities_keep_their_skin_and_the_usual_faces_are_as_they_were() -> None:
    kept = {"pose": 0, "expression": 0, "light": 0, "blur": 0, "noise": 0, "occlusion": 0}
    usual, lasting = (
        make_faces(6, (64, 64), 5, lasting_skin=k, pictures_per_person=3, **kept) for k in (False, True)
    )
    groups = list(lasting.groups)
    assert groups[:3] == groups[:1] * 3 != groups[3:]
    np.testing.assert_array_equal(usual.samples[1].instances[0].xy, lasting.samples[1].instances[0].xy)

    def change(data) -> float:
        one, other = (data.samples[i].image[20:50, 15:49].astype(float) for i in (0, 1))
        return np.abs(one - other).mean()

    assert change(lasting) < 0.5 * change(usual), "the same face again"
    with pytest.raises(InputError, match="pictures_per_person"):
        make_faces(2, pictures_per_person=0)
