"""``hybridkp predict``: a model's landmarks of pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from .display import OK

NAME = "predict"
HELP = "landmarks of pictures: JSON and overlays"
EXAMPLES = """\
  hybridkp predict faces.hkp face1.jpg face2.jpg -o predictions/
  hybridkp predict faces.hkp photos/ --boxes boxes.json -o predictions/"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a model file of train or bench, or a .hkr file of export")
    parser.add_argument("pictures", nargs="+", help="files, folders or globs")
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


def run(args: argparse.Namespace) -> int:
    from ..evaluate import predict
    from ..files import find_images

    pictures = [path for text in args.pictures for path in find_images(text)]
    document = predict(
        args.model, pictures, boxes=args.boxes, out=args.out, overlays=args.overlays, min_score=args.min_score
    )
    print(
        f"{len(document['annotations'])} objects in {len(pictures)} pictures: {args.out / 'predictions.json'}"
    )
    return OK
