"""``hybridkp robustness``: a bench's models on harder pictures."""

from __future__ import annotations

import argparse

from ..files.lease import work_in
from .display import OK, Bar, provenance, show_page
from .options import DONE, count, names, reading, shared

NAME = "robustness"
HELP = "a bench's models on blurred, dark, turned pictures"
EXAMPLES = """\
  hybridkp robustness runs/faces
  hybridkp robustness runs/faces --methods "sdm,heatmap,vote" --kinds blur,rotation
The models of a bench predict again; nothing is trained. A run that was stopped goes on."""

KINDS = "blur, noise, jpeg, low-light, occlusion, rotation, small"


def add_options(parser: argparse.ArgumentParser) -> None:
    shared(parser, *DONE)
    shared(parser, "--methods", help="with commas (default: every model there)")
    parser.add_argument("--kinds", type=names, metavar="A,B", help=f"with commas, of {KINDS} (default all)")
    shared(parser, "--seed", help="of the models and of the corruptions (default 0)")
    shared(parser, "--jobs", "--executor")
    parser.add_argument("--max-val", type=count, metavar="N", help="predict so many pictures, evenly chosen")
    shared(parser, "--normalizer")


def run(args: argparse.Namespace) -> int:
    from .. import evaluate, recipes
    from ..report import write_robustness

    problem = evaluate.stored_problem(
        args.out,
        data=args.data,
        normalizer=args.normalizer,
        max_val=args.max_val,
        **reading(args),
    )
    methods = [recipes.canonical(name) for name in args.methods or ()]
    models = evaluate.stored_models(args.out, methods or None, args.seed)
    folder = args.out / "robustness"
    args.resume = f"Finished conditions are kept in {folder}; give the same command again to go on."
    with work_in(folder), Bar("condition") as bar:
        predictions = evaluate.robustness(
            models,
            problem,
            out=folder,
            kinds=args.kinds,
            random_state=args.seed,
            n_jobs=args.jobs,
            executor=args.executor,
            progress=bar,
        )
    paths = write_robustness(
        predictions,
        problem.val,
        args.out,
        normalizer=problem.normalizer,
        random_state=args.seed,
        provenance=provenance(),
    )
    show_page(paths)
    return OK
