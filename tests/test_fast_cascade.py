"""The fast cascade: its channels, its frames, what it learns, and its exported form."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sklearn.base import BaseEstimator

from hybridkp import runtime
from hybridkp.checks import make_problem
from hybridkp.files import load_model, save_model
from hybridkp.imaging.geometry import apply_affine, invert_affine, rescale, rotation_about
from hybridkp.imaging.images import crops_to_grey
from hybridkp.landmarks import FastCascade, HolisticRegressor, MeanShape
from hybridkp.landmarks import fast_descent as fd
from hybridkp.runtime import nodes
from hybridkp.structures import InputError

TRAIN, TEST = make_problem(60), make_problem(12, random_state=5)


class GreyMaps(BaseEstimator):
    """Feature maps for tests: the smoothed crop and its square, at half the resolution."""

    def fit(self, images, xy, *, groups=None, flip=None):
        self.mean_ = float(np.mean(images))
        return self

    def feature_maps(self, images):
        grey = crops_to_grey(images)
        small = [cv2.resize(i, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for i in grey]
        maps = np.stack(small)[:, None].astype(np.float32) - self.mean_
        return np.concatenate([maps, 100 * maps**2], axis=1), 2.0


def fit(model, problem=TRAIN):
    return model.fit(problem.images, problem.xy, groups=problem.groups, flip=problem.flip)


@pytest.fixture(scope="module")
def fitted():
    return fit(FastCascade(n_perturbations=2))


def errors(model, problem=TEST):
    return np.linalg.norm(model.predict(problem.images) - problem.xy, axis=-1)


# --------------------------------------------------------------------------------------------
# channels and frames
# --------------------------------------------------------------------------------------------


def test_an_edge_shows_in_the_channel_of_its_direction() -> None:
    ramp = np.tile(np.arange(0, 160, 4, dtype=np.uint8), (40, 1))
    ((channels, shrink),) = fd.channel_maps(ramp, 8, (1.0,))
    assert channels.shape == (40, 40, 8) and shrink == 1
    middle = channels[20, 20]
    assert middle.argmax() == 0 and middle[4] == 0, "light to the right: direction 0, not its opposite"
    ((turned, _),) = fd.channel_maps(np.ascontiguousarray(ramp.T), 8, (1.0,))
    np.testing.assert_allclose(turned[20, 20], np.roll(middle, 2), atol=1e-5)


def test_channels_do_not_depend_on_contrast_and_are_zero_on_a_blank_frame() -> None:
    rng = np.random.default_rng(0)
    frame = cv2.GaussianBlur(rng.uniform(0, 255, (48, 48)).astype(np.float32), (0, 0), 3)
    frame = 120 * (frame - frame.min()) / np.ptp(frame)
    weak, strong = (fd.channel_maps(np.rint(f * frame).astype(np.uint8), 8, (2.0,))[0][0] for f in (1, 2))
    assert np.abs(strong - weak).mean() < 0.3 * strong.mean() < 0.3 * 2 * weak.mean()
    assert not np.any(fd.channel_maps(np.full((20, 20), 7, np.uint8), 6, (1.0, 4.0))[1][0])


def test_halved_maps_are_read_where_they_belong() -> None:
    """Maps whose channels hold their own coordinates say where they were read, at both resolutions."""
    h, w = 30, 41
    full = np.stack(np.meshgrid(np.arange(w), np.arange(h)), axis=-1).astype(np.float32)
    half = rescale(np.stack(np.meshgrid(np.arange((w + 1) // 2), np.arange((h + 1) // 2)), axis=-1), 2)
    at = np.array([10.2 + 7.4j, 33.0 + 20.0j, -5 + 100j])
    pattern = fd.rings_pattern([(0, 1, 1.0), (0, 1, 4.0)])
    row = fd.read_pattern([(full, 1), (half.astype(np.float32), 2)], at, 1 + 0j, pattern) ** 2
    fine, coarse = row.reshape(2, 3, 2)
    np.testing.assert_allclose(fine, [[10.2, 7.4], [33, 20], [0, h - 1]], atol=1e-4)
    np.testing.assert_allclose(coarse[:2], fine[:2], atol=1e-4)


def test_rings_of_one_smoothing_are_read_together() -> None:
    fine, coarse = fd.rings_pattern([(12, 8, 3.5), (0, 1, 1.5), (5, 4, 1.5)])
    assert (fine.sigma, len(fine.offsets)) == (1.5, 5) and (coarse.sigma, len(coarse.offsets)) == (3.5, 8)
    np.testing.assert_allclose(np.abs(coarse.offsets), 12)


def test_maps_of_others_are_read_at_the_point() -> None:
    stride, z = 4.0, np.array([10.0 + 21.3j, 40.5 + 3.75j])
    x, y = rescale(np.arange(16), stride), rescale(np.arange(12), stride)
    maps = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)
    np.testing.assert_allclose(fd.read_maps(maps, stride, z, 1).reshape(2, 2), fd.as_points(z), atol=1e-4)
    around = fd.read_maps(maps, stride, z, 3).reshape(2, 9, 2)
    np.testing.assert_allclose(around[:, 5] - around[:, 4], [[stride, 0]] * 2, atol=1e-4)


def test_the_frame_lays_a_turned_shape_on_the_mean_shape() -> None:
    mean = fd.ShapeFrame.of(TRAIN.xy[0])
    turned = apply_affine(rotation_about((20, 30), 25), TRAIN.xy[0])
    a, b = mean.frame_pose(fd.as_complex(turned), 1.0)
    landed = fd.as_points(a * fd.as_complex(turned) + b)
    np.testing.assert_allclose(landed, TRAIN.xy[0], atol=1e-9)
    grown = fd.as_complex(5 * TRAIN.xy[0])
    assert abs(mean.turn(grown)) == pytest.approx(2.0), "never zoomed beyond the limit"
    assert mean.turn(np.full(5, 3 + 4j)) == 1.0, "a collapsed shape is only shifted"


def test_a_last_bit_of_the_points_moves_what_is_read_by_a_last_bit(fitted) -> None:
    """Nothing is rounded on the way from points to rows, so that two machines find the same points."""
    reader, grey = fitted._reader(), TEST.images[0] if TEST.images.ndim == 3 else TEST.images[0, ..., 0]
    z = fd.as_complex(TRAIN.xy[1])
    rows = []
    for nudge in (0, 1e-6 * np.random.default_rng(0).normal(size=z.shape)):
        a, b = reader.mean.frame_pose(z + nudge, 0.5)
        rows.append(reader.row(reader.frame(grey, a, b, 0.5), a * (z + nudge) + b, 0.5)[0])
    assert 0 < np.abs(rows[1] - rows[0]).max() < 1e-3


# --------------------------------------------------------------------------------------------
# what it learns
# --------------------------------------------------------------------------------------------


def test_marks_are_found_within_half_a_pixel(fitted) -> None:
    assert np.median(errors(fitted)) < 0.3
    history = fitted.history_["held-out error (px)"]
    assert len(history) == 5 and history[-1] < 0.5 * history[0]
    assert np.median(errors(fitted)) < 0.6 * np.median(errors(fit(HolisticRegressor("channels"))))


def test_points_move_with_the_picture_by_half_a_pixel(fitted) -> None:
    here = fitted.predict(TEST.images)
    for shift in ((0.5, 0.0), (0.0, -0.5), (1.0, 0.5)):
        matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
        moved = np.stack([cv2.warpAffine(i, matrix, (64, 64), borderMode=1) for i in TEST.images])
        off = fitted.predict(moved) - here - np.array(shift)
        assert np.abs(off.mean(axis=(0, 1))).max() < 0.1, "on average, the very shift"
        assert np.median(np.abs(off)) < 0.12


def test_a_turned_picture_is_answered_by_the_turned_points(fitted) -> None:
    matrix = rotation_about((31.5, 31.5), 12)
    turned = np.stack([cv2.warpAffine(i, matrix, (64, 64), borderMode=1) for i in TEST.images])
    found = apply_affine(invert_affine(matrix), fitted.predict(turned))
    assert np.median(np.linalg.norm(found - TEST.xy, axis=-1)) < 0.8


def test_few_directions_say_nearly_what_all_say() -> None:
    full, low = (fit(FastCascade(rank=rank)) for rank in (None, 7))
    assert low.stages_[0]["weights"].shape[1] == 7 and full.stages_[0]["weights"].shape[1] == 10
    assert np.median(np.abs(low.predict(TEST.images) - full.predict(TEST.images))) < 0.1
    full, one, ten = (fit(FastCascade(scales=(0.5,), rank=rank)) for rank in (None, 1, 10))
    assert np.median(errors(one)) > np.median(errors(full)), "one direction is too few"
    np.testing.assert_allclose(ten.predict(TEST.images), full.predict(TEST.images), atol=1e-3)


def test_missing_points_and_one_landmark() -> None:
    xy = TRAIN.xy.copy()
    xy[::3, 0] = xy[1::5] = np.nan
    model = FastCascade().fit(TRAIN.images, xy, groups=TRAIN.groups, flip=TRAIN.flip)
    assert np.median(errors(model)[:, 0]) < 0.9
    single = FastCascade().fit(TRAIN.images, TRAIN.xy[:, 4:], groups=TRAIN.groups)
    error = np.linalg.norm(single.predict(TEST.images)[:, 0] - TEST.xy[:, 4], axis=-1)
    assert np.median(error) < 0.9
    alone = FastCascade().fit(TRAIN.images[:1], TRAIN.xy[:1])
    np.testing.assert_allclose(alone.predict(TRAIN.images[:1])[0], TRAIN.xy[0], atol=0.5)


def test_crops_need_not_be_square() -> None:
    tall = np.ascontiguousarray(TRAIN.images[:, :, 6:56])
    model = FastCascade().fit(tall, TRAIN.xy - [6, 0], groups=TRAIN.groups)
    found = model.predict(np.ascontiguousarray(TEST.images[:, :, 6:56])) + [6, 0]
    assert np.median(np.linalg.norm(found - TEST.xy, axis=-1)) < 0.6


def test_a_picture_alone_and_in_a_batch_is_answered_alike_to_the_bit(fitted) -> None:
    together = fitted.predict_with_score(TEST.images)
    for b in (0, 7, 11):
        for alone, all_ in zip(fitted.predict_with_score(TEST.images[b : b + 1]), together, strict=True):
            np.testing.assert_array_equal(alone[0], all_[b])


def test_scores_are_probabilities_of_being_near(fitted) -> None:
    near = errors(fitted, make_problem(80, random_state=9)) < 0.025 * 64
    _, score = fitted.predict_with_score(make_problem(80, random_state=9).images)
    assert abs(score.mean() - near.mean()) < 0.1


class Gappy(MeanShape):
    """Leaves landmark 1 out."""

    def predict_with_score(self, images):
        xy, score = super().predict_with_score(images)
        xy[:, 1] = np.nan
        return xy, score


def test_any_detector_may_start_it_and_leave_points_out() -> None:
    model = fit(FastCascade(start=Gappy()))
    assert np.median(errors(model)) < 0.8


KNOWN = {
    image.tobytes(): np.float32(points)
    for problem in (TRAIN, TEST)
    for image, points in zip(problem.images, problem.xy, strict=True)
}


class Knowing(MeanShape):
    """Gives the truth of pictures that it knows by their bytes, ``off`` px to the right."""

    def __init__(self, off=0.0):
        self.off = off

    def predict_with_score(self, images):
        xy = np.stack([KNOWN[i.tobytes()] for i in images])
        xy[..., 0] += self.off
        return xy, np.full(xy.shape[:2], 0.75, np.float32)


def test_behind_a_perfect_start_the_stages_stay_away() -> None:
    cascade = FastCascade(start=Knowing(), n_perturbations=0)
    cascade.fit(TRAIN.images, np.float32(TRAIN.xy), groups=TRAIN.groups)
    assert not any(cascade.parts_)
    xy, score = cascade.predict_with_score(TEST.images)
    np.testing.assert_allclose(xy, TEST.xy, atol=1e-5)
    np.testing.assert_array_equal(score, 0.75)
    assert cascade.runtime_node()["kind"] == cascade.start_.runtime_node()["kind"]


def test_behind_a_start_that_errs_they_go_to_work() -> None:
    cascade = FastCascade(start=Knowing(3.0)).fit(TRAIN.images, TRAIN.xy, groups=TRAIN.groups)
    assert cascade.parts_[0] == 1.0
    assert np.median(errors(cascade)) < 0.5


def test_blunders_among_the_starts_cost_less_where_ways_are_clipped() -> None:
    class Blundering(Knowing):
        def predict_with_score(self, images):
            xy, score = super().predict_with_score(images)
            lost = np.array([int(np.sum(i)) % 4 == 0 for i in images])
            xy[lost] += np.float32([18.0, -14.0])
            return xy, score

    found = {}
    for clip in (None, 2.0):
        cascade = FastCascade(scales=(1.0,), start=Blundering(2.0), clip=clip)
        cascade.fit(TRAIN.images, TRAIN.xy, groups=TRAIN.groups)
        found[clip] = np.median(errors(cascade))
    assert found[2.0] < found[None]


@pytest.mark.parametrize(
    "bad, says",
    [
        ({"scales": ()}, "scales must be positive"),
        ({"scales": (1.0, -1.0)}, "scales must be positive"),
        ({"rings": ()}, "rings must be"),
        ({"rings": ((3.0, 0, 1.0),)}, "rings must be"),
        ({"rank": 0}, "rank, where it is not None, must be a whole number from 1 on"),
        ({"n_orientations": 1}, "n_orientations must be a whole number from 2 on"),
        ({"clip": 0.0}, "clip must be positive"),
        ({"alpha": -1.0}, "alpha must not be negative"),
        ({"map_stages": (4,)}, "map_stages must lie in -4..3"),
    ],
)
def test_senseless_parameters_are_named(bad, says) -> None:
    with pytest.raises(InputError, match=f"FastCascade: .*{says}"):
        fit(FastCascade(**bad))
    with pytest.raises(InputError, match="HolisticRegressor: need grid"):
        fit(HolisticRegressor("channels", grid=0))


# --------------------------------------------------------------------------------------------
# maps of others
# --------------------------------------------------------------------------------------------


def test_chosen_stages_read_further_maps(tmp_path) -> None:
    model = fit(FastCascade(maps=GreyMaps(), map_stages=(-1, 1), map_cells=3))
    widths = [len(stage["weights"]) for stage in model.stages_]
    assert np.array(widths) - widths[0] == pytest.approx([0, 5 * 9 * 2, 0, 5 * 9 * 2])
    assert model.map_unit_[0] > 50 * model.map_unit_[1], "maps of any unit weigh alike"
    assert np.median(errors(model)) < 0.6
    save_model(model, tmp_path / "m.hkp")
    # a class of a test file cannot be loaded; what is learned of it is in the file all the same
    with pytest.raises(InputError):
        load_model(tmp_path / "m.hkp")


def test_maps_that_tell_the_answer_are_believed() -> None:
    class Telling(GreyMaps):
        """Knows the crops by their mean: the map holds the whole crop's offset of landmark 0."""

        def fit(self, images, xy, *, groups=None, flip=None):
            self.known_ = {float(np.mean(i)): p for i, p in zip(images, xy, strict=True)}
            return self

        def feature_maps(self, images):
            known = [self.known_[float(np.mean(i))][0] - 32 for i in images]
            return np.tile(np.array(known, np.float32)[:, :, None, None], (1, 1, 4, 4)), 16.0

    everything = make_problem(60)
    plain = FastCascade(scales=(0.5,)).fit(everything.images, everything.xy)
    told = FastCascade(scales=(0.5,), maps=Telling()).fit(everything.images, everything.xy)
    before, after = (m.history_["held-out error (px)"][-1] for m in (plain, told))
    assert after < before


# --------------------------------------------------------------------------------------------
# exported
# --------------------------------------------------------------------------------------------


def test_the_runtime_gives_the_same_bits(fitted, tmp_path) -> None:
    runtime.export_runtime(fitted, tmp_path / "m.hkr")
    found = runtime.load(tmp_path / "m.hkr").predict_with_score(TEST.images)
    for ours, theirs in zip(fitted.predict_with_score(TEST.images), found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


class PooledMaps(GreyMaps):
    """The crop at half the resolution, also as a graph."""

    def feature_maps(self, images):
        halve = {"fx": 0.5, "fy": 0.5, "interpolation": cv2.INTER_AREA}
        small = [cv2.resize(i.astype(np.float32), None, **halve) for i in crops_to_grey(images)]
        return np.stack(small)[:, None], 2.0

    def runtime_node(self):
        from onnx import TensorProto, helper

        pool = helper.make_node("AveragePool", ["image"], ["maps"], kernel_shape=[2, 2], strides=[2, 2])
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, side, side])
            for name, side in (("image", 64), ("maps", 32))
        ]
        graph = helper.make_graph([pool], "pool", ends[:1], ends[1:])
        opset = [helper.make_opsetid("", 13)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        return {"graph": model.SerializeToString(), "stride": 2.0, "channels": 1}


@pytest.mark.parametrize("engine", ["onnxruntime", "cv2.dnn"])
def test_the_runtime_makes_the_maps_by_a_graph(engine, tmp_path) -> None:
    pytest.importorskip("onnx")
    if engine == "onnxruntime":
        pytest.importorskip("onnxruntime")
    model = fit(FastCascade(scales=(0.5, 1.0), maps=PooledMaps(), map_stages=(-1,)))
    runtime.export_runtime(model, tmp_path / "m.hkr")
    found = runtime.load(tmp_path / "m.hkr", engine).predict_with_score(TEST.images)
    for ours, theirs in zip(model.predict_with_score(TEST.images), found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_stage_that_moves_nothing_costs_nothing(fitted, monkeypatch) -> None:
    """Its frame is not made, and points, scores and the next frame are those with a step of zeros."""
    node, nothing = fitted.runtime_node(), np.zeros(2 * TRAIN.xy.shape[1], np.float32)
    first, last = node["stages"][0], node["stages"][-1]
    zeros = first | {"scale": 0.7, "shift": nothing, "directions": 0 * first["directions"]}
    empty = zeros | {"weights": first["weights"][:, :0], "directions": first["directions"][:0]}
    made, frame, found = [], fd.Reader.frame, []
    monkeypatch.setattr(fd.Reader, "frame", lambda *given: made.append(given[-1]) or frame(*given))
    for between in (zeros, empty):
        made.clear()
        found.append(nodes.build(node | {"stages": [first, between, last, between]})(TEST.images[0]))
    assert 0.7 not in made and len(made) == 2
    for with_zeros, without in zip(*found, strict=True):
        np.testing.assert_array_equal(without, with_zeros)


def test_parts_that_do_not_fit_together_are_refused(fitted) -> None:
    good = fitted.runtime_node()
    nodes.build(good, "auto")
    stage = good["stages"][0]
    for bad in (
        good | {"rings": [[0, 1, 1.5]]},
        good | {"rings": [[0, 10**9, 1.5]]},
        good | {"stages": []},
        good | {"n_orientations": 6},
        good | {"mean": good["mean"][:4]},
        good | {"curve": np.full(4, np.nan)},
        good | {"stages": [stage | {"scale": 1e6}]},
        good | {"stages": [stage | {"directions": stage["directions"][:3]}]},
        good | {"maps": {"unit": np.ones(2), "cells": 1, "stride": 4.0, "graph": "no bytes"}},
    ):
        with pytest.raises((ValueError, TypeError)):
            nodes.build(bad, "auto")
