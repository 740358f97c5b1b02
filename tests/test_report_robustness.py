"""The robustness page: its numbers are the metric's own on the corrupted truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hybridkp.datasets import corrupted, make_faces
from hybridkp.metrics import nme, normalizer_lengths
from hybridkp.report import write_robustness
from hybridkp.structures import Array, Dataset, InputError, Predictions

Answers = dict[tuple[str, int], list[Predictions]]


@pytest.fixture(scope="module")
def faces() -> Dataset:
    return make_faces(6, (96, 96), random_state=1)


def _truth(dataset: Dataset) -> Array:
    return np.stack([s.instances[0].xy for s in dataset])


def _answer(dataset: Dataset, method: str, off_px: float) -> Predictions:
    """The truth, moved to the right by ``off_px``."""
    xy = _truth(dataset) + [off_px, 0.0]
    n = len(dataset)
    return Predictions(
        method=method,
        xy=xy,
        score=np.ones(xy.shape[:2]),
        names=tuple(s.name for s in dataset),
        instance=np.zeros(n, int),
        seconds=np.full(n, np.nan),
        fingerprint=dataset.fingerprint,
    )


@pytest.fixture(scope="module")
def answers(faces: Dataset) -> Answers:
    """Two methods; the one that is better on clean pictures suffers more."""
    out: Answers = {("clean", 0): [_answer(faces, "fine", 1.0), _answer(faces, "sturdy", 2.0)]}
    for severity, (fine, sturdy) in enumerate(((3.0, 2.5), (5.0, 3.0)), 1):
        harder = corrupted(faces, "rotation", severity)
        out["rotation", severity] = [_answer(harder, "fine", fine), _answer(harder, "sturdy", sturdy)]
    return out


def test_numbers_are_the_metrics_own(faces: Dataset, answers: Answers, tmp_path: Path) -> None:
    paths = write_robustness(answers, faces, tmp_path)
    found = {m["method"]: m for m in json.loads(paths["json"].read_text())["methods"]}
    for method in ("fine", "sturdy"):
        expected = {}
        for (kind, severity), runs in answers.items():
            data = corrupted(faces, kind, severity) if severity else faces
            xy = next(p.xy for p in runs if p.method == method)
            lengths = normalizer_lengths(_truth(data), data.normalizer, np.ones((len(data), 4)))
            expected[f"{kind}-{severity}"] = 100 * nme(_truth(data), xy, lengths).mean()
        assert found[method]["clean"] == pytest.approx(expected["clean-0"], rel=1e-5)
        assert found[method]["rotation-2"] == pytest.approx(expected["rotation-2"], rel=1e-5)
        hard = (expected["rotation-1"] + expected["rotation-2"]) / 2
        assert found[method]["rotation"] == pytest.approx(hard, rel=1e-5)
        assert found[method]["nme_percent"] == pytest.approx(hard, rel=1e-5)
        assert found[method]["ratio"] == pytest.approx(hard / expected["clean-0"], rel=1e-5)
    assert found["sturdy"]["rank"] == 1  # sorted by the hard pictures, not by the clean ones


def test_the_page_is_whole(faces: Dataset, answers: Answers, tmp_path: Path) -> None:
    paths = write_robustness(answers, faces, tmp_path, provenance={"command": "<b>run</b>"})
    page = paths["html"].read_text()
    assert page.count("<svg") == 2 and "rotation: degrees" not in page  # outlines, no text
    assert "Rotation".lower() in page and "&lt;b&gt;run&lt;/b&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in paths.values()}


def test_what_cannot_be_compared_is_told(faces: Dataset, answers: Answers, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="clean"):
        write_robustness({("rotation", 1): answers["rotation", 1]}, faces, tmp_path)
    with pytest.raises(InputError, match="clean"):
        write_robustness({("clean", 0): answers["clean", 0]}, faces, tmp_path)
    fewer = {**answers, ("rotation", 1): answers["rotation", 1][:1]}
    with pytest.raises(InputError, match="methods under rotation"):
        write_robustness(fewer, faces, tmp_path)
    with pytest.raises(InputError, match="made on data"):  # another seed turned the pictures otherwise
        write_robustness(answers, faces, tmp_path, random_state=4)
