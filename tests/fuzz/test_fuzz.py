"""A short run of the harness; the long one is a command (see ``harness.py``)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import harness


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory as Linux has them")
def test_no_file_does_harm(tmp_path: Path) -> None:
    found = harness.run(400, tmp_path, keep=tmp_path / "kept")
    assert found["failures"] == []
    assert found["attacks"]["cases"] > 100
    for target, counts in found["targets"].items():
        n = counts["cases"]
        assert n == 40, target
        assert counts["past the header"] >= n / 5, f"{target}: the damage ends at the door: {counts}"
        assert counts["accepted"] + counts["library errors"] == n
