"""Shared fixtures: where the real data lie, a small data set of rings, and quiet native threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

cv2.setNumThreads(1)


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """Small networks are quickest on one thread, and one thread adds up in one order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of the real data sets; the test is skipped, saying why, where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("HYBRIDKP_DATA", default))
    if not root.is_dir():
        pytest.skip(f"no real data at {root}: set HYBRIDKP_DATA")
    return root


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of points run in this process: quick, and an interruption can be staged."""
    from hybridkp.evaluate import bench_points, processes

    def run_all(jobs: Any, run: Any, n_workers: int, tell: Any, places: Any) -> Iterator[Any]:
        for job in jobs:
            tell("start", job.method, job.seed, "")
            try:
                run(job)
                yield job, None
            except Exception as error:
                yield job, error

    monkeypatch.setattr(processes, "_run_all", run_all)
    monkeypatch.setattr(bench_points, "run_pairs", bench_points._do)


@pytest.fixture
def rings(tmp_path: Path) -> str:
    """A COCO folder of rings."""
    from hybridkp.checks import ring_samples
    from hybridkp.datasets import FORMATS
    from hybridkp.structures import Dataset

    folder = tmp_path / "rings"
    (folder / "images").mkdir(parents=True)
    coco = next(row for row in FORMATS if row.name == "coco")
    for split, n, seed in (("train", 12, 0), ("val", 4, 1)):
        samples = [replace(s, name=f"{split}_{s.name}") for s in ring_samples(n, seed)]
        for sample in samples:
            cv2.imwrite(str(folder / "images" / sample.name), sample.image)
        coco.write(Dataset("rings", ("middle",), tuple(samples), category="ring"), folder, split)
    return str(folder)
