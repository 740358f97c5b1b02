"""Which exported file holds which method: each is fitted a little, written through every door, compared.

    python benchmarks/doors.py -o docs/results/doors.json

Drawn faces, crops of 64 px; nothing is left out by a guard, so that every part of a method is in its file.
A door holds a method when a crop's points are those of the library: stored are the largest difference over
1,000 held-out crops, and how many crops differ by more than 1e-3 px.  Networks are trained until their points
lie apart, no longer.  A run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import landmark_sets as sets
import numpy as np
import onnxruntime

from hybridkp import recipes, runtime
from hybridkp.datasets import make_faces
from hybridkp.evaluate import int8_model, make_crops
from hybridkp.files import write_atomic
from hybridkp.structures import InputError

METHODS = (
    *("mean-shape", "hog+ridge", "sdm", "sdm-hog", "lbf", "hough-forest", "hog+forest", "hog+svm"),
    *("direct", "heatmap", "heatmap:flip", "heatmap:flip:tree", "heatmap:flip:shape", "heatmap:flip:sdm"),
    *("heatmap:flip:tree:shape:sdm", "heatmap:flip:sdm[maps=encoder]", "direct:cnn", "sdm:flip"),
    *("average(sdm,direct)", "vote(sdm,heatmap:flip)", "gated(sdm,heatmap:flip)", "stack(sdm,heatmap:flip)"),
    *("shape(sdm,heatmap:flip)", "product(sdm,heatmap:flip)", "sdm:presence:upright"),
)
BAR = 1e-3  #: px
TINY = {"max_epochs": 8, "epoch_pictures": 80, "input_px": 64, "guard": False, "device": "cpu"}


def fitted(name: str, crops: Any) -> Any:
    method = recipes.make_method(name, quick=True)
    for parameter, value in TINY.items():
        try:
            method = recipes.parameterised({name: method}, {parameter: value})[name]
        except InputError:  # this method has no such parameter
            continue
    return method.fit(crops.images, crops.xy, groups=crops.groups, flip=crops.flip)


def tried(door: Callable[[], Any], wanted: Any) -> dict[str, float] | str:
    """The largest difference in px and how many crops are over :data:`BAR`, or why it is not held."""
    try:
        found = door()
    except InputError as error:
        return str(error)
    off = np.abs(found - wanted).max(axis=(1, 2))
    return {"most": float(off.max()), "over": int((off > BAR).sum())}


def doors(model: Any, faces: Any, crops: Any, folder: Path) -> dict[str, dict[str, float] | str]:
    one = [model.predict_with_score(image[None])[0] for image in crops.images]
    wanted = np.concatenate(one)
    blob = cv2.dnn.blobFromImages(list(crops.images))

    def hkr() -> Any:
        file = runtime.export_runtime(model, folder / "m.hkr")
        return runtime.load(file).predict_with_score(crops.images)[0]

    def onnx(given: Any = model) -> Any:
        file = runtime.export_onnx(given, folder / "m.onnx")
        return onnxruntime.InferenceSession(str(file)).run(["xy"], {"image": blob})[0]

    def opencv() -> Any:
        net = cv2.dnn.readNetFromONNX(str(runtime.export_onnx(model, folder / "o.onnx", opencv=True)))
        found = []
        for crop in crops.images:
            net.setInput(cv2.dnn.blobFromImage(crop))
            outputs = net.forward(net.getUnconnectedOutLayersNames())
            found.append(max(outputs, key=np.size).reshape(-1, 2))
        return np.stack(found)

    def int8() -> Any:
        return onnx(int8_model(model, faces)[0])

    ways = {".hkr": hkr, ".onnx": onnx, "cv2.dnn": opencv, "int8": int8}
    return {name: tried(door, wanted) for name, door in ways.items()}


def main() -> None:
    parser = sets.parser(__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--methods", default="", help="some of them, with semicolons")
    parser.add_argument("--crops", type=int, default=1000, help="held out")
    options = parser.parse_args()
    faces = make_faces(40, (72, 72))
    crops, held_out = (
        make_crops(faces, (64, 64)),
        make_crops(make_faces(options.crops, (72, 72), random_state=9), (64, 64)),
    )
    facts = {"opencv": cv2.__version__, "onnxruntime": onnxruntime.__version__, "crops": len(held_out)}
    known = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    rows = known["methods"] if facts.items() <= known.get("provenance", {}).items() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.methods.split(";") if options.methods else METHODS:
            if name in rows:
                continue
            try:
                rows[name] = doors(fitted(name, crops), faces, held_out, Path(folder))
            except InputError as error:
                rows[name] = {"fit": str(error)}
            print(name, rows[name], flush=True)
            document = {"provenance": {**facts, "date": time.strftime("%Y-%m-%d")}, "methods": rows}
            write_atomic(options.out, json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
