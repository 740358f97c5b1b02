"""``hybridkp actions train``: a classifier of tracks, to a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from .actions_bench import made
from .display import OK
from .options import shared

NAME = "actions train"
HELP = "learn to name actions from tracks"
EXAMPLES = """\
  hybridkp actions train penn_action/train.npz -o actions.hkp
  hybridkp actions train runs/films --method "average(svm,forest,tcn)" -o actions.hkp"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tracks", metavar="TRACKS", help='as of "hybridkp actions bench"')
    parser.add_argument(
        "--method", default="average(svm,forest)", help="classifier (default average(svm,forest))"
    )
    shared(parser, "--seed")
    parser.add_argument("-o", "--out", type=Path, required=True, help="model file")


def run(args: argparse.Namespace) -> int:
    from .. import evaluate
    from ..datasets import load_tracks

    tracks = load_tracks(args.tracks)
    ((name, method),) = made([args.method], tracks).items()
    evaluate.train_actions(method, tracks, args.out, name=name, seed=args.seed)
    print(f"{name}, learned from {len(tracks)} tracks of {len(set(tracks.labels))} actions: {args.out}")
    return OK
