"""The tables of the page on senses: depth beside the picture, in the dark, and where one of them fails.

Figures come from ``docs/results/senses.json``, which ``benchmarks/senses.py`` writes; differences and
intervals are computed here, over people, by ``hybridkp.stats``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from table_text import markdown, stored

from hybridkp import stats

FAMILIES = ("hog+ridge", "sdm", "heatmap")
SHUFFLED = "trained on shuffled depth"
NETS = "epoch_pictures=240,input_px=64,max_epochs=12"  #: settings of all networks
WORST = 1.02  #: times the error of the other sense alone, that a broken one may cost
_WHAT = {
    "image": "the picture alone",
    "depth": "depth alone",
    "early": "both, early",
    "early, no dropout": "both, early, without dropout",
    "late": "both, late",
    "gate": "both, through a gate",
}


def _read(part: str) -> Any:
    found = stored("senses")
    return found[part], found["provenance"]


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _apart(runs: Any, what: str, base: str, condition: str, groups: Any) -> str:
    found = stats.paired_difference(
        np.array(runs[what][condition]), np.array(runs[base][condition]), np.array(groups)
    )
    return f"{_signed(found.difference)} [{_signed(found.low)}, {_signed(found.high)}]"


def _short(expression: str) -> str:
    """An expression without the settings that all networks of the page have."""
    return expression.replace(f"[{NETS}]", "").replace(f"{NETS},", "")


def _told(about: Any, provenance: Any) -> str:
    chosen = ", ".join(f"{name} {value:.2f}" for name, value in about["on_folds"].items())
    people = len(set(about["groups"]))
    nets = f" networks of `{NETS}`;" if NETS in about["methods"]["image"] else ""
    return (
        f"*{about['n_train']} pictures to learn from, {about['n_val']} of {people} other people to judge,"
        f" crops of 96 px;{nets} {about['planes']} stand for depth, as folds of the training pictures have it"
        f" ({chosen}); {provenance['date']}, `{provenance['command']}`; [every value](results/senses.json).*"
    )


def faces(family: str) -> str:
    """Daylight and dark, against the better of the two senses alone; and the control."""
    about, provenance = _read(f"faces-{family}")
    runs, lines = about["runs"], []
    best = {c: min(("image", "depth"), key=lambda w: _mean(runs[w][c])) for c in ("daylight", "dark")}
    for what, expression in about["methods"].items():
        own = runs[what]
        line = [_WHAT[what], f"`{_short(expression)}`"]
        for condition in ("daylight", "dark"):
            line.append(f"{_mean(own[condition]):.2f}")
            single = best[condition]
            line.append("" if what == single else _apart(runs, what, single, condition, about["groups"]))
        line.append(f"{_mean(own['dark']) / _mean(runs['image']['dark']):.2f}")
        line.append(f"{_mean(own[SHUFFLED]):.2f}" if SHUFFLED in own else "")
        lines.append(line)
    headings = ["sees", "method", "daylight, %", "against the better alone [95 %]"]
    headings += ["dark, %", "against the better alone [95 %]", "times the picture alone", SHUFFLED + ", %"]
    return f"{markdown(headings, lines, left=2)}\n\n{_told(about, provenance)}"


def broken(family: str) -> str:
    """One sense broken at test time: the error over that of the other sense alone."""
    about, provenance = _read(f"faces-{family}")
    runs, lines = about["runs"], []
    whats = [what for what in about["methods"] if what not in ("image", "depth")]
    for condition in (c for c in runs["image"] if ": " in c):
        sense = condition.partition(":")[0]
        other = "depth" if sense == "image" else "image"
        base = _mean(runs[other][condition])
        line = [condition, f"{_mean(runs[sense][condition]):.2f}", f"{base:.2f}"]
        for what in whats:
            ratio = _mean(runs[what][condition]) / base
            line.append(f"{ratio:.2f}" + ("" if ratio <= WORST else " ✗"))
        lines.append(line)
    headings = ["what is broken", "it alone, %", "the other alone, %"]
    headings += [f"{_WHAT[what]}, times that" for what in whats]
    return f"{markdown(headings, lines)}\n\n✗: more than {WORST:g} times. {_told(about, provenance)}"


def kitchen() -> str:
    """Each stretch of film left out in turn."""
    about, provenance = _read("kitchen")
    names, lines = list(about["groups"]), []
    for family, runs in (about["runs"] | _read("kitchen-forest")[0]["runs"]).items():
        for what, values in runs.items():
            better = int((np.array(values) < np.minimum(runs["image"], runs["depth"])).sum())
            won = "" if what in ("image", "depth") else f"{better} of {len(names)}"
            px = [f"{v:.0f}" for v in values]
            lines.append([f"`{family}`", _WHAT[what], *px, f"{np.mean(values):.1f}", won])
    headings = ["method", "sees", *names, "mean, px", "better than both alone"]
    fit, count = about["registration"], sum(about["groups"].values())
    told = (
        f"*{count} pictures of one kitchen (7-Scenes, red kitchen; labels made by matching), each stretch of"
        " film left out in turn; mean error in px of pictures of 320 x 240; normals stand for depth, with"
        " `rows` distances on a grid."
        f" Landmarks that were found lie {fit['projected_px']:g} px (median) from where pose and cameras"
        f" put them; their depth differs from that by {fit['registered_mm']:g} mm once registered, by"
        f" {fit['unregistered_mm']:g} mm before. {provenance['date']}, `{provenance['command']}`;"
        " [every value](results/senses.json).*"
    )
    return f"{markdown(headings, lines, left=2)}\n\n{told}"


TABLES = {
    f"senses-{kind}-{family}": partial(make, family)
    for family in FAMILIES
    for kind, make in (("faces", faces), ("broken", broken))
}
TABLES["senses-kitchen"] = kitchen
