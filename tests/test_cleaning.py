"""COCO files keep what pictures have besides, and cleaning leaves out what no run can use."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hybridkp.cli import main
from hybridkp.datasets import convert_dataset, load_dataset, make_faces, write_coco
from hybridkp.datasets.lookup import given
from hybridkp.structures import Dataset, DataWarning, InputError

WORDS = ((1.0, 2.0, 30.0, 12.5, "total"),)


@pytest.fixture
def data() -> Dataset:
    made = make_faces(4, (64, 64), 3)
    samples = [
        replace(
            sample,
            time=0.5 * i,
            view=f"c{i % 2}",
            instant=str(i // 2),
            tags={"mood": "calm"},
            modalities={
                "depth": sample.modalities["depth"],
                "text": partial(given, f"face {i}\nof four"),
                "words": partial(given, WORDS),
            },
        )
        for i, sample in enumerate(made)
    ]
    return replace(made, samples=tuple(samples))


def test_coco_keeps_what_pictures_have_besides(data: Dataset, tmp_path: Path) -> None:
    convert_dataset(data, tmp_path / "once")
    convert_dataset(tmp_path / "once", tmp_path / "twice")  # files are copied, no longer written
    for folder in ("once", "twice"):
        again = load_dataset(tmp_path / folder)
        for before, after in zip(data, again, strict=True):
            facts = ("time", "view", "instant")
            assert [getattr(after, f) for f in facts] == [getattr(before, f) for f in facts]
            assert after.tags["mood"] == "calm"
            assert after.modalities["text"]() == before.modalities["text"]()
            assert after.modalities["words"]() == WORDS
            depth = before.modalities["depth"]()
            np.testing.assert_array_equal(after.modalities["depth"](), np.rint(depth))


def test_others_formats_say_what_they_have_no_place_for(data: Dataset, tmp_path: Path) -> None:
    lost = r"times \(4\), views \(4\), tags \(4\), areas .* \(4\), depth \(4\), text \(4\), words"
    with pytest.warns(DataWarning, match=lost):
        convert_dataset(data, tmp_path / "yolo", "yolo-pose")


def test_sound_is_copied_once_and_cameras_with_it(data: Dataset, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    convert_dataset(data, tmp_path / "in")
    soundfile.write(tmp_path / "in" / "film.flac", np.sin(np.arange(48_000) / 9), 16_000)
    (tmp_path / "in" / "cameras.json").write_text("{}", encoding="utf-8")
    file = tmp_path / "in" / "annotations.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    for image in document["images"]:
        image["audio_file"] = "film.flac"
    file.write_text(json.dumps(document), encoding="utf-8")
    convert_dataset(tmp_path / "in", tmp_path / "out")
    assert len(list((tmp_path / "out" / "sound").rglob("*.flac"))) == 1
    assert (tmp_path / "out" / "cameras.json").is_file()
    both = [load_dataset(tmp_path / name) for name in ("in", "out")]
    for before, after in zip(*both, strict=True):
        np.testing.assert_array_equal(before.modalities["sound"](), after.modalities["sound"]())
    for hostile in ("../film.flac", "a\0film.flac"):
        image["audio_file"] = hostile
        file.write_text(json.dumps(document), encoding="utf-8")
        with pytest.raises(InputError, match=r"film\.flac"):
            convert_dataset(tmp_path / "in", tmp_path / f"no-{len(hostile)}")


CAMERAS = {
    "depth_camera": {"f": 60, "cx": 31.5, "cy": 31.5},
    "colour_camera": {"f": 50, "cx": 30.0, "cy": 31.5},
    "colour_from_depth_translation_m": [0.02, 0, 0],
}


def depths_of(data: Dataset) -> np.ndarray:
    return np.stack([sample.modalities["depth"]() for sample in data])


def test_depth_is_read_as_it_was_read_before(data: Dataset, tmp_path: Path, monkeypatch) -> None:
    convert_dataset(data, tmp_path / "in")
    plain = depths_of(load_dataset(tmp_path / "in"))
    (tmp_path / "in" / "cameras.json").write_text(json.dumps(CAMERAS), encoding="utf-8")
    read = load_dataset(tmp_path / "in")
    registered = depths_of(read)
    assert (registered != plain).mean() > 0.5

    # a folder: its files and its cameras
    convert_dataset(tmp_path / "in", tmp_path / "folder")
    assert (tmp_path / "folder" / "cameras.json").is_file()
    np.testing.assert_array_equal(depths_of(load_dataset(tmp_path / "folder")), registered)

    # a data set, of which nobody knows where its cameras are
    convert_dataset(read, tmp_path / "set")
    assert not (tmp_path / "set" / "cameras.json").exists()
    np.testing.assert_array_equal(depths_of(load_dataset(tmp_path / "set")), registered)

    # annotations in a folder below, all that is theirs beside them
    (tmp_path / "below").mkdir()
    below = (tmp_path / "in").rename(tmp_path / "below" / "annotations")
    (below / "annotations.json").rename(below / "train.json")
    convert_dataset(tmp_path / "below", tmp_path / "from-below")
    np.testing.assert_array_equal(depths_of(load_dataset(tmp_path / "from-below")), registered)

    # a word is no place: what lies where somebody stands is not its cameras
    monkeypatch.chdir(below)
    few = Dataset(data.name, data.landmarks, data.samples[:2])
    monkeypatch.setattr("hybridkp.datasets.convert.split_names", lambda _: ())
    monkeypatch.setattr("hybridkp.datasets.convert.load_dataset", lambda *_: few)
    convert_dataset("synthetic", tmp_path / "word")
    assert not (tmp_path / "word" / "cameras.json").exists()
    np.testing.assert_array_equal(depths_of(load_dataset(tmp_path / "word")), plain[:2])


def test_depth_that_16_bits_do_not_hold_is_refused(data: Dataset, tmp_path: Path) -> None:
    for wrong in (70_000.0, np.nan):
        far = partial(given, np.full((64, 64), wrong, np.float32))
        samples = tuple(replace(sample, modalities={"depth": far}) for sample in data)
        with pytest.raises(InputError, match="65535 mm"):
            convert_dataset(replace(data, samples=samples), tmp_path / str(wrong))


def test_a_tag_never_stands_for_what_a_record_says(data: Dataset, tmp_path: Path) -> None:
    tags = dict.fromkeys(("id", "file_name", "width", "mm_per_px", "lines", "depth_file", "time"), "x")
    samples = tuple(
        replace(sample, mm_per_px=0.5, tags={**sample.tags, **tags}, modalities={"text": lambda: "read late"})
        for sample in data
    )
    (written,) = convert_dataset(replace(data, samples=samples), tmp_path / "out")
    for before, after in zip(written, load_dataset(tmp_path / "out"), strict=True):
        assert after.tags == {"mood": "calm", "view": before.view, "instant": before.instant}
        facts = ("name", "image_id", "size_hw", "mm_per_px", "time")
        assert [getattr(after, f) for f in facts] == [getattr(before, f) for f in facts]
        assert {name: load() for name, load in after.modalities.items()} == {"text": "read late"}


def test_names_of_files_stay_where_a_folder_is_a_link(data: Dataset, tmp_path: Path) -> None:
    convert_dataset(data, tmp_path / "in")
    (tmp_path / "in" / "depth").rename(tmp_path / "disk")
    (tmp_path / "in" / "depth").symlink_to(tmp_path / "disk")
    read = load_dataset(tmp_path / "in")
    write_coco(read, tmp_path / "in" / "annotations.json")
    np.testing.assert_array_equal(depths_of(load_dataset(tmp_path / "in")), depths_of(read))


def test_a_missing_picture_is_not_its_depth(data: Dataset, tmp_path: Path) -> None:
    convert_dataset(data, tmp_path / "in")
    next((tmp_path / "in" / "images").iterdir()).unlink()
    with pytest.warns(DataWarning, match="left out 1 pictures that cannot be read"):
        (left,) = convert_dataset(tmp_path / "in", tmp_path / "out", clean=True)
    assert len(left) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_no_picture(data: Dataset, tmp_path: Path) -> None:
    convert_dataset(data, tmp_path / "in")
    first = next((tmp_path / "in" / "images").iterdir())
    first.unlink()
    os.mkfifo(first)
    with pytest.raises(InputError, match="no regular file"):
        convert_dataset(tmp_path / "in", tmp_path / "out")


def test_the_twin_of_a_broken_one_stays(data: Dataset, tmp_path: Path) -> None:
    convert_dataset(data, tmp_path / "in")
    first, second, *_ = sorted((tmp_path / "in" / "images").iterdir())
    second.write_bytes(first.read_bytes())
    (tmp_path / "in" / "depth" / first.name).unlink()
    with pytest.warns(DataWarning, match="left out 1 pictures whose depth cannot be read"):
        (left,) = convert_dataset(tmp_path / "in", tmp_path / "out", clean=True)
    assert Path(left.samples[0].name).name == second.name
    assert len(left) == 3


def test_cleaning_says_what_it_leaves_out(data: Dataset, tmp_path: Path, capsys) -> None:
    convert_dataset(data, tmp_path / "in")
    first, second, third, fourth = sorted((tmp_path / "in" / "images").iterdir())
    second.write_bytes(first.read_bytes())
    third.write_bytes(third.read_bytes()[:200])
    (tmp_path / "in" / "depth" / fourth.name).unlink()
    assert main(["data", "convert", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--clean"]) == 0
    told = capsys.readouterr().err
    for kind in ("were there before", "cannot be read", "whose depth cannot be read"):
        assert f"1 pictures {kind}" in told or f"1 pictures that {kind}" in told
    assert [Path(sample.name).name for sample in load_dataset(tmp_path / "out")] == [first.name]

    for file in (first, second):
        file.write_bytes(b"")
    with pytest.raises(InputError, match="nothing is left"):
        convert_dataset(tmp_path / "in", tmp_path / "none", clean=True)
    assert not (tmp_path / "none").exists()


def test_other_sizes_are_left_out(data: Dataset, tmp_path: Path) -> None:
    convert_dataset(data, tmp_path / "in")
    file = tmp_path / "in" / "annotations.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    document["images"][1]["width"] = 80
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match=r"not as large as its annotation says .*--clean"):
        convert_dataset(tmp_path / "in", tmp_path / "mixed")
    with pytest.warns(DataWarning, match="1 pictures of another size than annotated"):
        (left,) = convert_dataset(tmp_path / "in", tmp_path / "out", clean=True)
    assert len(left) == 3


def test_a_missing_depth_names_the_cure(data: Dataset, tmp_path: Path) -> None:
    convert_dataset(data, tmp_path / "in")
    next((tmp_path / "in" / "depth").iterdir()).unlink()
    with pytest.raises(InputError, match="--clean leaves out"):
        convert_dataset(tmp_path / "in", tmp_path / "out")


def test_a_picture_listed_twice_keeps_the_objects_of_both(data: Dataset, tmp_path: Path) -> None:
    convert_dataset(data, tmp_path / "in")
    file = tmp_path / "in" / "annotations.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    document["images"][1]["file_name"] = document["images"][0]["file_name"]
    copy = dict(document["annotations"][2], id=99)  # the third picture twice, with the same object
    document["images"].append(dict(document["images"][2], id=99))
    document["annotations"].append(copy | {"image_id": 99})
    file.write_text(json.dumps(document), encoding="utf-8")
    said: list[str] = []
    with pytest.warns(DataWarning, match="left out 1 .* before, put together the objects of 1 pictures"):
        convert_dataset(
            tmp_path / "in", tmp_path / "out", clean=True, progress=lambda what, *_: said.append(what)
        )
    assert [len(sample.instances) for sample in load_dataset(tmp_path / "out")] == [2, 1, 1]
    assert dict.fromkeys(said) == dict.fromkeys(["looked at", "pictures"])


def test_links_that_lead_out_of_the_data_are_not_copied(data: Dataset, tmp_path: Path) -> None:
    convert_dataset(data, tmp_path / "in")
    first = next((tmp_path / "in" / "images").iterdir())
    depth = tmp_path / "in" / "depth" / first.name
    for file in (first, depth):
        secret = tmp_path / f"secret{file.parent.name}"
        file.rename(secret)
        file.symlink_to(secret)
        for clean in (False, True):
            with pytest.raises(InputError, match=r"is a link to .*secret.*, outside the data's folder"):
                convert_dataset(tmp_path / "in", tmp_path / "out", clean=clean)
        assert not (tmp_path / "out").exists()
        file.unlink()
        secret.rename(file.with_name("inside.png"))
        file.symlink_to(file.with_name("inside.png"))
    assert len(convert_dataset(tmp_path / "in", tmp_path / "inside")[0]) == 4
    (tmp_path / "in" / "images").rename(tmp_path / "disk")
    (tmp_path / "in" / "images").symlink_to(tmp_path / "disk")
    with pytest.raises(InputError, match="say --images"):
        convert_dataset(tmp_path / "in", tmp_path / "out")
    with pytest.warns(DataWarning, match="without images"):
        convert_dataset(tmp_path / "in", tmp_path / "named", images_dir=tmp_path / "in" / "images")
    (tmp_path / "linked").symlink_to(tmp_path / "named")  # the user's own link is no stranger's
    assert len(convert_dataset(tmp_path / "linked", tmp_path / "again")[0]) == 4


def test_depth_beside_the_folder_of_annotations(data: Dataset, tmp_path: Path) -> None:
    convert_dataset(data, tmp_path / "in")
    (tmp_path / "in" / "annotations").mkdir()
    file = tmp_path / "in" / "annotations.json"
    text = file.read_text(encoding="utf-8").replace('"images/', '"')  # names as COCO's own
    (tmp_path / "in" / "annotations" / "train.json").write_text(text, encoding="utf-8")
    file.unlink()
    assert depths_of(load_dataset(tmp_path / "in", "train")).shape == (4, 64, 64)
