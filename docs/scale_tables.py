"""The tables of the page on several scales and of made pictures, from ``docs/results``.

``python benchmarks/scales.py`` and ``python benchmarks/generated.py`` measure; intervals and tests are
computed here, by ``hybridkp.stats``, from each object's value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from table_text import markdown, stored

from hybridkp import stats

FUSIONS = ("one level", "concat", "average", "weights", "product", "concat, pca")
LEVEL = 0.05
DASH = "–"


def _paired(a: Any, b: Any, groups: Any) -> stats.PairedDifference:
    return stats.paired_difference(np.array(a, float), np.array(b, float), groups)


def classical(name: str) -> str:
    """One level against several, a line for each descriptor and classifier, a column for each fusion."""
    document = stored(name)
    figure, groups = document["figure"], document["groups"]
    rows = {(r["descriptor"], r["classifier"], r["fusion"]): r for r in document["rows"]}
    apart, lines = {}, []
    for (d, c, fusion), row in rows.items():
        if fusion != FUSIONS[0]:
            apart[d, c, fusion] = _paired(row["values"], rows[d, c, FUSIONS[0]]["values"], groups)
    p = dict(zip(apart, stats.holm([found.p for found in apart.values()]), strict=True))
    for d, c in dict.fromkeys((d, c) for d, c, _ in rows):
        cells = [f"`{d}+{c}`"]
        for fusion in FUSIONS:
            row = rows.get((d, c, fusion))
            if row is None:
                cells.append(DASH)
                continue
            sign = ""
            if (d, c, fusion) in apart and p[d, c, fusion] < LEVEL:
                sign = " **+**" if apart[d, c, fusion].difference < 0 else " −"
            mean = np.nanmean(np.array(row["values"], float))
            cells.append(f"{mean:.{figure['digits']}f}{sign} ({row['ms_ratio']:g})")
        lines.append(cells)
    about = document["provenance"]
    told = (
        f"*{figure['title']}, {figure['unit']}; in brackets the time as a ratio to `hog+svm`. **+** better"
        " and − worse than one level: told apart by a paired test, corrected by Holm over the table."
        f" {about['data']}; {about['date']};"
        f" {about['machine']}; `{about['command']}`; [every value](results/{name}.json).*"
    )
    return f"{markdown(['method', *FUSIONS], lines, 1)}\n\n{told}"


def generated(name: str) -> str:
    """Made pictures beside plain augmentation: differences to it at each number of labelled pictures."""
    document = stored(name)
    groups, lines = document["groups"], []
    of: dict[tuple[int, str], list[Any]] = {}
    for row in document["rows"]:
        of.setdefault((row["pictures"], row["made"]), []).append(np.array(row["values"], float))
    values = {key: np.mean(found, axis=0) for key, found in of.items()}
    for (size, made), found in values.items():
        own = stats.bootstrap_interval(found, groups)
        cells = [str(size), made, f"{own.value:.2f} [{own.low:.2f}, {own.high:.2f}]"]
        gap = DASH
        if made != "plain":
            d = _paired(found, values[size, "plain"], groups)
            gap = f"{d.difference:+.2f} [{d.low:+.2f}, {d.high:+.2f}]".replace("-", "−")
        lines.append([*cells, gap])
    about = document["provenance"]
    seeds = ", ".join(sorted({str(row["seed"]) for row in document["rows"]}))
    told = (
        f"*{about['data']} val: {len(groups)} objects judged; `{about['method']}`, {about['budget']};"
        f" seed {seeds}; {about['date']}; {about['machine']}; `{about['command']}`;"
        f" [every value](results/{name}.json).*"
    )
    heads = ["labelled pictures", "made besides", "NME, % [95 %]", "minus plain, points [95 %]"]
    return f"{markdown(heads, lines, 2)}\n\n{told}"
