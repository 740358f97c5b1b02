"""``hybridkp lift``: points in space from points in one picture, learned from pairs."""

from __future__ import annotations

import argparse
from pathlib import Path

from .display import OK, Bar, provenance
from .options import ending, names

NAME = "lift"
HELP = "poses in space from points in one picture: lifters learned and compared"
EXAMPLES = """\
  hybridkp lift lift15/train.npz lift15/val.npz --group-by "/(S\\d)/" --unit m -o lifted.npz
  hybridkp lift train.npz val.npz --save lifter.hkp -o lifted.npz
  hybridkp lift lifter.hkp new.npz -o lifted.npz         points of new pictures, xy (B, K, 2) px
  hybridkp lift train.npz val.npz --lifters "ridge,forest" --axes given --unit mm -o lifted.npz
An .npz has xy (B, K, 2) px and xyz (B, K, 3); name, camera, start and length say which rows are one sequence.
Beside the poses of the best lifter comes a page."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "train", type=Path, metavar="TRAIN", help="an .npz of pairs to learn from, or a saved lifter"
    )
    parser.add_argument(
        "val", type=Path, metavar="VAL", help="an .npz of pairs to judge; of a saved lifter, of points"
    )
    parser.add_argument("--lifters", type=names, metavar="A,B", help="kinds (default: all)")
    parser.add_argument(
        "--root", type=int, default=0, metavar="I", help="landmark that poses are relative to"
    )
    parser.add_argument(
        "--axes",
        choices=["camera", "given"],
        default="camera",
        help="turn space into each camera's axes, found from the training pairs (default), or leave it",
    )
    parser.add_argument(
        "--group-by",
        metavar="REGEX",
        help="what folds of TRAIN never cut, found in the sequences' names: the person, if others are lifted",
    )
    parser.add_argument("--unit", default="", metavar="UNIT", help="of xyz, for the page")
    parser.add_argument("--save", type=Path, metavar="HKP", help="keep the best lifter, for other points")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="NPZ", help="poses of VAL")


def run(args: argparse.Namespace) -> int:
    from ..files import save_model
    from ..lifting import LIFTERS, camera_frame, compare_lifters, load_pairs, write_lifting_page
    from ..lifting.compared import best_lifter, save_poses, table
    from ..lifting.pairs import in_camera

    ending(args.out, ".npz")
    if args.train.suffix == ".hkp":
        return _lift(args)
    train, val = load_pairs(args.train, args.group_by), load_pairs(args.val)
    notes = []
    if args.axes == "camera":
        turns = camera_frame(train)
        train, val = in_camera(train, turns), in_camera(val, turns)
        told = ", ".join(f"{name}: {error:.1f} px" for name, (_, error) in turns.items())
        notes.append(f"Axes of the cameras come from the training pairs; residuals {told}.")
    with Bar("lifter") as bar:
        found = compare_lifters(train, val, args.lifters or tuple(LIFTERS), root=args.root, told=bar)
    save_poses(found, val, args.out, args.root)
    if args.save:
        save_model(best_lifter(found, val, args.root).lifter, args.save, {"unit": args.unit})
    page = args.out.with_suffix(".html")
    write_lifting_page(found, val, page, root=args.root, unit=args.unit, notes=notes, provenance=provenance())
    print(table(found, val, args.root))
    print(f"\nPoses: {args.out}\nPage: {page}")
    return OK


def _lift(args: argparse.Namespace) -> int:
    """Points of a file by a saved lifter."""
    from ..files import load_model
    from ..lifting.compared import lift_points

    count = lift_points(load_model(args.train), args.val, args.out)
    print(f"{count} poses: {args.out}")
    return OK
