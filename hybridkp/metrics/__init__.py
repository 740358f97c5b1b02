"""Metrics: pure functions of arrays, scored from stored predictions.

Here live numbers between truth and answers: point errors (:mod:`.landmarks`), object keypoint
similarity with COCO's AP and AR (:mod:`.oks`), calibration (:mod:`.classification`), visibility
(:mod:`.visibility`), and the interest points' repeatability, matching and homography accuracy
(:mod:`.points`).  Never here: files, pictures, models, or any random choice.  Shapes: points
(B, K, 2), normalisers (B,).
"""

from __future__ import annotations

from ..lazy import doors

__getattr__, __dir__, __all__ = doors(
    __name__,
    {
        "AUC_PX": "homographies",
        "METRICS": "landmarks",
        "OBJECT_METRICS": "landmarks",
        "POINT_METRICS": "points",
        "THRESHOLDS_PX": "homographies",
        "auc": "landmarks",
        "ced": "landmarks",
        "failure_rate": "landmarks",
        "headline_metric": "landmarks",
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
        "error_by_score": "classification",
        "expected_calibration_error": "classification",
        "brier_score": "visibility",
        "hidden_average_precision": "visibility",
        "log_loss": "visibility",
        "corner_error": "homographies",
        "correctness": "homographies",
        "recall_area": "homographies",
        "inlier_counts": "points",
        "localisation_error": "points",
        "match_errors": "points",
        "matching_score": "points",
        "mma": "points",
        "pair_scores": "points",
        "repeatability": "points",
        "repeated_points": "points",
        "transfer": "points",
    },
)
