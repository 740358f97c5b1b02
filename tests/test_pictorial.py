"""A tree of landmarks over score maps: exact messages, what it repairs, and when it stays away."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from hybridkp import checks, fusion
from hybridkp.fusion.nodes.pictorial import LEAST, Tree, marginals, read_mode
from hybridkp.fusion.pictorial import _density, spanning_tree
from hybridkp.runtime import nodes
from hybridkp.structures import DetectorMixin, InputError


def gaussians(xy: Any, size_hw: tuple[int, int], sigma: float = 1.0) -> np.ndarray:
    """(..., h, w) maps that sum to 1, around points (..., 2) in map px."""
    xy = np.asarray(xy, float)
    x, y = xy[..., :1], xy[..., 1:]
    over_x = np.exp(-((np.arange(size_hw[1]) - x) ** 2) / (2 * sigma**2))
    over_y = np.exp(-((np.arange(size_hw[0]) - y) ** 2) / (2 * sigma**2))
    maps = over_y[..., :, None] * over_x[..., None, :]
    return maps / maps.sum((-2, -1), keepdims=True)


# --------------------------------------------------------------------------------------------
# messages
# --------------------------------------------------------------------------------------------


def test_messages_give_the_marginals_of_all_configurations() -> None:
    rng = np.random.default_rng(0)
    h, w, trust = 3, 4, 1.5
    maps = rng.random((2, 4, h, w))
    maps /= maps.sum((2, 3), keepdims=True)
    parent = np.array([2, 0, -1, 2])
    kernel = rng.random((4, 2 * h, 2 * w))
    found = marginals(maps, Tree.of(parent, kernel), trust)
    places = list(itertools.product(range(h), range(w)))
    for b in range(2):
        wanted = np.zeros((4, h, w))
        for chosen in itertools.product(places, repeat=4):
            weight = np.prod([(maps[b, k][chosen[k]] + LEAST) ** trust for k in range(4)])
            for k in (0, 1, 3):
                (y, x), (py, px) = chosen[k], chosen[parent[k]]
                weight *= kernel[k][(y - py) % (2 * h), (x - px) % (2 * w)]
            for k in range(4):
                wanted[k][chosen[k]] += weight
        np.testing.assert_allclose(found[b], wanted / wanted.sum((1, 2), keepdims=True), rtol=1e-6)


def test_reading_at_the_mode_is_that_of_the_network() -> None:
    torch = pytest.importorskip("torch")
    from hybridkp.deep.codec import decode_mode

    rng = np.random.default_rng(1)
    maps = gaussians(rng.uniform(3, 12, (5, 4, 2)), (16, 20)) + 0.7 * gaussians(
        rng.uniform(3, 12, (5, 4, 2)), (16, 20)
    )
    maps /= maps.sum((2, 3), keepdims=True)
    found, mass = read_mode(maps)
    np.testing.assert_allclose(found, decode_mode(torch.from_numpy(maps).float())[0].numpy(), atol=1e-4)
    assert (mass > 0).all() and (mass < 1).all()


def test_a_density_is_one_and_sits_where_the_offsets_are() -> None:
    offset = np.array([[3.0, -2.0], [3.0, -2.0], [np.nan, 0.0]])
    kernel = _density(offset, (8, 8), 1.0, 0.1)
    assert kernel.sum() == pytest.approx(1)
    assert np.unravel_index(kernel.argmax(), kernel.shape) == (14, 3)  # -2 and 3, modulo 16
    even = _density(np.full((2, 2), np.nan), (8, 8), 1.0, 0.1)
    assert np.ptp(even) == 0 and even.sum() == pytest.approx(1)


def test_the_tree_joins_what_moves_together() -> None:
    rng = np.random.default_rng(2)
    body = rng.normal(0, 10, (200, 1, 2))
    arm = body + rng.normal(0, 3, (200, 1, 2))
    hand = arm + rng.normal(0, 1, (200, 1, 2))
    foot = body + rng.normal(0, 4, (200, 1, 2))
    parent = spanning_tree(np.concatenate([hand, body, foot, arm], axis=1))
    edges = {frozenset((k, int(p))) for k, p in enumerate(parent) if p >= 0}
    assert edges == {frozenset((0, 3)), frozenset((1, 3)), frozenset((1, 2))}
    assert spanning_tree(rng.normal(0, 1, (5, 1, 2))).tolist() == [-1]
    apart = rng.normal(0, 1, (6, 2, 2))
    apart[:3, 0], apart[3:, 1] = np.nan, np.nan  # never labelled together
    assert sorted(spanning_tree(apart).tolist()) == [-1, 0] or sorted(spanning_tree(apart).tolist()) == [
        -1,
        1,
    ]


@pytest.mark.parametrize("parent", [[1, 0], [-1, -1], [-1, 2, 1], [-1, 5]])
def test_parents_that_are_no_tree_are_refused(parent: list[int]) -> None:
    with pytest.raises(ValueError, match="tree"):
        Tree.of(np.array(parent), np.zeros((len(parent), 8, 8)))


# --------------------------------------------------------------------------------------------
# the estimator
# --------------------------------------------------------------------------------------------


class TwoMinded(DetectorMixin, BaseEstimator):
    """Knows the first landmark; gives the second one two peaks, the wrong one a little higher.

    The truth is written into the first pixels of a crop.
    """

    def __init__(self, wrong: float = 0.55):
        self.wrong = wrong

    def fit(self, images: Any, xy: Any, *, groups: Any = None, flip: Any = None) -> TwoMinded:
        self.size_hw_ = np.asarray(images).shape[1:3]
        return self

    def score_maps(self, images: Any, stride: int = 4) -> np.ndarray:
        h, w = (int(side) // stride for side in self.size_hw_)
        truth = (np.asarray(images)[:, 0, :4, 0].astype(float).reshape(-1, 2, 2) + 0.5) / stride - 0.5
        maps = gaussians(truth, (h, w), 0.8)
        ghost = gaussians(2 * truth[:, 0] - truth[:, 1], (h, w), 0.8)  # opposite the second
        maps[:, 1] = self.wrong * ghost + (1 - self.wrong) * maps[:, 1]
        return (maps / maps.sum((2, 3), keepdims=True)).astype(np.float32)

    def predict_with_score(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
        xy, mass = read_mode(self.score_maps(images).astype(float))
        return ((xy + 0.5) * 4 - 0.5).astype(np.float32), mass.astype(np.float32)


def arms(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Crops (n, 64, 64, 3): the second landmark lies some 16 px to the right of the first."""
    rng = np.random.default_rng(seed)
    first = rng.integers(24, 40, (n, 2))
    xy = np.stack([first, first + [16, 0] + rng.integers(-2, 3, (n, 2))], axis=1)
    images = np.zeros((n, 64, 64, 3), np.uint8)
    images[:, 0, :4, 0] = xy.reshape(n, 4)
    return images, xy.astype(float)


def test_the_tree_chooses_the_peak_that_fits_the_neighbour() -> None:
    model = fusion.PictorialStructure(TwoMinded()).fit(*arms(60))
    images, xy = arms(30, seed=1)
    alone = np.linalg.norm(model.detector_.predict(images) - xy, axis=-1)[:, 1]
    found, score = model.predict_with_score(images)
    error = np.linalg.norm(found - xy, axis=-1)
    assert np.median(alone) > 15 and error.max() < 1.0
    assert not np.isnan(model.power_) and score.min() > 0.5
    maps = model.score_maps(images)
    assert maps.shape == (30, 2, 16, 16)
    np.testing.assert_allclose(maps.sum((2, 3)), 1, rtol=1e-5)
    with pytest.raises(InputError, match="stride 4, asked for 2"):
        model.score_maps(images, stride=2)


def test_where_the_tree_does_not_pay_the_detectors_answers_stay() -> None:
    images, xy = arms(60)
    model = fusion.PictorialStructure(TwoMinded(wrong=0.0)).fit(images, xy)
    assert np.isnan(model.power_)
    for ours, theirs in zip(
        model.predict_with_score(images), model.detector_.predict_with_score(images), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    forced = fusion.PictorialStructure(TwoMinded(wrong=0.0), guard=False).fit(images, xy)
    assert not np.isnan(forced.power_)


def test_its_own_answers_out_of_fold_are_those_of_its_choice() -> None:
    images, xy = arms(60)
    found, score = fusion.PictorialStructure(TwoMinded()).predict_out_of_fold(images, xy)
    assert np.linalg.norm(found - xy, axis=-1).max() < 1.0 and score.shape == (60, 2)
    kept, _ = fusion.PictorialStructure(TwoMinded(wrong=0.0)).predict_out_of_fold(images, xy)
    np.testing.assert_array_equal(kept, TwoMinded(wrong=0.0).fit(images, xy).predict(images))


def test_it_can_be_settled_on_what_the_detector_kept_out() -> None:
    fits = []

    class KeepsOut(TwoMinded):
        """Whatever it kept out has two peaks; what it learned from it knows by heart."""

        def fit(self, images: Any, xy: Any, *, groups: Any = None, flip: Any = None) -> Any:
            fits.append(len(images))
            self.known_ = np.asarray(images)[5:, 0, :4, 0]
            return super().fit(images, xy)

        def held_out(self, n: int, groups: Any = None) -> np.ndarray:
            return np.arange(5)

        def score_maps(self, images: Any, stride: int = 4) -> np.ndarray:
            seen = (np.asarray(images)[:, 0, None, :4, 0] == self.known_).all(-1).any(-1)
            by_heart = TwoMinded(wrong=0.0).fit(images, None).score_maps(images)
            return np.where(seen[:, None, None, None], by_heart, super().score_maps(images))

    images, xy = arms(60)
    model = fusion.PictorialStructure(KeepsOut(), cv=0).fit(images, xy)
    assert fits == [60] and not np.isnan(model.power_), "one fit, judged on five rows"
    images, xy = arms(30, seed=1)
    assert np.linalg.norm(model.predict(images) - xy, axis=-1).max() < 1.0
    with pytest.raises(InputError, match="TwoMinded keeps no groups out"):
        fusion.PictorialStructure(TwoMinded(), cv=0).fit(images, xy)


@pytest.mark.usefixtures("one_torch_thread")
def test_a_network_says_what_it_kept_out() -> None:
    from hybridkp.deep import HeatmapNet

    pytest.importorskip("torch")
    p = checks.make_problem(24)
    net = HeatmapNet(
        input_px=32, schedule=HeatmapNet.default_schedule(max_epochs=1, epoch_pictures=4, batch_size=4)
    )
    asked: list[Any] = []

    class Watched(HeatmapNet):
        def _validate(self, net: Any, pictures: Any, target: Any, device: Any) -> float:
            asked.append(target)
            return super()._validate(net, pictures, target, device)

    Watched(**net.get_params(deep=False)).fit(p.images, p.xy, groups=p.groups)
    rows = fusion.MirrorAverage(net).held_out(len(p.images), p.groups)
    scale = 32 / p.images.shape[1]
    np.testing.assert_allclose((p.xy[rows] + 0.5) * scale - 0.5, asked[0].numpy(), atol=1e-4)
    assert not set(np.asarray(p.groups)[rows]) & set(np.delete(p.groups, rows))
    assert not len(net.held_out(5, np.zeros(5))), "one group: nothing is kept out"
    with pytest.raises(InputError, match="whole number"):
        net.set_params(random_state=None).held_out(5)


def test_a_cascade_behind_it_starts_from_those(monkeypatch: pytest.MonkeyPatch) -> None:
    from hybridkp.landmarks import FastCascade

    asked = []

    class Counted(fusion.PictorialStructure):
        def predict_out_of_fold(self, *data: Any, **options: Any) -> Any:
            asked.append(len(data[0]))
            return super().predict_out_of_fold(*data, **options)

    images, xy = arms(40)
    cascade = FastCascade(scales=(1.0,), start=Counted(TwoMinded())).fit(images, xy)
    assert asked == [40]
    assert np.linalg.norm(cascade.predict(images) - xy, axis=-1).max() < 2.0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"doubt": 0.0}, "doubt"),
        ({"powers": ()}, "powers"),
        ({"powers": (1.0, -1.0)}, "powers"),
        ({"cv": 1}, "cv"),
    ],
)
def test_senseless_parameters_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        fusion.PictorialStructure(TwoMinded(), **options).fit(*arms(8))


def test_a_detector_without_maps_is_refused() -> None:
    from hybridkp.landmarks import MeanShape

    with pytest.raises(InputError, match="MeanShape gives no score maps"):
        fusion.PictorialStructure(MeanShape()).fit(*arms(8))


# --------------------------------------------------------------------------------------------
# on a network, and exported
# --------------------------------------------------------------------------------------------


def _on_a_net(**options: Any) -> Any:
    from hybridkp.deep import HeatmapNet

    net = HeatmapNet(
        input_px=48,
        schedule=HeatmapNet.default_schedule(max_epochs=2, epoch_pictures=32, batch_size=8, device="cpu"),
    )
    return fusion.PictorialStructure(fusion.MirrorAverage(net), **options)


@pytest.mark.usefixtures("one_torch_thread")
@pytest.mark.parametrize("engine", ["onnxruntime", "cv2.dnn"])
def test_exported_it_answers_alike(engine: str, tmp_path: Any) -> None:
    pytest.importorskip("torch")
    from hybridkp import runtime

    p = checks.make_problem(24)
    model = _on_a_net(guard=False).fit(p.images, p.xy, groups=p.groups, flip=p.flip)
    found = runtime.load(runtime.export_runtime(model, tmp_path / "m.hkr"), engine).predict_with_score(
        p.images
    )
    for ours, theirs in zip(model.predict_with_score(p.images), found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_detector_whose_maps_have_no_graph_is_named(tmp_path: Any) -> None:
    from hybridkp import runtime

    model = fusion.PictorialStructure(TwoMinded(), guard=False).fit(*arms(20))
    with pytest.raises(InputError, match="TwoMinded cannot be exported"):
        runtime.export_runtime(model, tmp_path / "m.hkr")
    assert not hasattr(fusion.MirrorAverage(TwoMinded()), "score_maps"), (
        "its points are averaged, not its maps"
    )


def _node(**changes: Any) -> dict[str, Any]:
    node = {
        "kind": "fusion.pictorial",
        "graph": b"",
        "channels": 1,
        "stride": 4,
        "parent": np.array([-1, 0]),
        "kernel": np.ones((2, 8, 8), np.float32),
        "power": 1.0,
        "calibration": np.array([1.0, 0.0]),
    }
    return {**node, **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"parent": np.array([1, 0])},
        {"parent": np.array([0.0, 1.0])},
        {"parent": np.array([-1, 0, 0])},
        {"kernel": -np.ones((2, 8, 8))},
        {"kernel": np.full((2, 8, 8), np.nan)},
        {"power": 0.0},
        {"stride": 0},
        {"channels": 2},
    ],
)
def test_a_tree_that_does_not_fit_is_refused(changes: dict[str, Any], monkeypatch: Any) -> None:
    monkeypatch.setattr(nodes, "open_graph", lambda *about: lambda *values: [])
    nodes.build(_node(), "auto")
    with pytest.raises(ValueError):
        nodes.build(_node(**changes), "auto")
