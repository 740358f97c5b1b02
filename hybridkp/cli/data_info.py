"""``hybridkp data info``: what is in a data set."""

from __future__ import annotations

import argparse
import json
import textwrap

from .display import OK
from .options import DATA, READER, reading, shared

NAME = "data info"
HELP = "what is in a data set"
EXAMPLES = "  hybridkp data info faces68\n  hybridkp data info synthetic"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="PATH", help=DATA)
    shared(parser, *READER)
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def run(args: argparse.Namespace) -> int:
    from ..datasets import describe_dataset, split_names

    splits = split_names(args.data) or (None,)
    facts = [describe_dataset(args.data, split, **reading(args)) for split in splits]
    if args.json:
        print(json.dumps(facts, indent=1))
        return OK
    for part in facts:
        width = max(map(len, part))
        for name, value in part.items():
            if isinstance(value, dict):
                value = ", ".join(f"{k} {v}" for k, v in value.items())
            lines = textwrap.wrap(str(value), 100 - width) or [""]
            print(f"{name:{width}}  {lines[0]}")
            for line in lines[1:]:
                print(f"{'':{width}}  {line}")
        print()
    return OK
