"""dlib's shape predictor as a detector: an ensemble of regression trees, trained by dlib itself.

Crops go in, points come out; the object's box is the crop less its margin.  Training and
prediction are dlib's; nothing of its method is written here, and no other room needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..imaging.images import check_crops, crops_to_grey
from ..structures import MARGIN, Array, DetectorMixin, InputError, check_xy
from .dlibformat import MAX_VALUES, read_predictor, write_predictor

_ABSENT = 0x7FFFFFFFFFFFF  #: both coordinates of OBJECT_PART_NOT_PRESENT, which the bindings do not name
_OLDEST = (20, 0, 1)  #: the first dlib that was tried; older ones mark absent parts by another number
_SCORE = 0.5
_REACH = 5.0  #: sides of the box; points farther from its middle make dlib draw pixel pairs for hours

#: option -> type, least and greatest value that dlib takes and ends with (small lambda_param: for hours)
_OPTIONS: dict[str, tuple[type, float, float]] = {
    "cascade_depth": (int, 1, 1000),
    "tree_depth": (int, 1, 16),
    "num_trees_per_cascade_level": (int, 1, 100_000),
    "nu": (float, 1e-6, 1.0),
    "oversampling_amount": (int, 1, 100_000),
    "oversampling_translation_jitter": (float, 0.0, 1.0),
    "feature_pool_size": (int, 2, 100_000),
    "lambda_param": (float, 0.01, 1e6),
    "num_test_splits": (int, 1, 100_000),
    "feature_pool_region_padding": (float, -0.49, 10.0),
    "num_threads": (int, 0, 1024),
}


@dataclass(eq=False, repr=False)
class DlibShapePredictor(DetectorMixin, BaseEstimator):
    """Kazemi and Sullivan's cascade of gradient-boosted trees on pixel differences, by dlib.

    Parameters
    ----------
    cascade_depth : int
        Stages; each draws its own feature pixels.
    tree_depth, num_trees_per_cascade_level : int
        Size and number of a stage's trees.
    nu : float in (0, 1]
        Shrinkage: the part of a leaf's step that is taken.
    oversampling_amount : int
        Starting shapes for each training picture, random mixtures of training shapes.
    oversampling_translation_jitter : float
        Random shift of these starts, in sides of the box.
    feature_pool_size : int
        Feature pixels of a stage.
    lambda_param : float
        How far apart the two pixels of a split may lie, in sides of the box; smaller is nearer.
    num_test_splits : int
        Random splits that a node chooses from.
    feature_pool_region_padding : float
    landmark_relative_padding_mode : bool
        Feature pixels are drawn from the mean shape's extent (or from the box, when False), grown
        by the padding in sides of the box.
    num_threads : int
        Of the training; 0 and 1 are the caller's own.  Prediction always runs in one thread.
    margin : float
        Side of the crop over the side of the object's box in it: 1.25 as crops are cut here.
    random_state : int, RandomState or None
        Gives dlib's ``random_seed``.

    Notes
    -----
    The options have dlib's names and dlib's defaults.  Its Python door takes and gives points in
    whole px, so the result is rounded: 0.4 px (root mean square) in a crop of any size.  Landmarks
    that are not labelled are dlib's absent parts, which its training skips; pictures without any
    are left out.  dlib makes no mirrored copies by default, so ``flip`` is ignored, and it has no
    use for ``groups``.  It gives no confidence: the score is 0.5 for every point.  With one
    landmark the default options give the mean, because feature pixels are drawn from the mean
    shape's own extent: set ``feature_pool_region_padding``.

    Needs ``pip install "hybridkp[peers]"``; without it ``fit`` and the reading of a model file
    raise :class:`~hybridkp.structures.InputError`.

    References
    ----------
    V. Kazemi, J. Sullivan, One millisecond face alignment with an ensemble of regression trees,
    CVPR 2014.
    """

    cascade_depth: int = 10
    tree_depth: int = 4
    num_trees_per_cascade_level: int = 500
    nu: float = 0.1
    oversampling_amount: int = 20
    oversampling_translation_jitter: float = 0.0
    feature_pool_size: int = 400
    lambda_param: float = 0.1
    num_test_splits: int = 20
    feature_pool_region_padding: float = 0.0
    landmark_relative_padding_mode: bool = True
    num_threads: int = 0
    margin: float = MARGIN
    random_state: Any = 0

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> DlibShapePredictor:
        """Learn from crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled."""
        dlib = _library()
        images = check_crops(images)
        truth = check_xy(xy, len(images))
        size_hw = (int(images.shape[1]), int(images.shape[2]))
        options = self._options(dlib, truth.shape[1])
        box = self._box(dlib, size_hw)
        size = np.array(size_hw[::-1])
        if (np.abs(truth - (size - 1) / 2) > _REACH * size / self.margin).any():
            raise InputError(f"xy has a point more than {_REACH:g} sides of the box off its middle: mend it")
        rows = np.flatnonzero(np.isfinite(truth[..., 0]).any(axis=1))
        whole = np.where(np.isnan(truth), _ABSENT, np.rint(truth)).astype(np.int64)[rows]
        shapes = [[dlib.point(x, y) for x, y in points] for points in whole.tolist()]
        objects = [[dlib.full_object_detection(box, points)] for points in shapes]
        try:
            self.predictor_ = dlib.train_shape_predictor(list(crops_to_grey(images[rows])), objects, options)
        except RuntimeError as error:
            raise InputError(f"dlib refused the training: {' '.join(str(error).split())[-200:]}") from None
        self.size_hw_, self.n_landmarks_ = size_hw, int(truth.shape[1])
        return self

    def _options(self, dlib: Any, n_landmarks: int) -> Any:
        """dlib's options object; :class:`InputError` for values that dlib would refuse or not survive."""
        options = dlib.shape_predictor_training_options()
        for name, (kind, least, most) in _OPTIONS.items():
            value = getattr(self, name)
            number = isinstance(value, int | np.integer | (float if kind is float else int))
            if not number or not least <= value <= most:
                raise InputError(f"{name} must be {kind.__name__} in [{least:g}, {most:g}], got {value!r}")
            setattr(options, name, kind(value))
        leaves = self.cascade_depth * self.num_trees_per_cascade_level * 2**self.tree_depth * 2 * n_landmarks
        if leaves > MAX_VALUES:
            raise InputError(f"these options make {leaves} leaf values, more than {MAX_VALUES}: fewer trees")
        options.landmark_relative_padding_mode = bool(self.landmark_relative_padding_mode)
        options.random_seed = str(check_random_state(self.random_state).randint(2**31 - 1))
        return options

    def _box(self, dlib: Any, size_hw: tuple[int, int]) -> Any:
        """The pixels whose centres lie in the crop's middle part, its sides over the margin."""
        if not self.margin >= 1:
            raise InputError(f"margin must be at least 1, got {self.margin!r}")
        top, left = (int(np.ceil((side - side / self.margin - 1) / 2)) for side in size_hw)
        height, width = size_hw
        if min(height - 2 * top, width - 2 * left) < 2:
            raise InputError(f"crops of {height} x {width} px are too small at a margin of {self.margin:g}")
        return dlib.rectangle(left, top, width - 1 - left, height - 1 - top)

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px, whole numbers; (B, K), all 0.5: see the notes."""
        check_is_fitted(self)
        box = self._box(_library(), self.size_hw_)
        grey = crops_to_grey(check_crops(images, self.size_hw_))
        shapes = [self.predictor_(picture, box) for picture in grey]
        parts = range(self.n_landmarks_)
        found = [[(p.x, p.y) for p in map(shape.part, parts)] for shape in shapes]
        return np.array(found, np.float32), np.full((len(grey), self.n_landmarks_), _SCORE, np.float32)

    def get_state(self) -> dict[str, Any]:
        """What a model file holds: the trees as arrays; nothing before the fit."""
        if not hasattr(self, "predictor_"):
            return {}
        return {"size_hw": list(self.size_hw_), **read_predictor(self.predictor_.__getstate__()[0])}

    def set_state(self, state: dict[str, Any]) -> None:
        if not state:
            return
        raw = write_predictor(state)
        height, width = state["size_hw"]
        self.size_hw_, self.n_landmarks_ = (int(height), int(width)), len(state["start"])
        kind = _library().shape_predictor
        self._box(_library(), self.size_hw_)
        self.predictor_ = kind.__new__(kind)
        try:
            self.predictor_.__setstate__((raw,))
        except RuntimeError as error:
            raise InputError(f"dlib cannot read its trees: {' '.join(str(error).split())[:200]}") from None


def _library() -> Any:
    """The module dlib, or what to install."""
    try:
        import dlib
    except ImportError:
        raise InputError('dlib is not installed: pip install "hybridkp[peers]"') from None
    version = tuple(int(part) for part in dlib.__version__.split(".")[:3])
    if version < _OLDEST:
        raise InputError(f'dlib {dlib.__version__} is too old: pip install -U "hybridkp[peers]"')
    return dlib
