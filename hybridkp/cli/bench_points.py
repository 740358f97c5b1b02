"""``hybridkp bench-points``: interest points on pairs of pictures, compared."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from ..files.lease import work_in
from .display import Bar, Display, ended, say, show_points_report
from .options import counts, results_folder, shared

NAME = "bench-points"
HELP = "compare interest points on pairs of pictures"
EXAMPLES = """\
  hybridkp bench-points                        embedded pictures, all methods
  hybridkp bench-points oxford_affine --methods "sift,orb+beblid,rootsift:net" --points 512,1024,2048
  hybridkp bench-points oxford_affine --refine-truth
  hybridkp bench-points depth --methods "rootsift,union,rootsift:net"      relative pose
  hybridkp bench-points scannet/pairs_with_gt.txt --points 2048
  hybridkp bench-points hpatches-sequences-release --short-side 480 --out runs/hpatches
A run that was stopped goes on when the same command is given again."""

QUICK_POINTS = 512


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data",
        nargs="?",
        default="synthetic",
        help="folder of sequences as in HPatches (1.png, 2.png, H_1_2, ...); for relative pose SuperGlue's"
        ' pairs file or a COLMAP text model; or "synthetic" (default), or "depth" (rooms with cameras)',
    )
    shared(parser, "--methods", help='methods as in "hybridkp list --task points", with commas')
    parser.add_argument("--points", type=counts, help="budgets of points per picture, with commas (1024)")
    shared(parser, "--seeds", "--jobs", "--executor")
    parser.add_argument(
        "--short-side", type=int, default=480, help="pictures are shrunk to it, px; 0 = as they are (480)"
    )
    parser.add_argument(
        "--refine-truth",
        action="store_true",
        help="register the given homographies again on the pixels, and show figures under both",
    )
    parser.add_argument("-o", "--out", type=Path, help="folder (default hybridkp-out/<data>-points)")
    parser.add_argument("--quick", action="store_true", help=f"two pairs a sequence, {QUICK_POINTS} points")


def run(args: argparse.Namespace) -> int:
    from .. import evaluate, recipes

    names = [recipes.canonical(name, "points") for name in args.methods or recipes.POINTS_DEFAULT]
    budgets = args.points or [QUICK_POINTS if args.quick else 1024]
    pairs = evaluate.load_some_pairs(args.data, args.short_side, args.quick)
    out = results_folder(args, f"-points{'-quick' if args.quick else ''}")
    args.resume = f"Finished methods are kept in {out}; give the same command again to go on."
    with work_in(out):
        evaluate.note_pairs(out, args.data, args.short_side, args.quick)
        if args.refine_truth:
            with Bar("pair", "truth: ", sparse=True) as bar:
                found_truth = evaluate.refine_truth(pairs, out, bar)
            for name, row in found_truth.items():
                if row.reason:
                    say(f"hybridkp: note: {name} keeps its truth: {row.reason}")
        with Display(len(names) * len(set(budgets)) * len(set(args.seeds))) as display:
            found = evaluate.bench_pairs(
                [(name, partial(recipes.make_matcher, name)) for name in names],
                pairs,
                out=out,
                n_points=budgets,
                seeds=args.seeds,
                n_jobs=args.jobs,
                executor=args.executor,
                progress=display,
            )
        for matched in found:
            if matched.failures:
                say(
                    f"hybridkp: note: {matched.label} raised at {len(matched.failures)} of {len(matched)}"
                    f" pairs, which count as not matched; see {out / 'errors'}"
                )
        show_points_report(found, pairs, out)
    return ended(display, out)
