"""``hybridkp list``: the methods that can be named."""

from __future__ import annotations

import argparse

from .display import OK

NAME = "list"
HELP = "the methods that can be named"
EXAMPLES = """\
  hybridkp list
  hybridkp list --task points
  hybridkp list --task finders
  hybridkp list --parts
A method is an expression of parts, quoted: "hog+svm", "heatmap:flip:sdm", "heatmap[input_px=64]:sdm",
"vote(hog+svm,heatmap:flip)". The list shows single parts and well-known combinations; all others are
methods too, or are refused with the reason."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--task",
        choices=("landmarks", "points", "finders", "classes"),
        default="landmarks",
        help="default: landmarks",
    )
    parser.add_argument(
        "--parts", action="store_true", help="what methods are made of, and where it may stand"
    )


def run(args: argparse.Namespace) -> int:
    from .. import recipes

    if args.parts:
        rows = [tuple(line) for line in recipes.parts_table(args.task)]
    else:
        lines = recipes.methods_table(args.task)
        written = (f"{x.about}" + f" = {x.definition}" * (x.definition != x.name) for x in lines)
        rows = [(x.name, x.family, about) for x, about in zip(lines, written, strict=True)]
    *widths, _ = (max(map(len, column), default=0) for column in zip(*rows, strict=True))
    for *cells, about in rows:
        print("  ".join([f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)] + [about]))
    return OK
