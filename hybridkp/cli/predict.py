"""``hybridkp predict``: a model's landmarks of pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..structures import InputError
from .display import OK, Bar
from .options import count

NAME = "predict"
HELP = "landmarks of pictures or of a film: JSON and overlays"
EXAMPLES = """\
  hybridkp predict faces.hkp face1.jpg face2.jpg -o predictions/
  hybridkp predict faces.hkp photos/ --boxes boxes.json -o predictions/
  hybridkp predict flies.hkp film.mp4 --max-objects 2 --smooth -o tracks/"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a model file of train or bench, or a .hkr file of export")
    parser.add_argument("pictures", nargs="+", help="files, folders or globs, or one film")
    parser.add_argument(
        "--boxes",
        type=Path,
        help="COCO JSON with the objects' boxes (default: the model's finder, else the whole picture)",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="folder for predictions.json and overlays/"
    )
    parser.add_argument(
        "--min-score",
        type=float,
        metavar="P",
        help="leave out what the model's finder is less sure of, 0 to 1 (default: as trained, 0.5)",
    )
    parser.add_argument("--overlays", action=argparse.BooleanOptionalAction, default=True)
    film = parser.add_argument_group("of films", "objects are followed, and a stopped run goes on")
    film.add_argument(
        "--find-every",
        type=count,
        metavar="N",
        default=10,
        help="frames between two looks of the finder at the whole frame (default 10)",
    )
    film.add_argument("--max-objects", type=count, metavar="N", help="as many as there can be, where known")
    film.add_argument(
        "--filter",
        choices=["kalman", "one-euro", "none"],
        default="kalman",
        help="what takes the jitter away while the film runs (default kalman)",
    )
    film.add_argument(
        "--smooth", action="store_true", help="smooth each track in both directions of time, fill short gaps"
    )


def run(args: argparse.Namespace) -> int:
    from ..evaluate import predict
    from ..files import find_images, is_film

    if any(is_film(text) for text in args.pictures):
        return _film(args)
    pictures = [path for text in args.pictures for path in find_images(text)]
    document = predict(
        args.model, pictures, boxes=args.boxes, out=args.out, overlays=args.overlays, min_score=args.min_score
    )
    print(
        f"{len(document['annotations'])} objects in {len(pictures)} pictures: {args.out / 'predictions.json'}"
    )
    return OK


def _film(args: argparse.Namespace) -> int:
    from ..evaluate import predict_film

    if len(args.pictures) > 1 or args.boxes:
        raise InputError("predict takes one film at a time, and no --boxes with it: its finder finds them")
    settings = {"find_every": args.find_every, "max_objects": args.max_objects, "filter": args.filter}
    with Bar("frame", sparse=True) as bar:
        found = predict_film(
            args.model,
            args.pictures[0],
            args.out,
            min_score=args.min_score,
            smooth=args.smooth,
            overlays=args.overlays,
            told=bar,
            **settings,
        )
    print(f"{found['tracks']} objects in {found['frames']} frames: {args.out / 'predictions.json'}")
    return OK
