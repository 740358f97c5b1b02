"""The classical finder: gradient cells, a classifier slid over the pyramid, and hard negatives.

Samples with boxes come in, a :class:`.WindowModel` is learned; what that does is in :mod:`.windows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..imaging.geometry import flip_image
from ..imaging.images import as_uint8
from ..landmarks.trees import packed
from ..metrics.boxes import box_overlap
from ..structures import Array, InputError, Sample
from .boxes_math import calibrating, corrections, objects_of
from .channels import Cells
from .fitting import calibrated
from .windows import FIRST_TREES, WindowModel, tree_mean

HIT, PART, MISS = 0.5, 0.4, 0.3  #: overlap of an object's window; of one that teaches its box; of a negative
PER_OBJECT = 3  #: windows that an object gives in a level, the best ones
HELD_OUT = 0.15  #: part of the groups that only calibrates


class Taught(NamedTuple):
    """Windows that hold an object, of training pictures."""

    rows: Array  #: (N, D)
    overlap: Array  #: (N,) of the window with its object
    change: Array  #: (N, 4) from the window's box to the object's


@dataclass(eq=False, repr=False)
class WindowFinder(BaseEstimator):
    """Finds objects by a learned window slid over every place and scale (Dalal & Triggs 2005).

    Parameters
    ----------
    channels : :class:`.Cells`, or None for its defaults
    classifier : of a window's cells, linear (``coef_``) or a forest (``estimators_``); None: a linear SVM
    window_cells : of a window, along the mean of its sides; its aspect is that of the training boxes
    context : window side / box side
    octave : levels of the pyramid per factor of two
    fast : compute cells once an octave and resample them in between (Dollár et al., TPAMI 36(8), 2014): about
        half the time, and a little less precise
    n_rounds : of hard negatives: what the finder of the round before takes for objects
    n_negatives : windows of the background that a round adds at most
    n_pictures : training pictures that are looked at, evenly chosen
    mirror : learn from mirror images too
    overlap : of two boxes, above which the better one stays
    min_score : boxes below are not given
    random_state : fixes the first negatives and what is held out

    Attributes
    ----------
    model_ : :class:`.WindowModel`

    Notes
    -----
    A window's box is corrected by a ridge regression from its cells, as in R-CNN (Girshick et al. 2014). A
    score is the probability of an overlap of at least one half, from pictures that were held out.

    Examples
    --------
    >>> from hybridkp.datasets import make_scenes
    >>> scenes = make_scenes(12, (96, 128), random_state=1)
    >>> finder = WindowFinder(window_cells=6, n_rounds=1).fit(scenes.samples)
    >>> boxes, score = finder.find(scenes.samples[0].image)
    >>> boxes.shape[1], bool((np.diff(score) <= 0).all())
    (4, True)
    """

    channels: Cells | None = None
    classifier: Any = None
    window_cells: int = 9
    context: float = 1.3
    octave: int = 4
    fast: bool = False
    n_rounds: int = 3
    n_negatives: int = 3000
    n_pictures: int = 400
    mirror: bool = True
    overlap: float = 0.4
    min_score: float = 0.05
    random_state: Any = 0

    def fit(self, samples: Iterable[Sample]) -> WindowFinder:
        """Learn from the boxes of samples; crowds are left alone, pictures without an object are welcome.

        Raises
        ------
        InputError
            When no sample has a box, no window is near an object, or every window is.
        """
        samples = list(samples)
        rng = check_random_state(self.random_state)
        chosen = np.unique(np.linspace(0, len(samples) - 1, min(self.n_pictures, len(samples))).astype(int))
        samples = [samples[i] for i in chosen]
        boxes = np.concatenate([objects_of(s)[0] for s in samples] or [np.zeros((0, 4))])
        if not len(boxes):
            raise InputError("a finder learns from boxes, and no object has one: annotate bbox")
        taught, held_out = _split(samples, rng)
        model = self._blank(boxes)
        positives, negatives = self._first(model, taught, rng)
        if not len(positives.rows):
            raise InputError("no window is near an object: give a smaller window_cells, or larger pictures")
        if not len(negatives):
            raise InputError("no window shows background: give pictures that show more than the objects")
        model = self._learn(model, positives, negatives)
        for _ in range(self.n_rounds):
            low = float(np.quantile(model.values(positives.rows), 0.02))
            found = _hard(model, taught, low, max(2, self.n_negatives // len(taught)))
            if not len(found):
                break
            negatives = np.concatenate([negatives, found])
            model = self._learn(model, positives, negatives)
        calibration = calibrated(lambda image, _: model.judged(image, -np.inf), held_out)
        self.model_ = replace(model, calibration=np.array(calibration))
        return self

    def find(self, image: Array, *, name: str = "") -> tuple[Array, Array]:
        """Boxes (N, 4) and scores (N,), best first, of a picture (h, w[, 3])."""
        check_is_fitted(self)
        return self.model_.find(as_uint8(image, name or "picture"), self.min_score)

    def runtime_node(self) -> dict[str, Any]:
        check_is_fitted(self)
        model = {k: v for k, v in vars(self.model_).items() if k != "channels"}
        channels = self.model_.channels.get_params()
        return {"kind": "detection.windows", **channels, **model, "min_score": self.min_score}

    def _blank(self, boxes: Array) -> WindowModel:
        """A model that knows its window and nothing else."""
        aspect = float(np.exp(np.median(np.log(boxes[:, 2] / boxes[:, 3]))))
        aspect = float(np.clip(aspect, 1 / 4, 4))
        side = self.window_cells
        window = max(3, round(side / np.sqrt(aspect))), max(3, round(side * np.sqrt(aspect)))
        channels = Cells() if self.channels is None else clone(self.channels)
        n = window[0] * window[1] * channels.n_channels
        size = np.sqrt(boxes[:, 2] * boxes[:, 3])
        return WindowModel(
            channels,
            window,
            float(self.context),
            max(1.0, float(np.quantile(size, 0.02)) / 1.1),
            int(self.octave),
            float(self.overlap),
            np.zeros(n + 1),
            {},
            0.0,
            np.zeros((n + 1, 4)),
            np.array([1.0, 0.0]),
            bool(self.fast),
        )

    def _first(self, model: WindowModel, samples: Sequence[Sample], rng: Any) -> tuple[Taught, Array]:
        """The windows of all objects, and as many of the background drawn at random as a round adds."""
        rows, near, change, negatives = [], [], [], []
        each = max(2, self.n_negatives // len(samples))
        for image, true, ignored in _pictures(samples, self.mirror):
            for level in model.levels(image):
                high, wide = (n - w + 1 for n, w in zip(level.cells.shape, model.window_hw, strict=False))
                y, x = (grid.ravel() for grid in np.mgrid[:high, :wide])
                boxes = model.boxes(level, y, x)
                overlap = box_overlap(boxes, true)
                best = overlap.max(1, initial=0)
                top = np.argsort(-overlap, axis=0, kind="stable")[:PER_OBJECT]
                which = np.broadcast_to(np.arange(len(true)), top.shape)[
                    overlap[top, range(len(true))] >= PART
                ]
                good = top[overlap[top, range(len(true))] >= PART]
                rows.append(model.rows(level.cells, y[good], x[good]))
                near.append(overlap[good, which])
                change.append(corrections(boxes[good], true[which]))
                bad = np.flatnonzero((best < MISS) & ~_inside(boxes, ignored))
                bad = rng.choice(bad, min(len(bad), max(1, each // 4)), replace=False)
                negatives.append(model.rows(level.cells, y[bad], x[bad]))
        taught = Taught(np.concatenate(rows), np.concatenate(near), np.concatenate(change))
        return taught, np.concatenate(negatives)

    def _learn(self, model: WindowModel, positives: Taught, negatives: Array) -> WindowModel:
        near = positives.overlap >= HIT
        good = positives.rows[near] if near.any() else positives.rows
        rows = np.concatenate([good, negatives])
        label = np.arange(len(rows)) < len(good)
        rule = LinearSVC(C=0.01, dual=False, tol=0.01) if self.classifier is None else clone(self.classifier)
        rule.fit(rows, label)
        ridge = Ridge(alpha=30.0).fit(positives.rows, positives.change)
        regression = np.vstack([ridge.coef_.T, ridge.intercept_]).astype(float)
        if hasattr(rule, "coef_"):
            linear = np.append(rule.coef_.ravel(), rule.intercept_).astype(float)
            return replace(model, linear=linear, regression=regression)
        trees = packed([tree.tree_ for tree in rule.estimators_], _leaf_values)
        model = replace(model, linear=np.zeros(0), trees=trees, regression=regression)
        first = tree_mean(trees, good, trees["root"][:FIRST_TREES])
        return replace(model, reject=float(np.quantile(first, 0.005)))


# --------------------------------------------------------------------------------------------
# windows of training pictures
# --------------------------------------------------------------------------------------------


def _pictures(samples: Sequence[Sample], mirror: bool) -> Iterator[tuple[Array, Array, Array]]:
    """(picture, boxes of objects, boxes that teach nothing) of each sample, and of its mirror image."""
    for sample in samples:
        image = as_uint8(sample.image, sample.name)
        true, ignored = objects_of(sample)
        yield image, true, ignored
        if mirror:
            width = image.shape[1]
            turned = [np.column_stack([width - b[:, 0] - b[:, 2], b[:, 1:]]) for b in (true, ignored)]
            yield flip_image(image), turned[0], turned[1]


def _split(samples: list[Sample], rng: Any) -> tuple[list[Sample], list[Sample]]:
    """Samples that teach, and those of whole groups that calibrate; few objects do both."""
    groups = sorted({s.group for s in samples})
    out = set(rng.permutation(groups)[: int(HELD_OUT * len(groups))].tolist())
    held_out = [s for s in samples if s.group in out]
    if calibrating(held_out, samples) is samples:
        return samples, samples
    return [s for s in samples if s.group not in out], held_out


def _inside(boxes: Array, ignored: Array) -> Array:
    """(N,) bool: mostly inside a region that teaches nothing."""
    return np.asarray(box_overlap(boxes, ignored, part=True).max(1, initial=0) > 0.5)


def _hard(model: WindowModel, samples: Sequence[Sample], low: float, most: int) -> Array:
    """Rows of the windows that a model takes for objects where none is, the worst of each picture."""
    rows = []
    for image, true, ignored in _pictures(samples, False):
        found = model.windows(image, low)
        wrong = (box_overlap(found.box, true).max(1, initial=0) < MISS) & ~_inside(found.box, ignored)
        rows.append(found.rows[np.flatnonzero(wrong)[:most]])
    return np.concatenate(rows)


# --------------------------------------------------------------------------------------------
# rules
# --------------------------------------------------------------------------------------------


def _leaf_values(tree: Any) -> dict[str, Array]:
    """The share of objects in each node."""
    count = np.ones((1, 2)) if tree is None else tree.value[:, 0]
    return {"value": count[:, -1] / np.maximum(count.sum(1), 1e-12)}
