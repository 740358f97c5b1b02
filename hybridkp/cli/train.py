"""``hybridkp train``: one method, fitted and saved."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from .display import OK
from .options import CROPS, DATA, READER, reading, share, shared

NAME = "train"
HELP = "train one method and save it to a file"
EXAMPLES = """\
  hybridkp train faces68 --method "hog+svm" -o faces.hkp
  hybridkp train faces68 --method "heatmap[input_px=192]:flip:sdm" --param max_epochs=100 -o faces.hkp
  hybridkp train scenes --method sdm --finder hog+svm -o faces.hkp
  hybridkp train mine --method heatmap --from faces.hkp --freeze -o mine.hkp
  hybridkp train faces68 --method "heatmap[input_px=96]" --teacher chain.hkp -o quick.hkp
  hybridkp train synthetic --method mean-shape --no-presence --max-train 100 -o mean.hkp"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help=DATA)
    parser.add_argument("--method", required=True, help='a method as in "hybridkp list"')
    parser.add_argument(
        "--finder", help='also learn to find the objects: a finder as in "hybridkp list --task finders"'
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="model file to write, such as model.hkp"
    )
    parser.add_argument("--quick", action="store_true", help="short training")
    parser.add_argument(
        "--no-presence",
        action="store_true",
        help="without the step that lowers scores where a box holds no object",
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="MODEL",
        help="start from this network's weights, the head's by the landmarks' names",
    )
    parser.add_argument("--freeze", action="store_true", help="with --from: leave the backbone as it is")
    parser.add_argument(
        "--teacher",
        type=Path,
        metavar="MODEL",
        help="networks also learn from this model's points: a slow chain teaches a quick network",
    )
    parser.add_argument(
        "--weight",
        type=share,
        metavar="W",
        help="with --teacher: its share of the target, 0 to 1 (default 0.5)",
    )
    shared(parser, "--param")
    parser.add_argument("--split", help="part to train on (default train, else everything)")
    shared(parser, "--seed", "--threads", *CROPS, *READER)


def run(args: argparse.Namespace) -> int:
    from .. import evaluate, recipes
    from ..datasets import load_dataset, split_names, thin
    from ..structures import InputError

    name = recipes.canonical(f"{args.finder}/{args.method}" if args.finder else args.method)
    made = {name: recipes.make_method(name, quick=args.quick)}
    estimator = recipes.parameterised(made, dict(args.param))[name]
    split = args.split or ("train" if "train" in split_names(args.data) else None)
    data = thin(load_dataset(args.data, split, **reading(args)), args.max_train)
    if args.start is not None:
        estimator = recipes.with_pretrained(estimator, args.start, data.landmarks, args.freeze)
    elif args.freeze:
        raise InputError("--freeze needs --from MODEL: whose weights are to stay?")
    if args.teacher is not None:
        weight = 0.5 if args.weight is None else args.weight
        estimator = recipes.with_teacher(estimator, args.teacher, data.landmarks, weight, args.margin)
    elif args.weight is not None:
        raise InputError("--weight needs --teacher MODEL: whose points are to be weighed?")
    if not args.no_presence:
        estimator, name = recipes.with_presence(estimator, name)
    problem = evaluate.Problem(data, size_hw=(args.crop, args.crop), margin=args.margin)
    args.resume = "Finished fits are kept beside the model file; give the same command again to go on."
    start = time.perf_counter()
    with evaluate.fits_with(args.threads):
        evaluate.train(estimator, problem, args.out, seed=args.seed, name=name)
    size = args.out.stat().st_size / 1e6
    print(f"{args.out}: {name}, {time.perf_counter() - start:.0f} s, {size:.2f} MB")
    return OK
