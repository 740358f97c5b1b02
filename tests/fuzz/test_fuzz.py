"""A short run of the harness; the long one is a command (see ``harness.py``)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import harness  # noqa: E402


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory as Linux has them")
def test_no_file_does_harm(tmp_path: Path) -> None:
    found = harness.run(420, tmp_path, keep=tmp_path / "kept")
    assert found["failures"] == []
    for target, counts in found["counts"].items():
        n = sum(counts.values())
        assert n >= 60 and counts["ok"] >= n / 20, f"{target}: the damage ends at the door: {counts}"
