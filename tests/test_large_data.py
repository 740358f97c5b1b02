"""More data than memory: crops on disk are the crops in memory, and what is learned from them is the same."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hybridkp import memory
from hybridkp.datasets import corrupted, make_faces
from hybridkp.deep import DirectNet
from hybridkp.evaluate import Problem, bench, crop_files, make_crops, robustness, train, tune
from hybridkp.evaluate.crop_files import forget_crops
from hybridkp.evaluate.crops import Crops
from hybridkp.files import load_model
from hybridkp.imaging.images import check_crops, crops_to_grey, flip_batch, with_mirrored
from hybridkp.landmarks import (
    CascadedRegressor,
    FastCascade,
    HolisticRegressor,
    HoughForest,
    LocalBinaryFeatures,
    MeanShape,
    PatchDetector,
)
from hybridkp.landmarks.ridge import ridge, ridge_of
from hybridkp.memory import budget
from hybridkp.structures import ArrayFile, Batch, Dataset, DataWarning, InputError, Stream, as_batch

PIXELS = [sample.image for sample in make_faces(28, (72, 72))]
SIZE = (48, 48)
SHORT = {"max_epochs": 1, "epoch_pictures": 16, "device": "cpu"}


def pixels(i: int) -> np.ndarray:
    """A face that is drawn once; a function with a name, so that its crops can be known again."""
    return PIXELS[i]


def faces(n: int, random_state: int = 0) -> Dataset:
    drawn = make_faces(n, (72, 72), random_state=random_state)
    samples = (replace(s, load=partial(pixels, i)) for i, s in enumerate(drawn))
    return replace(drawn, samples=tuple(samples))


FACES = faces(28)


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch):
    """Sets the budget, in bytes."""

    def set_to(n: int) -> None:
        monkeypatch.setattr(budget, "ROW_BYTES", n)

    return set_to


@pytest.fixture
def plain() -> Crops:
    return make_crops(FACES, SIZE)


@pytest.fixture
def on_disk(little, tmp_path: Path) -> Crops:
    little(1)
    crops = make_crops(FACES, SIZE, folder=tmp_path)
    little(2**30)
    assert isinstance(crops.images, Stream)
    return crops


# --------------------------------------------------------------------------------------------
# streams
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [slice(2, 9, 3), [7, 1, 1], np.array([27, 0]), np.arange(28) % 3 == 0])
def test_parts_of_a_stream_are_those_of_the_array(plain, on_disk, rows):
    part = on_disk.images[rows]
    assert isinstance(part, Stream) and part.shape == plain.images[rows].shape
    np.testing.assert_array_equal(part, plain.images[rows])
    np.testing.assert_array_equal(part[1], plain.images[rows][1])
    np.testing.assert_array_equal(np.stack(list(part)), plain.images[rows])


def test_grey_and_mirrored_streams_are_the_arrays(plain, on_disk):
    for stream, array in ((on_disk.images, plain.images), (on_disk.images[5:], plain.images[5:])):
        for change in (crops_to_grey, flip_batch, with_mirrored, lambda i: with_mirrored(crops_to_grey(i))):
            changed = change(check_crops(stream))
            assert isinstance(changed, Stream) and changed.dtype == np.uint8
            assert changed.shape == change(array).shape
            np.testing.assert_array_equal(changed, change(array))
            np.testing.assert_array_equal(changed[[-1, 0]], change(array)[[-1, 0]])


def test_a_batch_of_streams_reads_nothing(on_disk, monkeypatch):
    batch = as_batch({"image": on_disk.images, "number": np.arange(len(on_disk))})
    monkeypatch.setattr(ArrayFile, "read", None)
    part = batch[[3, 1]]
    assert isinstance(part, Batch) and isinstance(part["image"], Stream) and part["number"].tolist() == [3, 1]
    with pytest.raises(InputError, match="rows alone"):
        on_disk.images[:, ::2]


def test_equal_streams_have_equal_digests_and_others_have_not(on_disk):
    images = on_disk.images
    assert images[[1, 2]].digest == images[1:3].digest
    found = [images, images[1:], images[::-1]]
    found += [change(images) for change in (crops_to_grey, flip_batch, with_mirrored)]
    assert len({stream.digest for stream in found}) == len(found)


def test_a_file_that_was_cut_off_or_is_none_is_told(tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros((4, 6), np.uint8))
    whole = (tmp_path / "rows.npy").read_bytes()
    for damaged in (whole[:-3], whole[:40], b"", b"no array"):
        (tmp_path / "rows.npy").write_bytes(damaged)
        with pytest.raises(InputError, match=r"rows\.npy: cannot be read as rows"):
            ArrayFile(tmp_path / "rows.npy")
    np.save(tmp_path / "rows.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match="no plain rows"):
        ArrayFile(tmp_path / "rows.npy")
    with pytest.raises(InputError, match="cannot be read as rows"):
        ArrayFile(tmp_path / "missing.npy")


# --------------------------------------------------------------------------------------------
# cutting
# --------------------------------------------------------------------------------------------


def test_crops_on_disk_are_the_crops_in_memory(plain, on_disk):
    assert repr(on_disk) == repr(plain) and on_disk.names == plain.names
    np.testing.assert_array_equal(on_disk.images, plain.images)
    for name in ("xy", "matrix", "boxes", "groups", "sample", "instance", "flip"):
        np.testing.assert_array_equal(getattr(on_disk, name), getattr(plain, name))


def test_what_fits_stays_in_memory(tmp_path):
    assert isinstance(make_crops(FACES, SIZE, folder=tmp_path).images, np.ndarray)
    assert not list(tmp_path.iterdir())


def counting(monkeypatch: pytest.MonkeyPatch, stop_after: int | None = None) -> list[str]:
    """The pictures that are cut from now on; after so many the run is stopped."""
    from hybridkp.evaluate import crops

    cut, asked = crops._sample_crops, []

    def counted(sample, *args, **kwargs):
        if len(asked) == stop_after:
            raise KeyboardInterrupt
        asked.append(sample.name)
        return cut(sample, *args, **kwargs)

    monkeypatch.setattr(crops, "_sample_crops", counted)
    return asked


def test_a_stopped_cut_goes_on_and_a_finished_one_is_not_done_again(plain, little, tmp_path, monkeypatch):
    little(1)
    monkeypatch.setattr(crop_files, "PICTURES", 5)
    with monkeypatch.context() as patch:
        counting(patch, stop_after=13)
        with pytest.raises(KeyboardInterrupt):
            make_crops(FACES, SIZE, folder=tmp_path)
    (folder,) = tmp_path.iterdir()
    assert not list(folder.glob("*.npy")) and not (folder / "crops.json").exists()
    with open(folder / "seen-image.npy.part", "ab") as file:
        file.write(b"half a crop")  # as a kill leaves it
    asked = counting(monkeypatch)
    np.testing.assert_array_equal(make_crops(FACES, SIZE, folder=tmp_path).images, plain.images)
    assert asked == [s.name for s in FACES.samples[10:]]
    again = make_crops(FACES, SIZE, folder=tmp_path)
    assert len(asked) == 18 and sorted(p.name for p in folder.iterdir()) == [
        *("crops.json", "rows.npy", "seen-image.npy")
    ]
    np.testing.assert_array_equal(again.images, plain.images)


@pytest.mark.parametrize(
    ("name", "damage"),
    [("seen-image.npy", "cut"), ("rows.npy", "other"), ("crops.json", "gone"), ("crops.json", "other")],
)
def test_damaged_crops_are_made_again(plain, little, tmp_path, name, damage):
    little(1)
    make_crops(FACES, SIZE, folder=tmp_path)
    (path,) = tmp_path.glob(f"*/{name}")
    whole = path.read_bytes()
    path.unlink() if damage == "gone" else path.write_bytes(whole[:-7] if damage == "cut" else b"[[1]]")
    found = make_crops(FACES, SIZE, folder=tmp_path)
    np.testing.assert_array_equal(found.images, plain.images)
    np.testing.assert_array_equal(found.matrix, plain.matrix)
    assert path.read_bytes() == whole


def test_other_data_or_settings_are_other_crops(little, tmp_path):
    little(1)
    for data, size, margin in (
        (FACES, SIZE, 1.25),
        (FACES, SIZE, 1.5),
        (FACES, (48, 40), 1.25),
        (FACES.subset(range(20)), SIZE, 1.25),
        (corrupted(FACES, "blur", 2), SIZE, 1.25),
        (faces(28, random_state=1), SIZE, 1.25),
    ):
        own = make_crops(data, size, margin, folder=tmp_path)
        np.testing.assert_array_equal(own.images, make_crops(data, size, margin).images)
    assert len(list(tmp_path.iterdir())) == 6


def test_pictures_without_a_name_stay_in_memory(little, tmp_path):
    little(1)
    odd = replace(FACES, samples=tuple(replace(s, load=lambda s=s: s.load()) for s in FACES.samples))
    assert isinstance(make_crops(odd, SIZE, folder=tmp_path).images, np.ndarray)


def test_nothing_but_our_own_files_is_removed(little, tmp_path):
    little(1)
    make_crops(FACES, SIZE, folder=tmp_path)
    make_crops(FACES, SIZE, 1.5, folder=tmp_path)
    first, second = sorted(tmp_path.iterdir())
    (first / "mine.txt").write_text("kept")
    (tmp_path / "crops-of-mine").mkdir()
    (tmp_path / "crops-of-mine" / "rows.npy").write_text("kept")
    (tmp_path / f"crops-{'0' * 16}").symlink_to(tmp_path / "crops-of-mine")
    forget_crops(tmp_path, keep=[second.name])
    assert sorted(p.name for p in first.iterdir()) == ["mine.txt"]
    assert len(list(second.iterdir())) == 3 and (tmp_path / "crops-of-mine" / "rows.npy").exists()


def test_left_out_objects_are_told_as_in_memory(little, tmp_path):
    blank = [replace(i, xy=np.full_like(i.xy, np.nan)) for i in FACES.samples[3].instances]
    samples = [*FACES.samples[:3], replace(FACES.samples[3], instances=tuple(blank)), *FACES.samples[4:]]
    data = replace(FACES, samples=tuple(samples))
    told = []
    for folder in (None, tmp_path, tmp_path):
        little(1)
        with pytest.warns(DataWarning) as caught:
            make_crops(data, SIZE, folder=folder)
        told.append([str(w.message) for w in caught])
    assert told[0] == told[1] == told[2]


# --------------------------------------------------------------------------------------------
# learning
# --------------------------------------------------------------------------------------------

#: learned from all pictures, whole or in blocks
BLOCKWISE = {
    "mean shape": MeanShape,
    "ridge": HolisticRegressor,
    "fast cascade": lambda: FastCascade(scales=(0.5, 1.0)),
    "cascade": lambda: CascadedRegressor(scales=(0.7,), n_perturbations=1),
    "network": lambda: DirectNet(32, schedule=DirectNet.default_schedule(**SHORT)),
}
#: learned from a sample where not all fit
SAMPLED = {
    "experts": lambda: PatchDetector(scales=(0.5,), radii=(5,), start=MeanShape()),
    "voting forest": lambda: HoughForest(scales=(0.5,), start=MeanShape(), n_samples=2),
    "binary features": lambda: LocalBinaryFeatures(radii=(0.2,), n_trees=2, max_depth=3, start=MeanShape()),
}


def learned(make, crops: Crops):
    model = make()
    model.fit(crops.batch, crops.xy, groups=crops.groups, flip=crops.flip)
    return model


@pytest.mark.parametrize("kind", [*BLOCKWISE, *SAMPLED])
def test_what_is_learned_from_disk_is_what_is_learned_from_memory(plain, on_disk, kind):
    make = {**BLOCKWISE, **SAMPLED}[kind]
    first, second = (learned(make, crops) for crops in (plain, on_disk))
    for one, other in zip(
        first.predict_with_score(plain.images), second.predict_with_score(plain.images), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert not hasattr(first, "learned_from_") and not hasattr(second, "learned_from_")


@pytest.mark.parametrize("kind", BLOCKWISE)
def test_blocks_teach_the_same_and_no_fit_reads_all_crops_at_once(plain, on_disk, little, monkeypatch, kind):
    whole = learned(BLOCKWISE[kind], plain).predict(plain.images)
    little(1_500_000)
    read, together = Stream.__array__, []

    def counted(self, *args, **kwargs):
        together.append(len(self))
        return read(self, *args, **kwargs)

    monkeypatch.setattr(Stream, "__array__", counted)
    model = learned(BLOCKWISE[kind], on_disk)
    assert max(together, default=0) < len(plain)
    # a last bit can move a point that is read to the next pixel; half a pixel of the prediction is far more
    np.testing.assert_allclose(model.predict(plain.images), whole, atol=0.2)
    assert np.abs(model.predict(plain.images) - whole).mean() < 0.01


@pytest.mark.parametrize("kind", SAMPLED)
def test_a_sample_is_drawn_within_the_budget_and_told(plain, on_disk, little, kind):
    little(800_000)
    with pytest.warns(DataWarning, match=r"learns from \d+ of \d+ pictures, drawn at random") as caught:
        model = learned(SAMPLED[kind], on_disk)
    words = str(next(w.message for w in caught if "drawn" in str(w.message)))
    assert 2 <= model.learned_from_ < 2 * len(plain) and f" {model.learned_from_} of " in words
    with pytest.warns(DataWarning):
        again = learned(SAMPLED[kind], plain)
    np.testing.assert_array_equal(again.predict(plain.images), model.predict(plain.images))


def test_ridge_in_blocks_is_the_ridge(little):
    rng = np.random.default_rng(0)
    rows = rng.normal(2, 1, (300, 12)).astype(np.float32)
    targets = rows @ rng.normal(size=(12, 3)) + rng.normal(size=(300, 3))
    groups = rng.permutation(np.r_[np.repeat(np.arange(40), 5), np.full(60, 40), 41 + np.arange(40)])
    whole = ridge(rows.copy(), targets, 3.0, groups)
    read = []

    def part(chosen: np.ndarray) -> np.ndarray:
        read.append(groups[chosen])
        return rows[chosen]

    little(9_600)
    found = ridge_of(part, 300, 12, targets, 3.0, groups)
    for one, other in zip(whole, found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    once = read[: len(read) // 2]
    assert len(once) > 3 and sum(map(len, once)) == 300
    assert sum(len(np.unique(part)) for part in once) == len(np.unique(groups)), "no group is cut"


def test_the_memory_keeps_fits_of_streams(on_disk, tmp_path, monkeypatch):
    asked = HolisticRegressor(), on_disk.images, on_disk.xy
    with memory.remember(tmp_path / "cache"):
        first = memory.fitted(*asked, groups=on_disk.groups)
        held_out, _ = memory.out_of_fold(*asked, groups=on_disk.groups)
        monkeypatch.setattr(ArrayFile, "read", None)
        again = memory.fitted(*asked, groups=on_disk.groups)
        anew, _ = memory.out_of_fold(*asked, groups=on_disk.groups)
    np.testing.assert_array_equal(first.weights_, again.weights_)
    np.testing.assert_array_equal(held_out, anew)


def test_prediction_of_a_stream_is_that_of_the_array(plain, on_disk, monkeypatch):
    monkeypatch.setattr(budget, "BLOCK", 5)
    model = learned(BLOCKWISE["fast cascade"], plain)
    for one, other in zip(
        memory.predict_in_blocks(model, on_disk.batch), model.predict_with_score(plain.images), strict=True
    ):
        np.testing.assert_array_equal(one, other)


# --------------------------------------------------------------------------------------------
# commands
# --------------------------------------------------------------------------------------------


def parts() -> tuple[Dataset, Dataset]:
    return FACES.subset(range(18), "train"), FACES.subset(range(20, 28), "val")


def test_a_bench_on_disk_is_the_bench_in_memory(little, tmp_path):
    problem = Problem(*parts(), size_hw=SIZE, max_timed=0)
    methods = {"ridge": HolisticRegressor(), "cascade": FastCascade(scales=(0.5,), n_perturbations=0)}
    plain = bench(methods, problem, out=tmp_path / "plain")
    little(1)
    streamed = bench(methods, problem, out=tmp_path / "disk")
    for one, other in zip(plain, streamed, strict=True):
        np.testing.assert_array_equal(one.xy, other.xy)
        np.testing.assert_array_equal(one.score, other.score)
    kept = sorted(p.name for p in (tmp_path / "disk" / "cache").glob("crops-*"))
    assert len(kept) == 2 and not list((tmp_path / "plain" / "cache").glob("crops-*"))
    models = {"cascade": next((tmp_path / "disk" / "models").glob("cascade*"))}
    found = {}
    for n in (2**30, 1):
        little(n)
        out = tmp_path / f"hard-{n}"
        found[n] = robustness(models, problem, out=out, kinds=("blur",), severities=(2,))
        assert not list(out.glob("cache/*"))
    for one, other in zip(found[1].values(), found[2**30].values(), strict=True):
        np.testing.assert_array_equal(one[0].xy, other[0].xy)


def test_training_and_tuning_on_disk(little, tmp_path):
    data, _ = parts()
    plain = train(HolisticRegressor(), Problem(data, size_hw=SIZE), tmp_path / "plain.hkp")
    settings = {"alpha": [10.0]}
    problem = Problem(data, size_hw=SIZE)
    trials = tune(HolisticRegressor(), settings, problem, out=tmp_path / "tuned", n_trials=2)
    little(18 * 3 * 48 * 48)  # half of what crops would take
    train(HolisticRegressor(), Problem(data, size_hw=SIZE), tmp_path / "disk.hkp")
    streamed = tune(HolisticRegressor(), settings, problem, out=tmp_path / "tuned-disk", n_trials=2)
    np.testing.assert_allclose(load_model(tmp_path / "disk.hkp").weights_, plain.weights_, atol=1e-3)
    assert [t.error for t in streamed] == pytest.approx([t.error for t in trials], rel=1e-4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk.hkp", "plain.hkp", "tuned", "tuned-disk"]
    assert json.loads(next((tmp_path / "tuned-disk" / "cache").glob("crops-*/crops.json")).read_text())


def test_threads_are_asked_for_and_a_callers_limit_holds(monkeypatch):
    from hybridkp.evaluate import fits_with
    from hybridkp.evaluate.processes import count_workers, usable_cores
    from hybridkp.memory.threads import fit_threads

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("HYBRIDKP_THREADS", raising=False)
    assert fit_threads() == 1
    with fits_with(3) as n:
        assert n == fit_threads() == 3 and count_workers(-1) == max(1, usable_cores() // 3)
        monkeypatch.setenv("OMP_NUM_THREADS", "2,4")
        assert fit_threads() == 2
        with fits_with(None) as n:
            assert n == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "what?")
    assert fit_threads() == 1


def test_more_threads_are_recorded(tmp_path, monkeypatch):
    from hybridkp.evaluate import fits_with

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    problem = Problem(*parts(), size_hw=SIZE, max_timed=0)
    with warnings.catch_warnings(), fits_with(2):
        warnings.simplefilter("error")
        (found,) = bench({"ridge": HolisticRegressor()}, problem, out=tmp_path)
    assert found.params["fit_threads"] == 2
