"""``hybridkp bench``: train and compare methods on one data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..files.lease import work_in
from ..structures import InputError, Problem
from .display import Display, ended, show_pictures_report, show_report
from .options import CROPS, DATA, READER, reading, results_folder, shared

NAME = "bench"
HELP = "train and compare methods; writes a report"
EXAMPLES = """\
  hybridkp bench
  hybridkp bench faces68 --methods "mean-shape,hog+svm,heatmap:flip:sdm" --seeds 0,1 --out runs/faces
  hybridkp bench mouse17 --normalizer pixel --quick
  hybridkp bench farm.json --category cow --images photos/ --methods sdm
  hybridkp bench faces68 --methods "heatmap[input_px=64],vote(sdm,heatmap:flip)" --param max_epochs=20
  hybridkp bench scenes --methods "hog+svm/sdm,centernet/heatmap,paf,onestage:sdm" --max-train 60
  hybridkp bench faces68 --methods "sdm,heatmap" --executor dask://node1:8786 --out /shared/runs/faces
A run that was stopped goes on when the same command is given again: finished methods are kept, a
network goes on after its last whole epoch.
Methods that find their objects themselves are compared on whole pictures: in the boxes that they find and, if
they have a finder, in the given ones; methods without a finder stand beside them in the given ones. They are
fitted one after the other."""

QUICK_TRAIN = 600  #: training pictures with --quick


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", nargs="?", default="synthetic", help=DATA + " (default)")
    shared(parser, "--methods", help='methods as in "hybridkp list", with commas')
    parser.add_argument(
        "--quick",
        action=argparse.BooleanOptionalAction,
        help=f"short list, short training, at most {QUICK_TRAIN} training pictures (default for synthetic)",
    )
    parser.add_argument(
        "--tuned", type=Path, metavar="FOLDER", help='folder of "hybridkp tune": use the settings it chose'
    )
    shared(parser, "--param", "--split", "--seeds", "--jobs", "--executor", "--threads")
    parser.add_argument(
        "-o", "--out", type=Path, metavar="FOLDER", help="for all results (default hybridkp-out/<data>)"
    )
    shared(parser, "--max-val", *CROPS, "--normalizer", *READER)
    parser.add_argument(
        "--anyway",
        action="store_true",
        help="go on although the data have errors that make figures wrong; the report repeats them",
    )


def run(args: argparse.Namespace) -> int:
    from .. import evaluate, recipes

    quick = args.quick if args.quick is not None else args.data == "synthetic"
    names = [
        recipes.canonical(name) for name in args.methods or (recipes.QUICK if quick else recipes.DEFAULT)
    ]
    made = {name: recipes.make_method(name, quick=quick) for name in names}
    if args.tuned:
        found = evaluate.found_settings(args.tuned)
        made = {name: recipes.with_settings(name, method, found) for name, method in made.items()}
    made = recipes.parameterised(made, dict(args.param))
    methods = [(name, made[name]) for name in names]
    problem = evaluate.load_problem(
        args.data,
        args.split,
        max_train=args.max_train or (QUICK_TRAIN if quick else None),
        max_val=args.max_val,
        normalizer=args.normalizer,
        size_hw=(args.crop, args.crop),
        margin=args.margin,
        max_timed=20 if quick else 50,
        anyway=args.anyway,
        **reading(args),
    )
    out = results_folder(args, "-quick" if quick else "")
    args.resume = f"Finished methods are kept in {out}; give the same command again to go on."
    if any(evaluate.is_whole(method) for _, method in methods):
        return _whole(args, made, problem, out)
    with work_in(out), evaluate.fits_with(args.threads):
        with Display(len(methods) * len(set(args.seeds))) as display:
            predictions = evaluate.bench(
                methods,
                problem,
                out=out,
                seeds=args.seeds,
                n_jobs=args.jobs,
                executor=args.executor,
                progress=display,
            )
        show_report(predictions, problem, out)
    return ended(display, out)


def _whole(args: argparse.Namespace, made: dict[str, Any], problem: Problem, out: Path) -> int:
    """Methods on whole pictures, of which one at least finds its objects itself."""
    from .. import evaluate

    if len(set(args.seeds)) > 1:
        raise InputError("methods with a finder are benched with one seed at a time: give --seeds one number")
    seed = args.seeds[0]
    with work_in(out), evaluate.fits_with(args.threads), Display(len(made)) as display:
        found = evaluate.bench_finders(
            made, problem, out, seed=seed, executor=args.executor, progress=display
        )
    models = {f.finder: evaluate.model_file(out, f.finder, made[f.finder], seed) for f in found}
    show_pictures_report(found, problem, out, models)
    return ended(display, out)
