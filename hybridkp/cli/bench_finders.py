"""``hybridkp bench-finders``: finders of objects in whole pictures, compared."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..files.lease import work_in
from .display import Display, ended, show_pictures_report
from .options import DATA, READER, methods, reading, results_folder, shared

NAME = "bench-finders"
HELP = "compare finders of objects in whole pictures"
EXAMPLES = """\
  hybridkp bench-finders                       embedded scenes of faces
  hybridkp bench-finders flies13 --finders "hog+svm,centernet,fused(hog+svm,centernet)" --out runs/flies
  hybridkp bench-finders scenes --finders "hog+svm,lbp-faces" --max-train 60 --max-val 30
A run that was stopped goes on when the same command is given again: finished finders are kept."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", nargs="?", default="scenes", help=DATA + ' (default "scenes")')
    parser.add_argument(
        "--finders", type=methods, metavar="A,B", help='finders as in "hybridkp list --task finders"'
    )
    parser.add_argument("--quick", action="store_true", help="short training")
    shared(parser, "--split", "--max-train", "--max-val", "--seed", "--executor", *READER)
    parser.add_argument("-o", "--out", type=Path, help="folder (default hybridkp-out/<data>-finders)")


def run(args: argparse.Namespace) -> int:
    from .. import evaluate, recipes

    names = [recipes.canonical(name, "finders") for name in args.finders or recipes.FINDERS_DEFAULT]
    names = list(dict.fromkeys(names))
    made = {name: recipes.make_finder(name, quick=args.quick) for name in names}
    limits = {"max_train": args.max_train, "max_val": args.max_val}
    problem = evaluate.load_problem(args.data, args.split, **limits, **reading(args))
    out = results_folder(args, "-finders")
    args.resume = f"Finished finders are kept in {out}; give the same command again to go on."
    with work_in(out), Display(len(made)) as display:
        found = evaluate.bench_finders(
            made,
            problem,
            out,
            seed=args.seed,
            settings={"quick": args.quick},
            executor=args.executor,
            progress=display,
        )
    models = {name: evaluate.model_file(out, name, finder) for name, finder in made.items()}
    show_pictures_report(found, problem, out, models, "finders")
    return ended(display, out)
