"""Methods of whole pictures side by side: what is found, what is told, and the figures of both."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from hybridkp import evaluate
from hybridkp.checks import ring_samples
from hybridkp.cli import main
from hybridkp.detection import WindowFinder
from hybridkp.files import FoundBoxes, load_found, save_found
from hybridkp.metrics import box_overlap, matched, swapped_points
from hybridkp.recipes import make_method
from hybridkp.report import write_finders_report
from hybridkp.report.finders import score_finders
from hybridkp.structures import Dataset, InputError, Instance, Problem, Sample

LIGHT = "hog+svm[window_cells=6,n_rounds=1,octave=3]"
BOX = np.array([[10.0, 10, 40, 40], [60, 10, 40, 40]])
POINTS = np.array([[[20.0, 20], [40, 40]], [[70, 20], [90, 40]]])


def two_objects(n: int = 3) -> Dataset:
    """Pictures with two objects of two points; the side of a box is 40 px."""
    its = tuple(Instance(xy, box_xywh=box, area=1600.0) for xy, box in zip(POINTS, BOX, strict=True))
    names = ("left_end", "right_end")
    return Dataset(
        "pairs",
        names,
        tuple(Sample(f"{i}.png", lambda: np.zeros((60, 120), np.uint8), its, str(i)) for i in range(n)),
    )


def answers(data: Dataset, points: np.ndarray, boxes: np.ndarray = BOX, **more: object) -> FoundBoxes:
    """The same find in every picture."""
    n = len(data)
    scores = tuple(np.linspace(0.9, 0.6, len(boxes)) for _ in range(n))
    facts = {"data": data.name, "fingerprint": data.fingerprint, "sure": (len(boxes),) * n, **more}
    return FoundBoxes("m", tuple(s.name for s in data), (boxes,) * n, scores, points=(points,) * n, **facts)


def figures(data: Dataset, found: FoundBoxes) -> dict[str, float]:
    (score,) = score_finders(data, [found], ("box",))
    return score.value


def test_a_box_is_taken_once_and_the_best_box_chooses_first() -> None:
    assert matched(box_overlap(BOX[::-1], BOX)).tolist() == [1, 0]
    near = BOX[0] + [[2.0, 0, 0, 0], [0, 0, 0, 0]]
    assert matched(box_overlap(near, BOX)).tolist() == [0, -1], (
        "the first one has it, though the second is nearer"
    )
    assert matched(box_overlap(np.zeros((0, 4)), BOX)).tolist() == [-1, -1]
    assert matched(box_overlap(BOX, np.full((1, 4), np.nan))).tolist() == [-1]


def test_a_point_is_swapped_where_it_lies_on_another_object() -> None:
    sigmas, area = np.full(2, 0.05), np.full(2, 1600.0)
    edge = np.sqrt(2 * np.log(2)) * 0.1 * 40  # px at which the similarity is one half
    moved = POINTS.copy()
    moved[0, 0] = POINTS[1, 0] + [edge - 0.25, 0]
    assert swapped_points(POINTS, moved, area, sigmas).tolist() == [[True, False], [False, False]]
    moved[0, 0] = POINTS[1, 0] + [edge + 0.25, 0]
    assert not swapped_points(POINTS, moved, area, sigmas).any(), "half a px further on it is nobody's"
    moved[0, 0] = POINTS[1, 1]
    assert not swapped_points(POINTS, moved, area, sigmas).any(), "another landmark"
    assert swapped_points(POINTS, moved, area, sigmas, [1, 0])[0, 0], "which is that of the other side"
    moved[0, 0] = np.nan
    assert not swapped_points(POINTS, moved, area, sigmas, [1, 0]).any()


def test_figures_of_what_was_found_and_of_what_was_told() -> None:
    data = two_objects()
    off = POINTS + [[[0.5, 0]], [[1.0, 0]]]
    told = answers(data, POINTS + [0.25, 0], told=True)
    value = figures(data, answers(data, off, given=told))
    assert value["objects_found"] == 100 and value["false_per_picture"] == value["swapped"] == 0
    assert value["error"] == pytest.approx(100 * 0.75 / 40) and value["error_given"] == pytest.approx(0.625)
    assert [value[key] for key in ("error_ratio", "median_ratio")] == pytest.approx([3, 3])
    assert value["oks_ap"] == value["oks_ap_given"] == 100
    away, far = BOX + [[0.0, 0, 0, 0], [0, 30, 0, 0]], off + [[[0.0, 0]], [[0, 30]]]
    value = figures(data, answers(data, far, away, given=told))
    assert value["objects_found"] == 50 and value["false_per_picture"] == 1
    assert value["error_ratio"] == pytest.approx(2), "of the same objects"
    value = figures(data, answers(data, off, away, given=told))
    assert value["objects_found"] == 100, "the points are where they should be, though the box is not"
    value = figures(data, replace(answers(data, off, given=told), sure=(1, 1, 1)))
    assert value["objects_found"] == 50 and value["oks_ap"] == 100, "AP knows no threshold"
    value = figures(data, answers(data, POINTS[::-1].copy()))
    assert value["swapped"] == 100 and value["oks_ap"] == 100, "OKS does not look at boxes"
    nothing = answers(data, np.zeros((0, 2, 2)), np.zeros((0, 4)))
    value = figures(data, nothing)
    assert value["oks_ap"] == value["objects_found"] == 0 and np.isnan(value["error"])


def test_what_was_found_is_kept_as_it_is(tmp_path) -> None:
    data = two_objects(2)
    points = POINTS.copy()
    points[1, 0] = np.nan
    found = answers(data, points, given=answers(data, POINTS, told=True), settings={"seed": 0})
    found = replace(found, boxes=(BOX, np.zeros((0, 4))), scores=(found.scores[0], np.zeros(0)), sure=(1, 0))
    found = replace(found, points=(points, np.zeros((0, 2, 2))))
    path = tmp_path / "m.json"
    save_found(found, path)
    again = load_found(path)
    assert again.sure == (1, 0) and again.given is not None and len(again.given.points) == 2
    for kept, own in zip(again.points, found.points, strict=True):
        np.testing.assert_array_equal(kept, own)
    document = json.loads(path.read_text())
    for key, value in (("n_landmarks", 3), ("given", 7), ("pictures", [{"name": "a"}]), ("more", 1)):
        path.write_text(json.dumps({**document, key: value}))
        with pytest.raises(InputError, match="no boxes of a finder"):
            load_found(path)


def test_the_page_shows_misses_false_finds_and_swaps(tmp_path) -> None:
    data = two_objects()
    paths = write_finders_report([answers(data, POINTS, BOX + [50.0, 0, 0, 0])], data, tmp_path)
    page = paths["html"].read_text(encoding="utf-8")
    assert "swaps" in page and "1 right, 1 false, 1 missed" in page and "2 points swapped" in page
    assert "OKS AP" in paths["markdown"].read_text(encoding="utf-8")
    nothing = answers(data, np.zeros((0, 2, 2)), np.zeros((0, 4)))
    page = write_finders_report([nothing], data, tmp_path)["html"].read_text(encoding="utf-8")
    assert "0 right, 0 false, 2 missed" in page
    without_points = answers(data, np.full((1, 2, 2), np.nan), np.full((1, 4), np.nan))
    assert figures(data, without_points)["oks_ap"] == 0, "and no warning"
    told = replace(answers(data, POINTS, told=True), finder="told")
    paths = write_finders_report([told, answers(data, POINTS + [0.5, 0])], data, tmp_path)
    rows = json.loads(paths["json"].read_text(encoding="utf-8"))["methods"]
    assert [row["method"] == "told" for row in rows] == [False, True], (
        "found ones are ranked among themselves"
    )
    assert rows[1]["behind"] is None and "behind those that found" in paths["html"].read_text(
        encoding="utf-8"
    )


def test_bench_and_evaluate_take_what_finds_its_objects(rings, tmp_path, capsys) -> None:
    out = tmp_path / "bench"
    methods = f"{LIGHT}/mean-shape,mean-shape"
    command = ["bench", rings, "--methods", methods, "--crop", "32", "--out", str(out), "--max-val", "4"]
    assert main(command) == 0
    told = {row["method"]: row for row in json.loads((out / "results.json").read_text())["methods"]}
    found, alone = next(row for name, row in told.items() if "/" in name), told["mean-shape"]
    assert found["objects_found"] > 60 and found["time"] > 0 and found["error_given"] > 0
    assert alone["objects_found"] == 100 and alone["time"] is None and alone["error_given"] is None
    assert main(command) == 0 and capsys.readouterr().err.count("kept from before") == 2

    (model,) = (path for path in (out / "models").glob("*-0.hkp") if path.name.startswith("hog"))
    coco = json.loads((tmp_path / "rings" / "val.json").read_text())
    theirs = [
        {
            "image_id": row["image_id"],
            "category_id": row["category_id"],
            "keypoints": row["keypoints"],
            "score": 1,
        }
        for row in coco["annotations"]
        if not row["iscrowd"]
    ]
    (tmp_path / "theirs.json").write_text(json.dumps(theirs))
    again = ["evaluate", str(model), rings, "-o", str(tmp_path / "again")]
    assert main([*again, "--predictions", f"theirs={tmp_path / 'theirs.json'}"]) == 0
    rows = json.loads((tmp_path / "again" / "results.json").read_text())["methods"]
    assert next(row for row in rows if row["method"] == "theirs")["objects_found"] == 100
    same = next(row for row in rows if row["method"].endswith("]/mean-shape"))
    assert same["error"] == pytest.approx(found["error"]) and same["oks_ap"] == pytest.approx(found["oks_ap"])
    for wrong, word in (
        (["--fuse", "vote"], "--fuse"),
        (["--conditions"], "--conditions"),
        (["--predictions", "theirs=net.onnx"], "net.onnx is for models of crops"),
        (["--predictions", "theirs=of_crops.safetensors"], "given boxes"),
    ):
        assert main([*again, *wrong]) == 2 and word in capsys.readouterr().err
    assert main([*command, "--seeds", "0,1"]) == 2 and "--seeds" in capsys.readouterr().err


def test_a_finder_of_two_methods_is_fitted_once_and_what_fails_stops_nobody(monkeypatch, tmp_path) -> None:
    fits, real = [], WindowFinder.fit

    def fit(self: WindowFinder, samples: list[Sample]) -> WindowFinder:
        if self.window_cells == 7:
            raise RuntimeError("no luck")
        fits.append(self)
        return real(self, samples)

    monkeypatch.setattr(WindowFinder, "fit", fit)
    rings = [replace(s, instances=tuple(i for i in s.instances if i.judged)) for s in ring_samples(8, 0)]
    data = Dataset("rings", ("middle",), tuple(rings))
    others = [replace(s, group="other", name=f"other{i}") for i, s in enumerate(rings[:2])]
    problem = Problem(data, replace(data, name="val", samples=tuple(others)), size_hw=(32, 32))
    broken = LIGHT.replace("=6", "=7")
    names = f"{LIGHT}/mean-shape", f"{broken}/mean-shape", f"{LIGHT}/hog+ridge"
    made = {name: make_method(name) for name in names}
    found = evaluate.bench_finders(made, problem, tmp_path)
    assert [f.finder for f in found] == [names[0], names[2]] and len(fits) == 1
    assert all(f.given is not None and f.fit_seconds > 0 for f in found)
    assert "no luck" in next((tmp_path / "errors").iterdir()).read_text()
    with pytest.raises(InputError, match="no luck"):
        evaluate.bench_finders({names[1]: made[names[1]]}, problem, tmp_path / "other")


def test_a_method_that_sees_depth_is_timed_with_it(tmp_path) -> None:
    def deep(sample: Sample, group: str) -> Sample:
        its, depth = tuple(i for i in sample.instances if i.judged), np.full(sample.image.shape[:2], 900)
        depths = {"depth": lambda: depth.astype(np.uint16)}
        return replace(sample, instances=its, group=group, name=group + sample.name, modalities=depths)

    parts = [[deep(s, f"{part}{n % 2}") for n, s in enumerate(ring_samples(8, 0))] for part in ("a", "b")]
    train, val = (Dataset("rings", ("middle",), tuple(part)) for part in parts)
    names = f"{LIGHT}/hog+ridge[inputs=image:depth]", f"{LIGHT}/mean-shape"
    made = {name: make_method(name) for name in names}
    found = evaluate.bench_finders(made, Problem(train, val, size_hw=(32, 32), anyway=True), tmp_path)
    assert [row.finder for row in found] == [*names] and all(row.time_ratio > 0 for row in found)
