"""The tables of the page on labels: planted errors found, OKS constants recovered, labels saved.

Figures come from ``docs/results/label_*.json``, which ``benchmarks/label_*.py`` write; only means, shares and
what random choice would need are computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from table_text import markdown, stored

KINDS = ("jumped", "reversed", "shifted", "exchanged")


def _made(found: Any, words: str) -> str:
    facts = found["provenance"]
    return f"\n\n*{words} {facts['date']}, {facts['machine']}, hybridkp {facts['hybridkp']}.*"


def _mean(values: Sequence[float], digits: int) -> str:
    """Mean, lowest and highest; one value as it is."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    low, high = min(values), max(values)
    return f"{np.mean(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def errors() -> str:
    """AUROC and precision of the score, and of the plain residual, over all draws."""
    found = stored("label_errors")
    rows = found["seeds"]
    lines = [
        [
            words,
            _mean([r[key]["auroc"] for r in rows], 3),
            _mean([r[key]["precision"] for r in rows], 2),
            *(f"{np.mean([r[key]['auroc_of'][kind] for r in rows]):.3f}" for kind in KINDS),
        ]
        for key, words in (("score", "the score"), ("plain", "largest residual, in its landmark's medians"))
    ]
    flagged, wrong, planted = (sum(r[k] for r in rows) for k in ("flagged", "flagged_wrong", "planted"))
    named, right = (sum(r[k] for r in rows) for k in ("named", "named_right"))
    seconds = max(r["cpu_seconds"] for r in rows)
    told = (
        f"{flagged} labels were called suspicious, {wrong} of the {planted} planted ones among them. Of these"
        f" {named} the kind and the landmarks were named rightly {right} times."
        f" {rows[0]['objects']} faces took at most {seconds:.0f} s of processor time."
    )
    head = ("ranked by", "AUROC", f"precision at {rows[0]['planted']}", *KINDS)
    where = f"faces68, {len(rows)} draws of {rows[0]['objects']} faces: mean (lowest to highest)."
    return f"{markdown(head, lines)}\n\n{told}{_made(found, where)}"


def sigmas() -> str:
    """Both routes against what was planted, or against the doctors."""
    found = stored("label_sigmas")
    lines = []
    words = {"faces": "drawn faces, planted", "ceph_two": "X-rays, two doctors"}
    routes = {"twice": "labels made twice", "residuals": "residuals"}
    for part, title in words.items():
        row = found["parts"][part]
        truth = np.array(row["planted"] or row["twice"])
        for route, name in routes.items():
            if route == "twice" and not row["planted"]:
                continue
            off = np.log(np.array(row[route]) / truth)
            within = [f"{int((np.abs(off) < np.log(f)).sum())} of {len(off)}" for f in (1.2, 1.3)]
            lines.append([title, name, f"{np.exp(off.mean()):.2f}", *within])
    head = ("data", "from", "times the truth, geometric mean", "landmarks within 20 %", "within 30 %")
    facts = ", ".join(
        f"{k}: {found['parts'][k]['objects']} objects, crops of {found['parts'][k]['crop']} px" for k in words
    )
    return f"{markdown(head, lines)}{_made(found, f'{facts}.')}"


def doctors() -> str:
    """Each landmark's error beside how far two doctors are apart, the greatest disagreement first."""
    found = stored("label_sigmas")
    row = found["parts"]["doctors"]
    apart = {name: np.array(values) for name, values in row["apart"].items()}
    second = apart["second doctor"]
    lines = []
    for k in np.argsort(-second):
        near = {name: " ✓" if v is not second and v[k] <= second[k] else "" for name, v in apart.items()}
        lines.append([row["landmarks"][k], *(f"{v[k]:.1f}{near[name]}" for name, v in apart.items())])
    lines.append(["**mean**", *(f"**{v.mean():.1f}**" for v in apart.values())])
    head = ("landmark", *(name if name == "second doctor" else f"`{name}`" for name in apart))
    where = (
        f"ceph_two, {row['learned']} X-rays to learn from, {row['objects']} judged,"
        f" crops of {row['crop']} px; px of a picture"
        " 600 px high. ✓: no further from the first doctor than the second one is."
    )
    return f"{markdown(head, lines)}{_made(found, where)}"


def suggestions() -> str:
    """The error after so many labels by each way, and how many random ones give the same."""
    found, lines = stored("label_suggest"), []
    titles = {"faces68": "faces68", "faces": "drawn faces"}
    for name, seeds in found["sets"].items():
        chance = {n: np.mean([s["by chance"][n] for s in seeds.values()]) for n in _first(seeds)["by chance"]}
        for way in _first(seeds):
            rows = [s[way] for s in seeds.values() if way in s]
            cells = []
            for n in ("120", "180"):
                error = float(np.mean([r[n] for r in rows]))
                cells += [_mean([r[n] for r in rows], 2), "" if way == "by chance" else _needs(error, chance)]
            lines.append([f"{titles.get(name, name)}, {way}", str(len(rows)), *cells])
    head = ("choice", "draws", "NME, % at 120", "random needs", "NME, % at 180", "random needs")
    where = f"`{found['method']}`, from 60 labels chosen by chance: mean (lowest to highest draw)."
    return f"{markdown(head, lines)}{_made(found, where)}"


def _first(mapping: Any) -> Any:
    return next(iter(mapping.values()))


def _needs(error: float, chance: dict[str, float]) -> str:
    """How many random labels give that error, between the sizes that were tried."""
    sizes, errors = np.log([float(n) for n in chance]), np.log(list(chance.values()))
    if np.log(error) > errors.max():
        return f"under {np.exp(sizes.min()):.0f}"
    if np.log(error) < errors.min():
        return f"over {np.exp(sizes.max()):.0f}"
    return f"{np.exp(np.interp(-np.log(error), -errors, sizes)):.0f}"
