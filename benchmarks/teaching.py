"""Does a teacher help a quick network?  The same network from labels alone and with a slower one's points.

All students have the same crops, seed, schedule and epochs; what differs is the teacher's weight in what they
learn, 0 for labels alone.  Nothing is chosen on the judged part.  Models lie in the folder: those that are
there are not trained again, and a killed training goes on.

examples:
  hybridkp train faces68 --method heatmap:flip -o slow.hkp
  python benchmarks/teaching.py --teacher slow.hkp --method "heatmap[input_px=64]" --epochs 14
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import landmark_sets as sets
import numpy as np
import publish_results
import torch

from hybridkp import evaluate, recipes, stats
from hybridkp.evaluate import make_crops
from hybridkp.files import load_model, read_meta, write_atomic
from hybridkp.structures import Problem


def student(method: str, epochs: int, teacher: Path, weight: float, problem: Problem) -> Any:
    net = recipes.parameterised({method: recipes.make_method(method)}, {"max_epochs": epochs})[method]
    if not weight:
        return net
    return recipes.with_teacher(net, teacher, problem.train.landmarks, weight, problem.margin)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = sets.parser(__doc__, publish=True)
    parser.add_argument("--set", default="faces68", help='folder of the real data, or "synthetic"')
    parser.add_argument("--teacher", type=Path, required=True, help="a model file")
    parser.add_argument("--method", default="heatmap[input_px=64]", help="the student (%(default)s)")
    parser.add_argument("--epochs", type=int, default=60, help="of each student (%(default)s)")
    parser.add_argument("--weights", default="0,0.5", help="of the teacher, with commas (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/teaching"), help="folder (%(default)s)")
    args = parser.parse_args(arguments)
    problem = sets.load_problem(args.set, max_timed=0)
    crops = make_crops(problem.val, problem.size_hw, problem.margin)
    args.out.mkdir(parents=True, exist_ok=True)
    name = recipes.canonical(args.method)
    taught: list[tuple[str, float | None, Any]] = []
    for weight in map(float, args.weights.split(",")):
        what = f"{problem.name} {name} {args.epochs} {args.teacher.stem} {weight:g}"
        path = args.out / f"{evaluate.file_name(what)}.hkp"
        if not path.exists():
            net = student(name, args.epochs, args.teacher, weight, problem)
            evaluate.train(net, problem, path, name=name)
        taught.append((name, weight, load_model(path)))
    teacher = load_model(args.teacher)
    taught.append((str(read_meta(args.teacher).get("method", type(teacher).__name__)), None, teacher))
    groups, rows = np.asarray(publish_results.codes(np.asarray(crops.groups))), []
    for method, share, model in taught:
        values = sets.errors(problem, crops, model.predict(crops.images))
        found = stats.bootstrap_interval(values, groups)
        print(method, share, f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}] %")
        rows.append({"method": method, "weight": share, "values": publish_results.rounded(values)})
    about = {"data": problem.name, "epochs": args.epochs, "machine": args.machine, "date": str(date.today())}
    about |= {"fit": len(problem.train.samples), "judged": len(crops), "torch": torch.__version__}
    if args.publish:
        document = {"provenance": about, "groups": groups.tolist(), "rows": rows}
        write_atomic(args.publish, json.dumps(document) + "\n")


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
