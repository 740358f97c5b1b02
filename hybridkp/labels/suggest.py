"""What to label next: pictures on which a detector would err most, and no two alike.

A committee is fitted on folds of what is labelled; where its members, and the mirrored picture, disagree, an
error is to be expected.  Labelled data and pictures without labels come in, ranks come out.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..datasets import group_folds
from ..evaluate import Crops, make_crops
from ..evaluate.bench_landmarks import check_crops_only
from ..evaluate.processes import Progress
from ..imaging.crops import cut, usable_box
from ..imaging.geometry import crop_matrix, flip_image, flip_points
from ..imaging.images import as_uint8, crops_to_grey
from ..memory import fitted
from ..structures import Array, Dataset, DataWarning, InputError, Sample, short_repr
from .opinions import FOLDS

LEAST = 12  #: labelled objects that a committee needs
CELLS = 4  #: a picture is compared by gradient histograms of so many cells each way ...
DIRECTIONS = 32  #: ... and so many principal components of them


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Objects without labels, cut out as :func:`hybridkp.evaluate.make_crops` cuts labelled ones.

    Parameters
    ----------
    images : (B, H, W, 3) uint8
    names : of their pictures
    boxes : (B, 4) in the picture
    """

    images: Array
    names: tuple[str, ...]
    boxes: Array

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class Suggestions:
    """Objects without labels, in the order in which to label them.

    Parameters
    ----------
    objects : all that could be labelled
    order : (N,) rows of them, the first to label first
    expected : (B,) of every object, the error to expect as a share of the predicted shape's extent
    guess : (B, K, 2) crop px, the committee's middle: a start for the annotator
    """

    objects: Unlabelled
    order: Array
    expected: Array
    guess: Array

    __repr__ = short_repr


def suggest(
    labelled: Dataset,
    unlabelled: Iterable[Sample],
    n: int,
    detector: Any,
    *,
    size_hw: tuple[int, int] = (128, 128),
    margin: float = 1.25,
    random_state: int = 0,
    progress: Progress | None = None,
) -> Suggestions:
    """Which ``n`` objects to label next.

    Parameters
    ----------
    labelled : what the committee learns from
    unlabelled : pictures; those of their objects are candidates that have no labelled landmark, or the whole
        picture where it has no object
    detector : unfitted; a clone learns from each of :data:`.FOLDS` parts of the labels

    Notes
    -----
    Members disagree where there are too few examples (query by committee, Seung, Opper & Sompolinsky 1992).
    The picture of the largest expected error times the distance to the most similar one that is labelled or
    chosen comes next: a hard picture is not chosen ten times.

    Raises
    ------
    InputError
        Fewer than :data:`LEAST` labelled objects or two groups, nothing without labels, n under 1.
    """
    if n < 1:
        raise InputError(f"{n} pictures to label: give at least 1")
    check_crops_only(type(detector).__name__, detector)
    objects = cut_unlabelled(unlabelled, size_hw, margin)
    crops = make_crops(labelled, size_hw, margin, anyway=True)
    if len(crops) < LEAST or len(set(crops.groups.tolist())) < 2:
        raise InputError(
            f"{labelled.name}: {len(crops)} labelled objects of {len(set(crops.groups.tolist()))} groups; a"
            f" committee needs {LEAST} of two: label some at random first"
        )
    points = _committee(crops, objects.images, detector, random_state, progress)
    guess = np.median(points, axis=0)
    extent = np.maximum(np.ptp(guess, axis=1).max(1), 1e-9)
    apart = ((points - points.mean(0)) ** 2).sum(3).mean((0, 2))
    expected = np.sqrt(apart) / extent
    looks = looks_of(np.concatenate([crops.images, objects.images]))
    order = choose(expected, looks[len(crops) :], looks[: len(crops)], n)
    return Suggestions(objects, order, expected, guess)


def choose(expected: Array, looks: Array, done: Array, n: int) -> Array:
    """(n,) rows: each the largest ``expected`` (B,) times distance of its look (B, D) to what is done (A, D)
    or chosen before.

    >>> choose(np.array([1.0, 1.0, 0.2]), np.array([[5.0], [5.1], [-4.0]]), np.array([[0.0]]), 2).tolist()
    [1, 2]
    """
    near = np.full(len(looks), np.inf)
    for row in done:
        near = np.minimum(near, ((looks - row) ** 2).sum(1))
    chosen: list[int] = []
    free = np.ones(len(looks), bool)
    for _ in range(min(n, len(looks))):
        worth = expected * (np.sqrt(near) if np.isfinite(near).all() else 1.0)
        row = int(np.argmax(np.where(free, worth, -1)))
        chosen.append(row)
        free[row] = False
        near = np.minimum(near, ((looks - looks[row]) ** 2).sum(1))
    return np.array(chosen, int)


def looks_of(images: Array) -> Array:
    """(B, D) what crops look like, of mean squared length 1: gradient histograms, their main directions."""
    grey = [
        cv2.resize(g, (16 * CELLS, 16 * CELLS), interpolation=cv2.INTER_AREA) for g in crops_to_grey(images)
    ]
    side = 16
    hog = cv2.HOGDescriptor((side * CELLS,) * 2, (side * 2,) * 2, (side,) * 2, (side,) * 2, 9)
    rows = np.stack([np.ravel(hog.compute(g)) for g in grey]).astype(float)
    rows -= rows.mean(0)
    _, _, main = np.linalg.svd(rows, full_matrices=False)
    looks = rows @ main[:DIRECTIONS].T
    return np.asarray(looks / max(float(np.sqrt((looks**2).sum(1).mean())), 1e-9))


def _committee(crops: Crops, images: Array, detector: Any, seed: int, progress: Progress | None) -> Array:
    """(M, B, K, 2) crop px: what each member says, and the first about the mirrored picture, too."""
    out = []
    folds = group_folds(crops.groups, FOLDS, seed)
    for number, (train, _) in enumerate(folds):
        if progress:
            progress(f"member {number + 1}", number, len(folds))
        member = fitted(
            detector, crops.images[train], crops.xy[train], groups=crops.groups[train], flip=crops.flip
        )
        out.append(member.predict(images).astype(float))
        if number == 0 and crops.flip is not None:
            mirrored = member.predict(flip_image(images, axis=2)).astype(float)
            out.append(flip_points(mirrored, images.shape[2], crops.flip))
    return np.stack(out)


def cut_unlabelled(samples: Iterable[Sample], size_hw: tuple[int, int], margin: float) -> Unlabelled:
    """The objects of pictures that have no labelled landmark; whole pictures where no object is marked.

    Pictures that cannot be read are left out, with one :class:`DataWarning`.
    """
    images, names, boxes, unread = [], [], [], []
    for sample in samples:
        bare = [i.box_xywh for i in sample.instances if not i.visibility.any()]
        wanted = bare if sample.instances else [np.full(4, np.nan)]
        if not wanted:
            continue
        try:
            picture = as_uint8(sample.image, sample.name)
        except InputError:
            unread.append(sample.name)
            continue
        for given in wanted:
            box, _ = usable_box(given, (picture.shape[0], picture.shape[1]))
            if box is not None:
                images.append(cut(picture, crop_matrix(box, size_hw, margin), size_hw))
                names.append(sample.name)
                boxes.append(box)
    if unread:
        message = f"{unread[0]} and {len(unread) - 1} more" if len(unread) > 1 else unread[0]
        warnings.warn(f"{message}: cannot be read, left out", DataWarning, stacklevel=3)
    if not images:
        raise InputError("no object without labels: name pictures to choose from (--pool)")
    return Unlabelled(np.stack(images), tuple(names), np.stack(boxes))
