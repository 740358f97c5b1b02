"""``hybridkp actions bench``: classical, deep and fused classifiers of tracks, compared."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..structures import InputError
from .display import OK, Bar, show_page, told_of
from .options import count, methods, shared

NAME = "actions bench"
HELP = "compare classical, deep and fused classifiers of tracks"
EXAMPLES = """\
  hybridkp actions bench penn_action/train.npz penn_action/val.npz
  hybridkp actions bench runs/films --methods "svm,forest,tcn,stack(svm,tcn)" --folds 5
TRACKS is an .npz (xy, start, length, action), or a folder in which the name of a subfolder is the action of
the predictions.json or tracks.csv inside it, as "hybridkp predict film.mp4" writes them. A run that was
stopped goes on when the same command is given again."""

USUAL = [
    "prior",
    "svm",
    "forest",
    "tcn",
    "average(svm,forest)",
    "average(svm,forest,tcn)",
    "stack(svm,forest,tcn)",
]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("train", metavar="TRACKS", help="tracks to learn from")
    parser.add_argument("val", metavar="VAL", nargs="?", help="tracks to judge (default: folds of TRACKS)")
    parser.add_argument(
        "--methods", type=methods, metavar="A,B", default=USUAL, help=f"default: {', '.join(USUAL)}"
    )
    parser.add_argument("--folds", type=count, metavar="N", help="folds of groups, without VAL (default 10)")
    shared(parser, "--seed")
    parser.add_argument("-o", "--out", type=Path, help="folder (default hybridkp-out/actions)")


def made(names: list[str], tracks: Any) -> dict[str, Any]:
    """Classifiers of tracks by their expressions."""
    from .. import recipes

    flip = tracks.flip
    own: dict[str, Any] = {"inputs": ("track",), "flip": None if flip is None else flip.tolist()}
    known = dict.fromkeys(recipes.canonical(name, "classes") for name in names)
    return {name: recipes.make_classifier(name, **own) for name in known}


def run(args: argparse.Namespace) -> int:
    from .. import evaluate
    from ..datasets import load_tracks
    from ..report import write_classes_report

    if args.val and args.folds:
        raise InputError("VAL is judged by one training, --folds in turn: give one of the two")
    train = load_tracks(args.train)
    val = load_tracks(args.val) if args.val else None
    chosen = made(args.methods, train)
    out = args.out or Path("hybridkp-out") / "actions"
    args.resume = f"Finished methods are kept in {out}; give the same command again to go on."
    with Bar("fold") as bar:
        found = evaluate.classify_tracks(
            chosen, train, val, out=out, folds=args.folds, seed=args.seed, progress=bar
        )
    judged = train if val is None else val
    paths = write_classes_report(
        found,
        out,
        notes=view_notes(found, judged.views) if any(judged.views) else [],
        **told_of(chosen, "classes"),
    )
    show_page(paths)
    return OK


def view_notes(found: list[Any], views: tuple[str, ...]) -> list[str]:
    """A line for each view of the judged tracks: what share of them each method has right."""
    out = []
    for view in sorted(set(views)):
        n, words = views.count(view), []
        for p in found:
            right = sum(a == b for a, b, v in zip(p.labels, p.predicted, views, strict=True) if v == view)
            words.append(f"{p.method} {100 * right / n:.1f} %")
        out.append(f"Right seen from {view} ({n} tracks): {', '.join(words)}.")
    return out
