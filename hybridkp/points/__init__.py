"""Interest points: local features, their matching, and what learning adds to them.

A :class:`~hybridkp.structures.LocalFeature` goes from a picture to keypoints and rows, a
:class:`~hybridkp.pairs.PairMatcher` from two pictures to matched points and a homography.
Never here: torch, metrics, truth.  Names load lazily.
"""

from __future__ import annotations

from ..lazy import doors

__getattr__, __dir__, __all__ = doors(
    __name__,
    {
        "AKAZEFeature": "classical",
        "AlikedFeature": "onnx",
        "BEBLID": "bits",
        "BRIEF": "bits",
        "BRISKFeature": "classical",
        "Corners": "detectors",
        "DiskFeature": "onnx",
        "FAST": "detectors",
        "FREAK": "bits",
        "FromFeature2D": "opencv_door",
        "KAZEFeature": "classical",
        "LightGlue": "onnx",
        "LightGlueMatcher": "onnx",
        "NetFeature": "net",
        "ORBFeature": "classical",
        "OnnxFeature": "onnx",
        "Paired": "pairing",
        "SIFTFeature": "classical",
        "SURFFeature": "classical",
        "TEBLID": "bits",
        "as_feature2d": "opencv_door",
    },
)
