"""The shared types: what they fill in, refuse, and bring back from OpenCV."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import sklearn.base
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if

from hybridkp.structures import (
    Dataset,
    DetectorMixin,
    InputError,
    Instance,
    Keypoints,
    NamedMembers,
    Parameters,
    Predictions,
    Sample,
    ScoreMaps,
    Stateful,
    check_start,
    check_xy,
    clone,
    supports,
)

NAN = np.nan


def keypoints() -> Keypoints:
    return Keypoints(
        [[1.5, 2], [3, 4], [5, 6.25]],
        score=[0.1, 0.2, 0.3],
        size=[7, 8, 9],
        angle=[NAN, 0, 359.5],
        octave=[0, 1, 255 | 1 << 8],
        label=[-1, 4, 2],
    )


def columns(points: Keypoints) -> list[list[float]]:
    names = ("score", "size", "angle", "octave", "label")
    return [points.xy.tolist(), *(np.nan_to_num(getattr(points, n), nan=-9).tolist() for n in names)]


@pytest.mark.parametrize("rows", [slice(1, None), [2, 0], np.array([True, False, True]), 1, -1, []])
def test_keypoints_rows_take_every_column_along(rows: Any) -> None:
    points = keypoints()
    wanted = np.atleast_1d(np.arange(3)[rows if not isinstance(rows, list) else np.array(rows, int)])
    found = points[np.array(rows, int) if isinstance(rows, list) else rows]
    assert [len(c) for c in columns(found)] == [len(wanted)] * 6
    assert columns(found) == [[c[i] for i in wanted] for c in columns(points)]


def test_keypoints_to_opencv_and_back() -> None:
    points = keypoints()
    there = points.to_cv2()
    assert all(isinstance(p, cv2.KeyPoint) for p in there)
    assert (there[0].angle, there[2].octave, there[2].class_id) == (-1, 255 | 1 << 8, 2)
    assert columns(Keypoints.from_cv2(there)) == columns(points)
    assert len(Keypoints.from_cv2([])) == len(Keypoints([])) == 0


def test_keypoints_fill_in_and_refuse() -> None:
    points = Keypoints([[1, 2]])
    assert (points.score[0], points.size[0], points.octave[0], points.label[0]) == (0, 1, 0, -1)
    assert np.isnan(points.angle[0]) and points.xy.dtype == np.float32
    with pytest.raises(InputError, match=r"Keypoints.xy must have shape \(N, 2\), got \(1, 3\)"):
        Keypoints([[1, 2, 3]])
    with pytest.raises(InputError, match=r"Keypoints.size must have shape \(1,\), got \(2,\)"):
        Keypoints([[1, 2]], size=[1, 2])


def test_instance_points_and_visibility_agree() -> None:
    given = np.array([[1.0, 2], [NAN, 3], [4, np.inf], [5, 6]])
    plain, told = Instance(given), Instance(given, visibility=[1, 2, 2, 0])
    assert plain.visibility.tolist() == [2, 0, 0, 2] and told.visibility.tolist() == [1, 0, 0, 0]
    assert np.isnan(told.xy[1:]).all() and told.xy[0].tolist() == [1, 2]
    assert np.isnan(plain.box_xywh).all() and plain.box_xywh.shape == (4,)
    assert given[3].tolist() == [5, 6], "what was given is not written to"
    with pytest.raises(InputError, match=r"visibility must have shape \(4,\)"):
        Instance(given, visibility=[1, 2])


def dataset(**changes: Any) -> Dataset:
    image = np.zeros((4, 4), np.uint8)
    samples = tuple(
        Sample(f"{i}.png", lambda: image, (Instance([[i, 1.0], [2, 3]], box_xywh=[0, 0, 4, 4]),), f"g{i}")
        for i in range(4)
    )
    return Dataset(**{"name": "d", "landmarks": ("left", "right"), "samples": samples} | changes)


@pytest.mark.parametrize("rows", [[3, 1], np.array([3, 1]), np.array([False, True, False, True])])
def test_subsets_by_indices_and_by_mask(rows: Any) -> None:
    names = [s.name for s in dataset().subset(rows)]
    assert sorted(names) == ["1.png", "3.png"]
    assert len(dataset().subset([])) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flip": [1, 1]}, "undo themselves"),
        ({"flip": [0]}, "2 indices"),
        ({"skeleton": [[0, 2]]}, r"outside 0\.\.1"),
        ({"sigmas": [0.1]}, r"sigmas must have shape \(2,\)"),
    ],
)
def test_senseless_schemes_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"d: .*{message}"):
        dataset(**changes)


def test_fingerprint_is_of_names_sigmas_and_instances() -> None:
    base = dataset()
    assert base.fingerprint == dataset(flip=[1, 0], normalizer=("pixel",)).fingerprint
    moved = Sample(
        "0.png", base.samples[0].load, (Instance([[0.5, 1], [2, 3]], box_xywh=[0, 0, 4, 4]),), "g0"
    )
    others = [dataset(name="e"), dataset(landmarks=("a", "b")), base.subset([0, 1, 2])]
    others.append(dataset(samples=(moved, *base.samples[1:])))
    others.append(dataset(sigmas=[0.1, 0.2]))
    for change in ({"visibility": [1, 2]}, {"area": 7.0}, {"ignore": True}, {"box_xywh": [0, 0, 4, 5]}):
        other = replace(base.samples[0].instances[0], **change)
        first = replace(base.samples[0], instances=(other,))
        others.append(dataset(samples=(first, *base.samples[1:])))
    assert len({base.fingerprint, *(o.fingerprint for o in others)}) == 10


def test_predictions_hold_one_row_per_name() -> None:
    def build(xy: Any, score: Any) -> Predictions:
        return Predictions("m", xy, score, ("a", "b"), [0, 0], [0.1, NAN])

    found = build(np.zeros((2, 3, 2)), np.zeros((2, 3)))
    assert found.xy.dtype == found.score.dtype == np.float32 and found.instance.dtype == np.int64
    for xy, score in [((3, 3, 2), (3, 3)), ((2, 3, 2), (2, 2)), ((2, 3, 3), (2, 3))]:
        with pytest.raises(InputError, match="Predictions of m"):
            build(np.zeros(xy), np.zeros(score))


def test_training_truth_and_starts_are_checked() -> None:
    given = np.array([[[1.0, NAN]], [[2, 3]]])
    assert np.isnan(check_xy(given, 2)[0]).all() and given[0, 0, 0] == 1
    for wrong, message in [
        (np.zeros((2, 1)), "xy must have shape"),
        (np.full((2, 1, 2), np.inf), "infinite"),
        (np.full((2, 1, 2), NAN), "landmark 0 is labelled in no training picture"),
    ]:
        with pytest.raises(InputError, match=message):
            check_xy(wrong, 2)
    assert check_start([[[1, 2]]], (1, 1, 2)).dtype == np.float64
    with pytest.raises(InputError, match=r"start must have shape \(1, 1, 2\), got \(2,\)"):
        check_start([1, 2], (1, 1, 2))


def test_silence_does_not_pay_in_a_detectors_score() -> None:
    class Says(DetectorMixin):
        def __init__(self, answer: Any):
            self.answer = np.asarray(answer, np.float32)

        def predict_with_score(self, images: Any) -> Any:
            return self.answer, np.ones(self.answer.shape[:2], np.float32)

    images = np.zeros((1, 30, 40), np.uint8)
    truth = [[[3.0, 4.0], [10.0, 10.0], [NAN, NAN]]]
    assert Says([[[0, 0], [10, 10], [9, 9]]]).score(images, truth) == pytest.approx(-(5 + 0) / 2 / 30)
    silent = Says([[[NAN, NAN], [10, 10], [9, 9]]])
    assert silent.score(images, truth) == pytest.approx(-(50 + 0) / 2 / 30)


def test_every_type_has_a_line() -> None:
    from hybridkp import structures
    from hybridkp.datasets import make_faces

    data = make_faces(60, (64, 64))
    many = np.zeros((60, 20, 2))
    points = Keypoints(np.zeros((500, 2)))
    found = structures.Matched(points, points, *np.zeros((2, 9, 2)), np.ones(9), np.eye(3), np.ones(9, bool))
    pair = structures.Pair("a", "b", lambda: many, lambda: many, np.eye(3))
    shown = [
        *(data, data.samples[0], data.samples[0].instances[0], points, found, pair),
        structures.PairSet("p", (pair,) * 99),
        structures.Pyramid((many[0],) * 3, np.ones(3), np.ones(3)),
        structures.Predictions("m", many, many[..., 0], ("a",) * 60, np.zeros(60), np.zeros(60)),
    ]
    for value in shown:
        text = repr(value)
        assert text.startswith(type(value).__name__ + "(") and "\n" not in text and len(text) < 260, text
    assert "samples=<60>" in repr(data) and "landmarks=<20>" in repr(data) and "xy=<500, 2>" in repr(points)
    assert repr(Instance([[1, 2]], box_xywh=[0, 0, 9.5, 9])).endswith(
        "visibility=[2], box_xywh=[0, 0, 9.5, 9])"
    )


def test_every_public_dataclass_with_arrays_has_a_short_line() -> None:
    import dataclasses
    import importlib
    import pkgutil

    import hybridkp

    found = set()
    for room in pkgutil.iter_modules(hybridkp.__path__, "hybridkp."):
        heavy = room.name in ("hybridkp.deep", "hybridkp.recipes")  # no data class of theirs is public
        module = importlib.import_module(room.name) if room.ispkg and not heavy else None
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if isinstance(value, type) and dataclasses.is_dataclass(value):
                arrays = [f for f in dataclasses.fields(value) if "Array" in str(f.type)]
                generated = hasattr(vars(value).get("__repr__"), "__wrapped__")  # by dataclass
                assert not (arrays and generated), f"{name} prints its arrays"
                found.add(name)
    assert {"Dataset", "Predictions", "Objects"} <= found


# --------------------------------------------------------------------------------------------
# parameters without scikit-learn
# --------------------------------------------------------------------------------------------


class Part(Parameters):
    def __init__(self, size=3, name="a"):
        self.size = size
        self.name = name


class Whole(NamedMembers, Parameters):
    def __init__(self, members, part=None, weights=(1, 2)):
        self.members = members
        self.part = part
        self.weights = weights


def whole():
    return Whole([("one", Part()), ("two", Part(size=5))], Part(name="inside"))


def test_parameters_are_those_of_scikit_learn():
    class Theirs(BaseEstimator):
        __init__ = Part.__init__

    for value in ({}, {"size": 7}, {"size": 7, "name": "b"}):
        ours, theirs = Part(**value), Theirs(**value)
        assert ours.get_params() == theirs.get_params() and list(ours.get_params()) == ["name", "size"]
        assert repr(ours) == repr(theirs).replace("Theirs", "Part")
    for copy in (clone(whole()), sklearn.base.clone(whole())):
        assert repr(copy) == repr(whole()) and copy.part is not whole().part
    assert clone([Part(1)])[0].size == 1 and clone(Part) is Part


def test_nested_parameters_are_reached_by_name():
    estimator = whole().set_params(one__size=9, part__name="b", weights=None)
    params = estimator.get_params()
    assert params["one__size"] == 9 and params["two"].size == 5 and params["part__name"] == "b"
    other = Part(size=1)
    assert estimator.set_params(two=other, two__name="c").members[1] == ("two", other)
    assert other.name == "c" and whole().get_params(deep=False).keys() == {"members", "part", "weights"}


@pytest.mark.parametrize("key", ["siez", "part__siez", "weights__x", "one__siez", "three", "three__size"])
def test_unknown_parameters(key):
    with pytest.raises(InputError, match=r"no parameter '[a-z_]+'"):
        whole().set_params(**{key: 1})
    with pytest.raises(TypeError):
        Part(**{key: 1})


def test_promises_are_told_by_the_object_and_not_by_its_class():
    class Sometimes:
        def __init__(self, has):
            self.has = has

        @available_if(lambda self: self.has)
        def score_maps(self, images, stride=4):
            return images

    assert supports(Sometimes(True), ScoreMaps) and not supports(Sometimes(False), ScoreMaps)
    assert not supports(object(), Stateful)
