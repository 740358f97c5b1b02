"""Shared fixtures: where the real data lie, and quiet native threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

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
