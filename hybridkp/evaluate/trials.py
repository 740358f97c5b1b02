"""What a search has found: trials kept, read back, chosen from, and shown as tables.

Nothing is fitted here.  A trial is one setting of one method with its error on held-out objects.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_atomic
from ..metrics import LANDMARK_METRICS, metric_of
from ..stats import holm
from ..structures import InputError

LEVEL = 0.95  #: of the interval of a difference, and of the test that a setting must pass
FILE = "trials.json"


@dataclass(frozen=True)
class Trial:
    """One setting and how it did on the objects that its folds held out.

    ``error`` is the mean over objects of the metric that a search improves, as an error
    (:meth:`hybridkp.metrics.Metric.error`): NME (a fraction), px, or 1 - PCK@0.2.  ``difference`` is that
    minus the defaults' over the same objects, with its interval over groups and the p of "no difference"
    (:func:`.paired_difference`).  ``seconds`` is the wall clock of the folds' fits and predictions, with what
    a memory spared counted in.
    """

    params: Mapping[str, Any]
    metric: str  #: key of the metric
    error: float
    difference: float
    low: float
    high: float
    p: float
    seconds: float

    @property
    def words(self) -> str:
        """The setting in words."""
        return ", ".join(f"{k}={v}" for k, v in self.params.items()) or "defaults"


def best_trial(trials: Sequence[Trial]) -> Trial:
    """The least error among the settings that beat the defaults beyond doubt; else the defaults.

    Beyond doubt: the paired sign-flip test against the defaults, with Holm's correction for all
    settings tried.  With few trials the luckiest setting is often only that.
    """
    if not trials:
        raise InputError("no trials: run the search first")
    default, others = trials[0], trials[1:]
    p = holm([t.p for t in others])
    clear = [t for t, doubt in zip(others, p, strict=True) if t.difference < 0 and doubt <= 1 - LEVEL]
    return min(clear, key=lambda t: t.error, default=default)


def read_trials(path: str | os.PathLike[str]) -> list[Trial]:
    """What :func:`tune` wrote; :class:`InputError` for anything else."""
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))["trials"]
        numbers = [f.name for f in fields(Trial) if f.name not in ("params", "metric")]
        return [
            Trial(dict(r["params"]), str(r["metric"]), **{name: _number(r[name]) for name in numbers})
            for r in rows
        ]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); run the search again") from None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise InputError(f"{path}: holds no trials, or damaged ones; run the search again") from None


def write_trials(trials: Sequence[Trial], path: str | os.PathLike[str], method: str = "") -> None:
    """What :func:`read_trials` reads, and whose trials they are; NaN becomes null."""
    rows = [
        {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in asdict(t).items()} for t in trials
    ]
    write_atomic(
        path, json.dumps({"format": 2, "method": method, "trials": rows}, indent=1, allow_nan=False) + "\n"
    )


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def found_settings(folder: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Method -> the settings that a search chose, of a folder with one search for each method."""
    paths = sorted(Path(folder).glob(f"*/{FILE}"))
    if not paths:
        raise InputError(f"{folder}: holds no trials; run hybridkp tune --out {folder} first")
    found = {path: best_trial(read_trials(path)) for path in paths}
    names = {
        path: json.loads(path.read_text(encoding="utf-8")).get("method") or path.parent.name for path in paths
    }
    return {str(names[path]): dict(trial.params) for path, trial in found.items()}


# --------------------------------------------------------------------------------------------
# tables
# --------------------------------------------------------------------------------------------


def choices_table(found: Mapping[str, Sequence[Trial]]) -> str:
    """A line for each method: its defaults' error and what was chosen, as Markdown."""
    best = {name: best_trial(trials) for name, trials in found.items()}
    heading = _shown(next(iter(best.values())))[0]
    heads = ("method", "trials", f"{heading}: defaults", "choice", "apart [95 %]", "settings", "s")
    rows = [
        (name, str(len(trials)), _error(trials[0]), _error(best[name]), _difference(best[name]))
        + (best[name].words, f"{sum(t.seconds for t in trials):.0f}")
        for name, trials in found.items()
    ]
    return _table(heads, rows)


def trials_table(name: str, trials: Sequence[Trial]) -> str:
    """Every trial of one method, under its name, as Markdown."""
    best = best_trial(trials)
    rows = [
        (t.words + (" (chosen)" if t is best else ""), _error(t), _difference(t), f"{t.p:.3g}")
        + (f"{t.seconds:.0f}",)
        for t in trials
    ]
    heads = ("settings", _shown(trials[0])[0], "apart from the defaults [95 %]", "p", "s")
    return f"## {name}\n\n{_table(heads, rows)}"


def trials_csv(found: Mapping[str, Sequence[Trial]]) -> str:
    """Tidy: a line for each method and trial, numbers unrounded; a setting that it left alone is empty."""
    settings = list(dict.fromkeys(name for trials in found.values() for t in trials for name in t.params))
    numbers = [f.name for f in fields(Trial) if f.name != "params"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["method", "trial", "chosen", *numbers, *settings])
    for name, trials in found.items():
        best = best_trial(trials)
        for i, trial in enumerate(trials):
            values = [getattr(trial, key) for key in numbers]
            values = ["" if isinstance(v, float) and np.isnan(v) else v for v in values]
            writer.writerow(
                [name, i, int(trial is best), *values, *(trial.params.get(k, "") for k in settings)]
            )
    return out.getvalue()


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    right = [":---" if head in ("method", "settings") else "---:" for head in heads]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, right, *rows))


def _error(trial: Trial) -> str:
    return f"{trial.error * _shown(trial)[1]:.2f}"


def _difference(trial: Trial) -> str:
    if not trial.params:
        return "–"
    value, low, high = (v * _shown(trial)[1] for v in (trial.difference, trial.low, trial.high))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _shown(trial: Trial) -> tuple[str, float]:
    """The heading of a trial's error, and the factor to shown units."""
    metric = metric_of(trial.metric, LANDMARK_METRICS)
    return metric.error_heading, metric.scale
