"""What can be said on the command line: the parser of all commands, each a file of this room.

A command's module has NAME ("data check" is ``check`` in the group ``data``), HELP, EXAMPLES,
``add_options`` and ``run``; its file and its line in :data:`COMMANDS` are all that a new one needs.
Nothing is computed here.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any, Protocol

from .. import __version__

#: modules of this room, in the order in which help shows them
COMMANDS = (
    "bench",
    "train",
    "predict",
    "explain",
    "classroom",
    "evaluate",
    "export",
    "data_check",
    "data_convert",
    "data_info",
    "data_sigmas",
    "data_suggest",
    "list",
    "bench_points",
    "bench_finders",
    "features",
    "classify",
    "actions_bench",
    "actions_train",
    "actions_predict",
    "match",
    "calibrate",
    "triangulate",
    "lift",
    "tune",
    "robustness",
    "report",
)
GROUPS = {
    "data": "look at annotated data, and convert them",
    "actions": "what is done in a film, from the tracks of its points",
}

DESCRIPTION = "Classical, deep and hybrid keypoint detectors, side by side on your data."
EXAMPLES = """\
  hybridkp bench                               embedded faces, a few minutes
  hybridkp bench faces68 --out runs/faces
  hybridkp list                                the methods
  hybridkp bench-points                        interest points: embedded pairs of pictures
  hybridkp match left.png right.png -o matches.png
  hybridkp train faces68 --method "hog+svm" -o faces.hkp
  hybridkp predict faces.hkp photos/ --boxes boxes.json -o predictions/
  hybridkp explain faces.hkp face.jpg -o why.html
  hybridkp evaluate faces.hkp newfaces/ -o runs/new
  hybridkp export faces.hkp -o faces.hkr
  hybridkp data check faces68"""


class Command(Protocol):
    """A module of this room that is a command."""

    NAME: str
    HELP: str
    EXAMPLES: str

    def add_options(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


def commands() -> list[Command]:
    """Every command's module, in the order of help."""
    found: list[Any] = [import_module(f".{name}", __package__) for name in COMMANDS]
    return found


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each prints examples with ``--help``."""
    parser = _with_examples(argparse.ArgumentParser(prog="hybridkp", description=DESCRIPTION), EXAMPLES)
    parser.add_argument("--version", action="version", version=f"hybridkp {__version__}")
    parser.set_defaults(debug=False)
    places: dict[str, Any] = {"": parser.add_subparsers(title="commands", metavar="COMMAND")}
    for command in commands():
        group, _, name = command.NAME.rpartition(" ")
        if group not in places:
            inside = places[""].add_parser(group, help=GROUPS[group])
            places[group] = inside.add_subparsers(title="commands", metavar="COMMAND")
        about = f"{command.HELP[0].upper()}{command.HELP[1:]}."
        own = _with_examples(
            places[group].add_parser(name, help=command.HELP, description=about), command.EXAMPLES
        )
        own.add_argument("--debug", action="store_true", help="show the traceback of an error")
        own.set_defaults(run=command.run)
        command.add_options(own)
    return parser


def _with_examples(parser: argparse.ArgumentParser, examples: str) -> argparse.ArgumentParser:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"examples:\n{examples}"
    return parser
