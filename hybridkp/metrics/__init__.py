"""Metrics: pure functions of arrays, scored from stored predictions.

Here live numbers between truth and predictions: point errors (:mod:`.landmarks`), object keypoint
similarity with COCO's AP and AR (:mod:`.oks`), calibration (:mod:`.classification`), visibility
(:mod:`.visibility`), and the interest points' repeatability, matching and homography accuracy
(:mod:`.points`).  Never here: files, pictures, models, or any random choice.  Shapes: points
(B, K, 2), normalisers (B,).
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
