"""Public checks that every detector, descriptor and refiner must pass, third parties' too.

``for name, check in detector_checks(MyDetector()): check()`` raises AssertionError where a
promise of :mod:`hybridkp.structures` is broken.  A method that cannot keep one is listed in
:data:`EXCEPTIONS` with its reason; there is no other way around a check.  The problem that the
checks are run on is made here, small enough that a fit takes seconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ..files import load_model, save_model
from ..imaging.geometry import flip_image, rescale
from ..imaging.pyramid import gaussian_pyramid
from ..structures import (
    Array,
    Contributing,
    InputError,
    InputGradients,
    Keypoints,
    Staged,
    Voices,
    supports,
)

Checks = Iterator[tuple[str, Callable[[], None]]]

#: (class name, check) -> the reason why that promise is not kept
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("MeanShape", "beats the mean shape"): "it is the mean shape",
    ("InkRefiner", "improves held-out starts"): "it reads print, and the plate shows none",
}


class Problem(NamedTuple):
    """A tiny landmark problem: five different marks on a wandering, turning, noisy plate."""

    images: Array  # (B, 64, 64, 3) uint8
    xy: Array  # (B, 5, 2)
    groups: Array  # (B,)
    flip: Array  # (5,)


def make_problem(n: int = 40, random_state: int = 0, side: int = 64) -> Problem:
    """Marks: two rings (mirror images of each other), two crosses (likewise), a disc."""
    rng = np.random.default_rng(random_state)
    flip = np.array([1, 0, 3, 2, 4])
    model = np.array([[-12, -9], [12, -9], [-9, 10], [9, 10], [0, 1.5]], float) * side / 64
    xy, images = np.empty((n, 5, 2)), np.empty((n, side, side, 3), np.uint8)
    for b in range(n):
        angle, scale = rng.normal(0, 0.12), rng.uniform(0.85, 1.15)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        xy[b] = model @ turn.T + side / 2 + rng.normal(0, 3 * side / 64, 2) + rng.normal(0, 0.6, (5, 2))
        images[b] = _plate(xy[b], side, rng)
    return Problem(images, xy, np.arange(n) // 2, flip)


def _plate(xy: Array, side: int, rng: np.random.Generator) -> Array:
    fine = 8  # supersampling
    canvas = cv2.resize(rng.uniform(90, 130, (6, 6)).astype(np.float32), (side * fine, side * fine))
    place = [tuple(round(v) for v in rescale(p, fine)) for p in xy]
    unit = fine * side / 64
    for k in (0, 1):
        cv2.circle(canvas, place[k], int(4 * unit), 235.0, -1)
        cv2.circle(canvas, place[k], int(2 * unit), 15.0, -1)
    for k, lean in ((2, 1), (3, -1)):
        x, y = place[k]
        arm = int(4 * unit)
        cv2.line(canvas, (x - arm, y - lean * arm), (x + arm, y + lean * arm), 20.0, int(2 * unit))
        cv2.line(canvas, (x - arm, y), (x + arm, y), 230.0, int(1.5 * unit))
    cv2.circle(canvas, place[4], int(2.5 * unit), 240.0, -1)
    grey = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)
    noisy = grey[..., None] * rng.uniform(0.8, 1.1) + rng.normal(0, 4, (side, side, 3))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _frozen(array: Array) -> Array:
    out = np.array(array)
    out.setflags(write=False)
    return out


@lru_cache
def _usual(n: int, random_state: int) -> Problem:
    """The same for all checks: none may change it."""
    return Problem(*map(_frozen, make_problem(n, random_state)))


# --------------------------------------------------------------------------------------------
# every estimator
# --------------------------------------------------------------------------------------------


def _clones(estimator: Any) -> None:
    params = estimator.get_params(deep=False)
    assert set(vars(estimator)) == set(params), "__init__ must store its parameters and nothing else"
    for name, value in params.items():
        assert vars(estimator)[name] is value, f"__init__ changed the parameter {name}"
    copy = clone(estimator)
    assert type(copy) is type(estimator) and set(copy.get_params()) == set(estimator.get_params())


def _refuses_unknown(estimator: Any) -> None:
    try:
        type(estimator)(**estimator.get_params(deep=False), no_such_parameter=1)
    except TypeError:
        return
    raise AssertionError("an unknown parameter must be a TypeError")


def with_common(estimator: Any, own: Mapping[str, Callable[[], None]]) -> Checks:
    """What every estimator must pass, then its own kind's checks, less those it is excused from."""
    yield "clones", partial(_clones, estimator)
    yield "refuses unknown parameters", partial(_refuses_unknown, estimator)
    for name, check in own.items():
        if (type(estimator).__name__, name) not in EXCEPTIONS:
            yield name, check


# --------------------------------------------------------------------------------------------
# detectors
# --------------------------------------------------------------------------------------------


class _Lazy:
    """One fit shared by all checks of one detector."""

    def __init__(self, detector: Any, problem: Problem):
        self.detector, self.problem = detector, problem
        self._fitted: Any = None
        self.images, self.xy, *_ = _usual(12, 1)

    @property
    def fitted(self) -> Any:
        if self._fitted is None:
            p = self.problem
            self._fitted = clone(self.detector).fit(
                _frozen(p.images), _frozen(p.xy), groups=_frozen(p.groups), flip=_frozen(p.flip)
            )
        return self._fitted


def detector_checks(
    detector: Any, problem: Problem | None = None
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Named checks of the ``Detector`` promise, each a function of no arguments."""
    lazy = _Lazy(detector, problem or _usual(40, 0))
    yield from with_common(detector, {n: partial(check, lazy) for n, check in DETECTOR_CHECKS.items()})


def _unfitted(lazy: _Lazy) -> None:
    try:
        clone(lazy.detector).predict(lazy.images)
    except NotFittedError:
        return
    raise AssertionError("predict before fit must raise NotFittedError")


def _shapes(lazy: _Lazy) -> None:
    xy, score = lazy.fitted.predict_with_score(_frozen(lazy.images))
    assert xy.shape == lazy.xy.shape and xy.dtype == np.float32, (xy.shape, xy.dtype)
    assert score.shape == lazy.xy.shape[:2] and score.dtype == np.float32, (score.shape, score.dtype)
    assert np.isfinite(xy).all() and np.isfinite(score).all()
    assert score.min() >= 0 and score.max() <= 1, (score.min(), score.max())
    np.testing.assert_array_equal(xy, lazy.fitted.predict(lazy.images))


def _rows_alone(lazy: _Lazy) -> None:
    whole, score = lazy.fitted.predict_with_score(lazy.images)
    order = np.random.default_rng(0).permutation(len(whole))
    shuffled, _ = lazy.fitted.predict_with_score(lazy.images[order])
    np.testing.assert_allclose(shuffled, whole[order], atol=2e-3)
    single, single_score = lazy.fitted.predict_with_score(lazy.images[3:4])
    np.testing.assert_allclose(single[0], whole[3], atol=2e-3)
    np.testing.assert_allclose(single_score[0], score[3], atol=1e-3)


def _idempotent(lazy: _Lazy) -> None:
    before = lazy.fitted.predict(lazy.images)
    p = lazy.problem
    again = clone(lazy.detector).fit(p.images, p.xy, groups=p.groups, flip=p.flip)
    np.testing.assert_allclose(again.predict(lazy.images), before, atol=1e-3)


def _doors(lazy: _Lazy) -> None:
    array = lazy.fitted.predict(lazy.images)
    np.testing.assert_array_equal(lazy.fitted.predict(list(lazy.images)), array)
    grey = np.stack([cv2.cvtColor(i, cv2.COLOR_BGR2GRAY) for i in lazy.images])
    assert np.isfinite(lazy.fitted.predict(grey)).all(), "grey crops must be accepted"


def _blank(lazy: _Lazy) -> None:
    for value in (0, 128, 255):
        xy, score = lazy.fitted.predict_with_score(np.full_like(lazy.images[:1], value))
        assert np.isfinite(xy).all() and np.isfinite(score).all(), "a blank picture must give numbers"


def _refuses_bad_crops(lazy: _Lazy) -> None:
    for bad in (lazy.images[:0], lazy.images[:, :40], lazy.images[0].astype(np.float32) * np.nan):
        try:
            lazy.fitted.predict(bad if bad.ndim == 4 else bad[None])
        except InputError:
            continue
        raise AssertionError("an empty batch, another crop size and NaN pixels must be InputErrors")


def _saves(lazy: _Lazy) -> None:
    before, score = lazy.fitted.predict_with_score(lazy.images)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.hkp"
        save_model(lazy.fitted, path)
        loaded = load_model(path)
    after, score_after = loaded.predict_with_score(lazy.images)
    np.testing.assert_allclose(after, before, atol=1e-4)
    np.testing.assert_allclose(score_after, score, atol=1e-4)


def _missing_points_and_one_landmark(lazy: _Lazy) -> None:
    p = lazy.problem
    xy = p.xy.copy()
    xy[::3, 0] = np.nan
    xy[1::5] = np.nan  # pictures without any point
    model = clone(lazy.detector).fit(p.images, xy, groups=p.groups, flip=p.flip)
    assert np.isfinite(model.predict(lazy.images)).all(), "points missing in training"
    one = clone(lazy.detector).fit(p.images, xy[:, :1], groups=p.groups)
    assert one.predict(lazy.images).shape == (len(lazy.images), 1, 2), "K = 1"


def _beats_mean_shape(lazy: _Lazy) -> None:
    floor = np.linalg.norm(np.nanmean(lazy.problem.xy, axis=0) - lazy.xy, axis=-1).mean()
    error = np.linalg.norm(lazy.fitted.predict(lazy.images) - lazy.xy, axis=-1).mean()
    assert error < 0.9 * floor, f"mean error {error:.2f} px, the mean shape has {floor:.2f}"


def _explains_itself(lazy: _Lazy) -> None:
    """Of the promises that the room ``explain`` asks for, those that the detector makes."""
    model, images = lazy.fitted, lazy.images[:2]
    if supports(model, Staged):
        last = model.stages(images)[-1].xy
        np.testing.assert_allclose(last, model.predict(images), atol=1e-4, err_msg="the last stage")
    if supports(model, Voices):
        total = np.sum([voice.weight for voice in model.voices(images)], axis=0)
        np.testing.assert_allclose(total, 1, atol=1e-5, err_msg="weights must sum to 1")
    if supports(model, Contributing):
        found = model.contributions(images[0], 0)
        assert found.xy.shape == (len(found.value), 2) and np.isfinite(found.total)
    if supports(model, InputGradients):
        assert model.input_gradients(images, 0).shape == images.shape[:3]


DETECTOR_CHECKS: dict[str, Callable[[_Lazy], None]] = {
    "says that it is not fitted": _unfitted,
    "shapes, dtypes and ranges": _shapes,
    "each picture for itself": _rows_alone,
    "same seed, same result": _idempotent,
    "arrays, lists, grey": _doors,
    "blank pictures": _blank,
    "refuses bad crops": _refuses_bad_crops,
    "saves and loads": _saves,
    "missing points, one landmark": _missing_points_and_one_landmark,
    "beats the mean shape": _beats_mean_shape,
    "explains itself": _explains_itself,
}


# --------------------------------------------------------------------------------------------
# refiners
# --------------------------------------------------------------------------------------------


def refiner_checks(refiner: Any, problem: Problem | None = None) -> Checks:
    """Named checks of the ``Refiner`` promise."""
    p = problem or _usual(40, 0)
    rng = np.random.default_rng(0)
    start = p.xy + rng.normal(0, 1.5, p.xy.shape)
    held = _usual(12, 1)
    held_start = held.xy + rng.normal(0, 1.5, held.xy.shape)
    cache: list[Any] = []

    def fitted() -> Any:
        if not cache:
            cache.append(
                clone(refiner).fit(
                    _frozen(p.images), _frozen(p.xy), _frozen(start), groups=p.groups, flip=p.flip
                )
            )
        return cache[0]

    def improves() -> None:
        xy, score = fitted().refine(_frozen(held.images), _frozen(held_start))
        assert xy.shape == held.xy.shape and score.shape == held.xy.shape[:2]
        assert np.isfinite(xy).all() and score.min() >= 0 and score.max() <= 1
        before = np.linalg.norm(held_start - held.xy, axis=-1).mean()
        after = np.linalg.norm(xy - held.xy, axis=-1).mean()
        assert after < 0.9 * before, f"{before:.2f} px before, {after:.2f} px after"

    def rows_alone() -> None:
        whole, _ = fitted().refine(held.images, held_start)
        single, _ = fitted().refine(held.images[5:6], held_start[5:6])
        np.testing.assert_allclose(single[0], whole[5], atol=2e-3)

    def keeps_missing() -> None:
        broken = held_start.copy()
        broken[2, 1] = np.nan
        xy, _ = fitted().refine(held.images, broken)
        assert np.isnan(xy[2, 1]).all() and np.isfinite(np.delete(xy, 2, 0)).all()

    def saves() -> None:
        before, _ = fitted().refine(held.images, held_start)
        with tempfile.TemporaryDirectory() as folder:
            save_model(fitted(), Path(folder) / "refiner.hkp")
            loaded = load_model(Path(folder) / "refiner.hkp")
        np.testing.assert_allclose(loaded.refine(held.images, held_start)[0], before, atol=1e-4)

    own = {
        "improves held-out starts": improves,
        "each picture for itself": rows_alone,
        "a missing start stays missing": keeps_missing,
        "saves and loads": saves,
    }
    yield from with_common(refiner, own)


# --------------------------------------------------------------------------------------------
# descriptors
# --------------------------------------------------------------------------------------------


def _scene(side: int) -> Array:
    rng = np.random.default_rng(0)
    coarse = cv2.resize(
        rng.uniform(0, 255, (side // 8, side // 8)).astype(np.float32), (side, side), interpolation=3
    )
    fine = cv2.GaussianBlur(rng.uniform(0, 255, (side, side)).astype(np.float32), (0, 0), 1.2)
    return np.clip(0.6 * coarse + 0.4 * fine, 0, 255).astype(np.uint8)


def descriptor_checks(descriptor: Any) -> Checks:
    """Named checks of the ``Descriptor`` promise."""
    side = 256  # so that windows of the third level, too, see little of the border from the middle
    scene, last = _scene(side), side - 1
    rng = np.random.default_rng(1)
    inside = (side / 2 + rng.uniform(-12, 12, (17, 2))).astype(np.float32)
    border = np.array([[0, 0], [last, 0], [0, last], [last, last], [-7, 40], [40, side + 30]], np.float32)

    def rows(image: Array, xy: Array) -> Array:
        points = Keypoints(xy, size=np.full(len(xy), 16.0), angle=np.zeros(len(xy)))
        return descriptor.describe(gaussian_pyramid(image), points)

    def shapes() -> None:
        out = rows(scene, np.concatenate([inside, border]))
        assert out.shape == (len(inside) + len(border), descriptor.n_features), out.shape
        assert out.dtype == np.float32 and np.isfinite(out).all()
        assert rows(scene, inside[:0]).shape == (0, descriptor.n_features), "no points, no rows"

    def aligned() -> None:
        xy = np.concatenate([inside, border])
        order = rng.permutation(len(xy))
        np.testing.assert_allclose(rows(scene, xy[order]), rows(scene, xy)[order], atol=1e-4)
        np.testing.assert_allclose(rows(scene, xy[4:5]), rows(scene, xy)[4:5], atol=1e-4)

    def blank() -> None:
        assert np.isfinite(rows(np.full_like(scene, 77), inside)).all()

    def equivariant() -> None:
        moved = cv2.warpAffine(scene, np.array([[1, 0, 4], [0, 1, 8.0]]), scene.shape[::-1], borderMode=1)
        here, there = rows(scene, np.rint(inside)), rows(moved, np.rint(inside) + np.array([4, 8]))
        scale = np.linalg.norm(here, axis=1).mean()
        np.testing.assert_allclose(there / scale, here / scale, atol=0.02)

    def sees_half_a_pixel() -> None:
        here, there = rows(scene, inside), rows(scene, inside + 0.5)
        far = np.linalg.norm(here - there, axis=1) / np.linalg.norm(here, axis=1).mean()
        assert np.median(far) > 0.01, "a half-pixel shift changed nothing"

    def mirror_differs() -> None:
        assert not np.allclose(rows(scene, inside), rows(flip_image(scene), inside), atol=1e-3)

    own = {
        "shapes": shapes,
        "row i is keypoint i": aligned,
        "blank pictures": blank,
        "moves with the picture": equivariant,
        "sees half a pixel": sees_half_a_pixel,
        "sees the picture": mirror_differs,
    }
    yield from with_common(descriptor, own)
