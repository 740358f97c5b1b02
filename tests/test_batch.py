"""Rows of several modalities: indexed like arrays, and handed on to whoever needs more than pictures."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from plain_detectors import DepthMean, PlainMean, plain_dataset
from sklearn.model_selection import GroupKFold, cross_val_score

from hybridkp import fusion, memory
from hybridkp.datasets import corrupted
from hybridkp.datasets.lookup import given
from hybridkp.evaluate import Problem, bench, make_crops, robustness, train, tune
from hybridkp.files import load_model
from hybridkp.imaging.images import check_batch, check_crops, flip_batch
from hybridkp.landmarks import Augmented, FastCascade, MeanShape
from hybridkp.structures import Batch, Dataset, InputError, as_batch

IMAGES = np.random.default_rng(0).integers(0, 255, (12, 16, 20, 3), dtype=np.uint8)
DEPTH = np.arange(12 * 16 * 20, dtype=np.uint16).reshape(12, 16, 20)
BATCH = Batch({"image": IMAGES, "depth": DEPTH, "text": [f"row {i}" for i in range(12)]})


def depth_of(at: tuple[tuple[float, float], ...]) -> np.ndarray:
    """A picture of the depth of landmarks: a function of the module, so that it travels to workers."""
    depth = np.zeros((50, 60), np.uint16)
    for k, (x, y) in enumerate(at):
        depth[max(0, round(y) - 2) : round(y) + 3, max(0, round(x) - 2) : round(x) + 3] = 1000 * (k + 1)
    return depth


def deep_dataset(name: str, n: int, seed: int = 0) -> Dataset:
    """Pictures of noise, whose landmarks only the depth shows."""
    plain = plain_dataset(name, n, seed=seed)
    samples = []
    for sample in plain.samples:
        at = tuple(map(tuple, sample.instances[0].xy.tolist()))
        further = {"depth": partial(depth_of, at), "text": partial(given, sample.name)}
        further["words"] = partial(given, ((*at[0], *at[1], f"box of {sample.name}"),))
        samples.append(replace(sample, modalities=further))
    return replace(plain, samples=tuple(samples))


TRAIN, VAL = deep_dataset("train", 12), deep_dataset("val", 6, seed=50)
SEES = ("image", "depth")
ALL = (*SEES, "text", "words")
PROBLEM = Problem(TRAIN, VAL, size_hw=(56, 56), margin=1.0, modalities=("image", "words"))


# --------------------------------------------------------------------------------------------
# the type
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [slice(2, 5), [7, 1], np.array([7, 1]), np.arange(12) % 3 == 0])
def test_rows_of_a_batch_are_a_batch(rows):
    part = BATCH[rows]
    assert isinstance(part, Batch) and list(part.modalities) == ["image", "depth", "text"]
    np.testing.assert_array_equal(part["image"], IMAGES[rows])
    np.testing.assert_array_equal(part["depth"], DEPTH[rows])
    assert len(part) == len(IMAGES[rows]) == len(part["text"])


def test_to_who_knows_pictures_only_it_is_the_pictures():
    assert BATCH.shape == IMAGES.shape and BATCH.ndim == 4 and BATCH.dtype == np.uint8
    assert np.asarray(BATCH) is IMAGES or np.shares_memory(np.asarray(BATCH), IMAGES)
    np.testing.assert_array_equal(BATCH[3], IMAGES[3])
    assert sum(1 for _ in BATCH) == len(BATCH) == 12
    assert check_crops(BATCH) is IMAGES
    assert check_batch(BATCH)["depth"] is DEPTH and check_batch(IMAGES) is IMAGES
    assert repr(BATCH) == "Batch(12 rows: image (16, 20, 3) uint8, depth (16, 20) uint16, text () object)"


def test_bare_pictures_are_a_batch():
    assert as_batch(BATCH) is BATCH
    assert as_batch(IMAGES)["image"] is IMAGES
    assert as_batch({"depth": DEPTH}).shape == DEPTH.shape


def test_mistakes_are_told():
    with pytest.raises(InputError, match="has no 'sound', only image, depth, text"):
        BATCH["sound"]
    with pytest.raises(InputError, match="one number of rows"):
        Batch({"image": IMAGES, "depth": DEPTH[:3]})
    with pytest.raises(InputError, match="one number of rows"):
        Batch({})
    with pytest.raises(InputError, match="indexed by rows"):
        BATCH[:, 3]


def test_every_modality_of_the_pictures_size_is_mirrored():
    turned = flip_batch(BATCH)
    np.testing.assert_array_equal(turned["image"], IMAGES[:, :, ::-1])
    np.testing.assert_array_equal(turned["depth"], DEPTH[:, :, ::-1])
    assert turned["text"].tolist() == BATCH["text"].tolist()


def test_scikit_learns_tools_take_a_batch():
    crops = make_crops(TRAIN, (56, 56), 1.0, modalities=SEES)
    folds = {"cv": GroupKFold(3), "groups": crops.groups}
    scores = cross_val_score(PlainMean(), crops.batch, crops.xy, **folds)
    np.testing.assert_array_equal(scores, cross_val_score(PlainMean(), crops.images, crops.xy, **folds))
    deep = cross_val_score(DepthMean(), crops.batch, crops.xy, **folds)
    assert deep.mean() > scores.mean() + 0.05, "the depth has gone with the rows"


# --------------------------------------------------------------------------------------------
# from the data set to the detector
# --------------------------------------------------------------------------------------------


def test_depth_is_cut_by_the_same_map_as_the_picture():
    crops = make_crops(TRAIN, (56, 56), 1.0, modalities=SEES)
    assert crops.batch["depth"].dtype == np.uint16 and crops.batch["depth"].shape == (12, 56, 56)
    found = DepthMean().fit(crops.batch, crops.xy).predict(crops.batch)
    assert np.median(np.abs(found - crops.xy)) < 0.7, "the depth lies where the points are"
    assert make_crops(TRAIN).batch.shape == (12, 128, 128, 3), "pictures alone stay a bare array"


def test_a_modality_that_cannot_be_is_told():
    with pytest.raises(InputError, match=r"train0: has no 'sound', only image, depth, text, words"):
        make_crops(TRAIN, modalities=("image", "sound"))
    bad = replace(TRAIN.samples[0], modalities={"depth": partial(np.zeros, (3, 4))})
    with pytest.raises(InputError, match=r"train0: depth has the size \(3, 4\)"):
        make_crops(replace(TRAIN, samples=(bad,)), modalities=SEES)
    with pytest.raises(InputError, match="'image' has to be one"):
        Problem(TRAIN, modalities=("depth",))


def test_depth_moves_along_when_pictures_are_turned():
    turned = corrupted(TRAIN, "rotation", 3)
    crops = make_crops(turned, (56, 56), 1.0, modalities=SEES)
    found = DepthMean().fit(crops.batch, crops.xy).predict(crops.batch)
    assert np.median(np.abs(found - crops.xy)) < 1


CHAINS = {
    "vote": lambda: fusion.WeightedVote([("depth", DepthMean()), ("mean", MeanShape())], cv=2),
    "average": lambda: fusion.Average([("depth", DepthMean())]),
    "augment": lambda: Augmented(DepthMean(), copies=1),
    "flip": lambda: fusion.MirrorAverage(DepthMean()),
    "shape": lambda: fusion.ShapeVote([("flipped", fusion.MirrorAverage(DepthMean()))], cv=2),
    "sdm": lambda: FastCascade(scales=(1.0,), start=DepthMean(), cv=2),
    "visibility": lambda: fusion.WithVisibility(DepthMean()),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_member_gets_the_depth_wherever_it_stands(name, tmp_path):
    crops = make_crops(TRAIN, (56, 56), 1.0, modalities=SEES)
    val = make_crops(VAL, (56, 56), 1.0, modalities=SEES)
    flip = np.array([0, 1, 2])
    with memory.remember(tmp_path):
        model = CHAINS[name]().fit(crops.batch, crops.xy, groups=crops.groups, flip=flip)
    off = np.linalg.norm(model.predict(val.batch) - val.xy, axis=-1).mean()
    mean = np.linalg.norm(MeanShape().fit(crops.images, crops.xy).predict(val.images) - val.xy, axis=-1)
    assert off < 0.5 * mean.mean()
    with pytest.raises(InputError, match="needs depth"):
        model.predict(val.images)


def test_memory_tells_batches_apart_by_every_modality(tmp_path):
    crops = make_crops(TRAIN, (56, 56), 1.0, modalities=SEES)
    other = crops.batch.replace(depth=crops.batch["depth"][::-1])
    with memory.remember(tmp_path):
        models = [memory.fitted(MeanShape(), b, crops.xy) for b in (crops.batch, crops.batch, other)]
        assert len(list(tmp_path.glob("*.hkp"))) == 2 and len(models) == 3
        memory.fitted(MeanShape(), crops.images, crops.xy)
        memory.fitted(MeanShape(), Batch({"image": crops.images}), crops.xy)
    assert len(list(tmp_path.glob("*.hkp"))) == 3, "pictures alone are the same either way"


def test_a_problem_with_depth_rides_through_bench_training_and_conditions(tmp_path: Path):
    (found,) = bench({"depth": DepthMean()}, PROBLEM, out=tmp_path / "bench")
    truth = np.stack([s.instances[0].xy for s in VAL.samples])
    assert np.median(np.abs(found.xy - truth)) < 0.5 and np.isfinite(found.seconds).all()
    model = train(DepthMean(), PROBLEM, tmp_path / "depth.hkp", name="depth")
    again = load_model(tmp_path / "depth.hkp", trusted=[DepthMean])
    crops = make_crops(VAL, (56, 56), 1.0, modalities=SEES)
    np.testing.assert_array_equal(again.predict(crops.batch), model.predict(crops.batch))
    train(MeanShape(), PROBLEM, tmp_path / "mean.hkp", name="mean")
    under = robustness(
        {"mean": tmp_path / "mean.hkp"}, PROBLEM, out=tmp_path / "r", kinds=["rotation"], severities=[1]
    )
    assert [len(p) for p in under.values()] == [1, 1]
    (trial,) = tune(DepthMean(), {}, PROBLEM, out=tmp_path / "t", n_trials=1)
    assert 0 < trial.error < 0.1
