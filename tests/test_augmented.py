"""Changed copies of the training crops: points go where their pixels go, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from hybridkp import recipes, runtime
from hybridkp.checks import make_problem
from hybridkp.files import load_model, save_model
from hybridkp.landmarks import Augmented, HolisticRegressor
from hybridkp.memory import budget
from hybridkp.structures import DataWarning, DetectorMixin, InputError

SIDE, COPIES = 48, 6


class Recorder(DetectorMixin, BaseEstimator):
    """Keeps what it is fitted on."""

    def fit(self, images: Any, xy: Any, *, groups: Any = None, flip: Any = None) -> Recorder:
        self.seen_ = np.asarray(images), np.asarray(xy), groups, flip
        return self


def blobs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Crops (n, 48, 48) with one soft spot each, and its middle (n, 1, 2)."""
    xy = np.random.default_rng(0).uniform(17, 30, (n, 1, 2))
    grid = np.arange(SIDE)
    far = (grid - xy[:, :, :1]) ** 2, (grid - xy[:, :, 1:]) ** 2
    spot = np.exp(-(far[1][:, 0, :, None] + far[0][:, 0, None, :]) / (2 * 2.5**2))
    return np.rint(250 * spot).astype(np.uint8), xy


def middles(images: np.ndarray) -> np.ndarray:
    weight = images.astype(float) / images.sum((1, 2), keepdims=True)
    x, y = weight.sum(1) @ np.arange(SIDE), weight.sum(2) @ np.arange(SIDE)
    return np.stack([x, y], 1)[:, None]


@pytest.mark.parametrize("changes", [{}, {"turns": 180.0}, {"rotation": 0.0, "shift": 0.0, "scale": 0.2}])
def test_points_go_where_their_pixels_go(changes: dict[str, float]) -> None:
    images, xy = blobs(20)
    seen, points, groups, _ = Augmented(Recorder(), copies=COPIES, **changes).fit(images, xy).detector_.seen_
    assert len(seen) == len(points) == len(groups) == (COPIES + 1) * 20
    np.testing.assert_array_equal(seen[:20], images)
    np.testing.assert_array_equal(points[:20], xy)
    np.testing.assert_allclose(middles(seen), points, atol=0.1)
    assert np.linalg.norm(points.reshape(-1, 20, 2) - xy[:, 0], axis=2)[1:].mean() > 0.5


def test_copies_stay_in_the_group_of_their_crop() -> None:
    images, xy = blobs(4)
    flip = np.array([0])
    _, _, groups, told = (
        Augmented(Recorder(), copies=2).fit(images, xy, groups=list("aabc"), flip=flip).detector_.seen_
    )
    assert "".join(groups) == "aabc" * 3 and told is flip
    alone = Augmented(Recorder(), copies=1).fit(images, xy).detector_.seen_[2]
    assert alone.tolist() == [0, 1, 2, 3] * 2, "without groups, each crop is one"


def test_a_point_that_is_not_labelled_stays_so() -> None:
    images, xy = blobs(3)
    xy[1] = np.nan
    points = Augmented(Recorder(), copies=2).fit(images, xy).detector_.seen_[1]
    assert np.isnan(points[1::3]).all() and np.isfinite(points[[0, 2, 3, 5, 6, 8]]).all()


def test_what_it_says_is_the_detectors_own_in_every_file(tmp_path) -> None:
    images, xy, groups, flip = make_problem(30)
    model = Augmented(HolisticRegressor(), copies=1).fit(images, xy, groups=groups, flip=flip)
    expected = model.detector_.predict(images)
    np.testing.assert_array_equal(model.predict(images), expected)
    save_model(model, tmp_path / "m.hkp")
    np.testing.assert_array_equal(load_model(tmp_path / "m.hkp").predict(images), expected)
    runtime.export_runtime(model, tmp_path / "m.hkr", {"margin": 1.0})
    np.testing.assert_allclose(runtime.load(tmp_path / "m.hkr").predict_all(images).xy, expected, atol=1e-3)
    plain = HolisticRegressor().fit(images, xy, groups=groups, flip=flip).predict(images)
    assert np.abs(plain - expected).max() > 0.05, "the copies were learned from"


def test_no_more_copies_than_fit_into_memory(monkeypatch) -> None:
    images, xy = blobs(10)
    monkeypatch.setattr(budget, "ROW_BYTES", 35 * SIDE**2)
    with pytest.warns(DataWarning, match="2 of 6 copies of 10 crops"):
        model = Augmented(Recorder(), copies=6).fit(images, xy)
    assert len(model.detector_.seen_[0]) == 30


@pytest.mark.parametrize("wrong", [{"copies": -1}, {"rotation": float("nan")}, {"turns": -5.0}])
def test_a_bad_amount_is_an_error(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="augment: copies"):
        Augmented(Recorder(), **wrong).fit(*blobs(2))


def test_the_grammar_knows_it() -> None:
    made = recipes.make_method("hog+ridge:augment[copies=3,turns=180]")
    assert isinstance(made, Augmented) and (made.copies, made.turns) == (3, 180)
    assert not hasattr(made, "score_maps") and hasattr(recipes.make_method("heatmap:augment"), "score_maps")
