"""``hybridkp data check``: mistakes in annotations, and with ``--model`` the labels that look wrong."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

from .display import FAILED, OK, Bar, provenance
from .options import CROPS, DATA, READER, count, methods, reading, results_folder, shared

NAME = "data check"
HELP = "find mistakes in annotations, and say what each does to the score"
EXAMPLES = """\
  hybridkp data check faces68
  hybridkp data check annotations.json --images photos/
  hybridkp data check faces68 --model                     also which labels a detector doubts
  hybridkp data check faces68 --model "sdm,lbf" -o doubts"""
MODEL = "sdm"  #: fast, and needs few objects


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="PATH", help=DATA)
    shared(parser, *READER)
    parser.add_argument(
        "--model",
        type=methods,
        nargs="?",
        const=[MODEL],
        metavar="A,B",
        help="also ask methods, fitted on other pictures, about every label, and write a page of the"
        f" suspicious ones (behind PATH; default {MODEL}; two unlike ones see more)",
    )
    parser.add_argument(
        "-o", "--out", type=Path, help="of --model: folder of the page (default hybridkp-out/<data>-labels)"
    )
    parser.add_argument("--show", type=count, metavar="N", default=60, help="pictures on it (default 60)")
    shared(parser, *CROPS, "--seed")


def run(args: argparse.Namespace) -> int:
    from ..datasets import check_dataset
    from ..recipes import make_method

    detectors = {name: make_method(name) for name in args.model or ()}
    findings = list(check_dataset(args.data, **reading(args)))
    for finding in findings:
        print(finding)
    if not findings:
        print(f"{args.data}: nothing to complain about")
    if detectors:
        _ask(args, detectors)
    return FAILED if any(finding.severity == "error" for finding in findings) else OK


def _ask(args: argparse.Namespace, detectors: dict[str, Any]) -> None:
    """Suspicious labels: the first lines here, all of them on a page."""
    from ..datasets import load_dataset, thin
    from ..labels import check_labels, records, write_suspicions
    from ..memory import remember
    from ..structures import DataWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the findings have told it
        dataset = thin(load_dataset(args.data, **reading(args)), args.max_train)
    out = results_folder(args, "-labels")
    args.resume = f"Finished folds are kept in {out}."
    with Bar("method") as bar, remember(out / "cache"):
        found = check_labels(
            dataset,
            detectors,
            size_hw=(args.crop, args.crop),
            margin=args.margin,
            random_state=args.seed,
            progress=bar,
        )
    n = int(found.suspicious.sum())
    print(f"\n{dataset.name}: {n} of {len(found.score)} labels are suspicious")
    for record in records(found)[: min(n, 10)]:
        which = record["picture"] + (f" object {record['object']}" if record["object"] else "")
        print(f"  {record['rank']:3}  {record['score']:5.1f}  {which}: {record['finding']}")
    paths = write_suspicions(found, out, shown=args.show, provenance=provenance())
    print(f"\nPage: {paths['html']} (all of them: {paths['csv'].name}, {paths['json'].name})")
