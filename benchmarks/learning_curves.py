"""How much data does a method need?  The set's figure over nested training subsets of growing size.

Each size holds whole groups (photographs, subjects) and contains the smaller ones, so that a curve's
steps are new pictures, not other pictures; all methods see the same subsets, and all are judged on the
same evaluated pictures.  A killed run goes on where it stopped; a finished one only prints.

Prints a table in Markdown (the figure with its interval over the evaluated groups) and, for each size,
which method is best and whether the runner-up can be told apart (paired, Holm over all pairs); writes
both, the figures as JSON, and a plot with a logarithmic axis of sizes.  A method that cannot be fitted on
a size is missing there.  Intervals speak of new evaluated pictures, not of other training subsets: give
several --seeds, which draw other subsets too, to see how much those matter.

With --drawn each network has a twin that is first trained on so many procedural faces, whose truth is
exact and free, and goes on from there (as ``hybridkp train --from`` does); "from drawn" marks it.  The
drawn faces are never judged on.

examples:
  python benchmarks/learning_curves.py --set faces68 --methods sdm-hog,heatmap,vote-gated
  python benchmarks/learning_curves.py --set mouse17 --sizes 10,20,40,65
  python benchmarks/learning_curves.py --methods sdm,heatmap --param max_epochs=30 --param input_px=64
  python benchmarks/learning_curves.py --methods heatmap --drawn 2000 --sizes 25,50,100,200 --no-whole
  python benchmarks/learning_curves.py --quick
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import landmark_sets as sets
import numpy as np
import publish_results

from hybridkp import evaluate, memory, recipes
from hybridkp import stats as statistics
from hybridkp.cli.options import shared
from hybridkp.datasets.synthetic import make_faces
from hybridkp.files import write_atomic
from hybridkp.recipes import parameterised
from hybridkp.report import plots
from hybridkp.structures import InputError, Problem

METHODS = ("sdm-hog", "heatmap", "vote-gated")
SIZES = (50, 100, 200, 500, 1000)
SIZES_OF = {"mouse17": (10, 20, 40), "synthetic": (12, 24)}

Found = dict[int, dict[str, statistics.Interval]]


def nested(groups: Sequence[str], sizes: Sequence[int], seed: int = 0) -> dict[int, np.ndarray]:
    """Size -> sorted rows: whole groups in one shuffled order, the first that fill each size.

    A size is reached to within a group; sizes at or above the whole set give the whole set.
    """
    names = np.asarray(groups, str)
    labels, code = np.unique(names, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    filled = np.cumsum(np.bincount(code)[order])
    out = {}
    for size in sorted(set(sizes)):
        if size < 2:
            raise InputError(f"sizes must be at least 2 pictures, got {size}")
        n = int(np.abs(filled - size).argmin()) + 1  # the last of the groups taken
        out[size] = np.flatnonzero(np.isin(code, order[:n])) if size < len(names) else np.arange(len(names))
    return out


def with_all(sizes: Sequence[int], n: int) -> list[int]:
    """Sizes below ``n``, then ``n`` itself: the whole training part."""
    return [*sorted({s for s in sizes if s < n}), n]


def twins(methods: dict[str, Any], problem: Problem, n_drawn: int, out: Path) -> dict[str, Any]:
    """The methods, and after each network the same one that starts from a training on drawn faces."""
    drawn = make_faces(n_drawn, random_state=1)
    seen = replace(problem, train=drawn, val=drawn, normalizer=None, name="drawn")
    both: dict[str, Any] = {}
    for name, estimator in methods.items():
        both[name] = estimator
        if recipes.family(name) != "deep":
            continue
        about = f"{name} {n_drawn} {problem.size_hw} {problem.margin} {memory.describe(estimator)}"
        path = out / f"{evaluate.file_name(about)}.hkp"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            print(f"{name}: on {n_drawn} drawn faces", file=sys.stderr)
            evaluate.train(estimator, seen, path, name=name)
        both[name + publish_results.TWIN] = recipes.with_pretrained(estimator, path, problem.train.landmarks)
    return both


def family(name: str) -> str:
    return recipes.family(name.removesuffix(publish_results.TWIN))


def measure(
    methods: dict[str, Any],
    problem: Problem,
    sizes: Sequence[int],
    args: argparse.Namespace,
) -> tuple[Any, Found, list[str], dict[str, Any]]:
    """The headline, the intervals, a sentence for each size, and each object's figure, to publish."""
    found: Found = {}
    words, headline, rows, groups = [], None, [], []
    for size in sizes:
        predictions = []
        for seed in args.seeds:
            taken = nested(problem.train.groups, [size], seed)[size]
            part = problem.train.subset(taken.tolist(), f"{problem.name}-train-{len(taken)}-{seed}")
            print(f"{size} pictures, seed {seed}: {len(part)} taken", file=sys.stderr)
            predictions += _predictions(
                methods, replace(problem, train=part), args.out / problem.name / f"{size}-{seed}", seed, args
            )
        if not predictions:
            continue
        scored = sets.score(problem, predictions)
        headline = scored.headline
        names = [m for m in methods if m in scored.by_method]
        found[size] = {m: scored.interval(m) for m in names}
        groups = publish_results.codes(np.asarray(scored.groups))
        for m in names:
            values = publish_results.rounded(scored.values(m))
            rows.append({"pictures": size, "method": m, "values": values})
        words.append(_verdict(size, scored, names))
    return headline, found, words, {"groups": groups, "rows": rows}


def _predictions(
    methods: dict[str, Any], problem: Problem, out: Path, seed: int, args: argparse.Namespace
) -> list[Any]:
    try:
        if args.only_table:
            return evaluate.stored_predictions(out)
        return sets.run(methods, problem, out, seeds=[seed], n_jobs=args.jobs)
    except InputError as error:  # all methods failed: too few pictures, or none stored
        print(f"  {error}", file=sys.stderr)
        return []


def _verdict(size: int, scored: sets.Scored, names: list[str]) -> str:
    best = scored.best(names)
    others = [n for n in names if n != best]
    if not others:
        return f"{size}: {best} is the only one."
    second = scored.best(others)
    pairs = statistics.compare_all(names, [scored.values(n) for n in names], scored.groups, level=sets.LEVEL)
    pair = next(p for p in pairs if {p.first, p.second} == {best, second})
    sign = 1 if pair.first == best else -1
    low, high = sorted((sign * pair.low, sign * pair.high))
    text = sets.interval_text(sign * pair.difference, low, high, scored.headline.digits, sign=True)
    told = "is better than" if pair.distinguishable else "cannot be told from"
    return f"{size}: {best} {told} {second} ({text}, Holm p {pair.p_holm:.4f})."


def table(headline: Any, methods: Sequence[str], found: Found) -> str:
    """Methods down, sizes across."""
    rows = []
    for method in methods:
        cells = []
        for of in found.values():
            i = of.get(method)
            cells.append("–" if i is None else sets.interval_text(i.value, i.low, i.high, headline.digits))
        rows.append([method, family(method), *cells])
    better = "lower" if headline.lower_is_better else "higher"
    figure = f"{headline.title}, {headline.unit} ({better} is better)"
    return sets.markdown([figure, "family", *(str(size) for size in found)], rows)


def plot(name: str, headline: Any, methods: Sequence[str], found: Found) -> bytes:
    """PNG: the figure over the number of training pictures, a line and a band per method."""
    dashes = {"floor": ":", "classical": "--", "deep": "-.", "peer": ":"}
    with plots.figure(7.2, 4.6, "learning") as fig:
        fig.set_facecolor("white")
        axis = fig.subplots()
        axis.set_xscale("log")
        for i, method in enumerate(methods):
            at = [(size, of[method]) for size, of in found.items() if method in of]
            if not at:
                continue
            x, color = [size for size, _ in at], plots.style_of(i)[0]
            y = [interval.value for _, interval in at]
            style = dashes.get(family(method), "-")
            label = f"{plots.plain(method)} ({family(method)})"
            axis.plot(x, y, color=color, marker="o", ms=4, ls=style, label=label)
            low, high = [v.low for _, v in at], [v.high for _, v in at]
            axis.fill_between(x, low, high, color=color, alpha=0.15, lw=0)
        axis.set_xticks(list(found), [str(size) for size in found])
        axis.minorticks_off()
        axis.set_xlabel("training pictures (log scale)")
        better = "lower" if headline.lower_is_better else "higher"
        axis.set_ylabel(f"{headline.title}, {headline.unit} ({better} is better)")
        axis.set_title(plots.plain(name), fontsize=10, loc="left")
        axis.legend(fontsize=8)
        out = io.BytesIO()
        fig.savefig(out, format="png", dpi=120, metadata={"Software": None})
        return out.getvalue()


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    problem = sets.load_problem(args.set, args.max_train, args.max_val, args.timed)
    sizes = with_all(args.sizes, len(problem.train)) if args.whole else sorted(set(args.sizes))
    made = {name: recipes.make_method(name, quick=args.quick) for name in args.methods}
    methods = parameterised(made, dict(args.param))
    if args.drawn:
        methods = twins(methods, problem, args.drawn, args.out / "drawn")
    headline, found, words, values = measure(methods, problem, sizes, args)
    if not found:
        raise InputError(f"{args.out}: no method gave an answer on any size")
    listed = "\n".join(f"- {sentence}" for sentence in words)
    text = f"### {args.set}\n\n{table(headline, list(methods), found)}\n\n{listed}\n"
    print(f"\n{text}", flush=True)
    folder = args.out / args.set
    data = {str(s): {m: vars(i) for m, i in of.items()} for s, of in found.items()}
    write_atomic(folder / "curves.md", text)
    write_atomic(folder / "curves.json", json.dumps({"figure": headline.key, "sizes": data}, indent=1))
    write_atomic(folder / "curves.png", plot(args.set, headline, list(methods), found))
    print(f"written: {folder}/curves.md, .json, .png", file=sys.stderr)
    if args.publish:
        write_atomic(args.publish, json.dumps(published(args, problem, headline, values)) + "\n")


def published(
    args: argparse.Namespace, problem: Problem, headline: Any, values: dict[str, Any]
) -> dict[str, Any]:
    """What ``docs/tables.py`` reads: each object's figure for each size and method."""
    about = {"data": problem.name, "judged": len(problem.val), "seeds": ", ".join(map(str, args.seeds))}
    about |= {"settings": ", ".join(f"{key}={value}" for key, value in args.param), "drawn": args.drawn}
    about |= {"machine": args.machine, "date": str(date.today()), "torch": version("torch")}
    return {
        "provenance": about,
        "figure": {headline.key: publish_results.figure(headline)},
        **values,
    }


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = sets.parser(__doc__, publish=True)
    parser.add_argument("--set", help="default: faces68")
    parser.add_argument("--methods", type=sets.names_of, help=f"methods, default: {','.join(METHODS)}")
    parser.add_argument(
        "--sizes",
        type=lambda t: [int(s) for s in t.split(",")],
        help=f"training pictures, default: {SIZES}; the whole part is always added",
    )
    shared(parser, "--param")
    parser.add_argument("--seeds", type=lambda t: [int(s) for s in t.split(",")], default=[0])
    parser.add_argument("--drawn", type=int, default=0, help="also start networks from so many drawn faces")
    parser.add_argument("--no-whole", dest="whole", action="store_false", help="leave the whole part out")
    parser.add_argument("--out", type=Path, default=Path("hybridkp-out/learning-curves"))
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: %(default)s)")
    parser.add_argument("--timed", type=int, default=0, help="objects on the clock (default: %(default)s)")
    parser.add_argument("--max-train", type=int, help="training pictures altogether")
    parser.add_argument("--max-val", type=int, help="evaluated pictures")
    parser.add_argument("--only-table", action="store_true", help="fit nothing: print what --out holds")
    parser.add_argument("--quick", action="store_true", help="tiny, on synthetic faces, classical methods")
    args = parser.parse_args(arguments)
    args.set = args.set or ("synthetic" if args.quick else "faces68")
    if args.quick:
        args.sizes, args.whole = args.sizes or [12], False
        args.methods = args.methods or ["mean-shape", "hog+ridge"]
        args.max_train, args.max_val = args.max_train or 36, args.max_val or 16
    args.sizes = args.sizes or list(SIZES_OF.get(args.set, SIZES))
    args.methods = args.methods or list(METHODS)
    return args


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
