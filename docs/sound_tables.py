"""The tables of the page on sound and text: each sense alone, fused, shuffled in training, and broken.

Figures come from ``docs/results/sounds_text.json``, which ``benchmarks/sounds_text.py`` writes: one value a
film or a receipt; intervals and p are computed here by ``hybridkp.stats``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from trust_tables import _table

from hybridkp import stats

RESULTS = Path(__file__).parent / "results"
DASH = "–"


def _part(name: str) -> tuple[Any, str]:
    found = json.loads((RESULTS / "sounds_text.json").read_text(encoding="utf-8"))
    facts = found["provenance"]
    return found["parts"][name], f"{facts['date']}, {facts['machine']}, hybridkp {facts['hybridkp']}"


def _number(value: float, digits: int, sign: bool = False) -> str:
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def _mean(values: Any, digits: int, groups: Any = None) -> str:
    """Mean with its interval over groups."""
    found = stats.bootstrap_interval(values, groups)
    return " ".join(
        [_number(found.value, digits), f"[{_number(found.low, digits)}, {_number(found.high, digits)}]"]
    )


def _gap(values: Any, to: Any, digits: int, groups: Any = None) -> tuple[str, str]:
    """The paired difference to another, and p."""
    if values is to:
        return DASH, DASH
    found = stats.paired_difference(values, to, groups)
    ends = f"[{_number(found.low, digits, True)}, {_number(found.high, digits, True)}]"
    p = "< 0.001" if found.p < 0.001 else f"{found.p:.3f}"
    return f"{_number(found.difference, digits, True)} {ends}", p


def _split(methods: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Methods as they are, and those with something shuffled or broken."""
    own = [name for name in methods if "shuffled" not in name and "broken" not in name]
    return own, [name for name in methods if name not in own]


def command() -> str:
    found, made = _part("command")
    methods = found["methods"]
    own, changed = _split(methods)
    sound = np.array(methods["sound, SVM"]["windows"])
    lines = []
    for name in (*own, *changed):
        row = methods[name]
        windows = np.array(row["windows"])
        gap, p = _gap(100 * windows, 100 * sound, 1) if name != "sound, SVM" else (DASH, DASH)
        right = f"{sum(row['films'])} of {len(row['films'])}"
        lines.append([name, _mean(100 * windows, 1), right, f"{row['macro_f1']:.2f}", gap, p])
    head = ("sees", "windows right, %", "films right", "macro F1, films", "windows, to sound alone", "p")
    where = (
        f"GRID, {found['films']} films, each left out in turn, {found['windows']} windows each;"
        f" classes {', '.join(found['classes'])}; a film is what most of its windows say; {made};"
        " `python benchmarks/sounds_text.py --parts command`."
    )
    return f"{_table(head, lines)}\n\n*{where}*"


def lips() -> str:
    found, made = _part("lips")
    errors = found["errors"]
    own, changed = _split(errors["covered"])
    lines = []
    for name in (*own, *changed):
        cells = [_mean(errors[how][name], 2) if name in errors[how] else DASH for how in errors]
        image = errors["covered"]["image"]
        values = errors["covered"][name]
        gap, p = _gap(values, image, 2) if name != "image" else (DASH, DASH)
        lines.append([name, *cells, gap, p])
    head = ("sees", *errors, "covered, to image alone", "p")
    where = (
        f"GRID, {found['films']} films, {found['frames']} frames, films left out in folds; mean distance of"
        f" 20 points of the lips, % of the distance of the outer eye corners; {made};"
        " `python benchmarks/sounds_text.py --parts lips`."
    )
    return f"{_table(head, lines)}\n\n*{where}*"


def receipts() -> str:
    found, made = _part("receipts")
    methods, groups = found["methods"], np.array(found["groups"])
    own, changed = _split(methods)
    text, lines = methods["text"]["error"], []
    for name in (*own, *changed):
        row = methods[name]
        gap, p = _gap(row["error"], text, 1, groups) if name != "text" else (DASH, DASH)
        near = _mean(100 * np.array(row["within_10"]), 1, groups)
        shown = f"{name}<br>`{row['text']}`" if row["text"] else name
        lines.append([shown, _mean(row["error"], 1, groups), f"{row['median']:.1f}", near, gap, p])
    head = ("sees", "mean error, px", "median point, px", "within 10 px, %", "mean, to text alone", "p")
    where = (
        f"SROIE, {found['train']} receipts to fit, {found['val']} judged of {len(set(found['groups']))}"
        f" shops, crops of {found['crop']} px; px of the picture, 640 px high; {made};"
        " `python benchmarks/sounds_text.py --parts receipts`."
    )
    return f"{_table(head, lines)}\n\n*{where}*"
