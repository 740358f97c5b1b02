"""The tables of presence, covariance and turned objects, from ``docs/results``; nothing is computed here.

``python benchmarks/presence.py``, ``benchmarks/covariance.py`` and ``benchmarks/turned.py`` measure.
"""

from __future__ import annotations

from typing import Any

from table_text import markdown, stored

NAMES = {"faces68": "faces", "synthetic": "drawn faces", "bees32": "bees"}


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


def turned() -> str:
    """Errors at some angles, without and with the step ``upright``: two lines for each method on each set."""
    document = stored("turned")
    shown = (0, 45, 90, 180)
    headings = ["data", "method", *(f"{angle}°" for angle in shown)]
    headings += ["all angles [95 %]", "worst / own upright", "if told", "failed, %"]
    headings += ["time, upright", "time, turned"]
    lines = []
    for name, part in document["sets"].items():
        for row in part["methods"]:
            own = row["plain"]["error"][0]
            first, *others = row["time"]
            times = [f"{ratio:.2f}" for ratio in (first, sum(others) / len(others))]
            told = f"{max(row['exact']['error']) / own:.2f}"
            for kind, steps, took in (("plain", "", ["–"] * 3), ("upright", row["steps"], [told, *times])):
                found = row[kind]
                at = dict(zip(row["angles"], found["error"], strict=True))
                value, low, high = found["all"]
                lines.append(
                    [
                        NAMES.get(name, name),
                        f"`{row['method']}{steps}`",
                        *(f"{at[angle]:.1f}" for angle in shown),
                    ]
                    + [f"{value:.1f} [{low:.1f}, {high:.1f}]", f"{max(found['error']) / own:.2f}", took[0]]
                    + [f"{100 * sum(found['failed']) / len(found['failed']):.1f}"]
                    + took[1:]
                )
    return f"{markdown(headings, lines, 2)}\n\n{_told(document, 'turned')}"
