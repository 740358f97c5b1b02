"""What one finder or method found in one set of pictures, in memory and on disk: no metric.

One JSON file each, written whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import Array, InputError, short_repr
from .atomic import write_atomic

FOUND_FORMAT = 1


@dataclass(frozen=True, eq=False)
class FoundBoxes:
    """What one finder or method of whole pictures found in P of them; entry p belongs to ``names[p]``.

    Parameters
    ----------
    finder : its expression
    names : of the pictures
    boxes : P arrays (N, 4), x, y, width, height in px
    scores : P arrays (N,), best first
    fit_seconds : of the training; NaN = not measured
    model_bytes : of the model file; -1 = none
    time_ratio : seconds a picture of 640 x 480, divided by those of OpenCV's HOG people detector; NaN = not
        measured
    data, fingerprint : name and digest of the data set
    settings : what must be the same for the boxes to be kept
    fit_host : the machine's name on which it was trained, "" = unknown
    points : P arrays (N, K, 2) in px, NaN = gave none; None: it gives boxes alone
    sure : how many of each picture's, the first ones, are above the method's own threshold; (P,) beside
        points, else empty
    given : what it says of the same pictures where it is told the boxes; None = it was not asked
    told : whether all of it was said in given boxes
    """

    finder: str
    names: tuple[str, ...]
    boxes: tuple[Array, ...]
    scores: tuple[Array, ...]
    fit_seconds: float = float("nan")
    model_bytes: int = -1
    time_ratio: float = float("nan")
    data: str = ""
    fingerprint: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    fit_host: str = ""
    points: tuple[Array, ...] | None = None
    sure: tuple[int, ...] = ()
    given: FoundBoxes | None = None
    told: bool = False

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.names)


_FACTS = (
    *("finder", "fit_seconds", "model_bytes", "time_ratio"),
    *("data", "fingerprint", "settings", "fit_host"),
)


def save_found(found: FoundBoxes, path: str | os.PathLike[str]) -> None:
    """Write what was found to a JSON file."""
    facts = {name: getattr(found, name) for name in _FACTS}
    facts |= {k: None for k, v in facts.items() if isinstance(v, float) and np.isnan(v)}
    document = {"found": FOUND_FORMAT, **facts, "told": found.told, "pictures": _pictures(found)}
    if found.points:
        document["n_landmarks"] = int(found.points[0].shape[1])
    if found.given is not None:
        document["given"] = _pictures(found.given)
    write_atomic(Path(path), json.dumps(document, allow_nan=False))


def _pictures(found: FoundBoxes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"name": name, "boxes": np.round(boxes, 3).tolist(), "scores": np.round(score, 6).tolist()}
        for name, boxes, score in zip(found.names, found.boxes, found.scores, strict=True)
    ]
    for row, xy in zip(rows, found.points or (), strict=False):
        plain = np.round(np.asarray(xy, float), 3).astype(object)
        plain[~np.isfinite(xy)] = None
        row["points"] = plain.tolist()
    for row, n in zip(rows, found.sure, strict=False):
        row["sure"] = int(n)
    return rows


def load_found(path: str | os.PathLike[str]) -> FoundBoxes:
    """The inverse of :func:`save_found`; :class:`InputError` for a file that is none."""
    try:
        document = json.loads(Path(path).read_bytes())
        if document.pop("found") != FOUND_FORMAT:
            raise ValueError("format")
        pictures, given = document.pop("pictures"), document.pop("given", None)
        document["fit_host"] = str(document.get("fit_host", ""))  # older files have none
        for key in ("fit_seconds", "time_ratio"):
            document[key] = float("nan") if document[key] is None else float(document[key])
        facts = {key: document.pop(key) for key in _FACTS} | {"told": bool(document.pop("told", False))}
        k = document.pop("n_landmarks", None)
        if document or not isinstance(facts["settings"], dict):
            raise ValueError("facts")
        its = None if given is None else FoundBoxes(str(facts["finder"]), **_columns(given, k))
        return FoundBoxes(**facts, **_columns(pictures, k), given=its)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(f"{path}: no boxes of a finder as `hybridkp bench-finders` stores them") from None


def _columns(pictures: Any, k: int | None) -> dict[str, Any]:
    """The columns of :class:`FoundBoxes` of the pictures in a file."""
    boxes = [np.array(p["boxes"], float).reshape(-1, 4) for p in pictures]
    columns: dict[str, Any] = {
        "names": tuple(str(p["name"]) for p in pictures),
        "boxes": tuple(boxes),
        "scores": tuple(
            np.array(p["scores"], float).reshape(len(b)) for p, b in zip(pictures, boxes, strict=True)
        ),
    }
    if k is not None:
        columns["points"] = tuple(
            np.array(p["points"], float).reshape(len(b), int(k), 2)
            for p, b in zip(pictures, boxes, strict=True)
        )
        columns["sure"] = tuple(int(p["sure"]) for p in pictures)
    return columns
