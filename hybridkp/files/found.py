"""What one finder found in one set of pictures, in memory and on disk: boxes and scores, no metric.

One JSON file a finder, written whole or not at all.
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
    """Boxes of one finder in P pictures; entry p belongs to the picture ``names[p]``.

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

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.names)


def save_found(found: FoundBoxes, path: str | os.PathLike[str]) -> None:
    """Write boxes to a JSON file."""
    pictures = [
        {"name": name, "boxes": np.round(boxes, 3).tolist(), "scores": np.round(score, 6).tolist()}
        for name, boxes, score in zip(found.names, found.boxes, found.scores, strict=True)
    ]
    names = (
        "finder",
        "fit_seconds",
        "model_bytes",
        "time_ratio",
        "data",
        "fingerprint",
        "settings",
        "fit_host",
    )
    facts = {name: getattr(found, name) for name in names}
    facts |= {k: None for k, v in facts.items() if isinstance(v, float) and np.isnan(v)}
    document = {"found": FOUND_FORMAT, **facts, "pictures": pictures}
    write_atomic(Path(path), json.dumps(document, allow_nan=False))


def load_found(path: str | os.PathLike[str]) -> FoundBoxes:
    """The inverse of :func:`save_found`; :class:`InputError` for a file that is none."""
    try:
        document = json.loads(Path(path).read_bytes())
        if document.pop("found") != FOUND_FORMAT:
            raise ValueError("format")
        pictures = document.pop("pictures")
        document["fit_host"] = str(document.get("fit_host", ""))  # older files have none
        for key in ("fit_seconds", "time_ratio"):
            document[key] = float("nan") if document[key] is None else float(document[key])
        return FoundBoxes(
            names=tuple(str(p["name"]) for p in pictures),
            boxes=tuple(np.array(p["boxes"], float).reshape(-1, 4) for p in pictures),
            scores=tuple(np.array(p["scores"], float).reshape(len(p["boxes"])) for p in pictures),
            **document,
        )
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(f"{path}: no boxes of a finder as `hybridkp bench-finders` stores them") from None
