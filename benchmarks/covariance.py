"""Do the ellipses that come with the points hold as many of them as they say? On pictures that were not seen.

    python benchmarks/covariance.py -o docs/results/covariance.json --keep runs/covariance

Each method is trained with the step ``covariance``, which sets the ellipses on out-of-fold points of the
training pictures, and judged on others: the part of the labelled points within their ellipses of 50 and of
90 %, how large the ellipses are, and whether larger ones err more. A method that the file holds already is
not asked again; ``--keep`` is where trainings are kept, so that a run that was stopped goes on.  Options are
those of ``presence.py``, "--quick" included.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import landmark_sets as sets
import numpy as np
from presence import CHAIN, NET, judge_each, read_arguments
from scipy.stats import spearmanr

from hybridkp import evaluate
from hybridkp.recipes import make_method
from hybridkp.stats import bootstrap_interval
from hybridkp.structures import Problem

METHODS = ("sdm", "hog+ridge", "lbf", NET, CHAIN)
LEVELS = (0.5, 0.9)


def judged(method: str, problem: Problem) -> dict[str, Any]:
    """Coverage of a method's ellipses on the judged pictures, intervals over their groups."""
    crops = evaluate.make_crops(problem.train, problem.size_hw, problem.margin)
    model = make_method(f"{method}:covariance")
    model = model.fit(crops.batch, crops.xy, groups=crops.groups, flip=crops.flip)
    val = evaluate.make_crops(problem.val, problem.size_hw, problem.margin)
    xy, _, covariance = model.predict_with_covariance(val.batch)
    away = np.asarray(xy - val.xy, float)
    known = np.isfinite(away).all(axis=2)
    solved = np.linalg.solve(covariance.astype(float), away[..., None])[..., 0]
    distance = np.where(known, (away * solved).sum(axis=2), np.nan)
    radius = np.sqrt(np.sqrt(np.linalg.det(covariance)))
    error = np.linalg.norm(away, axis=2)
    row: dict[str, Any] = {
        "method": method,
        "points": int(known.sum()),
        "slope": float(model.slope_),
        "out_of_fold": [float(part) for part in model.coverage_],
        "median_radius_px": float(np.median(radius)),
        "rank_correlation": float(spearmanr(radius[known], error[known]).statistic),
        "coverage": [],
    }
    for level in LEVELS:
        inside = np.where(known, distance <= -2 * np.log(1 - level), np.nan)
        found = bootstrap_interval(np.nanmean(inside, axis=1), val.groups)
        row["coverage"].append([float(found.value), float(found.low), float(found.high)])
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    judge_each(read_arguments(__doc__, METHODS, arguments), {"levels": list(LEVELS)}, judged, told)


def told(row: dict[str, Any]) -> list[str]:
    half, most = (100 * each[0] for each in row["coverage"])
    return [f": ellipses of 50 and 90 % hold {half:.1f} and {most:.1f} %"]


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
