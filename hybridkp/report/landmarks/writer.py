"""Writes the whole report: page, tables and the README's picture, each file whole or not at all.

Reads nothing but predictions and the data set they were made on.  How files reach the disk is in
``output``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...metrics import Metric
from ...stats import PairedComparison
from ...structures import Dataset, Normalizer, Predictions
from .. import cells
from ..cells import Column, Row
from ..material import Material, check_level, table_caption, terms_of
from ..output import about_page, links, load_words, to_frame
from ..verdicts import count
from . import conditions, reliability, tables, words
from .page import render
from .pictures import MANY, SIDE, Gallery, strip
from .scores import Scores, Truth, compare, gather_truth, landmark_errors, score_methods


@dataclass(frozen=True, eq=False)
class Report:
    """What was written: rows best first, comparisons in ``itertools.combinations`` order of them."""

    rows: list[Row]
    columns: list[Column]
    comparisons: list[PairedComparison]
    notes: list[str]
    #: "html", "markdown", "csv", "json", "pairs", "objects", "conditions", "conditions_table", "overview"
    paths: dict[str, Path]

    def to_markdown(self) -> str:
        """The results table as GitHub Markdown, without notes."""
        return cells.to_markdown(self.rows, self.columns)

    def to_frame(self, kind: str = "csv") -> Any:
        """The table as a pandas frame: a row a method, best first, all numbers unrounded.

        ``kind`` "pairs" or "objects": :func:`hybridkp.report.to_frame` of those tables.
        """
        return to_frame(self.paths, kind)

    def _repr_html_(self) -> str:
        """The results table, as notebooks show it."""
        return cells.to_html(self.rows, self.columns)


def write_report(
    predictions: Sequence[Predictions],
    dataset: Dataset,
    out_dir: str | os.PathLike[str],
    *,
    normalizer: Normalizer | None = None,
    title: str | None = None,
    level: float = 0.95,
    metrics: Sequence[Metric] = (),
    families: Mapping[str, str] | None = None,
    abouts: Mapping[str, str] | None = None,
    models: Mapping[str, str | os.PathLike[str]] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Report:
    """Score stored predictions and write what people and programs read.

    Parameters
    ----------
    predictions : one for each method and seed
        Seeds of a method are averaged object by object.
    dataset : the split that the predictions were made on
    out_dir : folder, made when it is missing; gets ``index.html`` (self-contained),
        ``results.md``, ``results.csv``, ``results.json``, ``pairs.csv``, ``objects.csv`` (tidy: a line for
        each method, seed and object), ``conditions.csv`` (tidy: small, turned, dark objects, ...) and
        ``conditions.md``, and ``overview.png``
    normalizer : in place of the data set's own
    title : of the page
    level : of the intervals and tests, between 0 and 1
    metrics : rows of yours, shown besides those of :data:`hybridkp.metrics.LANDMARK_METRICS`
    families : method -> "classical", "deep", "hybrid", ...; shown where they are given
    abouts : method -> one line on what it is
    models : method -> model file; the page has a link to those in or below ``out_dir``
    provenance : facts for the end of the page, such as command, date, machine; shown as given

    Returns
    -------
    Report

    Raises
    ------
    InputError
        No predictions, predictions of other data, two different runs of one method and seed,
        a level outside 0..1, or a folder that cannot be written.
    """
    check_level(level)
    predictions = list(predictions)
    truth = gather_truth(dataset, predictions, normalizer, metrics)
    scores = score_methods(truth, predictions)
    comparisons = compare(truth, scores, level) if len(scores) > 1 else []
    rows = tables.make_rows(truth, scores, comparisons, level, families)
    columns = tables.columns_of(truth, level, rows)
    bands = conditions.find_bands(truth, scores, level)
    material = Material(
        head=truth.headline,
        what="object",
        metrics=truth.metrics,
        rows=rows,
        columns=columns,
        comparisons={truth.headline.key: comparisons},
        level=level,
        notes=words.notes(truth, scores, level),
        alarms=words.alarms(scores),
        about=_about(truth, scores, provenance or {}),
        title=title or f"{dataset.name}: {count(len(rows), 'method')} compared",
        facts=_facts(truth, scores),
        caption=table_caption(words.caption(truth, level), columns, len(rows)),
        unit=truth.headline.difference_unit,
        terms=terms_of(truth.metrics, columns),
        tips=abouts or {},
        models=links(models or {}, Path(out_dir)),
        beside={
            "objects": ("objects.csv", tables.objects_csv(truth, scores)),
            "conditions": ("conditions.csv", conditions.conditions_csv(bands, truth)),
            "conditions_table": ("conditions.md", conditions.conditions_markdown(bands, truth)),
        },
    )
    paths = _write(material, truth, scores, bands, Path(out_dir))
    return Report(rows, list(columns), comparisons, list(material.notes), paths)


def _facts(truth: Truth, scores: Sequence[Scores]) -> list[str]:
    """Data, split and size, for the line under the title."""
    splits = sorted({run.split for s in scores for run in s.runs if run.split})
    n, groups = len(truth.xy), len(set(truth.groups.tolist()))
    images = len({s.name for s in truth.samples})
    out = [truth.dataset.name]
    if splits and not any(truth.dataset.name.endswith(s) for s in splits):
        out.append(f"split {', '.join(splits)}")
    out.append(f"{n} objects in {images} pictures of {groups} groups")
    out.append(f"{truth.xy.shape[1]} landmarks")
    return [*out, count(max(len(s.runs) for s in scores), "seed")]


def _about(truth: Truth, scores: Sequence[Scores], provenance: Mapping[str, Any]) -> dict[str, str]:
    runs = [run for s in scores for run in s.runs]
    facts = {
        "data": truth.dataset.name,
        "fingerprint": truth.dataset.fingerprint,
        "split": ", ".join(sorted({run.split for run in runs if run.split})),
        "licence of the data": truth.dataset.licence,
        "fitted on": "; ".join(dict.fromkeys(filter(None, map(_fitted_on, runs)))),
        "seeds": ", ".join(str(s) for s in sorted({run.seed for run in runs})),
        "load of the machine during fits": load_words(run.fit_load for run in runs),
        "load of the machine while the clock ran": load_words(run.load for run in runs),
    }
    return about_page(facts, provenance, [run.versions for run in runs])


def _fitted_on(run: Predictions) -> str:
    """Name and size of the training split, as the bench notes them in ``params``."""
    name, n = run.params.get("train"), run.params.get("n_train")
    return f"{name}, {n} pictures" if name and n else str(name or "")


def _write(
    m: Material,
    truth: Truth,
    scores: Sequence[Scores],
    bands: Sequence[conditions.Band],
    folder: Path,
) -> dict[str, Path]:
    gallery = Gallery(truth, side=SIDE if 7 * len(scores) < MANY else SIDE * 5 // 8)
    judged = {s.method: reliability.reliability(truth, s) for s in scores}
    extra = {
        s.method: {
            "landmark_errors": landmark_errors(truth, s).tolist(),
            "expected_calibration_error": found.calibration_error if (found := judged[s.method]) else None,
        }
        for s in scores
    }
    return m.write(
        folder,
        render(m, truth, scores, gallery, judged, bands),
        overview=m.overview(strip(gallery, scores)),
        about={"landmarks": list(truth.dataset.landmarks)},
        extra=extra,
    )
