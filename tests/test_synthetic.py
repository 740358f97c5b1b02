"""The synthetic faces: the same for the same seed, exact, varied, and drawn where they are labelled."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from hybridkp.datasets import load_dataset, make_faces, split_names
from hybridkp.datasets.synthetic import faces as synthetic
from hybridkp.datasets.synthetic.faces_model import LANDMARKS, landmarks_uv, relief_map
from hybridkp.datasets.synthetic.faces_scene import BACKGROUNDS, cast
from hybridkp.imaging.geometry import points_box, sample_bilinear
from hybridkp.structures import InputError

CALM = dict.fromkeys(("pose", "expression", "light", "blur", "noise", "occlusion"), 0.0)


def test_shape_of_the_set() -> None:
    faces = make_faces(5, (160, 128), random_state=3)
    assert len(faces) == 5 and faces.landmarks == LANDMARKS and len(LANDMARKS) == 20
    assert faces.normalizer == ("points", 4, 10)
    assert [faces.landmarks[i] for i in faces.flip[[4, 12, 15]]] == [
        "left_eye_outer",
        "nose_tip",
        "left_mouth",
    ]
    image = faces.samples[0].image
    assert image.shape == (160, 128, 3) and image.dtype == np.uint8 and image.std() > 10
    assert faces.groups[0] == faces.groups[1] != faces.groups[2]


def test_same_seed_same_pictures_whatever_n_and_order() -> None:
    a, b = make_faces(4, random_state=7), make_faces(2, random_state=7)
    np.testing.assert_array_equal(a.samples[1].image, b.samples[1].image)
    np.testing.assert_array_equal(a.samples[1].instances[0].xy, b.samples[1].instances[0].xy)
    again = pickle.loads(pickle.dumps(a.samples[3]))  # joblib's workers need it
    np.testing.assert_array_equal(again.image, a.samples[3].image)
    other = make_faces(2, random_state=8)
    assert np.abs(other.samples[1].image.astype(int) - b.samples[1].image).mean() > 5


@pytest.mark.parametrize("index", range(6))
def test_rays_hit_the_landmarks_where_they_are_labelled(index: int) -> None:
    """The head coordinates seen at a landmark's picture point are the landmark's own."""
    knobs = CALM | {"pose": 0.5, "expression": 1.0}
    face, view, points, _ = synthetic._plan(index, (192, 192), 11, knobs)
    hit = cast(face, relief_map(face), view, (192, 192))
    xy = view.project(points)[:, :2] - [hit.window[1].start, hit.window[0].start]
    seen = np.stack([sample_bilinear(hit.u, xy), sample_bilinear(hit.v, xy)], -1)
    error = np.hypot(*(seen - landmarks_uv(face)).T) * view.scale
    assert np.median(error) < 0.03
    assert (np.sort(error)[:-2] < 0.25).all()  # nose tip or chin may lie on a contour


def test_pupils_are_dark_where_the_lids_are_labelled() -> None:
    """Painted and labelled positions agree in the finished picture."""
    for sample in make_faces(6, random_state=2, background="noise", **CALM):
        grey = sample.image.mean(2)
        xy = dict(zip(LANDMARKS, sample.instances[0].xy, strict=True))
        for side in ("left", "right"):
            pupil = (xy[f"{side}_eye_top"] + xy[f"{side}_eye_bottom"]) / 2
            cheek = xy[f"{side}_mouth"] * 0.5 + xy[f"{side}_eye_outer"] * 0.5
            assert sample_bilinear(grey, pupil) < 0.9 * sample_bilinear(grey, cheek)


def test_points_lie_in_the_picture_and_order_is_a_face() -> None:
    for sample in make_faces(40, random_state=5):
        xy = sample.instances[0].xy
        assert np.isfinite(xy).all() and (xy > 2).all() and (xy < 189).all()
        assert xy[4, 0] < xy[10, 0]  # the person's right eye is on the picture's left
        assert set(sample.instances[0].visibility) <= {1, 2}


def test_boxes_do_not_give_the_answer_away() -> None:
    shifts, scales = [], []
    for sample in make_faces(60, random_state=1):
        box, tight = sample.instances[0].box_xywh, points_box(sample.instances[0].xy)
        shifts.append((box[:2] + box[2:] / 2 - tight[:2] - tight[2:] / 2) / tight[2:])
        scales.append(box[2:] / tight[2:])
    shifts, scales = np.array(shifts), np.array(scales)
    assert 0.05 < np.abs(shifts).max() <= 0.08 + 1e-9 and abs(shifts.mean()) < 0.02
    assert 0.05 < np.abs(scales - 1).max() <= 0.10 + 1e-9


def test_knobs_turn_what_they_say() -> None:
    def pictures(**knobs: float) -> np.ndarray:
        return np.stack([s.image for s in make_faces(4, random_state=9, **(CALM | knobs))]).astype(float)

    def spread(**knobs: float) -> float:
        faces = make_faces(30, random_state=9, **(CALM | knobs))
        shapes = np.stack([s.instances[0].xy for s in faces])
        return float((shapes - shapes.mean(1, keepdims=True)).std(0).mean())

    def edges(images: np.ndarray) -> float:
        return float(np.abs(np.diff(images, axis=2)).mean())

    plain = pictures()
    assert spread(pose=1) > 1.5 * spread() and spread(expression=1) > 1.1 * spread()
    assert edges(pictures(noise=2)) > 1.3 * edges(plain) and edges(pictures(blur=2)) < 0.9 * edges(plain)
    assert np.abs(pictures(light=1) - plain).mean() > 5
    hidden = [s.instances[0].visibility for s in make_faces(40, random_state=9, occlusion=2, pose=0.0)]
    assert (np.array(hidden) == 1).mean() > 0.02


def test_train_and_val_share_no_background_and_no_person() -> None:
    assert not set(BACKGROUNDS["real-train"]) & set(BACKGROUNDS["real-val"])
    assert split_names("synthetic") == ("train", "val")
    train, val = load_dataset("synthetic", "train"), load_dataset("synthetic", "val")
    assert not set(train.groups) & set(val.groups)
    assert len({s.name for d in (train, val) for s in d}) == len(train) + len(val)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"n": 0}, "n must be"),
        ({"size_hw": (20, 192)}, "size_hw"),
        ({"pose": -1}, "pose"),
        ({"background": "beach"}, "beach"),
    ],
)
def test_refuses(change: dict, told: str) -> None:
    with pytest.raises(InputError, match=told):
        make_faces(**({"n": 2} | change))
