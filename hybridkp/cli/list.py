"""``hybridkp list``: the methods that can be named."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from .display import OK

NAME = "list"
HELP = "the methods that can be named"
EXAMPLES = "  hybridkp list\n  hybridkp list --task points --parts"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--task", choices=("landmarks", "points"), default="landmarks", help="default: landmarks"
    )
    parser.add_argument("--parts", action="store_true", help="what expressions are made of, too")


def run(args: argparse.Namespace) -> int:
    from .. import recipes

    rows = []
    for line in recipes.methods_table(args.task):
        about = line.about + ("" if line.name == line.definition else f" = {line.definition}")
        rows.append((line.name, line.family, about) if args.task == "points" else (line.name, about))
    show(rows)
    if args.parts:
        print("\nparts, and where in an expression they may stand:\n")
        show(recipes.parts_table(args.task))
    return OK


def show(rows: Iterable[tuple[str, ...]]) -> None:
    """Columns, each as wide as its widest cell."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
