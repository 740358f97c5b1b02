"""Options that several commands share, and how their values are read.

No command lives here.  Values leave as numbers, lists and (name, value) pairs; of a wrong one
argparse tells.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..datasets import formats_help
from ..structures import MARGIN, InputError

DATA = formats_help()


def reader_options(parser: argparse.ArgumentParser) -> None:
    """How data are read; every command that reads a data set has them, :func:`reading` hands them on."""
    parser.add_argument(
        "--category", metavar="NAME_OR_ID", help="which category to read, where several have keypoints"
    )
    parser.add_argument(
        "--images", metavar="DIR", help="where the pictures lie, if not beside the annotations"
    )
    parser.add_argument(
        "--group-by",
        metavar="REGEX",
        help="subject, photograph or film of a picture, found in its name: no split cuts a group",
    )
    parser.add_argument(
        "--box-jitter",
        type=float,
        metavar="RATIO",
        help="move and scale each box by up to this share of its sides, the same for all methods: for boxes"
        " that are the points' own extent and give the answer away",
    )


def reading(args: argparse.Namespace) -> dict[str, Any]:
    """The reader's options that were given, by the names that ``load_dataset`` takes."""
    given = {"category": args.category, "images_dir": args.images}
    given |= {"group_by": args.group_by, "box_jitter": args.box_jitter}
    return {name: value for name, value in given.items() if value is not None}


def results_folder(args: argparse.Namespace, suffix: str = "") -> Path:
    """Where results go: ``--out``, or a folder below hybridkp-out that is named by the data."""
    return args.out or Path("hybridkp-out") / f"{Path(args.data).resolve().stem}{suffix}"


def methods_option(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--methods", type=methods, metavar="A,B", help=text)


def seeds_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seeds", type=numbers, metavar="I,J", default=[0], help="one run each, with commas (default 0)"
    )


def seed_option(parser: argparse.ArgumentParser, text: str = "of all random choices (default 0)") -> None:
    parser.add_argument("--seed", type=int, metavar="I", default=0, help=text)


def jobs_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--jobs",
        type=jobs,
        metavar="N",
        default=-1,
        help="processes at a time, one thread each (default -1: one per usable core)",
    )


def executor_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--executor",
        type=executor,
        metavar="dask://HOST:PORT",
        help="do the work on a Dask cluster, which sees the data and the folder for results at the same paths"
        " (default: processes of this machine)",
    )


def threads_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=count,
        metavar="N",
        help="threads of a fit (default 1: the same result to the last bit on every machine); never more than"
        " OMP_NUM_THREADS, where that is set",
    )


def crop_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--crop", type=count, metavar="PX", default=128, help="side of the square crops, px (default 128)"
    )
    parser.add_argument(
        "--margin",
        type=float,
        metavar="RATIO",
        default=MARGIN,
        help="crop side / box side (default %(default)g)",
    )
    parser.add_argument(
        "--max-train", type=count, metavar="N", help="train on so many pictures, evenly chosen"
    )


def run_options(parser: argparse.ArgumentParser) -> None:
    """A bench's folder, and where its data are now."""
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder of a bench")
    parser.add_argument("--data", metavar="PATH", help="the data, when they have moved since")
    reader_options(parser)


def normalizer_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--normalizer",
        metavar="HOW",
        help="errors are divided by: box, pixel, mm, or the distance of landmarks I,J (default: the data's)",
    )


def param_option(parser: argparse.ArgumentParser) -> None:
    """``--param NAME=VALUE``, for every command and benchmark that trains."""
    parser.add_argument(
        "--param",
        type=parameter,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a parameter wherever a method, or a member of one, has it; may be given several times",
    )


# --------------------------------------------------------------------------------------------
# values
# --------------------------------------------------------------------------------------------


def parameter(text: str) -> tuple[str, Any]:
    """``max_epochs=30`` of a command line; the value as JSON, or as the text that it is."""
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def methods(text: str) -> list[str]:
    """Expressions between commas; a comma inside brackets or quotes belongs to its expression."""
    from ..recipes import split

    try:
        return split(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def jobs(text: str) -> int:
    if text.strip() == "-1":
        return -1
    try:
        return count(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text} is no number of processes: 1 or more, or -1") from None


def executor(text: str) -> str:
    host, colon, port = text.removeprefix("dask://").rpartition(":")
    if not (text.startswith("dask://") and host and colon and port.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text} is not dask://HOST:PORT")
    return text


def names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in names(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a list of numbers, such as 0,1,2") from None


def counts(text: str) -> list[int]:
    return [count(part) for part in names(text)]


def count(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value
