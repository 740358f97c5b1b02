"""``hybridkp explain``: why a model put a landmark where it did, as a page to look at."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..structures import InputError
from .display import OK, say
from .options import ending

NAME = "explain"
HELP = "why a landmark is where it is, or why two points matched: a page to look at"
EXAMPLES = """\
  hybridkp explain faces.hkp face.jpg -o why.html
  hybridkp explain faces.hkp street.jpg --boxes boxes.json --object 2 --landmark nose -o why.html
  hybridkp explain --pair left.png right.png --method orb -o why.html"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, nargs="?", help="a model file of train or bench")
    parser.add_argument("picture", type=Path, nargs="?")
    parser.add_argument(
        "--landmark",
        metavar="K",
        help="number from 0, or name (default: the one that the model is surest of)",
    )
    parser.add_argument(
        "--boxes", type=Path, help="COCO JSON with the objects' boxes (default: whole picture)"
    )
    parser.add_argument(
        "--object", type=int, default=0, metavar="N", help="which of the boxes, from 0 (default 0)"
    )
    parser.add_argument(
        "--pair", type=Path, nargs=2, metavar=("A", "B"), help="two pictures, in place of a model"
    )
    parser.add_argument("--method", default="sift", help="of the pair: one feature (default sift)")
    parser.add_argument("-o", "--out", type=Path, required=True, help="page to write, such as why.html")


def run(args: argparse.Namespace) -> int:
    ending(args.out, ".html")
    if args.pair is not None:
        return _pair(args)
    if args.picture is None:
        raise InputError("give a model file and a picture, or --pair with two pictures")
    from ..detection import BoxesGiven
    from ..explain import page
    from ..files import read_image, read_meta

    box = None
    if args.boxes is not None:
        given = BoxesGiven.read(args.boxes, read_meta(args.model).get("category"))
        found, _ = given.find(read_image(args.picture), name=str(args.picture))
        if not 0 <= args.object < len(found):
            raise InputError(
                f"{args.boxes}: has {len(found)} boxes of {args.picture}; --object counts from 0"
            )
        box = found[args.object]
    say("asking the model about some 600 crops with something hidden ...")
    page(args.model, args.picture, args.out, landmark=args.landmark, box_xywh=box)
    print(args.out)
    return OK


def _pair(args: argparse.Namespace) -> int:
    from ..explain import pair_page
    from ..files import read_image
    from ..recipes import make_matcher

    if args.model is not None:
        raise InputError(f"--pair compares two pictures: leave {args.model} out")
    first, second = map(read_image, args.pair)
    pair_page(make_matcher(args.method), first, second, args.out, method=args.method)
    print(args.out)
    return OK
