"""Whole-picture methods side by side, finder and detector, bottom-up, one stage: what docs/finders.md shows.

Each method is trained as ``hybridkp train`` does it, on pictures whose finder was fitted before
(``benchmarks/finders.py``), and asked about pictures that it did not see. What it finds is stored first and
scored afterwards. ``--out`` keeps models and finds, so that a run that was stopped goes on.

examples:
  python benchmarks/whole_pictures.py --out runs/whole --results docs/results
  python benchmarks/whole_pictures.py --sets scenes --quick --out runs/quick
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import finders
import numpy as np

from hybridkp import evaluate, recipes
from hybridkp.detection import TopDown, WholePicture
from hybridkp.evaluate.bench_finders import TIMED_HW, people_detector
from hybridkp.evaluate.processes import file_name
from hybridkp.files import load_model, write_atomic
from hybridkp.metrics import box_overlap, nme, normalizer_lengths, oks_ap
from hybridkp.stats import bootstrap_interval, paired_difference
from hybridkp.structures import Array, Dataset, InputError, Instance, Problem

_FINDERS = {name: finders.SETS[name][0] for name in ("scenes", "flies13")}
HIT = 0.5  #: overlap of boxes from which a find is an object's
_NET = "input_px=160,max_epochs=12,epoch_pictures=240"
#: a method that ends in a step is also judged without its steps: the same network
METHODS = ("hog+svm/sdm", "hog+svm[fast=true]/sdm", f"paf[{_NET}]:sdm", f"onestage[{_NET}]:sdm")
#: data set -> training pictures, evaluated pictures, what networks are told besides
SETS = {"scenes": (120, 40, ""), "flies13": (80, 30, ",turns=180")}


def expressions(name: str, quick: bool) -> list[str]:
    if quick:
        return ["onestage[input_px=64,max_epochs=2,epoch_pictures=16,patience=9]"]
    return [recipes.canonical(m.replace(_NET, _NET + SETS[name][2])) for m in METHODS]


def trained(expression: str, problem: Problem, folder: Path, fitted: Path | None) -> Any:
    """The method, fitted or read; a finder that another run has fitted is taken as it is."""
    path = folder / "models" / f"{file_name(expression)}.hkp"
    if path.exists():
        return load_model(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    made, (finder, _, _) = recipes.make_method(expression), expression.partition("/")
    known = None if fitted is None else fitted / "models" / f"{file_name(finder)}.hkp"
    if isinstance(made, TopDown) and known is not None and known.exists():
        made.finder = Ready(str(known))
    print(f"{expression}: fit", file=sys.stderr)
    return evaluate.train(made, problem, path, name=expression)


class Ready:
    """A finder that was fitted before."""

    def __init__(self, file: str) -> None:
        self.file = file

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"file": self.file}

    def fit(self, samples: Any) -> Any:
        return load_model(self.file)


def asked(model: Any, val: Dataset, path: Path) -> list[list[Instance]]:
    """What a method finds in every picture, stored."""
    if path.exists():
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [[Instance(_nan(i["xy"]), box_xywh=i["box"], score=i["score"]) for i in row] for row in rows]
    found = [model.detect(s.image, name=s.name) for s in val]
    rows = [
        [{"xy": i.xy.tolist(), "box": np.asarray(i.box_xywh).tolist(), "score": i.score} for i in row]
        for row in found
    ]
    write_atomic(path, json.dumps(rows).replace("NaN", "null"))
    return found


def _nan(rows: Any) -> Array:
    return np.array(rows, float)


def errors(found: list[list[Instance]], val: Dataset) -> tuple[Array, Array, int]:
    """NME in % of each object (N,), NaN where it was missed; its group; and how many finds are false."""
    out, groups, false = [], [], 0
    for sample, seen in zip(val, found, strict=True):
        objects = [i for i in sample.instances if not i.ignore]
        near = box_overlap([i.box_xywh for i in seen], [i.box_xywh for i in objects])
        crowd = box_overlap(
            [i.box_xywh for i in seen], [i.box_xywh for i in sample.instances if i.ignore], part=True
        )
        false += int(((near.max(1, initial=0) < HIT) & (crowd.max(1, initial=0) < HIT)).sum())
        for j, true in enumerate(objects):
            groups.append(sample.group)
            if not len(seen) or near[:, j].max() < HIT:
                out.append(np.nan)
                continue
            length = normalizer_lengths([true.xy], val.normalizer, [true.box_xywh])
            out.append(100 * float(nme([true.xy], [seen[int(near[:, j].argmax())].xy], length)[0]))
    return np.array(out), np.array(groups), false


def average_precision(found: list[list[Instance]], val: Dataset) -> float:
    objects = [list(s.instances) for s in val]
    k = len(val.landmarks)
    figures = oks_ap(
        [np.reshape([i.xy for i in row], (-1, k, 2)) for row in objects],
        [np.reshape([i.xy for i in row], (-1, k, 2)) for row in found],
        [[i.score for i in row] for row in found],
        [[i.area for i in row] for row in objects],
        val.sigmas,
        crowd=[[i.ignore for i in row] for row in objects],
        boxes_xywh=[np.reshape([i.box_xywh for i in row], (-1, 4)) for row in objects],
    )
    return 100 * float(figures["AP"])


def times(models: dict[str, Any], val: Dataset, n: int = 7) -> dict[str, float]:
    """The median over pictures of 640 x 480 of each time by that of OpenCV's people detector, one thread."""
    height, width = TIMED_HW
    images = [cv2.resize(s.image, (width, height), interpolation=cv2.INTER_AREA) for s in val.samples[:n]]
    calls = {"": people_detector(), **{name: model.detect for name, model in models.items()}}
    table: dict[str, list[float]] = {name: [] for name in calls}
    for image in [images[0], *images]:
        for name, call in calls.items():
            start = time.process_time()
            call(image)
            table[name].append(time.process_time() - start)
    base = np.array(table[""][1:])
    return {name: float(np.median(np.array(table[name][1:]) / base)) for name in models}


def row_of(name: str, found: list[list[Instance]], val: Dataset, given: Array | None) -> dict[str, Any]:
    sure = [[i for i in row if i.score > 0] for row in found]
    off, groups, false = errors(sure, val)
    hit = np.isfinite(off)
    out = {
        "method": name,
        "kind": recipes.family(name),
        "objects": len(off),
        "found": int(hit.sum()),
        "false": false,
        "oks_ap": average_precision(found, val),
        "nme": float(off[hit].mean()) if hit.any() else None,
    }
    if hit.any():
        interval = bootstrap_interval(off[hit], groups[hit])
        out |= {"nme_low": interval.low, "nme_high": interval.high}
    if given is not None and hit.any():
        gap, middle = paired_difference(off[hit], given[hit], groups[hit]), float(given[hit].mean())
        out |= {"nme_given": middle}
        out |= {"ratio": [1 + v / middle for v in (gap.difference, gap.low, gap.high)]}
    return out


def in_given_boxes(model: TopDown, val: Dataset) -> Array:
    """NME in % of each object in its own box."""
    out = []
    for sample in val:
        image = sample.image
        for true in (i for i in sample.instances if not i.ignore):
            seen = model.in_box(image, true.box_xywh)
            length = normalizer_lengths([true.xy], val.normalizer, [true.box_xywh])
            out.append(100 * float(nme([true.xy], [seen.xy], length)[0]))
    return np.array(out)


def judged(name: str, problem: Problem, out: Path, fitted: Path | None, quick: bool) -> dict[str, Any]:
    rows, models = [], {}
    for expression in expressions(name, quick):
        model = trained(expression, problem, out, fitted)
        parts = {expression: model}
        if isinstance(model, WholePicture) and model.detector is not None:
            bare = WholePicture(model.start, None, model.size_hw, model.margin, model.min_score)
            bare.start_, bare.mean_ = model.start_, model.mean_
            parts[recipes.canonical(expression.rsplit(":", 1)[0])] = bare
        given = in_given_boxes(model, problem.val) if isinstance(model, TopDown) else None
        for each, one in parts.items():
            found = asked(one, problem.val, out / "found" / f"{file_name(each)}.json")
            rows.append(row_of(each, found, problem.val, given))
            models[each] = one
    ratio = times(models, problem.val)
    for row in rows:
        row["time"] = ratio[row["method"]]
        row["model_mb"] = None
        path = out / "models" / f"{file_name(row['method'])}.hkp"
        if path.exists():
            row["model_mb"] = path.stat().st_size / 1e6
    short = [{k: _short(v) for k, v in row.items()} for row in rows]
    groups = len(set(problem.val.groups.tolist()))
    fit = f"{len(problem.train)} pictures" + f" ({_FINDERS[name]} for finders)" * (fitted is not None)
    return {
        "task": "whole pictures",
        "data": name,
        "fit": fit,
        "val": len(problem.val),
        "groups": groups,
        "command": f"python benchmarks/whole_pictures.py --sets {name}",
        "methods": sorted(short, key=lambda row: -row["oks_ap"]),
    }


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return [_short(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", default=",".join(SETS), help="with commas (default: all)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--finders", type=Path, help="--out of benchmarks/finders.py, for fitted finders")
    parser.add_argument("--results", type=Path, help="folder for NAME-whole.json, for the docs")
    parser.add_argument("--quick", action="store_true", help="a dozen pictures and one method: does it run")
    args = parser.parse_args(argv)
    for name in args.sets.split(","):
        n_train, n_val, _ = SETS[name]
        if args.quick:
            n_train, n_val = 12, 4
        try:
            problem = finders.problem_of(name, n_train, n_val)
        except InputError as error:
            print(f"{name}: left out ({error})", file=sys.stderr)
            continue
        fitted = args.finders / name if args.finders else None
        found = judged(name, replace(problem), args.out / name, fitted, args.quick)
        for row in found["methods"]:
            print(row)
        if args.results:
            write_atomic(args.results / f"{name}-whole.json", json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
