"""A short run of the harness; the long one is a command (see ``harness.py``)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import harness


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory as Linux has them")
def test_no_file_does_harm(tmp_path: Path) -> None:
    found = harness.run(200, tmp_path, keep=tmp_path / "kept")
    assert found["failures"] == []
    assert found["attacks"]["cases"] > 100
    for target, counts in found["targets"].items():
        assert counts["cases"] == counts["accepted"] + counts["library errors"] == 20, target
        assert counts["past the header"] > 0, f"{target}: the damage ends at the door"
    assert sum(counts["past the header"] for counts in found["targets"].values()) > 100
