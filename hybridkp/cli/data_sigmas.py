"""``hybridkp data sigmas``: how exactly people place each landmark, as OKS constants."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from .display import OK, Bar, provenance, say
from .options import DATA, READER, count, methods, reading, shared

NAME = "data sigmas"
HELP = "OKS constants of your own landmarks, from labels made twice or from detectors' residuals"
EXAMPLES = """\
  hybridkp data sigmas ceph_two                           twice: keypoints_b in the COCO file
  hybridkp data sigmas mine.json --second hers.json       twice: two files
  hybridkp data sigmas faces68 --max-train 500            once: from residuals of two detectors
  hybridkp data sigmas ceph_two --once -o sigmas.json"""
MODELS = "sdm,lbf"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="PATH", help=DATA)
    shared(parser, *READER)
    parser.add_argument(
        "--second", metavar="PATH", help="the same objects by another annotator, in any format"
    )
    parser.add_argument(
        "--once", action="store_true", help="from residuals, even where labels were made twice"
    )
    parser.add_argument(
        "--model",
        type=methods,
        default=MODELS.split(","),
        metavar="A,B",
        help=f"of residuals: two unlike methods (default {MODELS})",
    )
    parser.add_argument(
        "--crop",
        type=count,
        default=256,
        metavar="PX",
        help="side of the crops; fine ones leave less of the detectors' own error (default 256)",
    )
    parser.add_argument("--max-train", type=count, metavar="N", help="so many pictures, evenly chosen")
    shared(parser, "--seed")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="also as JSON")


def run(args: argparse.Namespace) -> int:
    from ..datasets import load_dataset, thin
    from ..labels import own_second, paired, sigmas_from_pairs
    from ..structures import InputError

    if args.second and args.once:
        raise InputError("--once takes no second labels: leave --second out")
    dataset = thin(load_dataset(args.data, **reading(args)), args.max_train)
    second = None
    if args.second:
        second = load_dataset(args.second, **reading(args))
    elif not args.once:
        second = own_second(dataset)
    if second is not None:
        found = sigmas_from_pairs(*paired(dataset, second))
    else:
        found = _from_residuals(args, dataset)
    _print(dataset.landmarks, found)
    if args.out:
        _write(args.out, dataset, found)
    return OK


def _from_residuals(args: argparse.Namespace, dataset: Any) -> Any:
    from ..labels import sigmas_from_residuals
    from ..recipes import make_method

    say("labels were made once: two detectors are fitted on half and on four fifths of them")
    with Bar("fit") as bar:
        return sigmas_from_residuals(
            dataset,
            {name: make_method(name) for name in args.model},
            size_hw=(args.crop, args.crop),
            random_state=args.seed,
            progress=bar,
        )


def _print(names: Any, found: Any) -> None:
    width = max(len("landmark"), *map(len, names))
    print(f"{'landmark':{width}}  sigma   95 % interval   from {found.route}")
    for name, value, low, high, n in zip(names, found.value, found.low, found.high, found.count, strict=True):
        if math.isfinite(value):
            print(f"{name:{width}}  {value:.4f}  {low:.4f} - {high:.4f}  {n:.0f}")
        else:
            print(f"{name:{width}}  too few: {n:.0f}")
    print("\nsigmas:", json.dumps(_plain(found.value)))


def _plain(values: Any) -> list[float | None]:
    return [round(float(v), 5) if math.isfinite(v) else None for v in values]


def _write(path: Path, dataset: Any, found: Any) -> None:
    from ..files import write_atomic

    document = {
        "landmarks": list(dataset.landmarks),
        "sigmas": _plain(found.value),
        "low": _plain(found.low),
        "high": _plain(found.high),
        "count": [int(n) for n in found.count],
        "route": found.route,
        "data": dataset.name,
        "provenance": provenance(),
    }
    write_atomic(path, json.dumps(document, indent=1, allow_nan=False) + "\n")
