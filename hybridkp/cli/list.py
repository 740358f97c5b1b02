"""``hybridkp list``: the methods that can be named."""

from __future__ import annotations

import argparse

from .display import OK

NAME = "list"
HELP = "the methods that can be named"
EXAMPLES = "  hybridkp list\n  hybridkp list --task points"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--task", choices=("landmarks", "points"), default="landmarks", help="default: landmarks"
    )


def run(args: argparse.Namespace) -> int:
    from .. import recipes
    from ..recipes import points

    rows: list[tuple[str, ...]]
    if args.task == "landmarks":
        rows = [(name, recipes.describe_method(name)) for name in recipes.method_names()]
    else:
        rows = [(n, points.family(n), points.describe_method(n)) for n in points.method_names()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    return OK
