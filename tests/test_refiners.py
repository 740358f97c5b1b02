"""The classical refiner, the convolutional refiner, and Refined around a detector."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone

from hybridkp.fusion.refined import Refined
from hybridkp.landmarks.refiner import SubpixelRefiner
from hybridkp.structures import DetectorMixin, InputError


def crosses(n: int, size_hw=(64, 64), k: int = 3, seed: int = 0):
    """Grey pictures with k textured spots at exact sub-pixel places, on a slope of light."""
    rng = np.random.default_rng(seed)
    h, w = size_hw
    xy = np.linspace(0.3, 0.7, k)[None, :, None] * (w, h) + rng.uniform(-3, 3, (n, k, 2))
    y, x = np.mgrid[:h, :w]
    dx, dy = x - xy[..., 0, None, None], y - xy[..., 1, None, None]
    spots = (np.exp(-(dx**2 + dy**2) / 18) * np.cos(dx + 0.5 * dy)).sum(1) * 90
    light = 60 + 60 * x / w * rng.uniform(0.5, 1.5, (n, 1, 1))
    return np.clip(spots + light + rng.normal(0, 2, (n, h, w)), 0, 255).astype(np.uint8), xy


def perturbed(xy, seed: int = 1, reach: float = 2.0):
    return xy + np.random.default_rng(seed).uniform(-reach, reach, xy.shape)


def error(found, xy):
    return np.nanmean(np.linalg.norm(found - xy, axis=-1))


class Wobbly(DetectorMixin, BaseEstimator):
    """Says the mean shape, and remembers how many pictures each clone was fitted on."""

    sizes = []  # noqa: RUF012

    def fit(self, images, xy, *, groups=None, flip=None):
        self.mean_ = np.nanmean(xy, 0).astype(np.float32)
        self.sizes.append(len(images))
        return self

    def predict_with_score(self, images):
        xy = np.repeat(self.mean_[None], len(images), 0)
        return xy, np.ones(xy.shape[:2], np.float32)


def test_subpixel_refiner_halves_a_two_pixel_error():
    pictures, xy = crosses(60)
    fitted = SubpixelRefiner(patch=9, spacing=3.0).fit(pictures, xy, perturbed(xy))
    fresh, truth = crosses(20, seed=5)
    start = perturbed(truth, 6)
    found, score = fitted.refine(fresh, start)
    assert error(found, truth) < 0.25 < 0.3 * error(start, truth)
    assert found.dtype == score.dtype == np.float32 and ((score >= 0) & (score <= 1)).all()
    one, _ = fitted.refine(fresh[7:8], start[7:8])
    np.testing.assert_allclose(one[0], found[7], atol=1e-4)


def test_subpixel_refiner_with_gaps_blanks_and_little_data():
    pictures, xy = crosses(12)
    xy[:9, 1] = np.nan
    start = perturbed(np.nan_to_num(xy, nan=30.0))
    start[3, 2] = np.nan
    pictures.flags.writeable = start.flags.writeable = xy.flags.writeable = False
    fitted = SubpixelRefiner(patch=5).fit(pictures, xy, start, groups=np.arange(12) // 2)
    for images in (pictures, np.zeros_like(pictures)):
        found, score = fitted.refine(images, start)
        assert np.isnan(found[3, 2]).all() and score[3, 2] == 0
        assert np.isfinite(found).sum() == found.size - 2
    again = clone(fitted).fit(pictures, xy, start, groups=np.arange(12) // 2)
    assert np.array_equal(again.refine(pictures, start)[0], fitted.refine(pictures, start)[0], equal_nan=True)
    two = SubpixelRefiner(patch=5).fit(pictures[-2:], xy[-2:, :1], start[-2:, :1])
    assert two.refine(pictures[-2:], start[-2:, :1])[0].shape == (2, 1, 2)
    with pytest.raises(InputError, match="start"):
        fitted.refine(pictures, start[:, :2])


def test_a_stage_that_does_not_help_leaves_points_alone():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (20, 32, 32)).astype(np.uint8)  # nothing to see
    truth = rng.uniform(10, 20, (20, 1, 2))
    start = truth + rng.normal(0, 0.3, truth.shape)
    found, _ = SubpixelRefiner(patch=5).fit(pictures, truth, start).refine(pictures, start)
    assert error(found, truth) <= error(start, truth) * 1.3


def test_refined_learns_from_out_of_fold_starts():
    pictures, xy = crosses(30)
    Wobbly.sizes.clear()
    refined = Refined(Wobbly(), SubpixelRefiner(spacing=3.0), cv=3).fit(
        pictures, xy, groups=np.arange(30) // 2
    )
    assert sorted(Wobbly.sizes) == [20, 20, 20, 30]
    fresh, truth = crosses(10, seed=3)
    plain = Wobbly().fit(pictures, xy).predict(fresh)
    assert error(refined.predict(fresh), truth) < 0.5 * error(plain, truth)
    with pytest.raises(InputError, match="groups"):
        Refined(Wobbly(), SubpixelRefiner()).fit(pictures, xy, groups=np.zeros(30))


# ------------------------------------------------------------------ convolutional


def small_cnn(**more):
    pytest.importorskip("torch")
    from hybridkp.deep import CNNRefiner

    tiny = {"max_epochs": 2, "epoch_pictures": 16, "batch_size": 8, "device": "cpu"}
    tiny = {"input_px": 64} | {f"schedule__{name}": value for name, value in tiny.items()}
    return CNNRefiner().set_params(**tiny | more)


def test_cnn_refiner_learns():
    pictures, xy = crosses(24)
    start = perturbed(xy)
    fitted = small_cnn(
        schedule__max_epochs=6,
        schedule__epoch_pictures=64,
        schedule__learning_rate=5e-3,
        n_steps=1,
        patch_px=12,
    )
    found, _ = fitted.fit(pictures, xy, start, groups=np.zeros(24)).refine(pictures, start)
    assert error(found, xy) < 0.7 * error(start, xy)
    assert len(fitted.history_["loss"]) == 6


def test_cnn_refiner_state_gaps_and_batches():
    pictures, xy = crosses(10)
    xy[:5, 1] = np.nan
    start = perturbed(np.nan_to_num(xy, nan=30.0))
    start[0, 0] = np.nan
    pictures.flags.writeable = start.flags.writeable = xy.flags.writeable = False
    flip = np.array([2, 1, 0])
    fitted = small_cnn().fit(pictures, xy, start, flip=flip)
    found, score = fitted.refine(pictures, start)
    assert found.shape == (10, 3, 2) and ((score >= 0) & (score <= 1)).all()
    assert np.isnan(found[0, 0]).all() and np.isfinite(found).sum() == found.size - 2
    again = small_cnn().fit(pictures, xy, start, flip=flip)
    assert np.array_equal(again.refine(pictures, start)[0], found, equal_nan=True)
    copy = small_cnn()
    copy.set_state(fitted.get_state())
    assert np.array_equal(copy.refine(pictures, start)[0], found, equal_nan=True)
    np.testing.assert_allclose(fitted.refine(pictures[4:5], start[4:5])[0][0], found[4], atol=1e-3)
    assert np.isfinite(fitted.refine(np.zeros_like(pictures), xy[:, [0, 0, 2]])[0]).all()
    with pytest.raises(InputError, match="start"):
        fitted.refine(pictures, start[:, :2])
    two = small_cnn(schedule__max_epochs=1).fit(pictures[-2:], xy[-2:, :1], start[-2:, :1])
    assert two.refine(pictures[-2:], start[-2:, :1])[0].shape == (2, 1, 2)


def test_cnn_refiner_budget_and_patches():
    torch = pytest.importorskip("torch")
    from hybridkp.deep.devices import n_parameters
    from hybridkp.deep.refine import RefineModule, patches

    for k in (1, 17, 68, 133):
        assert n_parameters(RefineModule(k, 128, 16, 2)) <= 250_000
    x = torch.arange(64.0).expand(1, 1, 64, 64)  # grey value = x
    at = torch.tensor([[[30.25, 20.0]]])
    fine, coarse = patches(x, at, 8)[0, 0]
    assert abs(float(fine.mean()) - 30.25) < 1e-4
    assert abs(float(coarse.mean()) - 30.25) < 1e-4  # both levels are centred on the point
    assert abs(float(coarse[0, 1] - coarse[0, 0]) - 2) < 1e-4
