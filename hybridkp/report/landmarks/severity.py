"""How methods fall off when pictures get harder: one table, a panel of curves for each corruption.

Stored predictions under each condition are scored against the truth of that condition and compared
object by object, averaged over all corruptions.  No picture is corrupted here and no model asked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import stats as statistics
from ...datasets import CORRUPTIONS
from ...datasets.synthetic.corruptions import corrupted
from ...metrics import Metric
from ...structures import Array, Dataset, InputError, Normalizer, Predictions
from ..cells import Column, Row, ranked_rows, tidy_csv
from ..material import Material, terms_of
from ..output import about_page
from ..plots import figure, log_values, plain, style_of, to_svg
from ..rendering import NARROW, WIDE, axis_label
from .harder import CLEAN, Condition, Strip, compared, crossing_lines, crossing_notes, find_crossings
from .scores import Truth, gather_truth, score_methods, summary


@dataclass(frozen=True, eq=False)
class _Table:
    """(methods, conditions, objects) values of the headline in shown units, NaN = not scored."""

    methods: tuple[str, ...]
    conditions: tuple[Condition, ...]
    values: Array
    truth: Truth  #: of the clean pictures
    strip: Strip

    def kind(self, name: str) -> Array:
        """(methods, objects): the mean over the severities of one kind."""
        rows = [c for c, condition in enumerate(self.conditions) if condition[0] == name]
        return np.asarray(self.values[:, rows].mean(1))

    @property
    def kinds(self) -> list[str]:
        return list(dict.fromkeys(kind for kind, severity in self.conditions if severity))

    @property
    def hard(self) -> Array:
        """(methods, objects): the mean over kinds of the means over severities."""
        return np.asarray(np.mean([self.kind(k) for k in self.kinds], axis=0))


def write_robustness(
    predictions: Mapping[Any, Sequence[Predictions]],
    dataset: Dataset,
    out_dir: str | os.PathLike[str],
    *,
    normalizer: Normalizer | None = None,
    random_state: int = 0,
    level: float = 0.95,
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Path]:
    """Score predictions under corruptions and write the page and its tables.

    Parameters
    ----------
    predictions : what :func:`hybridkp.evaluate.robustness` gives; (kind, severity) -> predictions
    dataset : the split as it is, without corruption
    out_dir : gets ``robustness.html``, ``.md``, ``.csv``, ``.json``, ``robustness-pairs.csv``, and
        ``robustness-objects.csv`` (tidy: a line for each method, corruption, severity and object)
    random_state : the one that the predictions were made with

    Returns
    -------
    dict of paths: "html", "markdown", "csv", "json", "pairs", "objects"

    Raises
    ------
    InputError
        Without the clean condition or any corrupted one, or when methods differ between conditions.
    """
    table = _score(predictions, dataset, normalizer, random_state)
    head = table.truth.headline
    order = np.argsort(
        [(1 if head.lower_is_better else -1) * np.nanmean(v) for v in table.hard], kind="stable"
    )
    methods = [table.methods[m] for m in order]
    groups = table.truth.groups
    comparisons = statistics.compare_all(methods, list(table.hard[order]), groups, level=level)
    rows = _rows(table, order.tolist(), comparisons, level)
    columns = _columns(table, head, level)
    about = about_page(
        {"data": dataset.name, "fingerprint": dataset.fingerprint, "random state": str(random_state)},
        provenance or {},
        [run.versions for runs in predictions.values() for run in runs],
    )
    material = Material(
        head=head,
        what="object",
        metrics=[head],
        rows=rows,
        columns=columns,
        comparisons={head.key: comparisons},
        level=level,
        notes=_notes(level),
        about=about,
        title=f"{dataset.name}: {len(methods)} methods on harder pictures",
        facts=[f"{len(table.kinds)} corruptions", f"{table.values.shape[2]} objects", "no retraining"],
        caption=f"{head.title}, mean over the severities of a corruption; sorted by their mean.",
        unit=head.difference_unit,
        terms=[
            *terms_of([head], columns),
            *((c.title, f"{c.tip[:1].upper()}{c.tip[1:]}.") for c in columns[1:]),
        ],
        stem="robustness",
        beside={"objects": ("robustness-objects.csv", _objects_csv(table))},
    )
    html = _page(material, table, order.tolist())
    return material.write(Path(out_dir), html, about={"objects": len(groups)})


def _page(material: Material, table: _Table, order: Sequence[int]) -> str:
    """The page as text; ``order``: the methods' places in the table, best first."""
    panels = {
        "wide": _panels_svg(table, order, "severity-wide", WIDE[0], 4),
        "narrow": _panels_svg(table, order, "severity-narrow", NARROW[0], 1),
    }
    found, doubtful = find_crossings(
        {table.methods[m]: table.values[m] for m in order},
        table.conditions,
        table.truth.groups,
        lower_is_better=material.head.lower_is_better,
        level=material.level,
    )
    return material.page(
        "severity.html",
        timed=False,
        panels=panels,
        crossings=crossing_lines(found),
        crossing_notes=crossing_notes(found, doubtful, table.kinds),
        crossings_of=compared(len(order)),
        strip=table.strip.context(),
        strip_method=table.strip.method,
    )


def _objects_csv(table: _Table) -> str:
    """Tidy: a line for each method, corruption, severity and object, in shown units, seeds averaged."""
    truth = table.truth
    header = ["method", "corruption", "severity", "picture", "object", "group", truth.headline.key]
    where = list(zip(truth.keys, truth.groups.tolist(), strict=True))
    rows = [
        [method, kind, severity, *key, group, value]
        for method, by_condition in zip(table.methods, table.values, strict=True)
        for (kind, severity), values in zip(table.conditions, by_condition, strict=True)
        for (key, group), value in zip(where, values.tolist(), strict=True)
    ]
    return tidy_csv(header, rows)


def _score(
    predictions: Mapping[Any, Sequence[Predictions]],
    dataset: Dataset,
    normalizer: Normalizer | None,
    random_state: int,
) -> _Table:
    conditions = tuple((str(kind), int(severity)) for kind, severity in predictions)
    if CLEAN not in conditions or len(conditions) < 2:
        raise InputError("robustness needs predictions for the clean pictures and for a corruption")
    methods = tuple(p.method for p in predictions[CLEAN])
    clean = gather_truth(dataset, predictions[CLEAN], normalizer)
    strip = Strip(clean, score_methods(clean, predictions[CLEAN]))
    place = {key: row for row, key in enumerate(clean.keys)}
    values = np.full((len(methods), len(conditions), len(place)), np.nan)
    for c, (condition, runs) in enumerate(zip(conditions, predictions.values(), strict=True)):
        if {p.method for p in runs} != set(methods):
            raise InputError(f"the methods under {condition[0]} are not those of the clean pictures")
        harder = dataset if condition == CLEAN else corrupted(dataset, *condition, random_state)
        truth = gather_truth(harder, runs, normalizer)
        known = [(row, place[key]) for row, key in enumerate(truth.keys) if key in place]
        there, here = map(list, zip(*known, strict=True))
        scores = score_methods(truth, runs)
        strip.add(*condition, truth, scores)
        for score in scores:
            shown = statistics.average_over_seeds(score.values) * truth.headline.scale
            values[methods.index(score.method), c, here] = shown[there]
    return _Table(methods, conditions, values, clean, strip)


def _columns(table: _Table, head: Metric, level: float) -> list[Column]:
    tip = f"mean over all corruptions and severities, with its {100 * level:g} % interval over groups"
    out = [
        Column(head.key, head.title, head.unit, head.digits, tip, "low", "high"),
        Column("clean", "clean", head.unit, head.digits, "the pictures as they are"),
        Column("ratio", "hard / clean", "", 2, "how much worse (or, for PCK, how much is left)"),
    ]
    for kind in table.kinds:
        values = ", ".join(f"{v:g}" for v in CORRUPTIONS[kind].values)
        tip = f"severities: {values} ({CORRUPTIONS[kind].unit})"
        out.append(Column(kind, kind, head.unit, head.digits, tip))
    return out


def _rows(
    table: _Table, order: Sequence[int], comparisons: Sequence[statistics.PairedComparison], level: float
) -> list[Row]:
    key, groups = table.truth.headline.key, table.truth.groups
    hard, clean = table.hard, table.kind("clean")
    kinds = {kind: table.kind(kind) for kind in table.kinds}
    rows = []
    for m in order:
        mean = summary(hard[m][None], groups, level)
        base = float(np.nanmean(clean[m]))
        numbers = {key: mean.value, "low": mean.low, "high": mean.high, "clean": base}
        numbers["ratio"] = mean.value / base if base else np.nan
        numbers |= {kind: float(np.nanmean(values[m])) for kind, values in kinds.items()}
        for c, (kind, severity) in enumerate(table.conditions):
            if severity:
                numbers[f"{kind}-{severity}"] = float(np.nanmean(table.values[m, c]))
        rows.append(numbers)
    return ranked_rows([table.methods[m] for m in order], comparisons, rows)


def _panels_svg(table: _Table, order: Sequence[int], name: str, width: float, columns: int) -> str:
    """A panel for each kind: the headline over the severity, a line per method."""
    head, kinds = table.truth.headline, table.kinds
    columns = min(columns, len(kinds))
    lines = -(-len(kinds) // columns)
    mean = np.nanmean(table.values, axis=2)
    clean = mean[:, table.conditions.index(CLEAN)]
    log = bool(head.lower_is_better and np.nanmin(mean) > 0)
    with figure(width, 2.3 * lines + 0.16 * len(order) / columns + 0.3, name, font=8.5) as fig:
        panels = np.atleast_1d(fig.subplots(lines, columns, sharey=True)).ravel()
        for axes, kind in zip(panels, kinds, strict=False):
            found = [(s, c) for c, (k, s) in enumerate(table.conditions) if k == kind]
            x = [0, *(s for s, _ in found)]
            for i, m in enumerate(order):
                color, dash = style_of(i)
                y = [clean[m], *(mean[m, c] for _, c in found)]
                label = plain(table.methods[m]) if axes is panels[0] else None
                axes.plot(x, y, color=color, ls=dash, lw=1.5, marker="o", ms=2.5, label=label)
            axes.set_title(plain(f"{kind}: {CORRUPTIONS[kind].unit}"), fontsize=8, loc="left")
            axes.set_xticks(x, ["clean", *(f"{CORRUPTIONS[kind].values[s - 1]:g}" for s, _ in found)])
            if log:
                log_values(axes)
        for axes in panels[len(kinds) :]:
            axes.set_axis_off()
        fig.supylabel(plain(axis_label(head)), fontsize=8.5)
        fig.legend(loc="outside lower center", fontsize=8, ncols=max(1, int(width // 1.7)), handlelength=2.6)
        return to_svg(fig, name, f"{head.title} over the severity of {len(kinds)} corruptions")


def _notes(level: float) -> list[str]:
    return [
        "Models are those of the bench, trained on pictures as they are (deep ones with their usual"
        " augmentation); none was trained or tuned for these corruptions.",
        "All methods see the same corrupted pictures. Blur and occlusion are measured by the object's box,"
        " rotation is about the picture's centre with the box carried along, unturned.",
        f"Intervals ({100 * level:g} %) and tests: as in the bench, over groups, on the mean over all"
        " corruptions, each weighted alike; severities are ours, so compare methods, not corruptions.",
    ]
