"""``hybridkp evaluate``: trained models and others' predictions on new data, in one table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..structures import InputError, Problem
from .display import OK, Bar, say, show_pictures_report, show_report
from .options import DATA, READER, count, reading, shared

NAME = "evaluate"
HELP = "score trained models, and others' predictions, on data; writes a report"
EXAMPLES = """\
  hybridkp evaluate faces.hkp newfaces/ -o runs/new
  hybridkp evaluate runs/faces faces68 --split test -o runs/test
  hybridkp evaluate faces.hkp faces68 --predictions theirs=results.json -o runs/both
  hybridkp evaluate faces.hkp faces68 --predictions 'net=rtmpose.onnx[output=simcc]' --fuse vote -o runs/fused
  hybridkp evaluate runs/faces faces68 --conditions -o runs/where
  hybridkp evaluate flies.hkp others.hkp flies13 --predictions sleap=flies.csv -o runs/flies
  hybridkp evaluate mouse17 --predictions dlc=film_dlc.csv --predictions lp=film_lp.csv -o runs/films"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="[MODEL ...] DATA",
        help=f"model files, or folders of a bench; last the data: {DATA}",
    )
    parser.add_argument(
        "--predictions",
        type=_named,
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a row of somebody else's: COCO results, a CSV of DeepLabCut, lightning-pose or SLEAP, a folder"
        " of YOLO texts, a network net.onnx or net.onnx[output=simcc]; may be given several times",
    )
    parser.add_argument(
        "--fuse",
        action="append",
        default=[],
        metavar="RULE",
        help="one row more: a rule over all rows, such as vote, average, stack; what it learns it learns on"
        " other groups of the judged data; may be given several times",
    )
    parser.add_argument("--split", help="judged part (default: val where there is one, else all)")
    parser.add_argument("--max-val", type=count, metavar="N", help="so many pictures, evenly chosen")
    shared(parser, *READER)
    parser.add_argument(
        "--conditions",
        action="store_true",
        help="also show the table by size, turn, hidden share, light and sharpness of the objects",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for predictions and the report")
    shared(parser, "--normalizer", "--executor")


def run(args: argparse.Namespace) -> int:
    from .. import evaluate, recipes
    from ..datasets import load_dataset, parse_normalizer, split_names, thin

    *models, data = args.paths
    if data.endswith(".hkp"):
        raise InputError(f"{data}: is a model; the data come last: hybridkp evaluate MODEL ... DATA")
    splits = split_names(data)
    split = args.split or ("val" if "val" in splits else splits[-1] if splits else None)
    dataset = thin(load_dataset(data, split, **reading(args)), args.max_val)
    args.resume = f"Finished predictions are kept in {args.out}."
    problem = Problem(dataset, dataset, normalizer=parse_normalizer(args.normalizer, dataset))
    if split is None:
        say(f"hybridkp: note: {data} has no splits: all of it is judged; see that no model trained on it")
    if evaluate.any_whole(models):
        return _whole(args, models, problem)
    with Bar("model") as bar:
        found = evaluate.evaluate(
            models,
            dataset,
            out=args.out,
            predictions={name: _theirs(path) for name, path in args.predictions},
            split=split or "",
            executor=args.executor,
            progress=bar,
        )
    names = [row.method for row in found]
    rules = {f"{rule}({','.join(names)})": recipes.make_rule(rule, names) for rule in args.fuse}
    found += [evaluate.fuse_rows(found[: len(names)], dataset, rule, name) for name, rule in rules.items()]
    if (second := evaluate.second_annotator(dataset)) is not None:
        found.append(second)
    show_report(found, problem, args.out)
    if args.conditions:
        print(f"\n{(args.out / 'conditions.md').read_text(encoding='utf-8').rstrip()}")
    return OK


def _whole(args: argparse.Namespace, models: list[str], problem: Problem) -> int:
    """Models of which one at least finds its objects itself, on whole pictures."""
    from .. import evaluate

    networks = any(not isinstance(_theirs(path), str) for _, path in args.predictions)
    for option, given in (
        ("--fuse", args.fuse),
        ("--conditions", args.conditions),
        ("--executor", args.executor),
        ("--predictions NAME=net.onnx", networks),
    ):
        if given:
            raise InputError(
                f"{option} is for models of crops: leave it out, or the models that have a finder"
            )
    with Bar("model") as bar:
        found = evaluate.evaluate_pictures(
            models, problem.val, out=args.out, predictions=dict(args.predictions), progress=bar
        )
    show_pictures_report(found, problem, args.out)
    return OK


def _theirs(path: str) -> Any:
    """A file of predictions; or the network in ``net.onnx`` or ``net.onnx[option=value]``."""
    from ..recipes import make_method

    file, bracket, options = path.partition(".onnx[")
    if not bracket and not path.endswith(".onnx"):
        return path
    made = make_method(f"onnx[{options}" if bracket else "onnx")
    return made.set_params(file=f"{file}.onnx" if bracket else path)


def _named(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name.strip() and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE")
    return name.strip(), path
