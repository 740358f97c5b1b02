"""Descriptors: row i for keypoint i whatever happens, and the references' own numbers."""

from __future__ import annotations

import copy
import pickle

import cv2
import numpy as np
import pytest
from sklearn.base import clone

from hybridkp.descriptors import HOG, ORB, SIFT, SURF, Concat, MultiLevel, orb, orientation_maps, sample_cells
from hybridkp.descriptors.gradients import CLIP, maps_reach
from hybridkp.descriptors.sift import sift_octave
from hybridkp.descriptors.windows import window_strip
from hybridkp.imaging.opencv import create_sift
from hybridkp.imaging.pyramid import gaussian_pyramid
from hybridkp.structures import Descriptor, InputError, Keypoints

ALL = {
    "sift": SIFT(),
    "sift-fine": SIFT(size_px=2.0),
    "sift-wide": SIFT(size_px=20.0),
    "sift-own": SIFT(size_px=None, angle="keypoint"),
    "rootsift": SIFT(root=True),
    "orb": ORB(),
    "orb-hamming": ORB(bits="hamming", angle="keypoint"),
    "hog": HOG(),
    "hog-odd": HOG(cells=3, cell_px=5, n_orientations=8, signed=True),
    "hog-level": HOG(level=1),
    "hog-opencv": HOG(backend="opencv"),
    "hog-skimage": HOG(backend="skimage"),
    "concat": Concat([("sift", SIFT()), ("hog", HOG()), ("orb", ORB())]),
    "levels": MultiLevel(HOG()),
    "levels-of-concat": MultiLevel(Concat([("s", SIFT()), ("h", HOG(cells=2))]), levels=(0, 2)),
}
every = pytest.mark.parametrize("descriptor", ALL.values(), ids=ALL.keys())


def texture(size_hw=(128, 128), seed=0, sigma=2.0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(size_hw).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), sigma), None, 0, 255, cv2.NORM_MINMAX).astype(
        np.uint8
    )


def points(n=60, low=-60.0, high=190.0, seed=1) -> Keypoints:
    rng = np.random.default_rng(seed)
    return Keypoints(
        rng.uniform(low, high, (n, 2)),
        size=rng.uniform(2, 20, n),
        angle=rng.uniform(0, 360, n),
        label=np.arange(n),
    )


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


@every
def test_row_i_belongs_to_keypoint_i(descriptor):
    pyramid, keypoints = gaussian_pyramid(texture()), points()  # many at the border and outside
    assert isinstance(descriptor, Descriptor)
    rows = descriptor.describe(pyramid, keypoints)
    assert rows.shape == (60, descriptor.n_features)
    assert rows.dtype == (np.uint8 if descriptor.n_features == 32 else np.float32)
    assert np.isfinite(rows).all()
    order = np.random.default_rng(2).permutation(60)
    np.testing.assert_array_equal(descriptor.describe(pyramid, keypoints[order]), rows[order])
    alone = [descriptor.describe(pyramid, keypoints[i])[0] for i in range(0, 60, 7)]
    np.testing.assert_allclose(alone, rows[::7], atol=1e-6)


@every
def test_no_points_blank_tiny_and_read_only(descriptor):
    blank = gaussian_pyramid(np.full((40, 40), 128, np.uint8))
    rows = descriptor.describe(blank, Keypoints([]))
    assert rows.shape == (0, descriptor.n_features)
    rows = descriptor.describe(blank, points(9))
    assert np.isfinite(rows).all()
    if repr(descriptor).startswith("HOG"):
        assert np.abs(rows).max() < 1e-3
    image = texture()
    image.setflags(write=False)
    keypoints = points(5)
    keypoints.xy.setflags(write=False)
    descriptor.describe(gaussian_pyramid(image), keypoints)


@every
def test_parameters_only(descriptor):
    before = repr(descriptor), set(vars(descriptor))
    pyramid, keypoints = gaussian_pyramid(texture()), points()
    rows = descriptor.describe(pyramid, keypoints)
    assert (repr(descriptor), set(vars(descriptor))) == before  # nothing learned, nothing cached
    for twin in (clone(descriptor), copy.deepcopy(descriptor), pickle.loads(pickle.dumps(descriptor))):
        np.testing.assert_array_equal(twin.describe(pyramid, keypoints), rows)
    with pytest.raises(ValueError, match="Invalid parameter"):
        clone(descriptor).set_params(no_such_parameter=1)


@every
def test_bad_points_and_levels(descriptor):
    pyramid = gaussian_pyramid(texture())
    with pytest.raises(InputError, match="keypoint 1 has no finite position"):
        descriptor.describe(pyramid, Keypoints([[3.0, 3.0], [np.nan, 4.0]]))
    with pytest.raises(InputError, match="level"):
        MultiLevel(descriptor, levels=(4,)).describe(pyramid, points(2))


@every
def test_shifting_the_picture_shifts_the_rows(descriptor):
    """By 8 px: a whole number of pixels on every level and in every octave in use."""
    picture = texture((320, 320))
    keypoints = points(20, 120, 180)
    moved = Keypoints(keypoints.xy - [16, 8], size=keypoints.size, angle=keypoints.angle)
    rows = descriptor.describe(gaussian_pyramid(picture[:300, :300]), keypoints)
    again = descriptor.describe(gaussian_pyramid(picture[8:308, 16:316]), moved)
    if rows.dtype == np.uint8:
        np.testing.assert_array_equal(again, rows)
    else:
        # OpenCV's SIFT keeps whole numbers: a last-digit difference may tip one over
        assert np.abs(again - rows).max() <= (1 if rows.max() > 2 else 1e-2)
        assert cosine(again, rows).min() > 0.9999


@pytest.mark.parametrize("name", ["hog", "hog-odd", "hog-level", "hog-skimage", "levels"])
def test_half_a_pixel_is_seen(name):
    pyramid, keypoints = gaussian_pyramid(texture()), points(30, 30, 90)
    rows = ALL[name].describe(pyramid, keypoints)
    half = ALL[name].describe(pyramid, Keypoints(keypoints.xy + [0.5, 0.0]))
    assert np.median(np.abs(half - rows).max(axis=1)) > 5e-3


@pytest.mark.parametrize("name", ["sift", "sift-fine", "orb"])
def test_half_a_pixel_is_seen_across_the_rounding(name):
    """OpenCV rounds points to whole pixels: half a pixel is seen where it crosses a boundary."""
    pyramid, keypoints = gaussian_pyramid(texture()), np.rint(points(30, 30, 90).xy) + 0.2
    rows = ALL[name].describe(pyramid, Keypoints(keypoints))
    half = ALL[name].describe(pyramid, Keypoints(keypoints + [0.5, 0.0]))
    assert (rows != half).any(axis=1).all()


# --------------------------------------------------------------------------------------------
# against the references
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size_px", [2.0, 4.0, 6.0, 13.0])
@pytest.mark.parametrize("angle", ["upright", "keypoint"])
def test_sift_is_opencvs(size_px, angle):
    image, keypoints = texture(), points(50, 0, 127)
    octave = int(sift_octave(size_px, 128))
    turned = keypoints.angle if angle == "keypoint" else np.zeros(50)
    bare = [
        cv2.KeyPoint(float(x), float(y), size_px, float(a), 0.0, octave)
        for (x, y), a in zip(keypoints.xy, turned, strict=True)
    ]
    _, expected = create_sift().compute(image, bare)
    rows = SIFT(size_px, angle).describe(gaussian_pyramid(image), keypoints)
    np.testing.assert_array_equal(rows, expected)


def test_sift_octave_follows_the_detector():
    """Detected points carry the octave that OpenCV chose: sizes must lead to the same one."""
    found = create_sift().detect(texture((200, 200)), None)
    size = np.array([p.size for p in found])
    ours, theirs = sift_octave(size, 200), np.array([p.octave & 0xFFFF for p in found])
    assert (ours == theirs).mean() > 0.9  # rounding at the rim between two layers
    assert sift_octave(4.0, 128) == 0 | 1 << 8


def test_sift_of_detected_points_is_detect_and_compute():
    image = texture((200, 200))
    found, expected = create_sift().detectAndCompute(image, None)
    same = sift_octave(np.array([p.size for p in found]), 200) == [p.octave & 0xFFFF for p in found]
    rows = SIFT(size_px=None, angle="keypoint").describe(gaussian_pyramid(image), Keypoints.from_cv2(found))
    np.testing.assert_array_equal(rows[same], expected[same])


def test_root_sift():
    pyramid, keypoints = gaussian_pyramid(texture()), points(20, 0, 127)
    raw = SIFT().describe(pyramid, keypoints)
    root = SIFT(root=True).describe(pyramid, keypoints)
    np.testing.assert_allclose(np.linalg.norm(root, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(root**2 * raw.sum(1, keepdims=True), raw, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("angle", ["upright", "keypoint"])
def test_orb_is_opencvs(angle):
    image, keypoints = texture((200, 240)), points(50, 40, 150)
    turned = keypoints.angle if angle == "keypoint" else np.zeros(50)
    bare = [
        cv2.KeyPoint(float(x), float(y), 31.0, float(a), 0.0, 0, i)
        for i, ((x, y), a) in enumerate(zip(keypoints.xy, turned, strict=True))
    ]
    kept, expected = cv2.ORB_create().compute(image, bare)
    assert [p.class_id for p in kept] == list(range(50))
    packed = ORB("hamming", angle).describe(gaussian_pyramid(image), keypoints)
    np.testing.assert_array_equal(packed, expected)
    bits = ORB("unpacked", angle).describe(gaussian_pyramid(image), keypoints)
    np.testing.assert_array_equal(np.packbits(bits.astype(np.uint8), axis=1, bitorder="little"), expected)


def test_orb_tells_which_pixels_it_compares():
    """Else the bits are still right, but slow: OpenCV's pattern was asked for and understood."""
    tests = orb._tests()
    assert tests is not None and tests.shape == (2, 256, 2)
    assert np.abs(tests).max() <= 15 and (tests[0] != tests[1]).any(axis=1).all()


def test_orb_by_opencv_where_the_pattern_is_not_told(monkeypatch):
    pyramid, keypoints = gaussian_pyramid(texture()), points()
    rows = ORB().describe(pyramid, keypoints)
    monkeypatch.setattr(orb, "_tests", lambda: None)
    np.testing.assert_array_equal(ORB().describe(pyramid, keypoints), rows)


def test_orb_outside_is_a_picture_with_its_border_repeated():
    image, keypoints = texture((90, 100)), points(60, -90, 190)
    wide = cv2.copyMakeBorder(image, 160, 160, 160, 160, cv2.BORDER_REPLICATE)
    np.testing.assert_array_equal(
        ORB().describe(gaussian_pyramid(image), keypoints),
        ORB().describe(gaussian_pyramid(wide), Keypoints(keypoints.xy + 160)),
    )


@pytest.mark.parametrize("n", [2, 60])  # few points take another way than many
def test_hog_outside_is_a_picture_with_its_border_repeated(n):
    image, keypoints = texture((90, 100)), points(n, -90, 190)
    wide = cv2.copyMakeBorder(image, 160, 160, 160, 160, cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(
        HOG().describe(gaussian_pyramid(image), keypoints),
        HOG().describe(gaussian_pyramid(wide), Keypoints(keypoints.xy + 160)),
        atol=1e-5,
    )


def test_opencvs_hog_is_the_same_square_in_the_same_order():
    pyramid = gaussian_pyramid(texture())
    xy = np.rint(points(60, 10, 118).xy) + 0.5  # the pixel that a square of even side is centred on
    ours = HOG().describe(pyramid, Keypoints(xy))
    theirs = HOG(backend="opencv").describe(pyramid, Keypoints(xy))
    np.testing.assert_array_equal(
        theirs, HOG(backend="opencv").describe(pyramid, Keypoints(xy + [0.4, -0.4]))
    )
    assert np.median(cosine(ours, theirs)) > 0.75  # theirs fades towards the square's rim
    unit = ours / np.linalg.norm(ours, axis=1)[:, None]
    assert (unit @ theirs.T).argmax(axis=1).tolist() == list(range(60))


def test_hog_agrees_with_scikit_image():
    pyramid, keypoints = gaussian_pyramid(texture()), points(60, 10, 118)
    ours = HOG().describe(pyramid, keypoints)
    reference = HOG(backend="skimage").describe(pyramid, keypoints)
    assert np.median(cosine(ours, reference)) > 0.9  # soft votes against hard ones
    everyone = (ours / np.linalg.norm(ours, axis=1)[:, None]) @ reference.T
    assert (everyone / np.linalg.norm(reference, axis=1)).argmax(axis=1).tolist() == list(range(60))


def test_hog_of_a_ramp_by_hand():
    """Light grows along (cos 30°, sin 30°): all votes are half way between... bin 1 (centre 30°)."""
    y, x = np.mgrid[:64, :64]
    ramp = (2 * (np.cos(np.pi / 6) * x + np.sin(np.pi / 6) * y) + 20).astype(np.float32)
    plain = orientation_maps(ramp, clip=None)[32, 32]
    np.testing.assert_allclose(plain, np.eye(9)[1] * 2, atol=0.06)  # cv2's angle is good to 0.3°
    between = orientation_maps((2 * x + 20).astype(np.float32), clip=None)[32, 32]  # 0°: bins 8 and 0
    np.testing.assert_allclose(between[[0, 8]], 1, atol=0.03)
    signed = orientation_maps(255 - ramp, 18, signed=True, clip=None)[32, 32]
    np.testing.assert_allclose(signed, np.eye(18)[10] * 2, atol=0.06)  # 210° = bin 10's centre
    normalised = orientation_maps(ramp)[32, 32]
    np.testing.assert_allclose(normalised, np.eye(9)[1] * 0.2, atol=0.03)


@pytest.mark.parametrize(("cells", "cell_px"), [(4, 4), (3, 4), (2, 6), (1, 3), (4, 3), (2, 5)])
def test_maps_read_on_a_grid_are_hog_rows(cells, cell_px):
    image, hog = texture(), HOG(cells=cells, cell_px=cell_px)
    pyramid = gaussian_pyramid(image)
    pad = hog.reach_px
    maps = hog.maps(pyramid.levels[0], pad=pad)
    assert maps.shape == (128 + 2 * pad, 128 + 2 * pad, 9)
    at_centres = 0.5 if (cells - 1) * cell_px % 2 else 0
    whole = Keypoints(np.rint(points(40, 0, 127).xy) + at_centres)
    rows = sample_cells(maps, whole.xy, cells, cell_px, pad)
    np.testing.assert_allclose(hog.describe(pyramid, whole), rows, atol=1e-5)
    between = points(40, 0, 127)
    rows = sample_cells(maps, between.xy, cells, cell_px, pad)
    np.testing.assert_allclose(hog.describe(pyramid, between), rows, atol=0.05)  # clipped before, after
    plain = orientation_maps(pyramid.levels[0], cell=cell_px, pad=pad, clip=np.inf)
    rows = np.minimum(sample_cells(plain, between.xy, cells, cell_px, pad), CLIP)
    np.testing.assert_allclose(hog.describe(pyramid, between), rows, atol=1e-5)  # what it is exactly
    by_hand = maps[pad + 50, pad + 40].astype(float) * 0.75 + maps[pad + 50, pad + 41] * 0.25
    np.testing.assert_allclose(sample_cells(maps, [[40.25, 50]], 1, cell_px, pad)[0], by_hand, atol=1e-6)


def test_maps_look_no_farther_than_they_say():
    image = texture().astype(np.float32)
    changed = image.copy()
    changed[:, 64:] = 0
    for cell in (1, 4, 5):
        a, b = orientation_maps(image, cell=cell), orientation_maps(changed, cell=cell)
        reach = maps_reach(cell)
        np.testing.assert_array_equal(a[:, : 64 - reach], b[:, : 64 - reach])
        assert (a[:, 64 - reach] != b[:, 64 - reach]).any()


# --------------------------------------------------------------------------------------------
# compositions
# --------------------------------------------------------------------------------------------


def test_concat_normalises_each_part():
    pyramid, keypoints = gaussian_pyramid(texture()), points(20, 0, 127)
    parts = [("sift", SIFT()), ("hog", HOG())]
    rows = Concat(parts, weights=[1.0, 3.0]).describe(pyramid, keypoints)
    np.testing.assert_allclose(np.linalg.norm(rows[:, :128], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(rows[:, 128:], axis=1), 3, rtol=1e-5)
    plain = Concat(parts, normalize=None).describe(pyramid, keypoints)
    np.testing.assert_array_equal(plain[:, :128], SIFT().describe(pyramid, keypoints))
    np.testing.assert_array_equal(plain[:, 128:], HOG().describe(pyramid, keypoints))


def test_concat_parameters_reach_its_parts():
    concat = Concat([("sift", SIFT()), ("hog", HOG())])
    assert concat.get_params()["hog__cells"] == 4
    concat.set_params(hog__cells=3, normalize=None, sift=SIFT(root=True))
    assert concat.n_features == 128 + 81 and concat.get_params()["sift__root"] is True
    assert MultiLevel(concat).set_params(descriptor__hog__cells=2).n_features == 3 * (128 + 36)


@pytest.mark.parametrize(
    ("concat", "message"),
    [
        (Concat([]), "at least one"),
        (Concat([("a", HOG())], normalize="l1"), "normalize"),
        (Concat([("a", HOG())], weights=[1, 2]), "2 weights"),
        (Concat([("a", ORB(bits="hamming"))]), "unpacked"),
    ],
)
def test_bad_concat(concat, message):
    with pytest.raises(InputError, match=message):
        concat.describe(gaussian_pyramid(texture()), points(3))


def test_multi_level_is_level_after_level():
    pyramid, keypoints = gaussian_pyramid(texture()), points(20, 0, 127)
    rows = MultiLevel(HOG(), levels=(0, 2)).describe(pyramid, keypoints)
    assert rows.shape == (20, 2 * 144)
    np.testing.assert_allclose(rows[:, :144], HOG(level=0).describe(pyramid, keypoints), atol=1e-6)
    np.testing.assert_allclose(rows[:, 144:], HOG(level=2).describe(pyramid, keypoints), atol=1e-6)
    rows = MultiLevel(HOG(level=1), levels=(0, 1)).describe(pyramid, keypoints)  # counted from its own
    np.testing.assert_allclose(rows[:, 144:], HOG(level=2).describe(pyramid, keypoints), atol=1e-6)
    rows = MultiLevel(SIFT(), levels=(0, 1)).describe(pyramid, keypoints)
    np.testing.assert_array_equal(rows[:, 128:], SIFT(level=1).describe(pyramid, keypoints))
    rows = MultiLevel(SURF(upright=True, size_px=12), levels=(0, 1)).describe(pyramid, keypoints)
    np.testing.assert_array_equal(
        rows[:, 64:], SURF(upright=True, size_px=12, level=1).describe(pyramid, keypoints)
    )


def test_levels_are_weighed_and_averaged():
    pyramid, keypoints = gaussian_pyramid(texture()), points(20, 0, 127)
    alone = [SIFT(level=level).describe(pyramid, keypoints) for level in (0, 2)]
    side = MultiLevel(SIFT(), levels=(0, 2), falloff=0.25)
    np.testing.assert_allclose(
        side.describe(pyramid, keypoints), np.hstack([alone[0], alone[1] / 4]), rtol=1e-6
    )
    mean = MultiLevel(SIFT(), levels=(0, 2), fusion="average")
    assert mean.n_features == 128 and mean.describe(pyramid, keypoints).dtype == np.float32
    np.testing.assert_allclose(mean.describe(pyramid, keypoints), (alone[0] + alone[1]) / 2, rtol=1e-5)
    mean.falloff = 1 / 3
    wanted = 0.75 * alone[0] + 0.25 * alone[1]
    np.testing.assert_allclose(mean.describe(pyramid, keypoints), wanted, rtol=1e-5)
    product = MultiLevel(SURF(upright=True, size_px=12), levels=(0, 2), fusion="product")
    alone = [SURF(upright=True, size_px=12, level=level).describe(pyramid, keypoints) for level in (0, 2)]
    found = product.describe(pyramid, keypoints)
    assert product.n_features == 64 and found.dtype == np.float32 and (found < 0).any()
    np.testing.assert_allclose(found * np.abs(found), alone[0] * alone[1], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
    ("n", "size_hw"), [(1, (128, 128)), (3, (480, 640)), (60, (480, 640)), (700, (90, 100))]
)
def test_levels_described_together_are_the_levels_one_by_one(n, size_hw):
    """Windows in a box, windows side by side, levels on one sheet: whichever way is quicker."""
    pyramid, keypoints = gaussian_pyramid(texture(size_hw)), points(n, -40, 600)
    rows = MultiLevel(HOG()).describe(pyramid, keypoints)
    alone = [HOG(level=level).describe(pyramid, keypoints) for level in range(3)]
    np.testing.assert_allclose(rows, np.concatenate(alone, axis=1), atol=1e-6)


def test_window_strip_holds_every_window():
    image = texture((90, 100))
    wide = cv2.copyMakeBorder(image, 40, 40, 40, 40, cv2.BORDER_REPLICATE)
    rng = np.random.default_rng(0)
    for n, low, high in ((1, -9, 80), (5, 0, 80), (5, -20, 95), (200, -20, 95)):
        corner = rng.integers(low, high, (n, 2)).astype(np.int32)
        strip, places = window_strip(image, corner, 11)
        assert strip.size <= 110 * 120 + 11**2
        for (x, y), (u, v) in zip(places, corner + 40, strict=True):
            np.testing.assert_array_equal(strip[y : y + 11, x : x + 11], wide[v : v + 11, u : u + 11])


@pytest.mark.parametrize(
    "bad",
    [SIFT(angle="up"), SIFT(size_px=0.0), SIFT(size_px=-1.0), ORB(bits="bytes"), ORB(angle="up")]
    + [HOG(backend="fast"), HOG(cells=0), HOG(cell_px=2.5), HOG(n_orientations=1)]
    + [HOG(backend="skimage", signed=True), HOG(backend="opencv", signed=True), MultiLevel(HOG(), levels=())]
    + [MultiLevel(HOG(), fusion="maximum"), MultiLevel(HOG(), falloff=0.0)],
)
def test_bad_parameters(bad):
    with pytest.raises(InputError):
        bad.describe(gaussian_pyramid(texture()), points(3, 10, 100))
