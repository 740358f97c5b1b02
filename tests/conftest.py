"""Shared fixtures: where the real data lie, and quiet native threads."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import pytest

cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of the real data sets; the test is skipped, saying why, where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("HYBRIDKP_DATA", default))
    if not root.is_dir():
        pytest.skip(f"no real data at {root}: set HYBRIDKP_DATA")
    return root
