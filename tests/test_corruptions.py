"""Corrupted copies: what moves moves exactly, what does not stays, severity means something."""

from __future__ import annotations

import numpy as np
import pytest

from hybridkp.datasets import CORRUPTIONS, corrupted, make_faces
from hybridkp.imaging.geometry import crop_matrix, map_box, rotation_about
from hybridkp.structures import Array, Dataset, InputError, Instance, Sample

DOT = np.array([[40.3, 61.6], [70.2, 30.7]])  # two blobs, sub-pixel


def _blobs() -> Array:
    y, x = np.mgrid[:100, :120]
    picture = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 18.0) for cx, cy in DOT)
    return np.rint(20 + 200 * np.asarray(picture)).astype(np.uint8)


@pytest.fixture(scope="module")
def blobs() -> Dataset:
    instance = Instance(DOT, box_xywh=np.array([20.0, 10.0, 80.0, 70.0]), area=5600.0)
    sample = Sample("blobs", _blobs, (instance,), "g", (100, 120))
    return Dataset("blobs", ("a", "b"), (sample,))


def _centroid(image: Array, near: Array, radius: int) -> Array:
    """Centre of mass of what is brighter than the ground, around ``near``."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = np.maximum(image.astype(float) - 24, 0) * (np.hypot(x - near[0], y - near[1]) < radius)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize(("kind", "radius"), [("rotation", 12), ("small", 7)])
@pytest.mark.parametrize("severity", [1, 2])
def test_truth_moves_with_the_picture(blobs: Dataset, kind: str, radius: int, severity: int) -> None:
    sample = corrupted(blobs, kind, severity).samples[0]
    assert sample.image.shape == sample.size_hw
    for point in sample.instances[0].xy:
        assert np.abs(_centroid(sample.image, point, radius) - point).max() < 0.12
    assert not np.allclose(sample.instances[0].xy, DOT, atol=1)


@pytest.mark.parametrize("kind", [k for k, c in CORRUPTIONS.items() if c.change is not None])
def test_each_severity_is_farther_from_the_picture(kind: str) -> None:
    faces = make_faces(3, (96, 96), random_state=0)
    distance = [
        np.mean([np.abs(s.image.astype(float) - c.image).mean() for s, c in zip(faces, copy, strict=True)])
        for copy in (corrupted(faces, kind, severity) for severity in (1, 2, 3, 4))
    ]
    assert distance[0] > 0 and np.all(np.diff(distance) > 0)


@pytest.mark.parametrize("kind", [k for k, c in CORRUPTIONS.items() if c.change is not None])
def test_points_stay_where_only_pixels_change(blobs: Dataset, kind: str) -> None:
    sample = corrupted(blobs, kind, 3).samples[0]
    assert np.array_equal(sample.instances[0].xy, DOT)
    assert sample.image.shape == (100, 120) and sample.image.dtype == np.uint8


def test_occlusion_covers_the_share_that_it_says(blobs: Dataset) -> None:
    flat = Dataset("flat", ("a", "b"), (Sample("f", _flat, blobs.samples[0].instances, "g"),))
    for severity, share in ((1, 0.1), (4, 0.4)):
        covered = (corrupted(flat, "occlusion", severity, random_state=3).samples[0].image != 77).sum()
        assert covered == pytest.approx(share * 80 * 70, rel=0.05)


def _flat() -> Array:
    return np.full((100, 120), 77, np.uint8)


def test_one_seed_gives_one_picture_and_another_seed_another(blobs: Dataset) -> None:
    first, again, other = (corrupted(blobs, "noise", 2, random_state=s).samples[0].image for s in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_the_side_of_rotation_is_the_same_at_every_severity(blobs: Dataset) -> None:
    angles = []
    for severity in (1, 2, 3, 4):
        a, b = corrupted(blobs, "rotation", severity).samples[0].instances[0].xy
        before, after = np.subtract(*DOT), a - b
        turn = np.arctan2(after[1], after[0]) - np.arctan2(before[1], before[0])
        angles.append(np.rad2deg((turn + np.pi) % (2 * np.pi) - np.pi))
    assert np.abs(angles) == pytest.approx([10, 20, 30, 45])
    assert len(set(np.sign(angles))) == 1


def test_a_box_goes_along(blobs: Dataset) -> None:
    box = np.array([20.0, 10.0, 80.0, 70.0])
    matrix = rotation_about((59.5, 49.5), 30)
    moved = map_box(matrix, box)
    # the crop's centre shows the same place of the picture before and after
    before = crop_matrix(box, (64, 64)) @ np.array([59.5, 44.5, 1.0])
    after = crop_matrix(moved, (64, 64)) @ np.array([*(matrix @ np.array([59.5, 44.5, 1.0])), 1.0])
    assert before == pytest.approx(after) and before == pytest.approx([31.5, 31.5])
    assert moved[2:] == pytest.approx(box[2:])


def test_names_and_rows_stay(blobs: Dataset) -> None:
    copy = corrupted(blobs, "rotation", 2)
    assert copy.name == "blobs+rotation-2" and copy.fingerprint != blobs.fingerprint
    assert [s.name for s in copy] == [s.name for s in blobs]


def test_unknown_kinds_and_severities_are_told(blobs: Dataset) -> None:
    with pytest.raises(InputError, match="unknown corruption 'fog'"):
        corrupted(blobs, "fog", 1)
    with pytest.raises(InputError, match="severity 5"):
        corrupted(blobs, "blur", 5)
