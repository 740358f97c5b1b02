"""``hybridkp features``: the interest points of a folder of pictures, for programs that go on from there."""

from __future__ import annotations

import argparse
from pathlib import Path

from .display import left_out, steps
from .options import HDF5, count, ending, shared

NAME = "features"
MANY_POINTS = 2048  #: of each picture; match --pairs takes as many, so that its features are these
HELP = "write the interest points of a folder of pictures as HDF5"
EXAMPLES = """\
  hybridkp features photos/ --method rootsift -o features.h5
  hybridkp features photos/ --method "orb+beblid" --points 4096 -o features.h5
The layout is hloc's, and points are in px of the picture as its file has it, as hloc and COLMAP read it,
whatever its EXIF orientation says.  Pictures that cannot be read are left out, and told at the end.
A run that was stopped goes on when the same command is given again."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="pictures, in folders inside it too")
    parser.add_argument(
        "--method", default="rootsift", help='a method of one feature, as in "hybridkp list --task points"'
    )
    parser.add_argument("--points", type=count, default=MANY_POINTS, help="points per picture (default 2048)")
    shared(parser, "--seed")
    parser.add_argument("-o", "--out", type=Path, required=True, help="features.h5")


def run(args: argparse.Namespace) -> int:
    from ..points import describe_pictures, pictures_of
    from ..recipes import make_matcher

    ending(args.out, *HDF5)
    matcher, names = make_matcher(args.method, args.points, args.seed), pictures_of(args.folder)
    args.resume = f"Finished pictures are kept in {args.out}; give the same command again to go on."
    refused: dict[str, str] = {}
    steps(describe_pictures(matcher, args.folder, names, args.out, refused), len(names), "pictures")
    print(args.out)
    return left_out([*refused.values()])
