"""Embed a trained detector in an OpenCV application.

Training needs scikit-learn, and torch for networks; an application should need neither.  So a fitted
detector is exported once, to a file of arrays (and an ONNX graph, for a network), and the application
reads it with NumPy and OpenCV alone.  It then keeps to OpenCV's types: pictures and boxes as ``cv2``
gives them, keypoints as ``cv2.KeyPoint``.

    python examples/embed.py -o out
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

import hybridkp
from hybridkp import points, runtime
from hybridkp.evaluate import train

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("-o", "--out", type=Path, default=Path("out"))
out = parser.parse_args().out
out.mkdir(parents=True, exist_ok=True)

# Once, on the machine that trains.  A model file remembers landmarks, crop size and margin.
faces = hybridkp.load_dataset("synthetic", "train").subset(range(200))
model = train(hybridkp.make_method("sdm"), faces, out / "face.hkp", name="sdm")
meta = hybridkp.files.read_meta(out / "face.hkp")
runtime.export_runtime(model, out / "face.hkr", meta)

# In the application.  ``image`` is what cv2.imread or cv2.VideoCapture gives, and the box is what your
# detector of faces, people or parts says: x, y, width, height in px.
landmarks = runtime.load(out / "face.hkr")
sample = hybridkp.load_dataset("synthetic", "val").samples[0]
image, box = sample.image, sample.instances[0].box_xywh
found = landmarks.detect(image, box)

# Points lie in the picture, not in a crop; a point's score is how probable it is that it is near the truth.
error = np.hypot(*(found.xy - sample.instances[0].xy).T)
print(f"{len(found)} landmarks, mean error {error.mean():.1f} px of a face of {box[2]:.0f} px")
assert error.mean() < 0.1 * box[2]
canvas = cv2.drawKeypoints(image, found.to_cv2(), None, (0, 255, 0))
cv2.imwrite(str(out / "landmarks.png"), canvas)

# Interest points work the same way: a cv2.Feature2D as far as matchers and drawing functions can see, here
# around a small network that comes with the package.  No torch: ONNX Runtime where it is there, else cv2.dnn.
net = points.as_feature2d(points.NetFeature(n_points=512))
pair = next(iter(hybridkp.datasets.make_pairs()))
left, right = pair.load_a(), pair.load_b()
(points_a, rows_a), (points_b, rows_b) = net.detectAndCompute(left, None), net.detectAndCompute(right, None)
matches = cv2.BFMatcher(net.defaultNorm(), crossCheck=True).match(rows_a, rows_b)
print(f"{len(points_a)} and {len(points_b)} points, {len(matches)} matches")
assert len(matches) > 50
cv2.imwrite(str(out / "matches.png"), cv2.drawMatches(left, points_a, right, points_b, matches[:60], None))
