"""Sound, text and lines of text as rows; points from them; print that refines points; the linter's words."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from hybridkp import recipes
from hybridkp.datasets import check_dataset
from hybridkp.files import load_model, save_model, sound_facts
from hybridkp.landmarks import InkRefiner, SenseRegressor, WordDetector
from hybridkp.multimodal import LineRows, SenseRows, SoundRows, TextRows, WordRows, deltas, log_mel, mfcc
from hybridkp.structures import SOUND_HZ, Batch, InputError

GOODS = ("bread", "milk", "eggs", "fish")
SECOND = np.arange(SOUND_HZ) / SOUND_HZ


@pytest.mark.parametrize("hertz", [150, 1000, 3000, 6000])
def test_a_tone_is_loudest_in_the_band_around_it(hertz: int) -> None:
    energy = log_mel(np.sin(2 * np.pi * hertz * SECOND)).mean(0)
    mel = 2595 * np.log10(1 + np.array([60, hertz, SOUND_HZ / 2]) / 700)
    place = 27 * (mel[1] - mel[0]) / (mel[2] - mel[0]) - 1
    assert abs(int(energy.argmax()) - place) <= 1


def test_twice_the_amplitude_adds_the_logarithm_of_four() -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, SOUND_HZ)
    rise = log_mel(2 * wave) - log_mel(wave)
    np.testing.assert_allclose(rise, np.log(4), atol=1e-4)
    both = mfcc(log_mel(2 * wave)) - mfcc(log_mel(wave))
    np.testing.assert_allclose(both[:, 1:], 0, atol=1e-4)  # loudness is in the first coefficient alone
    np.testing.assert_allclose(both[:, 0], np.log(4) * np.sqrt(26), rtol=1e-4)


def test_deltas_are_slopes() -> None:
    rows = np.stack([3.0 * np.arange(9), np.full(9, 5.0)], 1)
    np.testing.assert_allclose(deltas(rows)[2:-2], [[3, 0]] * 5, atol=1e-6)


def test_rows_of_sound_know_what_came_first_and_when_nothing_was_heard() -> None:
    low, high = (0.1 * np.sin(2 * np.pi * hertz * SECOND[:4000]) for hertz in (200, 2000))
    windows = np.stack([np.r_[low, high], np.r_[high, low], np.zeros(8000)]).astype(np.float32)
    rows = SoundRows().fit_transform(windows)
    assert np.linalg.norm(rows[0] - rows[1]) > 1 and np.isnan(rows[2]).all()
    with pytest.raises(InputError, match=r"windows \(B, n\)"):
        SoundRows().fit(windows[0])
    with pytest.raises(InputError, match="must be finite"):
        log_mel(np.full(2000, np.nan))
    with pytest.raises(InputError, match="too short"):
        log_mel(np.zeros(10))


def test_noise_as_loud_as_sound_is_no_sound() -> None:
    rng = np.random.default_rng(0)
    tones = np.stack([0.1 * np.sin(2 * np.pi * h * SECOND[:4000]) for h in rng.uniform(150, 600, 30)])
    noise = rng.normal(0, tones.std(), (3, 4000))
    batch, mixed = ({"sound": waves.astype(np.float32)} for waves in (tones, np.r_[tones[:2], noise]))
    for strange, heard in ((2.0, [True, True, False, False, False]), (None, [True] * 5)):
        rows = SenseRows("sound", strange=strange).fit(batch)
        assert rows.rows_and_presence(mixed)[1][:, 0].tolist() == heard


def test_rows_of_text() -> None:
    texts = ["set blue at b two", "bin blue at b two", "", None, "sett blu"]
    for maker in (TextRows(), TextRows(n_features=64), TextRows(pieces=None)):
        rows = maker.fit(texts[:2]).transform(texts)
        assert np.isnan(rows[2:4]).all() and np.isfinite(rows[[0, 1, 4]]).all()
        assert maker.transform([]).shape == (0, rows.shape[1])
    near = TextRows().fit(texts[:2]).transform(texts)
    assert near[4] @ near[0] > near[4] @ near[1]  # pieces of words forgive a misspelling
    with pytest.raises(InputError, match="every text is empty"):
        TextRows().fit(["", None])


def _receipt(rng: np.random.Generator, side: int = 120) -> tuple[np.ndarray, list, np.ndarray]:
    """A page with lines of print; the corners of its total's are wanted."""
    page = np.full((side, side, 3), 235, np.uint8)
    lines, y = [], int(rng.integers(4, 12))
    at = int(rng.integers(2, 6))
    for i in range(8):
        text = "total 12.50" if i == at else f"{GOODS[i % 4]} {i}"
        x, wide = int(rng.integers(6, 40)), 5 * len(text)
        cv2.rectangle(page, (x, y), (x + wide - 1, y + 5), (20, 20, 20), -1)
        lines.append((float(x), float(y), float(x + wide), float(y + 6), text))
        y += 13
    box = lines[at]
    return page, lines, np.array([[box[0], box[1]], [box[2] - 1, box[3] - 1]])


@pytest.fixture(scope="module")
def receipts() -> tuple[Batch, np.ndarray]:
    pages, words, xy = zip(*(_receipt(np.random.default_rng(i)) for i in range(40)), strict=True)
    return Batch({"image": np.stack(pages), "words": list(words)}), np.stack(xy)


def test_text_finds_the_line_and_print_the_corner(receipts: tuple[Batch, np.ndarray], tmp_path: Path) -> None:
    batch, xy = receipts
    words = recipes.make_method("words[n_trees=30]").fit(batch[:30], xy[:30])
    found = words.predict(batch[30:])
    off = np.linalg.norm(found - xy[30:], axis=2)
    assert np.median(off) < 8 and off.min() > 0  # the line is right, the corner is not known
    both = recipes.make_method("words[n_trees=30]:ink").fit(batch[:30], xy[:30])
    assert np.median(np.linalg.norm(both.predict(batch[30:]) - xy[30:], axis=2)) < 0.25
    maps = words.score_maps(batch[30:32], stride=4)
    assert maps.shape == (2, 2, 30, 30)
    np.testing.assert_allclose(maps.sum((2, 3)), 1, rtol=1e-4)
    peak = np.unravel_index(maps[0, 0].argmax(), (30, 30))
    assert np.abs(np.array(peak[::-1]) * 4 + 1.5 - found[0, 0]).max() < 4
    empty = Batch({"image": np.asarray(batch["image"][:1]), "words": [[]]})
    assert np.isnan(words.predict(empty)).all()
    save_model(both, tmp_path / "both.hkp")
    np.testing.assert_array_equal(load_model(tmp_path / "both.hkp").predict(batch), both.predict(batch))


def test_a_training_picture_without_text_teaches_nothing(receipts: tuple[Batch, np.ndarray]) -> None:
    batch, xy = receipts
    method = recipes.make_method("words[n_trees=10]")
    lines = list(batch["words"])
    blank = batch.replace(words=[[], *lines[:15], []], image=np.asarray(batch["image"][:17]))
    taught = method.fit(blank, np.concatenate([xy[15:16], xy[:16]])).predict(batch[20:])
    alone = recipes.make_method("words[n_trees=10]").fit(batch[:15], xy[:15]).predict(batch[20:])
    np.testing.assert_array_equal(taught, alone)


def test_exact_boxes_are_never_seen() -> None:
    """Boxes that move within their cell, and their sizes, change nothing."""
    lines = [[(10.0, 20.0, 40.0, 26.0, "total 1.00"), (60.0, 70.0, 90.0, 78.0, "bread")]]
    rows = LineRows(cells=10).fit(lines, (100, 100))
    moved = [(13.0, 22.0, 39.0, 27.9, "total 1.00"), (72.0, 73.0, 75.0, 76.0, "bread")]
    for a, b in zip(rows.transform(lines[0]), rows.transform(moved), strict=True):
        np.testing.assert_array_equal(a, b)
    exact = LineRows(cells=0).fit(lines, (100, 100))
    assert not np.array_equal(exact.transform(lines[0])[1], exact.transform(moved)[1])


def test_a_map_of_words_is_coarse() -> None:
    lines = [[(0.0, 0.0, 30.0, 10.0, "total"), (90.0, 90.0, 100.0, 100.0, "end")], []]
    rows = WordRows(cells=4).fit(lines).transform(lines)
    assert np.isnan(rows[1]).all()
    grid = np.abs(rows[0].reshape(4, 4, -1)).sum(2)
    assert grid[0, 0] > 0 and grid[3, 3] > 0 and (grid > 0).sum() == 2


def test_print_that_is_not_there_moves_nothing() -> None:
    page = np.full((8, 64, 64), 200, np.uint8)
    truth = np.full((8, 1, 2), 30.0)
    refiner = InkRefiner().fit(page, truth, truth + 2)
    moved, _ = refiner.refine(page, truth + 1)
    np.testing.assert_array_equal(moved, truth + 1)
    assert np.isnan(refiner.refine(page, np.full((8, 1, 2), np.nan))[0]).all()


def _heard(n: int = 60) -> tuple[Batch, np.ndarray]:
    """Pictures that show nothing; how high the sound is tells where the point is."""
    rng = np.random.default_rng(1)
    place = rng.uniform(5, 27, n)
    sound = [0.1 * np.sin(2 * np.pi * 100 * p * SECOND[:4000]) for p in place]
    image = rng.integers(0, 255, (n, 32, 32)).astype(np.uint8)
    xy = np.stack([np.full(n, 16.0), place], 1)[:, None]
    return Batch({"image": image, "sound": np.array(sound, np.float32)}), xy


@pytest.mark.parametrize("model", ["ridge", "forest"])
def test_points_that_can_only_be_heard(model: str) -> None:
    batch, xy = _heard()

    def error(inputs: tuple[str, ...], train: Batch, test: Batch) -> float:
        found = SenseRegressor(inputs, model, n_trees=20).fit(train, xy[:40]).predict(test)
        return float(np.linalg.norm(found - xy[40:], axis=2).mean())

    train, test = batch[:40], batch[40:]
    guess = float(np.abs(xy[40:, 0, 1] - xy[:40, 0, 1].mean()).mean())
    assert error(("image", "sound"), train, test) < 0.5 * guess < 0.6 * error(("image",), train, test)
    mixed = train.replace(sound=np.asarray(train["sound"])[np.random.default_rng(0).permutation(40)])
    assert error(("image", "sound"), mixed, test) > 0.8 * guess
    silent = test.replace(sound=np.zeros_like(test["sound"]))
    assert error(("sound",), train, silent) < 1.1 * guess


def test_a_detector_says_what_it_reads() -> None:
    assert recipes.make_method("rows[inputs=image:sound]").seen_modalities() == ("image", "sound")
    assert WordDetector().seen_modalities() == ("words",)
    with pytest.raises(InputError, match="'sound'"):
        SenseRegressor("sound").fit({"image": np.zeros((4, 16, 16), np.uint8)}, np.zeros((4, 1, 2)))
    with pytest.raises(InputError, match="no training picture has a line"):
        WordDetector().fit({"image": np.zeros((2, 16, 16), np.uint8), "words": [[], []]}, np.zeros((2, 1, 2)))
    with pytest.raises(InputError, match="each once"):
        SenseRows(("image", "image")).fit(np.zeros((2, 16, 16), np.uint8))


# --------------------------------------------------------------------------------------------
# files, and the linter
# --------------------------------------------------------------------------------------------


def _film(folder: Path, waves: dict[str, tuple[np.ndarray, int]], pictures: list[dict]) -> Path:
    soundfile = pytest.importorskip("soundfile")
    (folder / "images").mkdir(parents=True)
    for name, (wave, rate) in waves.items():
        soundfile.write(folder / name, wave, rate, subtype="FLOAT" if name.endswith("wav") else None)
    images, objects = [], []
    for i, extra in enumerate(pictures):
        picture = np.random.default_rng(i).integers(0, 255, (48, 48, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / f"f_{i}.png"), picture)
        images.append({"id": i, "file_name": f"f_{i}.png", "width": 48, "height": 48, "group": "f", **extra})
        objects.append(
            {"id": i, "image_id": i, "category_id": 1, "bbox": [4, 4, 40, 40], "area": 1600, "iscrowd": 0}
            | {"keypoints": [10 + i % 3, 12, 2], "num_keypoints": 1}
        )
    category = {"id": 1, "name": "mouth", "keypoints": ["lip"]}
    (folder / "all.json").write_text(
        json.dumps({"images": images, "annotations": objects, "categories": [category]})
    )
    return folder / "all.json"


def test_the_linter_listens_and_reads(tmp_path: Path) -> None:
    loud = np.clip(3 * np.sin(2 * np.pi * 300 * SECOND), -1, 1)
    broken = 0.1 * np.sin(2 * np.pi * 300 * SECOND)
    broken[100] = np.nan
    waves = {
        "clipped.flac": (loud, SOUND_HZ),
        "silent.flac": (np.zeros(SOUND_HZ), SOUND_HZ),
        "slow.flac": (0.1 * np.sin(2 * np.pi * 300 * SECOND[:8000]), 8000),
        "broken.wav": (broken, SOUND_HZ),
    }
    pictures = [
        {"audio_file": "clipped.flac", "time": 0.2, "text": "a word"},
        {"audio_file": "silent.flac", "time": 0.1, "text": "  "},
        {"audio_file": "slow.flac", "time": 0.4, "text": "x", "lines": [[9, 9, 9, 12, "no width"]]},
        {"audio_file": "broken.wav", "time": 0.5, "text": "x", "lines": []},
        {"audio_file": "broken.wav", "time": 3.0},
        {"audio_file": "gone.flac", "time": 3.5, "text": "x", "lines": [[-9, 1, -2, 4, "left of it"]]},
    ]
    found = {f.code: f for f in check_dataset(_film(tmp_path, waves, pictures))}
    wanted = {
        *("clipped-sound", "silent-sound", "not-finite-sound", "other-rate", "unreadable-sound"),
        *("time-outside", "times-out-of-order", "empty-text", "no-text", "no-words", "empty-words"),
        "words-outside",
    }
    assert wanted <= found.keys()
    assert "f_1.png (0.100 s, after 0.200 s)" in found["times-out-of-order"].where[0]
    assert [told.partition("(")[2] for told in found["words-outside"].where] == [
        "'no width')",
        "'left of it')",
    ]
    assert found["unreadable-sound"].severity == "error" and "gone.flac" in found["unreadable-sound"].where[0]


def test_good_sound_and_text_are_not_complained_about(tmp_path: Path) -> None:
    wave = 0.3 * np.random.default_rng(0).normal(0, 0.2, SOUND_HZ)
    pictures = [{"audio_file": "a.flac", "time": 0.04 * i, "text": "set blue"} for i in range(12)]
    path = _film(tmp_path, {"a.flac": (wave, SOUND_HZ)}, pictures)
    words = ("sound", "rate", "time", "text", "words")
    assert not [f.code for f in check_dataset(path) if any(word in f.code for word in words)]
    facts = sound_facts(tmp_path / "a.flac")
    assert (facts.rate, facts.channels, facts.seconds, facts.faults) == (SOUND_HZ, 1, 1.0, ())
    (tmp_path / "cut.flac").write_bytes((tmp_path / "a.flac").read_bytes()[:200])
    for name in ("cut.flac", "none.flac"):
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            sound_facts(tmp_path / name)
