"""The commands of the interest-point task: the bench, one pair of pictures, the list of methods."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..structures import InputError
from . import commands
from .display import Display, say

if TYPE_CHECKING:
    from ..files import MatchedSet
    from ..structures.pairs import PairSet

OK, FAILED = 0, 1
QUICK_POINTS = 512
QUICK_PAIRS = 2  #: of each sequence with --quick

EXAMPLES = {
    "bench-points": """\
  hybridkp bench-points                        embedded pictures, all methods
  hybridkp bench-points oxford_affine --methods sift,orb,net --points 512,1024,2048 --jobs 2
  hybridkp bench-points hpatches-sequences-release --short-side 480 --out runs/hpatches
A run that was stopped goes on when the same command is given again.""",
    "match": """\
  hybridkp match left.png right.png -o matches.png
  hybridkp match left.png right.png --method orb --points 512 -o matches.json""",
}


def bench_points(args: argparse.Namespace) -> int:
    from .. import datasets, evaluate
    from ..files import write_atomic
    from ..recipes import points as point_recipes

    names = args.methods or list(point_recipes.DEFAULT)
    known = point_recipes.method_names()
    for name in names:
        if name not in known:
            point_recipes.make_matcher(name)  # says what is meant
    methods = [(name, partial(point_recipes.make_matcher, name)) for name in names]
    budgets = args.points or [QUICK_POINTS if args.quick else 1024]
    pairs = datasets.load_pairs(args.data, args.short_side)
    pairs = few_of_each(pairs, QUICK_PAIRS) if args.quick else pairs
    stem = f"{Path(args.data).resolve().stem}-points{'-quick' if args.quick else ''}"
    out = args.out or Path("hybridkp-out") / stem
    args.resume = f"Finished methods are kept in {out}; give the same command again to go on."
    facts = {"task": "points", "data": args.data, "short_side": args.short_side, "quick": args.quick}
    write_atomic(out / "bench.json", json.dumps(facts, indent=1))
    display = Display(len(methods) * len(set(budgets)) * len(set(args.seeds)))
    try:
        found = evaluate.bench_pairs(
            methods,
            pairs,
            out=out,
            n_points=budgets,
            seeds=args.seeds,
            n_jobs=args.jobs,
            progress=display,
        )
    finally:
        display.close()
    for matched in found:
        if matched.failures:
            where = out / "errors"
            say(
                f"hybridkp: note: {matched.label} raised at {len(matched.failures)} of {len(matched)} pairs,"
                f" which count as not answered; see {where}"
            )
    _write_report(found, pairs, out)
    for name in display.failed:
        say(f"hybridkp: {name} failed; its traceback is in {out / 'errors'}")
    return FAILED if display.failed else OK


def report(args: argparse.Namespace) -> int:
    """The page again, of a points bench's folder; of any other, the landmarks' report."""
    try:
        facts = json.loads((args.out / "bench.json").read_text())
        if facts.get("task") != "points":
            return commands.report(args)
        data, short_side, quick = args.data or facts["data"], facts["short_side"], facts["quick"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return commands.report(args)
    from .. import datasets, evaluate

    found = evaluate.stored_matches(args.out)
    pairs = datasets.load_pairs(data, short_side)
    pairs = few_of_each(pairs, QUICK_PAIRS) if quick else pairs
    fingerprint = pairs.fingerprint
    found = [m for m in found if m.fingerprint == fingerprint]
    if not found:
        raise InputError(f"{args.out}: holds matches of other pairs than {data}; run the bench again")
    _write_report(found, pairs, args.out)
    return OK


def match(args: argparse.Namespace) -> int:
    from ..files import read_image, write_atomic, write_image
    from ..imaging.draw import draw_matches
    from ..recipes import points as point_recipes

    if args.out is not None and args.out.suffix.lower() not in (".json", *_PICTURES):
        raise InputError(f"{args.out}: give a name that ends in .json, {' or '.join(_PICTURES)}")
    image_a, image_b = read_image(args.a), read_image(args.b)
    found = point_recipes.make_matcher(args.method, args.points, args.seed).match(image_a, image_b)
    if args.out is not None and args.out.suffix.lower() == ".json":
        write_atomic(args.out, json.dumps(_document(found, args), indent=1, allow_nan=False))
    elif args.out is not None:
        shown = draw_matches(image_a, image_b, found.xy_a, found.xy_b, found.inlier, most=args.most)
        write_image(args.out, shown)
    counts = f"{len(found.keypoints_a)} and {len(found.keypoints_b)} points, {len(found.xy_a)} matches"
    print(f"{args.method}: {counts}, {int(found.inlier.sum())} inliers")
    if found.homography[0, 0] != found.homography[0, 0]:  # NaN
        print(f"no homography was found: {found.reason}" if found.reason else "no homography was found")
    else:
        print("\n".join(" ".join(f"{v:14.8g}" for v in row) for row in found.homography))
    if args.out is not None:
        print(args.out)
    return OK


def list_methods(args: argparse.Namespace) -> int:
    if args.task == "landmarks":
        return commands.list_methods(args)
    from ..recipes import points as point_recipes

    names = point_recipes.method_names()
    width = max(map(len, names), default=0)
    kind = max((len(point_recipes.family(n)) for n in names), default=0)
    for name in names:
        print(f"{name:{width}}  {point_recipes.family(name):{kind}}  {point_recipes.describe_method(name)}")
    return OK


# --------------------------------------------------------------------------------------------
# options
# --------------------------------------------------------------------------------------------


def bench_options(parser: argparse.ArgumentParser, names: Any, counts: Any, numbers: Any) -> None:
    parser.add_argument(
        "data",
        nargs="?",
        default="synthetic",
        help='folder of sequences as in HPatches (1.png, 2.png, H_1_2, ...), or "synthetic" (default)',
    )
    parser.add_argument("--methods", type=names, help='names from "hybridkp list --task points", with commas')
    parser.add_argument("--points", type=counts, help="budgets of points per picture, with commas (1024)")
    parser.add_argument("--seeds", type=numbers, default=[0], help="with commas (default 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time; -1 = one per core")
    parser.add_argument(
        "--short-side", type=int, default=480, help="pictures are shrunk to it, px; 0 = as they are (480)"
    )
    parser.add_argument("--out", type=Path, help="folder (default hybridkp-out/<data>-points)")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_PAIRS} pairs a sequence, {QUICK_POINTS} points"
    )


def match_options(parser: argparse.ArgumentParser, count: Any) -> None:
    parser.add_argument("a", type=Path, metavar="A", help="first picture")
    parser.add_argument("b", type=Path, metavar="B", help="second picture")
    parser.add_argument("--method", default="rootsift", help='a name from "hybridkp list --task points"')
    parser.add_argument("--points", type=count, default=1024, help="points per picture (default 1024)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=count, default=100, help="draw at most so many matches (default 100)")
    parser.add_argument("-o", "--out", type=Path, help="matches.png (or .jpg) or matches.json")


# --------------------------------------------------------------------------------------------
# helpers
# --------------------------------------------------------------------------------------------

_PICTURES = (".png", ".jpg", ".jpeg")


def few_of_each(pairs: PairSet, n: int) -> PairSet:
    """At most ``n`` pairs of every sequence, evenly spread."""
    from dataclasses import replace

    rows: dict[str, list[Any]] = {}
    for pair in pairs:
        rows.setdefault(pair.sequence, []).append(pair)
    chosen = [p[i * len(p) // min(n, len(p))] for p in rows.values() for i in range(min(n, len(p)))]
    return replace(pairs, pairs=tuple(chosen))


def _write_report(found: Sequence[MatchedSet], pairs: PairSet, out: Path) -> None:
    from ..recipes import points as point_recipes
    from ..report import write_points_report

    names = list(dict.fromkeys(m.method for m in found))
    known = [n for n in names if n in point_recipes.method_names()]
    paths = write_points_report(
        found,
        pairs,
        out,
        families={n: point_recipes.family(n) for n in known},
        abouts={n: point_recipes.describe_method(n) for n in known},
        provenance={"command": " ".join(["hybridkp", *sys.argv[1:]]), "date": time.strftime("%Y-%m-%d")},
    )
    print(paths["markdown"].read_text().rstrip())
    print(f"\nReport: {paths['html']} (what the columns mean is explained there)")


def _document(found: Any, args: argparse.Namespace) -> dict[str, Any]:
    """What ``match`` writes as JSON; without a homography it is null."""
    homography = found.homography.tolist()
    return {
        "a": str(args.a),
        "b": str(args.b),
        "method": args.method,
        "n_points": args.points,
        "homography": None if homography[0][0] != homography[0][0] else homography,
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
