"""What every table of a report is made of: columns, rows, numbers as text, and Markdown, CSV, JSON.

Knows no task and computes no metric.  Nothing is drawn and no file is opened here: writers give
text.  A number that does not exist is NaN in a row, a dash in Markdown, empty in CSV, null in JSON.
"""

from __future__ import annotations

import csv
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from ..metrics import Metric
from ..metrics.metric import heading
from ..stats import ENOUGH_GROUPS, PairedComparison, letter_display
from ..structures import Array

MISSING = "–"
SPACE = "\N{NO-BREAK SPACE}"


OTHERS = "others'"  #: the family of rows that other programs predicted


@dataclass(frozen=True)
class Column:
    """One column: ``key`` in rows, CSV and JSON (unit in its name), the rest for people."""

    key: str
    title: str
    unit: str
    digits: int  #: after the point; negative: significant ones
    tip: str
    low: str = ""  #: keys of the interval's ends
    high: str = ""
    bracket: str = "[]"
    quiet: bool = False  #: left out where it is 0 for every method

    @classmethod
    def of(cls, metric: Metric, tip: str = "", ends: tuple[str, str] = ("", "")) -> Column:
        """A metric's column, with the keys of its interval's ends where it has one."""
        tip = "; ".join(filter(None, (metric.words, tip)))
        return cls(metric.key, metric.title, metric.unit, metric.digits, tip, *ends)

    @property
    def heading(self) -> str:
        return heading(self.title, self.unit)


@dataclass(frozen=True)
class Row:
    """One method; ``letters``: methods that share one could not be told apart."""

    rank: int
    method: str
    letters: str
    numbers: Mapping[str, float]
    family: str = ""  #: "classical", "learned", ...
    marks: Mapping[str, str] = field(default_factory=dict)  #: key -> what stands behind its number


def ranked_rows(
    methods: Sequence[str],
    comparisons: Sequence[PairedComparison],
    numbers: Sequence[Mapping[str, float]],
    families: Sequence[str] | None = None,
    marks: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Row]:
    """One row per method in the order given, with the letters of the comparisons.

    ``marks`` are key -> method -> what stands behind that number.  Where families are known, a row of none is
    others': each row then has the same cells.
    """
    letters = letter_display(methods, comparisons) if len(methods) > 1 else dict.fromkeys(methods, "")
    kinds = families or [""] * len(methods)
    kinds = [kind or OTHERS for kind in kinds] if any(kinds) else kinds
    return [
        Row(rank, method, letters[method], found, kind, _marks_of(method, marks or {}))
        for rank, (method, found, kind) in enumerate(zip(methods, numbers, kinds, strict=True), 1)
    ]


def lettered(rows: Sequence[Row]) -> bool:
    """Whether methods were tested against each other."""
    return any(row.letters for row in rows)


def _marks_of(method: str, marks: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {key: found[method] for key, found in marks.items() if method in found}


def shown_columns(columns: Sequence[Column], rows: Sequence[Row]) -> list[Column]:
    """The first column and those with a number in ``rows``; quiet ones only where one is not 0."""
    has = {k for row in rows for k, v in row.numbers.items() if math.isfinite(v)}
    loud = {k for row in rows for k, v in row.numbers.items() if v}
    return [c for i, c in enumerate(columns) if i == 0 or c.key in (has & loud if c.quiet else has)]


@dataclass(frozen=True)
class Grid:
    """A small table of one figure: a line per method, ``best`` marks the best of each column."""

    title: str
    headings: tuple[str, ...]
    lines: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]  #: method -> (value, its interval or "")
    best: tuple[frozenset[str], ...]  #: methods that share a column's best shown number


def make_grid(
    title: str,
    methods: Sequence[str],
    columns: Mapping[str, Sequence[str | tuple[str, str]]],
    *,
    lower_is_better: bool = False,
) -> Grid:
    """``columns``: heading -> for each method the value as text, or the value and its interval."""
    told = {h: [(v, "") if isinstance(v, str) else v for v in column] for h, column in columns.items()}
    lines = tuple((m, tuple(column[i] for column in told.values())) for i, m in enumerate(methods))
    sign, best = -1 if lower_is_better else 1, []
    for column in told.values():
        values = [sign * float(t.replace("−", "-")) if t[-1:].isdigit() else -math.inf for t, _ in column]
        top = max(values)
        found = (m for m, v in zip(methods, values, strict=True) if v == top > -math.inf)
        best.append(frozenset(found) if len(values) > 1 else frozenset())
    return Grid(title, tuple(told), lines, tuple(best))


def mean(values: Array) -> float:
    """Of the finite ones; NaN without any."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def median(values: Array) -> float:
    """Of the finite ones; NaN without any."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else math.nan


def cost_numbers(ms: Array, peak_bytes: Sequence[int]) -> dict[str, float]:
    """Median and quartiles of the times, NaN left out, and the largest memory; -1 = unknown."""
    known, peak = ms[np.isfinite(ms)], max(peak_bytes, default=-1)
    q1, middle, q3 = np.percentile(known, [25, 50, 75]) if len(known) else (math.nan,) * 3
    times = {"ms": float(middle), "ms_q1": float(q1), "ms_q3": float(q3)}
    return {**times, "peak_mb": peak / 1e6 if peak >= 0 else math.nan}


# --------------------------------------------------------------------------------------------
# numbers for people
# --------------------------------------------------------------------------------------------


def number(value: float, digits: int) -> str:
    """Fixed digits and a real minus sign; ``digits`` -3 means 3 significant ones; NaN is a dash."""
    if not math.isfinite(value):
        return MISSING
    if digits < 0:
        digits = max(0, -digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def sortable(value: float, digits: int) -> tuple[str, str]:
    """A cell for people, and the value that a page sorts by; empty where there is none."""
    return number(value, digits), f"{value:.9g}" if math.isfinite(value) else ""


def signed(value: float, digits: int) -> str:
    """With a plus sign where it is above 0."""
    text = number(value, digits)
    return "+" + text if value > 0 and text.strip("0.") else text


def p_value(p: float, n_groups: int = ENOUGH_GROUPS) -> str:
    """p to two digits, never 0; none of a test over fewer than :data:`.ENOUGH_GROUPS` groups."""
    if not math.isfinite(p) or n_groups < ENOUGH_GROUPS:
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def cell(row: Row, column: Column) -> tuple[str, str]:
    """The number and its interval (or quartiles) as text; the second is empty where there is none."""
    value = number(row.numbers.get(column.key, math.nan), column.digits)
    value += f"{SPACE}{row.marks[column.key]}" if column.key in row.marks and value != MISSING else ""
    if not column.low:
        return value, ""
    ends = [row.numbers.get(k, math.nan) for k in (column.low, column.high)]
    if not all(map(math.isfinite, ends)):
        return value, ""
    low, high = (number(v, column.digits) for v in ends)
    return value, f"{column.bracket[0]}{low}, {high}{column.bracket[1]}"


# --------------------------------------------------------------------------------------------
# writers
# --------------------------------------------------------------------------------------------


def _escape_markdown(text: str) -> str:
    """One line that GitHub shows as written; plain names stay as they are, for the terminal."""
    out = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    for sign in "\\|`*[]":
        out = out.replace(sign, "\\" + sign)
    return out


def to_markdown(rows: Sequence[Row], columns: Sequence[Column], notes: Sequence[str] = ()) -> str:
    """A GitHub table and the notes as a list; "same": methods that share a letter, see :class:`Row`."""
    family, tested = any(row.family for row in rows), lettered(rows)
    headings = [c.heading for c in columns]
    headings[1:1] = ["same"] * tested
    lines = [
        "| # | method | " + "family | " * family + " | ".join(headings) + " |",
        "|---:|:---|" + ":---|" * family + "---:|" + ":---|" * tested + "---:|" * (len(columns) - 1),
    ]
    for row in rows:
        cells = [" ".join(filter(None, cell(row, c))) for c in columns]
        cells[1:1] = [row.letters] * tested
        names = [_escape_markdown(n) for n in (row.method, row.family)[: 1 + family]]
        lines.append(f"| {row.rank} | {' | '.join(names + cells)} |")
    lines += ["", *(f"- {_escape_markdown(n)}" for n in notes)]
    return "\n".join(lines).rstrip() + "\n"


def to_html(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """The table of :func:`to_markdown` as HTML, without notes and styles."""
    headings, tested = [c.heading for c in columns], lettered(rows)
    headings[1:1] = ["same"] * tested
    head = "".join(f"<th>{html.escape(text)}</th>" for text in ("#", "method", *headings))
    lines = []
    for row in rows:
        texts = [" ".join(filter(None, cell(row, c))) for c in columns]
        texts[1:1] = [row.letters] * tested
        lines.append("".join(f"<td>{html.escape(text)}</td>" for text in (str(row.rank), row.method, *texts)))
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def tidy_csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lines of names and numbers, in which no name is a formula."""
    return _csv(header, [[_no_formula(v) if isinstance(v, str) else v for v in row] for row in rows])


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if _nothing(v) else v for v in row] for row in rows])
    return out.getvalue()


def _nothing(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def to_csv(rows: Sequence[Row]) -> str:
    """All numbers unrounded, a line per method."""
    keys = list(dict.fromkeys(k for row in rows for k in row.numbers))
    family = any(row.family for row in rows)
    body = [
        [
            r.rank,
            *map(_no_formula, (r.method, r.family)[: 1 + family]),
            r.letters,
            *(r.numbers.get(k, math.nan) for k in keys),
        ]
        for r in rows
    ]
    return _csv(["rank", *("method", "family")[: 1 + family], "letters", *keys], body)


PROTECTED = r"^'([=+\-@\t\r])"  #: how a name begins that :func:`_no_formula` has changed


def _no_formula(text: str) -> str:
    """A spreadsheet must not run a method's name."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def pairs_to_csv(tables: Mapping[str, Sequence[PairedComparison]], unit: str) -> str:
    """A line per pair of each figure (its key first); differences are first - second in ``unit``."""
    header = [f.name for f in fields(PairedComparison)]
    body = []
    for figure, comparisons in tables.items():
        for c in comparisons:
            line = [asdict(c)[k] for k in header]
            line[:2] = map(_no_formula, line[:2])
            body.append([figure, *line, unit])
    return _csv(["figure", *header, "unit"], body)


def to_json(
    rows: Sequence[Row],
    comparisons: Sequence[PairedComparison],
    *,
    about: Mapping[str, Any],
    extra: Mapping[str, Mapping[str, Any]],
    **more: Any,
) -> str:
    """Everything the page shows in numbers; ``extra``: further entries of a method, ``more``: of the file."""
    data = {
        "format": 1,
        "about": dict(about),
        "methods": [
            {
                "rank": r.rank,
                "method": r.method,
                **({"family": r.family} if r.family else {}),
                "letters": r.letters,
                **r.numbers,
                **extra.get(r.method, {}),
            }
            for r in rows
        ],
        "pairs": [asdict(c) for c in comparisons],
        **more,
    }
    return json.dumps(_finite(data), indent=1, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def _finite(value: Any) -> Any:
    """NaN and infinities as null, NumPy numbers as Python's."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if _nothing(value) else value
