"""The tables of the page on sound and text: each sense alone, fused, shuffled in training, and broken.

Figures come from ``docs/results/sounds_text.json``, which ``benchmarks/sounds_text.py`` writes: one value a
film or a receipt; intervals and p are computed here by ``hybridkp.stats``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from table_text import markdown, stored

from hybridkp import stats

DASH = "–"
BROKEN, WORST = " broken: ", 1.02  #: times worse than the other sense alone, that a broken one may cost
WAYS = ("zeros", "noise", "another's")
#: part -> unit, and sense -> the method that sees the other one alone
_ALONE = {
    "command": ("% right", {"lips": "sound, SVM", "sound": "lips, SVM"}),
    "mouth": ("% right", {"image": "sound", "sound": "image"}),
    "lips": ("% off", {"image": "sound", "sound": "image"}),
    "receipts": ("px", {"words": "image", "image": "text"}),
}


def _part(name: str) -> tuple[Any, str]:
    found = stored("sounds_text")
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
    found = stats.paired_difference(values, to, groups)
    ends = f"[{_number(found.low, digits, True)}, {_number(found.high, digits, True)}]"
    p = "< 0.001" if found.p < 0.001 else f"{found.p:.3f}"
    return f"{_number(found.difference, digits, True)} {ends}", p


def _whole(methods: dict[str, Any]) -> list[str]:
    """Methods whose senses all work; those that learned with a shuffled one come last."""
    names = [name for name in methods if BROKEN not in name]
    return sorted(names, key=lambda name: "shuffled" in name)


def command() -> str:
    found, made = _part("command")
    methods = found["methods"]
    sound = np.array(methods["sound, SVM"]["windows"])
    lines = []
    for name in _whole(methods):
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
    return f"{markdown(head, lines)}\n\n*{where}*"


def lips() -> str:
    found, made = _part("lips")
    errors = found["errors"]
    lines = []
    for name in _whole(errors["covered"]):
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
    return f"{markdown(head, lines)}\n\n*{where}*"


def mouth() -> str:
    found, made = _part("mouth")
    methods, lines = found["methods"], []
    sound = 100 * np.array(methods["sound"]["right"])
    for name in _whole(methods):
        right = 100 * np.array(methods[name]["right"])
        gap, p = _gap(right, sound, 1) if name != "sound" else (DASH, DASH)
        lines.append([name, _mean(right, 1), f"{methods[name]['macro_f1']:.2f}", gap, p])
    head = ("sees", "frames right, %", "macro F1", "frames, to sound alone", "p")
    where = (
        f"GRID, {found['films']} films, {found['frames']} frames, the mouth covered, films left out in folds;"
        f" classes open and closed; {made}; `python benchmarks/sounds_text.py --parts mouth`."
    )
    return f"{markdown(head, lines)}\n\n*{where}*"


def _values(part: str) -> tuple[dict[str, float], bool]:
    """Method -> mean over groups of its error, or of what it has right, and whether more is better."""
    found = _part(part)[0]
    if part == "lips":
        return {name: float(np.mean(v)) for name, v in found["errors"]["covered"].items()}, False
    key = {"command": "windows", "mouth": "right", "receipts": "error"}[part]
    share = part != "receipts"
    return {n: float(np.mean(m[key])) * (100 if share else 1) for n, m in found["methods"].items()}, share


def broken() -> str:
    """One sense broken when it is asked: each fused method beside the other sense alone."""
    cells: dict[tuple[str, str, str, str], dict[str, str]] = {}
    for part, (unit, alone) in _ALONE.items():
        values, more = _values(part)
        for name, value in values.items():
            left, told, how = name.partition(BROKEN)
            method, _, sense = left.rpartition(", ")
            if told:
                other = values[alone[sense]]
                times = other / value if more else value / other
                row = part, method, sense, f"{other:.1f} {unit}"
                cells.setdefault(row, {})[how] = f"{times:.2f}" + ("" if times <= WORST else " ✗")
    lines = [[*row, *(found.get(how, DASH) for how in WAYS)] for row, found in cells.items()]
    head = ("task", "method", "broken", "the other sense alone", *(f"{how}, times worse" for how in WAYS))
    note = (
        f"✗: more than {WORST:g} times. Of errors: over the other's; of what is right: the other's over it."
        f" *{_part('receipts')[1]}; `python benchmarks/sounds_text.py`;"
        " [every value](results/sounds_text.json).*"
    )
    return f"{markdown(head, lines, left=3)}\n\n{note}"


def receipts() -> str:
    found, made = _part("receipts")
    methods, groups = found["methods"], np.array(found["groups"])
    text, lines = methods["text"]["error"], []
    for name in _whole(methods):
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
    return f"{markdown(head, lines)}\n\n*{where}*"
