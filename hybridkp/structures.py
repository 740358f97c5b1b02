"""The dataclasses and protocols that every room shares, with their shape checks.

Here live the nouns (:class:`Keypoints`, :class:`Instance`, :class:`Sample`, :class:`Dataset`,
:class:`Pyramid`, :class:`Predictions`) and the promises (:class:`Detector`, :class:`Descriptor`,
:class:`Refiner`, :class:`LocalFeature`).  Never here: reading files, image processing, learning.
Letters: **B** pictures, **K** landmarks, **N** points, **D** features, **L** levels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from .base import Array as Array
from .base import DataWarning as DataWarning
from .base import DetectorMixin as DetectorMixin
from .base import InputError as InputError
from .base import check_start as check_start
from .base import check_xy as check_xy
from .base import column

if TYPE_CHECKING:  # pragma: no cover
    from typing import Self

NOT_LABELLED, HIDDEN, VISIBLE = 0, 1, 2  #: COCO's three states of a landmark


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Points of one picture, column by column.  Zero points are valid.

    Parameters
    ----------
    xy : (N, 2) float32
        x right, y down; an integer is a pixel's centre.
    score : (N,) float32
        Detector response, 0 when unknown.
    size : (N,) float32
        Diameter of the meaningful neighbourhood in px (``cv2.KeyPoint.size``), 1 when unknown.
    angle : (N,) float32
        Degrees in [0, 360), clockwise as on screen (``cv2.KeyPoint.angle``); NaN when undefined.
    octave : (N,) int32
        Pyramid level, packed as the detector packed it.
    label : (N,) int32
        Landmark index, or -1.
    """

    xy: Array
    score: Array = None  # type: ignore[assignment]
    size: Array = None  # type: ignore[assignment]
    angle: Array = None  # type: ignore[assignment]
    octave: Array = None  # type: ignore[assignment]
    label: Array = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        xy = np.ascontiguousarray(self.xy, np.float32)
        if xy.size == 0:
            xy = xy.reshape(0, 2)
        if xy.ndim != 2 or xy.shape[1] != 2:
            raise InputError(f"Keypoints.xy must have shape (N, 2), got {xy.shape}")
        n = len(xy)
        columns = {
            "xy": xy,
            "score": column(self.score, n, 0.0, np.float32, "score"),
            "size": column(self.size, n, 1.0, np.float32, "size"),
            "angle": column(self.angle, n, np.nan, np.float32, "angle"),
            "octave": column(self.octave, n, 0, np.int32, "octave"),
            "label": column(self.label, n, -1, np.int32, "label"),
        }
        for name, value in columns.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.xy)

    def __getitem__(self, rows: Any) -> Keypoints:
        """Row selection with a slice, an index array or a mask."""
        rows = np.atleast_1d(np.arange(len(self))[rows])
        return Keypoints(*(getattr(self, f.name)[rows] for f in fields(self)))

    def to_cv2(self) -> tuple[Any, ...]:
        """OpenCV's own type, in the same order; an undefined angle becomes -1."""
        import cv2

        angle = np.where(np.isnan(self.angle), -1.0, self.angle)
        return tuple(
            cv2.KeyPoint(*row)
            for row in zip(
                self.xy[:, 0].tolist(),
                self.xy[:, 1].tolist(),
                self.size.tolist(),
                angle.tolist(),
                self.score.tolist(),
                self.octave.tolist(),
                self.label.tolist(),
                strict=True,
            )
        )

    @classmethod
    def from_cv2(cls, keypoints: Sequence[Any]) -> Keypoints:
        """From a sequence of ``cv2.KeyPoint``; an angle of -1 becomes NaN."""
        if len(keypoints) == 0:
            return cls(np.zeros((0, 2), np.float32))
        rows = np.array([(*p.pt, p.response, p.size, p.angle) for p in keypoints], np.float32)
        angle = np.where(rows[:, 4] < 0, np.nan, rows[:, 4])
        octave = np.array([p.octave for p in keypoints], np.int32)
        label = np.array([p.class_id for p in keypoints], np.int32)
        return cls(rows[:, :2], rows[:, 2], rows[:, 3], angle, octave, label)


@dataclass(frozen=True, eq=False)
class Instance:
    """One annotated or predicted object.

    Parameters
    ----------
    xy : (K, 2) float
        Landmarks in the picture; NaN (or infinite, in either coordinate) = not labelled.
    visibility : (K,) int
        0 not labelled, 1 labelled but hidden, 2 visible (COCO); without it every labelled landmark
        is visible.  A landmark that is not labelled by either word has xy NaN and visibility 0.
    box_xywh : (4,) float
        x, y of the top-left corner, width and height in px, measured along pixel *edges* as in
        COCO: the box of a whole picture is ``(0, 0, W, H)``.  NaN when unknown.
    area : float
        Object area in px², COCO's object scale squared; NaN when unknown.
    score : float
    """

    xy: Array
    visibility: Array = None  # type: ignore[assignment]
    box_xywh: Array = None  # type: ignore[assignment]
    area: float = float("nan")
    score: float = 1.0
    ignore: bool = False  #: COCO's ``iscrowd``

    def __post_init__(self) -> None:
        xy = np.array(self.xy, np.float64)
        if xy.ndim != 2 or xy.shape[1] != 2:
            raise InputError(f"Instance.xy must have shape (K, 2), got {xy.shape}")
        labelled = np.isfinite(xy).all(axis=1)
        if self.visibility is None:
            visibility = np.where(labelled, VISIBLE, NOT_LABELLED)
        else:
            visibility = np.asarray(self.visibility, np.int64)
        if visibility.shape != (len(xy),):
            raise InputError(f"Instance.visibility must have shape ({len(xy)},)")
        visibility = np.where(labelled, visibility, NOT_LABELLED)
        xy[visibility == NOT_LABELLED] = np.nan
        if self.box_xywh is None:
            box = np.full(4, np.nan)
        else:
            box = np.asarray(self.box_xywh, np.float64).reshape(4)
        object.__setattr__(self, "xy", xy)
        object.__setattr__(self, "visibility", visibility)
        object.__setattr__(self, "box_xywh", box)


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture with its objects.  ``image`` is read when first asked for and not kept.

    ``load`` is a function of no arguments that gives (H, W) or (H, W, 3) uint8, BGR.
    ``group`` names the subject, photograph or video; splits never cut a group.  ``size_hw`` is
    the picture's size where the annotations tell it, ``image_id`` its id there (-1 = none),
    ``modalities`` further pictures of the same scene, loaded likewise.
    """

    name: str
    load: Callable[[], Array]
    instances: tuple[Instance, ...]
    group: str
    size_hw: tuple[int, int] | None = None
    modalities: Mapping[str, Callable[[], Array]] = field(default_factory=dict)
    image_id: int = -1

    @property
    def image(self) -> Array:
        return self.load()


#: how errors are normalised: ("points", i, j) distance of two landmarks; ("box",) square root of
#: the box's width times height; ("pixel",) not at all
Normalizer = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named, lazy list of samples with one landmark scheme.

    Parameters
    ----------
    landmarks : K names
    skeleton : (E, 2) int, 0-based pairs of landmark indices
    flip : (K,) int
        ``flip[k]`` is the landmark that k becomes in the mirrored picture; None when unknown
        (then nobody augments by mirroring).
    sigmas : (K,) float, OKS constants; the default is 0.05 for each
    normalizer : see :data:`Normalizer`
    """

    name: str
    landmarks: tuple[str, ...]
    samples: tuple[Sample, ...]
    skeleton: Array = None  # type: ignore[assignment]
    flip: Array | None = None
    sigmas: Array = None  # type: ignore[assignment]
    normalizer: Normalizer = ("box",)
    licence: str = ""
    category: str = "object"

    def __post_init__(self) -> None:
        k = len(self.landmarks)
        skeleton = np.zeros((0, 2), int) if self.skeleton is None else np.asarray(self.skeleton, int)
        object.__setattr__(self, "skeleton", skeleton.reshape(-1, 2))
        if skeleton.size and not (skeleton.min() >= 0 and skeleton.max() < k):
            raise InputError(f"{self.name}: the skeleton names a landmark outside 0..{k - 1}")
        sigmas = np.full(k, 0.05) if self.sigmas is None else np.asarray(self.sigmas, float)
        if sigmas.shape != (k,):
            raise InputError(f"{self.name}: sigmas must have shape ({k},), got {sigmas.shape}")
        object.__setattr__(self, "sigmas", sigmas)
        if self.flip is not None:
            flip = np.asarray(self.flip, int)
            if flip.shape != (k,) or not np.array_equal(flip[flip], np.arange(k)):
                raise InputError(
                    f"{self.name}: flip must be {k} indices that undo themselves (flip[flip[k]] == k)"
                )
            object.__setattr__(self, "flip", flip)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def subset(self, rows: ArrayLike, name: str | None = None) -> Dataset:
        """The samples at ``rows`` (indices or a mask), everything else as it is."""
        which = np.asarray(rows)
        which = np.flatnonzero(which) if which.dtype == bool else which.astype(int)
        chosen = tuple(self.samples[i] for i in which)
        return replace(self, samples=chosen, name=name or self.name)

    @property
    def groups(self) -> Array:
        """(B,) str, the group of each sample."""
        return np.array([s.group for s in self.samples], dtype=object)

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the names (data set, landmarks, samples, groups), sigmas and instances.

        Pixels, ``flip`` and the normaliser have no part in it.
        """
        digest = hashlib.sha256("\0".join((self.name, *self.landmarks)).encode() + self.sigmas.tobytes())
        for s in self.samples:
            digest.update(f"{s.name}\0{s.group}\0".encode())
            for i in s.instances:
                rest = [*i.box_xywh, i.area, i.ignore]
                digest.update(np.concatenate([np.round(i.xy, 3).ravel(), i.visibility, rest]).tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Levels of one grey picture, finest first.

    ``levels[l]`` is (H_l, W_l) float32 in 0..255; ``scale[l]`` its size relative to the input
    (1, 0.5, ...); ``sigma[l]`` its Gaussian blur measured in px of the *input*.
    """

    levels: tuple[Array, ...]
    scale: Array
    sigma: Array

    def __len__(self) -> int:
        return len(self.levels)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one method answered on one split: answers only, no metric.

    ``xy`` (B, K, 2) float32 in the coordinates of the *picture* (not of the crop), NaN = gave
    none; ``score`` (B, K) float32; ``seconds`` (B,) per object, one thread, batch 1: the clock
    covers decoded picture and box -> crop -> points in the picture; NaN where not timed.
    ``fit_seconds`` is wall clock and counts work that a memory spared; ``model_bytes`` the size
    of the model file and ``peak_bytes`` the process's largest resident size in fit and predict,
    remembered work included (-1 = unknown).  Row b belongs to ``names[b]`` / ``instance[b]``,
    the latter counting the objects of that sample from 0.
    """

    method: str
    xy: Array
    score: Array
    names: tuple[str, ...]
    instance: Array
    seconds: Array
    fit_seconds: float = float("nan")
    model_bytes: int = -1
    peak_bytes: int = -1
    params: Mapping[str, Any] = field(default_factory=dict)
    dataset: str = ""
    fingerprint: str = ""
    split: str = ""
    seed: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)  #: training curves

    def __post_init__(self) -> None:
        b = len(self.names)
        xy, score = np.asarray(self.xy, np.float32), np.asarray(self.score, np.float32)
        if xy.ndim != 3 or xy.shape[0] != b or xy.shape[2] != 2 or score.shape != xy.shape[:2]:
            raise InputError(
                f"Predictions of {self.method}: xy {xy.shape} and score {score.shape} must be"
                f" ({b}, K, 2) and ({b}, K)"
            )
        object.__setattr__(self, "xy", xy)
        object.__setattr__(self, "score", score)
        object.__setattr__(self, "instance", np.asarray(self.instance, np.int64).reshape(b))
        object.__setattr__(self, "seconds", np.asarray(self.seconds, np.float64).reshape(b))


@runtime_checkable
class Descriptor(Protocol):
    """pyramid + points -> rows; row i always belongs to keypoint i, also at borders."""

    @property
    def n_features(self) -> int: ...

    def describe(self, pyramid: Pyramid, keypoints: Keypoints) -> Array:
        """(N, D) float32."""
        ...


@runtime_checkable
class Detector(Protocol):
    """Crops -> landmarks, by scikit-learn's rules (``clone``, ``cross_val_score``, ...).

    ``images`` is (B, H, W) or (B, H, W, 3) uint8 or a list of such crops of one size; ``xy`` is
    (B, K, 2) in crop px with NaN = not labelled.  Every ``fit`` takes the same two optional
    facts about the data and ignores those it has no use for: ``groups`` (B,), so that inner
    splits never cut a group, and ``flip`` (K,), so that pictures can be mirrored.
    """

    def fit(
        self,
        images: Any,
        xy: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        flip: ArrayLike | None = None,
    ) -> Self: ...

    def predict(self, images: Any) -> Array:
        """(B, K, 2) float32 in crop px."""
        ...

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px, and (B, K) float32 confidence in 0..1."""
        ...

    def score(self, images: Any, xy: ArrayLike) -> float: ...


@runtime_checkable
class Refiner(Protocol):
    """Moves given points; learns from starts that no detector saw in training."""

    def fit(
        self,
        images: Any,
        xy: ArrayLike,
        start: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        flip: ArrayLike | None = None,
    ) -> Self: ...

    def refine(self, images: Any, start: ArrayLike) -> tuple[Array, Array]:
        """(B, K, 2) float32 and (B, K) float32 confidence in 0..1."""
        ...


@runtime_checkable
class LocalFeature(Protocol):
    """Interest points with rows (N, D), row i for keypoint i; ``norm`` is "L2" or "HAMMING".

    Keypoints come best first; a blank picture gives none.
    """

    norm: str

    def detect_and_describe(self, image: Array) -> tuple[Keypoints, Array]: ...
