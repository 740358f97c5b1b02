"""``hybridkp triangulate``: points in space from several calibrated cameras."""

from __future__ import annotations

import argparse
from pathlib import Path

from .display import OK, provenance, say
from .options import DATA, READER, ending, names, reading, shared

NAME = "triangulate"
HELP = "points in space from the pictures of several calibrated cameras"
EXAMPLES = """\
  hybridkp triangulate mouse_views --split val --cameras mouse_views/cameras.json -o mouse.npz
  hybridkp triangulate mouse_views --split val --cameras c.json --predictions sdm.safetensors -o mouse.npz
  hybridkp triangulate fly_views --cameras fly_views/cameras.json --truth fly_views/points3d.npz -o fly.npz
The data's COCO file names the view and the instant of each picture. Beside the .npz comes a page."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="PATH", help=DATA)
    shared(parser, *READER)
    parser.add_argument("--split", metavar="NAME", help="part of the data (default: all that has labels)")
    parser.add_argument(
        "--cameras",
        type=Path,
        required=True,
        metavar="FILE",
        help=".json, Anipose's .toml, or OpenCV's .yaml",
    )
    parser.add_argument("--views", type=names, metavar="A,B", help="only these cameras")
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="FILE",
        help="a bench's stored predictions of these pictures, in place of the labels",
    )
    parser.add_argument("--truth", type=Path, metavar="NPZ", help="given points (T, K, 3) to compare with")
    parser.add_argument(
        "--how",
        choices=["ransac", "dlt"],
        default="ransac",
        help="robust, or all cameras count (default ransac)",
    )
    parser.add_argument(
        "--threshold", type=float, metavar="PX", help="within which a camera agrees (default: from the data)"
    )
    parser.add_argument("--force", action="store_true", help="although the cameras contradict the pictures")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="NPZ", help="the points")


def run(args: argparse.Namespace) -> int:
    from ..datasets import load_dataset
    from ..files import load_predictions
    from ..multiview import (
        check_cameras,
        load_points,
        read_cameras,
        save_points,
        triangulate,
        views_of,
        write_views_page,
    )
    from ..multiview.point_files import truth_of
    from ..structures import InputError

    ending(args.out, ".npz")
    dataset = load_dataset(args.data, args.split, **reading(args))
    views = views_of(dataset, read_cameras(args.cameras))
    if args.views:
        views = views.subset(args.views)
    if args.predictions:
        views = views.with_points(load_predictions(args.predictions), dataset)
    truth = truth_of(load_points(args.truth), views, args.truth) if args.truth else None
    check = check_cameras(views.flat, views.cameras)
    if check.contradicts and not args.force:
        raise InputError(f"{args.cameras}: {check.words()}. Mend the file, or go on with --force")
    found = triangulate(
        views.flat, views.cameras, score=views.flat_score, method=args.how, threshold_px=args.threshold
    )
    save_points(views, found, args.out)
    page = args.out.with_suffix(".html")
    figures = write_views_page(views, found, check, dataset, page, truth=truth, provenance=provenance())
    say(check.words())
    for key, value in figures.items():
        print(f"{key:18} {value:.3f}")
    print(f"\nPoints: {args.out}\nPage: {page}")
    return OK
