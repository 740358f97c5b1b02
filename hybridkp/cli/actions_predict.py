"""``hybridkp actions predict``: what is done in tracks, as a table."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from .display import OK
from .options import count

NAME = "actions predict"
HELP = "name the actions of tracks"
EXAMPLES = """\
  hybridkp predict people.hkp film.mp4 -o tracks/
  hybridkp actions predict actions.hkp tracks/ --window 60 -o actions.csv"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help='a file of "hybridkp actions train"')
    parser.add_argument(
        "tracks", metavar="TRACKS", help='as of "hybridkp actions bench"; no labels are needed'
    )
    parser.add_argument(
        "--window",
        type=count,
        metavar="N",
        help="judge pieces of so many frames that overlap by half (default: each track as a whole)",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="CSV file")


def run(args: argparse.Namespace) -> int:
    from .. import evaluate
    from ..datasets import load_tracks

    found = evaluate.predict_actions(args.model, load_tracks(args.tracks), args.out, window=args.window)
    often = ", ".join(f"{action} {n}" for action, n in Counter(row["action"] for row in found).most_common(5))
    print(f"{len(found)} tracks or pieces of tracks ({often}): {args.out}")
    return OK
