"""Local features: the public checks on every one, budgets, tiles, pairings, OpenCV's doors, ONNX files."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from hybridkp import descriptors, points
from hybridkp.checks.features import EXCEPTIONS, local_feature_checks, texture
from hybridkp.imaging.opencv import MAJOR
from hybridkp.points import local, pairing
from hybridkp.recipes import make_matcher
from hybridkp.structures import Array, InputError, Keypoints, LocalFeature

SCENE = texture(177)
SCENE.setflags(write=False)

FEATURES: dict[str, Any] = {
    "sift": points.SIFTFeature(200),
    "rootsift": points.SIFTFeature(200, root=True, contrast_threshold=0.01),
    "orb": points.ORBFeature(200),
    "akaze": points.AKAZEFeature(200),
    "kaze": points.KAZEFeature(200),
    "brisk": points.BRISKFeature(200),
    "surf": points.SURFFeature(200),
    "from cv2": points.FromFeature2D(cv2.ORB.create, 200),
    "fast+rootsift": points.Paired(points.FAST(), points.SIFTFeature(root=True), 200),
    "orb+beblid": points.Paired(points.ORBFeature(), points.BEBLID(), 200),
    "orb+teblid": points.Paired(points.ORBFeature(), points.TEBLID(256), 200),
    "corners+brief": points.Paired(points.Corners(), points.BRIEF(), 200),
    "harris+freak": points.Paired(points.Corners(harris=True), points.FREAK(), 200),
    "orb+hog": points.Paired(points.ORBFeature(), descriptors.HOG(), 200),
    "fast+orb": points.Paired(points.FAST(), descriptors.ORB(bits="hamming", angle="keypoint"), 200),
    "akaze+surf": points.Paired(points.AKAZEFeature(), descriptors.SURF(), 200),
}
QUICK = ("sift", "orb", "akaze", "brisk", "surf", "from cv2", "fast+rootsift", "orb+beblid", "corners+brief")
CHECKS = [
    pytest.param(f, name, marks=() if f in QUICK else pytest.mark.slow, id=f"{f}-{name}".replace(" ", "-"))
    for f, feature in FEATURES.items()
    for name, _ in local_feature_checks(feature)
]


@pytest.fixture(scope="module")
def checks() -> dict[tuple[str, str], Callable[[], None]]:
    return {(f, n): c for f, feature in FEATURES.items() for n, c in local_feature_checks(feature)}


@pytest.mark.parametrize(("feature", "name"), CHECKS)
def test_promises(checks: dict[Any, Callable[[], None]], feature: str, name: str) -> None:
    checks[feature, name]()


def test_exceptions_are_needed() -> None:
    """An excuse that is no longer needed goes: each check is run without it and must fail."""
    assert {name for name, _ in EXCEPTIONS} <= {type(f).__name__ for f in FEATURES.values()}
    import hybridkp.checks.features as module

    case = module._Case(FEATURES["kaze"], None)
    with pytest.raises(AssertionError):
        module._compute_agrees(case)
    with pytest.raises(AssertionError, match="px off"):
        module._mirrored(module._Case(points.FromFeature2D(cv2.SIFT.create), None))


class _HalfPixel(points.SIFTFeature):
    """A feature with the oldest mistake: half a pixel to the right and down."""

    def _find(self, grey: Array, n_points: int, describe: bool) -> tuple[Keypoints, Array | None]:
        found, rows = super()._find(grey, n_points, describe)
        return local.moved(found, np.float32([0.5, 0.5])), rows


class _Shuffled(points.ORBFeature):
    """Rows in the order that OpenCV gives them back."""

    def _rows(self, grey: Array, points: Keypoints) -> tuple[Array, Array]:
        rows, real = super()._rows(grey, points)
        order = np.argsort(points.xy[:, 0], kind="stable")
        return rows[order], real


def test_checks_can_fail() -> None:
    with pytest.raises(AssertionError, match="px off"):
        dict(local_feature_checks(_HalfPixel(200)))["mirrored picture, mirrored points"]()
    with pytest.raises(AssertionError):
        dict(local_feature_checks(_Shuffled(200)))["row i is keypoint i"]()


# -- rows ----------------------------------------------------------------------------------------

ALIGNED = ("sift", "orb", "brisk", "surf", "akaze", "orb+beblid", "corners+brief")


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(data=st.data(), name=st.sampled_from(ALIGNED))
def test_row_i_belongs_to_keypoint_i_in_any_order(data: Any, name: str) -> None:
    """Any points, in any order, with any neighbours: a row depends on its own point only."""
    number = st.floats(-40, 220, width=32)
    xy = data.draw(st.lists(st.tuples(number, number), min_size=1, max_size=12))
    n = len(xy)
    size = data.draw(st.lists(st.floats(0.125, 150, width=32), min_size=n, max_size=n))
    angle = data.draw(st.lists(st.one_of(st.just(np.nan), st.floats(0, 359)), min_size=n, max_size=n))
    order = data.draw(st.permutations(range(n)))
    some = Keypoints(xy, size=size, angle=angle)
    feature = FEATURES[name]
    rows = feature.compute(SCENE, some)
    assert rows.shape == (n, feature.n_features)
    np.testing.assert_allclose(feature.compute(SCENE, some[order]), rows[order], rtol=0, atol=1e-4)
    np.testing.assert_allclose(feature.compute(SCENE, some[order[:1]]), rows[order[:1]], rtol=0, atol=1e-4)


def test_orb_positions_are_those_of_its_levels() -> None:
    """A point of level l is a whole pixel of a picture that was resized to whole sides."""
    image = texture(200)[:, :173]
    found = points.ORBFeature(500, fast_threshold=5).detect(np.ascontiguousarray(image))
    assert (np.bincount(found.octave, minlength=5)[:5] > 5).all()
    for level in range(5):
        at = found.xy[found.octave == level].astype(float)
        sides = np.rint(np.array([173, 200]) / 1.2**level)
        pixel = (at + 0.5) * sides / [173, 200] - 0.5
        assert np.abs(pixel - np.rint(pixel)).max() < 1e-3
        assert level == 0 or np.abs(at / 1.2**level - np.rint(at / 1.2**level)).max() > 0.05


@pytest.mark.parametrize("name", ["brisk", "akaze", "orb"])
def test_sides_that_cannot_be_halved(name: str) -> None:
    """OpenCV's own positions are off there; a mirrored picture shows it."""
    image = np.ascontiguousarray(texture(251)[:, :243])
    feature = clone(FEATURES[name]).set_params(n_points=2000)
    if name == "akaze":
        feature.set_params(threshold=1e-4)
    ours, theirs = (_mirror_gap(d, image) for d in (feature.detect, _plain(feature)))
    assert ours < 0.1 < 0.2 < theirs, (ours, theirs)


def _plain(feature: Any) -> Callable[[Array], Keypoints]:
    return lambda image: Keypoints.from_cv2(feature._make(2000).detect(image))


def _mirror_gap(detect: Callable[[Array], Keypoints], image: Array) -> float:
    """Mean offset of the points above the finest octave or level."""
    a, b = detect(image), detect(np.ascontiguousarray(image[:, ::-1]))
    a, b = a[a.octave > 0], b[b.octave > 0]
    back = b.xy * [-1, 1] + [image.shape[1] - 1, 0]
    gap = back[None] - a.xy[:, None]
    alike = np.abs(np.log(b.size[None] / a.size[:, None])) < 0.1
    far = np.where(alike, np.linalg.norm(gap, axis=2), np.inf)
    nearest, rows = far.argmin(axis=1), np.arange(len(a))
    close = far[rows, nearest] < 3
    assert close.sum() > 4
    return float(abs(gap[rows, nearest][close, 0].mean()))


# -- budget and tiles ----------------------------------------------------------------------------


def test_budget_is_exact_where_openCV_gives_more() -> None:
    for name in ("akaze", "brisk", "sift"):
        wide = clone(FEATURES[name]).set_params(n_points=10_000).detect(SCENE)
        cut = clone(FEATURES[name]).set_params(n_points=50).detect(SCENE)
        assert len(cut) == 50 < len(wide) and cut.score[-1] >= wide.score[50]
    for wrong in (0, -1, 2.5, None):
        with pytest.raises(InputError, match="n_points"):
            points.ORBFeature(wrong).detect_and_describe(SCENE)


def test_equal_scores_are_ordered_by_place() -> None:
    xy = np.random.default_rng(0).permutation(np.stack(np.mgrid[:5, :5], 2).reshape(-1, 2))
    tied = Keypoints(xy, score=np.ones(25))
    order = local.best_first(tied, 25)
    assert tied.xy[order].tolist() == sorted(xy.tolist(), key=lambda p: (p[1], p[0]))


@pytest.mark.parametrize(
    ("name", "reach_px", "near_px"),
    # ORB's levels have no common grid in a tile and in the picture
    [("sift", 6, 0.01), ("akaze", 6, 0.01), ("fast+rootsift", 8, 0.01), ("orb", 45, 1.5)],
)
def test_huge_pictures_are_worked_in_tiles(
    monkeypatch: pytest.MonkeyPatch, name: str, reach_px: float, near_px: float
) -> None:
    """Points and rows in tiles of at most 256 px are those of the whole picture, but the large ones'."""
    image = texture(300)
    feature = clone(FEATURES[name]).set_params(n_points=2000)
    whole, rows = feature.detect_and_describe(image)
    monkeypatch.setattr(local, "MAX_PIXELS", 256 * 256)
    monkeypatch.setattr(local, "MARGIN", 32)
    seen = _spy(monkeypatch, feature)
    parts, part_rows = feature.detect_and_describe(image)
    assert len(seen) >= 4 and max(h * w for h, w in seen) <= 256 * 256
    assert (np.diff(parts.score) <= 0).all() and len(part_rows) == len(parts)
    small = whole.size < reach_px
    gap = np.linalg.norm(whole.xy[small, None] - parts.xy[None], axis=2)
    near = gap.min(axis=1) < near_px
    assert small.sum() > 100 and near.mean() > 0.9, near.mean()
    if near_px < 1:
        off = np.linalg.norm(rows[small].astype(float) - part_rows[gap.argmin(axis=1)], axis=1)[near]
        assert np.median(off) < 1e-3 * np.linalg.norm(rows.astype(float), axis=1).mean()
    assert feature.compute(image, whole).any(axis=1).mean() > 0.95


def _spy(monkeypatch: pytest.MonkeyPatch, feature: Any) -> list[tuple[int, int]]:
    """Sizes of the pictures that a feature, or the halves of a pair, really work on."""
    seen: list[tuple[int, int]] = []
    for part in (feature, getattr(feature, "detector", None), getattr(feature, "descriptor", None)):
        for name in ("_find", "_rows"):
            if hasattr(part, name):
                real = getattr(type(part), name)

                def watched(self: Any, grey: Array, *more: Any, real: Any = real) -> Any:
                    seen.append(grey.shape)
                    return real(self, grey, *more)

                monkeypatch.setattr(type(part), name, watched)
    return seen


def test_every_point_has_one_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MAX_PIXELS", 200 * 200)
    monkeypatch.setattr(local, "MARGIN", 30)
    parts = local.tiles((777, 1003))
    xy = np.random.default_rng(0).uniform(-50, 1100, (4000, 2)).astype(np.float32)
    xy = np.concatenate([xy, np.rint(xy), np.rint(xy) + np.float32(0.5)])
    assert len(parts) > 9 and (sum(t.owns(xy).astype(int) for t in parts) == 1).all()
    for tile in parts:
        (rows, columns), (left, top, right, bottom) = tile.window, tile.core
        assert (rows.stop - rows.start) * (columns.stop - columns.start) <= 270**2
        assert columns.start <= max(left - 29, 0) and columns.stop >= min(right + 29, 1003)
        assert rows.start <= max(top - 29, 0) and rows.stop >= min(bottom + 29, 777)


# -- pairings ------------------------------------------------------------------------------------


def test_a_pair_of_one_method_is_that_method() -> None:
    for name in ("sift", "orb"):
        alone = clone(FEATURES[name]).set_params(n_points=150)
        pair = points.Paired(clone(alone), clone(alone), 150)
        (a, rows_a), (b, rows_b) = alone.detect_and_describe(SCENE), pair.detect_and_describe(SCENE)
        np.testing.assert_array_equal(a.xy, b.xy)
        np.testing.assert_allclose(rows_a, rows_b, atol=1e-3)


def test_windows_by_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor sees nothing beyond its window (and its taper), and something near its edge."""
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (301, 301), np.uint8), (0, 0), 1.5)
    methods = {
        "SIFT": points.SIFTFeature(),
        "SURF": points.SURFFeature(upright=True),
        "ORB": points.ORBFeature(n_levels=1),
        "BEBLID": points.BEBLID(),
        "BRISK": points.BRISKFeature(),
        "AKAZE": points.AKAZEFeature(upright=True),
    }
    for name, method in methods.items():
        size = 31.0 if name == "ORB" else 120.0 / pairing.window_of(method)
        half = pairing.window_of(method) * size / 2
        point = Keypoints([[150, 150]], size=[size], angle=[0.0])
        before = method.compute(image, point).astype(float)

        def changed(radius: float, method: Any = method, point: Any = point, before: Any = before) -> bool:
            other = image.copy()
            y, x = np.mgrid[:301, :301]
            outside = np.maximum(np.abs(x - 150), np.abs(y - 150)) > radius
            other[outside] = 255 - other[outside]
            return not np.allclose(method.compute(other, point), before, atol=1e-3)

        assert changed(0.5 * half), f"{name} does not look as far as half its window"
        assert not changed(2.0 * half), f"{name} looks twice as far as its window"


def test_rescaling_gains() -> None:
    """ORB's points with SIFT's rows: taken at its word, ORB's size asks for a window six times too wide."""
    image = texture(300, 4)
    turn = cv2.getRotationMatrix2D((149.5, 149.5), 25, 0.8)
    warped = cv2.warpAffine(image, turn, (300, 300), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)

    def correct(scale: str | float) -> float:
        feature = points.Paired(points.ORBFeature(), points.SIFTFeature(), 300, scale=scale)
        (a, rows_a), (b, rows_b) = feature.detect_and_describe(image), feature.detect_and_describe(warped)
        found = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(rows_a, rows_b)
        i, j = np.array([(m.queryIdx, m.trainIdx) for m in found]).T
        there = a.xy[i] @ turn[:, :2].T + turn[:, 2]
        return float((np.linalg.norm(there - b.xy[j], axis=1) < 3).mean())

    assert correct("window") > 1.2 * correct(1.0)


@pytest.mark.parametrize("angle", [0.0, 30.0, 135.0, 260.0])
def test_centroid_angle_points_to_the_bright_side(angle: float) -> None:
    y, x = np.mgrid[:101, :101] - 50.0
    a = np.deg2rad(angle)
    ramp = (128 + 1.2 * (np.cos(a) * x + np.sin(a) * y)).round().astype(np.uint8)
    found = pairing.centroid_angles(ramp, np.array([[50.0, 50.0]]), np.array([15.0]))
    assert abs((found[0] - angle + 180) % 360 - 180) < 1
    blank = pairing.centroid_angles(np.zeros((40, 40), np.uint8), np.array([[1e8, -3.0]]), np.array([9.0]))
    assert blank.tolist() == [0.0]


def test_centroid_angles_are_orbs() -> None:
    found = points.ORBFeature(300, n_levels=1).detect(SCENE)
    ours = pairing.centroid_angles(SCENE, found.xy, np.full(len(found), 15.0))
    off = (ours - found.angle + 180) % 360 - 180
    assert np.median(np.abs(off)) < 1


def test_pairs_say_what_they_lack() -> None:
    class Stranger(points.ORBFeature):
        pass

    with pytest.raises(InputError, match="Stranger"):
        points.Paired(points.FAST(), Stranger()).detect_and_describe(SCENE)
    assert len(points.Paired(points.FAST(), Stranger(), 30, scale=4.0).detect_and_describe(SCENE)[0]) == 30
    Stranger.window = 1.0
    assert len(points.Paired(points.FAST(), Stranger(), 30).detect_and_describe(SCENE)[0]) == 30
    for wrong in ({"scale": "wide"}, {"scale": 0.0}, {"angle": "north"}, {"n_points": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            points.Paired(points.FAST(), points.BEBLID(), **wrong).detect_and_describe(SCENE)
    for half in (points.FAST(), points.Corners(), points.BEBLID(), points.FREAK()):
        with pytest.raises(InputError, match="pair it"):
            half.detect_and_describe(SCENE)
    with pytest.raises(InputError, match="n_bits"):
        points.Paired(points.FAST(), points.BEBLID(100)).detect_and_describe(SCENE)


def test_upright_pairs_have_no_angle() -> None:
    found, _ = points.Paired(
        points.ORBFeature(), points.SIFTFeature(), 30, angle="upright"
    ).detect_and_describe(SCENE)
    assert (found.angle == 0).all()


# -- OpenCV's doors ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rootsift", "orb", "akaze", "orb+beblid"])
def test_feature2d_speaks_opencvs_types(name: str) -> None:
    door = points.as_feature2d(FEATURES[name])
    assert not isinstance(door, cv2.Feature2D) and not door.empty()
    found, rows = door.detectAndCompute(SCENE, None)
    assert isinstance(found, tuple) and all(type(p) is cv2.KeyPoint for p in found)
    assert rows.shape == (len(found), door.descriptorSize()) and 100 < len(found) <= 200
    assert {np.float32: cv2.CV_32F, np.uint8: cv2.CV_8U}[rows.dtype.type] == door.descriptorType()
    matches = cv2.BFMatcher(door.defaultNorm(), crossCheck=True).match(rows, rows)
    assert np.mean([m.queryIdx == m.trainIdx for m in matches]) > 0.95
    picture = cv2.drawMatches(SCENE, found, SCENE, found, matches, None)
    assert picture.shape == (177, 354, 3)
    index: dict[str, Any] = {"algorithm": 1, "trees": 4}  # k-d trees
    if door.descriptorType() == cv2.CV_8U:  # hashing
        index = {"algorithm": 6, "table_number": 6, "key_size": 12, "multi_probe_level": 1}
    assert len(cv2.FlannBasedMatcher(index, {}).knnMatch(rows, rows, 1)) == len(rows)
    again, same = door.compute(SCENE, found[::-1])
    assert [p.pt for p in again] == [p.pt for p in found[::-1]]
    np.testing.assert_allclose(same, rows[::-1], atol=1e-3)
    assert {p.pt for p in door.detect(SCENE)} == {p.pt for p in found}
    assert door.getDefaultName() == f"Feature2D.{type(FEATURES[name]).__name__}"


def test_feature2d_honours_masks_and_drops_points_without_rows() -> None:
    mask = np.zeros(SCENE.shape, np.uint8)
    mask[:, 80:] = 255
    door = points.as_feature2d(points.ORBFeature(60))
    for found in (door.detect(SCENE, mask), door.detectAndCompute(SCENE, mask)[0]):
        assert len(found) == 60 and all(p.pt[0] >= 79.5 for p in found)
    found, rows = door.detectAndCompute(SCENE, np.zeros_like(mask))
    assert found == () and rows.shape == (0, 32) and rows.dtype == np.uint8
    assert cv2.BFMatcher(door.defaultNorm()).match(rows, rows) == ()
    corner, middle = cv2.KeyPoint(1, 1, 31), cv2.KeyPoint(88, 88, 31)
    kept, rows = door.detectAndCompute(SCENE, None, (corner, middle, corner), useProvidedKeypoints=True)
    assert [p.pt for p in kept] == [(88, 88)] and len(rows) == 1
    with pytest.raises(InputError, match="keypoints"):
        door.detectAndCompute(SCENE, None, useProvidedKeypoints=True)
    for wrong in (mask[:-1], mask.astype(float)):
        with pytest.raises(InputError, match="mask"):
            door.detect(SCENE, wrong)


def test_from_feature2d() -> None:
    feature = points.FromFeature2D(cv2.SIFT.create, 40)
    assert isinstance(feature, LocalFeature) and (feature.norm, feature.n_features) == ("L2", 128)
    found, rows = feature.detect_and_describe(SCENE)
    order = np.random.default_rng(0).permutation(40)
    np.testing.assert_allclose(feature.compute(SCENE, found[order]), rows[order], atol=1e-3)
    with pytest.raises(InputError, match=r"not a cv2\.Feature2D"):
        points.FromFeature2D(dict).detect(SCENE)
    with pytest.raises(InputError, match="SIFT"):
        feature.compute(SCENE, Keypoints([[90, 90]], size=[9], octave=[77]))


# -- others' nets --------------------------------------------------------------------------------


def write_graph(
    path: Path,
    inputs: dict[str, Any],
    constants: dict[str, Array],
    size_hw: tuple[int, int] = (96, 128),
    channels: int = 3,
) -> Path:
    """A graph whose outputs are ``constants``, the scores multiplied by the picture's mean."""
    onnx = pytest.importorskip("onnx")
    h, kind = onnx.helper, onnx.TensorProto
    shapes = inputs or {"image": (kind.FLOAT, [1, channels, *size_hw])}
    first = next(iter(shapes))
    stored = [onnx.numpy_helper.from_array(np.zeros(1, np.float32), "zero")]
    nodes = [h.make_node("ReduceMean", [first], ["mean"], keepdims=0)]
    nodes.append(h.make_node("Mul", ["mean", "zero"], ["nothing"]))
    outputs = []
    for name, value in constants.items():
        stored.append(onnx.numpy_helper.from_array(value, f"{name}_0"))
        if value.dtype != np.float32:
            nodes.append(h.make_node("Identity", [f"{name}_0"], [name]))
        elif name == "scores":
            nodes.append(h.make_node("Mul", [f"{name}_0", "mean"], [name]))
        else:
            nodes.append(h.make_node("Add", [f"{name}_0", "nothing"], [name]))
        outputs.append(h.make_tensor_value_info(name, h.np_dtype_to_tensor_dtype(value.dtype), value.shape))
    given_in = [h.make_tensor_value_info(n, t, s) for n, (t, s) in shapes.items()]
    model = h.make_model(
        h.make_graph(nodes, "tiny", given_in, outputs, stored),
        opset_imports=[h.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


N_XY = np.array([[-0.5, -0.25], [0.0, 0.5], [0.75, 0.0], [0.25, np.nan], [3.0, 0.0]], np.float32)
SCORE = np.array([0.25, 1.0, 0.5, 2.0, 3.0], np.float32)
ROWS = np.eye(5, 7, dtype=np.float32) * 3
FLAT = {"keypoints": N_XY, "descriptors": ROWS, "scores": SCORE[:, None]}


@pytest.fixture
def picture() -> Array:
    return np.ascontiguousarray(np.dstack([texture(257)] * 3)[:192, :256])


@pytest.mark.parametrize("engine", ["onnxruntime", "cv2.dnn"])
@pytest.mark.parametrize(
    ("coordinates", "first"),
    [
        ("corners", ((0.5 * 127 + 0.5) * 2 - 0.5, (0.75 * 95 + 0.5) * 2 - 0.5)),
        ("edges", (127.5, 143.5)),
        ("opencv", (128.0, 144.0)),
        ("pixel", (0.5, 1.5)),
    ],
)
def test_any_graph_with_the_contract(
    tmp_path: Path, picture: Array, engine: str, coordinates: str, first: tuple[float, float]
) -> None:
    """Coordinates by hand: the graph looks at 128 x 96 px of a picture of 256 x 192."""
    if engine == "onnxruntime":
        pytest.importorskip("onnxruntime")
    path = write_graph(tmp_path / "net.onnx", {}, FLAT)
    options = {"n_features": 7, "size_hw": (96, 128), "engine": engine}
    feature = points.OnnxFeature(path, coordinates=coordinates, **options)
    found, rows = feature.detect_and_describe(picture)
    # NaN, and what lies outside the picture, is left out
    assert len(found) == len(rows) == 3 and rows.dtype == np.float32
    best = 1 if coordinates == "pixel" else 0
    np.testing.assert_allclose(found.xy[best], first, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert rows[best].argmax() == 1 and (np.diff(found.score) <= 0).all()
    assert len(clone(feature).set_params(n_points=2).detect(picture)) == 2
    blank, none = feature.detect_and_describe(np.full((40, 40), 7, np.uint8))
    assert len(blank) == 0 and none.shape == (0, 7)
    copy.deepcopy(feature)


def test_a_graph_of_any_size_and_of_one_channel(tmp_path: Path, picture: Array) -> None:
    """Sides are filled up to the multiple; positions stay those of the picture."""
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    shape = {"x": (onnx.TensorProto.FLOAT, [1, 1, "h", "w"])}
    outputs = {"keypoints": N_XY[None] * 40, "descriptors": ROWS[None], "scores": SCORE[None]}
    path = write_graph(tmp_path / "net.onnx", shape, outputs)
    feature = points.OnnxFeature(path, n_features=7, channels=1, multiple=32)
    found = feature.detect(picture[:100, :90])
    np.testing.assert_allclose(found.xy, [[0, 20], [30, 0]], atol=1e-4)
    assert len(clone(feature).set_params(threshold=found.score[0] - 1e-3).detect(picture[:100, :90])) == 1


def test_large_pictures_are_shrunk_for_a_graph(
    tmp_path: Path, picture: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    import hybridkp.points.onnx as module

    monkeypatch.setattr(module, "MAX_PIXELS", picture.shape[0] * picture.shape[1] // 4)
    shape = {"x": (onnx.TensorProto.FLOAT, [1, 3, "h", "w"])}
    path = write_graph(tmp_path / "net.onnx", shape, FLAT)
    found = points.OnnxFeature(path, n_features=7, coordinates="edges").detect(picture)
    np.testing.assert_allclose(found.xy[0], [127.5, 143.5], atol=1e-3)


def test_maps_are_read_to_a_fraction_of_a_pixel(tmp_path: Path) -> None:
    """Two maps, told apart by their shapes, in an input of a fixed size: grey is the score at full size, and
    rows come from its mean over cells of 8 px.  A picture of another ratio stands in a letter-box."""
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    h = onnx.helper
    weights = {"w": np.stack([np.ones((1, 1, 1)), -np.ones((1, 1, 1))]).astype(np.float32)}
    nodes = [
        h.make_node("Identity", ["x"], ["heat"]),
        h.make_node("AveragePool", ["x"], ["mean"], kernel_shape=[8, 8], strides=[8, 8]),
        h.make_node("Conv", ["mean", "w"], ["rows"]),
    ]
    given = [h.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1, 96, 128])]
    shapes = {"rows": [1, 2, 12, 16], "heat": [1, 1, 96, 128]}
    out = [h.make_tensor_value_info(k, onnx.TensorProto.FLOAT, v) for k, v in shapes.items()]
    stored = [onnx.numpy_helper.from_array(v, k) for k, v in weights.items()]
    graph = h.make_graph(nodes, "maps", given, out, stored)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8)
    (tmp_path / "maps.onnx").write_bytes(model.SerializeToString())
    truth = np.array([[40.3, 50.25], [90.6, 70.4], [70.0, 20.75]])
    y, x = np.mgrid[:96, :100]
    blobs = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / 18) for a, b in truth)
    picture = np.rint(250 * blobs).astype(np.uint8)  # 100 px wide: 28 px of the input are filled
    feature = points.OnnxFeature(tmp_path / "maps.onnx", threshold=0.5)
    found, rows = feature.detect_and_describe(picture)
    away = np.linalg.norm(found.xy[:, None] - truth, axis=2)
    assert len(found) == 3 and away.min(0).max() < 0.1
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    double = cv2.resize(picture, (200, 192), interpolation=cv2.INTER_LINEAR)
    twice, _ = feature.detect_and_describe(double)
    away = np.linalg.norm(twice.xy[:, None] - ((truth + 0.5) * 2 - 0.5), axis=2)
    assert len(twice) == 3 and away.min(0).max() < 0.25


def test_any_graph_is_an_expression(tmp_path: Path, picture: Array) -> None:
    """Sizes and dimensions are the graph's own; what a matcher needs stands in brackets."""
    pytest.importorskip("onnxruntime")
    path = write_graph(tmp_path / "net.onnx", {}, FLAT)
    matcher = make_matcher(f'onnx[file="{path}",coordinates=edges,rule=ratio]', 2)
    found = matcher.match(picture, picture)
    assert len(found.keypoints_a) == 2 and matcher.feature.n_features is None
    with pytest.raises(InputError, match="names no file"):
        make_matcher("onnx").match(picture, picture)
    chain = make_matcher(f'lightglue[file="{path}"](aliked[file="{path}"])', 5)
    assert chain.feature.n_points == 5
    if MAJOR < 5:
        with pytest.raises(InputError, match="opencv-contrib-python>=5"):
            chain.match(picture, picture)


HOSTILE = {
    "missing": None,
    "empty": b"",
    "junk": b"not a graph" * 40,
    "truncated": "cut",
    "folder": "folder",
}


@pytest.mark.parametrize("how", HOSTILE)
@pytest.mark.parametrize("kind", ["onnxruntime", "cv2.dnn", "aliked", "disk", "lightglue"])
def test_hostile_files_are_named(tmp_path: Path, picture: Array, how: str, kind: str) -> None:
    path = tmp_path / "bad net.onnx"
    if how == "truncated":
        write_graph(path, {}, FLAT)
        path.write_bytes(path.read_bytes()[:150])
    elif how == "folder":
        path.mkdir()
    elif how != "missing":
        path.write_bytes(HOSTILE[how])  # type: ignore[arg-type]
    if kind == "lightglue":
        matcher = points.LightGlueMatcher(points.SIFTFeature(20), path)
        run: Callable[[], Any] = lambda: matcher.match(picture, picture)  # noqa: E731
    else:
        feature = {
            "aliked": points.AlikedFeature(path),
            "disk": points.DiskFeature(path),
        }.get(kind) or points.OnnxFeature(path, engine=kind)
        run = lambda: feature.detect(picture)  # noqa: E731
    with pytest.raises(InputError) as caught:
        run()
    known = MAJOR >= 5 or kind not in ("aliked", "disk", "lightglue") or how in ("missing", "folder")
    assert ("bad net.onnx" if known else "opencv-contrib-python>=5") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_graphs_that_do_not_keep_the_contract(tmp_path: Path, picture: Array) -> None:
    pytest.importorskip("onnxruntime")
    good = write_graph(tmp_path / "good.onnx", {}, FLAT)
    short = write_graph(tmp_path / "short.onnx", {}, FLAT | {"scores": SCORE[:3]})
    bare = write_graph(tmp_path / "bare.onnx", {}, FLAT | {"descriptors": ROWS[:, :0]})
    no_map = write_graph(
        tmp_path / "no_map.onnx", {}, {"a": np.zeros((1, 1, 8, 8)), "b": np.zeros((1, 0, 8, 8))}
    )
    no_px = write_graph(
        tmp_path / "no_px.onnx", {}, {"a": np.zeros((1, 1, 0, 0)), "b": np.zeros((1, 7, 0, 0))}
    )
    cases = {
        "n_features=7": points.OnnxFeature(good, n_features=64, size_hw=(96, 128), coordinates="edges"),
        "short.onnx": points.OnnxFeature(short, n_features=7, size_hw=(96, 128)),
        "set size_hw": points.OnnxFeature(good, n_features=7, size_hw=(64, 64)),
        "outputs points": points.OnnxFeature(good, outputs=("points", "descriptors", "scores")),
        "coordinates": points.OnnxFeature(good, n_features=7, size_hw=(96, 128), coordinates="polar"),
        "channels": points.OnnxFeature(good, channels=2),
        "n_points": points.OnnxFeature(good, n_points=0),
        r"got .*, \(5, 0\)": points.OnnxFeature(bare, size_hw=(96, 128)),
        r"\(1, 0, 8, 8\) are no map": points.OnnxFeature(no_map, size_hw=(96, 128)),
        r"\(1, 7, 0, 0\) are no map": points.OnnxFeature(no_px, size_hw=(96, 128)),
        "size_hw must be a whole number": points.OnnxFeature(good, size_hw=(0, 128)),
        r"size_hw is \(H, W\), got 'ab'": points.AlikedFeature(good, size_hw="ab"),  # type: ignore[arg-type]
        "over 16 megapixels": points.DiskFeature(good, size_hw=(10**6, 10**6)),
        "multiple must be": points.OnnxFeature(good, multiple=10**7),
        "threshold must be": points.OnnxFeature(good, threshold="a"),  # type: ignore[arg-type]
        "outputs are names": points.OnnxFeature(good, outputs="scores"),  # type: ignore[arg-type]
        "file=None names no file": points.OnnxFeature(None),  # type: ignore[arg-type]
    }
    for words, feature in cases.items():
        with pytest.raises(InputError, match=words):
            feature.detect_and_describe(picture)


@pytest.mark.skipif(MAJOR >= 5, reason="this OpenCV has them")
def test_old_opencv_names_the_cure(tmp_path: Path, picture: Array) -> None:
    path = write_graph(tmp_path / "net.onnx", {}, FLAT)
    for feature in (points.AlikedFeature(path), points.DiskFeature(path)):
        with pytest.raises(InputError, match="opencv-contrib-python>=5"):
            feature.detect(picture)


new_opencv = pytest.mark.skipif(MAJOR < 5, reason="cv2.ALIKED, DISK and LightGlueMatcher came with OpenCV 5")


@new_opencv
def test_aliked(tmp_path: Path, picture: Array) -> None:
    path = write_graph(tmp_path / "net.onnx", {}, {k: v[:3] for k, v in FLAT.items()})
    for coordinates, want in {
        "corners": ((0.5 * 127 + 0.5) * 2 - 0.5, (0.75 * 95 + 0.5) * 2 - 0.5),
        "edges": (127.5, 143.5),
        "opencv": (128.0, 144.0),
    }.items():
        feature = points.AlikedFeature(path, n_features=7, size_hw=(96, 128), coordinates=coordinates)
        found, rows = feature.detect_and_describe(picture)
        np.testing.assert_allclose(found.xy[0], want, atol=1e-3)
        assert rows.shape == (3, 7) and rows[0].argmax() == 1
    with pytest.raises(InputError, match="n_features=7"):
        points.AlikedFeature(path, n_features=128, size_hw=(96, 128)).detect(picture)
    with pytest.raises(InputError, match="coordinates"):
        points.AlikedFeature(path, coordinates="pixel").detect(picture)


@new_opencv
def test_disk(tmp_path: Path, picture: Array) -> None:
    xy = np.array([[[10, 20], [60, 40], [127, 95]]], np.int64)
    outputs = {"keypoints": xy, "scores": SCORE[None, :3], "descriptors": ROWS[None, :3]}
    path = write_graph(tmp_path / "net.onnx", {}, outputs)
    feature = points.DiskFeature(path, n_features=7, size_hw=(96, 128))
    found, rows = feature.detect_and_describe(picture)
    np.testing.assert_allclose(found.xy, [[120.5, 80.5], [254.5, 190.5], [20.5, 40.5]], atol=1e-4)
    np.testing.assert_allclose(rows, np.eye(5, 7)[[1, 2, 0]], atol=1e-6)


@new_opencv
def test_lightglue(tmp_path: Path, picture: Array) -> None:
    onnx = pytest.importorskip("onnx")
    kind = onnx.TensorProto.FLOAT
    shapes = {
        "kpts0": (kind, [1, "n", 2]),
        "kpts1": (kind, [1, "m", 2]),
        "desc0": (kind, [1, "n", 128]),
        "desc1": (kind, [1, "m", 128]),
    }
    matches = np.array([[0, 4], [3, 1], [7, 7], [5, 1]], np.int64)
    score = np.array([0.5, 0.75, 1.0, 0.25], np.float32)
    path = write_graph(tmp_path / "glue.onnx", shapes, {"matches0": matches, "mscores0": score})
    feature = points.SIFTFeature(20)
    found, rows = feature.detect_and_describe(picture)
    features = points.onnx.Features(found, rows, picture.shape[:2])
    answer = points.LightGlue(path).match(features, features)
    assert answer.index_a.tolist() == [7, 3, 0] and answer.index_b.tolist() == [7, 1, 4]
    np.testing.assert_allclose(answer.score, [1.0, 0.75, 0.5], atol=1e-6)
    assert len(points.LightGlue(path, threshold=0.6).match(features, features).score) == 2
    nothing = points.onnx.Features(found[:0], rows[:0], picture.shape[:2])
    assert len(points.LightGlue(path).match(features, nothing).score) == 0
    whole = points.LightGlueMatcher(feature, path).match(picture, picture)
    assert len(whole.score) == 3 and np.isnan(whole.homography).all() and not whole.inlier.any()
    assert set(whole.seconds) == {"detect", "match", "estimate"}
