"""Several looks at a crop: laid back where they belong, weighed alike, refused where they make no sense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from hybridkp import checks, fusion, recipes
from hybridkp.imaging import looks as module
from hybridkp.imaging.geometry import apply_affine, resize_points
from hybridkp.imaging.looks import laid_back, looks, mean_maps
from hybridkp.runtime import nodes
from hybridkp.structures import DetectorMixin, InputError

STRIDE, SIZE = 4, (64, 96)  # crop px per map px; height and width of the crop


def hill(xy: Any, size_hw: tuple[int, int] = SIZE) -> np.ndarray:
    """(..., h, w) maps of sum 1 around points (..., 2) in crop px."""
    x, y = np.moveaxis(resize_points(xy, 1 / STRIDE), -1, 0)
    h, w = (side // STRIDE for side in size_hw)
    over_x = np.exp(-((np.arange(w) - x[..., None]) ** 2) / 2)
    over_y = np.exp(-((np.arange(h) - y[..., None]) ** 2) / 2)
    maps = over_y[..., :, None] * over_x[..., None, :]
    return maps / maps.sum((-2, -1), keepdims=True)


def centre(maps: np.ndarray) -> np.ndarray:
    """(..., 2) crop px, the mean of maps."""
    y, x = np.indices(maps.shape[-2:])
    mass = maps.sum((-2, -1))
    return resize_points(
        np.stack([(maps * x).sum((-2, -1)) / mass, (maps * y).sum((-2, -1)) / mass], -1), STRIDE
    )


@pytest.mark.parametrize(("turns", "sizes"), [((20.0,), ()), ((), (0.8,)), ((), (1.2,)), ((-35.0,), (0.9,))])
def test_what_a_look_shows_is_laid_back_where_it_is(turns: Any, sizes: Any) -> None:
    xy = np.array([[40.0, 30.0], [55.5, 38.0]])
    for matrix in looks(turns, sizes, SIZE):
        back = laid_back(hill(apply_affine(matrix, xy)), matrix, STRIDE)
        np.testing.assert_allclose(centre(back), xy, atol=0.25)  # of 4 px a map px
        np.testing.assert_allclose(back.sum((-2, -1)), 1, atol=0.1)


def test_the_first_look_is_the_crop_and_what_lies_beyond_a_look_says_nothing() -> None:
    maps = np.random.default_rng(0).random((3, 16, 24))
    plain, large = looks((), (2.0,), SIZE)
    np.testing.assert_allclose(laid_back(maps, plain, STRIDE), maps, atol=1e-9)
    back = laid_back(np.ones((16, 24)), large, STRIDE)  # it shows the middle half of the crop
    assert (back[:3] == 0).all() and (back[6:10, 8:16] == 4).all()
    flat = mean_maps(lambda matrix: maps, np.stack([plain, plain]), STRIDE)
    np.testing.assert_allclose(flat, maps / maps.sum((1, 2), keepdims=True), atol=1e-9)


def test_where_a_look_is_laid_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[Any] = []
    monkeypatch.setattr(module, "apply_affine", lambda *args: moved.append(args) or apply_affine(*args))
    matrices = looks((7.25,), (1.125,), SIZE)
    maps = np.random.default_rng(0).random((2, 3, 15, 23))  # of a size that no other test has
    first, _, again = (mean_maps(lambda _, each=maps[n]: each, matrices, STRIDE) for n in (0, 1, 0))
    np.testing.assert_array_equal(first, again)
    assert len(moved) == len(matrices), "of three crops, each look once"
    laid_back(maps[..., :20], matrices[1], STRIDE)
    laid_back(maps, matrices[1], STRIDE + 1)
    assert len(moved) == len(matrices) + 2, "another size, another stride"
    large = np.ones((1, 257, 256))
    for _ in range(2):
        laid_back(large, matrices[1], STRIDE)
    assert len(moved) == len(matrices) + 4, "too large to be remembered"


class Sees(DetectorMixin, BaseEstimator):
    """Finds the one light pixel; was never taught its first four rows."""

    def fit(self, images: Any, xy: Any, *, groups: Any = None, flip: Any = None) -> Sees:
        self.size_hw_ = np.asarray(images).shape[1:3]
        return self

    def held_out(self, n: int, groups: Any = None) -> np.ndarray:
        return np.arange(4)

    def score_maps(self, images: Any, stride: int = 4) -> np.ndarray:
        light = np.asarray(images)[..., 0].astype(float)
        y, x = np.indices(light.shape[1:])
        mass = light.sum((1, 2)) + 1e-9
        xy = np.stack([(light * x).sum((1, 2)) / mass, (light * y).sum((1, 2)) / mass], -1)
        return hill(xy, self.size_hw_)[:, None].astype(np.float32)

    def predict_with_score(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((len(images), 1, 2), np.float32), np.zeros((len(images), 1), np.float32)


def lights(n: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    xy = np.stack([rng.integers(30, 66, n), rng.integers(20, 44, n)], -1)
    images = np.zeros((n, *SIZE, 3), np.uint8)
    for (x, y), image in zip(xy, images, strict=True):
        image[y - 1 : y + 2, x - 1 : x + 2] = 200
    return images, xy[:, None].astype(float)


def test_points_are_those_of_all_looks_together() -> None:
    images, xy = lights()
    model = fusion.SeveralLooks(Sees()).fit(images, xy)
    found, score = model.predict_with_score(images)
    assert np.abs(found - xy).max() < 0.3
    assert score.shape == (12, 1) and score.min() > 0.5, "calibrated on what the detector kept out"
    assert model.score_maps(images).shape == (12, 1, 16, 24)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"turns": (float("nan"),)}, "turns"),
        ({"turns": (1.0,) * 64}, "at most 64"),
        ({"sizes": (0.0,)}, "sizes"),
        ({"stride": 0}, "stride"),
    ],
)
def test_senseless_parameters_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        fusion.SeveralLooks(Sees(), **options).fit(*lights())


def test_what_keeps_no_groups_out_is_refused() -> None:
    from hybridkp.landmarks import MeanShape

    with pytest.raises(InputError, match="MeanShape gives no score maps"):
        fusion.SeveralLooks(MeanShape()).fit(*lights())
    with pytest.raises(InputError, match="'looks' needs score maps and groups kept out of its training"):
        recipes.make_method("hog+svm:looks")


@pytest.mark.usefixtures("one_torch_thread")
@pytest.mark.parametrize("behind", ["", ":tree[cv=0,guard=false]"])
def test_exported_it_answers_alike_and_one_graph_is_refused(behind: str, tmp_path: Any) -> None:
    pytest.importorskip("torch")
    from hybridkp import runtime

    p = checks.make_problem(24)
    net = "heatmap[input_px=48,max_epochs=2,epoch_pictures=32]:flip:looks[turns=-15,sizes=0.9]"
    model = recipes.make_method(net + behind).fit(p.images, p.xy, groups=p.groups, flip=p.flip)
    found = runtime.load(runtime.export_runtime(model, tmp_path / "m.hkr")).predict_with_score(p.images)
    for ours, theirs in zip(model.predict_with_score(p.images), found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
    with pytest.raises(InputError, match=r"looks \(fusion\).*no ONNX form"):
        runtime.export_onnx(model, tmp_path / "m.onnx")


@pytest.mark.parametrize("wrong", [np.zeros((0, 2, 3)), np.zeros((65, 2, 3)), np.full((1, 2, 3), np.nan)])
def test_looks_of_a_file_that_make_no_sense_are_refused(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "open_graph", lambda *about: lambda *values: [])
    node = {
        "kind": "fusion.looks",
        "graph": b"",
        "channels": 1,
        "stride": 4,
        "calibration": np.array([1.0, 0.0]),
    }
    nodes.build({**node, "looks": looks((), (), SIZE)}, "auto")
    with pytest.raises(ValueError, match=r"looks|NaN"):
        nodes.build({**node, "looks": wrong}, "auto")
