"""Metrics: pure functions of arrays, scored from stored predictions.

Here live numbers between truth and answers: point errors (:mod:`.landmarks`), object keypoint
similarity with COCO's AP and AR (:mod:`.oks`), and calibration (:mod:`.classification`).  Never
here: files, pictures, models, or any random choice.  Shapes: points (B, K, 2), normalisers (B,).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
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
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'hybridkp.metrics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
