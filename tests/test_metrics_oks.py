"""OKS and COCO's ten figures: by hand, against the official figures, against another tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridkp import metrics
from hybridkp.structures import InputError

NAN = np.nan


def test_similarity_by_hand() -> None:
    truth = np.array([[[0, 0], [10, 0]], [[0, 0], [NAN, NAN]]], float)
    answer = np.array([[[0, 3], [10, 4]], [[0, 3], [NAN, NAN]]], float)
    area, sigmas = [100.0, 400.0], [0.1, 0.2]
    # exponents d² / (2 area (2 sigma)²): 9/8 and 16/32 for the first object, 9/32 for the second
    one, two, far = np.exp(-9 / 8), np.exp(-16 / 32), np.exp(-9 / 32)
    expected = [[(one + two) / 2, one / 2], [far, far]]
    np.testing.assert_allclose(metrics.oks_matrix(truth, answer, area, sigmas), expected, rtol=1e-12)
    np.testing.assert_allclose(
        metrics.object_oks(truth, answer, area, sigmas), np.diagonal(expected), rtol=1e-12
    )


def test_unlabelled_by_visibility_and_by_nan_are_one() -> None:
    rng = np.random.default_rng(0)
    truth, answer = rng.uniform(0, 50, (3, 4, 2)), rng.uniform(0, 50, (2, 4, 2))
    visibility = np.array([[2, 1, 0, 2], [1, 1, 1, 1], [0, 0, 0, 2]])
    area, sigmas = [900.0, 800.0, 700.0], np.full(4, 0.3)
    gaps = np.where(visibility[:, :, None] > 0, truth, NAN)
    np.testing.assert_array_equal(
        metrics.oks_matrix(truth, answer, area, sigmas, visibility=visibility),
        metrics.oks_matrix(gaps, answer, area, sigmas),
    )


def test_an_object_without_points_is_measured_by_its_doubled_box() -> None:
    truth = np.full((1, 2, 2), NAN)
    answer = np.array([[[-10, 5], [20, 5]], [[-13, 5], [20, 24]]], float)  # margins end at -10 and 20
    found = metrics.oks_matrix(truth, answer, [100.0], [0.1, 0.1], boxes_xywh=[[0, 0, 10, 10]])
    np.testing.assert_allclose(found, [[1.0, (np.exp(-9 / 8) + np.exp(-16 / 8)) / 2]], rtol=1e-12)
    np.testing.assert_array_equal(metrics.oks_matrix(truth, answer, [100.0], [0.1, 0.1]), [[0, 0]])
    assert np.isnan(metrics.object_oks(truth, answer[:1], [100.0], [0.1, 0.1])).all()


def test_half_a_pixel_shows() -> None:
    truth = np.random.default_rng(0).uniform(0, 100, (1, 5, 2))
    similar = metrics.object_oks(truth, truth + 0.5, [40.0**2], np.full(5, 0.05))[0]
    assert similar == pytest.approx(np.exp(-0.5 / (2 * 1600 * 0.01)))
    assert similar < 0.99


def test_precision_by_hand() -> None:
    # two pictures, one object each; the best-scored answer is wrong, the second right, none for the other
    truth = [np.zeros((1, 1, 2)), np.zeros((1, 1, 2))]
    answers = [np.array([[[900, 900]], [[0, 0]]], float), np.zeros((0, 1, 2))]
    found = metrics.oks_ap(truth, answers, [[0.9, 0.8], []], [[1e4], [1e4]], [0.1])
    # recall 0.5 at precision 0.5: 51 of 101 recall thresholds (0, 0.01, ..., 0.5)
    assert found["AP"] == pytest.approx(0.5 * 51 / 101)
    assert found["AR"] == 0.5
    assert np.isnan(found["APm"]) and np.isnan(found["ARm"])
    # the stray answer is a point: its own area 0 lies outside "large", so there it is not held against us
    assert found["APl"] == pytest.approx(51 / 101)
    assert tuple(found) == metrics.OKS_FIGURES


def test_a_crowd_swallows_any_number_of_answers_an_unlabelled_object_one() -> None:
    face = np.array([[[0, 0], [10, 10]]], float)
    answers, scores = np.concatenate([face, face + 100, face + 100]), [0.5, 0.9, 0.8]
    objects = np.concatenate([face, face + 100])
    boxes = [[0, 0, 10, 10], [100, 100, 10, 10]]

    def precision(**kinds: Any) -> float:
        found = metrics.oks_ap(
            [objects], [answers], [scores], [[100.0] * 2], [0.1, 0.1], boxes_xywh=[boxes], **kinds
        )
        return found["AP"]

    assert precision(crowd=[[False, True]]) == pytest.approx(1.0)
    assert precision(ignore=[[False, True]]) == pytest.approx(0.5)
    assert precision(visibility=[[[2, 2], [0, 0]]]) == pytest.approx(0.5)


def test_nothing_at_all() -> None:
    empty = np.zeros((0, 3, 2))
    found = metrics.oks_ap([empty], [empty], [[]], [[]], np.ones(3), visibility=[[]], boxes_xywh=[[]])
    assert all(np.isnan(v) for v in found.values())
    none_found = metrics.oks_ap([np.zeros((1, 3, 2))], [empty], [[]], [[100.0**2]], np.ones(3))
    assert none_found["AP"] == none_found["AR"] == 0.0


def test_bad_input_is_named() -> None:
    face = np.zeros((1, 2, 2))
    with pytest.raises(InputError, match="scores has 2 pictures"):
        metrics.oks_ap([face], [face], [[1.0], [1.0]], [[9.0]], [0.1, 0.1])
    with pytest.raises(InputError, match="scores must be 1 numbers"):
        metrics.oks_ap([face], [face], [[NAN]], [[9.0]], [0.1, 0.1])
    with pytest.raises(InputError, match="do not fit 3 sigmas"):
        metrics.oks_ap([face], [face], [[1.0]], [[9.0]], [0.1] * 3)
    with pytest.raises(InputError, match="areas"):
        metrics.oks_ap([face], [face], [[1.0]], [[NAN]], [0.1, 0.1])
    with pytest.raises(InputError, match="positive"):
        metrics.oks_matrix(face, face, [9.0], [0.1, 0.0])
    with pytest.raises(InputError, match="truth"):
        metrics.oks_matrix(face, np.zeros((1, 3, 2)), [9.0], [0.1, 0.1])
    with pytest.raises(InputError, match="area"):
        metrics.oks_matrix(face, face, [9.0, 9.0], [0.1, 0.1])
    with pytest.raises(InputError, match="boxes_xywh"):
        metrics.oks_matrix(face * NAN, face, [9.0], [0.1, 0.1], boxes_xywh=[[0, 0]])
    with pytest.raises(InputError, match="truth"):
        metrics.object_oks(face, face[:0], [9.0], [0.1, 0.1])
    with pytest.raises(InputError, match="not COCO"):
        metrics.oks_ap_from_coco({}, [])
    with pytest.raises(InputError, match="picture 7"):
        metrics.oks_ap_from_coco({"images": [], "categories": [], "annotations": []}, [{"image_id": 7}])
    truth = {"images": [{"id": 1}], "categories": [{"id": 1}]}
    for annotation, message in (
        ({"keypoints": [1, 2, 2], "image_id": 1, "category_id": 1}, "has no 'area'"),
        ({"keypoints": [1, 2], "image_id": 1, "category_id": 1, "area": 1}, "fit 1 sigmas"),
    ):
        with pytest.raises(InputError, match=message):
            metrics.oks_ap_from_coco({**truth, "annotations": [annotation]}, [], [0.1])


@pytest.mark.data
def test_equal_to_the_official_tool(data_root: Path) -> None:
    folder = data_root / "coco_oks"
    truth, results, expected = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("gt", "detections", "expected")
    )
    found = metrics.oks_ap_from_coco(truth, results)
    assert found.keys() == expected["stats"].keys()
    for name, value in expected["stats"].items():
        assert found[name] == pytest.approx(value, abs=1e-6), name
    for result in results:  # the tolerance would not hide half a pixel
        result["keypoints"] = [v + 0.5 * (i % 3 < 2) for i, v in enumerate(result["keypoints"])]
    assert abs(metrics.oks_ap_from_coco(truth, results)["AP"] - expected["stats"]["AP"]) > 1e-4


def _scene(k: int, seed: int) -> tuple[dict[str, Any], list[dict[str, Any]], np.ndarray]:
    """Random pictures with crowds, objects without points, empty pictures, ties and strays."""
    rng = np.random.default_rng(seed)
    images, annotations, results = [{"id": i} for i in rng.permutation(12).tolist()], [], []
    for image in images:
        for _ in range(rng.integers(0, 5)):
            side = rng.uniform(15, 200)
            xy = rng.uniform(0, 300, 2) + rng.uniform(0, side, (k, 2))
            labelled = rng.integers(0, 3, k) * (rng.random() > 0.2)
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image["id"],
                "category_id": int(rng.integers(1, 3)),
                "keypoints": np.column_stack([xy, labelled]).round(2).ravel().tolist(),
                "num_keypoints": int((labelled > 0).sum()),
                "area": float(side**2 * rng.uniform(0.4, 1)),
                "bbox": [*xy.min(axis=0).tolist(), *np.ptp(xy, axis=0).tolist()],
                "iscrowd": int(rng.random() < 0.15),
            }
            annotations.append(annotation)
            for _ in range(rng.integers(0, 4)):
                noise = rng.normal(0, side * rng.choice([0.01, 0.05, 0.3]), (k, 2))
                results.append(
                    {
                        "image_id": image["id"],
                        "category_id": annotation["category_id"],
                        "keypoints": np.column_stack([xy + noise, np.ones(k)]).ravel().tolist(),
                        "score": float(rng.random().__round__(1)),
                    }
                )
    for _ in range(25):  # more than the 20 that are looked at
        results.append({**results[0], "score": float(rng.random())})
    truth = {"images": images, "annotations": annotations, "categories": [{"id": 1}, {"id": 2}, {"id": 3}]}
    return truth, results, rng.uniform(0.02, 0.12, k)


@pytest.mark.parametrize("k", [1, 5, 17])
@pytest.mark.parametrize("seed", range(6))
def test_equal_to_faster_coco_eval(k: int, seed: int) -> None:
    other = pytest.importorskip("faster_coco_eval")
    truth, results, sigmas = _scene(k, seed)
    found = metrics.oks_ap_from_coco(truth, results, sigmas)
    for category in truth["categories"]:
        category["name"] = str(category["id"])
    reference = other.COCO(json.loads(json.dumps(truth)))
    evaluation = other.COCOeval_faster(
        reference, reference.loadRes(json.loads(json.dumps(results))), "keypoints", kpt_oks_sigmas=sigmas
    )
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    expected = np.where(np.array(evaluation.stats[:10]) < 0, NAN, evaluation.stats[:10])
    np.testing.assert_allclose([found[n] for n in metrics.OKS_FIGURES], expected, atol=1e-9)


def test_arrays_and_coco_agree() -> None:
    truth, results, sigmas = _scene(4, 0)
    truth["categories"] = [{"id": 1}]
    lists: dict[str, list[Any]] = {
        name: [] for name in ("truth", "vis", "area", "box", "crowd", "xy", "score")
    }
    for image in sorted(i["id"] for i in truth["images"]):
        objects = [a for a in truth["annotations"] if (a["image_id"], a["category_id"]) == (image, 1)]
        answers = [r for r in results if (r["image_id"], r["category_id"]) == (image, 1)]
        points = np.array([a["keypoints"] for a in objects]).reshape(-1, 4, 3)
        lists["truth"].append(points[:, :, :2])
        lists["vis"].append(points[:, :, 2])
        lists["area"].append([a["area"] for a in objects])
        lists["box"].append([a["bbox"] for a in objects])
        lists["crowd"].append([a["iscrowd"] for a in objects])
        lists["xy"].append(np.array([r["keypoints"] for r in answers]).reshape(-1, 4, 3)[:, :, :2])
        lists["score"].append([r["score"] for r in answers])
    found = metrics.oks_ap(
        lists["truth"],
        lists["xy"],
        lists["score"],
        lists["area"],
        sigmas,
        visibility=lists["vis"],
        boxes_xywh=lists["box"],
        crowd=lists["crowd"],
    )
    assert found == metrics.oks_ap_from_coco(truth, results, sigmas)


def test_categories_of_other_landmarks_are_not_judged() -> None:
    """A file with a face of 2 points and a rod of 3: the results are of faces alone."""
    points = [10.0, 10, 2, 30, 10, 2]
    common = {"image_id": 1, "area": 400.0, "bbox": [0, 0, 40, 20]}
    truth = {
        "images": [{"id": 1}],
        "categories": [
            {"id": 3, "name": "face", "keypoints": ["a", "b"]},
            {"id": 5, "name": "rod", "keypoints": ["a", "b", "c"]},
        ],
        "annotations": [
            common | {"category_id": 3, "keypoints": points},
            common | {"category_id": 5, "keypoints": [*points, 5, 5, 2]},
        ],
    }
    found = [{"image_id": 1, "category_id": 3, "keypoints": points, "score": 1.0}]
    for category in (None, "face", 3, "3"):
        assert metrics.oks_ap_from_coco(truth, found, [0.1] * 2, category=category)["AP"] > 0.99
    assert metrics.oks_ap_from_coco(truth, found, [0.1] * 3, category="rod")["AP"] == 0
    with pytest.raises(InputError, match="category 3, which has not 3 keypoints"):
        metrics.oks_ap_from_coco(truth, found, [0.1] * 3)
    with pytest.raises(InputError, match=r"no category 'cow'.*'face' with 2"):
        metrics.oks_ap_from_coco(truth, found, [0.1] * 2, category="cow")
    with pytest.raises(InputError, match="no category of 4 keypoints"):
        metrics.oks_ap_from_coco(truth, [], [0.1] * 4)
