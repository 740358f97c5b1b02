"""What to label next: pictures that a detector does not know yet, typical ones, and no two alike.

A committee is fitted on folds of what is labelled; where its members, and the mirrored picture, disagree, an
error is to be expected.  Labelled data and pictures without labels come in, ranks come out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sklearn.cluster import KMeans

from ..datasets import group_folds
from ..datasets.lookup import loader
from ..evaluate import Crops, make_crops
from ..evaluate.bench_landmarks import check_crops_only
from ..evaluate.processes import Progress
from ..imaging.crops import cut, usable_box
from ..imaging.geometry import crop_matrix, flip_image, flip_points
from ..imaging.images import as_uint8, crops_to_grey
from ..memory import fitted
from ..structures import MARGIN, Array, Dataset, DataWarning, InputError, Instance, Sample, short_repr
from .opinions import FOLDS

LEAST = 12  #: labelled objects that a committee needs
CELLS = 4  #: a picture is compared by gradient histograms of so many cells each way ...
DIRECTIONS = 32  #: ... and so many principal components of them
BAND = (0.3, 0.85)  #: quantiles of the expected error; easy ones teach little, the hardest are often broken


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
    margin: float = MARGIN,
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
    The hardest are left out: with few labels they make a detector worse on all others (Hacohen et al. 2022),
    and many are broken pictures or boxes.  Of the rest those are chosen that are typical of what is not
    labelled yet, see :func:`choose`.

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
    points = committee(crops, objects.images, detector, random_state, progress)
    guess, expected = np.median(points, axis=0), disagreement(points)
    looks = looks_of(np.concatenate([crops.images, objects.images]))
    order = choose(expected, looks[len(crops) :], looks[: len(crops)], n, random_state)
    return Suggestions(objects, order, expected, guess)


def choose(expected: Array, looks: Array, done: Array, n: int, random_state: int = 0) -> Array:
    """(n,) rows: typical ones of what looks unlike what is done, among errors of the middle of the range.

    Parameters
    ----------
    expected : (B,) errors; outside of the quantiles :data:`BAND` rows are left out, if enough are inside
    looks, done : (B, D), (A, D) what the rows, and the labelled objects, look like

    Notes
    -----
    n + A clusters of the looks; of each that holds nothing labelled, the largest first, its most central row.
    """
    low, high = np.quantile(expected, BAND)
    rows = np.flatnonzero((expected >= low) & (expected <= high))
    rows = rows if len(rows) >= n else np.arange(len(expected))
    n = min(n, len(rows))
    points = np.concatenate([looks[rows], done])
    k = min(n + len(done), len(np.unique(points, axis=0)))
    found = KMeans(k, n_init=2, random_state=random_state).fit(points)
    ours, known = found.labels_[: len(rows)], set(found.labels_[len(rows) :].tolist())
    off = np.linalg.norm(looks[rows] - found.cluster_centers_[ours], axis=1)
    size = np.bincount(ours, minlength=k)
    # rank in its cluster first, then clusters without labels, then large ones
    order = np.lexsort((off, -size[ours], np.isin(ours, list(known))))
    rank = np.zeros(len(rows), int)
    for cluster in range(k):
        mine = np.flatnonzero(ours == cluster)
        rank[mine[np.argsort(off[mine], kind="stable")]] = np.arange(len(mine))
    order = order[np.argsort(rank[order], kind="stable")]
    return rows[order[:n]]


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


def committee(
    crops: Crops, images: Array, detector: Any, random_state: int = 0, progress: Progress | None = None
) -> Array:
    """(M, B, K, 2) crop px: what detectors fitted on :data:`.FOLDS` parts of ``crops`` say about ``images``
    (B, H, W, 3), and the first about the mirrored ones, too."""
    out = []
    folds = group_folds(crops.groups, FOLDS, random_state)
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


def disagreement(points: Array) -> Array:
    """(B,) root mean square distance of a committee's points (M, B, K, 2) from their mean, by extent."""
    extent = np.maximum(np.ptp(np.median(points, axis=0), axis=1).max(1), 1e-9)
    return np.asarray(np.sqrt(((points - points.mean(0)) ** 2).sum(3).mean((0, 2))) / extent)


def bare_samples(paths: Iterable[Path], boxes: Callable[[str], Array | None] | None = None) -> list[Sample]:
    """Pictures as samples without labels; ``boxes`` gives a picture's (N, 4), None = leave it out."""
    out = []
    for path in paths:
        found = np.zeros((0, 4)) if boxes is None else boxes(str(path))
        if found is not None:
            objects = tuple(Instance(np.zeros((0, 2)), box_xywh=box) for box in found)
            out.append(Sample(str(path), loader(path), objects, str(path)))
    return out


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
