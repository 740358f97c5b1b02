"""What an application does that has NumPy and OpenCV's headless wheel, and nothing else of ours.

Run by .ci/run in such an environment, with runtime files as arguments; every line is an assertion.
"""

import contextlib
import importlib.util
import io
import sys
from importlib.metadata import distribution
from pathlib import Path

import cv2
import numpy as np

import hybridkp
from hybridkp import cli, points, runtime
from hybridkp.descriptors import HOG
from hybridkp.imaging import gaussian_pyramid
from hybridkp.structures import Keypoints

for name in ("torch", "sklearn", "scipy", "skimage", "safetensors", "onnxruntime", "joblib", "matplotlib"):
    assert importlib.util.find_spec(name) is None, f"{name} is installed: this environment is not tiny"
size = sum(f.stat().st_size for f in Path(hybridkp.__file__).parent.rglob("*") if f.is_file())
assert size <= 10e6, f"{size / 1e6:.1f} MB installed"

rng = np.random.default_rng(0)
texture = cv2.GaussianBlur(rng.uniform(0, 255, (240, 320)), (0, 0), 2)
image = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
for path in sys.argv[1:]:
    detector = runtime.load(path)
    frame = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    found = detector.detect(frame, (40, 30, 120, 120))
    assert np.isfinite(found.xy).all() and len(found.to_cv2()) == len(detector.landmarks)
    tracker = runtime.Tracker(detector)
    assert [i.track for i in tracker.start(frame, [(40, 30, 120, 120)])] == [0]
    assert [i.track for i in tracker.update(np.roll(frame, 2, axis=1))] == [0]

moved = np.roll(image, 5, axis=1)
for feature in (
    points.NetFeature(n_points=300),
    points.ORBFeature(n_points=300),
    points.SIFTFeature(n_points=300),
):
    matches = points.FeatureMatcher(feature).match(image, moved)
    shift = np.median(matches.xy_b[matches.inlier] - matches.xy_a[matches.inlier], axis=0)
    assert matches.inlier.sum() > 30 and np.abs(shift - [5, 0]).max() < 0.1, (feature, shift)
door = points.as_feature2d(points.NetFeature(n_points=100))
assert len(door.detectAndCompute(image, None)[0]) > 50


def complaint(call):
    try:
        call()
    except ImportError as error:
        return str(error)
    raise AssertionError("nothing was missing")


somewhere = Keypoints([[100.0, 100.0]], size=[20.0])
for call in (
    lambda: points.AKAZEFeature().detect(image),
    lambda: points.BRISKFeature().detect(image),
    lambda: points.BEBLID().compute(image, somewhere),
    lambda: points.FREAK().compute(image, somewhere),
    lambda: points.BRIEF().compute(image, somewhere),
    lambda: points.FeatureMatcher(points.ORBFeature(), rule="gms").match(image, moved),
    lambda: HOG(backend="opencv").describe(gaussian_pyramid(image, 1), somewhere),
):
    text = complaint(call)
    assert "install opencv-contrib-python" in text and "\n" not in text, text
for call in (lambda: hybridkp.make_method("sdm"), lambda: points.BoostedTrees()):
    text = complaint(call)
    assert "pip install" in text and "\n" not in text, text

said = io.StringIO()
with contextlib.redirect_stderr(said):
    assert cli.main(["bench", "--quick"]) == 2
assert said.getvalue().count("\n") == 1 and "pip install scikit-learn" in said.getvalue(), said.getvalue()
for name in ("hybridkp", "numpy", "opencv-python-headless"):  # what the README tells
    there = [Path(str(f.locate())) for f in distribution(name).files or ()]
    there += [compiled for f in there for compiled in f.parent.glob(f"__pycache__/{f.stem}.*.pyc")]
    taken = sum(f.stat().st_size for f in set(there) if f.is_file())
    print(f"{name} {distribution(name).version} takes {taken / 1e6:.1f} MB")
print("a tiny installation works")
