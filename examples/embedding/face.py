"""Landmarks with ONNX Runtime and NumPy alone: no hybridkp, no OpenCV.

python examples/embedding/face.py golden
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

folder = Path(sys.argv[1])
session = onnxruntime.InferenceSession(folder / "face.onnx")
card = session.get_modelmeta().custom_metadata_map
print(
    "landmarks:",
    ", ".join(json.loads(card["hybridkp.landmarks"])[:3]),
    "... colours:",
    card["hybridkp.color_order"],
)

picture = json.loads((folder / "crop.json").read_text())  # or whatever reads pictures in your application
crop = np.array(picture["bgr"], np.float32).reshape(*picture["size"], 3)
image = np.moveaxis(crop, 2, 0)[None]  # (B, 3, H, W); as many crops at once as you like
xy, score = session.run(["xy", "score"], {"image": image})

off = np.abs(xy[0] - np.array(json.loads((folder / "golden.json").read_text())["face"])).max()
print(f"{xy.shape[1]} landmarks, scores up to {score.max():.2f}, {off:.1e} px from the golden file")
sys.exit(int(off > 1e-3))
