"""The rows of relative pose, for pairs with cameras: shown besides those of ``point_rows``."""

from __future__ import annotations

import numpy as np

from .homographies import recall_area
from .metric import Metric
from .point_rows import JudgedPair


def _auc(degrees: int, place: int, meaning: str = "") -> Metric:
    def function(p: JudgedPair) -> float:
        return float(recall_area(max(p.pose_degrees), (float(degrees),))[0])

    words = f"area under the recall of the pose error up to {degrees} degrees"
    title = f"pose AUC@{degrees}°"
    return Metric(
        *(f"pose_auc@{degrees}", function, title, "", 3, "higher", words),
        place=place,
        interval=True,
        meaning=meaning,
    )


def _degrees(key: str, title: str, which: slice, words: str, place: int) -> Metric:
    def function(p: JudgedPair) -> float:
        return float(np.max(p.pose_degrees[which]))

    return Metric(key, function, title, "°", 2, "lower", words, summary="median", place=place)


#: the pose's error is the larger of its two angles; inf where none was found
POSE_METRICS: list[Metric] = [
    _auc(
        *(5, 1),
        "pose AUC@5°, @10°, @20°: from the matches and both cameras an essential matrix is estimated, and"
        " from it how the second camera is turned and where it moved. The error is the larger of both angles."
        " A pair counts 1 with no error, 0 with 5 (10, 20) degrees and more, in between in proportion.",
    ),
    _auc(10, 2),
    _auc(20, 2),
    _degrees("pose_deg", "pose error", slice(None), "larger of rotation's and translation's angle", 1),
    _degrees("rotation_deg", "rotation error", slice(0, 1), "angle between both rotations", 0),
    _degrees("translation_deg", "translation error", slice(1, 2), "angle between both translations", 0),
]
