"""``hybridkp export``: a model file for applications."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..structures import MARGIN, Dataset, InputError
from .display import OK
from .options import DATA, READER, ending, reading, shared

NAME = "export"
HELP = "a model file for applications: .hkr for OpenCV and Python, .onnx for any language"
EXAMPLES = """\
  hybridkp export faces.hkp -o faces.hkr
  hybridkp export faces.hkp -o faces.onnx
  hybridkp export faces.hkp -o faces.onnx --opencv
  hybridkp export faces.hkp -o faces.onnx --picture any
  hybridkp export finder_and_faces.hkp -o faces.onnx --picture 480x640
  hybridkp export faces.hkp -o faces8.onnx --int8 --calibrate faces68
  hybridkp export faces.hkp -o faces.onnx --judge faces68
In Python then: hybridkp.runtime.load("faces.hkr").detect(image, box), without torch and scikit-learn.
An .onnx file takes crops, "image" (B, 3, H, W) float32 BGR, and gives "xy" (B, K, 2) and "score" (B, K).
With --picture it takes "picture" (3, H, W) and "boxes" (N, 4); a model with a finder finds them itself."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a model file of train or bench")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="file to write: model.hkr, or model.onnx"
    )
    parser.add_argument(
        "--opencv", action="store_true", help=".onnx: for cv2.dnn, one crop at a time, its operators alone"
    )
    parser.add_argument(
        "--maps",
        action="store_true",
        help="with --opencv: score maps instead of points, for cv2.dnn.KeypointsModel",
    )
    parser.add_argument(
        "--pixels",
        choices=("float", "uint8"),
        default="float",
        help=".onnx: crops as (B, 3, H, W) float32 (default), or as OpenCV has them, (B, H, W, 3) uint8",
    )
    parser.add_argument(
        "--picture",
        type=picture_size,
        metavar="HxW",
        help=".onnx: whole pictures of this height and width (of any size: any) instead of crops",
    )
    parser.add_argument(
        "--int8", action="store_true", help="networks' convolutions in 8 bits; needs --calibrate"
    )
    parser.add_argument(
        "--calibrate", metavar="DATA", help=f"--int8: pictures like those in use, labelled; {DATA}"
    )
    parser.add_argument(
        "--judge", metavar="DATA", help=f"write the error on these pictures into the file; {DATA}"
    )
    shared(parser, *READER)


def picture_size(text: str) -> tuple[int, int] | str:
    """A size as people type it, 480x640, or any."""
    if text == "any":
        return text
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH, such as 480x640, or any, got {text!r}")
    return int(height), int(width)


def run(args: argparse.Namespace) -> int:
    from .. import evaluate
    from ..datasets import load_dataset, split_names
    from ..files import load_model, read_meta
    from ..runtime import export_runtime

    graph = ending(args.out, ".hkr", ".onnx") == ".onnx"
    if not graph and (args.opencv or args.pixels != "float" or args.picture):
        raise InputError(f"{args.out}: --opencv, --pixels, --picture are for .onnx files: give -o model.onnx")
    if args.maps and not args.opencv:
        raise InputError("--maps is for cv2.dnn.KeypointsModel: give --opencv too")
    if reading(args) and not args.calibrate and not args.judge:
        raise InputError(
            f"{args.model}: options of the data, such as --images, are for --calibrate and --judge DATA"
        )
    if args.int8 != bool(args.calibrate):
        raise InputError("--int8 and --calibrate DATA go together: 8 bits are set, and judged, on pictures")
    model, meta = load_model(args.model), read_meta(args.model)
    kind = type(model).__name__
    margin = float(meta.get("margin", MARGIN))

    def labelled(path: str, split: str | None = None) -> Dataset:
        data = load_dataset(path, split, **reading(args))
        evaluate.check_landmarks(meta, data)
        return data

    try:
        if args.int8:
            model, said = evaluate.int8_model(model, labelled(args.calibrate), margin)
            print(said)
        if args.judge:
            part = "val" if "val" in split_names(args.judge) else None
            meta["figures"] = evaluate.exported_figures(model, labelled(args.judge, part), margin)
            print(meta["figures"])
        if graph:
            from ..runtime import export_onnx

            forms = {name: getattr(args, name) for name in ("opencv", "pixels", "picture", "maps")}
            export_onnx(model, args.out, meta, **forms)
        else:
            export_runtime(model, args.out, meta)
    except InputError as error:
        raise InputError(f"{args.model}: {error}") from None
    print(f"{args.out}: {meta.get('method', kind)}, {args.out.stat().st_size / 1e6:.2f} MB")
    return OK
