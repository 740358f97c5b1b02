"""``hybridkp data convert``: annotated data from one tool's format into another's."""

from __future__ import annotations

import argparse
from pathlib import Path

from .display import OK, Bar
from .options import DATA, READER, reading, shared

NAME = "data convert"
HELP = "write data in another tool's format, pictures and all"
EXAMPLES = """\
  hybridkp data convert labelme/ -o coco/
  hybridkp data convert project.slp -o yolo/ --to yolo-pose
  hybridkp data convert dlc-project/ -o cvat/ --to cvat
  hybridkp data convert landmarks.tps -o coco/ --images photos/
  hybridkp data convert faces68 -o faces68-clean/ --clean    without what no run can use"""


def add_options(parser: argparse.ArgumentParser) -> None:
    from ..datasets import FORMATS

    able = [row.name for row in FORMATS if row.write is not None]
    parser.add_argument("data", metavar="PATH", help=DATA)
    parser.add_argument("-o", "--out", type=Path, required=True, help="a new or empty folder")
    parser.add_argument(
        "--to", metavar="FORMAT", default="coco", help=f"{', '.join(able)} (default %(default)s)"
    )
    parser.add_argument(
        "--clean",
        action="store_true",
        help="leave out pictures that cannot be read, have another size than annotated, or were there before,"
        " and those whose depth or sound cannot be read, or whose depth has another size; says how many."
        " A file that is listed again with other objects keeps them all",
    )
    shared(parser, *READER)


def run(args: argparse.Namespace) -> int:
    from ..datasets import convert_dataset, recognise_format

    with Bar("picture") as bar:
        parts = convert_dataset(args.data, args.out, args.to, clean=args.clean, progress=bar, **reading(args))
    objects = sum(len(sample.instances) for part in parts for sample in part)
    pictures = sum(map(len, parts))
    way = f"{recognise_format(args.data).name} -> {args.to}"
    print(f"{args.out}: {objects} objects in {pictures} pictures, {way}")
    return OK
