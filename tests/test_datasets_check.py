"""The linter: each planted fault is found, named and explained; clean data stay silent."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hybridkp.datasets import Finding, check_dataset, load_dataset
from hybridkp.datasets.linter import figure_errors
from hybridkp.datasets.linter.pixels import SAME_CORRELATION, THUMB, Print, look_alikes
from hybridkp.structures import DataWarning, InputError, Instance

NAMES = ["nose", "left_eye", "right_eye", "left_mouth", "right_mouth", "chin"]
SHAPE = np.array([[40, 45], [55, 30], [25, 30], [52, 58], [28, 58], [40, 72]], float)


class Maker:
    """A clean two-split data set, 8 + 4 pictures, that a test then spoils."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "images").mkdir()
        rng = np.random.default_rng(0)
        self.documents: dict[str, dict[str, Any]] = {}
        for split, n in (("train", 8), ("val", 4)):
            images, annotations = [], []
            for i in range(n):
                name = f"{split}{i}.png"
                coarse = rng.integers(0, 255, (9, 9, 3), np.uint8)
                self.save(name, cv2.resize(coarse, (80, 90), interpolation=cv2.INTER_CUBIC))
                xy = SHAPE + rng.normal(0, 1, SHAPE.shape)
                images.append({"id": i, "file_name": name, "width": 80, "height": 90, "group": f"{split}{i}"})
                row = {"id": i, "image_id": i, "category_id": 1, "bbox": [20, 25, 42, 50], "area": 1700.0}
                row |= {"keypoints": np.c_[xy, np.full(6, 2)].ravel().round(2).tolist(), "num_keypoints": 6}
                annotations.append(row)
            self.documents[split] = {
                "images": images,
                "annotations": annotations,
                "categories": [{"id": 1, "name": "face", "keypoints": NAMES, "sigmas": [0.03] * 6}],
            }

    def save(self, name: str, image: np.ndarray) -> None:
        cv2.imwrite(str(self.root / "images" / name), image)

    def image(self, name: str) -> np.ndarray:
        return cv2.imread(str(self.root / "images" / name))

    def points(self, split: str, row: int) -> np.ndarray:
        return np.array(self.documents[split]["annotations"][row]["keypoints"]).reshape(-1, 3)

    def put_points(self, split: str, row: int, table: np.ndarray) -> None:
        self.documents[split]["annotations"][row]["keypoints"] = table.ravel().tolist()

    def check(self) -> dict[str, Finding]:
        for split, document in self.documents.items():
            (self.root / f"{split}.json").write_text(json.dumps(document))
        findings = check_dataset(self.root)
        for f in findings:
            assert f.severity in ("error", "warning", "note") and f.effect and f.cure
            assert f.code in str(f) and f.effect in str(f)
        return {f.code: f for f in findings}


@pytest.fixture
def made(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


def test_clean_data_are_silent(made: Maker) -> None:
    assert made.check() == {}


def test_missing_path_raises(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        check_dataset(tmp_path / "nothing")


def test_wrong_k(made: Maker) -> None:
    del made.documents["train"]["annotations"][3]["keypoints"][-3:]
    found = made.check()
    assert found["wrong-k"].severity == "error" and "instance 3: 5 points" in found["wrong-k"].where[0]
    assert found["unreadable"].severity == "error"


def test_broken_json(made: Maker) -> None:
    made.check()
    (made.root / "val.json").write_text('{"images": [')
    codes = [f.code for f in check_dataset(made.root)]
    assert codes[0] == "unreadable"


def test_area_groups_and_repairs(made: Maker) -> None:
    del made.documents["train"]["annotations"][1]["area"]
    del made.documents["val"]["images"][2]["group"]
    found = made.check()
    assert "train instance 1" in found["no-area"].where
    assert "area" in found["repaired"].message
    assert "1 of 4 pictures" in found["no-groups"].message


def test_what_is_unsaid_is_said_once(made: Maker) -> None:
    for document in made.documents.values():
        document["categories"][0] |= {"keypoints": list("abcdef"), "sigmas": [0.05] * 6}
    found = made.check()
    assert found["mirror-unknown"].message.startswith("train, val: nobody knows")
    assert "0.05 is assumed for every OKS sigma" in found["sigmas-assumed"].message
    assert {f.severity for f in found.values()} == {"note"}


def test_frames_without_groups_are_recognised(made: Maker) -> None:
    for n, image in enumerate(made.documents["train"]["images"]):
        del image["group"]
        name = f"{'ab'[n % 2]}_{n:03}.png"
        (made.root / "images" / image["file_name"]).rename(made.root / "images" / name)
        image["file_name"] = name
    found = made.check()["no-groups"]
    assert "look like frames" in found.message and "which makes 2 groups" in found.cure
    pattern = found.cure.split("'")[1]
    assert set(load_dataset(made.root, "train", group_by=pattern).groups) == {"a_", "b_"}


@pytest.mark.parametrize(("grow", "told"), [(0.0, True), (0.1, True), (None, False)])
def test_boxes_that_are_the_points_own(made: Maker, grow: float | None, told: bool) -> None:
    rng = np.random.default_rng(1)
    for split, document in made.documents.items():
        for row, annotation in enumerate(document["annotations"]):
            xy = made.points(split, row)[:, :2]
            low, size = xy.min(0), np.ptp(xy, axis=0)
            shift = rng.uniform(-0.05, 0.05, 2) * size if grow is None else 0
            more = (grow or 0.0) * size.max()
            annotation["bbox"] = [*(low - more + shift), *(size + 2 * more)]
    found = made.check()
    assert ("box-is-extent" in found) is told
    if told:
        codes = {f.code for f in check_dataset(made.root, box_jitter=0.1)}
        assert "box-is-extent" not in codes


def test_objects_of_a_category_without_keypoints_are_told(made: Maker) -> None:
    made.documents["train"]["annotations"][2]["category_id"] = 7
    found = made.check()["wrong-category"]
    assert "1 objects" in found.message and found.where == ("train instance 2: category 7",)


def test_points_and_boxes_against_the_frame(made: Maker) -> None:
    table = made.points("val", 1)
    table[0, :2] = 84.0, 50.0
    made.put_points("val", 1, table)
    made.documents["val"]["annotations"][2]["bbox"] = [60, 20, 40, 50]
    found = made.check()
    assert "val1.png (by 4.5 px)" in found["points-outside"].where[0]
    assert found["box-leaves"].where == ("val/val2.png",)


def test_one_based(made: Maker) -> None:
    table = made.points("train", 0)
    table[5, :2] = 80.0, 90.0
    made.put_points("train", 0, table)
    assert "one-based" in made.check()


def test_swapped_sides(made: Maker) -> None:
    table = made.points("train", 6)
    made.put_points("train", 6, table[[0, 2, 1, 4, 3, 5]])
    assert made.check()["swapped-sides"].where == ("train6.png",)


def test_labels_never_or_rarely_given(made: Maker) -> None:
    for split in ("train", "val"):
        for row in range(len(made.documents[split]["annotations"])):
            table = made.points(split, row)
            table[5] = 0
            made.put_points(split, row, table)
            made.documents[split]["annotations"][row]["num_keypoints"] = 5
    assert made.check()["never-labelled"].where == ("chin (0%)",)


def test_tiny_and_doubled(made: Maker) -> None:
    made.documents["train"]["annotations"][0]["bbox"] = [20, 20, 20, 20]
    made.documents["train"]["annotations"].append(dict(made.documents["train"]["annotations"][5], id=99))
    found = made.check()
    assert found["tiny"].where == ("train0.png",) and found["doubled-instance"].where == ("train/train5.png",)


def test_pictures_unreadable_turned_resized(made: Maker) -> None:
    (made.root / "images" / "train0.png").write_bytes(b"no picture")
    made.save("train1.png", np.rot90(made.image("train1.png")))
    made.save("train2.png", cv2.resize(made.image("train2.png"), (40, 45)))
    found = made.check()
    assert "train0.png" in found["unreadable-picture"].where[0]
    assert found["turned-picture"].where == ("train1.png",)
    assert found["wrong-size"].where == ("train2.png (said 80x90, is 40x45)",)


def test_leaks_between_splits(made: Maker) -> None:
    made.documents["val"]["images"][0]["group"] = "train5"
    made.save("val1.png", made.image("train2.png"))
    recompressed = cv2.imdecode(cv2.imencode(".jpg", made.image("train3.png"))[1], cv2.IMREAD_COLOR)
    made.save("val2.png", recompressed)
    found = made.check()
    assert found["group-in-two-splits"].where == ("train5",)
    assert found["same-picture-across-splits"].where == ("train/train2.png = val/val1.png",)
    assert found["look-alikes-across-splits"].where == ("train/train3.png = val/val2.png",)
    assert "too good" in found["look-alikes-across-splits"].effect


def test_flat_pictures_are_not_look_alikes(made: Maker) -> None:
    for i, level in enumerate((10, 90, 200)):
        made.save(f"train{i}.png", np.full((90, 80, 3), level, np.uint8))
    assert made.check() == {}


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["faces68", "bodies14", "mouse17", "bees32", "coco_people", "kitchen_depth", "wings12"]
)
def test_real_sets_have_no_errors(data_root: Path, name: str) -> None:
    findings = check_dataset(data_root / name)
    assert [str(f) for f in findings if f.severity == "error"] == []
    codes = {f.code for f in findings}
    # what is known of these sets: LFPW holds photographs twice; LSP-Extended and the mouse name no groups
    assert ("look-alikes-across-splits" in codes) == (name == "faces68")
    assert ("no-groups" in codes) == (name in ("bodies14", "mouse17"))


# --------------------------------------------------------------------------------------------
# slips of whole sets
# --------------------------------------------------------------------------------------------


def every(made: Maker, change: Any) -> None:
    """``change(annotation, row)`` on every object."""
    for document in made.documents.values():
        for row, annotation in enumerate(document["annotations"]):
            change(annotation, row)


def points_by(change: Any) -> Any:
    def edit(annotation: dict[str, Any], row: int) -> None:
        table = np.array(annotation["keypoints"], float).reshape(-1, 3)
        table[:, :2] = change(table[:, :2])
        annotation["keypoints"] = table.ravel().tolist()

    return edit


def boxes_by(change: Any) -> Any:
    def edit(annotation: dict[str, Any], row: int) -> None:
        annotation["bbox"] = [float(v) for v in change(*annotation["bbox"])]

    return edit


def both(factor: float) -> Any:
    def edit(annotation: dict[str, Any], row: int) -> None:
        points_by(lambda xy: xy * factor)(annotation, row)
        boxes_by(lambda *box: [v * factor for v in box])(annotation, row)

    return edit


def missing_at(place: float) -> Any:
    def edit(annotation: dict[str, Any], row: int) -> None:
        if row % 2:
            annotation["keypoints"][9:12] = [place, place, 2]

    return edit


SLIPS: dict[str, tuple[Any, str]] = {
    "missing is 0, 0": (missing_at(0), "one-place"),
    "missing is 1, 1": (missing_at(1), "one-place"),
    "missing is -1, -1": (missing_at(-1), "one-place"),
    "box elsewhere": (boxes_by(lambda x, y, w, h: (2, 2, 15, 15)), "box-elsewhere"),
    "box of corners": (boxes_by(lambda x, y, w, h: (x, y, x + w, y + h)), "other-reading"),
    "box by its centre": (boxes_by(lambda x, y, w, h: (x + w / 2, y + h / 2, w, h)), "other-reading"),
    "x for y in the points": (points_by(lambda xy: xy[:, ::-1]), "other-reading"),
    "y upwards in the points": (points_by(lambda xy: xy * [1, -1] + [0, 89]), "other-reading"),
    "0..1": (both(1 / 90), "wrong-scale"),
    "of pictures half as large": (both(0.5), "wrong-scale"),
    "of pictures twice as large": (both(2.0), "wrong-scale"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_slips_of_scale_place_and_reading_are_named(made: Maker, slip: str) -> None:
    change, code = SLIPS[slip]
    every(made, change)
    found = made.check()
    assert code in found and found[code].severity in ("error", "warning"), sorted(found)


def test_mirror_pairs_that_contradict_the_names(made: Maker) -> None:
    for document in made.documents.values():
        document["categories"][0]["flip_indices"] = list(range(6))
    assert made.check()["mirror-names"].where == ("left_eye", "right_eye", "left_mouth", "right_mouth")


def test_mirror_pairs_that_contradict_a_known_scheme(made: Maker) -> None:
    row = {"id": 1, "name": "face", "keypoints": [f"p{i}" for i in range(68)]}
    row |= {"flip_indices": list(range(68))}
    for document in made.documents.values():
        document["categories"] = [row]
        for annotation in document["annotations"]:
            annotation["keypoints"] = np.resize(annotation["keypoints"], 3 * 68).tolist()
    assert made.check()["mirror-names"].severity == "warning"


# --------------------------------------------------------------------------------------------
# the errors that a bench looks for, and look-alikes
# --------------------------------------------------------------------------------------------


def errors(made: Maker) -> dict[str, Finding]:
    made.check()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        parts = {split: load_dataset(made.root, split) for split in ("train", "val")}
    return {f.code: f for f in figure_errors(parts)}


def test_errors_that_make_figures_wrong_are_found_without_decoding(made: Maker) -> None:
    assert errors(made) == {}
    (made.root / "images" / "train0.png").write_bytes(b"no picture")
    made.save("train1.png", np.rot90(made.image("train1.png")))
    made.save("train2.png", cv2.resize(made.image("train2.png"), (40, 45)))
    made.save("val1.png", made.image("train3.png"))
    for row in range(8):
        table = made.points("train", row)
        table[5] = 0
        made.put_points("train", row, table)
    found = errors(made)
    assert set(found) == {
        *(
            "unreadable-picture",
            "turned-picture",
            "wrong-size",
            "never-labelled",
            "same-picture-across-splits",
        )
    }
    assert all(f.severity == "error" and "\n" not in f.line for f in found.values())
    assert "train2.png (said 80x90, is 40x45)" in found["wrong-size"].line
    assert found["same-picture-across-splits"].where == ("train/train3.png = val/val1.png",)


def test_a_landmark_that_only_the_judged_part_lacks_is_no_error(made: Maker) -> None:
    for row in range(4):
        table = made.points("val", row)
        table[5] = 0
        made.put_points("val", row, table)
    assert errors(made) == {}


def test_objects_of_another_number_of_landmarks(made: Maker) -> None:
    made.check()
    data = load_dataset(made.root, "train")
    short = replace(data.samples[2], instances=(Instance(SHAPE[:4], box_xywh=[20, 25, 42, 50]),))
    data = replace(data, samples=(*data.samples[:2], short))
    assert [f.code for f in figure_errors({"train": data})] == ["wrong-k"]


def test_look_alikes_are_those_of_all_pairs() -> None:
    """Pairs are found in sorted tables; what is joined is what comparing all with all joins."""
    rng = np.random.default_rng(3)
    prints = []
    for kind in range(60):
        base = rng.normal(0, 1, THUMB**2)
        bits = rng.random(256) < 0.5
        for copy in range(1 + kind % 4):
            thumb = base + rng.normal(0, 0.08, THUMB**2)
            thumb = (thumb - thumb.mean()) / np.linalg.norm(thumb - thumb.mean())
            name = f"{kind}-{copy}"
            prints.append(Print("train", name, name, name, thumb.astype(np.float32), bits))
    order = rng.permutation(len(prints))
    pairs = {tuple(sorted((a.name, b.name))) for a, b in look_alikes([prints[i] for i in order])}
    every = {
        tuple(sorted((a.name, b.name)))
        for i, a in enumerate(prints)
        for b in prints[:i]
        if a.thumb @ b.thumb >= SAME_CORRELATION
    }
    assert len(every) > 100 and pairs == every


def test_a_film_is_told_once(made: Maker) -> None:
    frame = made.image("train0.png")
    for i in range(6):
        made.save(f"train{i}.png", np.clip(frame.astype(int) + i, 0, 255).astype(np.uint8))
    found = made.check()["look-alikes"]
    assert found.where == ("train/train0.png = train/train1.png and 4 more",)
    assert found.message.startswith("5 pictures look like one of another group")


def test_numbers_and_letters_that_nobody_can_mean(made: Maker) -> None:
    made.check()
    text = (made.root / "train.json").read_text()
    for old, new, told in (
        ('"area": 1700.0', f'"area": {"9" * 5000}', "thousands of digits"),
        ('"nose"', '"\\ud800"', "half a character"),
        ('"bbox": [20, 25, 42, 50]', '"bbox": [1e300, 1e300, 1e300, 1e300]', "outside the picture"),
        ('"train0.png"', '"' + "x" * 300 + '.png"', "cannot be read"),
    ):
        assert old in text
        (made.root / "train.json").write_text(text.replace(old, new, 1))
        found = {f.code: f for f in check_dataset(made.root)}
        said = " ".join(f"{f.message} {f.where}" for f in found.values())
        assert told in said and "\n" not in said, said
