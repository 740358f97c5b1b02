"""Writes the tables of the results pages, from ``docs/results/*.json`` and from nothing else.

A page says where a table stands and what it is of, between two comments, and this script fills in what is
between them::

    <!-- results: table faces68 -->
    <!-- /results -->

``table NAME`` is every method of one run; ``summary NAME`` what it shows, in words; ``against NAME METHOD
[KIND]`` the paired difference of each method, or each of a kind, to one; ``side-by-side NAME,NAME
METHOD METHOD ...`` a few methods on several sets; ``truth GIVEN AGAIN METHOD ...`` what the given
homographies are worth by sequence, and methods under both; ``choose NAME,NAME`` the best of each kind on each
set; ``choose-time NAME``, ``choose-turned NAME`` and ``choose-objects NAME,NAME`` what that page says of
time, of turned pictures and of several objects; ``networks NAME`` a run of networks with what each costs;
``finders NAME`` and ``whole NAME`` a bench of finders, with the figures that were stored; ``doors`` which
exported file holds which method; ``times NAME`` how long exported models take, beside another run's figure
of the same methods; ``taught NAME`` what a teacher is worth to a quick network;
``curves NAME`` methods over numbers of training pictures; ``levels NAME`` and ``generated NAME`` those of
``scale_tables.py``; ``presence`` what is taken for an object though it
is none; ``covariance`` how many points their ellipses hold;
``turned`` errors of turned objects;
``tracking NAME`` a tracker on films; ``trust-...``, ``label-...`` and ``large-...`` the tables of
``trust_tables.py``, ``label_tables.py`` and ``large_tables.py``; ``views-...`` and ``lifting`` those of
``view_tables.py``; ``senses-...`` those of ``senses_tables.py``; ``heard-...`` and ``read-...`` those of
``sound_tables.py``; ``film-memory``, ``jitter``, ``actions... NAME`` and ``verification`` those of
``film_tables.py``.  Every other figure, interval and letter is computed here, from the stored value of each
object, by ``hybridkp.stats``: two pages cannot give two figures.
Each table ends in one line that says where it comes from.

    python docs/tables.py            write them
    python docs/tables.py --check    fail where a page is not up to date
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import film_tables
import label_tables
import large_tables
import numpy as np
import presence_tables
import scale_tables
import senses_tables
import sound_tables
import trust_tables
import view_tables
from table_text import markdown, stored

from hybridkp import stats

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"(<!-- results: (?P<what>[^\n]*?) -->\n).*?(<!-- /results -->)", re.DOTALL)
FAILURE = 8.0  #: %, above which a face counts as failed
DASH = "–"
TWIN = " from drawn"  #: ends the name of a network that first learned drawn faces
WORDS = "[What the words mean](glossary.md)."  #: ends the line under every table
_SHORT = "[epoch_pictures=240,input_px=160,max_epochs=10]"  #: of a finder's name, left out of a small table
CHOICES = ("classical", "deep", "hybrid")  #: kinds that a reader chooses from
COSTS = ("parameters", "multiply_adds", "ms_ratio", "epochs", "by_seed")


@dataclass(frozen=True)
class Figure:
    """One figure of a run: how it is called and written, and which way is better."""

    key: str
    title: str
    unit: str
    digits: int
    lower_is_better: bool

    def text(self, value: float, sign: bool = False) -> str:
        if not np.isfinite(value):
            return DASH
        out = f"{value:{'+' if sign else ''}.{self.digits}f}"
        return out.replace("-", "−")

    def interval(self, found: stats.Interval | stats.PairedDifference | stats.PairedComparison) -> str:
        """Value with its interval; a difference has a sign."""
        sign = not isinstance(found, stats.Interval)
        value = found.value if isinstance(found, stats.Interval) else found.difference
        return f"{self.text(value, sign)} [{self.text(found.low, sign)}, {self.text(found.high, sign)}]"

    @property
    def heading(self) -> str:
        return f"{self.title}, {self.unit}" if self.unit else self.title


@dataclass(frozen=True, eq=False)
class Method:
    """One row of a run; ``values`` of each figure are (B,), NaN where there is none."""

    name: str
    kind: str
    model_bytes: int
    costs: dict[str, Any]  #: of a network: parameters, multiply_adds, ms_ratio, epochs, and means by_seed
    fit_seconds: float
    values: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Run:
    """One file of ``docs/results``; the first figure leads."""

    name: str
    provenance: dict[str, str]
    figures: tuple[Figure, ...]
    groups: np.ndarray
    methods: tuple[Method, ...]

    @property
    def head(self) -> Figure:
        return self.figures[0]

    def method(self, name: str) -> Method | None:
        return next((m for m in self.methods if m.name == name), None)

    def interval(self, method: Method, key: str) -> stats.Interval:
        return stats.bootstrap_interval(method.values[key], self.groups)

    def leading(self, method: Method) -> str:
        """The leading figure of a method as text."""
        return self.head.interval(self.interval(method, self.head.key))

    @cached_property
    def comparisons(self) -> list[stats.PairedComparison]:
        """Every pair on the leading figure, the better one first."""
        rows = self.ranked()
        return stats.compare_all(
            [m.name for m in rows],
            [m.values[self.head.key] for m in rows],
            self.groups,
        )

    def ranked(self) -> list[Method]:
        """Best first; ties by name."""
        sign = 1 if self.head.lower_is_better else -1
        return sorted(self.methods, key=lambda m: (sign * np.nanmean(m.values[self.head.key]), m.name))


@cache
def read(name: str) -> Run:
    document = stored(name)
    figures = tuple(Figure(key, **facts) for key, facts in document["figures"].items())
    methods = tuple(
        Method(
            name=row["method"],
            kind=row["kind"],
            model_bytes=row["model_bytes"],
            costs={key: row[key] for key in COSTS if key in row},
            fit_seconds=np.nan if row["fit_seconds"] is None else row["fit_seconds"],
            values={key: np.array(v, float) for key, v in row["values"].items()},  # null is NaN
        )
        for row in document["methods"]
    )
    return Run(name, document["provenance"], figures, np.array(document["groups"]), methods)


# --------------------------------------------------------------------------------------------
# what a page may ask for
# --------------------------------------------------------------------------------------------


def table(name: str) -> str:
    """Every method of a run, best first, with intervals and the letters of what no test tells apart."""
    run = read(name)
    rows, head = run.ranked(), run.head
    letters = stats.letter_display([m.name for m in rows], run.comparisons)
    learned = any(m.model_bytes >= 0 for m in rows)
    timed = any(np.isfinite(m.fit_seconds) for m in rows)
    failures = head.unit == "%" and head.lower_is_better
    headings = ["method", "kind", f"{head.heading} [95 %]", "same"]
    headings += [f"failures > {FAILURE:g} %, %"] if failures else []
    headings += [f"{f.heading} [95 %]" for f in run.figures[1:]]
    headings += ["model, MB"] * learned + ["fit, s"] * timed
    lines = []
    for m in rows:
        line = [f"`{m.name}`", m.kind, run.leading(m), letters[m.name]]
        line += [f"{100 * np.nanmean(m.values[head.key] > FAILURE):.1f}"] if failures else []
        line += [f.interval(run.interval(m, f.key)) for f in run.figures[1:]]
        line += [f"{m.model_bytes / 1e6:.1f}"] * learned
        line += [f"{m.fit_seconds:.0f}" if np.isfinite(m.fit_seconds) else DASH] * timed
        lines.append(line)
    return f"{markdown(headings, lines, left=(0, 1, 3))}\n\n{source(run)}"


def summary(name: str) -> str:
    """What a table shows, in words: who leads, who cannot be told from it, and the best of each kind."""
    run = read(name)
    first, *others = run.ranked()
    unit = f" {run.head.unit}" if run.head.unit else ""
    to_first = {c.second: c for c in run.comparisons if c.first == first.name}
    level = [m for m in others if not to_first[m.name].distinguishable]
    out = [f"`{first.name}` leads with {run.head.title} {run.leading(first)}{unit}."]
    if not level:
        out.append("Every other method is told apart from it.")
    elif len(level) == len(others):
        groups = len(np.unique(run.groups))
        few = 2.0 ** (1 - groups) * len(run.comparisons) >= 0.05  # the least p that any difference can have
        why = f": {groups} groups are too few for that" if few else ""
        out.append(f"No test tells any other method apart from it{why}.")
    else:
        out.append(f"Not told apart from it: {', '.join(f'`{m.name}`' for m in level)}.")
    best: dict[str, Method] = {}
    for m in others:
        best.setdefault(m.kind, m)
    for kind, m in best.items():
        if kind not in (first.kind, "floor", "control"):
            c, point = to_first[m.name], " points" if run.head.unit == "%" else unit
            verdict = "told apart" if c.distinguishable else "not told apart"
            out.append(
                f"The best {kind} method is `{m.name}`, {run.leading(m)}{unit}; the leader's difference to"
                f" it is {run.head.interval(c)}{point}, {verdict}."
            )
    return " ".join(out)


def against(name: str, reference: str, kind: str = "") -> str:
    """The paired difference of every method to one, with Holm's correction over the methods."""
    run = read(name)
    base = run.method(reference)
    if base is None:
        raise SystemExit(f"docs/results/{name}.json has no method {reference!r}")
    others = [m for m in run.ranked() if m is not base and kind in ("", m.kind)]
    lines = [[f"`{m.name}`", m.kind] for m in others]
    headings = ["method", "kind"]
    for figure in run.figures[:2]:
        found = [
            stats.paired_difference(m.values[figure.key], base.values[figure.key], run.groups) for m in others
        ]
        unit = "points" if figure.unit == "%" else figure.unit
        headings += [f"difference in {figure.title}{f', {unit}' if unit else ''} [95 %]", "p (Holm)"]
        for line, one, p in zip(lines, found, stats.holm([f.p for f in found]), strict=True):
            line += [figure.interval(one), f"{p:.4f}"]
    better = "Below 0 is better" if run.head.lower_is_better else "Above 0 is better"
    lead = f"Differences to `{base.name}` on the same objects. {better}."
    return f"{lead}\n\n{markdown(headings, lines, left=(0, 1))}\n\n{source(run)}"


def truth(given: str, again: str, *methods: str) -> str:
    """What the given truth is worth by sequence, and a few methods under it and under the registered one."""
    run, other = read(given), read(again)
    rows = stored(given)["truth"]
    headings, lines = ["", *(r["sequence"] for r in rows)], []
    for title, key in (("moved over the overlap, px", "moved_px"), ("moved at the corners, px", "corner_px")):
        spans = [np.array(r[key], float) for r in rows]
        lines.append([title, *(f"{np.median(v):.2f} ({v.min():.2f} to {v.max():.2f})" for v in spans)])
    lines.append(["refused, of pairs", *(f"{r['refused']} of {r['pairs']}" for r in rows)])
    for px in (3, 1):
        top = [np.maximum(0, 1 - np.array(r["corner_px"], float) / px).mean() for r in rows]
        lines.append([f"**ceiling, AUC@{px}**", *(f"**{v:.3f}**" for v in top)])
    groups = np.unique(run.groups)
    for name in methods:
        for px in (3, 1):
            for which, title in ((run, "given"), (other, "again")):
                found = which.method(name)
                values = (
                    [DASH] * len(rows)
                    if found is None
                    else [f"{np.nanmean(found.values[f'auc@{px}'][run.groups == g]):.3f}" for g in groups]
                )
                lines.append([f"`{name}`, AUC@{px}, {title}", *values])
    return f"{markdown(headings, lines, left=(0,))}\n\n{source(run)}"


def networks(name: str) -> str:
    """The networks of a run, best first, with letters as in :func:`table` and what each costs."""
    run = read(name)
    rows, head = run.ranked(), run.head
    letters = stats.letter_display([m.name for m in rows], run.comparisons)
    headings = ["network", f"{head.heading} [95 %]", "same", "weights, M", "multiply-adds, M", "ms, ratio"]
    lines = [
        [
            *(f"`{m.name}`", run.leading(m), letters[m.name], f"{m.costs['parameters'] / 1e6:.2f}"),
            *(f"{m.costs['multiply_adds'] / 1e6:.0f}", f"{m.costs['ms_ratio']:.2f}"),
            *(f"{m.model_bytes / 1e6:.1f}", f"{m.costs['epochs']:.0f}"),
        ]
        for m in rows
    ]
    headings += ["model, MB", "epochs"]
    if all("by_seed" in m.costs for m in rows):
        headings.append("by seed")
        for line, m in zip(lines, rows, strict=True):
            line.append(" / ".join(head.text(value) for value in m.costs["by_seed"]))
    text = markdown(headings, lines, left=(0, 2))
    return f"{text}\n\n{source(run)}"


def side_by_side(names: str, *methods: str) -> str:
    """A few methods on several sets, each with the set's own figure; ``8-bits=RUN`` adds a run of times."""
    runs = [read(name) for name in names.split(",")]
    arrows = {True: "↓", False: "↑"}
    headings = [f"{r.name}: {r.head.heading} {arrows[r.head.lower_is_better]}" for r in runs]
    lines = []
    small = next((name.removeprefix("8-bits=") for name in methods if name.startswith("8-bits=")), "")
    for name in methods:
        if name.startswith("8-bits="):
            continue
        found = [run.method(name) for run in runs]
        kind = next((m.kind for m in found if m), DASH)
        cells = [DASH if m is None else run.leading(m) for run, m in zip(runs, found, strict=True)]
        lines.append([f"`{name}`", kind, *cells])
    what = "; ".join(f"{r.name}: {_sizes(r)}" for r in runs)
    if small:
        more, told = _in_8_bits(small, runs)
        lines, what = lines + more, f"{what}; {told}"
    made = "; ".join(dict.fromkeys(", ".join(_facts(r, "date", "machine")) for r in runs))
    text = markdown(["method", "kind", *headings], lines, left=(0, 1))
    return f"{text}\n\n*{what}. 95 % intervals draw whole groups. {made}. {WORDS}*"


def _in_8_bits(name: str, runs: Sequence[Run]) -> tuple[list[list[str]], str]:
    """Rows of a run of times in 8 bits, the quickest and the slowest, and where they come from."""
    document = stored(name)
    facts, lines = document["provenance"], []
    head = next(run.head for run in runs if run.name == facts["data"])
    small = [row for row in document["rows"] if row["how"].endswith("8 bits")]  # the quickest first
    for row in (small[0], small[-1]):
        found = head.interval(stats.bootstrap_interval(np.array(row["values"]), document["groups"]))
        kind = "hybrid" if row["method"].endswith(":sdm") else "deep"
        cells = [found if run.name == facts["data"] else DASH for run in runs]
        lines.append([f"`{row['method']}`, 8 bits", kind, *cells])
    return lines, f"8 bits: another training, {facts['note']}, {facts['date']}, {facts['machine']}"


def doors() -> str:
    """Which exported file holds which method, from ``benchmarks/doors.py``."""
    document = stored("doors")
    names = list(next(iter(document["methods"].values())))
    lines = []
    for method, found in document["methods"].items():
        lines.append([f"`{method}`", *(_held(found[n], n) for n in names)])
    facts = document["provenance"]
    source = f"*{facts['crops']} crops of drawn faces; OpenCV {facts['opencv']}, ONNX Runtime"
    source += f" {facts['onnxruntime']}; {facts['date']}; `python benchmarks/doors.py`; "
    source += f"[every value, and why](results/doors.json). {WORDS}*"
    return f"{markdown(['method', *names], lines, [0])}\n\n{source}"


def times(name: str, errors: str) -> str:
    """Milliseconds of exported models (``benchmarks/landmark_times.py``), and the figure of ``errors``."""
    document = stored(name)
    run, facts, lines = read(errors), document["provenance"], []
    for row in document["rows"]:
        quick, found = row["how"].endswith("8 bits"), run.method(row["method"])
        if "values" in row:
            error = run.head.interval(stats.bootstrap_interval(np.array(row["values"]), document["groups"]))
        elif quick or found is None:
            error = DASH
        else:
            error = run.head.text(run.interval(found, run.head.key).value)
        low, middle, high = row["ratio"]
        cells = [f"`{row['method']}`", "8 bits" if quick else "float32" if "limit_ms" in row else DASH, error]
        cells += [f"{row['ms'][1]:.2f}", f"{middle:.2f} ({low:.2f} to {high:.2f})"]
        cells += [f"{row[key][1]:.2f}" if key in row else DASH for key in ("crop_ms", "networks_ms")]
        if "limit_ms" in row:
            cells += [f"{row['limit_ms']:.2f}", f"{row['bytes'] / 1e6:.1f}"]
        lines.append([*cells, *[DASH] * (9 - len(cells))])
    headings = ["method", "networks in", run.head.heading, "ms", f"ms / {facts['base']}"]
    rates = ", ".join(
        f"{rate / 1e9:.0f} in {kind}" for kind, rate in facts["multiply_adds_per_second"].items()
    )
    told = f"*{facts['data']}: {facts['objects']} objects, {facts['rounds']} rounds, quartiles in brackets;"
    told += (
        f" multiply-adds a ns: {rates}; {facts['note']}; {facts['date']}; {facts['machine']}; ONNX Runtime"
    )
    told += (
        f" {facts['onnxruntime']}, OpenCV {facts['opencv']}; `python benchmarks/landmark_times.py --int8`;"
    )
    headings += ["crop, ms", "networks, ms", "limit, ms", "networks, MB"]
    return f"{markdown(headings, lines, (0, 1))}\n\n{told} [every value](results/{name}.json).*"


def taught(name: str) -> str:
    """One network from labels alone and with a teacher, from ``benchmarks/teaching.py``."""
    document = stored(name)
    head, facts, groups = Figure("nme", "NME", "%", 2, True), document["provenance"], document["groups"]
    rows = [(row, np.array(row["values"], float)) for row in document["rows"]]
    alone, lines = next(values for row, values in rows if row["weight"] == 0), []
    for row, values in rows:
        cells = [f"`{row['method']}`", "the teacher" if row["weight"] is None else f"{row['weight']:g}"]
        paired = DASH if not row["weight"] else head.interval(stats.paired_difference(values, alone, groups))
        lines.append([*cells, head.interval(stats.bootstrap_interval(values, groups)), paired])
    headings = ["method", "teacher's weight", "NME, % [95 %]", "minus labels alone, % [95 %]"]
    told = (
        f"*{facts['data']} val: {facts['fit']} pictures to fit, {facts['judged']} objects judged; students:"
    )
    told += f" {facts['epochs']} epochs each; {facts['date']}; {facts['machine']}; torch {facts['torch']};"
    told += f" `python benchmarks/teaching.py`; [every value](results/{name}.json).*"
    return f"{markdown(headings, lines, (0,))}\n\n{told}"


def curves(name: str) -> str:
    """Methods over numbers of training pictures, from ``benchmarks/learning_curves.py``."""
    document = stored(name)
    groups, facts = document["groups"], document["provenance"]
    (key, of), values = next(iter(document["figure"].items())), {}
    head = Figure(key, **of)
    for row in document["rows"]:
        values[row["method"], row["pictures"]] = np.array(row["values"], float)
    sizes, lines = sorted({size for _, size in values}), []
    for method in dict.fromkeys(method for method, _ in values):
        found = {size: values[method, size] for size in sizes if (method, size) in values}
        cells = [
            head.interval(stats.bootstrap_interval(found[s], groups)) if s in found else DASH for s in sizes
        ]
        lines.append([f"`{method.removesuffix(TWIN)}`" + TWIN * method.endswith(TWIN), *cells])
        if method.endswith(TWIN):
            own = {s: v - values[method.removesuffix(TWIN), s] for s, v in found.items()}
            gains = {s: stats.paired_difference(v, 0 * v, groups) for s, v in own.items()}
            lines.append(["difference", *(head.interval(gains[s]) if s in gains else DASH for s in sizes)])
    headings = [f"{head.heading} [95 %], pictures:", *map(str, sizes)]
    drawn = f"{facts['drawn']:,} drawn faces first; " if facts["drawn"] else ""
    told = f"*{facts['data']} val: {facts['judged']} pictures judged; {drawn}{facts['settings']}; seeds"
    told += f" {facts['seeds']}; {facts['date']}; {facts['machine']}; torch {facts['torch']};"
    told += f" `python benchmarks/learning_curves.py`; [every value](results/{name}.json).*"
    return f"{markdown(headings, lines, (0,))}\n\n{told}"


def _held(found: str | dict[str, float], door: str) -> str:
    """The largest difference, and how many crops are over a thousandth of a px, which 8 bits always are."""
    if isinstance(found, str):
        return DASH
    return f"{found['most']:.0e}" + (f" ({found['over']})" if found["over"] and door != "int8" else "")


def choose(names: str) -> str:
    """The best of each kind on each set, and the smallest model that is level with the leader."""
    headings = ["set", "pictures to learn from", "figure"]
    headings += [f"best {kind} [95 %]" for kind in CHOICES] + ["small enough"]
    lines = []
    for run in map(read, names.split(",")):
        first, *others = run.ranked()
        apart = {c.second for c in run.comparisons if c.first == first.name and c.distinguishable}
        level = [m for m in (first, *others) if m.name not in apart and m.model_bytes >= 0]
        smallest = min(level, key=lambda m: m.model_bytes)
        best = [next((m for m in run.ranked() if m.kind == kind), None) for kind in CHOICES]
        cells = [DASH if m is None else f"`{m.name}`: {run.leading(m)}" for m in best]
        arrow = "↓" if run.head.lower_is_better else "↑"
        lines.append([run.name, run.provenance["fit"], f"{run.head.heading} {arrow}", *cells])
        lines[-1].append(f"`{smallest.name}`, {smallest.model_bytes / 1e6:.1f} MB")
    links = ", ".join(f"[{name}](results/{name}.json)" for name in names.split(","))
    return f"{markdown(headings, lines, left=range(len(headings)))}\n\n*Every value: {links}. {WORDS}*"


def choose_time(name: str) -> str:
    """Methods from fast to slow: time as a ratio, error, size; bold: nothing faster is better."""
    document = stored(name)
    timed = [row for row in document["methods"] if row["time_ratio"]]
    lines, least = [], np.inf
    for row in sorted(timed, key=lambda row: row["time_ratio"][1]):
        (low, middle, high), (error, *ends) = row["time_ratio"], row["error"]
        text = f"{error:.2f}"
        if error < least and row["kind"] != "floor":
            least, text = error, f"**{text}**"
        time = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        bounds = f"[{ends[0]:.2f}, {ends[1]:.2f}]"
        lines.append([f"`{row['method']}`", row["kind"], time, f"{text} {bounds}", f"{row['model_mb']:.1f}"])
    headings = ["method", "kind", f"time / `{document['base']}`", "NME, % [95 %]", "model, MB"]
    return f"{markdown(headings, lines, left=(0, 1))}\n\n{_chosen_source(name, document)}"


def choose_turned(name: str) -> str:
    """Errors on pictures that are turned; bold: the least of each column."""
    document = stored(name)
    table = np.array([row["turned"] for row in document["methods"]])
    lines = [
        [
            f"`{row['method']}`",
            row["kind"],
            *(
                f"**{v:.1f}**" if v == best else f"{v:.1f}"
                for v, best in zip(values, table.min(0), strict=True)
            ),
        ]
        for row, values in zip(document["methods"], table, strict=True)
    ]
    headings = ["method", "kind", *(f"{angle:g}°" for angle in document["degrees"])]
    return f"{markdown(headings, lines, left=(0, 1))}\n\n{_chosen_source(name, document)}"


def choose_objects(names: str) -> str:
    """The best finder of each kind on each set, by how many objects a picture holds."""
    headings = ["set", "objects a picture"]
    headings += [f"best {kind}: AP50, % (time / people)" for kind in CHOICES]
    lines = []
    for name in names.split(","):
        document = stored(f"{name}-finders")
        count = {word: int(number) for number, word in (fact.split() for fact in document["facts"])}
        line = [name, f"{count['objects'] / count['pictures']:.1f}"]
        for kind in CHOICES:
            rows = [row for row in document["finders"] if row["kind"] == kind]
            best = max(rows, key=lambda row: row["ap50"], default=None)
            finder = best and best["finder"].replace(_SHORT, "")
            line.append(f"`{finder}`: {best['ap50']:.0f} ({best['time']:.1f})" if best else DASH)
        lines.append(line)
    links = ", ".join(f"[{name}](results/{name}-finders.json)" for name in names.split(","))
    return f"{markdown(headings, lines, left=(0, 2, 3, 4))}\n\n*Every value: {links}. {WORDS}*"


def _chosen_source(name: str, document: dict[str, Any]) -> str:
    facts = document["provenance"]
    told = [facts[key] for key in ("data", "fitted on", "judged", "load", "date", "versions") if key in facts]
    told += [f"`{facts['command']}`"]
    return f"*{'; '.join(told)}; `python benchmarks/choose.py`; [every value](results/{name}.json). {WORDS}*"


#: column of a bench of finders, or of methods of whole pictures -> heading and digits
_COSTS = {"time": ("time / people", 2), "fit": ("fit, s", 0)}
_OF_BOXES = {"ap": ("AP50:95, % [95 %]", 1), "ap50": ("AP50, %", 1), "recall": ("recall, %", 1)}
_OF_BOXES |= {"behind": ("AP to the first", 1), **_COSTS, "mb": ("model, MB", 2)}
_OF_POINTS = {
    "oks_ap": ("OKS AP, % [95 %]", 1),
    "oks_ap_given": ("in given boxes, %", 1),
    "ap_ratio": ("ratio", 2),
    "objects_found": ("found, %", 1),
    "false_per_picture": ("false a picture", 2),
    "swapped": ("swapped, %", 1),
    "error": ("error, %", 2),
    "error_given": ("in given boxes, %", 2),
    "error_ratio": ("ratio", 2),
    "median_ratio": ("median ratio", 2),
    **_COSTS,
}
_WITH_ENDS = ("oks_ap", "ap_ratio", "error", "error_ratio")


def finders(name: str) -> str:
    """Finders, or methods, on one set: figures with the intervals stored with them, best AP first."""
    document = stored(name)
    points = "oks_ap" in document["finders"][0]
    columns = _OF_POINTS if points else _OF_BOXES
    headings = ["method" if points else "finder", "kind", *(heading for heading, _ in columns.values())]

    def cell(row: dict[str, float | None], key: str, digits: int) -> str:
        text, (low, high) = one(row[key], digits), (row.get(f"{key}_{end}") for end in ("low", "high"))
        bare = low is None or (points and key not in _WITH_ENDS)
        return text if bare else f"{text} [{one(low, digits)}, {one(high, digits)}]"

    def one(value: float | None, digits: int) -> str:
        return DASH if value is None else f"{value:.{digits}f}".replace("-", "−")

    lines = [
        [f"`{row['finder']}`", row["kind"], *(cell(row, k, n) for k, (_, n) in columns.items())]
        for row in document["finders"]
    ]
    about = document["provenance"]
    keys = ("fit", "date", "machine (that wrote this page)")
    said = [f"{about[k]} to fit" if k == "fit" else about[k] for k in keys if k in about]
    facts = "; ".join([", ".join(document["facts"]) + " judged", *said, f"`{about['command']}`"])
    return (
        f"{markdown(headings, lines, left=(0, 1))}\n\n*{facts}; [every value](results/{name}.json). {WORDS}*"
    )


def tracking(name: str) -> str:
    """A tracker and what it is without each of its parts, on a set's films; means over films."""
    document = stored(name)
    rows, figures = document["rows"], ("hota50", "hota", "idf1", "swaps", "error", "jitter", "followed")
    headings = ["method", "tracker", "HOTA at 0.5 ↑", "HOTA ↑", "IDF1 ↑", "swaps ↓", "error, % ↓"]
    load, lines = float(document["provenance"]["load"]), []
    timed = load <= 1  # on a busy machine times compare with nothing
    headings += ["jitter, % ↓", "followed, %", *["time"] * timed]
    for method, variant in dict.fromkeys((row["method"], row["variant"]) for row in rows):
        own = [row for row in rows if (row["method"], row["variant"]) == (method, variant)]
        plain = [r for r in rows if (r["method"], r["variant"]) == (method, "without a filter")]
        mean = {key: sum(row[key] for row in own) / len(own) for key in figures}
        time = sum(r["ms"] for r in own) / sum(r["ms"] for r in plain)
        cells = [f"{mean[key]:.3f}" for key in ("hota50", "hota", "idf1")]
        cells += [str(sum(row["swaps"] for row in own)), f"{mean['error']:.2f}", f"{mean['jitter']:.2f}"]
        cells += [f"{100 * mean['followed']:.1f}", *[f"{time:.2f}"] * timed]
        lines.append([f"`{method}`", variant, *cells])
    about, films = document["provenance"], len({row["film"] for row in rows})
    frames = sum(r["frames"] for r in rows if (r["method"], r["variant"]) == (method, variant))
    facts = f"{films} film{'s' * (films > 1)}, {frames} frames; {about['fit']} to fit; {about['date']}"
    facts += f"; `{about['command']}`; [every value](results/{name}.json)"
    if not timed:
        facts += f". No times are given: the machine was busy ({load:g} processes a core)"
    return f"{markdown(headings, lines, left=(0, 1))}\n\n*{facts}. {WORDS}*"


def tracking_again(name: str) -> str:
    """How soon objects that were away are followed again, in words."""
    document = stored(name)
    words = []
    for method in dict.fromkeys(row["method"] for row in document["rows"]):
        rows = [r for r in document["rows"] if (r["method"], r["variant"]) == (method, "tracker")]
        frames = [n for row in rows for n in row["again"]]
        late = [n for n in frames if n is None or n > 5]
        told = ", ".join("never" if n is None else f"after {n}" for n in late)
        words.append(
            f"`{method}` follows {len(frames) - len(late)} of {len(frames)} faces that come back within five"
            f" frames, under their old number{f' (the others: {told})' if late else ''}."
        )
    return " ".join(words)


def whole(name: str) -> str:
    """Points in found boxes against points in given ones, of the best method with a finder, in words."""
    document = stored(name)
    row = next(row for row in document["finders"] if row["error_ratio"] is not None)
    objects = next(fact for fact in document["facts"] if fact.endswith("objects"))
    ratio, low, high = (row[f"error_ratio{end}"] for end in ("", "_low", "_high"))
    return (
        f"`{row['finder']}` finds {row['objects_found']:.0f} % of {objects} at a score of one half, with"
        f" {row['false_per_picture']:.2f} false finds a picture. On those that it finds, its points err"
        f" by {row['error']:.2f} %; by {row['error_given']:.2f} % in the given boxes: a ratio of"
        f" {ratio:.2f} [{low:.2f}, {high:.2f}]."
    )


KINDS: dict[str, Callable[..., str]] = {
    "doors": doors,
    "table": table,
    "truth": truth,
    "summary": summary,
    "against": against,
    "side-by-side": side_by_side,
    "choose": choose,
    "choose-time": choose_time,
    "choose-turned": choose_turned,
    "choose-objects": choose_objects,
    "large-checking": large_tables.checking,
    "large-training": large_tables.training,
    "trust-cases": trust_tables.cases,
    "trust-faults": trust_tables.faults,
    "trust-kinds": trust_tables.kinds,
    "finders": finders,
    "label-errors": label_tables.errors,
    "label-sigmas": label_tables.sigmas,
    "label-doctors": label_tables.doctors,
    "label-suggest": label_tables.suggestions,
    "presence": presence_tables.presence,
    "covariance": presence_tables.covariance,
    "turned": presence_tables.turned,
    "heard-command": sound_tables.command,
    "heard-lips": sound_tables.lips,
    "heard-mouth": sound_tables.mouth,
    "heard-broken": sound_tables.broken,
    "read-receipts": sound_tables.receipts,
    "whole": whole,
    "networks": networks,
    "times": times,
    "taught": taught,
    "levels": scale_tables.classical,
    "generated": scale_tables.generated,
    "curves": curves,
    "tracking": tracking,
    "views-space": view_tables.space,
    "views-help": view_tables.helped,
    "views-beside": view_tables.beside,
    "lifting": view_tables.lifting,
    **senses_tables.TABLES,
    "tracking-again": tracking_again,
    "film-memory": film_tables.memory,
    "jitter": film_tables.jitter,
    "actions": film_tables.actions,
    "actions-fused": film_tables.fusions,
    "actions-confused": film_tables.confusions,
    "actions-settings": film_tables.settings,
    "verification": film_tables.verification,
}


# --------------------------------------------------------------------------------------------
# text
# --------------------------------------------------------------------------------------------


def _facts(run: Run, *keys: str) -> list[str]:
    return [run.provenance[key] for key in keys if key in run.provenance]


def _sizes(run: Run) -> str:
    words = {"fit": "to fit", "judged": "judged"}
    return ", ".join(f"{run.provenance[key]} {word}" for key, word in words.items() if key in run.provenance)


def source(run: Run) -> str:
    """The one line under a table that says where it comes from."""
    parts = [f"{' '.join(_facts(run, 'data', 'split'))}: {_sizes(run)}"]
    parts += [f"seed {seeds}" for seeds in _facts(run, "seeds")] + _facts(run, "budget")
    parts += _facts(run, "date", "machine", "versions")
    parts += [f"`{command}` with these methods" for command in _facts(run, "command")]
    return f"*{'; '.join(parts)}; [every value](results/{run.name}.json). {WORDS}*"


def filled(text: str, docs: str = "") -> str:
    """A page with every block of it written anew; ``docs``: where it finds this folder."""

    def block(found: re.Match[str]) -> str:
        kind, *arguments = found["what"].split()
        if kind not in KINDS:
            raise SystemExit(f"unknown table {kind!r}: use {', '.join(KINDS)}")
        made = KINDS[kind](*arguments).replace("](glossary.md)", f"]({docs}glossary.md)")
        return f"{found[1]}\n{made}\n\n{found[3]}"

    return BLOCK.sub(block, text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 for an old page")
    check = parser.parse_args(arguments).check
    old = []
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = filled(before, "" if page.parent.name == "docs" else "docs/")
        if after != before:
            old.append(page.relative_to(ROOT).as_posix())
            if not check:
                page.write_text(after, encoding="utf-8")
    if old:
        print(f"{'not up to date' if check else 'written'}: {', '.join(old)}")
    return int(check and bool(old))


if __name__ == "__main__":
    sys.exit(main())
