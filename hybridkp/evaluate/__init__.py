"""Splits, seeds, crops and the clock: methods in, predictions out.

Names no method and computes no metric.  Names are fetched when first asked for.
"""

from __future__ import annotations

from ..lazy import doors

__getattr__, __dir__, __all__ = doors(
    __name__,
    {
        "Condition": "conditions",
        "Crops": "crops",
        "bench": "runs",
        "bench_pairs": "pairs",
        "make_crops": "crops",
        "predict": "apply",
        "predictions_to_coco": "apply",
        "robustness": "conditions",
        "setting": "runs",
        "stored_matches": "pairs",
        "stored_predictions": "runs",
        "train": "apply",
    },
)
