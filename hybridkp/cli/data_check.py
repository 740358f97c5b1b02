"""``hybridkp data check``: mistakes in annotations."""

from __future__ import annotations

import argparse

from .display import FAILED, OK
from .options import DATA, reader_options, reading

NAME = "data check"
HELP = "find mistakes in annotations, and say what each does to the score"
EXAMPLES = "  hybridkp data check faces68\n  hybridkp data check annotations.json --images photos/"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="PATH", help=DATA)
    reader_options(parser)


def run(args: argparse.Namespace) -> int:
    from ..datasets import check_dataset

    findings = list(check_dataset(args.data, **reading(args)))
    for finding in findings:
        print(finding)
    if not findings:
        print(f"{args.data}: nothing to complain about")
    return FAILED if any(finding.severity == "error" for finding in findings) else OK
