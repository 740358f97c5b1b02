"""Kinds of modalities: how each is read from annotations, moved with its picture, and handed on."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
from plain_detectors import DepthMean, PlainMean
from test_batch import ALL, TRAIN

from hybridkp.datasets import load_dataset
from hybridkp.datasets.linter.depths import depths
from hybridkp.datasets.lookup import file_stamp, pictures_stamp
from hybridkp.evaluate import crops as crops_module
from hybridkp.evaluate import make_crops, predict
from hybridkp.files import read_depth, read_image, read_sound_at
from hybridkp.fusion import Average
from hybridkp.imaging import Pinhole, flip_batch, register_depth, warp_nearest
from hybridkp.imaging.crops import batch_of_one, cut_modalities
from hybridkp.imaging.images import RangeWarning
from hybridkp.recipes import make_method
from hybridkp.structures import SOUND_HZ, Batch, InputError, modalities_of, stack_rows

SECONDS = 2


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A folder of three pictures with all that a COCO file can say of them."""
    sound = pytest.importorskip("soundfile")
    root = tmp_path_factory.mktemp("scene")
    for folder in ("images", "depth", "audio"):
        (root / folder).mkdir()
    at = np.arange(SECONDS * SOUND_HZ * 3) / (SOUND_HZ * 3)
    sound.write(root / "audio" / "a.wav", np.stack([at / 4, at / 4], 1), SOUND_HZ * 3, subtype="FLOAT")
    images, annotations = [], []
    for i in range(3):
        cv2.imwrite(str(root / "images" / f"{i}.png"), np.full((30, 40, 3), 50 * i, np.uint8))
        cv2.imwrite(str(root / "depth" / f"{i}.png"), np.full((30, 40), 1000 + i, np.uint16))
        facts = {"id": i, "file_name": f"{i}.png", "width": 40, "height": 30, "depth_file": f"depth/{i}.png"}
        facts |= {"audio_file": "audio/a.wav", "time": 0.5 * (i + 1), "text": ["one", "two"], "view": "left"}
        images.append(facts | {"lines": [[2, 3, 12, 9, "TOTAL"]], "instant": i})
        annotations.append(
            {
                "id": i,
                "image_id": i,
                "category_id": 1,
                "bbox": [0, 0, 40, 30],
                "area": 1200,
                "num_keypoints": 1,
            }
            | {"keypoints": [20, 15, 2]}
        )
    document = {"images": images, "annotations": annotations}
    document["categories"] = [{"id": 1, "name": "thing", "keypoints": ["p"]}]
    (root / "train.json").write_text(json.dumps(document))
    return root


def changed(scene, name, **facts):
    """The scene's file with the first picture's record changed, under another name."""
    document = json.loads((scene / "train.json").read_text())
    document["images"][0] |= facts
    (scene / name).write_text(json.dumps(document))
    return load_dataset(str(scene / name))


def test_coco_files_say_more_than_pictures(scene):
    data = load_dataset(str(scene / "train.json"))
    sample = data.samples[1]
    assert (sample.time, sample.view, sample.instant) == (1.0, "left", "1")
    assert sample.modalities["text"]() == "one\ntwo"
    assert sample.modalities["words"]() == ((2.0, 3.0, 12.0, 9.0, "TOTAL"),)
    assert sample.modalities["depth"]().dtype == np.uint16 and (sample.modalities["depth"]() == 1001).all()
    heard = sample.modalities["sound"]()
    assert heard.dtype == np.float32 and len(heard) == SOUND_HZ // 2
    assert abs(heard[len(heard) // 2] - 0.25) < 1e-3, "the window's middle is the picture's time"
    crops = make_crops(data, (32, 32), 1.0, modalities=("image", "depth", "sound", "text", "words"))
    assert crops.batch["sound"].shape == (3, SOUND_HZ // 2)
    assert pictures_stamp(data) != pictures_stamp(changed(scene, "b.json", text="other"))
    assert file_stamp(sample.modalities["sound"]) != file_stamp(data.samples[2].modalities["sound"])


@pytest.mark.parametrize(
    ("facts", "name", "said"),
    [
        ({"depth_file": "depth/none.png"}, "depth", "no such picture"),
        ({"depth_file": "../../../etc/passwd"}, "depth", "outside the data's folders"),
        ({"depth_file": "images/0.png"}, "depth", "one channel of 16 bits"),
        ({"audio_file": "depth/0.png"}, "sound", "not a sound file"),
        ({"audio_file": "/etc/passwd"}, "sound", "outside the data's folders"),
        ({"time": None}, "sound", "no time"),
        ({"time": 99.0}, "sound", "is 2.00 s long"),
        ({"text": None}, "text", "has no 'text'"),
    ],
)
def test_a_modality_that_cannot_be_read_is_told_when_it_is_wanted(scene, facts, name, said):
    data = changed(scene, "bad.json", **facts)
    assert make_crops(data, (32, 32)).batch.shape == (3, 32, 32, 3), "pictures alone are as they were"
    with pytest.raises(InputError, match=said):
        make_crops(data, (32, 32), modalities=("image", name))


@pytest.mark.parametrize(
    "facts", [{"time": "noon"}, {"time": 10**400}, {"lines": [[1, 2, 3, "x"]]}, {"depth_file": 7}]
)
def test_fields_of_another_kind_are_told(scene, facts):
    with pytest.raises(InputError, match=r"bad2\.json"):
        changed(scene, "bad2.json", **facts)


def test_depth_is_never_mixed():
    depth = np.where(np.arange(40) < 20, 1000, 3000).astype(np.uint16)[None].repeat(30, 0)
    for scale in (0.3, 0.9, 1.7):
        out = warp_nearest(depth, [[scale, 0, 0], [0, scale, 0]], (40, 60))
        assert set(np.unique(out)) <= {0, 1000, 3000} and out.dtype == np.uint16
        first = np.flatnonzero(out[1] == 3000)[0]
        assert first == np.ceil(19.5 * scale), "the first pixel centre beyond the edge"
    assert (warp_nearest(depth, [[1, 0, -45], [0, 1, 0]], (5, 5)) == 0).all(), "outside there is none"


def test_words_move_with_the_picture():
    picture = {"image": np.zeros((30, 40, 3), np.uint8), "words": ((2, 3, 12, 9, "TOTAL"),), "text": "t"}
    crop = cut_modalities(picture, [[2.0, 0, 1], [0, 2.0, 0]], (64, 64))
    assert crop["words"] == ((5.0, 6.0, 25.0, 18.0, "TOTAL"),) and crop["text"] == "t"
    batch = flip_batch(batch_of_one(crop))
    assert batch["words"][0] == ((38.0, 6.0, 58.0, 18.0, "TOTAL"),) and batch["text"].tolist() == ["t"]


def test_rows_of_text_are_objects_and_others_arrays():
    assert stack_rows("text", ["a", "longer"]).tolist() == ["a", "longer"]
    assert Batch({"words": [[(0, 0, 1, 1, "a")], []]})[1:]["words"].tolist() == [()]
    with pytest.raises(InputError, match="sound: rows of several sizes"):
        stack_rows("sound", [np.zeros(3), np.zeros(4)])


def test_what_a_method_sees_is_found_inside_of_it():
    assert modalities_of(PlainMean()) == ("image",)
    assert modalities_of(Average([("a", PlainMean()), ("b", DepthMean())])) == ("image", "depth")


def test_predict_takes_senses_and_boxes_from_data_and_says_what_is_missing(scene):
    with pytest.raises(InputError, match=r"0\.png: the model also sees depth.*depth_file"):
        predict(DepthMean(), [scene / "images" / "0.png"])
    data = load_dataset(scene / "train.json")
    crops = make_crops(data, (32, 32), modalities=("image", "depth"))
    truth = crops.xy + np.arange(3)[:, None, None]
    model = make_method("hog+ridge[inputs=image:depth]").fit(crops.batch, truth)
    meta = {"size_hw": (32, 32), "margin": crops.margin}
    found = predict(model, data, meta=meta)
    assert [row["id"] for row in found["images"]] == [0, 1, 2], "the data's own ids"
    xy = np.reshape([row["keypoints"][:2] for row in found["annotations"]], (3, 1, 2))
    np.testing.assert_allclose(xy, crops.to_picture(model.predict(crops.batch)), atol=1e-3)
    lacks = replace(data.samples[1], modalities={})
    with pytest.raises(InputError, match=r"1\.png: the model also sees depth"):
        predict(model, [data.samples[0], lacks], meta=meta)


def test_text_comes_with_crops_on_disk(tmp_path, monkeypatch):
    whole = make_crops(TRAIN, (56, 56), 1.0, modalities=ALL)
    monkeypatch.setattr(crops_module, "too_large", lambda *_: True)
    disk = make_crops(TRAIN, (56, 56), 1.0, modalities=ALL, folder=tmp_path)
    for name in ALL:
        assert (np.asarray(disk.batch[name]) == whole.batch[name]).all(), name
    assert type(disk.batch["depth"]).__name__ == "Stream"


def test_depth_files_are_16_bits_or_float(tmp_path):
    cv2.imwrite(str(tmp_path / "a.tiff"), np.full((4, 5), 0.25, np.float32))
    assert read_depth(tmp_path / "a.tiff").dtype == np.float32
    cv2.imwrite(str(tmp_path / "b.tiff"), np.full((4, 5), np.nan, np.float32))
    with pytest.raises(InputError, match="negative or infinite"):
        read_depth(tmp_path / "b.tiff")
    (tmp_path / "c.png").write_bytes(b"")
    for read in (read_depth, partial(read_sound_at, time=0.0)):
        with pytest.raises(InputError, match=r"c\.png"):
            read(tmp_path / "c.png")


def test_depth_in_a_fourth_channel_is_not_multiplied_in_silence(tmp_path):
    picture = np.full((6, 8, 4), 200, np.uint8)
    picture[..., 3] = 64
    cv2.imwrite(str(tmp_path / "rgbd.png"), picture)
    with pytest.warns(RangeWarning, match="if it is depth, save it as a 16-bit PNG"):
        assert (read_image(tmp_path / "rgbd.png") == 50).all()
    picture[..., 3] = np.where(np.arange(8) < 4, 0, 255)
    cv2.imwrite(str(tmp_path / "mask.png"), picture)
    assert read_image(tmp_path / "mask.png")[0, :, 0].tolist() == [0] * 4 + [200] * 4


# --------------------------------------------------------------------------------------------
# depth of another camera
# --------------------------------------------------------------------------------------------


def test_a_wall_is_where_both_cameras_say_it_is():
    """A step edge of a wall, seen from 5 cm beside: to the pixel, and the nearer side hides the other."""
    own, other = Pinhole(200.0, 79.5, 59.5), Pinhole(180.0, 70.0, 60.0)
    depth = np.where(np.arange(160) < 80, 1000, 2000).astype(np.uint16)[None].repeat(120, 0)
    out = register_depth(depth, own, other, (0.05, 0.0, 0.0), (120, 160))
    row = out[60]
    edge = 180 * (0.5 * 1 / 200 + 0.05) / 1 + 70 - 0.5 * 180 / 200  # the near side's last pixel's outer rim
    near = np.flatnonzero(row == 1000)
    assert abs(near.max() - edge) <= 1 and set(np.unique(out)) <= {0, 1000, 2000}
    assert (np.diff(near) == 1).all(), "no gaps on a wall"


def test_cameras_that_say_nothing_are_told(scene):
    (scene / "cameras.json").write_text(json.dumps({"depth_camera": {"f": 0, "cx": 1, "cy": 1}}))
    with pytest.raises(InputError, match=r"cameras\.json: says nothing of the depth camera"):
        load_dataset(str(scene / "train.json"))
    camera = {"f": 50.0, "cx": 19.5, "cy": 14.5}
    facts = {"depth_camera": camera, "colour_camera": camera, "colour_from_depth_translation_m": [0.1, 0, 0]}
    (scene / "cameras.json").write_text(json.dumps(facts))
    depth = load_dataset(str(scene / "train.json")).samples[0].modalities["depth"]()
    assert (depth[:, 5:] == 1000).all() and (depth[:, :5] == 0).all(), "50 px m / 1 m * 0.1 m = 5 px"
    facts["depth_camera"] = camera | {"cx": 39.5}
    (scene / "cameras.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match=r"0\.png: is 40 x 30 px, but the middle of its camera"):
        load_dataset(str(scene / "train.json")).samples[0].modalities["depth"]()
    (scene / "cameras.json").unlink()


def test_holes_and_files_that_cannot_be_are_told(scene):
    depth = np.full((30, 40), 900, np.uint16)
    depth[:, 10:] = 0
    cv2.imwrite(str(scene / "depth" / "holes.png"), depth)
    cv2.imwrite(str(scene / "depth" / "small.png"), depth[:15])
    cv2.imwrite(str(scene / "depth" / "none.png"), np.zeros_like(depth))

    def said(**facts):
        return {f.code: f for f in depths(changed(scene, "checked.json", **facts), "train")}

    assert said() == {}
    found = said(depth_file="depth/holes.png")
    assert "25 % of the pixels have no depth, more than half in 1 of 3" in found["depth-holes"].message
    assert "1 of 3 labelled points have no depth" in found["points-in-holes"].message
    for name, code in (("small", "depth-size"), ("none", "empty-depth"), ("lost", "unreadable-depth")):
        assert said(depth_file=f"depth/{name}.png")[code].severity == "error"
    assert said(depth_file=None)["no-depth"].severity == "warning"
