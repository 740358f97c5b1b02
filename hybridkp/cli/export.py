"""``hybridkp export``: a model file for applications."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..structures import InputError
from .display import OK

NAME = "export"
HELP = "a model file for OpenCV applications (runtime)"
EXAMPLES = """\
  hybridkp export faces.hkp -o faces.hkr
In Python then: hybridkp.runtime.load("faces.hkr").detect(image, box), without torch and scikit-learn."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a model file of train or bench")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="runtime file to write, such as model.hkr"
    )


def run(args: argparse.Namespace) -> int:
    from ..files import load_model, read_meta
    from ..runtime import export_runtime

    model, meta = load_model(args.model), read_meta(args.model)
    try:
        export_runtime(model, args.out, meta)
    except InputError as error:
        raise InputError(f"{args.model}: {error}") from None
    print(f"{args.out}: {type(model).__name__}, {args.out.stat().st_size / 1e6:.2f} MB")
    return OK
