"""The synthetic scenes: the same for a seed, none to eight faces, points and boxes where they are drawn."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from hybridkp.datasets import load_dataset, make_scenes, split_names
from hybridkp.datasets.synthetic.faces_model import LANDMARKS
from hybridkp.datasets.synthetic.scenes import SCENE_BACKGROUNDS, _covers, _plan
from hybridkp.imaging.geometry import points_box, sample_bilinear
from hybridkp.structures import HIDDEN, InputError

SCENES = make_scenes(40, random_state=3)


def test_none_to_eight_faces_with_exact_boxes() -> None:
    counts = {len(s.instances) for s in SCENES}
    assert 0 in counts and max(counts) >= 6 and max(counts) <= 8
    for sample in SCENES:
        for instance in sample.instances:
            np.testing.assert_allclose(instance.box_xywh, points_box(instance.xy), atol=1e-9)
            assert (instance.xy > 0).all() and (instance.xy < [319, 239]).all()
            assert (instance.visibility == HIDDEN).mean() <= 0.3


def test_same_seed_same_pictures_whatever_n() -> None:
    few = make_scenes(3, random_state=3)
    np.testing.assert_array_equal(few.samples[2].image, SCENES.samples[2].image)
    again = pickle.loads(pickle.dumps(few.samples[0]))
    np.testing.assert_array_equal(again.image, few.samples[0].image)
    assert again.image.shape == (240, 320, 3) and again.image.dtype == np.uint8


def test_pupils_are_dark_where_the_lids_are_labelled() -> None:
    darker = []
    for sample in SCENES.samples[:16]:
        grey = sample.image.mean(2)
        for instance in sample.instances:
            xy = dict(zip(LANDMARKS, instance.xy, strict=True))
            if instance.box_xywh[3] < 40 or (instance.visibility == HIDDEN).any():
                continue
            for side in ("left", "right"):
                pupil = (xy[f"{side}_eye_top"] + xy[f"{side}_eye_bottom"]) / 2
                cheek = xy[f"{side}_mouth"] * 0.5 + xy[f"{side}_eye_outer"] * 0.5
                darker.append(sample_bilinear(grey, pupil) < sample_bilinear(grey, cheek))
    assert len(darker) > 20 and np.mean(darker) > 0.9


def test_what_a_nearer_person_covers_is_hidden() -> None:
    n_hidden = 0
    for index, sample in enumerate(SCENES):
        placed = _plan(index, (240, 320), 3, 8)
        assert [p.view.scale for p in placed] == sorted(p.view.scale for p in placed), (
            "the nearest comes last"
        )
        for i, instance in enumerate(sample.instances):
            covered = [_covers(nearer, instance.xy) for nearer in placed[i + 1 :]]
            expected = np.any(covered, axis=0) if covered else np.zeros(20, bool)
            assert np.array_equal(instance.visibility == HIDDEN, expected)
            n_hidden += int(expected.sum())
    assert n_hidden > 10


def test_the_data_set_has_two_splits_that_share_no_background() -> None:
    assert split_names("scenes") == ("train", "val")
    assert not set(SCENE_BACKGROUNDS["real-train"]) & set(SCENE_BACKGROUNDS["real-val"])
    assert len(load_dataset("scenes", "val")) == 160


@pytest.mark.parametrize(
    ("change", "told"),
    [({"n": 0}, "n must be"), ({"max_faces": 9}, "max_faces"), ({"size_hw": (20, 99)}, "size_hw")]
    + [({"background": "beach"}, "beach")],
)
def test_refuses(change: dict, told: str) -> None:
    with pytest.raises(InputError, match=told):
        make_scenes(**({"n": 2} | change))
