"""Trained detectors in an OpenCV application: NumPy and cv2, no torch and no scikit-learn.

:func:`export_runtime` writes a fitted detector as plain arrays and ONNX graphs, :func:`load`
reads it back as a :class:`RuntimeDetector`.  A graph runs on ONNX Runtime where that is
installed, else on ``cv2.dnn``.  Nothing is learned here.

After ``hybridkp train DATA --method sdm -o face.hkp`` and ``hybridkp export face.hkp -o face.hkr``:

.. code-block:: python

    import cv2
    from hybridkp import runtime

    landmarks = runtime.load("face.hkr")
    finder = cv2.FaceDetectorYN.create("face_detection_yunet_2023mar.onnx", "", (320, 320))
    image = cv2.imread("people.jpg")
    finder.setInputSize(image.shape[1::-1])
    _, faces = finder.detect(image)
    for face in [] if faces is None else faces:
        for x, y in landmarks.detect(image, face[:4]).xy.round().astype(int).tolist():
            cv2.circle(image, (x, y), 2, (0, 255, 0), -1)
    cv2.imwrite("found.png", image)
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_DOORS = {
    "RuntimeDetector": "detector",
    "export_runtime": "export",
    "load": "detector",
}

__all__ = sorted(_DOORS)


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        value = getattr(import_module(f".{_DOORS[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'hybridkp.runtime' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
