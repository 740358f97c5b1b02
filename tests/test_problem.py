"""What a bench, a search, a training and a report share; and a bench's folder, read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from plain_detectors import PlainMean, plain_dataset

import hybridkp
from hybridkp.evaluate import (
    Problem,
    bench,
    comparable_predictions,
    load_problem,
    robustness,
    stored_models,
    stored_problem,
    train,
)
from hybridkp.landmarks import MeanShape
from hybridkp.structures import InputError, as_problem

TRAIN, VAL = plain_dataset("train", 8), plain_dataset("val", 4, seed=50)


def test_a_problem_is_one_line():
    problem = Problem(TRAIN, VAL, size_hw=(64, 48), margin=1.5, normalizer=("points", 0, 1))
    assert repr(problem) == (
        "Problem(train: 8 pictures to train on, 4 to judge (val), 3 landmarks, crops of 64 x 48 px,"
        " margin 1.5, sees image, errors by points 0 1)"
    )
    assert hybridkp.Problem is Problem


def test_a_data_set_alone_has_nothing_to_judge(tmp_path: Path):
    problem = Problem(TRAIN)
    assert len(problem.val) == 0 and problem.val.landmarks == TRAIN.landmarks
    with pytest.raises(InputError, match="train-val: holds no pictures"):
        bench({"mean": PlainMean()}, problem, out=tmp_path)
    assert as_problem(problem) is problem and as_problem(TRAIN).val is TRAIN


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size_hw": (7, 64)}, "need 8 to 4096 px"),
        ({"size_hw": (64, 5000)}, "need 8 to 4096 px"),
        ({"margin": 0}, "margin above 0.01"),
        ({"margin": float("nan")}, "margin above 0.01"),
        ({"margin": 100}, "margin above 0.01 and below 100"),
        ({"val": plain_dataset("other", 3, k=2)}, "both need one scheme"),
    ],
)
def test_what_cannot_be_is_told(change, message):
    with pytest.raises(InputError, match=message):
        replace(Problem(TRAIN, VAL), **change)


def test_a_problem_is_loaded_by_its_name():
    problem = load_problem("synthetic", max_train=5, max_val=3, normalizer="pixel", size_hw=(64, 64))
    assert (len(problem.train), len(problem.val)) == (5, 3)
    assert problem.normalizer == ("pixel",) and problem.name == "synthetic" and problem.split == "val"
    with pytest.raises(InputError, match="--normalizer"):
        load_problem("synthetic", normalizer="nonsense")


def test_a_bench_notes_its_problem_and_its_folder_gives_it_back(tmp_path: Path):
    problem = load_problem("synthetic", max_train=6, max_val=3, normalizer="box", size_hw=(48, 48))
    (found,) = bench({"mean": MeanShape()}, problem, out=tmp_path)
    assert json.loads((tmp_path / "bench.json").read_text())["data"] == "synthetic"
    again = stored_problem(tmp_path)
    assert again.val.fingerprint == problem.val.fingerprint and again.normalizer == ("box",)
    assert stored_problem(tmp_path, normalizer="pixel", max_val=2).normalizer == ("pixel",)
    good, others = comparable_predictions(tmp_path, again)
    assert [p.method for p in good] == ["mean"] and others == []
    assert (good[0].xy == found.xy).all()
    with pytest.raises(InputError, match="holds predictions for other data"):
        comparable_predictions(tmp_path, replace(again, val=again.train))
    models = stored_models(tmp_path)
    assert list(models) == ["mean"] and models["mean"].is_file()
    under = robustness(models, again, out=tmp_path / "r", kinds=["blur"], severities=[1])
    assert len(under) == 2
    with pytest.raises(InputError, match=r"has no model of sdm \(there: mean\)"):
        stored_models(tmp_path, ["sdm"])


def test_a_bench_without_a_source_leaves_no_note(tmp_path: Path):
    bench({"mean": MeanShape()}, Problem(TRAIN, VAL, size_hw=(32, 32), max_timed=0), out=tmp_path)
    assert not (tmp_path / "bench.json").exists()
    with pytest.raises(InputError, match=r"bench\.json is missing"):
        stored_problem(tmp_path)


def test_a_model_says_what_it_was_trained_on(tmp_path: Path):
    from hybridkp.files import read_meta

    train(MeanShape(), Problem(TRAIN, size_hw=(32, 40), margin=1.1), tmp_path / "m.hkp", name="mean")
    meta = read_meta(tmp_path / "m.hkp")
    assert (meta["size_hw"], meta["margin"], meta["modalities"]) == ([32, 40], 1.1, ["image"])
    assert (meta["trained_on"], meta["data_license"]) == ("train", "not stated")
