"""Makes one file of ``docs/results`` from a bench's folder: each object's figure, and where it comes from.

Figures come from ``hybridkp.report``, so that a bench's own page and the published one cannot differ.
What is stored: one number an object and method (four digits), the groups that a bootstrap draws, model
bytes, fit seconds, and the provenance of the run.  What is not: pictures, points, intervals and letters,
which ``docs/tables.py`` computes.  Landmarks and interest points alike.

``provenance.json`` in the folder, where there is one, says machine, date and command; else the report's
own notes do.  ``--methods`` names a JSON file {name in the folder: expression}; methods that it leaves out
stay out, and without it all are published under their own names.

examples:
  python benchmarks/publish_results.py runs/faces -o docs/results/faces68.json
  python benchmarks/publish_results.py runs/old -o docs/results/faces68.json --methods names.json
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import landmark_sets as sets
import numpy as np

from hybridkp import evaluate, recipes
from hybridkp.files import write_atomic
from hybridkp.metrics import Metric
from hybridkp.report.landmarks import scores as landmark_scores
from hybridkp.report.points import scores as point_scores
from hybridkp.structures import Array, InputError, Predictions, Problem

FORMAT = 1
TWIN = " from drawn"  #: ends the name of a network that was first trained on drawn faces
#: keys of the metrics that a page of interest points shows, the leading one first
POINT_FIGURES = ("auc@3", "auc@1", "mma@3", "correct_inliers")
POSE_FIGURES = ("pose_auc@5", "pose_auc@10", "pose_auc@20", "mma@3")  #: where pairs have cameras
PROVENANCE = ("data", "split", "fit", "judged", "seeds", "machine", "versions", "date", "command")


def rounded(values: Any) -> list[float | None]:
    """Four significant digits; None for what does not exist."""
    return [float(f"{v:.4g}") if np.isfinite(v) else None for v in np.asarray(values, float).tolist()]


def figure(row: Metric) -> dict[str, Any]:
    """What a page says of a metric."""
    facts = ("title", "unit", "digits", "lower_is_better")
    return {name: getattr(row, name) for name in facts}


def landmarks(folder: Path, data: str | None) -> dict[str, Any]:
    """The published form of a bench of landmarks."""
    problem = evaluate.stored_problem(folder, data=data)
    return landmarks_of(problem, evaluate.comparable_predictions(folder, problem)[0])


def landmarks_of(problem: Problem, predictions: Sequence[Predictions]) -> dict[str, Any]:
    """The published form of predictions of landmarks."""
    truth = landmark_scores.gather_truth(problem.val, predictions, problem.normalizer)
    head, kept = truth.headline, truth.scored
    rows = []
    for s in landmark_scores.score_methods(truth, predictions):
        values = np.mean(s.values, axis=0) * head.scale
        by_seed = np.nanmean(np.asarray(s.values)[:, kept], axis=1) * head.scale
        rows.append(
            {
                "name": s.method,
                "model_bytes": max(run.model_bytes for run in s.runs),
                "fit_seconds": round(float(np.mean([run.fit_seconds for run in s.runs])), 1),
                "values": {head.key: rounded(values[kept])},
                **({"by_seed": rounded(by_seed)} if len(by_seed) > 1 else {}),
            }
        )
    n_train = max(p.params.get("n_train", 0) for p in predictions)
    return {
        "task": "landmarks",
        "figures": {head.key: figure(head)},
        "groups": codes(truth.groups[kept]),
        "methods": rows,
        "facts": {
            "data": _name(problem.name),
            "split": problem.split,
            "fit": f"{n_train} pictures",
            "judged": f"{int(kept.sum())} objects in {len(set(truth.groups[kept].tolist()))} groups",
            "seeds": ", ".join(str(s) for s in sorted({p.seed for p in predictions})),
            "versions": versions(p.versions for p in predictions),
        },
    }


def pooled(folds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The published forms of folds as one: each object was judged once, by what was not fitted to it."""
    first = folds[0]
    numbers = [np.array(fold["groups"]) for fold in folds]
    before = np.cumsum([0, *(n.max() + 1 for n in numbers)])
    key = next(iter(first["figures"]))
    rows = []
    for row in first["methods"]:
        same = [r for fold in folds for r in fold["methods"] if r["name"] == row["name"]]
        rows.append({**row, "values": {key: [value for r in same for value in r["values"][key]]}})
        rows[-1].pop("by_seed", None)  # of one fold
    groups = np.concatenate([n + b for n, b in zip(numbers, before, strict=False)]).tolist()
    fitted = sorted({int(fold["facts"]["fit"].split()[0]) for fold in folds})
    facts = first["facts"] | {
        "fit": f"{len(folds)} folds: {' to '.join(map(str, fitted[:1] + fitted[1:][-1:]))} pictures",
        "split": "each fold in turn",
        "judged": f"{len(groups)} objects in {len(set(groups))} groups",
    }
    return {**first, "groups": groups, "methods": rows, "facts": facts}


def points(folder: Path, data: str | None, again: bool = False) -> dict[str, Any]:
    """The published form of a bench of interest points, at its main budget; ``again``: by new truth."""
    found, pairs = evaluate.comparable_matches(folder, data)
    registered = evaluate.stored_truth(folder, pairs)
    truth = point_scores.gather_truth(pairs, found, registered=registered)
    worth = {"truth": given_truth(truth)} if registered else {}
    if again and not registered:
        raise InputError(f"{folder}: no registered truth there; run bench-points --refine-truth first")
    truth = truth.refined() if again else truth
    keys = POSE_FIGURES if truth.posed.any() else POINT_FIGURES
    rows_of = {m.key: m for m in truth.metrics}
    budgets = point_scores.score_points(truth, found, {})
    budget = point_scores.main_budget(budgets)
    rows = [
        {
            "name": s.method,
            "model_bytes": -1,
            "fit_seconds": None,
            "values": {key: rounded(s.mean(key)) for key in keys},
        }
        for s in budgets[budget]
    ]
    return {
        "task": "points",
        "figures": {key: figure(rows_of[key]) for key in keys},
        "groups": codes(truth.groups),
        "methods": rows,
        **worth,
        "facts": {
            "data": _name(pairs.name) + (", truth registered again" if again else ""),
            "judged": f"{len(truth.pairs)} pairs of {truth.n_groups} sequences, {budget} points per picture",
            "seeds": ", ".join(str(s) for s in sorted({m.seed for m in found})),
            "versions": versions(m.versions for m in found),
        },
    }


def given_truth(truth: point_scores.PointTruth) -> list[dict[str, Any]]:
    """By sequence: how far registering moves the given truth, px, over the overlap and at the corners."""
    error, moved, refused = truth.ceiling
    out = []
    for name in dict.fromkeys(truth.groups.tolist()):
        rows = (truth.groups == name) & ~refused
        row: dict[str, Any] = {"sequence": name, "pairs": int((truth.groups == name).sum())}
        row |= {"refused": int(refused[truth.groups == name].sum())}
        row |= {"moved_px": rounded(moved[rows]), "corner_px": rounded(error[rows])}
        out.append(row)
    return out


def codes(groups: Array) -> list[int]:
    """Groups as numbers in the order of their names, as a report draws them; no name is published."""
    return np.unique(groups, return_inverse=True)[1].reshape(-1).tolist()


def versions(made: Any) -> str:
    """Each package with the versions that answers were made with."""
    found: dict[str, set[str]] = {}
    for one in made:
        for name, value in one.items():
            found.setdefault(str(name), set()).add(str(value))
    found.pop("machine", None)
    return ", ".join(f"{name} {'/'.join(sorted(found[name]))}" for name in sorted(found))


def read_json(path: Path) -> dict[str, Any]:
    try:
        out = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{path}: no JSON file can be read there") from None
    if not isinstance(out, dict):
        raise InputError(f"{path}: must hold a JSON object")
    return out


def _name(data: str) -> str:
    """A data set's name without the folders of this machine."""
    return Path(data).name


def provenance(folder: Path, facts: Mapping[str, str]) -> dict[str, str]:
    """Where the figures come from, without any path of the machine that ran."""
    about: dict[str, Any] = {}
    if (folder / "results.json").is_file():
        about = dict(read_json(folder / "results.json").get("about", {}))
        about["machine"] = about.get("machine") or about.get("machine (that wrote this page)", "")
    if (folder / "provenance.json").is_file():
        about |= read_json(folder / "provenance.json")
    about |= facts
    # the methods stand in the table; where files went and how many jobs ran changes no figure
    command = re.sub(r" --(methods|out|jobs) ('[^']*'|\S+)", "", str(about.get("command", "")))
    about["command"] = re.sub(r"(?<= )/\S*/", "", command)
    return {name: str(about[name]) for name in PROVENANCE if about.get(name)}


def renamed(
    rows: Sequence[dict[str, Any]], task: str, names: Mapping[str, str] | None
) -> list[dict[str, Any]]:
    """The methods to publish under their expressions, each with its kind."""
    out = []
    for row in rows:
        name = row.pop("name")
        if names is None or name in names:
            stem, twin, _ = (names[name] if names else name).partition(TWIN)
            method = recipes.canonical(stem, task)
            out.append({"method": method + twin, "kind": recipes.family(method, task), **row})
    if not out:
        raise InputError("no method of the folder is to be published: look at --methods")
    return out


def as_text(published: Mapping[str, Any]) -> str:
    """JSON with a line a method, so that a change of one shows as one line."""
    head = {name: value for name, value in published.items() if name not in ("methods", "groups")}
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in published["methods"])
    groups = json.dumps(published["groups"], separators=(",", ":"))
    return f'{json.dumps(head, indent=1)[:-2]},\n "groups": {groups},\n "methods": [\n{lines}\n]}}\n'


def publish(
    folder: Path, data: str | None, names: Mapping[str, str] | None, again: bool = False
) -> dict[str, Any]:
    """Everything of one file, from stored predictions or matches."""
    on_points = evaluate.stored_task(folder) == "points"
    made = points(folder, data, again) if on_points else landmarks(folder, data)
    return document(made, provenance(folder, made["facts"]), names)


def document(
    made: dict[str, Any], about: Mapping[str, str], names: Mapping[str, str] | None
) -> dict[str, Any]:
    """Everything of one file, in its order."""
    return {
        "format": FORMAT,
        "task": made["task"],
        "provenance": about,
        "figures": made["figures"],
        "groups": made["groups"],
        **({"truth": made["truth"]} if "truth" in made else {}),
        "methods": renamed(made["methods"], made["task"], names),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("folder", type=Path, help="of a bench, with its predictions or matches")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--data", help="where the data are now (default: where they were)")
    parser.add_argument("--methods", type=Path, help="JSON: name in the folder -> expression")
    parser.add_argument("--again", action="store_true", help="points: judged by the registered truth")
    parser.add_argument("--untimed", action="store_true", help="fit seconds mean nothing: leave them out")
    args = parser.parse_args(arguments)
    names = read_json(args.methods) if args.methods else None
    published = publish(args.folder, args.data, names, args.again)
    for row in published["methods"] if args.untimed else ():
        row["fit_seconds"] = None
    write_atomic(args.out, as_text(published))
    print(f"{args.out}: {args.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
