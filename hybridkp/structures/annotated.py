"""Annotated pictures: one object, one picture with its objects, and a named list of pictures.

Letters: **B** pictures, **K** landmarks.  Never here: reading files, image processing, learning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .base import Array, InputError, short_repr

NOT_LABELLED, HIDDEN, VISIBLE = 0, 1, 2  #: COCO's three states of a landmark


@dataclass(frozen=True, eq=False)
class Instance:
    """One annotated or predicted object.

    Parameters
    ----------
    xy : (K, 2) float
        Landmarks in the picture; NaN (or infinite, in either coordinate) = not labelled.
    visibility : (K,) int
        0 not labelled, 1 labelled but hidden, 2 visible (COCO); without it every labelled landmark
        is visible.  Anything above 0 is labelled: what lies between two states counts as the higher.
        A landmark that is not labelled by either word has xy NaN and visibility 0.
    box_xywh : (4,) float
        x, y of the top-left corner, width and height in px, measured along pixel *edges* as in
        COCO: the box of a whole picture is ``(0, 0, W, H)``.  NaN when unknown.
    area : float
        Object area in px², COCO's object scale squared; NaN when unknown.
    score : float
    keypoint_scores : (K,) float in 0..1, of a prediction; None when unknown
    keypoint_visibility : (K,) float, of a prediction: how probable it is that the landmark is visible;
        None when unknown
    presence : float in 0..1, of a prediction: how probable it is that there is such an object in the box;
        None when unknown
    covariance : (K, 2, 2) float, of a prediction: of the errors of its points, px² of the picture; None when
        unknown
    track : int, the same for one object in all frames of a film; -1 when unknown
    """

    xy: Array
    visibility: Array = None  # type: ignore[assignment]
    box_xywh: Array = None  # type: ignore[assignment]
    area: float = float("nan")
    score: float = 1.0
    ignore: bool = False  #: COCO's ``iscrowd``
    second_xy: Array | None = (
        None  #: (K, 2) of a second annotator, NaN = not labelled; None where there is none
    )
    keypoint_scores: Array | None = None
    keypoint_visibility: Array | None = None
    presence: float | None = None
    covariance: Array | None = None
    track: int = -1

    __repr__ = short_repr

    def __post_init__(self) -> None:
        xy = np.array(self.xy, np.float64)
        if xy.ndim != 2 or xy.shape[1] != 2:
            raise InputError(f"Instance.xy must have shape (K, 2), got {xy.shape}")
        labelled = np.isfinite(xy).all(axis=1)
        if self.visibility is None:
            visibility = np.where(labelled, VISIBLE, NOT_LABELLED)
        else:
            visibility = np.ceil(np.nan_to_num(np.asarray(self.visibility, np.float64))).astype(np.int64)
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
        if self.second_xy is not None:
            second = np.asarray(self.second_xy, np.float64)
            if second.shape != xy.shape:
                raise InputError(f"Instance.second_xy must have shape {xy.shape}, got {second.shape}")
            object.__setattr__(self, "second_xy", second)

    @property
    def judged(self) -> bool:
        """Whether predictions are held against it: it has a labelled landmark and is no crowd."""
        return not self.ignore and bool(self.visibility.any())


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture with its objects.  ``image`` is read when first asked for and not kept.

    ``load`` is a function of no arguments that gives (H, W) or (H, W, 3) uint8, BGR.
    ``group`` names the subject, photograph or video; splits never cut a group.  ``size_hw`` is
    the picture's size where the annotations tell it, ``image_id`` its id there (-1 = none),
    ``modalities`` what else there is of the same scene, loaded likewise and in kinds as
    :data:`~hybridkp.structures.MODALITIES` says.  ``time`` is in seconds of its film or sound (NaN =
    unknown), ``view`` the camera's name, and pictures of one ``instant`` were taken at the same time.
    ``mm_per_px`` is the length in the world that one px of the picture shows, NaN when unknown.
    ``tags`` are what its annotation says of the whole picture in a word, such as ``{"word": "bin"}``.
    """

    name: str
    load: Callable[[], Array]
    instances: tuple[Instance, ...]
    group: str
    size_hw: tuple[int, int] | None = None
    modalities: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    image_id: int = -1
    time: float = float("nan")
    view: str = ""
    instant: str = ""
    mm_per_px: float = float("nan")
    tags: Mapping[str, str] = field(default_factory=dict)

    __repr__ = short_repr

    @property
    def image(self) -> Array:
        return self.load()


#: how errors are normalised: ("points", i, j) distance of two landmarks; ("box",) square root of
#: the box's width times height; ("pixel",) not at all; ("mm",) in mm, by :attr:`Sample.mm_per_px`
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
    category_id: Any = 1  #: of the category in the annotations

    __repr__ = short_repr

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
        import hashlib  # not for an application, whose imports count

        digest = hashlib.sha256("\0".join((self.name, *self.landmarks)).encode() + self.sigmas.tobytes())
        for s in self.samples:
            digest.update(f"{s.name}\0{s.group}\0".encode())
            for i in s.instances:
                rest = [*i.box_xywh, i.area, i.ignore]
                digest.update(np.concatenate([np.round(i.xy, 3).ravel(), i.visibility, rest]).tobytes())
        return digest.hexdigest()[:16]
