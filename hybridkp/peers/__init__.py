"""Other people's landmark detectors behind our promise, so that they stand in the same tables.

Crops (B, H, W[, 3]) go in, points (B, K, 2) and scores (B, K) come out, as from every
:class:`hybridkp.structures.Detector`; the libraries come with ``pip install "hybridkp[peers]"``.
Nobody but the recipes imports this room, and no method of ours stands on it.

OpenCV's Facemark (LBF, AAM, Kazemi) is not here because its Python bindings cannot train: in
OpenCV 5.0.0 ``createFacemarkLBF()`` takes no parameters and what it makes has ``fit`` and
``loadModel`` but neither ``addTrainingSample`` nor ``training`` nor ``setFaceDetector``
(looked up with ``dir``; opencv_contrib's issue 2071 asks for them, its pull request 2197 would
bring them and is not merged).  A downloaded model would have been trained on other pictures.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
