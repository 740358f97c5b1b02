"""The tables of presence, from ``docs/results/presence.json``; nothing is computed here.

``python benchmarks/presence.py`` measures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "presence.json"
NAMES = {"faces68": "faces", "synthetic": "drawn faces"}


def presence() -> str:
    """What is taken for an object though it is none, at 95 % recall: a line for each method on each set."""
    document: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    kinds = ("background", "halves", "other objects")
    headings = [
        "data",
        "method",
        *(f"{kind}, %" for kind in kinds),
        "by scores alone, %",
        "recall at ½, %",
        "time",
    ]
    lines = []
    for name, part in document["sets"].items():
        for row in part["methods"]:
            found = [row["kinds"].get(kind) for kind in kinds]
            cells = [f"{100 * each['accepted']:.1f}" if each else "–" for each in found]
            alone = [f"{100 * each['accepted_by_score']:.0f}" if each else "–" for each in found]
            lines.append(
                [NAMES.get(name, name), f"`{row['method']}`", *cells, ", ".join(alone)]
                + [f"{100 * row['recall_at_half']:.1f}", f"{row['time_ratio']:.2f}"]
            )
    rule = [":---"] * 2 + ["---:"] * (len(headings) - 2)
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, rule, *lines))
    sets = document["sets"].items()
    trained = ", ".join(f"{NAMES.get(name, name)}: {part['train']} pictures" for name, part in sets)
    judged = ", ".join(f"{part['methods'][0]['objects']}" for _, part in sets)
    about = document["provenance"]
    return (
        f"{table}\n\n*Trained on {trained}; judged on {judged}; faces are of faces68 (300-W's training sets)."
        f" {about['machine']}, {about['date']}. `python benchmarks/presence.py`;"
        " [every figure](results/presence.json).*"
    )
