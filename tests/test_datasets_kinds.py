"""Annotations that are another thing than they should be: each kind is planted in drawn faces and found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hybridkp.datasets import check_dataset, make_faces, write_coco

N, SIDE = 40, 160
Edit = Callable[[dict[str, Any], int], None]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Square pictures, so that exchanged sides do not show in their size."""
    root = tmp_path_factory.mktemp("faces")
    (root / "images").mkdir()
    data = make_faces(N, (SIDE, SIDE), random_state=5)
    samples = []
    for i, sample in enumerate(data):
        cv2.imwrite(str(root / "images" / f"{i}.png"), sample.image)
        samples.append(replace(sample, name=f"{i}.png", image_id=i, size_hw=(SIDE, SIDE)))
    write_coco(replace(data, samples=tuple(samples)), root / "clean.json")
    return root


def points(change: Callable[[np.ndarray, np.ndarray], Any]) -> Edit:
    """``change(points (N, 2), box (4,))`` on the labelled points."""

    def edit(annotation: dict[str, Any], row: int) -> None:
        table = np.array(annotation["keypoints"], float).reshape(-1, 3)
        labelled = table[:, 2] > 0
        table[labelled, :2] = change(table[labelled, :2], np.array(annotation["bbox"]))
        annotation["keypoints"] = table.ravel().tolist()

    return edit


def box(change: Callable[..., Any]) -> Edit:
    def edit(annotation: dict[str, Any], row: int) -> None:
        annotation["bbox"] = [float(v) for v in change(*annotation["bbox"])]

    return edit


def both(*edits: Edit) -> Edit:
    def edit(annotation: dict[str, Any], row: int) -> None:
        for one in edits:
            one(annotation, row)

    return edit


def scaled(factor: float) -> Edit:
    return both(points(lambda p, b: p * factor), box(lambda *b: [v * factor for v in b]))


def missing_at(place: float) -> Edit:
    def edit(annotation: dict[str, Any], row: int) -> None:
        if row % 2:
            annotation["keypoints"][9:12] = [place, place, 2]

    return edit


LAST = SIDE - 1
KINDS: dict[str, tuple[Edit, str]] = {
    "missing is 0, 0": (missing_at(0), "one-place"),
    "missing is 1, 1": (missing_at(1), "one-place"),
    "missing is -1, -1": (missing_at(-1), "one-place"),
    "box holds none of its points": (box(lambda x, y, w, h: (2, 2, 12, 12)), "box-elsewhere"),
    "box as corners": (box(lambda x, y, w, h: (x, y, x + w, y + h)), "other-reading"),
    "box as centre and size": (box(lambda x, y, w, h: (x + w / 2, y + h / 2, w, h)), "other-reading"),
    "0..1": (scaled(1 / SIDE), "wrong-scale"),
    "points in 0..1": (points(lambda p, b: p / SIDE), "wrong-scale"),
    "percent": (scaled(100 / SIDE), "other-place"),
    "0..1000": (scaled(1000 / SIDE), "unreadable"),
    "of pictures half as large": (scaled(0.5), "other-place"),
    "of pictures twice as large": (scaled(2.0), "wrong-scale"),
    "points of pictures half as large": (points(lambda p, b: p / 2), "other-place"),
    "x and y exchanged in the points": (points(lambda p, b: p[:, ::-1]), "other-place"),
    "x and y exchanged": (
        both(points(lambda p, b: p[:, ::-1]), box(lambda x, y, w, h: (y, x, h, w))),
        "other-place",
    ),
    "y from the lower edge": (
        both(points(lambda p, b: p * [1, -1] + [0, LAST]), box(lambda x, y, w, h: (x, SIDE - y - h, w, h))),
        "other-place",
    ),
    "mirrored": (
        both(points(lambda p, b: p * [-1, 1] + [LAST, 0]), box(lambda x, y, w, h: (SIDE - x - w, y, w, h))),
        "other-place",
    ),
    "turned by 180 degrees": (points(lambda p, b: LAST - p), "other-place"),
    "points from the box's corner": (points(lambda p, b: p - b[:2]), "other-place"),
    "points as shares of the box": (points(lambda p, b: (p - b[:2]) / b[2:]), "wrong-scale"),
}


def check(root: Path, edit: Edit) -> dict[str, str]:
    document = json.loads((root / "clean.json").read_text())
    for row, annotation in enumerate(document["annotations"]):
        edit(annotation, row)
    path = root / "spoiled.json"
    path.write_text(json.dumps(document))
    return {f.code: f.message for f in check_dataset(path) if f.severity != "note"}


def test_clean_faces_are_silent(faces: Path) -> None:
    assert check(faces, lambda annotation, row: None) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found(faces: Path, kind: str) -> None:
    edit, code = KINDS[kind]
    found = check(faces, edit)
    assert code in found, found


def test_the_reading_is_named(faces: Path) -> None:
    assert "x and y exchanged" in check(faces, KINDS["x and y exchanged"][0])["other-place"]
    assert "mirrored left to right" in check(faces, KINDS["mirrored"][0])["other-place"]
    assert "half as large" in check(faces, KINDS["of pictures half as large"][0])["other-place"]
