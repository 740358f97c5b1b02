"""``hybridkp tune``: settings chosen on folds of the training part, and a table of every trial."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..files.lease import work_in
from ..structures import InputError
from .display import OK, Bar, provenance, say
from .options import CROPS, DATA, READER, count, reading, shared

NAME = "tune"
HELP = "choose settings on folds of the training part"
EXAMPLES = """\
  hybridkp tune faces68 --methods "sdm,heatmap" --trials 8 -o runs/tuned
  hybridkp bench faces68 --methods "sdm,heatmap,vote" --tuned runs/tuned
  hybridkp tune faces68 --methods "heatmap[input_px=64]:sdm" --param max_epochs=15 -o runs/tuned-short
Every method gets the same number of trials, on folds of the training part; val is never seen.
A setting replaces the defaults where a paired test over the held-out objects, corrected for all
trials, says that it is better.  Trials are judged by the figure that leads in a report.
A search that was stopped goes on when the same command is given again."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help=DATA)
    shared(parser, "--methods", help="with commas (default: all that have settings)")
    parser.add_argument(
        "--trials", type=count, metavar="N", default=8, help="settings per method, defaults first (8)"
    )
    parser.add_argument(
        "--cv", type=count, metavar="N", default=3, help="folds, which never cut a group (default 3)"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the trials")
    parser.add_argument("--quick", action="store_true", help="short trainings")
    shared(parser, "--seed", "--jobs", "--executor", "--threads", "--param", *CROPS, "--normalizer", *READER)


def run(args: argparse.Namespace) -> int:
    from .. import evaluate, recipes
    from ..files import write_atomic

    names = [recipes.canonical(name) for name in args.methods or recipes.tuned_names()]
    for name in names:
        fixed = ", ".join(recipes.untuned(name))
        if not recipes.search_space(name):
            raise InputError(f"{name} has nothing to tune: {fixed} without a search space")
        if fixed:
            say(f"hybridkp: note: {name}: nothing to tune in {fixed}")
    params = dict(args.param)
    made = {name: recipes.make_method(name, quick=args.quick) for name in names}
    made = recipes.parameterised(made, params)
    problem = evaluate.load_problem(
        args.data,
        max_train=args.max_train,
        normalizer=args.normalizer,
        size_hw=(args.crop, args.crop),
        margin=args.margin,
        **reading(args),
    )
    args.resume = f"Finished folds are kept in {args.out}; give the same command again to go on."
    found = {}
    for name, estimator in made.items():
        space = {k: v for k, v in recipes.search_space(name).items() if k.split("__")[-1] not in params}
        with work_in(args.out), evaluate.fits_with(args.threads), Bar("trial", f"{name}: ") as bar:
            found[name] = evaluate.tune(
                estimator,
                space,
                problem,
                out=args.out / evaluate.file_name(name),
                n_trials=args.trials,
                cv=args.cv,
                random_state=args.seed,
                n_jobs=args.jobs,
                name=name,
                executor=args.executor,
                progress=bar,
            )
    facts = provenance()
    tables = "\n\n".join(evaluate.trials_table(name, trials) for name, trials in found.items())
    note = f"`{facts['command']}`, {facts['date']}"
    write_atomic(args.out / "trials.md", f"# Trials\n\n{note}\n\n{tables}\n")
    write_atomic(args.out / "trials.csv", evaluate.trials_csv(found))
    print(evaluate.choices_table(found))
    print(f"\nEvery trial: {args.out / 'trials.md'}")
    print(f"Use them: hybridkp bench {args.data} --tuned {args.out}")
    return OK
