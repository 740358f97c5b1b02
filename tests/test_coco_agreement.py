"""Awkward COCO files: what we read, score and write is what COCO's own tools see."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from report_helpers import make_data

from hybridkp.datasets import coco_document, read_coco
from hybridkp.evaluate import predictions_to_coco
from hybridkp.metrics import LANDMARK_METRICS, metric_of, oks_ap, oks_ap_from_coco
from hybridkp.report.landmarks.scores import gather_truth, score_methods
from hybridkp.report.landmarks.words import notes
from hybridkp.structures import Dataset, DataWarning, Instance, Predictions


def _predicted(data: Dataset, noise: float = 3.0) -> Predictions:
    rng = np.random.default_rng(3)
    rows = [(s, n, i) for s in data for n, i in enumerate(s.instances)]
    xy = np.stack([np.nan_to_num(i.xy, nan=40.0) for _, _, i in rows]) + rng.normal(
        0, noise, (len(rows), 5, 2)
    )
    score = np.repeat(rng.random((len(rows), 1)), 5, axis=1)
    instance = np.array([n for _, n, _ in rows])
    return Predictions(
        "m", xy, score, tuple(s.name for s, _, _ in rows), instance, np.full(len(rows), np.nan)
    )


@pytest.fixture
def lacking() -> Dataset:
    """Twelve objects in six pictures; every second one lacks an end of the normaliser."""
    data = make_data(12)
    samples = []
    for i in range(0, 12, 2):
        a, b = (data.samples[j].instances[0] for j in (i, i + 1))
        xy = a.xy.copy()
        xy[0] = np.nan
        both = (replace(a, xy=xy, visibility=None), replace(b, area=700.0))
        samples.append(replace(data.samples[i], instances=both, image_id=100 - i))
    return replace(data, samples=tuple(samples), category_id=7)


def test_oks_ap_knows_no_normaliser_and_is_cocos(lacking: Dataset) -> None:
    run = _predicted(lacking)
    document = json.loads(json.dumps(coco_document(lacking)))
    results = predictions_to_coco(run, lacking)
    found = []
    for normalizer in (("points", 0, 1), ("box",), ("pixel",)):
        truth = gather_truth(lacking, [run], normalizer)
        found.append(score_methods(truth, [run])[0].figures["oks_ap_percent"][0])
        left_out = [n for n in notes(truth, score_methods(truth, [run]), 0.95) if "left out" in n]
        figures = "NME, median, failures, AUC, precision, recall and F1"
        why = "the normaliser's length is not known"
        expected = [f"6 objects of 12 left out of {figures}: {why}."]
        assert left_out == (expected if normalizer == ("points", 0, 1) else [])
    assert 0 < found[0] < 1 and found[1:] == found[:1] * 2
    assert found[0] == pytest.approx(oks_ap_from_coco(document, results, lacking.sigmas)["AP"], abs=1e-6)
    other = pytest.importorskip("faster_coco_eval")
    reference = other.COCO(document)
    evaluation = other.COCOeval_faster(
        reference, reference.loadRes(results), "keypoints", kpt_oks_sigmas=lacking.sigmas
    )
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert found[0] == pytest.approx(evaluation.stats[0], abs=1e-6)


def test_objects_without_area_are_left_out_of_oks_only(lacking: Dataset) -> None:
    first = lacking.samples[0]
    bare = Instance(first.instances[1].xy)  # neither area nor box
    samples = (replace(first, instances=(first.instances[0], bare)), *lacking.samples[1:])
    data = replace(lacking, samples=samples, normalizer=("pixel",))
    truth = gather_truth(data, [_predicted(data)])
    (scores,) = score_methods(truth, [_predicted(data)])
    assert np.isfinite(scores.values).all() and np.isfinite(scores.figures["oks_ap_percent"])
    told = [n for n in notes(truth, [scores], 0.95) if "left out" in n]
    assert told == ["1 object of 12 left out of OKS AP: neither area nor box is known."]


def test_result_lists_keep_the_datas_ids(lacking: Dataset) -> None:
    """One file name in two folders, ids that are no row numbers, a category that is not 1."""
    samples = [replace(s, name="a.png") for s in lacking.samples]
    data = replace(lacking, samples=tuple(samples))
    rows = predictions_to_coco(_predicted(data, 0.0), data)
    assert [r["image_id"] for r in rows] == [i for s in data for i in (s.image_id,) * 2]
    assert {r["category_id"] for r in rows} == {7}
    assert oks_ap_from_coco(coco_document(data), rows, data.sigmas)["AP"] == pytest.approx(1)


def _file(folder: Path, annotation: dict[str, Any]) -> Path:
    cv2.imwrite(str(folder / "a.png"), np.zeros((100, 100), np.uint8))
    base = {"id": 1, "image_id": 5, "category_id": 7, "iscrowd": 0, "num_keypoints": 3}
    document = {
        "images": [{"id": 5, "file_name": "a.png", "width": 100, "height": 100}],
        "annotations": [base | annotation],
        "categories": [{"id": 7, "name": "rod", "keypoints": ["a", "b", "c"]}],
    }
    path = folder / "t.json"
    path.write_text(json.dumps(document))
    return path


def test_a_read_file_keeps_its_category_id(tmp_path: Path) -> None:
    data = read_coco(
        _file(tmp_path, {"keypoints": [10, 10, 2, 50, 9, 2, 90, 10, 2], "bbox": [5, 0, 90, 20], "area": 9})
    )
    assert data.category_id == 7
    again = coco_document(data)
    assert again["categories"][0]["id"] == again["annotations"][0]["category_id"] == 7


@pytest.mark.parametrize(
    ("v", "labelled"), [(0.93, 2), (1e-6, 2), (1.7, 2), (1.0, 2), (2, 2), (0, 1), (-1, 1), (True, 2)]
)
def test_any_visibility_above_0_is_labelled(v: float, labelled: int, tmp_path: Path) -> None:
    annotation = {
        "keypoints": [10, 10, 2, 50, 20, v, 0, 0, 0],
        "bbox": [5, 0, 90, 20],
        "area": 900,
        "num_keypoints": labelled,
    }
    path = _file(tmp_path, annotation)
    if v in (0, 1, 2):
        data = read_coco(path)
    else:
        with pytest.warns(DataWarning, match="visibility"):
            data = read_coco(path)
    instance = data.samples[0].instances[0]
    assert int((instance.visibility > 0).sum()) == labelled == np.isfinite(instance.xy[:, 0]).sum()
    assert (Instance(instance.xy, [2, v, 0]).visibility > 0).sum() == labelled
    result = {"image_id": 5, "category_id": 7, "score": 1.0, "keypoints": [10, 10, 1, 99, 99, 1, 0, 0, 0]}
    found = oks_ap_from_coco(json.loads(path.read_text()), [result], [0.05] * 3)["AR"]
    assert found == (1.0 if labelled == 1 else 0.1)  # half the points are right: OKS 0.5


@pytest.mark.parametrize("box", [[5.0, 0.0, 90.0, 20.0], None])
def test_oks_without_area_is_continuous_in_the_points(box: list[float] | None, tmp_path: Path) -> None:
    """A rod that is exactly straight, or bent by a hundredth of a pixel: one area, one score."""
    found, areas = [], []
    for bend in (0.0, 0.01, 1.0):
        annotation: dict[str, Any] = {"keypoints": [10, 10, 2, 50, 10 + bend, 2, 90, 10, 2]}
        with pytest.warns(DataWarning, match="area missing"):
            data = read_coco(_file(tmp_path, annotation | ({"bbox": box} if box else {})))
        instance = data.samples[0].instances[0]
        areas.append(instance.area)
        assert instance.area == pytest.approx(instance.box_xywh[2] * instance.box_xywh[3])
        near = [instance.xy[None] + [0.5, 0]]
        found.append(oks_ap([instance.xy[None]], near, [[0.9]], [[instance.area]], [0.05] * 3)["AP"])
    assert found[0] == found[1] == found[2] == pytest.approx(1.0)
    np.testing.assert_allclose(areas[1:], areas[:1] * 2, rtol=0.2)
    assert areas[1] == pytest.approx(areas[0], rel=1e-2)
    if box:
        assert areas == [1800] * 3


def test_an_object_without_area_has_its_boxs() -> None:
    data = make_data(4, area=float("nan"))
    truth = gather_truth(data, [_predicted(data)])
    np.testing.assert_array_equal(truth.objects.areas, [3600] * 4)
    assert metric_of("oks_ap_percent", LANDMARK_METRICS).judges(truth.objects).all()
