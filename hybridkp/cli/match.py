"""``hybridkp match``: two pictures, matched by interest points."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..structures import InputError
from .display import OK
from .options import count, seed_option

NAME = "match"
HELP = "match two pictures by interest points"
EXAMPLES = """\
  hybridkp match left.png right.png -o matches.png
  hybridkp match left.png right.png --method "orb+beblid:refine" --points 512 -o matches.json"""

PICTURES = (".png", ".jpg", ".jpeg")  #: endings of what is drawn


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", type=Path, metavar="A", help="first picture")
    parser.add_argument("b", type=Path, metavar="B", help="second picture")
    parser.add_argument("--method", default="rootsift", help='a method as in "hybridkp list --task points"')
    parser.add_argument("--points", type=count, default=1024, help="points per picture (default 1024)")
    seed_option(parser)
    parser.add_argument("--most", type=count, default=100, help="draw at most so many matches (default 100)")
    parser.add_argument("-o", "--out", type=Path, help="matches.png (or .jpg) or matches.json")


def run(args: argparse.Namespace) -> int:
    from ..files import read_image, write_atomic, write_image
    from ..imaging.draw import draw_matches
    from ..recipes import make_matcher

    ending = None if args.out is None else args.out.suffix.lower()
    if ending is not None and ending not in (".json", *PICTURES):
        raise InputError(f"{args.out}: give a name that ends in .json, {' or '.join(PICTURES)}")
    matcher = make_matcher(args.method, args.points, args.seed)
    image_a, image_b = read_image(args.a), read_image(args.b)
    found = matcher.match(image_a, image_b)
    if ending == ".json":
        write_atomic(args.out, json.dumps(_document(found, args), indent=1, allow_nan=False))
    elif ending is not None:
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
