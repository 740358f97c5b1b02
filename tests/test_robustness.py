"""Trained models under corruptions: the same pictures for all, kept answers, honest errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hybridkp.datasets import corrupted, make_faces
from hybridkp.evaluate import Condition, Problem, make_crops, robustness, stored_models, train
from hybridkp.files import load_model
from hybridkp.landmarks import HolisticRegressor, MeanShape
from hybridkp.structures import Dataset, InputError


@pytest.fixture(scope="module")
def faces() -> Dataset:
    return make_faces(24, (96, 96), random_state=0)


@pytest.fixture(scope="module")
def models(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for name, estimator in (("mean", MeanShape()), ("ridge", HolisticRegressor())):
        found[name] = folder / f"{name}.hkp"
        train(estimator, Problem(faces.subset(range(16)), size_hw=(64, 64)), found[name], name=name)
    return found


def test_answers_are_those_of_the_corrupted_pictures(
    faces: Dataset, models: dict[str, Path], tmp_path: Path
) -> None:
    val = faces.subset(range(16, 24))
    found = robustness(models, val, out=tmp_path, kinds=["rotation"], severities=[2], random_state=5)
    assert list(found) == [Condition("clean", 0), Condition("rotation", 2)]
    for condition, harder in zip(found, (val, corrupted(val, "rotation", 2, 5)), strict=True):
        crops = make_crops(harder, (64, 64))
        for answers, name in zip(found[condition], models, strict=True):
            expected = crops.to_picture(load_model(models[name]).predict(crops.images))
            assert answers.method == name and answers.fingerprint == harder.fingerprint
            assert np.abs(answers.xy - expected).max() < 1e-3


def test_finished_conditions_are_kept_and_changed_models_asked_again(
    faces: Dataset, models: dict[str, Path], tmp_path: Path
) -> None:
    val = faces.subset(range(16, 24))
    own = {name: tmp_path / path.name for name, path in models.items()}
    for name, path in models.items():
        own[name].write_bytes(path.read_bytes())
    calls: list[tuple[str, int, int]] = []
    out = tmp_path / "out"
    robustness(own, val, out=out, kinds=["blur"], severities=[1], progress=lambda *c: calls.append(c))
    assert [c[1:] for c in calls] == [(1, 2), (2, 2)]
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")}
    assert len(stamps) == 4
    train(MeanShape(), Problem(faces.subset(range(12)), size_hw=(64, 64)), own["mean"], name="mean")
    robustness(own, val, out=out, kinds=["blur"], severities=[1])
    changed = {p.stem for p, before in stamps.items() if p.stat().st_mtime_ns != before}
    assert changed == {"mean"}


def test_two_processes_answer_as_one(faces: Dataset, models: dict[str, Path], tmp_path: Path) -> None:
    val = faces.subset(range(16, 20))
    one, two = (
        robustness(models, val, out=tmp_path / str(n), kinds=["jpeg"], severities=[4], n_jobs=n)
        for n in (1, 2)
    )
    for condition in one:
        for a, b in zip(one[condition], two[condition], strict=True):
            assert np.array_equal(a.xy, b.xy)


def test_mistakes_are_told(faces: Dataset, models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no models"):
        robustness({}, faces, out=tmp_path)
    with pytest.raises(InputError, match="unknown corruption 'fog'"):
        robustness(models, faces, out=tmp_path, kinds=["fog"])
    with pytest.raises(InputError, match="severity 7"):
        robustness(models, faces, out=tmp_path, severities=[7])
    other = Dataset("other", ("only",), faces.samples)
    with pytest.raises(InputError, match="other landmarks"):
        robustness(models, other, out=tmp_path)
    (tmp_path / "broken.hkp").write_bytes(b"PK no")
    with pytest.raises(InputError, match=r"broken\.hkp"):
        robustness({"broken": tmp_path / "broken.hkp"}, faces, out=tmp_path)


def test_methods_whose_names_no_file_can_have(faces: Dataset, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "net_sdm~0a1b2c-0.hkp"
    train(MeanShape(), Problem(faces.subset(range(16)), size_hw=(64, 64)), path, name="net>sdm")
    models = stored_models(tmp_path, ["net>sdm"], 0)
    assert models == {"net>sdm": path}
    found = robustness(
        models, faces.subset(range(16, 20)), out=tmp_path / "out", kinds=["blur"], severities=[1]
    )
    assert [p.method for p in found[Condition("blur", 1)]] == ["net>sdm"]
    assert not [p for p in (tmp_path / "out").rglob("*") if ">" in p.name]
