"""One metric = one row: its function, and all that tables, pages and searches need to show and use it.

Here live :class:`Metric` and the :class:`Objects` that a landmark metric judges.  Never here: the formula
of a metric, files, pictures.  Letters: B objects, K landmarks; predictions (B, K, 2) in px of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..structures import Array, Dataset, InputError, Normalizer, short_repr
from .contour import is_contour
from .landmarks import check_points, normalizer_lengths

#: what a metric may need of an object -> why objects without it are left out
NEEDS = {
    "normalizer": "the normaliser's length is not known",
    "area": "neither area nor box is known",
    "box": "the box is not known",
    "visibility": "no landmark says whether it is visible",
    "skeleton": "the landmarks have no skeleton",
    "contour": "the skeleton is no contour",
    "second": "there is no second annotator",
}


@dataclass(frozen=True, eq=False)
class Objects:
    """B objects with their truth and what one method predicted: what a landmark metric is a function of.

    Only ``truth`` and ``predicted`` are needed; what is not given is not known (NaN), every object then
    has a score of 1 and a picture of its own.
    """

    truth: Array  #: (B, K, 2) px, NaN = not labelled
    predicted: Array  #: (B, K, 2) px, NaN = missing
    lengths: Array = None  # type: ignore[assignment]  #: (B,) px of the normaliser
    areas: Array = None  # type: ignore[assignment]  #: (B,) px², the box's where the object has none
    boxes_xywh: Array = None  # type: ignore[assignment]  #: (B, 4)
    score: Array = None  # type: ignore[assignment]  #: (B,) confidence of the predicted object
    visibility: Array = None  # type: ignore[assignment]  #: (B, K), COCO's 0, 1, 2
    crowd: Array = None  # type: ignore[assignment]  #: (B,) bool, COCO's iscrowd
    picture: Array = None  # type: ignore[assignment]  #: (B,) number of the picture
    second: Array = None  # type: ignore[assignment]  #: (B, K, 2) px of a second annotator, NaN = none
    sigmas: Array = None  # type: ignore[assignment]  #: (K,) OKS constants
    skeleton: Array = None  # type: ignore[assignment]  #: (E, 2)

    __repr__ = short_repr

    def __post_init__(self) -> None:
        truth, predicted = check_points(self.truth, self.predicted)
        (n, k), labelled = truth.shape[:2], np.isfinite(truth).all(axis=2)
        defaults: dict[str, Array] = {"truth": truth, "predicted": predicted}
        defaults |= {"lengths": np.full(n, np.nan), "areas": np.full(n, np.nan), "score": np.ones(n)}
        defaults |= {"boxes_xywh": np.full((n, 4), np.nan), "visibility": np.where(labelled, 2, 0)}
        defaults |= {"second": np.full(truth.shape, np.nan)}
        defaults |= {"crowd": np.zeros(n, bool), "picture": np.arange(n), "sigmas": np.full(k, 0.05)}
        for name, default in defaults.items():
            given = getattr(self, name)
            value = default if given is None else np.asarray(given, default.dtype)
            if value.shape != default.shape:
                raise InputError(f"Objects.{name} has the shape {value.shape}, expected {default.shape}")
            object.__setattr__(self, name, value)
        edges = np.zeros((0, 2)) if self.skeleton is None else self.skeleton
        object.__setattr__(self, "skeleton", np.asarray(edges, int).reshape(-1, 2))

    def __len__(self) -> int:
        return len(self.truth)

    def __getitem__(self, rows: Any) -> Objects:
        """The objects at ``rows``: a mask, indices or a slice."""
        columns = ("truth", "predicted", "lengths", "areas", "boxes_xywh", "score", "visibility", "crowd")
        return replace(self, **{name: getattr(self, name)[rows] for name in (*columns, "picture", "second")})

    def predicted_by(self, predicted: Array, score: Array | None = None) -> Objects:
        """The same objects with another method's prediction; without a score each has 1."""
        return replace(self, predicted=predicted, score=np.ones(len(self)) if score is None else score)

    @property
    def labelled(self) -> Array:
        """(B,) bool: has a labelled point."""
        return np.any(np.isfinite(self.truth).all(axis=2), axis=1)

    def has(self, need: str) -> Array:
        """(B,) bool: which objects have what a metric needs, one of :data:`NEEDS`."""
        known = {
            "normalizer": np.isfinite(self.lengths),
            "area": np.isfinite(self.areas) & (self.areas > 0),
            "box": np.isfinite(self.boxes_xywh).all(axis=1),
            "visibility": (self.visibility > 0).any(axis=1),
            "skeleton": np.full(len(self), len(self.skeleton) > 0),
            "contour": np.full(len(self), is_contour(self.skeleton)),
            "second": np.any(np.isfinite(self.second).all(axis=2), axis=1),
        }
        if need not in known:
            raise InputError(f"a metric needs {need!r}: choose from {', '.join(NEEDS)}")
        return np.asarray(known[need])


def objects_of(
    dataset: Dataset, rows: Sequence[tuple[int, int]], normalizer: Normalizer | None = None
) -> Objects:
    """The objects at ``rows`` (number of the sample, number of the object in it), nothing predicted yet.

    An object without an area has its box's.

    Raises
    ------
    InputError
        No rows, or a normaliser that the data cannot give.
    """
    if not rows:
        raise InputError(f"{dataset.name}: no objects to judge")
    found = [dataset.samples[s].instances[i] for s, i in rows]
    truth, boxes = np.stack([i.xy for i in found]), np.stack([i.box_xywh for i in found])
    areas = np.array([i.area for i in found], np.float64)
    areas = np.where(np.isfinite(areas) & (areas > 0), areas, boxes[:, 2] * boxes[:, 3])
    try:
        scale = np.array([dataset.samples[s].mm_per_px for s, _ in rows])
        lengths = normalizer_lengths(truth, tuple(normalizer or dataset.normalizer), boxes, scale)
    except ValueError as error:
        raise InputError(f"{dataset.name}: {error}") from None
    return Objects(
        truth,
        np.full(truth.shape, np.nan),
        lengths,
        areas,
        boxes,
        visibility=np.stack([i.visibility for i in found]),
        crowd=np.array([i.ignore for i in found], bool),
        picture=np.array([s for s, _ in rows]),
        second=np.stack([np.full(i.xy.shape, np.nan) if i.second_xy is None else i.second_xy for i in found]),
        sigmas=dataset.sigmas,
        skeleton=dataset.skeleton,
    )


def heading(title: str, unit: str) -> str:
    """Title and unit; the unit once."""
    return f"{title}, {unit}" if unit and unit not in title.split() else title


@dataclass(frozen=True)
class Metric:
    """One figure: how it is computed, how it is shown, what it is good for.

    Parameters
    ----------
    key : column name in CSV and JSON, the unit in it where there is one ("nme_percent")
    function : from what is judged to numbers, NaN = nothing to judge.  Landmarks: :class:`Objects` ->
        (B,), a value an object, or a float with ``summary="set"``.  Interest points: one
        :class:`~hybridkp.metrics.points.JudgedPair` -> float.
    title, unit, digits : for people; digits after the point
    direction : "lower" or "higher" is better
    words : one sentence that says what it is
    scale : factor from the function's values to shown ones (100 for a percentage)
    needs : of :data:`NEEDS`; objects without one of them are left out of this metric, and of no other
    summary : how the objects' values become one: "mean", "median", or "set" (the function says it)
    normalizers : kinds of normaliser under which a report shows it: "length", "torso", "pixel", "mm";
        of those the first row leads
    place : in the table: 1 before the costs, 2 behind them, 0 in CSV and JSON only
    interval : whether the table gives its interval too; the leading metric always has one
    meaning : "term: text", longer than ``words``, for the page's list of terms
    best : the value of a perfect prediction; by default 0 for "lower" and 1 for "higher"

    Examples
    --------
    >>> worst = Metric(
    ...     "worst_px", lambda o: np.linalg.norm(o.predicted - o.truth, axis=2).max(1), "worst point", "px"
    ... )
    >>> worst(Objects(np.zeros((1, 2, 2)), [[[3, 4], [0, 1]]]))
    array([5.])
    """

    key: str
    function: Callable[[Any], Any]
    title: str
    unit: str = ""
    digits: int = 2
    direction: Literal["lower", "higher"] = "lower"
    words: str = ""
    scale: float = 1.0
    needs: tuple[str, ...] = ()
    summary: Literal["mean", "median", "set"] = "mean"
    normalizers: tuple[str, ...] = ("length", "torso", "pixel", "mm")
    place: int = 1
    interval: bool = False
    meaning: str = ""
    best: float | None = None

    __repr__ = short_repr

    @property
    def lower_is_better(self) -> bool:
        return self.direction == "lower"

    @property
    def difference_unit(self) -> str:
        """Percentages differ by percentage points."""
        return "points" if self.unit == "%" else self.unit

    @property
    def heading(self) -> str:
        return heading(self.title, self.unit)

    @property
    def perfect(self) -> float:
        """The value of a perfect prediction, as the function gives it."""
        return self.best if self.best is not None else float(not self.lower_is_better)

    def judges(self, objects: Any) -> Array:
        """(B,) bool: the objects that have all that this metric needs."""
        return np.logical_and.reduce([np.ones(len(objects), bool), *map(objects.has, self.needs)])

    def __call__(self, objects: Any) -> Any:
        """(B,) of :class:`Objects` (:class:`.space.Poses3D`), NaN where one is left out; a float of a set.

        Of no objects: no values, or NaN.
        """
        rows = self.judges(objects)
        if self.summary == "set":
            return float(self.function(objects[rows])) if rows.any() else float("nan")
        out = np.full(len(objects), np.nan)
        if rows.any():
            out[rows] = self.function(objects[rows])
        return out

    def error(self, objects: Objects) -> Array:
        """(B,) how far each object is from perfect: what a search makes small."""
        return np.asarray(np.abs(self(objects) - self.perfect))

    @property
    def error_heading(self) -> str:
        """What :meth:`error` times ``scale`` is."""
        return f"{self.perfect * self.scale:g} − {self.heading}" if self.perfect else self.heading


def metric_of(key: str | Metric, metrics: Sequence[Metric]) -> Metric:
    """The row of that key; a row is its own."""
    if isinstance(key, Metric):
        return key
    found = next((m for m in metrics if m.key == key), None)
    if found is None:
        raise InputError(f"no metric {key!r}: there are {', '.join(m.key for m in metrics)}")
    return found
