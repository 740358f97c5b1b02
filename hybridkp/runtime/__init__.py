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

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
