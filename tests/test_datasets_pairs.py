"""Pairs of pictures with known truth: the HPatches layout, the embedded set, the bundled pictures."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

from hybridkp.datasets import (
    BENCH_PICTURES,
    TRAIN_PICTURES,
    bundled_picture,
    load_pairs,
    make_pairs,
    read_hpatches,
    training_pictures,
)
from hybridkp.datasets.hpatches import rotation_degrees
from hybridkp.datasets.synthetic import photo_pairs as embedded
from hybridkp.datasets.synthetic.bundled import stereo_disparity
from hybridkp.files import picture_size, read_image, write_image
from hybridkp.imaging.geometry import apply_homography
from hybridkp.imaging.images import to_grey
from hybridkp.metrics import transfer
from hybridkp.structures import InputError

# --------------------------------------------------------------------------------------------
# the HPatches layout
# --------------------------------------------------------------------------------------------

SIZES = {1: (60, 90), 2: (80, 100), 3: (40, 50)}  #: h, w
SHIFT = np.array([[1.0, 0, 8], [0, 1, 5], [0, 0, 1]])
TURN = np.array([[0.0, -1, 59], [1, 0, 0], [0, 0, 2]]) / 2  #: 90 degrees, half as large, and of another scale


def picture_with_a_blob(size_hw, at=(40.0, 25.0)):
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    return (255 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 18)).astype(np.uint8)


def write_picture(path, size_hw, at=(40.0, 25.0)):
    image = cv2.cvtColor(picture_with_a_blob(size_hw, at), cv2.COLOR_GRAY2BGR)  # what PPM holds
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())


def write_sequence(folder, suffix=".png"):
    folder.mkdir(parents=True)
    for number, size in SIZES.items():
        at = {1: (40.0, 25.0), 2: (48.0, 30.0), 3: (17.0, 20.0)}[number]
        write_picture(folder / f"{number}{suffix}", size, at)
    np.savetxt(folder / "H_1_2", SHIFT)
    np.savetxt(folder / "H_1_3", TURN * 7)
    return folder


def centroid(image):
    weight = to_grey(image).astype(float)
    weight[weight < 20] = 0
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize("suffix", [".png", ".ppm"])
def test_a_folder_of_sequences(tmp_path, suffix):
    for name in ("i_lamp", "v_wall", "boat", "strange"):
        write_sequence(tmp_path / name, suffix)
    (tmp_path / "notes").mkdir()
    found = read_hpatches(tmp_path, None, name="mine")
    assert found.name == "mine" and len(found) == 8
    assert [p.name for p in found][:3] == ["boat/1-2", "boat/1-3", "i_lamp/1-2"]
    changes = {p.sequence: p.change for p in found}
    expected = {"boat": "zoom+rotation", "i_lamp": "light", "strange": "unknown", "v_wall": "viewpoint"}
    assert changes == expected
    assert [p.rotated for p in found][:2] == [False, True]
    np.testing.assert_allclose(found.pairs[1].homography / found.pairs[1].homography[2, 2], TURN, atol=1e-12)
    first = read_hpatches(tmp_path / "boat", None)
    assert [p.name for p in first] == ["boat/1-2", "boat/1-3"] and first.name == "boat"
    assert first.pairs[0].load_a().shape[:2] == SIZES[1] and first.pairs[0].load_b().shape[:2] == SIZES[2]
    assert load_pairs(tmp_path, None).fingerprint == read_hpatches(tmp_path, None).fingerprint


@pytest.mark.parametrize("short_side", [None, 30, 37])
def test_shrunk_pictures_keep_their_truth(tmp_path, short_side):
    """The blob lies where the homography says, to 0.06 px, whatever the pictures are shrunk to."""
    write_sequence(tmp_path / "s")
    for pair in read_hpatches(tmp_path, short_side):
        a, b = pair.load_a(), pair.load_b()
        if short_side:
            assert min(a.shape[:2]) == short_side and min(b.shape[:2]) == min(short_side, 40, *b.shape[:2])
        if pair.name == "s/1-2":
            np.testing.assert_allclose(
                apply_homography(pair.homography, centroid(a)[None])[0], centroid(b), atol=0.06
            )
    # both axes by their own factor: 90 x 60 to 37 is 56 x 37, not 55.5 x 37
    scale = np.array([56 / 90, 37 / 60]) if short_side == 37 else np.array([short_side or 60] * 2) / 60
    expected = (np.array([40.0, 25.0]) + 0.5) * scale - 0.5
    np.testing.assert_allclose(
        centroid(read_hpatches(tmp_path, short_side).pairs[0].load_a()), expected, atol=0.03
    )


def test_pictures_are_read_late_and_loaders_pickle(tmp_path):
    folder = write_sequence(tmp_path / "s")
    pair = read_hpatches(folder, 30).pairs[0]
    again = pickle.loads(pickle.dumps(pair))
    np.testing.assert_array_equal(again.load_b(), pair.load_b())
    (folder / "2.png").unlink()
    with pytest.raises(InputError, match=r"2\.png: no such picture"):
        pair.load_b()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "H_1_3").unlink(), "H_1_3 is missing"),
        (lambda f: (f / "3.png").unlink(), "picture 3 is missing"),
        (lambda f: (f / "1.png").unlink(), "picture 1 is missing"),
        (lambda f: (f / "H_1_2").write_text("1 0 0 0 1 0 0 0"), "H_1_2: expected a homography"),
        (lambda f: (f / "H_1_2").write_text("1 0 0 0 1 0 0 0 x"), "H_1_2: expected a homography"),
        (lambda f: (f / "H_1_2").write_text("1 0 0 0 1 0 0 0 nan"), "H_1_2: expected a homography"),
        (lambda f: (f / "H_1_2").write_text("1 0 0 2 0 0 0 0 1"), "H_1_2: the homography is not invertible"),
        (lambda f: (f / "2.png").write_bytes(b""), "2.png: the file is empty"),
        (lambda f: [p.unlink() for p in f.glob("H*")], "no sequence there"),
    ],
)
def test_holes_in_a_folder_are_named(tmp_path, spoil, message):
    folder = write_sequence(tmp_path / "set" / "s")
    spoil(folder)
    with pytest.raises(InputError) as caught:
        read_hpatches(tmp_path / "set")
    assert message in str(caught.value) and str(tmp_path) in str(caught.value)


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="no such"):
        load_pairs(tmp_path / "none")
    with pytest.raises(InputError, match="must be positive"):
        read_hpatches(write_sequence(tmp_path / "s"), -1)


@pytest.mark.parametrize("degrees", [-150, -20, 0, 35, 90])
def test_rotation_is_clockwise_on_screen(degrees):
    t = np.deg2rad(degrees)
    turn = np.array([[np.cos(t), -np.sin(t), 4], [np.sin(t), np.cos(t), 9], [0, 0, 1]])
    # on screen y points down: +90 takes the x axis (right) to the y axis (down), clockwise
    assert rotation_degrees(np.diag([1.7, 1.7, 1]) @ turn * -2, [30, 40]) == pytest.approx(degrees)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".ppm", ".bmp", ".tif"])
def test_sizes_from_headers(tmp_path, suffix):
    write_picture(tmp_path / f"a{suffix}", (31, 47))
    assert picture_size(tmp_path / f"a{suffix}") == (31, 47)


def test_pictures_are_written_as_their_name_says(tmp_path):
    image = cv2.cvtColor(picture_with_a_blob((20, 30)), cv2.COLOR_GRAY2BGR)
    write_image(tmp_path / "a.PNG", image)
    assert (tmp_path / "a.PNG").read_bytes()[:4] == b"\x89PNG"
    np.testing.assert_array_equal(read_image(tmp_path / "a.PNG"), image)
    for name in ("a.xyz", "a"):
        with pytest.raises(InputError, match=rf"{name}: 30 x 20 px cannot be written"):
            write_image(tmp_path / name, image)
    with pytest.raises(InputError, match=r"cannot be written as '\.jpg'"):
        write_image(tmp_path / "wide.jpg", np.zeros((1, 70000), np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ["a.PNG"]


def test_sizes_of_turned_and_bad_pictures(tmp_path):
    image = cv2.imencode(".jpg", np.zeros((20, 50), np.uint8))[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    path = tmp_path / "turned.jpg"
    path.write_bytes(image[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + image[2:])
    assert picture_size(path) == read_image(path).shape[:2] == (50, 20)
    path.write_bytes(image[: len(image) // 2])
    with pytest.raises(InputError, match="cut short"):
        picture_size(path)


# --------------------------------------------------------------------------------------------
# the embedded pairs
# --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(120)


def test_what_judges_does_not_teach():
    assert not set(BENCH_PICTURES) & set(TRAIN_PICTURES)
    assert not any("motorcycle" in name for name in TRAIN_PICTURES)
    pictures = training_pictures(100)
    assert tuple(pictures) == TRAIN_PICTURES
    for image in pictures.values():
        assert image.dtype == np.uint8 and min(image.shape[:2]) == 100
    bench = [cv2.resize(to_grey(bundled_picture(n)), (32, 32)).astype(float).ravel() for n in BENCH_PICTURES]
    for image in pictures.values():
        small = cv2.resize(to_grey(image), (32, 32)).astype(float).ravel()
        assert max(np.corrcoef(small, other)[0, 1] for other in bench) < 0.9
    with pytest.raises(InputError, match="no bundled picture 'lena'"):
        bundled_picture("lena")


def test_the_embedded_set(pairs):
    assert len({p.name for p in pairs}) == len(pairs) == 52
    assert len({p.sequence for p in pairs}) == 19
    assert {p.change for p in pairs} == {*embedded.VIEWS, "stereo"}
    for p in pairs:
        assert p.rotated == ("rotation" in p.change), p.name
    assert [p.name for p in pairs if p.homography is None] == ["motorcycle/1-2"]


def test_a_seed_gives_the_same_pairs_and_another_others(pairs):
    again, other = make_pairs(120), make_pairs(120, random_state=1)
    for row in (3, 20, 30):
        a, b, c = pairs.pairs[row], again.pairs[row], other.pairs[row]
        np.testing.assert_array_equal(a.homography, b.homography)
        np.testing.assert_array_equal(a.load_b(), b.load_b())
        assert np.abs(a.homography - c.homography).max() > 1e-3
        assert pickle.loads(pickle.dumps(a)).load_b().tobytes() == a.load_b().tobytes()


def test_homographies_are_exact(pairs):
    """The first picture warped by the truth fits the second best where it is, not a quarter px beside."""
    for p in pairs.pairs[:51:3]:
        a, b = to_grey(p.load_a()).astype(np.float32), to_grey(p.load_b()).astype(np.float32)
        if p.change in ("light", "noise"):
            continue
        size = b.shape[::-1]
        seen = cv2.warpPerspective(np.ones_like(a), p.homography, size) > 0.999
        if p.change == "blur":
            a = cv2.GaussianBlur(a, (0, 0), 1.2 * int(p.name[-1]))
        fits = {}
        for dx, dy in ((0, 0), (0.25, 0), (-0.25, 0), (0, 0.25), (0, -0.25)):
            moved = np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1]]) @ p.homography
            warped = cv2.warpPerspective(a, moved, size, flags=cv2.INTER_CUBIC)
            fits[dx, dy] = np.abs(warped - b)[seen].mean()
        assert min(fits, key=fits.get) == (0, 0), (p.name, fits)


def test_light_blur_and_noise_change_the_picture_as_said(pairs):
    by_name = {p.name: p for p in pairs}

    def sharp(name):
        return cv2.Laplacian(by_name[name].load_b(), cv2.CV_32F).std()

    assert sharp("coffee-blur/2") < sharp("coffee-blur/1") < sharp("coffee-viewpoint/1")
    assert sharp("coffee-noise/2") > sharp("coffee-noise/1") > sharp("coffee-viewpoint/1")
    means = [by_name[f"coffee-light/{i}"].load_b().mean() for i in (1, 2, 3)]
    assert means[2] < means[1] < means[0] < by_name["coffee-light/1"].load_a().mean()


def test_the_stereo_pair(pairs):
    pair = pairs.pairs[-1]
    a, b, flow = pair.load_a(), pair.load_b(), pair.flow()
    assert flow.shape == (*a.shape[:2], 2) and a.shape == b.shape
    assert 0.05 < np.isnan(flow[..., 0]).mean() < 0.3
    shift = flow - np.stack(np.meshgrid(np.arange(a.shape[1]), np.arange(a.shape[0])), -1)
    assert np.nanmax(shift[..., 0]) < 0  # things lie further left in the right picture
    np.testing.assert_allclose(shift[..., 1][~np.isnan(shift[..., 1])], 0, atol=1e-9)
    left, right = to_grey(a).astype(np.float32), to_grey(b).astype(np.float32)
    fits = {}
    for dx, dy in ((0, 0), (0.4, 0), (-0.4, 0), (0, 0.4), (0, -0.4)):
        x, y = (flow[..., 0] + dx).astype(np.float32), (flow[..., 1] + dy).astype(np.float32)
        warped = cv2.remap(right, np.nan_to_num(x), np.nan_to_num(y), cv2.INTER_LINEAR)
        fits[dx, dy] = np.abs(warped - left)[~np.isnan(x)].mean()
    assert min(fits, key=fits.get) == (0, 0), fits
    assert np.isfinite(transfer([[60.2, 50.7]], flow)).all()


def test_shrinking_the_stereo_pair_shrinks_its_flow():
    full, small = make_pairs(None).pairs[-1].flow(), make_pairs(250).pairs[-1].flow()
    h, w = small.shape[:2]
    assert (h, w) == (250, 370)
    scale = np.array([370 / 741, 0.5])
    xy = np.array([[100, 120], [200, 60], [300, 200]])
    original = (xy + 0.5) / scale - 0.5
    found, expected = small[xy[:, 1], xy[:, 0]], (transfer(original, full) + 0.5) * scale - 0.5
    known = np.isfinite(found).all(1) & np.isfinite(expected).all(1)
    assert known.any()
    np.testing.assert_allclose(found[known], expected[known], atol=0.06)


def test_covered_points_have_no_disparity():
    # One row: a near thing (disparity 4) at x = 8..10 lands on 4..6 of the right picture, where the far
    # wall (disparity 1) of x = 5..7 would: these three are covered.  A pixel to either side of the
    # thing's edges is not trusted either: wall at 4 and 11 (lands 3 and 10)?  4 does, 11 does not.
    disparity = np.ones((1, 14), np.float32)
    disparity[0, 8:11] = 4
    disparity[0, 2] = np.nan
    found = embedded.visible_disparity(disparity)[0]
    covered = [i for i in range(14) if np.isnan(found[i])]
    # x = 0 lands at -1, outside; 2 was unknown; 4 lands next to the thing, 8 is the thing itself
    assert covered == [0, 2, 4, 5, 6, 7]
    assert np.isnan(stereo_disparity()).sum() < np.isnan(embedded.visible_disparity(stereo_disparity())).sum()


# --------------------------------------------------------------------------------------------
# real data
# --------------------------------------------------------------------------------------------


@pytest.mark.data
def test_oxford_affine(data_root):
    found = load_pairs(data_root / "oxford_affine")
    assert len(found) == 20 and len({p.sequence for p in found}) == 4
    changes = {p.sequence: p.change for p in found}
    assert changes == {"graf": "viewpoint", "boat": "zoom+rotation", "leuven": "light", "bikes": "blur"}
    assert [p.name for p in found if p.rotated] == [
        "boat/1-3",
        "boat/1-4",
        "boat/1-6",
        "graf/1-4",
        "graf/1-6",
    ]
    pair = found.pairs[0]
    assert min(pair.load_a().shape[:2]) == min(pair.load_b().shape[:2]) == 480
