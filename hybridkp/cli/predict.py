"""``hybridkp predict``: a model's landmarks of pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..structures import InputError
from .display import OK, Bar, left_out, say
from .options import READER, count, reading, share, shared

NAME = "predict"
HELP = "landmarks of pictures, of a film or of a camera: JSON and overlays"
EXAMPLES = """\
  hybridkp predict faces.hkp face1.jpg face2.jpg -o predictions/
  hybridkp predict faces.hkp photos/ --boxes boxes.json -o predictions/
  hybridkp predict kitchen.hkp kitchen_depth/val.json -o predictions/    with the depth that it names
  hybridkp predict flies.hkp film.mp4 --max-objects 2 --smooth -o tracks/
  hybridkp predict faces.hkp 0 --max-frames 500 -o live/       camera 0; Ctrl-C ends it too"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a model file of train or bench, or a .hkr file of export")
    parser.add_argument(
        "pictures",
        nargs="+",
        help="files, folders or globs; COCO .json with boxes, depth, ...; one film; or a camera's index",
    )
    parser.add_argument(
        "--boxes",
        type=Path,
        help="COCO JSON with the objects' boxes, of several categories those of the model's (default: the"
        " model's finder, else the whole picture)",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="folder for predictions.json and overlays/"
    )
    parser.add_argument(
        "--min-score",
        type=share,
        metavar="P",
        help="leave out what the model's finder is less sure of, 0 to 1 (default: as trained, 0.5)",
    )
    parser.add_argument("--overlays", action=argparse.BooleanOptionalAction, default=True)
    shared(parser, *READER)
    film = parser.add_argument_group(
        "of films and cameras", "objects are followed, and a stopped run over a film goes on"
    )
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
    film.add_argument(
        "--max-frames", type=count, metavar="N", help="of a camera: end after so many (default: by Ctrl-C)"
    )


def run(args: argparse.Namespace) -> int:
    from ..datasets import load_dataset
    from ..evaluate import predict
    from ..files import find_images, is_camera, is_film

    if any(is_film(text) or is_camera(text) for text in args.pictures):
        return _film(args)
    if args.max_frames:
        raise InputError("--max-frames is for a camera")
    data = [text for text in args.pictures if text.endswith(".json")]
    _for_data(args, data)
    pictures = [
        each
        for text in args.pictures
        for each in (load_dataset(text, **reading(args)).samples if text in data else find_images(text))
    ]
    refused: list[str] = []
    document = predict(
        args.model,
        pictures,
        boxes=args.boxes,
        out=args.out,
        overlays=args.overlays,
        min_score=args.min_score,
        refused=refused,
    )
    found = f"{len(document['annotations'])} objects in {len(document['images'])} pictures"
    print(f"{found}: {args.out / 'predictions.json'}")
    return left_out(refused)


def _for_data(args: argparse.Namespace, data: list[str]) -> None:
    if reading(args) and not data:
        raise InputError("options of the data, such as --category, are for COCO .json among the pictures")


def _film(args: argparse.Namespace) -> int:
    from ..evaluate import predict_film
    from ..files import Camera, is_camera

    if len(args.pictures) > 1 or args.boxes:
        raise InputError(
            "predict takes one film or camera at a time, and no --boxes with it: its finder finds them"
        )
    _for_data(args, [])
    source = args.pictures[0]
    if is_camera(source):
        source = Camera(int(source), args.max_frames)
        say(f"camera {args.pictures[0]}: {source.size_hw[1]} x {source.size_hw[0]} px; Ctrl-C ends it")
    elif args.max_frames:
        raise InputError("--max-frames is for a camera")
    settings = {"find_every": args.find_every, "max_objects": args.max_objects, "filter": args.filter}
    with Bar("frame", sparse=True) as bar:
        found = predict_film(
            args.model,
            source,
            args.out,
            min_score=args.min_score,
            smooth=args.smooth,
            overlays=args.overlays,
            told=bar,
            **settings,
        )
    print(f"{found['tracks']} objects in {found['frames']} frames: {args.out / 'predictions.json'}")
    return OK
