"""What the page of either task is made of, and the files that are made of it.

Here lives :class:`Material`: rows, columns, comparisons and words of one report; it fills the shared part
of the page's context and writes the folder.  Never here: a metric, a task's own sections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..metrics import Metric
from ..stats import PairedComparison
from ..structures import Array, InputError
from . import cells, plots
from .cells import Column, Row
from .output import write_files
from .rendering import axis_label, render_page, trade_off_context
from .verdicts import opening, pairs_context


@dataclass(frozen=True, eq=False, kw_only=True)
class Material:
    """One report: everything in numbers and words, nothing drawn yet."""

    head: Metric  #: the figure that methods are sorted and compared by
    what: str  #: "object" or "pair": what was scored
    metrics: Sequence[Metric]  #: the rows of the table
    rows: Sequence[Row]
    columns: Sequence[Column]  #: the headline's first
    #: key of a figure -> all pairs of methods; empty where none are tested
    comparisons: Mapping[str, Sequence[PairedComparison]]
    level: float
    notes: Sequence[str]
    about: Mapping[str, str]
    title: str
    facts: Sequence[str]
    caption: str  #: of the table
    unit: str  #: of differences, in words
    terms: Sequence[tuple[str, str]] = ()  #: what the columns mean
    alarms: Sequence[str] = ()  #: errors of the data that make every figure wrong
    tips: Mapping[str, str] = field(default_factory=dict)  #: method -> one line
    models: Mapping[str, str] = field(default_factory=dict)  #: method -> its file, as seen from the page
    beside: Mapping[str, tuple[str, str]] = field(default_factory=dict)  #: kind -> name, text of a file
    stem: str = ""  #: what files are called after, in place of index, results and pairs

    @property
    def main(self) -> Sequence[PairedComparison]:
        """All pairs of methods on the headline."""
        return self.comparisons.get(self.head.key, ())

    def points(self) -> list[plots.Point]:
        """The methods as points of the trade-off plot."""
        lead = self.columns[0]
        names = ("ms", lead.key, lead.low, lead.high)
        return [plots.Point(r.method, *(r.numbers[n] for n in names)) for r in self.rows]

    def page(self, template: str, timed: bool = True, **own: Any) -> str:
        """The page as text: what both tasks have, and the task's ``own`` context."""
        context = {
            **{name: getattr(self, name) for name in ("title", "facts", "rows", "columns", "notes", "about")},
            "alarms": self.alarms,
            "opening": opening(self.head, self.columns[0], self.rows, self.main, self.what),
            "table_caption": self.caption,
            "level": f"{100 * self.level:g} %",
            "unit": self.unit,
            "terms": [*self.terms, *(STATISTICS if self.main else STATISTICS[:1])],
            "tips": self.tips,
            "models": self.models,
            "downloads": [*list(self._names().values())[1:], *(name for name, _ in self.beside.values())],
            **(trade_off_context(self.points(), self.head, self.what) if timed else {}),
            **pairs_context(self.head, self.rows, self.main),
        }
        return render_page(template, {**context, **own})

    def _names(self) -> dict[str, str]:
        """Kind of file -> its name; the page first."""
        table, minus = self.stem or "results", f"{self.stem}-" if self.stem else ""
        names = {"html": f"{self.stem or 'index'}.html", "markdown": f"{table}.md", "csv": f"{table}.csv"}
        names["json"] = f"{table}.json"
        return {**names, "pairs": f"{minus}pairs.csv"} if self.comparisons else names

    def overview(self, strip: Sequence[tuple[str, Array]]) -> bytes:
        """The README's picture: the trade-off above a strip of captioned pictures."""
        lower = self.head.lower_is_better
        label = axis_label(self.head)
        return plots.overview_png(
            self.points(), strip, title=self.title, y_label=label, lower_is_better=lower, what=self.what
        )

    def write(
        self,
        folder: Path,
        html: str,
        *,
        overview: bytes | None = None,
        about: Mapping[str, Any] | None = None,
        extra: Mapping[str, Mapping[str, Any]] | None = None,
        **more: Any,
    ) -> dict[str, Path]:
        """Page, tables and picture into ``folder``; ``about``, ``extra`` and ``more`` are for the JSON file.

        The files are called index, results and pairs; with a ``stem`` they are called after it.
        """
        names = self._names()
        facts = {
            **self.about,
            "title": self.title,
            "facts": list(self.facts),
            "headline": self.head.key,
            "level": self.level,
        }
        facts |= {
            "notes": list(self.notes),
            "data_errors": list(self.alarms),
            "metrics": {m.key: m.words for m in self.metrics},
            **(about or {}),
        }
        notes = [*(f"Error of the data, figures are wrong: {line}" for line in self.alarms), *self.notes]
        json = cells.to_json(self.rows, self.main, about=facts, extra=extra or {}, **more)
        pairs = cells.pairs_to_csv(self.comparisons, self.head.difference_unit)
        tables = cells.to_markdown(self.rows, self.columns, notes), cells.to_csv(self.rows), json, pairs
        files: dict[str, tuple[str, str | bytes]] = {
            kind: (name, text) for (kind, name), text in zip(names.items(), (html, *tables), strict=False)
        }
        files |= self.beside
        if overview is not None:
            files["overview"] = ("overview.png", overview)
        return write_files(folder, files)


#: what stands in every table of two methods and more
STATISTICS = (
    (
        "Interval",
        "In brackets: how far the mean would move with other pictures of the same kind, found by drawing"
        " whole groups (one photograph, person or film each) again and again.",
    ),
    (
        "same",
        "Methods that share a letter could not be told apart by paired tests. That is no proof that they are"
        " equal: with few groups nothing can be told apart.",
    ),
    (
        "p (Holm)",
        "How often chance alone would show such a difference, made stricter because many pairs are tested at"
        " once (Holm 1979).",
    ),
)


def check_level(level: float) -> None:
    """:class:`InputError` unless it lies between 0 and 1."""
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, got {level}")


def terms_of(metrics: Sequence[Metric], columns: Sequence[Column]) -> list[tuple[str, str]]:
    """(term, what it is) for the metrics that the table shows; one meaning may stand for several rows."""
    shown, out = {c.key for c in columns}, []
    told = ""
    for m in metrics:
        if m.key in shown and m.title not in told.replace(";", ",").split(", "):
            term, colon, text = m.meaning.partition(": ")
            term, text = (term, text) if colon else (m.title, m.words)
            told += f"{term.partition(' (')[0]}, "
            out.append((term, f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."))
    return out


def table_caption(title: str, columns: Sequence[Column], n_methods: int) -> str:
    """The caption's end that both tasks share."""
    text = title + ("; ms with quartiles" if any(c.key == "ms" for c in columns) else "") + "."
    return text + (" Methods that share a letter cannot be told apart." if n_methods > 1 else "")
