"""Predictions as other libraries have them, and theirs as ours: pandas' frames, supervision's key points.

(COCO's results: :func:`.predictions_to_coco`.)  Neither library is asked for before its door is used.  Points
are (x, y) px of the picture, 0-based; what was not given is NaN here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..lazy import missing
from ..structures import Array, InputError, Predictions

COLUMNS = ("method", "seed", "picture", "object", "landmark", "x", "y", "score")


def predictions_to_frame(
    predictions: Predictions | Sequence[Predictions], landmarks: Sequence[str] | None = None
) -> Any:
    """A tidy pandas frame, a row for each landmark of each object, NaN where a method gave no point.

    Columns ``method, seed, picture, object, landmark, x, y, score``; ``landmarks`` are the K names, such as
    ``dataset.landmarks``, else numbers.

    Raises
    ------
    InputError
        Another number of names than of landmarks, or no pandas.
    """
    try:
        import pandas
    except ImportError:
        raise InputError(missing("a frame", "pandas")) from None
    rows = [predictions] if isinstance(predictions, Predictions) else list(predictions)
    frames = []
    for row in rows:
        b, k = row.score.shape
        names = list(range(k)) if landmarks is None else list(landmarks)
        if len(names) != k:
            raise InputError(f"{row.method}: {k} landmarks, not the {len(names)} named")
        columns = {"method": row.method, "seed": row.seed, "picture": np.repeat(row.names, k)}
        columns |= {"object": np.repeat(row.instance, k), "landmark": np.tile(np.array(names, object), b)}
        columns |= {"x": row.xy[..., 0].ravel(), "y": row.xy[..., 1].ravel(), "score": row.score.ravel()}
        frames.append(pandas.DataFrame(columns))
    return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame(columns=list(COLUMNS))


def predictions_to_supervision(predictions: Predictions) -> dict[str, Any]:
    """Picture -> ``supervision.KeyPoints`` of its objects, in the order of the predictions.

    As supervision has it, a point that was not given is 0, 0 with confidence 0.
    """
    try:
        import supervision
    except ImportError:
        raise InputError(missing("supervision's key points", "supervision")) from None
    known = inspect.signature(supervision.KeyPoints).parameters
    sure = next(n for n in ("keypoint_confidence", "confidence") if n in known)  # before 0.29 the latter
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(predictions.names):
        rows.setdefault(name, []).append(row)
    made: Any = supervision.KeyPoints
    out = {}
    for name, at in rows.items():
        xy, score = predictions.xy[at], predictions.score[at]
        given: Array = np.asarray(np.isfinite(xy).all(-1))
        confidence = np.where(given, np.nan_to_num(score), 0).astype(np.float32)
        points = np.where(given[..., None], xy, 0).astype(np.float32)
        out[name] = made(points, np.zeros(len(at), int), **{sure: confidence})
    return out


def objects_of_key_points(found: Mapping[str, Any], k: int) -> Iterator[tuple[str, Array, Array, float]]:
    """(picture, points (K, 2), scores (K,), confidence) of each object of ``picture -> KeyPoints``.

    Raises
    ------
    InputError
        What is no ``KeyPoints``, or has another number of landmarks.
    """
    for name, points in found.items():
        try:
            xy = np.array(points.xy, float)
            sure = _first(points, "keypoint_confidence", "confidence")
            whole = _first(points, "detection_confidence")
            score = np.ones(xy.shape[:2]) if sure is None else np.array(sure, float).reshape(xy.shape[:2])
            mean = score.mean(1) if score.size else np.zeros(len(xy))
            confidence = mean if whole is None else np.array(whole, float).reshape(len(xy))
        except (AttributeError, TypeError, ValueError):
            raise InputError(f"{name}: {type(points).__name__} is no supervision KeyPoints") from None
        if len(xy) and xy.shape[1:] != (k, 2):
            raise InputError(f"{name}: key points {xy.shape}, not (N, {k}, 2)")
        xy[((xy == 0).all(-1) & (score == 0)) | ~np.isfinite(xy).all(-1)] = np.nan
        for each in zip(xy, score, confidence.tolist(), strict=True):
            yield (str(name), *each)


def _first(value: Any, *names: str) -> Any:
    """The first of the attributes that is there and not None."""
    return next((v for name in names if (v := getattr(value, name, None)) is not None), None)
