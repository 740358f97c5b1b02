"""The classroom as one file that needs no server: its models run in the browser, by ONNX Runtime Web.

What is written is asked first, by ONNX Runtime itself, and the page tells how far its points are from
Python's.  ONNX Runtime Web is not part of this project: it is read from where npm has put it.
"""

from __future__ import annotations

import base64
import gzip
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..explain.evidence import inside
from ..files import write_atomic
from ..files.graphs import open_graph
from ..structures import Array, InputError, ScoreMaps, supports
from .altering import COVER, NOISE_UNIT, SLIDERS, altered, checked_knobs, noise_table, placed
from .answers import Classroom, number_or_null, points_or_null
from .page import render

NEAR = 1e-2  #: px that the page's points may be from Python's
ASKED = 10  #: states of each picture that are asked before the page is written
WEB = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
VERSION = "1.30.0"  #: of onnxruntime-web that the page was tried with


class Written(NamedTuple):
    """A written page and how it agrees with Python."""

    path: Path
    n_bytes: int
    n_asked: int  #: points' sets that were compared
    n_near: int  #: of them, no point further than :data:`NEAR`
    furthest_px: float


def write_page(
    classroom: Classroom, out: str | os.PathLike[str], web: str | os.PathLike[str] | None = None
) -> Written:
    """One HTML file with the classroom's models and pictures, live without a server.

    Parameters
    ----------
    web : the folder of the npm package onnxruntime-web, or one that holds it; default the present folder

    Raises
    ------
    InputError
        When onnxruntime-web, onnx or onnxruntime is not there, a model has no ONNX form, and when the file
        cannot be written.
    """
    try:
        from .graphs import staged_graph
    except ImportError:
        raise InputError("a page without a server needs onnx: pip install 'hybridkp[onnx]'") from None
    script, wasm = (path.read_bytes() for path in find_web(web))
    crops = _altered_crops(classroom)
    graphs, apart = [], []
    for model in classroom.models.models:
        try:
            graph, names = staged_graph(model.detector)
        except InputError as error:
            raise InputError(f"{model.name}: {error}") from None
        run = open_graph(graph, "onnxruntime", None, ["stages"])
        planes = np.moveaxis(crops, 3, 1).astype(np.float32)
        points = np.stack([run(plane[None])[0][-1] for plane in planes])
        apart.append(np.abs(points - model.detector.predict(crops)).max((1, 2)))
        way = next((name for name, part in inside(model.detector) if supports(part, ScoreMaps)), "")
        graphs.append({"name": model.name, "stages": names, "of": way, "graph": _packed(graph)})
    far = np.concatenate(apart)
    written = Written(Path(out), 0, len(far), int((far <= NEAR).sum()), float(far.max()))
    plates = [
        {
            "id": name,
            "image": _packed(plate.image),
            "xy": points_or_null(plate.xy),
            "length": number_or_null(plate.length),
        }
        for name, plate in classroom.plates.items()
    ]
    further = {
        "script": _packed(script),
        "wasm": _packed(wasm),
        "graphs": graphs,
        "plates": plates,
        "noise": _packed(noise_table(classroom.models.side)),
        "noise_unit": NOISE_UNIT,
        "cover": COVER,
    }
    html = render(classroom, "file.js", further, [_agrees(written)])
    write_atomic(Path(out), html)
    return written._replace(n_bytes=len(html.encode()))


def find_web(folder: str | os.PathLike[str] | None = None) -> list[Path]:
    """The two files of onnxruntime-web that a page needs.

    Raises :class:`InputError`, with the cure, where they are not.
    """
    root = Path(folder or ".")
    for inner in ("", "dist", "onnxruntime-web/dist", "node_modules/onnxruntime-web/dist"):
        paths = [root / inner / name for name in WEB]
        if all(path.is_file() for path in paths):
            return paths
    raise InputError(
        f"{root}: has no onnxruntime-web, which runs the models in a browser:"
        f" npm install onnxruntime-web@{VERSION} there, or name its folder by --onnxruntime-web"
    )


def _altered_crops(classroom: Classroom) -> Array:
    """(N, S, S, 3): every picture as it is, then at random positions of the sliders."""
    rng, out = np.random.default_rng(0), []
    for plate in classroom.plates.values():
        for n in range(ASKED):
            moved = [s for s in SLIDERS if n and rng.random() < 0.5]
            knobs = checked_knobs({s.key: float(rng.uniform(s.low, s.high)) for s in moved})
            out.append(altered(plate.image, knobs, placed(plate.xy[0], len(plate.image), knobs)))
    return np.stack(out)


def _agrees(written: Written) -> str:
    text = (
        f"The models run in this page, by ONNX Runtime Web (MIT licence, Microsoft). Before it was written,"
        f" {written.n_near} of {written.n_asked} answers were within {NEAR:g} px of Python's."
    )
    if written.n_near < written.n_asked:
        text += (
            f" The others differ by up to {written.furthest_px:.2f} px: engines differ in the last bits,"
            " and where two answers are as good, another one is taken."
        )
    return text


def _packed(data: bytes | Array) -> str:
    raw = data if isinstance(data, bytes) else np.ascontiguousarray(data).tobytes()
    return base64.b64encode(gzip.compress(raw, 9, mtime=0)).decode()
