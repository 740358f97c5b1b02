"""``hybridkp data suggest``: which pictures to label next."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .display import OK, Bar
from .options import CROPS, DATA, READER, count, reading, shared

NAME = "data suggest"
HELP = "which pictures to label next: what a detector does not know yet, and no two alike"
EXAMPLES = """\
  hybridkp data suggest 50 mine.json --pool photos/       from a folder of pictures, each one object
  hybridkp data suggest 50 mine.json --pool photos/ --boxes boxes.json
  hybridkp data suggest 20 mine.json -o next.csv          from objects of the data without any point"""
MODEL = "sdm"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("n", type=count, metavar="N", help="how many to label")
    parser.add_argument("data", metavar="PATH", help=f"what is labelled so far: {DATA}")
    shared(parser, *READER)
    parser.add_argument(
        "--pool",
        nargs="+",
        type=Path,
        metavar="PICTURE",
        help="pictures or folders to choose from (default: objects and pictures of the data without labels)",
    )
    parser.add_argument("--boxes", type=Path, help="COCO JSON with the objects' boxes in those pictures")
    parser.add_argument(
        "--model", default=MODEL, metavar="METHOD", help=f"what the labels are for (default {MODEL})"
    )
    shared(parser, *CROPS, "--seed")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="the list as CSV (default: printed)")


def run(args: argparse.Namespace) -> int:
    from ..datasets import load_dataset, thin
    from ..files import write_atomic
    from ..labels import suggest
    from ..recipes import make_method
    from ..structures import InputError

    if args.boxes and not args.pool:
        raise InputError("--boxes belongs to --pool: name the pictures to choose from")
    dataset = load_dataset(args.data, **reading(args))
    done = {Path(s.name).name for s in dataset if any(i.visibility.any() for i in s.instances)}
    pool = _pictures(args.pool, args.boxes, done, dataset.category) if args.pool else dataset.samples
    with Bar("member") as bar:
        found = suggest(
            thin(dataset, args.max_train),
            pool,
            args.n,
            make_method(args.model),
            size_hw=(args.crop, args.crop),
            margin=args.margin,
            random_state=args.seed,
            progress=bar,
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", "picture", "x", "y", "width", "height", "expected_error"])
    for rank, row in enumerate(found.order.tolist(), 1):
        box = [f"{v:.1f}" for v in found.objects.boxes[row]]
        writer.writerow([rank, found.objects.names[row], *box, f"{found.expected[row]:.4f}"])
    if args.out:
        write_atomic(args.out, text.getvalue())
        print(f"{args.out}: {len(found.order)} of {len(found.objects)} objects, the first to label first")
    else:
        print(text.getvalue(), end="")
    return OK


def _pictures(paths: Sequence[Path], boxes: Path | None, done: set[str], category: str) -> list[Any]:
    """Samples without labels: each picture's boxes of the category, or none, which means the whole picture.

    Left out are pictures whose names are among those that are ``done``, and those without a box of ``boxes``.
    """
    from ..detection import BoxesGiven
    from ..files import find_images
    from ..labels import bare_samples
    from ..structures import InputError

    given = None if boxes is None else BoxesGiven.read(boxes, category).given
    found = [path for given_path in paths for path in find_images(given_path)]
    samples = bare_samples([path for path in found if path.name not in done], given)
    if not samples:
        raise InputError(f"{boxes or paths[0]}: no picture to choose from")
    return samples
