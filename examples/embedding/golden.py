"""One file of numbers that every language must give: a crop, a model, and its points.

    python examples/embedding/golden.py -o golden

Trains a cascade and a small network on drawn faces and writes ``face.onnx`` (for any ONNX engine),
``face_opencv.onnx`` (for ``cv2.dnn``), ``crop.png``, ``crop.json`` (the same pixels: BGR, row by row) and
``golden.json``.  The other files of this folder read them: ``face.py`` with onnxruntime alone, ``face.cpp``
with stock OpenCV, ``index.html`` in a browser.
"""

import argparse
import json
from pathlib import Path

import cv2

import hybridkp
from hybridkp import runtime
from hybridkp.evaluate import make_crops

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("-o", "--out", type=Path, default=Path("golden"))
out = parser.parse_args().out
out.mkdir(parents=True, exist_ok=True)

drawn = hybridkp.load_dataset("synthetic", "train").subset(range(60))
faces, names = make_crops(drawn, size_hw=(64, 64)), list(drawn.landmarks)
crop = make_crops(hybridkp.load_dataset("synthetic", "val").subset(range(1)), size_hw=(64, 64)).images[0]
found = {}
for method, name in (("sdm", "face"), ("direct[input_px=64,max_epochs=2,epoch_pictures=60]", "face_opencv")):
    detector = hybridkp.make_method(method)
    detector.fit(faces.images, faces.xy, groups=faces.groups, flip=faces.flip)
    meta = {"landmarks": names, "margin": 1.25, "method": method}
    runtime.export_onnx(detector, out / f"{name}.onnx", meta, opencv=name == "face_opencv")
    runs = runtime.load(runtime.export_runtime(detector, out / f"{name}.hkr", meta))
    found[name] = runs.predict_with_score(crop[None])[0][0].tolist()
cv2.imwrite(str(out / "crop.png"), crop)
(out / "crop.json").write_text(json.dumps({"size": [64, 64], "bgr": crop.ravel().tolist()}))
(out / "golden.json").write_text(json.dumps(found))
print(f"{out}: {', '.join(sorted(p.name for p in out.iterdir()))}")
