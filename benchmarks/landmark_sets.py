"""What benchmarks share: parser and provenance; of landmarks the sets, their crops, figures and intervals.

Predictions come from ``hybridkp.evaluate.bench``, figures from ``hybridkp.report.landmarks.scores`` and
``hybridkp.stats``, so that a benchmark's table and a report's page cannot differ.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridkp import __version__, evaluate, metrics
from hybridkp import stats as statistics
from hybridkp.cli.display import Display
from hybridkp.evaluate import Crops
from hybridkp.files import write_atomic
from hybridkp.memory.resident import load_per_core
from hybridkp.metrics import Metric
from hybridkp.recipes import split
from hybridkp.report.landmarks.scores import Scores, gather_truth, score_methods
from hybridkp.structures import InputError, Predictions, Problem

LEVEL = 0.95
#: crop side px and margin; others take (128, 1.25)
CROPS: dict[str, tuple[int, float]] = {
    "mouse17": (192, 1.0),
    "ceph19": (320, 1.05),
    "wings12": (320, 1.05),
    "synthetic": (64, 1.25),
}


def parser(about: str | None, publish: bool = False) -> argparse.ArgumentParser:
    """Of a benchmark, its words as they stand; ``publish``: with the options of what goes into the docs."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    if publish:
        made.add_argument("-o", "--publish", type=Path, help="JSON for docs/results")
        machine = platform.machine()
        made.add_argument("--machine", default=machine, help="in words, to publish (%(default)s)")
    return made


def now(**facts: Any) -> dict[str, Any]:
    """Provenance: the facts, today, and how busy the machine is."""
    return {**facts, "date": time.strftime("%Y-%m-%d"), "load": f"{load_per_core():.1f}"}


def publish(folder: Path | None, name: str, document: dict[str, Any]) -> None:
    """Write a document for the docs, whole or not at all; without a folder do nothing."""
    if folder is not None:
        write_atomic(folder / f"{name}.json", json.dumps(document) + "\n")


def data_root() -> Path:
    """``HYBRIDKP_DATA``, or ``../shared/data`` seen from the repository."""
    return Path(os.environ.get("HYBRIDKP_DATA", Path(__file__).parents[2] / "shared" / "data"))


def load_problem(name: str, max_train: int | None = None, max_val: int | None = None, max_timed: int = 50):
    """A set by its folder's name, or "synthetic"; spread evenly when thinned."""
    where = name if name == "synthetic" else str(data_root() / name)
    side, margin = CROPS.get(name, (128, 1.25))
    problem = evaluate.load_problem(
        where, max_train=max_train, max_val=max_val, size_hw=(side, side), margin=margin, max_timed=max_timed
    )
    return replace(problem, name=name)


def kept(path: Path | None, empty: dict[str, Any]) -> dict[str, Any]:
    """What a benchmark has written to ``path`` before, or ``empty`` with a place for its provenance."""
    if path is None or not path.exists():
        return {"provenance": {}, **empty}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def keep(path: Path | None, document: dict[str, Any]) -> None:
    """Write a benchmark's figures with today's provenance, whole or not at all; without a path do nothing."""
    document["provenance"] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}",
        "hybridkp": __version__,
    }
    if path is not None:
        write_atomic(path, json.dumps(document) + "\n")


def add_row(path: Path | None, document: dict[str, Any], provenance: dict[str, Any], row: Any) -> None:
    """One more of a document's rows, written as :func:`keep` does, with a provenance of its own."""
    document["provenance"] = provenance
    document["rows"].append(row)
    if path is not None:
        write_atomic(path, json.dumps(document) + "\n")


def run(
    methods: Mapping[str, Any], problem: Problem, out: Path, *, seeds: Sequence[int] = (0,), n_jobs: int = 1
) -> list[Predictions]:
    """``bench`` with a progress bar; what is in ``out`` already is kept."""
    with Display(len(methods) * len(seeds)) as display:
        return evaluate.bench(methods, problem, out=out, seeds=seeds, n_jobs=n_jobs, progress=display)


def errors(problem: Problem, crops: Crops, found: Any) -> Any:
    """(B,) % of the set's normaliser, of points (B, K, 2) in px of the crops."""
    lengths = metrics.normalizer_lengths(crops.xy, problem.normalizer or problem.train.normalizer)
    return 100 * metrics.nme(crops.xy, found, lengths)


@dataclass(frozen=True, eq=False)
class Scored:
    """The set's figure for each method: ``values`` (B,) in shown units, seeds averaged."""

    headline: Metric
    groups: Any
    by_method: dict[str, Scores]

    def values(self, method: str) -> Any:
        scores = self.by_method[method]
        return statistics.average_over_seeds(scores.values) * self.headline.scale

    def interval(self, method: str) -> statistics.Interval:
        return statistics.bootstrap_interval(self.values(method), self.groups, level=LEVEL)

    def best(self, methods: Sequence[str]) -> str:
        sign = 1 if self.headline.lower_is_better else -1
        return min(methods, key=lambda m: sign * self.interval(m).value)


def score(problem: Problem, predictions: Sequence[Predictions]) -> Scored:
    """NME %, PCK@0.2 % or px, as the set's normaliser says."""
    truth = gather_truth(problem.val, predictions, problem.normalizer)
    scores = score_methods(truth, predictions)
    return Scored(truth.headline, truth.groups, {s.method: s for s in scores})


def interval_text(value: float, low: float, high: float, digits: int, sign: bool = False) -> str:
    """``3.21 [3.05, 3.40]``."""
    show = f"{{:{'+' if sign else ''}.{digits}f}}"
    ends = f" [{show.format(low)}, {show.format(high)}]" if np.isfinite([low, high]).all() else ""
    return show.format(value).replace("-", "−") + ends.replace("-", "−")


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A GitHub table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def names_of(text: str) -> list[str]:
    """``a,b(c,d)`` of a command line."""
    names = split(text)
    if not names:
        raise argparse.ArgumentTypeError("needs at least one name")
    return names


def fail_in_a_line(main: Any) -> int:
    """Run ``main``; an :class:`InputError` becomes one line on stderr."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
