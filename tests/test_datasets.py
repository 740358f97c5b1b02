"""The readers: COCO keypoints and .pts, what they repair, what they refuse, what they bring back."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hybridkp.datasets import (
    CORRUPTIONS,
    check_dataset,
    corrupted,
    describe_dataset,
    group_folds,
    group_split,
    load_dataset,
    read_coco,
    read_pts,
    read_pts_folder,
    split_names,
    write_coco,
)
from hybridkp.datasets.layouts import infer_flip, recognise
from hybridkp.datasets.pts import photo_group
from hybridkp.datasets.schemes import COCO_17, IBUG_68, LAYOUTS, LSP_14
from hybridkp.structures import DataWarning, InputError

NAMES = ["nose", "left_eye", "right_eye"]


def document(**annotation: Any) -> dict[str, Any]:
    """Three pictures of 40 x 60 px with one instance each; ``annotation`` changes the second."""
    base = {"category_id": 1, "keypoints": [30, 20, 2, 40, 10, 1, 20, 10, 2], "num_keypoints": 3}
    rows = [base | {"id": i, "image_id": i, "bbox": [15, 5, 30, 20], "area": 200.0} for i in (1, 2, 3)]
    rows[1] = {k: v for k, v in (rows[1] | annotation).items() if v is not ...}
    return {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": 60, "height": 40, "group": f"g{(i + 1) // 2}"}
            for i in (1, 2, 3)
        ],
        "annotations": rows,
        "categories": [{"id": 1, "name": "head", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]}],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in (1, 2, 3):
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), rng.integers(0, 255, (40, 60, 3), np.uint8))
    return tmp_path


def put(folder: Path, content: Any, name: str = "train.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# --------------------------------------------------------------------------------------------
# COCO
# --------------------------------------------------------------------------------------------


def test_coco_reads_what_is_written(folder: Path) -> None:
    dataset = read_coco(put(folder, document()))
    assert dataset.landmarks == tuple(NAMES) and len(dataset) == 3 and dataset.category == "head"
    assert dataset.skeleton.tolist() == [[0, 1], [0, 2]]
    assert dataset.flip.tolist() == [0, 2, 1]
    assert dataset.normalizer == ("box",)
    assert list(dataset.groups) == ["g1", "g1", "g2"]
    sample = pickle.loads(pickle.dumps(dataset.samples[0]))  # joblib's workers need it
    assert sample.image.shape == (40, 60, 3) and sample.size_hw == (40, 60)
    np.testing.assert_array_equal(sample.instances[0].xy, [[30, 20], [40, 10], [20, 10]])
    np.testing.assert_array_equal(sample.instances[0].visibility, [2, 1, 2])
    assert sample.instances[0].area == 200


def test_coco_v0_is_not_labelled_whatever_its_coordinates(folder: Path) -> None:
    content = document(keypoints=[30, 20, 2, 40, 10, 0, 0, 0, 0], num_keypoints=1)
    instance = read_coco(put(folder, content)).samples[1].instances[0]
    np.testing.assert_array_equal(np.isnan(instance.xy[:, 0]), [False, True, True])


@pytest.mark.parametrize(
    ("change", "told", "expected"),
    [
        ({"area": ...}, "area missing", {"area": 600.0}),  # the box: 30 x 20
        ({"num_keypoints": ...}, "num_keypoints", {}),
        ({"bbox": ...}, "bbox missing", {"box": [18.5, 8.5, 24, 14]}),  # grown by 2 px
        ({"bbox": [5, 5, 0, 9]}, "without width", {"box": [18.5, 8.5, 24, 14]}),
        ({"bbox": [100, 5, 9, 9]}, "outside the picture", {"box": [18.5, 8.5, 24, 14]}),
        (
            {"keypoints": [30, 20, 2, float("nan"), 10, 2, 20, 10, 2], "num_keypoints": 2},
            "NaN coordinates, now not labelled: 1",
            {"labelled": 2},
        ),
        (
            {"keypoints": [30, 20, 2, -900, 10, 2, 20, 10, 2], "num_keypoints": 2},
            "far outside the picture",
            {"labelled": 2},
        ),
        ({"keypoints": [30, 20, 7, 40, 10, 1, 20, 10, 2]}, "visibility outside", {"labelled": 3}),
    ],
)
def test_coco_repairs_by_stated_rules_with_one_warning(
    folder: Path, change: dict[str, Any], told: str, expected: dict[str, Any]
) -> None:
    with pytest.warns(DataWarning, match=told) as caught:
        instance = read_coco(put(folder, document(**change))).samples[1].instances[0]
    assert len(caught) == 1 and "train.json" in str(caught[0].message)
    if "area" in expected:
        assert instance.area == pytest.approx(expected["area"])
    if "box" in expected:
        np.testing.assert_allclose(instance.box_xywh, expected["box"], atol=1e-9)
    if "labelled" in expected:
        assert (instance.visibility > 0).sum() == expected["labelled"]


def changed(**parts: Any) -> dict[str, Any]:
    return document() | parts


BAD = {
    "empty": ("", "empty"),
    "truncated": (json.dumps(document())[:-40], "ends early"),
    "malformed": ('{"images": [,]}', "line 1 column"),
    "a list": ("[]", "results"),
    "a number": ("3", "not a COCO file"),
    "no keys": ("{}", "'images' is missing"),
    "no pictures": (changed(images=[]), "no picture"),
    "no instance": (changed(annotations=[]), "no instance"),
    "nothing labelled": (changed(annotations=document(keypoints=[0] * 9)["annotations"][1:2]), "no instance"),
    "K changes": (document(keypoints=[1, 2, 2, 3, 4, 2]), "instance 2: has 6 keypoint numbers.*needs 9"),
    "not numbers": (document(keypoints=["a"] * 9), "instance 2: keypoints must be numbers"),
    "box of three": (document(bbox=[1, 2, 3]), "instance 2: bbox"),
    "unknown picture": (document(image_id=9), "instance 2: image_id 9"),
    "id twice": (document(id=1), "instance 1: this id occurs twice"),
    "image twice": (changed(images=document()["images"][:1] * 2), "image id 1 occurs twice"),
    "no file name": (changed(images=[{"id": 1}]), "file_name"),
    "no names": (changed(categories=[{"id": 1, "name": "x"}, {"id": 2}]), "no category lists its keypoints"),
    "names twice": (changed(categories=[{"id": 1, "keypoints": ["a", "a", "b"]}]), "'a' occurs twice"),
    "bad skeleton": (
        changed(categories=[{"id": 1, "keypoints": NAMES, "skeleton": [[0, 99]]}]),
        "counts from 1",
    ),
    "bad flip": (changed(categories=[{"id": 1, "keypoints": NAMES, "flip_indices": [0, 1]}]), "flip_indices"),
    "bad normaliser": (changed(info={"normalizer": ["points", 0, 9]}), "normalizer"),
}


@pytest.mark.filterwarnings("ignore::hybridkp.structures.DataWarning")
@pytest.mark.parametrize("case", BAD)
def test_coco_refuses_in_one_line_naming_file_and_cure(folder: Path, case: str) -> None:
    content, told = BAD[case]
    with pytest.raises(InputError, match=told) as error:
        read_coco(put(folder, content))
    assert "train.json" in str(error.value) and "\n" not in str(error.value)


def _places(node: Any, here: tuple = ()) -> Iterator[tuple]:
    for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield (*here, key)
        yield from _places(node[key], (*here, key))


@pytest.mark.parametrize(
    "value",
    [None, [], {"a": 1}, "x", -1, 1e308, float("inf"), 10**400, [[1], [2, 3]]],
    ids=lambda v: str(v)[:9],
)
@pytest.mark.filterwarnings("ignore::hybridkp.structures.DataWarning")
def test_coco_nothing_in_the_file_fails_otherwise(folder: Path, value: Any) -> None:
    whole = document()
    whole["categories"][0] |= {"sigmas": [0.1] * 3, "flip_indices": [0, 2, 1]}
    for place in _places(whole):
        content = copy.deepcopy(whole)
        node = content
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = value
        with contextlib.suppress(InputError):
            read_coco(put(folder, content))
        check_dataset(folder / "train.json")  # the linter makes a finding of it


def test_coco_missing_pictures_name_the_folders(folder: Path) -> None:
    content = document()
    for image in content["images"]:
        image["file_name"] = "x" + image["file_name"]
    with pytest.raises(InputError, match="none of its 3 pictures"):
        read_coco(put(folder, content))
    with pytest.raises(InputError, match="no such file"):
        read_coco(folder / "nothing.json")


def test_coco_one_missing_picture_fails_only_when_opened(folder: Path) -> None:
    (folder / "images" / "2.png").unlink()
    dataset = read_coco(put(folder, document()))
    with pytest.raises(InputError, match=r"2\.png"):
        _ = dataset.samples[1].image


def test_coco_single_landmark_without_box_takes_the_picture(folder: Path) -> None:
    content = document()
    content["categories"][0] |= {"keypoints": ["tip"], "skeleton": []}
    for a in content["annotations"]:
        a |= {"keypoints": [5, 6, 2], "num_keypoints": 1}
        del a["bbox"]
    with pytest.warns(DataWarning, match="whole picture"):
        dataset = read_coco(put(folder, content))
    np.testing.assert_array_equal(dataset.samples[0].instances[0].box_xywh, [0, 0, 60, 40])
    assert dataset.normalizer == ("pixel",)  # every box is the whole picture


@pytest.mark.parametrize("given", [["points", 1, 2], ["points", "left_eye", "right_eye"]])
def test_coco_info_normalizer_overrides(folder: Path, given: list[Any]) -> None:
    dataset = read_coco(put(folder, changed(info={"normalizer": given, "licence": "CC0"})))
    assert dataset.normalizer == ("points", 1, 2) and dataset.licence == "CC0"


def test_coco_scale_in_mm(folder: Path) -> None:
    """Every picture with a scale: errors in mm; it survives writing, and a picture of another size."""
    content = document()
    for image in content["images"]:
        image["mm_per_px"] = 0.25
    first = read_coco(put(folder, content))
    assert first.normalizer == ("mm",)
    write_coco(first, folder / "again.json")
    again = read_coco(folder / "again.json")
    assert [s.mm_per_px for s in again] == [0.25] * len(again) and again.normalizer == ("mm",)
    kind = next(k for k, c in CORRUPTIONS.items() if c.move is not None)
    harder = corrupted(again, kind, 4)
    pairs = [(a, b) for a, b in zip(again, harder, strict=True) if len(a.instances[0].xy) > 1]
    for a, b in pairs:
        there = [np.diff(s.instances[0].xy, axis=0) * s.mm_per_px for s in (a, b)]
        np.testing.assert_allclose(*(np.hypot(*t.T) for t in there), rtol=1e-6)
    content["images"][0]["mm_per_px"] = "a lot"
    assert read_coco(put(folder, content)).normalizer != ("mm",)


def test_coco_round_trip(folder: Path) -> None:
    content = document(keypoints=[30.25, 20.125, 2, 0, 0, 0, 20, 10, 1], num_keypoints=2)
    first = read_coco(
        put(folder, changed(info={"normalizer": "pixel"}) | {"annotations": content["annotations"]})
    )
    write_coco(first, folder / "again.json")
    second = read_coco(folder / "again.json", name=first.name)
    assert second.fingerprint == first.fingerprint
    assert (second.normalizer, second.landmarks) == (first.normalizer, first.landmarks)
    for a, b in zip(first, second, strict=True):
        assert (a.name, a.group, a.size_hw, a.image_id) == (b.name, b.group, b.size_hw, b.image_id)
        np.testing.assert_array_equal(a.instances[0].xy, b.instances[0].xy)
        np.testing.assert_array_equal(a.instances[0].visibility, b.instances[0].visibility)
        assert a.instances[0].area == b.instances[0].area
    assert not list(folder.glob("*.tmp*"))


# --------------------------------------------------------------------------------------------
# layouts
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_layouts_are_consistent(layout: Any) -> None:
    k = len(layout.landmarks)
    np.testing.assert_array_equal(layout.flip[layout.flip], np.arange(k))
    assert (
        all(max(pair) < k for pair in layout.skeleton)
        and recognise(layout.landmarks, layout.category) is layout
    )
    inferred = infer_flip(layout.landmarks)
    if inferred is not None:
        moved = inferred != np.arange(k)  # the whole body's face has no sides in its names
        np.testing.assert_array_equal(inferred[moved], layout.flip[moved])
    assert layout.sigmas is None or len(layout.sigmas) == k


def test_layouts_facts() -> None:
    assert IBUG_68.normalizer == ("points", 36, 45) and IBUG_68.flip[36] == 45 and IBUG_68.flip[33] == 33
    assert LSP_14.landmarks[9] == "left_shoulder" and LSP_14.landmarks[2] == "right_hip"
    assert COCO_17.sigmas is not None and COCO_17.sigmas[0] == 0.026
    assert recognise([f"p{i}" for i in range(68)], "person") is None  # 68 points of no face


@pytest.mark.parametrize(
    ("names", "flip"),
    [
        (["eye_l", "eye_r", "tail"], [1, 0, 2]),
        (["LEye", "REye"], [1, 0]),
        (["leftEye", "rightEye"], [1, 0]),
        (["left_eye_left", "left_eye_right", "right_eye_left", "right_eye_right"], [3, 2, 1, 0]),
        (["snout", "leftear", "rightear"], [0, 2, 1]),  # DeepLabCut's open field
        (["head", "wingL", "wingR", "legL4", "legR4"], [0, 2, 1, 4, 3]),  # SLEAP's flies
        (["earleft", "earright", "leftover", "tailL"], [1, 0, 2, 3]),
        (["left_eye", "nose"], None),  # no partner
        (["Lips", "Root"], None),  # no side at all
    ],
)
def test_infer_flip(names: list[str], flip: list[int] | None) -> None:
    found = infer_flip(names)
    assert (found is None) if flip is None else found.tolist() == flip


# --------------------------------------------------------------------------------------------
# .pts
# --------------------------------------------------------------------------------------------

HEADER = "version: 1\nn_points:  3\n{{\n{}\n}}\n"
POINTS = "10.5 20\n30 20\n20 35.25"


@pytest.mark.parametrize(
    "text", [HEADER.format(POINTS), POINTS, POINTS.replace(" ", ","), f"# made\n{POINTS}\n"]
)
def test_pts_with_and_without_header(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.pts"
    file.write_text(text)
    np.testing.assert_allclose(read_pts(file), [[9.5, 19], [29, 19], [19, 34.25]])
    np.testing.assert_allclose(read_pts(file, origin=0), [[10.5, 20], [30, 20], [20, 35.25]])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEADER.format("1 2\n3 4"), "n_points: 3 but holds 2"),
        ("", "holds no points"),
        ("1 2 3", "line 1"),
        ("n_points: many\n1 2", "whole number"),
    ],
)
def test_pts_refuses(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "a.pts"
    file.write_text(text)
    with pytest.raises(InputError, match=told):
        read_pts(file)


def test_pts_folder(tmp_path: Path) -> None:
    for stem, suffix in (("12345_1", "png"), ("12345_2", "JPG"), ("image_0018", "png")):
        (tmp_path / f"{stem}.pts").write_text(HEADER.format(POINTS))
        cv2.imwrite(str(tmp_path / f"{stem}.{suffix}"), np.full((50, 40), 90, np.uint8))
    dataset = load_dataset(tmp_path)
    assert [s.group for s in dataset] == ["12345", "12345", "image_0018"]
    assert dataset.samples[1].image.shape[:2] == (50, 40)
    # points' box 9.5..29 x 19..34.25, grown by 10 % of 19.5 on every side, along pixel edges
    np.testing.assert_allclose(dataset.samples[0].instances[0].box_xywh, [8.05, 17.55, 23.4, 19.15])
    assert split_names(tmp_path) == () and dataset.flip is None
    (tmp_path / "image_0018.pts").write_text("1 2\n3 4")
    with pytest.raises(InputError, match="has 2 points"):
        read_pts_folder(tmp_path)
    (tmp_path / "12345_1.png").unlink()
    with pytest.raises(InputError, match="no picture 12345_1"):
        read_pts_folder(tmp_path)


def test_photo_group() -> None:
    assert photo_group("2908549_1") == "2908549" and photo_group("image_0018") == "image_0018"
    assert photo_group("1051618982_10_mirror") == "1051618982"


# --------------------------------------------------------------------------------------------
# the door, splits, facts
# --------------------------------------------------------------------------------------------


def test_load_dataset_finds_splits(folder: Path) -> None:
    put(folder, document())
    assert split_names(folder) == ("train",)
    put(folder, document(), "val.json")
    assert split_names(folder) == ("train", "val")
    assert len(load_dataset(folder, "val")) == 3 and len(load_dataset(folder)) == 6
    with pytest.raises(InputError, match="no split 'test'"):
        load_dataset(folder, "test")
    assert len(load_dataset(folder / "train.json")) == 3


def test_load_dataset_refuses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing known in it \(an empty folder\); expected a folder"):
        load_dataset(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        load_dataset(tmp_path / "no")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="nothing known in it"):
        load_dataset(tmp_path / "notes.txt")


def test_load_dataset_roboflow_folders(folder: Path) -> None:
    for split in ("train", "valid"):
        (folder / split).mkdir()
        put(folder / split, document(), "_annotations.coco.json")
        for i in (1, 2, 3):
            (folder / split / f"{i}.png").write_bytes((folder / "images" / f"{i}.png").read_bytes())
    assert split_names(folder) == ("train", "val") and len(load_dataset(folder, "val")) == 3


@pytest.mark.parametrize("n_folds", [2, 3, 7])
def test_group_folds_cut_nothing_and_balance(n_folds: int) -> None:
    rng = np.random.default_rng(3)
    groups = rng.choice([f"g{i}" for i in range(40)], 200)
    folds = group_folds(groups, n_folds, 5)
    np.testing.assert_array_equal(np.sort(np.concatenate([t for _, t in folds])), np.arange(200))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == 200
        assert abs(len(test) - 200 / n_folds) <= 10
    again, other = group_folds(groups, n_folds, 5), group_folds(groups, n_folds, 6)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(folds, again, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(folds, other, strict=True))


def test_group_folds_few_groups() -> None:
    assert len(group_folds(["a", "a", "b"], 5)) == 2
    assert sorted(len(t) for _, t in group_folds(7, 3)) == [2, 2, 3]
    with pytest.raises(InputError, match="at least two groups"):
        group_folds(["a", "a"], 3)


def test_group_split_cuts_nothing() -> None:
    groups = np.repeat(np.arange(50), 4)
    train, held = group_split(groups, 0.2, 1)
    assert len(held) == 40 and not set(groups[train]) & set(groups[held])
    assert [len(x) for x in group_split(2, 0.9)] == [1, 1]


def test_describe_dataset(folder: Path) -> None:
    facts = describe_dataset(read_coco(put(folder, document())))
    json.dumps(facts)
    assert facts["pictures"] == 3 and facts["groups"] == 2 and facts["labelled"]["nose"] == 1
    assert facts["box_px"] == [30, 30, 30] and "box" in facts["normalizer"]


# --------------------------------------------------------------------------------------------
# the real sets
# --------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "sizes", "normalizer", "mirrors"),
    [
        ("faces68", (1780, 232), ("points", 36, 45), True),
        ("bodies14", (2000, 300), ("points", 9, 2), True),
        ("mouse17", (65, 25), ("pixel",), False),
    ],
)
def test_real_sets_read_without_a_warning(
    data_root: Path, name: str, sizes: tuple[int, int], normalizer: tuple[Any, ...], mirrors: bool
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = [load_dataset(data_root / name, split) for split in ("train", "val")]
    assert tuple(len(p) for p in parts) == sizes
    assert parts[0].normalizer == normalizer and (parts[0].flip is not None) == mirrors
    assert not set(parts[0].groups) & set(parts[1].groups) or name != "faces68"
    sample = parts[1].samples[0]
    assert sample.image.shape[:2] == sample.size_hw


@pytest.mark.data
def test_ibug_layout_agrees_with_faces68(data_root: Path) -> None:
    dataset = load_dataset(data_root / "faces68", "val")
    np.testing.assert_array_equal(dataset.flip, IBUG_68.flip)
    np.testing.assert_array_equal(dataset.skeleton, IBUG_68.skeleton)
    for train, test in group_folds(dataset.groups, 5):
        assert not set(dataset.groups[train]) & set(dataset.groups[test])
