"""Our own point network as a local feature: decoding, engines, alignment, the ALIKED door."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.base import clone

from hybridkp.datasets import make_pairs
from hybridkp.imaging.geometry import apply_homography
from hybridkp.points.dense import peaks, sample_rows, soft_argmax
from hybridkp.points.net import SHIPPED, NetFeature, open_net
from hybridkp.structures import InputError, Keypoints

OPENCV_5 = int(cv2.__version__.split(".")[0]) >= 5


def scene(height: int = 160, width: int = 224, seed: int = 0) -> np.ndarray:
    """Polygons over a smooth ground, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    ground = rng.uniform(60, 190, (4, 6, 3)).astype(np.float32)
    out = cv2.resize(ground, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(14):
        corners = rng.uniform(0, [width, height], 2) + rng.uniform(-30, 30, (4, 2))
        hull = cv2.convexHull(np.rint(corners).astype(np.int32))
        cv2.fillConvexPoly(out, hull, rng.uniform(0, 255, 3).tolist(), cv2.LINE_AA)
    return cv2.GaussianBlur(out, (0, 0), 0.7).clip(0, 255).astype(np.uint8)


# ------------------------------------------------------------------------------ decoding
def test_peaks_come_best_first_and_ties_in_reading_order() -> None:
    logits = np.full((20, 30), -9.0, np.float32)
    for x, y, value in ((8, 10, 1.0), (20, 10, 3.0), (14, 6, 1.0), (2, 10, 9.0), (24, 14, -5.0)):
        logits[y, x] = value
    assert peaks(logits, 10, -4.0).tolist() == [[20, 10], [14, 6], [8, 10]]  # the border's 9 is none
    assert peaks(logits, 2, -4.0).tolist() == [[20, 10], [14, 6]]
    assert peaks(logits, 10, -6.0).tolist()[-1] == [24, 14]


def test_peaks_leave_one_of_two_neighbours() -> None:
    logits = np.full((20, 30), -9.0, np.float32)
    logits[10, 10], logits[11, 12] = 1.0, 2.0
    assert peaks(logits, 10, 0.0, radius=2).tolist() == [[12, 11]]
    assert peaks(logits, 10, 0.0, radius=1).tolist() == [[12, 11], [10, 10]]


def test_peaks_of_a_map_without_an_inside() -> None:
    assert peaks(np.zeros((8, 40), np.float32), 10, -1.0).shape == (0, 2)


def test_soft_argmax_by_hand() -> None:
    logits = np.full((11, 11), -50.0, np.float32)
    logits[5, 5], logits[5, 6], logits[4, 5] = np.log([0.5, 0.25, 0.25])
    xy, spread = soft_argmax(logits, np.array([[5, 5]]), 1.0)
    np.testing.assert_allclose(xy, [[5.25, 4.75]], atol=1e-5)
    np.testing.assert_allclose(spread, [0.5 - 2 * 0.25**2], atol=1e-5)


def test_rows_are_read_where_cells_lie() -> None:
    cells = np.arange(6, dtype=np.float32) * 4 + 1.5  # the px of the cells' centres
    x, y = np.meshgrid(cells, cells[:5])
    ramp = np.stack([x, y, np.full_like(x, 10.0)])
    at = np.array([[5.5, 9.5], [7.0, 3.25], [0.0, 30.0]], np.float32)
    want = np.concatenate([at.clip([1.5, 1.5], [21.5, 17.5]), np.full((3, 1), 10)], 1)
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    np.testing.assert_allclose(sample_rows(ramp, at), want, atol=1e-6)


# ------------------------------------------------------------------------------ the feature
def test_points_and_rows_of_a_picture() -> None:
    feature, image = NetFeature(n_points=120), scene()
    keypoints, rows = feature.detect_and_describe(image)
    assert rows.shape == (len(keypoints), feature.n_features) == (len(keypoints), 64)
    assert 40 < len(keypoints) <= 120
    assert rows.dtype == np.float32
    assert (np.diff(keypoints.score) <= 0).all()
    assert ((keypoints.xy >= 3) & (keypoints.xy <= [220, 156])).all()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    fewer = NetFeature(n_points=30).detect(image)
    np.testing.assert_array_equal(fewer.xy, keypoints.xy[:30])


def test_two_runs_agree_exactly() -> None:
    first, second = (NetFeature().detect_and_describe(scene()) for _ in range(2))
    np.testing.assert_array_equal(first[0].xy, second[0].xy)
    np.testing.assert_array_equal(first[1], second[1])


def test_rows_at_foreign_points_keep_their_order() -> None:
    feature, image = NetFeature(n_points=60), scene()
    keypoints, rows = feature.detect_and_describe(image)
    order = np.random.default_rng(0).permutation(len(keypoints))
    np.testing.assert_allclose(feature.compute(image, keypoints[order]), rows[order], atol=2e-6)
    corners = Keypoints(np.array([[0, 0], [223, 159], [-3, 500]], np.float32))
    assert np.isfinite(feature.compute(image, corners)).all()
    assert feature.compute(image, Keypoints(np.zeros((0, 2)))).shape == (0, 64)


def ground(height: int = 240, width: int = 320, seed: int = 0) -> np.ndarray:
    """Spots and ridges of several sizes, (H, W) uint8: a picture without straight edges."""
    rng, out = np.random.default_rng(seed), np.zeros((height, width))
    for sigma in (1.5, 3.0, 6.0):
        part = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), sigma)
        out += part / part.std()
    return (128 + 32 * out).clip(0, 255).astype(np.uint8)


def nearest_steps(xy: np.ndarray, other: np.ndarray) -> np.ndarray:
    """From each point to its nearest of ``other``, (M, 2), where that is within 2 px."""
    step = other - xy[:, None]
    far = np.linalg.norm(step, axis=2)
    return step[np.arange(len(xy)), far.argmin(1)][far.min(1) < 2]


@pytest.mark.parametrize("axes", [(1,), (0,), (0, 1)])
def test_points_of_a_mirrored_picture_lie_mirrored(axes: tuple[int, ...]) -> None:
    """A half pixel in the decoding would show as a whole one here."""
    image = ground()
    turned = NetFeature(1500, threshold=0.005).detect(np.flip(image, axes)).xy
    for axis in axes:
        turned[:, 1 - axis] = image.shape[axis] - 1 - turned[:, 1 - axis]
    off = nearest_steps(NetFeature(300).detect(image).xy, turned)
    assert len(off) > 100
    assert np.abs(np.median(off, 0)).max() < 0.15


@pytest.mark.parametrize("move", [(0.5, 0.25), (-0.3, 0.5), (0.75, -0.6)])
def test_points_move_by_fractions_of_a_pixel(move: tuple[float, float]) -> None:
    image = ground(seed=1)
    matrix = np.array([[1, 0, move[0]], [0, 1, move[1]]])
    moved = cv2.warpAffine(image, matrix, (320, 240), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    there = NetFeature(1500, threshold=0.005).detect(moved).xy - np.array(move, np.float32)
    off = nearest_steps(NetFeature(200).detect(image).xy, there)
    assert len(off) > 100
    assert np.abs(np.median(off, 0)).max() < 0.1
    assert np.median(np.abs(off), 0).max() < 0.3


def test_both_engines_give_the_same_points() -> None:
    pytest.importorskip("onnxruntime")
    image = scene(150, 211)  # no multiples of 16
    (points_a, rows_a), (points_b, rows_b) = (
        NetFeature(n_points=100, engine=e).detect_and_describe(image) for e in ("onnxruntime", "cv2.dnn")
    )
    np.testing.assert_allclose(points_a.xy, points_b.xy, atol=1e-3)
    np.testing.assert_allclose(rows_a, rows_b, atol=1e-4)


def test_what_moves_with_the_picture_moves_its_points() -> None:
    image = scene(224, 256)
    part = image[32:, 48:]
    whole, cut = NetFeature(2000, threshold=0.005).detect(image), NetFeature(200).detect(part)
    far = np.linalg.norm(whole.xy[:, None] - [48, 32] - cut.xy, axis=2)
    inner = ((cut.xy > 40) & (cut.xy < [168, 152])).all(1)
    assert inner.sum() > 25
    assert np.median(far.min(0)[inner]) < 0.1


def test_a_shrunk_picture_has_its_points_in_its_own_pixels() -> None:
    small = scene(96, 128)
    large = cv2.resize(small, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    feature = NetFeature(n_points=40, max_megapixels=small[..., 0].size / 1e6)
    want, rows = feature.detect_and_describe(small)
    found, rows_large = feature.detect_and_describe(large)
    np.testing.assert_allclose(found.xy, (want.xy + 0.5) * 2 - 0.5, atol=1e-3)
    np.testing.assert_allclose(rows_large, rows, atol=1e-4)
    np.testing.assert_allclose(feature.compute(large, found), rows, atol=1e-3)


@pytest.mark.parametrize("size_hw", [(2, 2), (9, 9), (9, 200), (17, 33)])
@pytest.mark.parametrize("grey", [0, 137])
def test_blank_and_tiny_pictures_have_no_points(size_hw: tuple[int, int], grey: int) -> None:
    keypoints, rows = NetFeature().detect_and_describe(np.full(size_hw, grey, np.uint8))
    assert len(keypoints) == 0
    assert rows.shape == (0, 64)
    noise = np.random.default_rng(0).integers(0, 255, size_hw, dtype=np.uint8)
    keypoints, rows = NetFeature().detect_and_describe(noise)
    assert len(keypoints) == len(rows)


def test_any_picture_array_is_welcome() -> None:
    grey = cv2.cvtColor(scene(), cv2.COLOR_BGR2GRAY)
    want = NetFeature(n_points=50).detect(grey).xy
    alpha = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    for image in (grey.astype(np.uint16) * 257, grey / 255.0, alpha, grey[..., None]):
        np.testing.assert_array_equal(NetFeature(n_points=50).detect(image).xy, want)


def test_the_estimator_holds_no_engine() -> None:
    feature = NetFeature(n_points=10)
    want = feature.detect(scene()).xy
    for copy in (clone(feature), pickle.loads(pickle.dumps(feature))):
        np.testing.assert_array_equal(copy.detect(scene()).xy, want)
    assert set(vars(feature)) == set(feature.get_params())


@pytest.mark.parametrize("engine", ["auto", "cv2.dnn"])
@pytest.mark.parametrize("content", ["nothing", "half", "noise", "other"])
def test_a_broken_file_is_named(tmp_path: Path, content: str, engine: str) -> None:
    good = SHIPPED.read_bytes()
    data = {
        "nothing": b"",
        "half": good[: len(good) // 2],
        "noise": np.random.default_rng(0).bytes(5000),
        "other": good.replace(b"logits", b"logitz"),
    }[content]
    path = tmp_path / "broken.onnx"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"broken\.onnx"):
        open_net(path, engine)


def test_wrong_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent"):
        NetFeature(weights=tmp_path / "absent.onnx").detect(scene())
    with pytest.raises(InputError, match="engine"):
        NetFeature(engine="tpu").detect(scene())


# ------------------------------------------------------------------------------ OpenCV's ALIKED
def _near(xy: np.ndarray, other: np.ndarray) -> float:
    return float((np.linalg.norm(xy[:, None] - other, axis=2).min(1) < 0.05).mean())


@pytest.fixture(scope="module")
def aliked_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from hybridkp.deep import export_aliked

    path = tmp_path_factory.mktemp("aliked") / "net.onnx"
    export_aliked(path, (160, 224), 80)
    return path


def test_the_aliked_graph_agrees_with_the_feature(aliked_file: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    image = scene()
    session = onnxruntime.InferenceSession(str(aliked_file), providers=["CPUExecutionProvider"])
    assert [o.shape for o in session.get_outputs()] == [[80, 2], [80, 64], [80, 1]]
    blob = np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)[None]).astype(np.float32) / 255
    normal, rows, score = session.run(None, {"image": blob})
    keypoints, want = NetFeature(n_points=80).detect_and_describe(image)
    xy = (normal + 1) / 2 * [224, 160]
    assert len(keypoints) == 80
    assert _near(xy, keypoints.xy) > 0.97
    assert _near(keypoints.xy, xy) > 0.97
    nearest = np.linalg.norm(xy[:, None] - keypoints.xy, axis=2).argmin(1)
    assert np.median((rows * want[nearest]).sum(1)) > 0.999
    np.testing.assert_allclose(score[:, 0], keypoints.score, atol=0.01)


@pytest.mark.skipif(not OPENCV_5, reason=f"OpenCV {cv2.__version__} has no cv2.ALIKED, 5 has")
def test_stock_opencv_finds_the_same_points(aliked_file: Path) -> None:
    image = scene()
    params = cv2.ALIKED.Params()
    params.inputSize = (224, 160)
    found, rows = cv2.ALIKED.create(str(aliked_file), params).detectAndCompute(image, None)
    xy = np.array([p.pt for p in found])
    keypoints, want = NetFeature(n_points=80).detect_and_describe(image)
    assert _near(xy, keypoints.xy) > 0.97
    assert _near(keypoints.xy, xy) > 0.97
    nearest = np.linalg.norm(xy[:, None] - keypoints.xy, axis=2).argmin(1)
    assert np.median((rows * want[nearest]).sum(1)) > 0.999


@pytest.mark.skipif(not OPENCV_5, reason=f"OpenCV {cv2.__version__} has no cv2.ALIKED, 5 has")
def test_the_line_of_the_readme_gives_right_matches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hybridkp.deep  # the line names it

    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    export, use = 'hybridkp.deep.export_aliked("net.onnx")', 'cv2.ALIKED_create("net.onnx")'
    assert export in readme and use in readme
    monkeypatch.chdir(tmp_path)
    eval(export, {"hybridkp": hybridkp})
    feature = eval(use, {"cv2": cv2})
    pair = next(iter(make_pairs()))
    left, right = pair.load_a(), pair.load_b()
    (points_a, rows_a), (points_b, rows_b) = (feature.detectAndCompute(p, None) for p in (left, right))
    matches = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(rows_a, rows_b)
    strong = [m for m in matches if min(points_a[m.queryIdx].response, points_b[m.trainIdx].response) > 0.02]
    a = np.array([points_a[m.queryIdx].pt for m in strong])
    b = np.array([points_b[m.trainIdx].pt for m in strong])
    off = np.linalg.norm(apply_homography(pair.homography, a) - b, axis=1)
    assert len(strong) > 200 and np.nanmean(off < 3) > 0.8, np.nanmean(off < 3)


def test_the_module_comes_back_from_the_shipped_graph() -> None:
    import torch

    from hybridkp.deep.points.export import load_points

    value = np.random.default_rng(0).normal(0, 1, (1, 1, 64, 96)).astype(np.float32)
    with torch.inference_mode():
        logits, rows = load_points()(torch.from_numpy(value))
    want_logits, want_rows = open_net()(value)
    np.testing.assert_allclose(logits[0, 0].numpy(), want_logits, atol=1e-3)
    np.testing.assert_allclose(rows[0].numpy(), want_rows, atol=1e-3)


def test_export_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    from hybridkp.deep.points.export import export_aliked

    with pytest.raises(InputError, match="multiples of 16"):
        export_aliked(tmp_path / "a.onnx", (100, 160))
    with pytest.raises(InputError, match="n_points"):
        export_aliked(tmp_path / "a.onnx", (64, 64), 0)
    (tmp_path / "broken.onnx").write_bytes(SHIPPED.read_bytes()[:3000])
    for name in ("broken.onnx", "absent.onnx"):
        with pytest.raises(InputError, match=name):
            export_aliked(tmp_path / "a.onnx", (64, 64), 8, tmp_path / name)
    assert not (tmp_path / "a.onnx").exists()
