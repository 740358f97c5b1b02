"""The tables of presence and covariance, from ``docs/results``; nothing is computed here.

``python benchmarks/presence.py`` and ``python benchmarks/covariance.py`` measure.
"""

from __future__ import annotations

from typing import Any

from table_text import markdown, stored

NAMES = {"faces68": "faces", "synthetic": "drawn faces"}


def _told(document: dict[str, Any], name: str) -> str:
    trained = ", ".join(f"{part['train']} {NAMES.get(k, k)}" for k, part in document["sets"].items())
    about = document["provenance"]
    return (
        f"*Trained on {trained}, judged on others; faces are those of faces68 (300-W's training sets)."
        f" {about['machine']}, {about['date']}. `python benchmarks/{name}.py`;"
        f" [every figure](results/{name}.json).*"
    )


def presence() -> str:
    """What is taken for an object though it is none, at 95 % recall: a line for each method on each set."""
    document = stored("presence")
    kinds = ("background", "halves", "other objects")
    headings = ["data", "method", *(f"{kind}, %" for kind in kinds), "by scores, %", "recall at ½, %"]
    lines = []
    for name, part in document["sets"].items():
        for row in part["methods"]:
            found = [row["kinds"].get(kind) for kind in kinds]
            cells = [f"{100 * each['accepted']:.1f}" if each else "–" for each in found]
            alone = [f"{100 * each['accepted_by_score']:.0f}" if each else "–" for each in found]
            lines.append(
                [NAMES.get(name, name), f"`{row['method']}`", *cells, ", ".join(alone)]
                + [f"{100 * row['recall_at_half']:.1f}"]
            )
    return f"{markdown(headings, lines, 2)}\n\n{_told(document, 'presence')}"


def covariance() -> str:
    """How many points lie within their ellipses: a line for each method on each set."""
    document = stored("covariance")
    levels = [f"{100 * level:g} %" for level in document["levels"]]
    headings = ["data", "method", *(f"within {level}, % [95 %]" for level in levels), "radius, px", "rank"]
    lines = []
    for name, part in document["sets"].items():
        for row in part["methods"]:
            held = [f"{100 * m:.1f} [{100 * low:.1f}, {100 * high:.1f}]" for m, low, high in row["coverage"]]
            lines.append(
                [NAMES.get(name, name), f"`{row['method']}`", *held]
                + [f"{row['median_radius_px']:.2f}", f"{row['rank_correlation']:.2f}"]
            )
    return f"{markdown(headings, lines, 2)}\n\n{_told(document, 'covariance')}"
