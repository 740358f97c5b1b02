"""Metrics: pure functions of arrays, scored from stored predictions.

Here live numbers between truth and answers: point errors (:mod:`.landmarks`), object keypoint
similarity with COCO's AP and AR (:mod:`.oks`), and calibration (:mod:`.classification`).  Never
here: files, pictures, models, or any random choice.  Shapes: points (B, K, 2), normalisers (B,).
"""

from __future__ import annotations

from ..lazy import doors

__getattr__, __dir__, __all__ = doors(
    __name__,
    {
        "METRICS": "landmarks",
        "OBJECT_METRICS": "landmarks",
        "auc": "landmarks",
        "ced": "landmarks",
        "failure_rate": "landmarks",
        "nme": "landmarks",
        "normalizer_lengths": "landmarks",
        "object_pck": "landmarks",
        "pck": "landmarks",
        "per_landmark_error": "landmarks",
        "point_errors": "landmarks",
        "COCO_PERSON_SIGMAS": "coco",
        "OKS_FIGURES": "oks",
        "object_oks": "oks",
        "oks_matrix": "oks",
        "oks_ap": "oks",
        "oks_ap_from_coco": "coco",
        "calibration_curve": "classification",
        "expected_calibration_error": "classification",
    },
)
