"""What can be said on the command line, with examples for every command."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .. import __version__
from ..datasets import formats_help
from . import commands, points, tuning
from .commands import QUICK_TRAIN

EXAMPLES = {
    "": """\
  hybridkp bench                               embedded faces, a few minutes
  hybridkp bench faces68 --jobs 2 --out runs/faces
  hybridkp list                                the methods
  hybridkp bench-points                        interest points: embedded pairs of pictures
  hybridkp match left.png right.png -o matches.png
  hybridkp train faces68 --method hog+svm -o faces.hkp
  hybridkp predict faces.hkp photos/ --boxes boxes.json -o answers/
  hybridkp export faces.hkp -o faces.hkr
  hybridkp data check faces68""",
    "bench": """\
  hybridkp bench
  hybridkp bench faces68 --methods mean-shape,hog+svm,heatmap --seeds 0,1 --jobs 2 --out runs/faces
  hybridkp bench mouse17 --normalizer pixel --quick
  hybridkp bench faces68 --methods heatmap,direct,vote --param max_epochs=20 --out runs/short
A run that was stopped goes on when the same command is given again: finished methods are kept, a
network goes on after its last whole epoch.""",
    "train": """\
  hybridkp train faces68 --method hog+svm -o faces.hkp
  hybridkp train faces68 --method heatmap --param max_epochs=100 --param input_px=192 -o faces.hkp
  hybridkp train synthetic --method mean-shape --max-train 100 -o mean.hkp""",
    "predict": """\
  hybridkp predict faces.hkp face1.jpg face2.jpg -o answers/
  hybridkp predict faces.hkp photos/ --boxes boxes.json -o answers/""",
    "export": """\
  hybridkp export faces.hkp -o faces.hkr
In Python then: hybridkp.runtime.load("faces.hkr").detect(image, box), without torch and scikit-learn.""",
    "check": "  hybridkp data check faces68\n  hybridkp data check annotations.json",
    "info": "  hybridkp data info faces68\n  hybridkp data info synthetic",
    "list": "  hybridkp list\n  hybridkp list --task points",
    "tune": """\
  hybridkp tune faces68 --methods sdm,heatmap --trials 8 --jobs 2 -o runs/tuned
  hybridkp bench faces68 --methods sdm,heatmap,vote --tuned runs/tuned
  hybridkp tune faces68 --methods heatmap,direct --param max_epochs=15 -o runs/tuned-short
Every method gets the same number of trials, on folds of the training part; val is never seen.
A setting replaces the defaults where a paired test over the left-out objects, corrected for all
trials, says that it is better.  Trials are judged by the figure that leads in a report.
A search that was stopped goes on when the same command is given again.""",
    "robustness": """\
  hybridkp robustness runs/faces
  hybridkp robustness runs/faces --methods sdm,heatmap,vote --kinds blur,rotation --jobs 2
The models of a bench are asked again; nothing is trained. A run that was stopped goes on.""",
    **points.EXAMPLES,
    "report": "  hybridkp report runs/faces\n  hybridkp report runs/mouse --normalizer pixel",
}


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each prints examples with ``--help``."""
    parser = _with_examples(argparse.ArgumentParser(prog="hybridkp", description=_DESCRIPTION), "")
    parser.add_argument("--version", action="version", version=f"hybridkp {__version__}")
    parser.set_defaults(debug=False)
    rooms = parser.add_subparsers(title="commands", metavar="COMMAND")
    _bench_options(_command(rooms, "bench", commands.bench, "train and compare methods; writes a report"))
    _train_options(_command(rooms, "train", commands.train, "train one method and save it to a file"))
    _predict_options(_command(rooms, "predict", commands.predict, "landmarks of pictures: JSON and overlays"))
    export = _command(rooms, "export", commands.export, "a model file for OpenCV applications (runtime)")
    export.add_argument("model", type=Path, help="a model file of train or bench")
    export.add_argument(
        "-o", "--out", type=Path, required=True, help="runtime file to write, such as model.hkr"
    )
    data = rooms.add_parser("data", help="look at annotated data").add_subparsers(
        title="commands", metavar="COMMAND"
    )
    for name, run, text in (
        ("check", commands.data_check, "find mistakes in annotations, and say what each does to the score"),
        ("info", commands.data_info, "what is in a data set"),
    ):
        command = _command(data, name, run, text)
        command.add_argument("data", metavar="PATH", help=_DATA_HELP)
        if name == "info":
            command.add_argument("--json", action="store_true", help="as JSON, for programs")
    names = _command(rooms, "list", points.list_methods, "the methods that can be named")
    names.add_argument(
        "--task", choices=("landmarks", "points"), default="landmarks", help="default: landmarks"
    )
    bench_points = _command(
        rooms, "bench-points", points.bench_points, "compare interest points on pairs of pictures"
    )
    points.bench_options(bench_points, _names, _counts, _numbers)
    points.match_options(
        _command(rooms, "match", points.match, "match two pictures by interest points"), _count
    )
    _tune_options(_command(rooms, "tune", tuning.tune, "choose settings on folds of the training part"))
    _robustness_options(
        _command(
            rooms, "robustness", commands.robustness, "a bench's models on blurred, dark, turned pictures"
        )
    )
    report = _command(rooms, "report", points.report, "make the report again from stored predictions")
    report.add_argument("out", type=Path, metavar="OUT", help="the folder of a bench")
    report.add_argument("--data", metavar="PATH", help="the data, when they have moved since")
    _normalizer_option(report)
    return parser


_DESCRIPTION = "Classical, deep and hybrid keypoint detectors, side by side on your data."
_DATA_HELP = formats_help()


def _with_examples(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"examples:\n{EXAMPLES[name]}"
    return parser


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser = _with_examples(
        commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}."), name
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)
    return parser


def _bench_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", nargs="?", default="synthetic", help=_DATA_HELP + " (default)")
    parser.add_argument(
        "--methods", type=_names, metavar="A,B", help='names from "hybridkp list", with commas'
    )
    parser.add_argument(
        "--quick",
        action=argparse.BooleanOptionalAction,
        help=f"short list, short training, at most {QUICK_TRAIN} training pictures (default for synthetic)",
    )
    parser.add_argument(
        "--tuned", type=Path, metavar="FOLDER", help='folder of "hybridkp tune": use the settings it chose'
    )
    param_option(parser)
    parser.add_argument("--split", default="val", help="evaluated part of the data (default val)")
    parser.add_argument(
        "--seeds", type=_numbers, metavar="I,J", default=[0], help="one training each (default 0)"
    )
    _jobs_option(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="for all results (default hybridkp-out/<data>)"
    )
    parser.add_argument(
        "--max-val", type=_count, metavar="N", help="evaluate on so many pictures, evenly chosen"
    )
    _crop_options(parser)
    _normalizer_option(parser)


def _train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help=_DATA_HELP)
    parser.add_argument("--method", required=True, help='a name from "hybridkp list"')
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="model file to write, such as model.hkp"
    )
    parser.add_argument("--quick", action="store_true", help="short training")
    param_option(parser)
    parser.add_argument("--split", help="part to train on (default train, else everything)")
    parser.add_argument("--seed", type=int, metavar="I", default=0, help="of all random choices (default 0)")
    _crop_options(parser)


def _predict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a model file of train or bench")
    parser.add_argument("pictures", nargs="+", help="files, folders or globs")
    parser.add_argument(
        "--boxes", type=Path, help="COCO JSON with the objects' boxes (default: whole picture)"
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="folder for predictions.json and overlays/"
    )
    parser.add_argument("--overlays", action=argparse.BooleanOptionalAction, default=True)


def _tune_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help=_DATA_HELP)
    parser.add_argument(
        "--methods", type=_names, metavar="A,B", help="with commas (default: all that have settings)"
    )
    parser.add_argument(
        "--trials", type=_count, metavar="N", default=8, help="settings per method, defaults first (8)"
    )
    parser.add_argument(
        "--cv", type=_count, metavar="N", default=3, help="folds, which never cut a group (default 3)"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the trials")
    parser.add_argument("--quick", action="store_true", help="short trainings")
    parser.add_argument("--seed", type=int, metavar="I", default=0, help="of all random choices (default 0)")
    _jobs_option(parser)
    param_option(parser)
    _crop_options(parser)
    _normalizer_option(parser)


def _robustness_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder of a bench")
    parser.add_argument("--data", metavar="PATH", help="the data, when they have moved since")
    parser.add_argument(
        "--methods", type=_names, metavar="A,B", help="with commas (default: every model there)"
    )
    kinds = "blur, noise, jpeg, low-light, occlusion, rotation, small"
    parser.add_argument("--kinds", type=_names, metavar="A,B", help=f"with commas, of {kinds} (default all)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the models and of the corruptions (default 0)"
    )
    _jobs_option(parser)
    parser.add_argument(
        "--max-val", type=_count, metavar="N", help="ask about so many pictures, evenly chosen"
    )
    _normalizer_option(parser)


def _crop_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--crop", type=_count, metavar="PX", default=128, help="side of the square crops, px (default 128)"
    )
    parser.add_argument(
        "--margin", type=float, metavar="RATIO", default=1.25, help="crop side / box side (default 1.25)"
    )
    parser.add_argument(
        "--max-train", type=_count, metavar="N", help="train on so many pictures, evenly chosen"
    )


def _jobs_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--jobs", type=int, metavar="N", default=1, help="processes at a time (default 1; -1 = one per core)"
    )


def param_option(parser: argparse.ArgumentParser) -> None:
    """``--param NAME=VALUE``, for every command and benchmark that trains."""
    parser.add_argument(
        "--param",
        type=_parameter,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a parameter wherever a method, or a member of one, has it; may be given several times",
    )


def _normalizer_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--normalizer",
        metavar="HOW",
        help="errors are divided by: box, pixel, or the distance of landmarks I,J (default: the data's)",
    )


def _parameter(text: str) -> tuple[str, Any]:
    """``max_epochs=30`` of a command line; the value as JSON, or as the text that it is."""
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in _names(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a list of numbers, such as 0,1,2") from None


def _counts(text: str) -> list[int]:
    return [_count(part) for part in _names(text)]


def _count(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value
