"""Trees as arrays, local binary features and forest votes, each against what it should equal."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge

from hybridkp import runtime
from hybridkp.checks import make_problem
from hybridkp.descriptors import HOG
from hybridkp.landmarks import HoughForest, LocalBinaryFeatures, MeanShape, PatchDetector, response
from hybridkp.landmarks.binary_descent import leaf_columns, pixel_values
from hybridkp.landmarks.trees import NEVER, balanced_leaves, grow_balanced, packed, packed_leaves
from hybridkp.runtime.nodes import build
from hybridkp.structures import InputError

PROBLEM = make_problem(40)
HELD_OUT = make_problem(12, random_state=1)
SMALL = {"radii": (0.25, 0.15, 0.08), "n_trees": 4, "max_depth": 3, "min_samples_leaf": 5}
FITTED: dict[str, object] = {}
METHODS = {
    "lbf": lambda: LocalBinaryFeatures(**SMALL, n_perturbations=2, alpha=1.0),
    "hough": lambda: HoughForest(HOG(cells=3), n_samples=6),
}
EXPERTS = {
    "hog+forest": lambda: PatchDetector(
        HOG(cells=2), ExtraTreesClassifier(4, max_depth=4), scales=(0.5,), n_hard=0, start=MeanShape()
    ),
}


def fitted(name):
    if name not in FITTED:
        p = PROBLEM
        FITTED[name] = (METHODS | EXPERTS)[name]().fit(p.images, p.xy, groups=p.groups, flip=p.flip)
    return FITTED[name]


# --------------------------------------------------------------------------------------------
# trees
# --------------------------------------------------------------------------------------------


def walked(values, pairs, threshold):
    """One row down one balanced tree, step by step."""
    node = 0
    while node < len(threshold):
        a, b = pairs[node]
        node = 2 * node + 1 + int(values[a] - values[b] > threshold[node])
    return node - len(threshold)


def test_balanced_trees_are_walked_all_at_once():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (7, 20)).astype(np.int16)
    pairs, threshold = rng.integers(0, 20, (5, 15, 2)), rng.integers(-200, 200, (5, 15)).astype(np.int16)
    leaves = balanced_leaves(values, pairs, threshold)
    assert leaves.tolist() == [
        [walked(v, p, t) for p, t in zip(pairs, threshold, strict=True)] for v in values
    ]
    assert len(np.unique(leaves)) > 8


def test_a_grown_tree_finds_the_difference_that_matters():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (6, 400)).astype(np.int16)
    side = values[4] - values[1] > 0
    targets = np.stack([np.where(side, 5.0, -5.0), np.zeros(400)], axis=1) + rng.normal(0, 0.1, (400, 2))
    pairs, threshold = grow_balanced(values, targets, 3, 200, 10, rng)
    assert set(pairs[0].tolist()) == {1, 4} and abs(int(threshold[0])) < 20
    leaves = balanced_leaves(values.T, pairs[None], threshold[None])[:, 0]
    within = (
        sum(targets[leaves == leaf].var(axis=0).sum() * (leaves == leaf).sum() for leaf in range(8)) / 400
    )
    assert within < 0.2 * targets.var(axis=0).sum()
    counts = np.bincount(leaves, minlength=8)
    assert counts[counts > 0].min() >= 10, "each side of a split keeps its rows"


def test_a_tree_of_too_few_rows_does_not_split():
    rng = np.random.default_rng(0)
    for n in (0, 1, 9):
        values = rng.integers(0, 256, (4, n)).astype(np.int16)
        _, threshold = grow_balanced(values, rng.normal(size=(n, 2)), 2, 10, 5, rng)
        assert (threshold == NEVER).all()
    one_value = np.full((1, 40), 7, np.int16)
    pairs, threshold = grow_balanced(one_value, rng.normal(size=(40, 2)), 2, 10, 5, rng)
    assert (pairs == 0).all() and (threshold == NEVER).all()


def test_packed_regressors_say_what_scikit_learn_says():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 6)).astype(np.float32), rng.normal(size=(300, 2))
    forest = RandomForestRegressor(7, max_depth=6, random_state=0).fit(x, y)
    trees = packed([t.tree_ for t in forest.estimators_] + [None], _mean)
    leaf = packed_leaves(trees, x[:50], trees["root"])
    assert leaf.shape == (50, 8) and (trees["mean"][leaf[:, 7]] == 0).all()
    np.testing.assert_allclose(trees["mean"][leaf[:, :7]].mean(axis=1), forest.predict(x[:50]), atol=1e-5)


def _mean(tree):
    return {"mean": np.zeros((1, 2)) if tree is None else tree.value[:, :, 0]}


# --------------------------------------------------------------------------------------------
# local binary features
# --------------------------------------------------------------------------------------------


def test_pixels_are_read_where_the_shape_stands():
    grey = np.arange(2 * 40 * 50, dtype=np.int64).reshape(2, 40, 50).astype(np.uint8)
    xy = np.array([[[10.2, 20.4], [30.0, 5.0]]])
    offsets = np.array([[[0, 0], [3, 0]], [[0, 2], [-100, 0]]], np.float32)
    turn = np.array([[[0.0, 0.5, 0], [-0.5, 0.0, 0]]])  # the frame is turned by 90 degrees, half as large
    straight = pixel_values(grey, np.array([1]), xy, np.eye(2, 3)[None], offsets)
    assert straight.tolist() == [[[grey[1, 20, 10], grey[1, 20, 13]], [grey[1, 7, 30], grey[1, 5, 0]]]]
    turned = pixel_values(grey, np.array([1]), xy, turn, offsets)
    assert turned[0, 0].tolist() == [grey[1, 20, 10], grey[1, 26, 10]]


def test_each_tree_has_one_leaf_among_its_own():
    model = fitted("lbf")
    stage = model.stages_[0]
    n_trees, n_inner = stage["threshold"].shape
    assert n_trees == 5 * 4 and n_inner == 7
    values = np.random.default_rng(0).integers(0, 256, (9, 5, model.n_pixels)).astype(np.int16)
    columns = leaf_columns(values, stage["pairs"], stage["threshold"])
    assert columns.shape == (9, 20) and np.array_equal(columns // 8, np.tile(np.arange(20), (9, 1)))
    assert stage["weights"].shape == (160, 10)
    own = stage["pairs"].reshape(5, -1) // model.n_pixels
    assert (own == np.arange(5)[:, None]).all(), "a landmark's trees read that landmark's pixels"


def test_stages_lessen_the_error():
    left = fitted("lbf").history_["held-out error (px)"]
    assert left[-1] < 0.7 * left[0]
    error = np.linalg.norm(fitted("lbf").predict(HELD_OUT.images) - HELD_OUT.xy, axis=-1).mean()
    assert error < left[0]


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"radii": ()}, "radii must be positive"),
        ({"radii": (0.2, -0.1)}, "radii must be positive"),
        ({"max_depth": 0}, "max_depth must be a whole number from 1 to 12, got 0"),
        ({"n_trees": "4"}, "n_trees must be a whole number from 1 on, got '4'"),
        ({"n_pixels": 0}, "n_pixels must be a whole number from 1 on, got 0"),
        ({"max_samples": 1.5}, r"max_samples must lie in \(0, 1\], got 1.5"),
        ({"smoothing": -1}, "must not be negative, got -1"),
    ],
)
def test_senseless_parameters_of_local_binary_features(bad, match):
    with pytest.raises(InputError, match=match):
        LocalBinaryFeatures(**bad).fit(PROBLEM.images[:4], PROBLEM.xy[:4])


def test_the_runtime_answers_to_the_bit(tmp_path):
    found = runtime.load(runtime.export_runtime(fitted("lbf"), tmp_path / "lbf.hkr"))
    for one, other in zip(
        found.predict_with_score(HELD_OUT.images),
        fitted("lbf").predict_with_score(HELD_OUT.images),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s["pairs"].__setitem__((0, 0, 0), 5 * 64), "beyond its 320 values"),
        (lambda s: s["pairs"].__setitem__((0, 0, 0), -1), "beyond its 320 values"),
        (lambda s: s.update(pairs=s["pairs"][:, :5], threshold=s["threshold"][:, :5]), "trees of 5 nodes"),
        (lambda s: s.update(threshold=s["threshold"].astype(float)), "whole numbers"),
        (lambda s: s.update(weights=s["weights"][:-1]), "expected"),
        (lambda s: s["offsets"].__setitem__((0, 0, 0), 1e9), "must lie in"),
    ],
)
def test_the_runtime_refuses_trees_that_cannot_be_walked(change, match):
    node = fitted("lbf").runtime_node()
    stage = {name: value.copy() for name, value in node["stages"][1].items()}
    build({**node, "stages": [node["stages"][0], stage]}, "auto")
    change(stage)
    with pytest.raises(ValueError, match=match):
        build({**node, "stages": [node["stages"][0], stage]}, "auto")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t["left"].__setitem__(0, 10**6), "point beyond"),
        (lambda t: t["feature"].__setitem__(0, -1), "point beyond"),
        (lambda t: t.update(root=t["root"][:-1]), "other landmarks"),
        (lambda t: t.update(weight=t["weight"][:-1]), "different lengths"),
        (lambda t: t["vote"].__setitem__((0, 0), np.nan), "NaN"),
        (lambda t: t.update(depth=10**9), "depth"),
    ],
)
def test_the_runtime_refuses_forests_that_cannot_be_walked(change, match):
    build(first_level("hough", lambda trees: None), "auto")
    with pytest.raises(ValueError, match=match):
        build(first_level("hough", change), "auto")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t["right"].__setitem__(0, -1), "point beyond"),
        (lambda t: t["root"].__setitem__((0, 0, 0), 10**6), "point beyond"),
        (lambda t: t.update(root=t["root"][:, :-1]), "other landmarks"),
        (lambda t: t["threshold"].__setitem__(0, np.nan), "NaN"),
        (lambda t: t.update(share=t["share"][:-1]), "different lengths"),
    ],
)
def test_so_it_does_forests_of_yes_and_no(change, match):
    build(first_level("hog+forest", lambda trees: None), "auto")
    with pytest.raises(ValueError, match=match):
        build(first_level("hog+forest", change), "auto")


@pytest.mark.parametrize("name", ["hough", "hog+forest"])
def test_trees_that_go_in_circles_come_to_an_end(name):
    run = build(first_level(name, lambda t: (t["left"].fill(0), t["right"].fill(0))), "auto")
    assert run(HELD_OUT.images[0])[0].shape == HELD_OUT.xy[0].shape


def test_senseless_votes_find_no_place():
    run = build(first_level("hough", lambda trees: trees["weight"].fill(-1)), "auto")
    with np.errstate(invalid="ignore"):
        assert np.isnan(run(HELD_OUT.images[0])[0]).all()


def first_level(name, change):
    """The runtime's node of a fitted method, of one level, with its trees changed."""
    node = fitted(name).runtime_node()
    trees = {
        name: value.copy() if name != "depth" else value for name, value in node["levels"][0]["trees"].items()
    }
    change(trees)
    return {**node, "levels": [{**node["levels"][0], "trees": trees}]}


@pytest.mark.parametrize(("name", "step"), [("hough", {"voters_px": 1}), ("hog+forest", {"step": 1})])
def test_the_runtime_refuses_windows_that_take_the_memory(name, step):
    node = first_level(name, lambda trees: None)
    level = {**node["levels"][0], **step}
    build({**node, "levels": [level]}, "auto")
    wide = {**node, "hog": {**node["hog"], "cells": 32}, "levels": [{**level, "radius": 128}]}
    with pytest.raises(ValueError, match=r"windows of 257 places with \d+ numbers each are too large"):
        build(wide, "auto")
    padded = {**node["hog"], "cells": 32, "cell_px": 64, "n_orientations": 18}
    with pytest.raises(ValueError, match="a HOG of 2048 px with 18 orientations is too large"):
        build({**node, "hog": padded}, "auto")


# --------------------------------------------------------------------------------------------
# votes
# --------------------------------------------------------------------------------------------


def test_votes_land_between_the_pixels_and_only_inside():
    offset = np.array([[[0.25, -1.0], [2.0, 2.0], [2.1, 0.0]], [[-2.0, -2.0], [0.0, 0.0], [0.0, 0.0]]])
    votes = response.window_votes(offset, np.array([[1.0, 2.0, 9.0], [1.0, 1.0, 0.5]]), 2)
    wanted = np.zeros((2, 5, 5))
    wanted[0, 1, 2], wanted[0, 1, 3], wanted[0, 4, 4] = 0.75, 0.25, 2.0
    wanted[1, 0, 0], wanted[1, 2, 2] = 1.0, 1.5
    np.testing.assert_allclose(votes, wanted, atol=1e-6)


def test_smoothing_keeps_the_place():
    maps = np.zeros((1, 9, 9), np.float32)
    maps[0, 4, 5] = 1
    smooth = response.blurred(maps, 1.0)[0]
    assert np.unravel_index(smooth.argmax(), smooth.shape) == (4, 5)
    np.testing.assert_allclose(smooth[4, 4:7], np.exp([-0.5, 0, -0.5]), rtol=1e-5)
    np.testing.assert_allclose(smooth[3, 4], np.exp(-1.0), rtol=1e-5)


def test_any_forest_votes():
    p = PROBLEM
    for forest in (
        RandomForestRegressor(3, max_depth=5),
        ExtraTreesRegressor(3, max_depth=5, random_state=1),
    ):
        model = HoughForest(HOG(cells=3), forest, scales=(1.0,), n_samples=3, start=MeanShape())
        model.fit(p.images, p.xy, groups=p.groups)
        assert model.levels_[0]["trees"]["root"].shape == (2, 5, 3)
        error = np.linalg.norm(model.predict(HELD_OUT.images) - HELD_OUT.xy, axis=-1).mean()
        floor = np.linalg.norm(p.xy.mean(axis=0) - HELD_OUT.xy, axis=-1).mean()
        assert error < 0.6 * floor


def test_what_is_no_forest_does_not_vote():
    with pytest.raises(InputError, match="Ridge is not a forest that predicts both coordinates"):
        HoughForest(HOG(cells=3), Ridge(), start=MeanShape()).fit(PROBLEM.images[:8], PROBLEM.xy[:8])


def test_maps_of_votes_have_their_mass_at_the_point():
    model = fitted("hough")
    xy = model.predict(HELD_OUT.images)
    maps = model.score_maps(HELD_OUT.images, stride=2)
    assert maps.shape == (12, 5, 32, 32) and maps.dtype == np.float32
    np.testing.assert_allclose(maps.sum(axis=(2, 3)), 1, rtol=1e-5)
    axis = (np.arange(32) + 0.5) * 2 - 0.5
    centre = np.stack([maps.sum(axis=2) @ axis, maps.sum(axis=3) @ axis], axis=-1)
    assert np.abs(0.99 * xy + 0.01 * 31.5 - centre).max() < 0.7


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"scales": ()}, "scales must be positive"),
        ({"step": 9}, "need 1 <= step <= radius, got step 9, radius 8"),
        ({"n_samples": 0}, "need n_samples >= 1 and smoothing > 0, got 0"),
        ({"smoothing": 0}, "need n_samples >= 1 and smoothing > 0"),
    ],
)
def test_senseless_parameters_of_votes(bad, match):
    with pytest.raises(InputError, match=match):
        HoughForest(**bad).fit(PROBLEM.images[:4], PROBLEM.xy[:4])


# --------------------------------------------------------------------------------------------
# both
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_a_picture_alone_and_in_a_batch_is_answered_alike_to_the_bit(name):
    model = fitted(name)
    together = model.predict_with_score(HELD_OUT.images)
    for b in (0, 5, 11):
        for alone, all_ in zip(model.predict_with_score(HELD_OUT.images[b : b + 1]), together, strict=True):
            np.testing.assert_array_equal(alone[0], all_[b])


class Shifted(MeanShape):
    """Starts that move with the picture."""

    def predict_with_score(self, images):
        xy, score = super().predict_with_score(images)
        return xy + self.shift_, score


@pytest.mark.parametrize("name", METHODS)
def test_points_move_with_the_picture(name):
    """By whole pixels exactly, where the frame has the crop's own resolution."""
    p = PROBLEM
    model = METHODS[name]().set_params(start=Shifted(), **({"scales": (1.0,)} if name == "hough" else {}))
    Shifted.shift_ = np.zeros(2, np.float32)
    model.fit(p.images, p.xy, groups=p.groups, flip=p.flip)
    padded = np.pad(HELD_OUT.images, ((0, 0), (12, 12), (12, 12), (0, 0)), mode="edge")
    here = model.predict(padded[:, 12:76, 12:76])
    Shifted.shift_ = np.array([3, -2], np.float32)
    there = model.predict(padded[:, 14:78, 9:73])
    off = np.abs(there - here - [3, -2]).max(axis=(1, 2))
    assert np.median(off) < 0.05, off


@pytest.mark.parametrize("name", METHODS)
def test_mirrored_training_has_no_side(name):
    """Errors have no common direction: half a pixel lost in a mirror image would show here."""
    many = make_problem(100, random_state=2)
    bias = (fitted(name).predict(many.images) - many.xy).mean(axis=(0, 1))
    assert np.abs(bias).max() < 0.3, bias
