"""The first kills of ``faults.py``: runs go on where they were, to the same bits.

Ctrl-C at random moments, and full disks, are for its long run; ``test_cli.py`` and ``test_bad_input.py`` have
both at chosen ones.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from faults import COMMANDS, run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills process groups")


@pytest.mark.slow
def test_nothing_is_lost_by_kills(tmp_path: Path) -> None:
    figures = run(tmp_path, kills=len(COMMANDS), others=0, per_life=1)
    assert sum(figures.kills.values()) == len(COMMANDS) and figures.kills.keys() == COMMANDS.keys()
    assert figures.resumed and not figures.harm, "\n".join(figures.harm)
