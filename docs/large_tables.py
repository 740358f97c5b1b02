"""The tables of the page on large data, from ``docs/results/large_data.json``; nothing is computed here.

``python benchmarks/large_data.py`` measures.
"""

from __future__ import annotations

from typing import Any

from table_text import markdown, stored


def _told(document: dict[str, Any], what: str, command: str) -> str:
    loads = [row["load"] for row in document["rows"]]
    return (
        f"*{what} One thread, {document['machine']}, {document['date']}; times are of the processor, while"
        f" others loaded the machine with {min(loads):g} to {max(loads):g} per core. `{command}`;"
        " [every figure](results/large_data.json).*"
    )


def training() -> str:
    """Processor time of an object and peak memory: a line for each kind of method, columns for N objects."""
    document = stored("large_data")
    rows = {(row["what"], row["n"]): row for row in document["rows"] if row["what"] != "check"}
    numbers = sorted({n for _, n in rows})
    headings = ["what"]
    for n in numbers:
        headings += [f"{n:,}: ms each", "MB"]
    lines = []
    for what in dict.fromkeys(what for what, _ in rows):
        found = [rows.get((what, n)) for n in numbers]
        taught = min(
            (row["taught"] for row in found if row and row.get("taught", row["n"]) < row["n"]), default=0
        )
        cells = [what + (f", from a sample of {taught:,}" if taught else "")]
        for row in found:
            cells += ["–", "–"] if row is None else [f"{row['ms_each']:.2f}", f"{row['peak_mb']:,}"]
        lines.append(cells)
    faces = f"{document['faces']} drawn faces again and again, each time another crop of 128 px, in colour,"
    told = _told(document, f"{faces} mirrored too.", "python benchmarks/large_data.py")
    return f"{markdown(headings, lines)}\n\n{told}"


def checking() -> str:
    """Seconds and memory of reading and of checking annotations."""
    document = stored("large_data")
    lines = [
        [f"{row['n']:,}", f"{row['load_s']:.1f}", f"{row['seconds']:.1f}", f"{row['ms_each']:.2f}"]
        + [f"{row['peak_mb']:,}"]
        for row in document["rows"]
        if row["what"] == "check"
    ]
    headings = ["annotations", "read, s", "checked, s", "ms each", "MB"]
    people = "People of 17 points, two in a picture of 96 x 72 px; checking reads them anew."
    told = _told(document, people, "python benchmarks/large_data.py --only check")
    return f"{markdown(headings, lines)}\n\n{told}"
