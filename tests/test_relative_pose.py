"""Relative pose: exact cameras of drawn rooms, both text forms, the errors, and the epipolar guide."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose

from hybridkp import recipes
from hybridkp.datasets import load_pairs, make_depth_pairs
from hybridkp.datasets.posed_pairs import quarter_turned
from hybridkp.metrics import match_errors, pair_scores, pose_error, rotation_error, translation_error
from hybridkp.points import RefinedMatcher, estimate_pose
from hybridkp.points.epipolar import find_guide
from hybridkp.structures import Cameras, InputError, Keypoints, Matched, Pair, Parameters

PAIR = make_depth_pairs(n_rooms=1).pairs[1]


class SameMatcher(Parameters):
    """Gives what it was given."""

    def __init__(self, found: Matched):
        self.found = found

    def match(self, image_a: np.ndarray, image_b: np.ndarray) -> Matched:
        return self.found


def turned(degrees: float) -> np.ndarray:
    return cv2.Rodrigues(np.array([0, np.deg2rad(degrees), 0]))[0]


def test_angles_are_those_that_were_planted() -> None:
    truth = np.column_stack([np.eye(3), [1.0, 0, 0]])
    found = np.column_stack([turned(3), -(turned(7) @ [1.0, 0, 0])])
    assert_allclose([rotation_error(found, truth), translation_error(found, truth)], [3, 7], atol=1e-9)
    assert pose_error(found, truth) == pytest.approx(7) and pose_error(truth, truth) == 0
    assert pose_error(np.full((3, 4), np.nan), truth) == np.inf
    assert translation_error(truth, np.eye(3, 4)) == 0, "a camera that did not move has no direction"


def test_a_rooms_flow_and_cameras_agree_and_give_its_pose() -> None:
    flow, cameras = PAIR.truth(), PAIR.cameras
    assert cameras is not None
    y, x = np.nonzero(np.isfinite(flow).all(-1))
    a, b = np.column_stack([x, y])[::997].astype(float), flow[y, x][::997]
    assert match_errors(a, b, cameras.fundamental[None]).max() < 1e-3
    assert np.median(match_errors(a + 0.5, b, cameras.fundamental[None])) > 0.05
    wrong = np.random.default_rng(0).uniform(0, 300, (len(a) // 3, 2))
    found = estimate_pose(np.concatenate([a, a[: len(wrong)]]), np.concatenate([b, wrong]), cameras)
    assert pose_error(found.pose, cameras.pose) < 0.1 and found.inlier[: len(a)].mean() > 0.99
    nothing = estimate_pose(a[:4], b[:4], cameras)
    assert np.isnan(nothing.pose).all() and "4 matches" in nothing.reason


def test_what_the_flow_says_is_what_the_pictures_show() -> None:
    a, b, flow = PAIR.load_a().mean(2), PAIR.load_b().mean(2), PAIR.truth()
    seen = np.isfinite(flow).all(-1)
    shifted = []
    for by in (0.0, 0.5):
        at = np.where(seen[..., None], flow + by, 0).astype(np.float32)
        there = cv2.remap(b.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR)
        shifted.append(np.corrcoef(a[seen], there[seen])[0, 1])
    assert shifted[0] > shifted[1] and shifted[0] > 0.97


def test_a_guide_knows_place_and_line_of_what_it_has_not_seen() -> None:
    flow = PAIR.truth()
    y, x = np.nonzero(np.isfinite(flow).all(-1))
    a, b = np.column_stack([x, y])[::211].astype(float), flow[y, x][::211]
    given, asked = slice(0, None, 2), slice(1, None, 2)
    wrong = b[given] + np.random.default_rng(0).uniform(20, 60, b[given].shape)
    guide = find_guide(np.concatenate([a[given], a[given]]), np.concatenate([b[given], wrong]))
    assert guide is not None
    n = len(a[given])
    assert np.isin(np.arange(n), guide.rows).mean() > 0.99 and (guide.rows >= n).mean() < 0.1
    i, j = guide.candidates(a[asked], b[asked], 12)
    assert (i == j).sum() > 0.85 * len(a[asked]), "a point's own place is among its candidates"
    assert len(i) < 0.1 * len(a[asked]) ** 2
    lines = np.column_stack([a[asked], np.ones(len(a[asked]))]) @ PAIR.cameras.fundamental.T
    across = lines[:, :2] / np.linalg.norm(lines[:, :2], axis=1, keepdims=True)
    i, j = guide.candidates(a[asked], b[asked] + 4 * across, 12)
    assert not (i == j).any(), "4 px beside its line"
    assert find_guide(a[:0], b[:0]) is None and find_guide(a[:40], np.full((40, 2), 7.0)) is None
    assert len(guide.candidates(a[:0], b, 12)[0]) == len(guide.candidates(a, b[:0], 12)[0]) == 0


def test_epipolar_lines_guide_the_second_stage_and_the_refinement() -> None:
    a, b = PAIR.load_a(), PAIR.load_b()
    first = recipes.make_matcher("rootsift", 512).match(a, b)
    second = recipes.make_matcher("rootsift:net[guide=epipolar]", 512).match(a, b)
    fine = recipes.make_matcher("rootsift:net[guide=epipolar]:refine[guide=epipolar]", 512).match(a, b)
    away = [match_errors(m.xy_a, m.xy_b, PAIR.truth()) for m in (first, second, fine)]
    right = [(e < 1).sum() for e in away]
    assert right[1] > 1.5 * right[0] and right[2] > right[0]
    assert np.nanmedian(away[2]) < 0.5 * np.nanmedian(away[0])
    assert (away[2] > 3).mean() < 0.5 * (away[0] > 3).mean()
    assert len(fine.keypoints_a) == len(second.keypoints_a) > len(first.keypoints_a)
    blank = np.full_like(a, 90)
    nothing = RefinedMatcher(SameMatcher(first), guide="epipolar").match(blank, blank)
    assert len(nothing.xy_a) == len(first.xy_a), "no patch agrees: what was there stands"
    assert len(recipes.make_matcher("rootsift:net[guide=epipolar]", 99).match(blank, blank).xy_a) == 0


@pytest.mark.parametrize("wrong", ["lines", "epipola", "zzz"])
def test_an_unknown_guide_is_named(wrong: str) -> None:
    with pytest.raises(InputError, match="guide"):
        recipes.make_matcher(f"rootsift:net[guide={wrong}]")


def posed_folder(folder: Path) -> Cameras:
    assert PAIR.cameras is not None
    for name, load in (("a.png", PAIR.load_a), ("b.png", PAIR.load_b)):
        cv2.imwrite(str(folder / name), load())
    return PAIR.cameras


def test_superglues_file_comes_back_turns_and_all(tmp_path: Path) -> None:
    cameras = posed_folder(tmp_path)
    numbers = [*cameras.matrix_a.ravel(), *cameras.matrix_b.ravel(), *cameras.pose.ravel(), 0, 0, 0, 1]
    file = tmp_path / "pairs.txt"
    file.write_text(f"a.png b.png 0 1 {' '.join(map(repr, map(float, numbers)))}\n")
    pair = load_pairs(file, 0).pairs[0]
    assert pair.cameras is not None and pair.homography is None and pair.flow is None
    assert_allclose(pair.cameras.matrix_a, cameras.matrix_a)
    assert pair.load_b().shape[:2] == PAIR.load_b().shape[1::-1]
    flow = PAIR.truth()
    y, x = np.nonzero(np.isfinite(flow).all(-1))
    a, b = np.column_stack([x, y])[::997].astype(float), flow[y, x][::997]
    b = np.column_stack([b[:, 1], PAIR.load_b().shape[1] - 1 - b[:, 0]])  # turned counter-clockwise
    assert match_errors(a, b, pair.truth()).max() < 1e-3
    for text, word in (
        ("a.png b.png 0 0 1 2", "got 6 fields"),
        (file.read_text().replace("a.png", "c.png"), "c.png"),
    ):
        file.write_text(text.rstrip("\n") + "\n" if word != "got 6 fields" else file.read_text() + text)
        with pytest.raises(InputError, match=word):
            load_pairs(file)


def test_a_camera_that_only_turned_gives_a_homography(tmp_path: Path) -> None:
    """Without a baseline the fundamental matrix is zero, by which every match would be right."""
    cameras = posed_folder(tmp_path)
    file = tmp_path / "pairs.txt"
    pose = np.column_stack([cameras.pose[:, :3], np.zeros(3)])
    numbers = [*cameras.matrix_a.ravel(), *cameras.matrix_b.ravel(), *pose.ravel(), 0, 0, 0, 1]
    file.write_text(f"a.png b.png 0 0 {' '.join(map(repr, map(float, numbers)))}\n")
    pair = load_pairs(file, 0).pairs[0]
    rays = np.linalg.inv(cameras.matrix_a) @ [[100.0, 240], [80, 180], [1, 1]]
    ends = cameras.matrix_b @ pose[:, :3] @ rays
    xy_a, xy_b = np.array([[100.0, 80], [240, 180]]), (ends[:2] / ends[2]).T
    assert_allclose(match_errors(xy_a, xy_b, pair.truth()), 0, atol=1e-6)
    assert match_errors(xy_a, xy_b + 9, pair.truth()).min() > 5


def test_colmaps_model_comes_back_half_a_pixel_on(tmp_path: Path) -> None:
    cameras = posed_folder(tmp_path)
    k = cameras.matrix_a
    line = f"PINHOLE 480 360 {k[0, 0]} {k[1, 1]} {k[0, 2] + 0.5} {k[1, 2] + 0.5}"
    (tmp_path / "cameras.txt").write_text(f"# cameras\n1 {line}\n")
    vector = cv2.Rodrigues(cameras.pose[:, :3])[0].ravel()
    half = np.linalg.norm(vector) / 2
    q = [np.cos(half), *(np.sin(half) * vector / np.linalg.norm(vector))]
    first, second = "1 1 0 0 0 0 0 0 1 a.png", " ".join(map(str, [2, *q, *cameras.pose[:, 3], 1, "b.png"]))
    (tmp_path / "images.txt").write_text(f"{first}\n1 1 7 2 2 8\n{second}\n3 3 7 4 4 9\n")
    pair = load_pairs(tmp_path, 0).pairs[0]
    assert pair.cameras is not None
    assert_allclose(pair.cameras.matrix_a, cameras.matrix_a, atol=1e-9)
    assert_allclose(pair.cameras.pose, cameras.pose, atol=1e-9)
    (tmp_path / "cameras.txt").write_text("1 FOV 480 360 300 240 180 1\n")
    with pytest.raises(InputError, match="image_undistorter"):
        load_pairs(tmp_path)


def test_a_colmap_model_is_named_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "scene" / "sparse" / "0"
    (tmp_path / "scene" / "images").mkdir(parents=True)
    model.mkdir(parents=True)
    posed_folder(tmp_path / "scene" / "images")
    (model / "cameras.txt").write_text("1 PINHOLE 480 360 300 300 240 180\n")
    (model / "images.txt").write_text("1 1 0 0 0 0 0 0 1 a.png\n\n2 1 0 0 0 1 0 0 1 b.png\n\n")
    (model / "pairs.txt").write_text("a.png b.png\n")
    for folder, name in ((tmp_path, "scene"), (model.parent, "0"), (model, ".")):
        monkeypatch.chdir(folder)
        assert [p.name for p in load_pairs(name, 0)] == ["a~b"]


def test_turning_a_camera_four_times_changes_nothing() -> None:
    matrix = np.array([[300.0, 0, 200], [0, 310, 150], [0, 0, 1]])
    turned_matrix, rotation = quarter_turned(matrix, (360, 480), 4)
    assert_allclose(turned_matrix, matrix)
    assert_allclose(rotation, np.eye(3))


def test_a_pair_with_cameras_alone_is_judged_by_lines_and_pose() -> None:
    assert PAIR.cameras is not None
    pair = Pair("s/1", "s", PAIR.load_a, PAIR.load_b, cameras=PAIR.cameras)
    none, nan = Keypoints(np.zeros((0, 2))), np.full((3, 3), np.nan)
    nothing = np.zeros((0, 2))
    matched = Matched(none, none, nothing, nothing, [], nan, [], pose=PAIR.cameras.pose)
    from hybridkp.metrics import POINT_METRICS, POSE_METRICS

    found = pair_scores(matched, pair.truth(), (9, 9), (9, 9), [*POINT_METRICS, *POSE_METRICS], pair.cameras)
    assert found["pose_auc@5"] == 1 and found["pose_deg"] == 0
    assert np.isnan(found["repeatability@3"]) and np.isnan(found["auc@3"]) and found["mma@3"] == 0
    with pytest.raises(InputError, match="or cameras"):
        Pair("s/1", "s", PAIR.load_a, PAIR.load_b)
