"""The one place that knows OpenCV 4 from OpenCV 5.

Factories for what moved, changed its defaults or is missing.  Nothing else lives here.
OpenCV's objects can be neither pickled nor copied: estimators keep parameters and call these
late.
"""

from __future__ import annotations

from typing import Any

import cv2

MAJOR = int(cv2.__version__.split(".")[0])


def create_sift(n_features: int = 0, **options: Any) -> Any:
    """``cv2.SIFT`` without its quarter-pixel offset (``enable_precise_upscale``)."""
    return cv2.SIFT.create(nfeatures=n_features, enable_precise_upscale=True, **options)


def create_hog(window: int, block: int, stride: int, cell: int, bins: int = 9) -> Any:
    """``cv2.HOGDescriptor`` with every default that differs between 4.x and 5.x set."""
    return contrib("HOGDescriptor")(
        _winSize=(window, window),
        _blockSize=(block, block),
        _blockStride=(stride, stride),
        _cellSize=(cell, cell),
        _nbins=bins,
        _derivAperture=1,
        _winSigma=-1.0,
        _histogramNormType=0,
        _L2HysThreshold=0.2,
        _gammaCorrection=False,
        _nlevels=64,
        _signedGradient=False,
    )


def contrib(name: str) -> Any:
    """What 4.x or 5.x keeps in ``cv2`` and the other in ``cv2.xfeatures2d``, or only contrib has.

    Raises
    ------
    ImportError
        Where this OpenCV lacks it, with the cure.
    """
    found = getattr(cv2, name, None)
    if found is None:
        found = getattr(getattr(cv2, "xfeatures2d", None), name, None)
    if found is None:
        raise ImportError(
            f"this OpenCV ({cv2.__version__}) has no {name}: install opencv-contrib-python in its place"
        )
    return found
