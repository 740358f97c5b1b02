"""Which classes one method gave to N objects, in memory and on disk; no figure.

One JSON file a method, written whole or not at all.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..structures import InputError, short_repr
from .atomic import write_atomic

CLASSES_FORMAT = 1
_COLUMNS = ("labels", "predicted", "groups", "names")


@dataclass(frozen=True, eq=False)
class ClassPredictions:
    """What a method said of N objects that it had not seen.

    Parameters
    ----------
    method : its expression
    labels, predicted : N names of classes, the true and the predicted ones
    groups, names : of the objects; all objects of a group are held out together
    classes : in the order of tables; default: all that occur, sorted
    data, fingerprint : name and digest of the data set
    settings : what must be the same for predictions to be kept
    fit_seconds : of all trainings; NaN = not measured

    Raises
    ------
    InputError
        Columns of different lengths, or a class that ``classes`` does not name.
    """

    method: str
    labels: tuple[str, ...]
    predicted: tuple[str, ...]
    groups: tuple[str, ...]
    names: tuple[str, ...]
    classes: tuple[str, ...] = ()
    data: str = ""
    fingerprint: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    fit_seconds: float = float("nan")

    __repr__ = short_repr

    def __post_init__(self) -> None:
        for name in (*_COLUMNS, "classes"):
            object.__setattr__(self, name, tuple(str(v) for v in getattr(self, name)))
        sizes = {name: len(getattr(self, name)) for name in _COLUMNS}
        if len(set(sizes.values())) > 1:
            raise InputError(f"{self.method}: columns of different lengths: {sizes}")
        there = sorted({*self.labels, *self.predicted})
        if not self.classes:
            object.__setattr__(self, "classes", tuple(there))
        unknown = [c for c in there if c not in self.classes]
        if unknown:
            raise InputError(
                f"{self.method}: the class {unknown[0]!r} is not among {', '.join(self.classes)}"
            )

    def __len__(self) -> int:
        return len(self.labels)


def save_classes(found: ClassPredictions, path: str | os.PathLike[str]) -> None:
    """Write predicted classes to a JSON file."""
    facts = asdict(found)
    facts["fit_seconds"] = None if math.isnan(found.fit_seconds) else found.fit_seconds
    write_atomic(Path(path), json.dumps({"classes_format": CLASSES_FORMAT, **facts}, allow_nan=False))


def load_classes(path: str | os.PathLike[str]) -> ClassPredictions:
    """The inverse of :func:`save_classes`; :class:`InputError` for a file that is none."""
    try:
        document = json.loads(Path(path).read_bytes())
        if document.pop("classes_format") != CLASSES_FORMAT:
            raise ValueError("format")
        seconds = document.pop("fit_seconds")
        return ClassPredictions(**document, fit_seconds=math.nan if seconds is None else float(seconds))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(f"{path}: no classes as `hybridkp classify` stores them") from None
