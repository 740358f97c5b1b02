"""``hybridkp classroom``: a page on which a picture gets harder, and detectors answer beside each other."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .display import OK, Bar, say
from .options import count, ending, port

NAME = "classroom"
HELP = "an interactive page: make a picture harder, and watch classical, deep and hybrid detectors answer"
EXAMPLES = """\
  hybridkp classroom
  hybridkp classroom --no-open --port 8000
  hybridkp classroom -o classroom.html
  hybridkp classroom sdm.hkp heatmap.hkp vote.hkp --data faces68
The first start trains small models on embedded faces, some two minutes on one core, and keeps them."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models",
        type=Path,
        nargs="*",
        metavar="MODEL",
        help="model files of train, of one landmark scheme (default: small ones, trained at the first start)",
    )
    parser.add_argument("--data", help="whose val part gives the pictures (default: embedded faces)")
    parser.add_argument("--pictures", type=count, default=6, metavar="N", help="so many of it (default 6)")
    parser.add_argument(
        "--port", type=port, default=0, metavar="N", help="of the server (default: a free one)"
    )
    parser.add_argument("--no-open", action="store_true", help="print the address, and open no browser")
    parser.add_argument(
        "-o", "--out", type=Path, help="write one file that needs no server, such as classroom.html"
    )
    parser.add_argument(
        "--onnxruntime-web",
        dest="web",
        type=Path,
        metavar="DIR",
        help="for -o: the npm package that runs models in a browser (default: below this folder)",
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where the small models are kept")


def run(args: argparse.Namespace) -> int:
    from .. import classroom, evaluate

    if args.out is not None:
        ending(args.out, ".html")
        classroom.find_web(args.web)  # before anything is trained
    data = evaluate.load_problem(args.data or "synthetic", max_train=1, max_val=args.pictures)
    if args.models:
        models = classroom.own_models(args.models)
    else:
        args.resume = "Finished fits are kept; give the same command again to go on."
        with Bar("model") as bar:
            folder = args.cache or classroom.cache_folder()
            models = classroom.small_models(folder, bar, verbose=int(sys.stderr.isatty()))
    room = classroom.Classroom(models, data)
    if args.out is not None:
        made = classroom.write_page(room, args.out, args.web)
        near = f"{made.n_near} of {made.n_asked} answers within {classroom.NEAR:g} px of Python's"
        print(f"{made.path}: {made.n_bytes / 1e6:.0f} MB; {near}, the furthest {made.furthest_px:.2g} px")
        return OK
    server = classroom.serve(room, args.port)
    print(server.url, flush=True)
    say("Ctrl-C ends it.")
    with server:
        if not args.no_open and _has_screen():
            import webbrowser

            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:  # the usual end
            say("The classroom is closed.")
    return OK


def _has_screen() -> bool:
    """Whether a browser would have a window: where there is none, one in the terminal would take it over."""
    return sys.platform != "linux" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
