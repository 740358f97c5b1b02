"""Every adjacent pair of parts, by the real classes: made, fitted on a few tiny pictures, saved, exported.

The pairs come from the tables, so that a new part is tested by its row alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every_part import FILES
from numpy.testing import assert_allclose
from sklearn.base import clone

from hybridkp import memory, recipes
from hybridkp.checks import make_problem
from hybridkp.files import load_model, save_model
from hybridkp.runtime import export_runtime
from hybridkp.runtime import load as load_runtime
from hybridkp.structures import InputError, PairMatcher

pytestmark = pytest.mark.usefixtures("one_torch_thread")

#: the least that each class can be fitted with: whether a pair works is asked, not how well
TINY: dict[str, Any] = {
    "max_epochs": 1,
    # fewer leave all points of a network in one place, where a shape has no frame
    "epoch_pictures": 64,
    "input_px": 32,
    "batch_size": 8,
    "n_passes": 1,
    "n_looks": 1,
    "train_levels": (0,),
    "n_estimators": 2,
    "n_trees": 2,
    "max_depth": 3,
    "n_candidates": 10,
    "min_samples_leaf": 3,
    "n_samples": 1,
    "n_negatives": 1,
    "n_hard": 0,
    "mirror": False,
    "max_pictures": 12,
    "n_perturbations": 0,
    "cascade_depth": 1,
    "num_trees_per_cascade_level": 2,
}
#: lists, shortened to so many of their last
SHORTER = {"scales": 1, "radii": 1}
PROBLEM = make_problem(12, side=48)
STEPS = [line.name for line in recipes.parts_table() if line.slot == "step" and line.name not in FILES]


def _names(slot: str, task: str = "landmarks") -> list[str]:
    return [line.name for line in recipes.parts_table(task) if line.slot == slot and line.name not in FILES]


def landmark_pairs() -> Iterator[str]:
    """Of starts that are one class, such as a network's backbones, one in every pair and each in one."""
    starts, rules = [*_names("start"), "hog+svm"], _names("rule")
    first = {type(recipes.make_method(name, quick=True)): name for name in reversed(starts)}.values()
    yield from (f"{a}+{b}" for a, b in product(_names("descriptor"), _names("classifier")))
    yield from (f"hog-{a}+svm" for a in ("sift", "cnn"))
    yield from (f"sift+{a}+{b}" for a, b in product(_names("reducer"), _names("classifier")))
    yield from (f"{a}:{b}" for a, b in product(starts, STEPS) if a in first or b == STEPS[0])
    yield from (f"hog+svm:{a}:{b}" for a, b in product(STEPS, STEPS))
    yield from (f"{a}({b},mean-shape)" for a, b in product(rules, starts[1:]) if b in first or a == rules[0])
    yield from (f"{a}(sdm,hog+ridge:{b})" for a, b in product(rules, STEPS) if b != "tree")
    yield from (f"{a}(sdm,hog+svm):{b}" for a, b in product(rules, STEPS))
    yield from (f"sdm[maps={a}]" for a in _names("maps"))


def tiny(estimator: Any) -> Any:
    """The estimator with every part of it as small as can be."""
    for name, value in estimator.get_params(deep=True).items():
        leaf = name.rpartition("__")[2]
        if leaf in TINY and value is not None:
            estimator.set_params(**{name: TINY[leaf]})
        elif leaf in SHORTER and value is not None:
            estimator.set_params(**{name: tuple(value)[-SHORTER[leaf] :]})
    return estimator


@pytest.fixture(autouse=True, scope="module")
def _remembered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with memory.remember(tmp_path_factory.mktemp("fits")):
        yield


@pytest.mark.filterwarnings("ignore::hybridkp.structures.DataWarning")
@pytest.mark.parametrize("expression", dict.fromkeys(landmark_pairs()))
def test_a_pair_works_or_is_refused_by_name(expression: str, tmp_path: Path) -> None:
    images, xy, groups, flip = PROBLEM
    try:
        estimator = tiny(recipes.make_method(expression, quick=True))
    except InputError as refused:
        assert re.search(r"'(tree|looks)' needs score maps|'upright' needs presence", str(refused))
        return
    assert recipes.canonical(expression) == expression
    model = clone(estimator).fit(images, xy, groups=groups, flip=flip)
    found, score = model.predict_with_score(images[:3])
    assert found.shape == (3, 5, 2) and np.isfinite(found).all() and score.shape == (3, 5)
    save_model(model, tmp_path / "model.hkp")
    assert_allclose(load_model(tmp_path / "model.hkp").predict(images[:3]), found, atol=1e-4)
    try:
        export_runtime(model, tmp_path / "model.hkr")
    except InputError as refused:
        inside = [model, *model.get_params(deep=True).values()]
        assert any(type(each).__name__ in str(refused) for each in inside), refused
        return
    answer, _ = load_runtime(tmp_path / "model.hkr").predict_with_score(images[:3])
    assert_allclose(answer, found, atol=0.05)


def point_pairs() -> Iterator[str]:
    features, steps, rules = (_names(slot, "points") for slot in ("feature", "step", "rule"))
    others = [name for name in features if name != "rootsift"]
    yield from (f"{a}+{b}" for a, b in product(_names("detector", "points"), _names("descriptor", "points")))
    yield from (f"{a}:{b}" for a, b in product(features, steps))
    yield from (f"rootsift:{a}:{b}" for a, b in product(steps, steps))
    yield from (f"{a}({b},rootsift)" for a, b in product(rules, others))
    yield from (f"{a}(sift,surf):{b}" for a, b in product(rules, steps))


@pytest.mark.parametrize("expression", dict.fromkeys(point_pairs()))
def test_a_pair_of_interest_points_matches_or_is_refused(expression: str) -> None:
    from skimage.data import astronaut

    image = np.ascontiguousarray(astronaut()[:120, 180:340, ::-1])
    try:
        matcher = recipes.make_matcher(expression, 64)
    except InputError as refused:
        assert re.search(r"'(concat|union|turns)' needs ", str(refused))
        return
    assert isinstance(matcher, PairMatcher) and repr(clone(matcher)) == repr(matcher)
    found = matcher.match(image, image)
    assert len(found.xy_a) == len(found.xy_b)
