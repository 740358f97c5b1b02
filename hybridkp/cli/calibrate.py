"""``hybridkp calibrate``: cameras from pictures of a board."""

from __future__ import annotations

import argparse
from pathlib import Path

from .display import Bar, left_out, provenance, say
from .options import ending

NAME = "calibrate"
HELP = "cameras from pictures of a ChArUco board or a checkerboard"
EXAMPLES = """\
  hybridkp calibrate calibration/ --board charuco:8x11:24mm:18.75:4x4_1000 -o cameras.json
  hybridkp calibrate calibration/ --board checkerboard:10x7:25mm -o calibration.toml
A subfolder for each camera; pictures of one moment have one name. Squares are counted, not inner corners.
Beside the cameras comes a page with residuals and detections. Pictures that cannot be read are left
out, and told at the end."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a subfolder of pictures for each camera")
    parser.add_argument(
        "--board",
        required=True,
        metavar="BOARD",
        help="charuco:COLSxROWS:SQUARE:MARKER:DICTIONARY[:legacy] or checkerboard:COLSxROWS:SQUARE",
    )
    parser.add_argument(
        "--lens",
        choices=["radial", "full"],
        default="radial",
        help="one focal length and one number of distortion, or all (default radial)",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="FILE", help=".json, or .toml as Anipose writes it"
    )


def run(args: argparse.Namespace) -> int:
    from ..multiview import Board, calibrate, write_calibration_page, write_cameras

    ending(args.out, ".json", ".toml")
    board = Board.parse(args.board)
    with Bar("picture", sparse=True) as bar:
        found = calibrate(args.folder, board, lens=args.lens, told=bar)
    errors = dict(zip(found.cameras.names, found.error_px.tolist(), strict=True))
    write_cameras(found.cameras, args.out, error=float(found.error_px.mean()))
    page = args.out.with_suffix(".html")
    write_calibration_page(found, page, provenance=provenance())
    for path in found.without_board:
        say(f"no board: {path}")
    for name, error in errors.items():
        print(f"{name:16} {error:.3f} px")
    print(f"\nCameras: {args.out}\nPage: {page}")
    return left_out([*found.refused.values()])
