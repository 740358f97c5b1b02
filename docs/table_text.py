"""What every table of the pages needs: its stored values, and Markdown.  No figure is made here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def stored(name: str) -> Any:
    """What ``docs/results/NAME.json`` holds."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def markdown(headings: Sequence[str], lines: Sequence[Sequence[str]], left: int | Sequence[int] = 1) -> str:
    """A table; ``left``: which columns are words, or how many of the first are."""
    words = range(left) if isinstance(left, int) else left
    rule = [":---" if i in words else "---:" for i in range(len(headings))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, rule, *lines))
