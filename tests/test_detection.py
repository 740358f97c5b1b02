"""Whole pictures: boxes given, and landmarks in them, by the same crops as everywhere."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from plain_detectors import DepthMean, Picture, PlainMean, plain_dataset

from hybridkp.detection import BoxesGiven, TopDown
from hybridkp.evaluate import make_crops
from hybridkp.imaging.crops import cut, predict_in_box, to_picture
from hybridkp.imaging.geometry import apply_affine, crop_matrix
from hybridkp.structures import HIDDEN, VISIBLE, DataWarning, Finder, InputError, PictureDetector

TRAIN = plain_dataset("train", 8)
CROPS = make_crops(TRAIN, (64, 64), 1.5)
MODEL = PlainMean().fit(CROPS.images, CROPS.xy)
BOXES = {"a/0.png": [[14, 14, 28, 28], [4, 4, 30, 30]], "1.png": [[500, 10, 20, 20], [3, 3, 0, 9]]}


def test_promises_are_kept():
    assert isinstance(BoxesGiven(), Finder) and BoxesGiven().fit(TRAIN.samples).boxes is None
    assert isinstance(TopDown(BoxesGiven(), MODEL), PictureDetector)


def test_a_point_goes_to_the_crop_and_back():
    image, box = Picture(0)(), [14, 10, 28, 31]
    matrix = crop_matrix(box, (64, 48), 1.3)
    crops = []

    def predict(crop):
        crops.append(crop)
        return apply_affine(matrix, [[20.25, 21.5], [30, 17]]), "rest"

    xy, rest = predict_in_box(predict, image, box, (64, 48), 1.3)
    np.testing.assert_allclose(xy, [[20.25, 21.5], [30, 17]], atol=1e-9)
    assert rest == "rest" and crops[0].shape == (64, 48, 3)
    np.testing.assert_array_equal(crops[0], cut(image, matrix, (64, 48)))
    predict_in_box(predict, image[..., 0], box, (64, 48), 1.3)
    assert crops[1].shape == (64, 48, 3), "grey pictures come in three channels, as in training"
    predict_in_box(predict, {"image": image, "depth": image[..., 0].astype(np.uint16)}, box, (64, 48), 1.3)
    assert crops[2]["depth"].shape == (64, 48) and crops[2]["depth"].dtype == np.uint16
    np.testing.assert_array_equal(crops[2]["image"], crops[0])
    with pytest.raises(InputError, match="positive width"):
        predict_in_box(predict, image, [0, 0, 0, 5], (64, 48), 1.3)


def test_boxes_given_by_name():
    detector = TopDown(BoxesGiven(BOXES), MODEL, margin=1.5)
    found = detector.detect(Picture(0)(), name="/data/a/0.png")
    assert [i.box_xywh.tolist() for i in found] == BOXES["a/0.png"]
    for instance in found:
        matrix = crop_matrix(instance.box_xywh, (64, 64), 1.5)
        np.testing.assert_allclose(instance.xy, to_picture(matrix, MODEL.mean_), atol=1e-4)
        assert instance.score == 0.5 and instance.keypoint_scores.tolist() == [0.5] * 3
        assert instance.keypoint_visibility is None and (instance.visibility == VISIBLE).all()
        assert instance.area == instance.box_xywh[2] * instance.box_xywh[3]


def test_a_second_look_is_taken_around_the_points():
    class Corner(PlainMean):
        """Says that the object's points lie at three corners of what it is shown."""

        def predict_with_score(self, images):
            shown.append(images[0])
            return np.array([[[8.0, 12], [56, 12], [56, 52]]]), np.full((1, 3), 0.5)

    shown = []
    rebox = np.array([0.1, 0.0, np.log(1.2), np.log(1.2)])
    detector = TopDown(BoxesGiven({"": [[2, 2, 56, 46]]}), Corner(), (64, 64), 1.0, rebox=rebox)
    (found,) = detector.detect(Picture(0)(), name="")
    first = crop_matrix([2, 2, 56, 46], (64, 64), 1.0)
    low, _, high = to_picture(first, [[8.0, 12], [56, 12], [56, 52]])
    side = high - low
    again = np.array([*(low + 0.5 + side / 2 - 0.6 * side + side * [0.1, 0]), *(1.2 * side)])
    matrix = crop_matrix(again, (64, 64), 1.0)
    np.testing.assert_array_equal(shown[1], cut(Picture(0)(), matrix, (64, 64)))
    both = [to_picture(each, [[8.0, 12], [56, 12], [56, 52]]) for each in (first, matrix)]
    np.testing.assert_allclose(found.xy, np.mean(both, 0), atol=1e-9)  # of equal scores
    assert found.box_xywh.tolist() == [2, 2, 56, 46], "the box stays the finder's"
    shown.clear()
    detector.rebox = np.array([0.5, 0.5, -0.6, -0.6])  # far from the found box: the points are not trusted
    detector.detect(Picture(0)(), name="")
    assert len(shown) == 1


def test_boxes_outside_without_area_and_missing():
    detector = TopDown(BoxesGiven(BOXES), MODEL)
    with pytest.warns(DataWarning, match=r"1\.png: a box outside"):
        (whole,) = detector.detect(Picture(0)(), name="1.png")
    assert whole.box_xywh.tolist() == [0, 0, 60, 50], "a box without area is the whole picture"
    with pytest.warns(DataWarning, match=r"2\.png: has no box"):
        assert detector.detect(Picture(0)(), name="2.png") == []
    (whole,) = TopDown(BoxesGiven(), MODEL).detect(Picture(0)())
    assert whole.box_xywh.tolist() == [0, 0, 60, 50]


def test_boxes_are_read_from_coco(tmp_path):
    document = {
        "images": [
            {"id": 5, "file_name": "a/0.png", "width": 12, "height": 9},
            {"id": 6, "file_name": "b/0.png"},
        ],
        "annotations": [{"image_id": 5, "bbox": [1, 2, 3, 4]}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    finder = BoxesGiven.read(tmp_path / "boxes.json")
    assert finder.boxes == {"a/0.png": [[1, 2, 3, 4]], "b/0.png": []}, "two of one name: none by that name"
    boxes, score = finder.find(np.zeros((9, 9), np.uint8), name="x/b/0.png")
    assert boxes.shape == (0, 4) and score.shape == (0,)
    assert finder.find(np.zeros((9, 12), np.uint8), name="x/a/0.png")[0].tolist() == [[1, 2, 3, 4]]
    with pytest.raises(InputError, match=r"said 12x9, is 24x18\); give boxes that are of these"):
        finder.find(np.zeros((18, 24), np.uint8), name="x/a/0.png")
    document["categories"] = [{"id": 1, "name": "face"}, {"id": 2, "name": "dog"}]
    document["annotations"][0]["category_id"] = 1
    document["annotations"] += [{"image_id": 6, "bbox": [0, 0, 2, 2], "category_id": 2}]
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    read = partial(BoxesGiven.read, tmp_path / "boxes.json")
    assert read("dog").given("b/0.png").shape == (1, 4) and read("dog").given("a/0.png").shape == (0, 4)
    assert len(read().given("a/0.png")) == len(read().given("b/0.png")) == 1
    with pytest.raises(InputError, match=r"other categories \('face', 'dog'\), and the model is of 'cat'"):
        read("cat")
    document["annotations"].pop()
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    assert read("cat").given("a/0.png").shape == (1, 4), "one category, whatever it is called"
    with pytest.raises(InputError, match=r"other categories \('face'\), and the model is of 'dog'"):
        read("dog")  # which the file knows, and has no box of
    with pytest.raises(InputError, match=r"none\.json: cannot be read"):
        BoxesGiven.read(tmp_path / "none.json")


class Hidden(PlainMean):
    """The second point is hidden."""

    def predict_with_visibility(self, images):
        xy, score = self.predict_with_score(images)
        return xy, score, np.tile(np.float32([0.9, 0.2, 0.5]), (len(xy), 1))


def test_boxes_by_names_of_other_machines(tmp_path):
    names = ["images\\0.png", "C:\\data\\1.png", "my%20face.png"]
    boxes = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [{"image_id": i, "bbox": [i, 2, 9, 9]} for i in range(3)],
    }
    (tmp_path / "b.json").write_text(json.dumps(boxes))
    finder = BoxesGiven.read(tmp_path / "b.json")
    for i, name in enumerate(("/here/images/0.png", "1.png", "/here/my face.png")):
        assert finder.find(np.zeros((9, 9), np.uint8), name=name)[0].tolist() == [[i, 2, 9, 9]]
    assert finder.given("2.png") is None


def test_hidden_points_keep_their_place():
    model = Hidden().fit(CROPS.images, CROPS.xy)
    (found,) = TopDown(BoxesGiven(), model).detect(Picture(0)())
    assert found.visibility.tolist() == [VISIBLE, HIDDEN, VISIBLE] and np.isfinite(found.xy).all()
    np.testing.assert_allclose(found.keypoint_visibility, [0.9, 0.2, 0.5])


class Half:
    """A finder that is sure of one box by half, and knows another that is no box in this picture."""

    def fit(self, samples):
        return self

    def find(self, image, *, name=""):
        return np.array([[5.0, 5.0, 20.0, 20.0]]), np.array([0.5])


def test_the_finders_score_counts():
    (found,) = TopDown(Half(), MODEL).detect(Picture(0)())
    assert found.score == 0.25


def test_further_modalities_are_cut_alike():
    picture = {"image": Picture(0)(), "depth": np.zeros((50, 60), np.uint16)}
    picture["depth"][20:25, 30:35] = 1000
    depth = DepthMean().fit(CROPS.images, CROPS.xy)
    (found,) = TopDown(BoxesGiven(), depth).detect(picture)
    np.testing.assert_allclose(found.xy[0], [32, 22], atol=0.6)
