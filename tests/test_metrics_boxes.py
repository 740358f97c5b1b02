"""Average precision of boxes against COCO's own program, and recall at few false ones."""

from __future__ import annotations

import numpy as np
import pytest

from hybridkp.metrics import box_figures, box_outcome, box_overlap, froc
from hybridkp.structures import InputError


def _pictures(n: int, seed: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Truth, boxes, scores, crowd: near ones, far ones, twice found ones, pictures without anything."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        true = np.column_stack(
            [rng.uniform(0, 200, (k := rng.integers(0, 5), 2)), rng.uniform(10, 80, (k, 2))]
        )
        near = np.repeat(true, 2, axis=0) + rng.normal(0, 6, (2 * k, 4))
        far = np.column_stack([rng.uniform(0, 200, (3, 2)), rng.uniform(10, 80, (3, 2))])
        boxes = np.concatenate([near, far])[rng.random(2 * k + 3) < 0.7]
        boxes[:, 2:] = np.maximum(boxes[:, 2:], 2)
        out.append((true, boxes, rng.random(len(boxes)).round(2), rng.random(k) < 0.2))
    return out


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_cocos_own_program(seed: int) -> None:
    coco = pytest.importorskip("faster_coco_eval")
    pictures = _pictures(30, seed)
    images = [{"id": i + 1, "height": 300, "width": 300} for i in range(len(pictures))]
    annotations, results = [], []
    for i, (true, boxes, score, crowd) in enumerate(pictures, 1):
        for box, many in zip(true.tolist(), crowd.tolist(), strict=True):
            row = {
                "image_id": i,
                "category_id": 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(many),
            }
            annotations.append({"id": len(annotations) + 1, **row})
        for box, s in zip(boxes.tolist(), score.tolist(), strict=True):
            results.append({"image_id": i, "category_id": 1, "bbox": box, "score": s})
    categories = [{"id": 1, "name": "thing"}]
    truth = coco.COCO({"images": images, "annotations": annotations, "categories": categories})
    judge = coco.COCOeval_faster(truth, truth.loadRes(results), "bbox", print_function=lambda *_: None)
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    found = box_figures([box_outcome(*p) for p in pictures])
    np.testing.assert_allclose([found["ap"], found["ap50"]], judge.stats[:2], atol=1e-9)


def test_recall_stops_at_one_false_box_in_ten_pictures() -> None:
    hit, miss = [0.0, 0, 10, 10], [50.0, 50, 10, 10]
    pictures = [box_outcome([hit], [hit, miss], [0.9 - i / 20, 0.88 if i == 0 else 0.01]) for i in range(10)]
    # one false box is allowed; the next ones come after all objects
    assert box_figures(pictures)["recall"] == 1
    pictures[1] = box_outcome([hit], [hit, miss], [0.85, 0.7])  # a second false one at 0.7
    assert box_figures(pictures)["recall"] == pytest.approx(0.4), "0.9, 0.85, 0.8, 0.75"
    assert box_figures([box_outcome([hit], np.zeros((0, 4)), [])])["recall"] == 0
    assert all(np.isnan(v) for v in box_figures([box_outcome([], [hit], [0.5])]).values()), "no object at all"


def test_half_a_pixel_counts() -> None:
    box = [10.0, 10, 20, 20]
    assert box_overlap([box], [box])[0, 0] == 1
    assert box_overlap([box], [np.add(box, [0.5, 0, 0, 0])])[0, 0] == pytest.approx(19.5 / 20.5)
    assert box_overlap([box], [[0, 0, 100, 100]], part=True)[0, 0] == 1
    assert box_overlap([box], [[np.nan] * 4])[0, 0] == 0


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="as many scores"):
        box_outcome([[0, 0, 1, 1]], [[0, 0, 1, 1]], [])


def test_the_curve_of_found_against_false_counts_equal_scores_together() -> None:
    first = box_outcome([[0, 0, 9, 9], [30, 0, 9, 9]], [[0, 0, 9, 9], [60, 0, 9, 9]], [0.9, 0.9])
    second = box_outcome([[0, 0, 9, 9]], [[0, 0, 9, 9], [40, 0, 9, 9]], [0.8, 0.1])
    false, found = froc([first, second])
    assert false.tolist() == [0, 0.5, 0.5, 1.0]
    np.testing.assert_allclose(found, [0, 1 / 3, 2 / 3, 2 / 3])
    nothing = froc([box_outcome([[0, 0, 9, 9]], np.zeros((0, 4)), [])])
    assert [part.tolist() for part in nothing] == [[0.0], [0.0]]
