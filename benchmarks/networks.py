"""Which network for how much training?  Backbones and heads side by side, each with the same processor time.

Every network is trained on the same crops with the same schedule, which follows the clock: a network that
is twice as fast sees twice as many pictures.  The clock is the processor time of one thread, so that other
jobs of the machine do not count.  Nothing is chosen on the evaluated part: all parameters are defaults.
A killed run goes on where it stopped, and a finished one only measures and publishes.  ``--folds`` leaves out
groups (pictures, where there are none) of both parts together in turn, for sets with few of them in ``val``.
``--drawn`` sets beside each network the same one that first learned drawn faces (see ``learning_curves.py``).

Published (see ``publish_results.py``): each object's figure, and for each network its weights, the
multiply-adds of one picture (counted in the exported graph), the size of the model file, and how many times
as long as ``heatmap`` it takes from picture and box to points: exported, on ONNX Runtime, one thread,
processor time, the median of the rounds' ratios (see ``landmark_times.py``).

examples:
  python benchmarks/networks.py --seconds 300 --out runs/networks -o docs/results/networks_faces68.json
  python benchmarks/networks.py --compare losses --seconds 40 -o docs/results/losses_faces68.json
  python benchmarks/networks.py --compare fusions --seconds 40 -o docs/results/fusions_faces68.json
  python benchmarks/networks.py --compare equal-ms --seeds 0,1,2 --seconds 100
  python benchmarks/networks.py --set mouse17 --folds 3 --seconds 30
  python benchmarks/networks.py --set mouse17 --folds 3 --seconds 30 --methods heatmap --drawn 2000
  python benchmarks/networks.py --methods "heatmap,hourglass[stacks=1],pyramid[fusion=convgru]"
  python benchmarks/networks.py --quick
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import landmark_sets as sets
import landmark_times as times
import learning_curves as curves
import numpy as np
import publish_results

from hybridkp import recipes
from hybridkp.datasets import group_folds
from hybridkp.deep.networks.scales import FUSIONS
from hybridkp.evaluate import make_crops
from hybridkp.evaluate.stored import model_path
from hybridkp.files import load_model, write_atomic
from hybridkp.files.onnx_check import multiply_adds
from hybridkp.memory.threads import limit_threads
from hybridkp.structures import InputError, Problem

METHODS = (
    *("heatmap", "hourglass", "hrnet", "pyramid", "pyramid[fusion=single]", "deconv", "unpool"),
    *("simcc", "direct", "plain"),
)
_LOSSES = {"heatmap": ("cross-entropy", "l2-maps", "adaptive-wing", "l2", "wing"), "direct": ("l2",)}
_LOSSES |= {"simcc": ("l2", "wing")}
#: what may be set side by side
COMPARED = {
    "backbones": METHODS,
    "losses": tuple(n for h, of in _LOSSES.items() for n in (h, *(f"{h}[loss={loss}]" for loss in of))),
    # the first five of the backbones on faces68, made as wide as takes heatmap's milliseconds
    "equal-ms": (
        *("heatmap", "pyramid[fusion=single]", "hrnet[width=24]", "pyramid[width=32]"),
        "hourglass[stacks=1]",
    ),
    "fusions": ("heatmap", *(f"pyramid[fusion={fusion}]" for fusion in FUSIONS)),
}
REFERENCE = "heatmap"
QUICK = ("heatmap", "plain[width=8]")


def networks(names: Sequence[str], input_px: int, seconds: float) -> dict[str, Any]:
    """Expression with the input's size written out -> network that trains for so long."""
    out = {}
    for name in names:
        net = recipes.make_method(name)
        if "input_px" not in net.get_params(deep=False):
            raise InputError(
                f"{name!r} is no network by itself: give starts such as {', '.join(METHODS[:3])}"
            )
        part, _, inside = name.partition("[")
        inside = ",".join([f"input_px={input_px}", *filter(None, [inside.rstrip("]")])])
        by_clock = {"minutes": seconds / 60, "clock": "cpu", "max_epochs": 100_000, "patience": 100_000}
        settings = {"input_px": input_px, **{f"schedule__{key}": value for key, value in by_clock.items()}}
        out[recipes.canonical(f"{part}[{inside}]")] = net.set_params(**settings)
    return out


def parts(problem: Problem, n_folds: int) -> dict[str, Problem]:
    """Folder -> the problem itself, or those of folds over the pictures of both its parts."""
    if not n_folds:
        return {"": problem}
    whole = replace(problem.train, samples=problem.train.samples + problem.val.samples)
    out = {}
    for i, (fitted, judged) in enumerate(group_folds(whole.groups, n_folds)):
        train = whole.subset(fitted, f"{whole.name}-train-{i}")
        out[f"fold-{i}"] = replace(problem, train=train, val=whole.subset(judged, f"{whole.name}-val-{i}"))
    return out


def costs(models: dict[str, Path], problem: Problem, rounds: int) -> dict[str, dict[str, float]]:
    """Weights, multiply-adds and the ratio of milliseconds to the reference, of every trained network."""
    out: dict[str, dict[str, float]] = {}
    for name, path in models.items():
        model = load_model(path)
        epochs = len(model.history_["loss"])
        multiplied = round(multiply_adds(model.export_onnx()))
        out[name] = {"parameters": model.n_parameters_, "multiply_adds": multiplied, "epochs": epochs}
    with tempfile.TemporaryDirectory() as folder, limit_threads(1):
        calls = times.contenders(list(models.values()), Path(folder), ("onnxruntime",))
        crops = make_crops(problem.val, problem.size_hw, problem.margin)
        objects = [
            (problem.val.samples[s].image, crops.boxes[i]) for i, s in list(enumerate(crops.sample))[:20]
        ]
        took = {name: ms for (name, _), ms in times.measure(calls, objects, rounds).items()}
    plainest = min((name for name in took if name.split("[")[0] == REFERENCE), key=len, default="")
    for name, ms in took.items():
        out[name]["ms_ratio"] = round(float(np.median(ms / took[plainest])), 2) if plainest else float("nan")
    return out


def main(arguments: Sequence[str] | None = None, command: str = "") -> None:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shape)
    parser.add_argument("--set", default="faces68", help='folder of the real data, or "synthetic"')
    parser.add_argument(
        "--compare", choices=COMPARED, default="backbones", help="which networks (%(default)s)"
    )
    parser.add_argument("--methods", type=sets.names_of, help="networks, as expressions, instead")
    parser.add_argument(
        "--seconds", type=float, default=300.0, help="processor time to train each (%(default)s)"
    )
    parser.add_argument(
        "--input-px", type=int, default=64, help="side of what the networks see (%(default)s)"
    )
    parser.add_argument("--seeds", default="0", help="numbers, with commas (%(default)s)")
    parser.add_argument("--drawn", type=int, default=0, help="also start from so many drawn faces")
    parser.add_argument(
        "--folds", type=int, default=0, help="leave groups of both parts out, in so many folds"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/networks"), help="folder of the run (%(default)s)"
    )
    parser.add_argument("-o", "--publish", type=Path, help="JSON for docs/results")
    parser.add_argument("--machine", default=platform.machine(), help="in words, to publish (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="two tiny networks on drawn faces, seconds")
    args = parser.parse_args(arguments)
    names, rounds = args.methods or list(COMPARED[args.compare]), 60
    if args.quick:
        args.set, args.seconds, args.input_px, names, rounds = "synthetic", 1.0, 32, list(QUICK), 4
    small = (40, 10) if args.quick else (None, None)
    problem = sets.load_problem(args.set, *small, max_timed=0)
    folder, seeds = args.out / Path(problem.name).name, [int(seed) for seed in args.seeds.split(",")]
    methods = networks(names, args.input_px, args.seconds)
    methods = curves.twins(methods, problem, args.drawn, args.out / "drawn") if args.drawn else methods
    forms, models = [], {}
    for name, part in parts(problem, args.folds).items():
        found = sets.run(methods, part, folder / name, seeds=seeds)
        forms.append(publish_results.landmarks_of(part, found))
        first = {p.method: model_path(folder / name, p.method, p.seed) for p in reversed(found)}
        models = models or first  # the first fold's and the first seed's
    measured = costs(models, problem, rounds)
    made = publish_results.pooled(forms) if args.folds else forms[0]
    published = publish_results.document(made, made["facts"], None)
    for row in published["methods"]:
        row |= measured[row["method"]]
    more = "".join(f" --{k} {v}" for k, v in (("folds", args.folds), ("drawn", args.drawn)) if v)
    published["provenance"] |= {
        "budget": f"{args.seconds:g} s of one core to train each",
        "machine": args.machine,
        "date": str(date.today()),
        "command": command
        or f"python benchmarks/networks.py --set {folder.name}{more} --seconds {args.seconds:g}",
    }
    for row in published["methods"]:
        row["fit_seconds"] = None  # by the wall's clock they mean nothing
    if args.publish:
        write_atomic(args.publish, publish_results.as_text(published))
    sign = 1 if all(f["lower_is_better"] for f in published["figures"].values()) else -1
    for row in sorted(published["methods"], key=lambda r: sign * np.nanmean(*r["values"].values())):
        ((key, values),) = row["values"].items()
        print(f"{row['method']}: {key} {np.nanmean(np.array(values, float)):.4g}, {measured[row['method']]}")


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
