"""Named constructors: the one room that knows every method.

A recipe is a function of one flag, ``quick`` (a shorter training, for a first look or a test),
that gives a fresh estimator.  Heavy rooms are imported inside the recipes, so that listing the
names costs nothing.  To add a method: write the function, add the line in :data:`_METHODS`, and what
may be tuned in ``search_spaces.py``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, NamedTuple

from ..structures import InputError
from .parts import make_descriptor, make_refiner
from .search_spaces import SPACES


class _Recipe(NamedTuple):
    make: Callable[[bool], Any]
    about: str  #: one line
    family: str  #: "floor", "classical", "deep", "hybrid" or "peer": somebody else's, from an optional extra
    slow: bool = False  #: trains for long even on a tiny problem


# --------------------------------------------------------------------------------------------
# classical
# --------------------------------------------------------------------------------------------


def _mean_shape(quick: bool) -> Any:
    from ..landmarks import MeanShape

    return MeanShape()


def _hog_ridge(quick: bool) -> Any:
    from ..landmarks import HolisticRegressor

    return HolisticRegressor()


def _sdm(quick: bool) -> Any:
    from ..landmarks import CascadedRegressor

    return CascadedRegressor()


def _sdm_fast(quick: bool) -> Any:
    from ..landmarks import FastCascade

    # as `hybridkp tune` chose on folds of faces, with as many trials as the network had
    return FastCascade(alpha=0.14, scales=(0.5, 0.5, 1.0, 1.0, 1.25), n_perturbations=1)


def _lbf(quick: bool) -> Any:
    from ..landmarks import LocalBinaryFeatures

    return LocalBinaryFeatures(n_trees=3, max_depth=4) if quick else LocalBinaryFeatures()


def _hough_forest(quick: bool) -> Any:
    from ..landmarks import HoughForest

    return HoughForest(max_pictures=400, n_samples=4) if quick else HoughForest()


def _hog_svm(quick: bool) -> Any:
    from ..landmarks import PatchDetector

    return PatchDetector()


def _forest(quick: bool) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(
        n_estimators=12 if quick else 24,
        max_depth=10,
        min_samples_leaf=3,
        max_features="sqrt",
        random_state=0,
    )


def _patches(descriptor: Any, classifier: Any = None) -> Any:
    """Experts that look point by point: two levels and at most 800 pictures, for all of them alike."""
    from ..landmarks import PatchDetector

    return PatchDetector(descriptor, classifier, scales=(0.5, 1.0), max_pictures=800)


def _looks(descriptor: str, trees: bool = False) -> Callable[[bool], Any]:
    """Such experts on a descriptor of ``recipe_parts.py``, with linear SVMs or with trees."""
    return lambda quick: _patches(make_descriptor(descriptor), _forest(quick) if trees else None)


def _surf_forest(quick: bool) -> Any:
    from ..descriptors import SURF

    return _patches(SURF(upright=True, size_px=16), _forest(quick))


# --------------------------------------------------------------------------------------------
# deep
# --------------------------------------------------------------------------------------------

#: trainings of half a minute on one core: smaller pictures, fewer of them
_BRIEF = {"max_epochs": 4, "epoch_pictures": 500}
_SHORT: dict[str, Any] = {"input_px": 64, "schedule__max_epochs": 8, "schedule__epoch_pictures": 500}
#: ten minutes on one core for 1800 pictures of 128 px
_LONG: dict[str, Any] = {"schedule__max_epochs": 60, "schedule__patience": 20}


def _heatmap(quick: bool) -> Any:
    from ..deep import HeatmapNet

    return HeatmapNet().set_params(**_SHORT if quick else _LONG)


def _heatmap_of(input_px: int) -> Callable[[bool], Any]:
    """The same network on smaller pictures."""
    return lambda quick: _heatmap(quick).set_params(input_px=48 if quick else input_px)


def _heatmap_flip(quick: bool) -> Any:
    from ..fusion import MirrorAverage

    return MirrorAverage(_heatmap(quick))


def _direct(quick: bool) -> Any:
    from ..deep import DirectNet

    return DirectNet().set_params(**_SHORT if quick else _LONG)


def _patch_cnn(quick: bool) -> Any:
    from ..deep import PatchCNN

    return PatchCNN(schedule=PatchCNN.default_schedule(**_BRIEF if quick else {"max_epochs": 6}))


# --------------------------------------------------------------------------------------------
# hybrid
# --------------------------------------------------------------------------------------------


def _refined(detector: Callable[[bool], Any], refiner: str) -> Callable[[bool], Any]:
    """A detector, then a refiner that learns from its out-of-fold answers."""

    def make(quick: bool) -> Any:
        from ..fusion.refined import Refined

        return Refined(detector(quick), make_refiner(refiner, quick), cv=2)

    return make


def _cnn_hog_svm(quick: bool) -> Any:
    from ..deep import CNNEmbedding
    from ..descriptors import HOG, Concat

    embedding = CNNEmbedding(schedule=CNNEmbedding.default_schedule(**_BRIEF if quick else {"max_epochs": 5}))
    return _patches(Concat([("hog", HOG()), ("cnn", embedding)]))


def _members(quick: bool) -> list[tuple[str, Any]]:
    """The quick classical and the best deep detector, as chosen on folds of the training part."""
    return [("sdm-fast", _sdm_fast(quick)), ("heatmap-flip", _heatmap_flip(quick))]


def _tree(quick: bool) -> Any:
    from ..fusion import PictorialStructure

    return PictorialStructure(_heatmap_flip(quick))


def _shape_after(start: Callable[[bool], Any]) -> Callable[[bool], Any]:
    def make(quick: bool) -> Any:
        from ..fusion import ShapeVote

        return ShapeVote([("start", start(quick))])

    return make


#: what a point reads once it is nearly right: closer places, and the wide ring for the company it keeps
_FINE = ((0, 1, 1.0), (3, 8, 1.0), (7, 8, 2.0), (14, 8, 3.5))


def _sdm_after(start: Callable[[bool], Any]) -> Callable[[bool], Any]:
    """Two fine stages of the classical cascade, from where a network says."""

    def make(quick: bool) -> Any:
        from ..landmarks import FastCascade

        return FastCascade(scales=(1.0, 1.25), rings=_FINE, clip=2.0, start=start(quick), cv=2)

    return make


def _blend(quick: bool) -> Any:
    """Three to one, as a fold of train has it: learned weights would need folds within folds."""
    from ..fusion import Average

    members = [("heatmap>sdm", _sdm_after(_heatmap_flip)(quick)), ("sdm-fast", _sdm_fast(quick))]
    return Average(members, weights=(3.0, 1.0))


def _sdm_after_maps(quick: bool) -> Any:
    from ..deep import HeatmapFeatures

    return _sdm_after(_heatmap_flip)(quick).set_params(maps=HeatmapFeatures(_heatmap(quick), "encoder"))


def _fused(rule: str, **options: Any) -> Callable[[bool], Any]:
    """A rule of :mod:`hybridkp.fusion` over the two."""

    def make(quick: bool) -> Any:
        from .. import fusion

        return getattr(fusion, rule)(_members(quick), **options)

    return make


def _vote_3(quick: bool) -> Any:
    from ..fusion import WeightedVote

    return WeightedVote([*_members(quick), ("hog+svm", _hog_svm(quick))], guard=True)


# --------------------------------------------------------------------------------------------
# peers
# --------------------------------------------------------------------------------------------


def _dlib(quick: bool) -> Any:
    from ..peers import DlibShapePredictor

    if quick:
        return DlibShapePredictor(cascade_depth=5, num_trees_per_cascade_level=100, oversampling_amount=10)
    return DlibShapePredictor()


_METHODS: dict[str, _Recipe] = {
    "mean-shape": _Recipe(_mean_shape, "the mean training shape: the floor", "floor"),
    "hog+ridge": _Recipe(_hog_ridge, "ridge regression from HOG of the whole crop", "classical"),
    "hog+svm": _Recipe(_hog_svm, "dense HOG patch experts, linear SVMs, shape model", "classical"),
    "hog+forest": _Recipe(
        _looks("hog", trees=True), "HOG patch experts, extremely randomised trees", "classical", slow=True
    ),
    "sift+svm": _Recipe(_looks("sift"), "SIFT patch experts, linear SVMs", "classical", slow=True),
    "surf+forest": _Recipe(
        _surf_forest, "our SURF, upright, with extremely randomised trees", "classical", slow=True
    ),
    "orb+forest": _Recipe(
        _looks("orb", trees=True), "ORB bits with extremely randomised trees", "classical", slow=True
    ),
    "sift-hog+svm": _Recipe(
        _looks("sift-hog"), "SIFT and HOG concatenated, linear SVMs", "classical", slow=True
    ),
    "sdm": _Recipe(_sdm, "cascaded regression on HOG (supervised descent)", "classical"),
    "sdm-fast": _Recipe(_sdm_fast, "cascaded regression on gradient channels, milliseconds", "classical"),
    "lbf": _Recipe(_lbf, "cascaded regression on the leaves of small forests", "classical"),
    "hough-forest": _Recipe(_hough_forest, "regression-forest votes and a shape model", "classical"),
    "patch-cnn": _Recipe(_patch_cnn, "patch experts that are one small CNN", "deep", slow=True),
    "heatmap": _Recipe(
        _heatmap, "heat-map network, its maps read at their means or modes", "deep", slow=True
    ),
    "heatmap-96": _Recipe(_heatmap_of(96), "the same on pictures of 96 px: quicker", "deep", slow=True),
    "heatmap-80": _Recipe(_heatmap_of(80), "the same on pictures of 80 px: quicker still", "deep", slow=True),
    "heatmap-flip": _Recipe(_heatmap_flip, "heatmap on the picture and its mirror image", "deep", slow=True),
    "direct": _Recipe(_direct, "direct coordinate regression by a small CNN", "deep", slow=True),
    "deeppose": _Recipe(
        _refined(_direct, "cnn"),
        "direct, then a CNN on patches around its points (cf. DeepPose)",
        "deep",
        slow=True,
    ),
    "heatmap>sdm": _Recipe(
        _sdm_after(_heatmap_flip), "heatmap-flip, then two stages of cascaded regression", "hybrid", slow=True
    ),
    "heatmap>tree": _Recipe(
        _tree, "heatmap-flip's maps and a tree of landmarks: pictorial structures", "hybrid", slow=True
    ),
    "heatmap>shape": _Recipe(
        _shape_after(_heatmap_flip), "heatmap-flip, then a Gaussian model of shapes", "hybrid", slow=True
    ),
    "heatmap>tree>shape>sdm": _Recipe(
        _sdm_after(_shape_after(_tree)), "tree, shapes and sdm, each where it pays", "hybrid", slow=True
    ),
    "blend": _Recipe(
        _blend,
        "heatmap>sdm and sdm-fast, three to one: two cascades from different starts",
        "hybrid",
        slow=True,
    ),
    "heatmap>sdm+maps": _Recipe(
        _sdm_after_maps, "the same, its stages reading the network's maps too", "hybrid", slow=True
    ),
    "heatmap-96>sdm": _Recipe(
        _sdm_after(_heatmap_of(96)), "heatmap-96, then two stages of cascaded regression", "hybrid", slow=True
    ),
    "sdm+cnn": _Recipe(
        _refined(_sdm_fast, "cnn"), "sdm-fast, then a CNN that refines its points", "hybrid", slow=True
    ),
    "hog+svm+cnn": _Recipe(
        _refined(_hog_svm, "cnn"), "hog+svm, then a CNN that refines its points", "hybrid", slow=True
    ),
    "hog+svm+subpixel": _Recipe(
        _refined(_hog_svm, "subpixel"), "hog+svm, then a classical refiner", "classical"
    ),
    "cnn-hog+svm": _Recipe(
        _cnn_hog_svm, "CNN embedding and HOG concatenated, linear SVMs", "hybrid", slow=True
    ),
    "average": _Recipe(_fused("Average"), "plain mean of sdm-fast and heatmap-flip", "hybrid", slow=True),
    "product": _Recipe(
        _fused("MapFusion", how="product"),
        "product of heatmap-flip's maps and Gaussians around the points of sdm-fast",
        "hybrid",
        slow=True,
    ),
    "vote": _Recipe(
        _fused("WeightedVote", guard=True), "weighted vote of sdm-fast and heatmap-flip", "hybrid", slow=True
    ),
    "vote-3": _Recipe(_vote_3, "weighted vote of sdm-fast, heatmap-flip and hog+svm", "hybrid", slow=True),
    "vote-gated": _Recipe(
        _fused("GatedVote"), "the same vote, weighed by scores and agreement", "hybrid", slow=True
    ),
    "vote-shape": _Recipe(
        _fused("ShapeVote"), "sdm-fast, heatmap-flip and a Gaussian model of shapes", "hybrid", slow=True
    ),
    "stack": _Recipe(
        _fused("Stacking"), "ridge over the points of sdm-fast and heatmap-flip", "hybrid", slow=True
    ),
    "dlib": _Recipe(_dlib, "dlib's shape predictor with its default options (extra: peers)", "peer"),
}

#: what ``hybridkp bench`` runs without ``--methods``
DEFAULT: tuple[str, ...] = tuple(
    name for name, recipe in _METHODS.items() if name != "hog+svm+subpixel" and recipe.family != "peer"
)
#: what it runs with ``--quick``; longest first, so that two processes end together
QUICK: tuple[str, ...] = (
    *("heatmap", "vote", "heatmap>sdm", "sdm-fast", "hog+svm"),
    *("direct", "hog+ridge", "mean-shape"),
)


def method_names(task: str = "landmarks") -> list[str]:
    """Names for :func:`make_method`, simplest first.

    >>> method_names()[:2]
    ['mean-shape', 'hog+ridge']
    """
    if task != "landmarks":
        raise InputError(f"unknown task {task!r}: there is 'landmarks'")
    return list(_METHODS)


def _recipe(name: str) -> _Recipe:
    if name not in _METHODS:
        near = difflib.get_close_matches(name, _METHODS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`hybridkp list` shows them"
        raise InputError(f"unknown method {name!r}: {hint}")
    return _METHODS[name]


def make_method(name: str, quick: bool = False) -> Any:
    """A fresh, unfitted detector; ``quick`` trains shorter."""
    return _recipe(name).make(quick)


def describe_method(name: str) -> str:
    """One line about a method."""
    return _recipe(name).about


def family(name: str) -> str:
    """``"floor"``, ``"classical"``, ``"deep"``, ``"hybrid"`` or ``"peer"``."""
    return _recipe(name).family


def slow_names() -> set[str]:
    """Methods whose training takes long even on a tiny problem."""
    return {name for name, recipe in _METHODS.items() if recipe.slow}


# --------------------------------------------------------------------------------------------
# what may be tuned
# --------------------------------------------------------------------------------------------


def search_space(name: str) -> dict[str, list[Any]]:
    """Parameter -> values that ``hybridkp tune`` chooses from; empty for floors and combinations."""
    _recipe(name)
    return {k: list(v) for k, v in SPACES.get(name, {}).items()}
