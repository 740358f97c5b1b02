"""``hybridkp report``: the page again, from what a bench has stored."""

from __future__ import annotations

import argparse

from .display import OK, say, show_points_report, show_report
from .options import DONE, reading, shared

NAME = "report"
HELP = "make the report again from stored predictions"
EXAMPLES = "  hybridkp report runs/faces\n  hybridkp report runs/mouse --normalizer pixel"


def add_options(parser: argparse.ArgumentParser) -> None:
    shared(parser, *DONE, "--normalizer")


def run(args: argparse.Namespace) -> int:
    from .. import evaluate

    if evaluate.stored_task(args.out) == "points":
        show_points_report(*evaluate.comparable_matches(args.out, args.data), args.out)
        return OK
    evaluate.stored_predictions(args.out)  # a folder without any says so before its data are read
    problem = evaluate.stored_problem(args.out, data=args.data, normalizer=args.normalizer, **reading(args))
    good, others = evaluate.comparable_predictions(args.out, problem)
    if others:
        say(
            f"hybridkp: note: left out {', '.join(others)}: stored by a bench on other data or in"
            " another setting than the last one; run the bench with them again"
        )
    show_report(good, problem, args.out)
    return OK
