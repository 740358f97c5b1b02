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
READER = ("--category", "--images", "--group-by", "--box-jitter")  #: of all that read data, see `reading`
CROPS = ("--crop", "--margin", "--max-train")
HDF5 = (".h5", ".hdf5")
DONE = ("out", "--data", *READER)  #: of what goes on from a bench's folder


def shared(parser: argparse.ArgumentParser, *flags: str, **changes: Any) -> None:
    """Options that mean the same wherever they are, by their flags; ``changes`` for one that differs."""
    for flag in flags:
        parser.add_argument(flag, **{**SHARED[flag], **changes})


def reading(args: argparse.Namespace) -> dict[str, Any]:
    """The reader's options that were given, by the names that ``load_dataset`` takes."""
    given = {"category": args.category, "images_dir": args.images}
    given |= {"group_by": args.group_by, "box_jitter": args.box_jitter}
    return {name: value for name, value in given.items() if value is not None}


def results_folder(args: argparse.Namespace, suffix: str = "") -> Path:
    """Where results go: ``--out``, or a folder below hybridkp-out that is named by the data."""
    return args.out or Path("hybridkp-out") / f"{Path(args.data).resolve().stem}{suffix}"


def ending(path: Path, *endings: str) -> str:
    """The ending of a file to write, in small letters; :class:`InputError` where it says another kind."""
    if path.suffix.lower() not in endings:
        raise InputError(f"{path}: give a name that ends in {' or '.join(endings)}")
    return path.suffix.lower()


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


def port(text: str) -> int:
    if not (text.isdecimal() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text} is no port: 0 (a free one) to 65535")
    return int(text)


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 0 to 1")
    return value


# --------------------------------------------------------------------------------------------
# what they are
# --------------------------------------------------------------------------------------------

SHARED: dict[str, dict[str, Any]] = {
    "out": {"type": Path, "metavar": "OUT", "help": "the folder of a bench"},
    "--data": {"metavar": "PATH", "help": "the data, when they have moved since"},
    "--category": {"metavar": "NAME_OR_ID", "help": "which category to read, where several have keypoints"},
    "--images": {"metavar": "DIR", "help": "where the pictures lie, if not beside the annotations"},
    "--group-by": {
        "metavar": "REGEX",
        "help": "subject, photograph or film of a picture, found in its name: no split cuts a group",
    },
    "--box-jitter": {
        "type": float,
        "metavar": "RATIO",
        "help": "move and scale each box by up to this share of its sides, the same for all methods: for"
        " boxes that are the points' own extent and give the answer away",
    },
    "--split": {"default": "val", "help": "evaluated part of the data (default val)"},
    "--methods": {"type": methods, "metavar": "A,B"},
    "--seeds": {
        "type": numbers,
        "metavar": "I,J",
        "default": [0],
        "help": "one run each, with commas (default 0)",
    },
    "--seed": {"type": int, "metavar": "I", "default": 0, "help": "of all random choices (default 0)"},
    "--jobs": {
        "type": jobs,
        "metavar": "N",
        "default": -1,
        "help": "processes at a time, one thread each (default -1: one per usable core)",
    },
    "--executor": {
        "type": executor,
        "metavar": "dask://HOST:PORT",
        "help": "do the work on a Dask cluster, which sees the data and the folder for results at the same"
        " paths (default: processes of this machine)",
    },
    "--threads": {
        "type": count,
        "metavar": "N",
        "help": "threads of a fit (default 1: the same result to the last bit on every machine); never more"
        " than OMP_NUM_THREADS, where that is set",
    },
    "--crop": {
        "type": count,
        "metavar": "PX",
        "default": 128,
        "help": "side of the square crops, px (default 128)",
    },
    "--margin": {
        "type": float,
        "metavar": "RATIO",
        "default": MARGIN,
        "help": "crop side / box side (default %(default)g)",
    },
    "--max-train": {"type": count, "metavar": "N", "help": "train on so many pictures, evenly chosen"},
    "--max-val": {"type": count, "metavar": "N", "help": "evaluate on so many pictures, evenly chosen"},
    "--normalizer": {
        "metavar": "HOW",
        "help": "errors are divided by: box, pixel, mm, or the distance of landmarks I,J (default: the"
        " data's)",
    },
    "--param": {
        "type": parameter,
        "action": "append",
        "default": [],
        "metavar": "NAME=VALUE",
        "help": "set a parameter wherever a method, or a member of one, has it; may be given several times",
    },
}
