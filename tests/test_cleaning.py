"""COCO files keep what pictures have besides, and cleaning leaves out what no run can use."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hybridkp.cli import main
from hybridkp.datasets import convert_dataset, load_dataset, make_faces
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
    with pytest.warns(
        DataWarning, match=r"times \(4\), views \(4\), tags \(4\), depth \(4\), text \(4\), words"
    ):
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
    image["audio_file"] = "../film.flac"
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match=r"film\.flac"):
        convert_dataset(tmp_path / "in", tmp_path / "no")


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
    with pytest.warns(DataWarning, match="1 pictures of another size than annotated"):
        (left,) = convert_dataset(tmp_path / "in", tmp_path / "out", clean=True)
    assert len(left) == 3
