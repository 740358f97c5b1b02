"""The robustness page: its numbers are the metric's own on the corrupted truth."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from report_helpers import check_page

from hybridkp.datasets import corrupted, make_faces
from hybridkp.metrics import nme, normalizer_lengths
from hybridkp.report import write_robustness
from hybridkp.report.landmarks.harder import crossing_notes, find_crossings
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
    lines = paths["objects"].read_text().splitlines()
    assert paths["objects"].name == "robustness-objects.csv" and lines[0].startswith(
        "method,corruption,severity"
    )
    assert len(lines) - 1 == sum(len(p.xy) for runs in answers.values() for p in runs)
    drawn = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawn) == 2 and not any("rotation: degrees" in svg for svg in drawn)  # outlines, no text
    assert "Rotation".lower() in page and "&lt;b&gt;run&lt;/b&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in paths.values()}


def test_the_page_shows_the_pictures_and_says_where_lines_cross(tmp_path: Path) -> None:
    many = make_faces(12, (96, 96), random_state=2)
    offs = {"fine": (1.0, 3.0, 5.0), "sturdy": (2.0, 2.5, 3.0), "like sturdy": (2.0, 3.1, 3.0)}
    answers = {}
    for severity in range(3):
        data = corrupted(many, "rotation", severity) if severity else many
        condition = ("rotation", severity) if severity else ("clean", 0)
        answers[condition] = [_answer(data, name, off[severity]) for name, off in offs.items()]
    page = check_page(write_robustness(answers, many, tmp_path)["html"])
    text = " ".join(" ".join(page.text).split())
    assert "rotation: degrees, to either side fine sturdy at 10 and like sturdy at 20" in text
    assert page.tags.count("img") == 3 and "best on harder pictures" not in text


def test_a_crossing_within_chance_is_no_crossing() -> None:
    rng = np.random.default_rng(0)
    conditions = [("clean", 0), ("blur", 1), ("noise", 1)]
    a = np.stack([np.full(30, 1.0), np.full(30, 3.0), np.full(30, 1.0)])
    b = a + np.stack([np.full(30, 0.5), rng.normal(-0.1, 5.0, 30), np.full(30, 0.5)])
    b[1] += 3.0 - 0.1 - b[1].mean()
    found = find_crossings({"a": a, "b": b}, conditions, np.arange(30), lower_is_better=True, level=0.95)
    assert found == ([], 1)
    better = find_crossings({"a": -a, "b": -b}, conditions, np.arange(30), lower_is_better=False, level=0.95)
    assert better == found
    words = crossing_notes(*found, ["blur", "noise"])
    assert words == [
        "No two methods change places beyond doubt under blur and noise.",
        "Once a pair changes places in the means by no more than chance may do.",
    ]


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
