"""``hybridkp match``: two pictures, matched by interest points."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..structures import InputError
from .display import OK, left_out, steps
from .features import MANY_POINTS
from .options import HDF5, count, ending, shared

NAME = "match"
HELP = "match two pictures by interest points"
EXAMPLES = """\
  hybridkp match left.png right.png -o matches.png
  hybridkp match left.png right.png --method "orb+beblid:refine" --points 512 -o matches.json
  hybridkp match photos/ --pairs pairs.txt --method rootsift -o matches.h5 --database database.db
Two pictures are turned upright by their EXIF orientation. With --pairs they are taken as their files have
them, as hloc and COLMAP read them."""

PICTURES = (".png", ".jpg", ".jpeg")  #: endings of what is drawn


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", type=Path, metavar="A", help="first picture; with --pairs a folder")
    parser.add_argument("b", type=Path, metavar="B", nargs="?", help="second picture")
    parser.add_argument("--method", default="rootsift", help='a method as in "hybridkp list --task points"')
    parser.add_argument("--points", type=count, help="points per picture (default 1024; with --pairs 2048)")
    shared(parser, "--seed")
    parser.add_argument("--most", type=count, default=100, help="draw at most so many matches (default 100)")
    parser.add_argument("-o", "--out", type=Path, help="matches.png (or .jpg), .json; with --pairs .h5")
    many = parser.add_argument_group("many pairs")
    many.add_argument("--pairs", type=Path, help="a text, two pictures' names of the folder a line")
    many.add_argument("--features", type=Path, help="HDF5 of `hybridkp features`, made where it is not there")
    many.add_argument("--database", type=Path, help="write a COLMAP database too")


def run(args: argparse.Namespace) -> int:
    if args.points is None:
        args.points = 1024 if args.pairs is None else MANY_POINTS
    if args.pairs is not None:
        return _many(args)
    if args.b is None:
        raise InputError("match: give two pictures, or a folder with --pairs pairs.txt")
    if args.features is not None or args.database is not None:
        raise InputError("match: --features and --database go with --pairs pairs.txt")
    return _two(args)


def _many(args: argparse.Namespace) -> int:
    """The pairs of a list, in hloc's HDF5."""
    from ..points import colmap_database, describe_pictures, match_pairs, pictures_of, read_pairs
    from ..recipes import make_matcher

    if args.b is not None or args.out is None:
        raise InputError("match --pairs: give one folder of pictures, and -o matches.h5")
    ending(args.out, *HDF5)
    matcher = make_matcher(args.method, args.points, args.seed)
    pairs = read_pairs(args.pairs, pictures_of(args.a))
    features = args.features or args.out.with_name(f"{args.out.stem}-features.h5")
    args.resume = f"What is finished is kept in {features} and {args.out}; give the command again."
    names, refused = sorted({name for pair in pairs for name in pair}), dict[str, str]()
    steps(describe_pictures(matcher, args.a, names, features, refused), len(names), "pictures")
    pairs = [pair for pair in pairs if refused.keys().isdisjoint(pair)]
    steps(match_pairs(matcher, pairs, features, args.out), len(pairs), "pairs")
    if args.database is not None:
        colmap_database(pairs, features, args.out, args.database)
        print(args.database)
    print(features, args.out, sep="\n")
    return left_out([*refused.values()])


def _two(args: argparse.Namespace) -> int:
    from ..files import needed_bits, read_image, write_atomic, write_image
    from ..imaging.draw import draw_matches
    from ..recipes import make_matcher

    kind = None if args.out is None else ending(args.out, ".json", *PICTURES)
    matcher = make_matcher(args.method, args.points, args.seed)
    bits = needed_bits((args.a, args.b), "the two pictures")
    image_a, image_b = read_image(args.a, bits), read_image(args.b, bits)
    found = matcher.match(image_a, image_b)
    if kind == ".json":
        write_atomic(args.out, json.dumps(_document(found, args), indent=1, allow_nan=False))
    elif kind is not None:
        shown = draw_matches(image_a, image_b, found.xy_a, found.xy_b, found.inlier, most=args.most)
        write_image(args.out, shown)
    counts = f"{len(found.keypoints_a)} and {len(found.keypoints_b)} points, {len(found.xy_a)} matches"
    print(f"{args.method}: {counts}, {int(found.inlier.sum())} inliers")
    if _homography(found) is None:
        print(f"no homography was found: {found.reason}" if found.reason else "no homography was found")
    else:
        print("\n".join(" ".join(f"{v:14.8g}" for v in row) for row in found.homography))
    if args.out is not None:
        print(args.out)
    return OK


def _homography(found: Any) -> Any:
    """(3, 3) as lists, None where there is none."""
    rows = found.homography.tolist()
    return None if rows[0][0] != rows[0][0] else rows  # NaN


def _document(found: Any, args: argparse.Namespace) -> dict[str, Any]:
    """What ``match`` writes as JSON; without a homography it is null."""
    return {
        "a": str(args.a),
        "b": str(args.b),
        "method": args.method,
        "n_points": args.points,
        "homography": _homography(found),
        "matches": [
            {"a": a, "b": b, "score": s, "inlier": i}
            for a, b, s, i in zip(
                found.xy_a.astype(float).round(3).tolist(),
                found.xy_b.astype(float).round(3).tolist(),
                found.score.astype(float).tolist(),
                found.inlier.tolist(),
                strict=True,
            )
        ],
        "seconds": dict(found.seconds),
    }
