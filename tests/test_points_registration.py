"""Truth registered again: planted homographies come back, wrong ones are refused, each with its reason."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from plain_matchers import Guess

from hybridkp.datasets import bundled_picture
from hybridkp.datasets.synthetic.photo_pairs import warp_homography
from hybridkp.evaluate import refine_truth, stored_truth
from hybridkp.files import MatchedSet
from hybridkp.metrics import corner_error, overlap_error
from hybridkp.points import register_homography
from hybridkp.report import write_points_report
from hybridkp.structures import InputError, Pair, PairSet

PICTURE = np.ascontiguousarray(bundled_picture("camera")[64:304, 96:416])
H, W = PICTURE.shape
CORNERS = np.array([[0, 0], [W - 1, 0], [W - 1, H - 1], [0, H - 1]], np.float32)
TRUTH = np.array([[0.92, 0.1, 6.0], [-0.12, 0.95, 12.0], [1e-4, -8e-5, 1.0]])
SECOND = warp_homography(PICTURE, TRUTH, (H, W))


def moved(*by: tuple[float, float]) -> np.ndarray:
    """The truth with the first picture's corners moved by so many px."""
    return TRUTH @ cv2.getPerspectiveTransform(CORNERS, CORNERS + np.array(by, np.float32))


def test_a_planted_homography_comes_back_through_light_noise_and_a_cover() -> None:
    rng = np.random.default_rng(0)
    shade = np.linspace(0.5, 1.0, W)[None]
    image = np.clip(SECOND * shade + rng.normal(10, 4, SECOND.shape), 0, 255).astype(np.uint8)
    image[60:110, 90:150] = 200
    start = moved((2, -1), (-2, 2), (1, 3), (-1, -2))
    found = register_homography(PICTURE, image, start)
    assert not found.reason
    assert corner_error(start, TRUTH, (H, W)) > 2
    assert corner_error(found.homography, TRUTH, (H, W)) < 0.2, "half a pixel would show"
    assert found.precision_px < 0.2 < 1 < found.moved_px


@pytest.mark.parametrize(
    "start, why",
    [
        (moved((60, 40), (60, 40), (60, 40), (60, 40)), "."),
        (np.diag([1.0, 1.0, 0.0]), "not invertible"),
        (np.full((3, 3), np.nan), "not invertible"),
        (np.array([[1.0, 0, 5000], [0, 1, 0], [0, 0, 1]]), "overlaps"),
    ],
)
def test_a_wrong_homography_is_refused_and_stays(start: np.ndarray, why: str) -> None:
    found = register_homography(PICTURE, SECOND, start)
    assert why in found.reason and found.reason
    if np.isfinite(start).all() and start[2, 2]:
        assert_allclose(found.homography, start / start[2, 2])


def test_other_pictures_and_blank_ones_are_refused() -> None:
    other = np.ascontiguousarray(bundled_picture("coins")[:H, :W])
    assert register_homography(PICTURE, other, np.eye(3)).reason
    assert register_homography(PICTURE, np.zeros_like(PICTURE), np.eye(3)).reason


def test_the_overlap_is_asked_where_both_pictures_look() -> None:
    shift = np.array([[1.0, 0, W / 2], [0, 1, 0], [0, 0, 1]])
    bent = shift @ np.array([[1.0, 0, 0], [0, 1, 0], [-1e-4, 0, 1]])
    assert_allclose(
        overlap_error(shift @ np.array([[1, 0, 0.5], [0, 1, 0], [0, 0, 1]]), shift, (H, W), (H, W)), 0.5
    )
    inside, corner = overlap_error(bent, shift, (H, W), (H, W)), corner_error(bent, shift, (H, W))
    assert 0 < inside < corner
    assert overlap_error(np.full((3, 3), np.nan), shift, (H, W), (H, W)) == np.inf
    apart = np.array([[1.0, 0, 9 * W], [0, 1, 0], [0, 0, 1]])
    assert np.isnan(overlap_error(apart, apart, (H, W), (H, W)))


def pair_set(given: np.ndarray) -> PairSet:
    return PairSet("one", tuple(Pair(f"{s}/1-2", s, lambda: PICTURE, lambda: SECOND, given) for s in "ab"))


def test_it_is_stored_named_and_shown_beside_the_given_truth(tmp_path: Path) -> None:
    pairs = pair_set(moved((2, 2), (2, 2), (2, 2), (2, 2)))
    assert stored_truth(tmp_path, pairs) is None
    told: list[str] = []
    found = refine_truth(pairs, tmp_path, lambda what, done, total: told.append(f"{done}/{total}"))
    assert told == ["0/2", "1/2", "2/2"]
    assert_allclose(refine_truth(pairs, tmp_path)["a/1-2"].homography, found["a/1-2"].homography)
    stored = stored_truth(tmp_path, pairs)
    assert stored is not None
    results = tuple(Guess().match(p.load_a(), p.load_b()) for p in pairs)
    matched = [MatchedSet("guess", results, tuple(p.name for p in pairs), [(H, W)] * 2, [(H, W)] * 2)]
    paths = write_points_report(matched, pairs, tmp_path, families={}, registered=stored)
    document = json.loads(paths["json"].read_text())
    assert set(document["under_registered"]["guess"]) == {"a/1-2", "b/1-2"}
    assert (
        abs(
            document["registered"]["a/1-2"]["corner_px"]
            - corner_error(TRUTH, pairs.pairs[0].homography, (H, W))
        )
        < 0.1
    )
    page = paths["html"].read_text()
    assert "registered again" in page and "2 pairs also registered" in page and "pixel optimum" in page
    with pytest.raises(InputError, match=r"truth\.json: damaged, unfinished, or of other pairs"):
        stored_truth(tmp_path, pair_set(TRUTH))
    (tmp_path / "truth.json").write_text("{")
    with pytest.raises(InputError, match=r"truth\.json: damaged"):
        stored_truth(tmp_path, pairs)


def test_pairs_without_homographies_have_nothing_to_register(tmp_path: Path) -> None:
    flow = Pair("s/1-2", "s", lambda: PICTURE, lambda: PICTURE, flow=lambda: np.zeros((H, W, 2)))
    with pytest.raises(InputError, match="no pair has a homography"):
        refine_truth(PairSet("flows", (flow,)), tmp_path)
