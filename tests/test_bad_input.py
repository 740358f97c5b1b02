"""The house's list of bad input, one by one: a clear line or a stated rule, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import struct
import sys
import zlib

import cv2
import numpy as np
import pytest
from plain_detectors import PlainMean, plain_dataset

from hybridkp import cli
from hybridkp.datasets import check_dataset, load_dataset
from hybridkp.evaluate import Problem, bench, make_crops, predict, train
from hybridkp.files import read_image
from hybridkp.imaging.images import RangeWarning, as_uint8, check_crops
from hybridkp.structures import Dataset, DataWarning, InputError, Instance, Sample

GREY = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
COLOUR = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])


def stored(path, image):
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path


def complaint(call, *args, **options):
    """The one line of an InputError."""
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400
    return text


# --------------------------------------------------------------------------------------------
# pictures
# --------------------------------------------------------------------------------------------


def test_missing_picture(tmp_path):
    assert complaint(read_image, tmp_path / "no.jpg") == f"{tmp_path}/no.jpg: no such picture; check the path"


def test_a_folder_an_empty_file_and_no_picture(tmp_path):
    assert "is a folder" in complaint(read_image, tmp_path)
    for name, data, reason in (
        ("empty.jpg", b"", "empty"),
        ("text.jpg", b"hello, I am no picture", "not a picture"),
        ("zeros.png", bytes(1000), "not a picture"),
        ("page.png", b"<html>404</html>", "not a picture"),
        ("head.jpg", b"\xff\xd8", "cut short"),
        ("head.png", b"\x89PNG\r\n\x1a\n", "cut short"),
        ("head.bmp", b"BM", "cut short"),
        ("head.webp", b"RIFF\x10\0\0\0WEBP", "cut short"),
        ("head.tif", b"II*\0", "not a picture"),
    ):
        (tmp_path / name).write_bytes(data)
        text = complaint(read_image, tmp_path / name)
        assert name in text and reason in text, text


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_picture(tmp_path):
    path = stored(tmp_path / "p.png", GREY)
    path.chmod(0)
    assert "cannot be read" in complaint(read_image, path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_truncated_pictures(tmp_path, suffix, share):
    image = np.random.default_rng(1).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    path = stored(tmp_path / f"p{suffix}", image)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert str(path) in complaint(read_image, path)


def test_one_pixel(tmp_path):
    for shape in ((1, 1), (1, 50), (50, 1)):
        path = stored(tmp_path / "one.png", np.zeros(shape, np.uint8))
        assert f"one.png: {shape[0]} x {shape[1]} px is too small" in complaint(read_image, path)


@pytest.mark.parametrize("value", [0, 255])
def test_blank(tmp_path, value):
    image = np.full((40, 50, 3), value, np.uint8)
    path = stored(tmp_path / "blank.png", image)
    assert np.array_equal(read_image(path), image)
    crops = make_crops(plain_dataset("d", 4))
    model = PlainMean().fit(crops.images, crops.xy)
    with pytest.warns(DataWarning, match="no boxes, and the model has no finder"):
        assert len(predict(model, [path])["annotations"]) == 1  # a picture is a picture


def test_depth_channels_and_alpha(tmp_path):
    deep = (COLOUR.astype(np.uint16) << 8) | COLOUR
    alpha = np.dstack([COLOUR, np.full(GREY.shape, 255, np.uint8)])
    clear = np.dstack([COLOUR, np.zeros_like(GREY)])
    grey_deep = GREY.astype(np.uint16) * 257
    for name, image, wanted in (
        ("grey.png", GREY, GREY),
        ("colour.png", COLOUR, COLOUR),
        ("deep.png", deep, COLOUR),
        ("grey-deep.png", grey_deep, GREY),
        ("deep.tiff", deep, COLOUR),
        ("alpha.png", alpha, COLOUR),
        ("clear.png", clear, np.zeros_like(COLOUR)),
        ("alpha.tiff", alpha, COLOUR),
        ("float.tiff", (COLOUR / 255).astype(np.float32), COLOUR),
        ("grey-float.tiff", GREY.astype(np.float32), GREY),
    ):
        found = read_image(stored(tmp_path / name, image))
        assert found.dtype == np.uint8 and np.array_equal(found, wanted), name


def test_float_pictures_with_nan(tmp_path):
    image = np.full((9, 9), np.nan, np.float32)
    assert "NaN" in complaint(read_image, stored(tmp_path / "nan.tiff", image))


def big_png(path, width, height):
    """A blank grey PNG of any size without the memory for it (4 bit, one row repeated)."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    press = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    rows = [press.compress(row * 500) for _ in range(height // 500)]
    body = b"".join(rows) + press.compress(row * (height % 500)) + press.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


def test_a_hundred_megapixels(tmp_path):
    """It is read, cropped and answered; the work is on the crop, not on the picture."""
    path = big_png(tmp_path / "big.png", 10000, 10000)
    image = read_image(path)
    assert image.shape[:2] == (10000, 10000)
    sample = Sample("big", lambda: image, (Instance([[5000, 5000]], box_xywh=[4900, 4900, 200, 200]),), "g")
    crops = make_crops(Dataset("d", ("p",), (sample,)))
    assert crops.images.shape == (1, 128, 128, 3)
    whole = Sample("big", lambda: image, (Instance([[5000, 5000]], box_xywh=[0, 0, 10000, 10000]),), "g")
    assert make_crops(Dataset("d", ("p",), (whole,))).images.shape == (1, 128, 128, 3)


@pytest.mark.parametrize("size", [(20001, 10000), (2**31 - 1, 2**31 - 1)])
def test_more_than_two_hundred_megapixels_are_refused_unread(tmp_path, size):
    path = big_png(tmp_path / "bomb.png", 100, 100)
    data = path.read_bytes()
    path.write_bytes(data[:16] + struct.pack(">II", *size) + data[24:])
    assert "over 200 megapixels; scale it down first" in complaint(read_image, path)
    jpeg = bytearray(cv2.imencode(".jpg", GREY)[1].tobytes())
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65000, 65000)
    (tmp_path / "bomb.jpg").write_bytes(jpeg)
    assert "megapixels" in complaint(read_image, tmp_path / "bomb.jpg")


# --------------------------------------------------------------------------------------------
# annotations
# --------------------------------------------------------------------------------------------


@pytest.fixture
def coco(tmp_path):
    """A writer of a COCO file with two pictures; ``change(document)`` breaks it."""
    (tmp_path / "images").mkdir()
    document = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "thing", "keypoints": ["a", "b"], "skeleton": [[1, 2]]}],
    }
    for i in (1, 2):
        stored(tmp_path / "images" / f"{i}.png", COLOUR)
        document["images"].append(
            {"id": i, "file_name": f"{i}.png", "width": 30, "height": 20, "group": f"g{i}"}
        )
        document["annotations"].append(
            {
                "id": i,
                "image_id": i,
                "category_id": 1,
                "keypoints": [8, 6, 2, 20, 15, 2],
                "num_keypoints": 2,
                "bbox": [5, 4, 18, 14],
                "area": 200.0,
                "iscrowd": 0,
            }
        )

    def write(change=lambda d: None):
        change(document)
        path = tmp_path / "train.json"
        path.write_text(json.dumps(document))
        return path

    return write


@pytest.mark.parametrize(
    "text", ["", " \n", "{", "[]", "null", '"x"', "{}", '{"images": 3}', "{'a': 1}", "[" * 9999]
)
def test_empty_and_malformed_json(tmp_path, text):
    path = tmp_path / "train.json"
    path.write_text(text)
    assert "train.json" in complaint(load_dataset, path)


def test_binary_where_json_should_be(tmp_path):
    path = stored(tmp_path / "x.png", GREY).rename(tmp_path / "train.json")
    assert "train.json" in complaint(load_dataset, path)


def test_nan_and_out_of_picture_points(coco):
    def change(document):
        document["annotations"][0]["keypoints"] = [float("nan"), 6, 2, 20, 15, 2]
        document["annotations"][1]["keypoints"] = [8, 6, 2, 34, 15, 2]

    with pytest.warns(DataWarning, match="repaired"):
        data = load_dataset(coco(change))
    assert np.isnan(data.samples[0].instances[0].xy[0]).all()  # rule: NaN = not labelled
    assert data.samples[1].instances[0].xy[1, 0] == 34  # rule: a little outside is kept
    crops = make_crops(data)
    assert crops.xy.shape == (2, 2, 2) and np.isnan(crops.xy[0, 0]).all()


def test_k_that_changes(coco):
    def change(document):
        document["annotations"][1]["keypoints"] = [8, 6, 2]

    assert "train.json" in complaint(load_dataset, coco(change))


def test_box_outside_the_picture(coco):
    def change(document):
        document["annotations"][0]["bbox"] = [500, 500, 20, 20]

    with pytest.warns(DataWarning, match="repaired"):
        data = load_dataset(coco(change))
    assert len(make_crops(data)) == 2  # rule: the points' box, grown, stands in


def test_no_instance_at_all(coco):
    text = complaint(load_dataset, coco(lambda d: d["annotations"].clear()))
    assert "train.json" in text


def test_a_missing_picture_is_named_by_the_command(coco, tmp_path, capsys):
    path = coco()
    (tmp_path / "images" / "2.png").unlink()
    code = cli.main(["train", str(path), "--method", "mean-shape", "-o", str(tmp_path / "m.hkp")])
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and line.startswith("hybridkp: error: ") and "2.png: no such picture" in line
    assert not (tmp_path / "m.hkp").exists()


# --------------------------------------------------------------------------------------------
# the disk and the keyboard
# --------------------------------------------------------------------------------------------

TRAIN, VAL = plain_dataset("train", 6), plain_dataset("val", 3, seed=50)


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_while_training(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", no_space)
    text = complaint(train, PlainMean(), TRAIN, tmp_path / "m.hkp")
    assert "m.hkp" in text and "No space left" in text
    assert os.listdir(tmp_path) == []


def test_a_full_disk_while_predicting(tmp_path, monkeypatch):
    path = stored(tmp_path / "p.png", COLOUR)
    crops = make_crops(TRAIN)
    model = PlainMean().fit(crops.images, crops.xy)
    monkeypatch.setattr(os, "fsync", no_space)
    boxes = {path.name: [[0, 0, 20, 20]]}
    assert "No space left" in complaint(predict, model, [path], boxes=boxes, out=tmp_path / "out")
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


def test_a_full_disk_before_a_bench(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", no_space)
    text = complaint(bench, {"mean": PlainMean()}, Problem(TRAIN, VAL), out=tmp_path / "out")
    assert "No space left" in text
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
def test_a_device_that_is_really_full(tmp_path):
    """Not a mock: the kernel says ENOSPC to every write."""
    from hybridkp.files import atomic_path

    with (
        pytest.raises(InputError, match="No space left"),
        atomic_path(tmp_path / "x"),
        open("/dev/full", "w") as f,
    ):
        f.write("x" * 100_000)
    assert os.listdir(tmp_path) == []


def test_out_that_is_a_file(tmp_path):
    (tmp_path / "out").write_text("")
    text = complaint(bench, {"mean": PlainMean()}, Problem(TRAIN, VAL), out=tmp_path / "out")
    assert "out: cannot be made (File exists): choose another folder" in text


class Interrupting(PlainMean):
    def fit(self, images, xy, *, groups=None, flip=None):
        raise KeyboardInterrupt


def test_ctrl_c_while_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("hybridkp.recipes.canonical", lambda name, task="landmarks": name)
    monkeypatch.setattr("hybridkp.recipes.make_method", lambda name, quick=False: Interrupting())
    code = cli.main(
        ["train", "synthetic", "--method", "sdm", "-o", str(tmp_path / "m.hkp"), "--max-train", "2"]
    )
    assert code == 130
    kept = "Finished fits are kept beside the model file; give the same command again to go on."
    assert capsys.readouterr().err == f"hybridkp: stopped. {kept}\n"
    assert set(os.listdir(tmp_path)) <= {".m.hkp.fits"}, "what the next call goes on from"


# --------------------------------------------------------------------------------------------
# what a picture file claims, and what is no file
# --------------------------------------------------------------------------------------------


def tiff(entries, big=False, data=bytes(64)):
    """A little-endian TIFF, or BigTIFF, with these (tag, kind, count, value) entries."""
    offset = "Q" if big else "I"
    body = b"".join(
        struct.pack("<HH" + offset, *e[:3])
        + struct.pack({1: "<B", 3: "<H", 9: "<i"}.get(e[1], "<" + offset), e[3]).ljust(8 if big else 4, b"\0")
        for e in entries
    )
    if big:
        return (
            struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16)
            + struct.pack("<Q", len(entries))
            + body
            + bytes(8)
            + data
        )
    return struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(entries)) + body + bytes(4) + data


def jp2(width, height):
    data = bytearray(cv2.imencode(".jp2", np.zeros((64, 64), np.uint8))[1].tobytes())
    at = data.index(b"\xff\x4f\xff\x51") + 8
    data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


CLAIMS = {
    "gif": b"GIF89a" + struct.pack("<HH", 32767, 32767) + b"\x80\0\0" + bytes(20) + b";",
    "bigtiff": tiff([(256, 4, 1, 32000), (257, 4, 1, 32000)], big=True),
    "slong.tiff": tiff([(256, 9, 1, 32000), (257, 9, 1, 32000)]),
    "twice.tiff": tiff([(256, 4, 1, 9), (257, 4, 1, 32000), (256, 4, 1, 32000)]),
    "late.tiff": tiff([(600 + i, 3, 1, 0) for i in range(500)] + [(256, 4, 1, 32000), (257, 4, 1, 32000)]),
    "tile.tiff": tiff([(256, 4, 1, 64), (257, 4, 1, 64), (322, 4, 1, 60000), (323, 4, 1, 60000)]),
    "jp2": jp2(32000, 32000),
    "webp": b"RIFF\x1a\0\0\0WEBPVP8L\x05\0\0\0\x2f\xff\xff\xff\x0f" + bytes(20),
    "png16": b"\x89PNG\r\n\x1a\n"
    + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 14000, 14000, 16, 6, 0, 0, 0)
    + bytes(4)
    + struct.pack(">I4sI", 0, b"IEND", 0),
    "bmp": b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 30000, -30000, 1, 24) + bytes(40),
}  # fmt: skip


@pytest.mark.parametrize("kind", CLAIMS)
def test_what_a_header_claims_is_refused_before_memory_is_taken(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    (tmp_path / "claim").write_bytes(CLAIMS[kind])
    text = complaint(read_image, tmp_path / "claim")
    assert "scale it down first" in text, text


@pytest.mark.parametrize(
    "data",
    [
        b"P5\n32000 32000\n255\n",
        b"P6 9 9 65535 \n",
        b"PF\n32000 32000\n-1.0\n",
        b"P7\nWIDTH 9\nHEIGHT 9\nDEPTH 4\nMAXVAL 65535\nTUPLTYPE RGB_ALPHA\nENDHDR\n",
        b"P5\n# 9",
        jp2(64, 64)[:-20],
        b"GIF89a" + bytes(9),
    ],
)
def test_pictures_without_their_data_are_cut_short(tmp_path, data):
    (tmp_path / "claim").write_bytes(data)
    assert "cut short" in complaint(read_image, tmp_path / "claim")


@pytest.mark.parametrize(
    "data", [b"\x59\xa6\x6a\x95" + bytes(60), b"#?RADIANCE\n\n-Y 9 +X 9\n", b"\x76\x2f\x31\x01"]
)
def test_kinds_whose_header_is_not_known_are_refused(tmp_path, data):
    (tmp_path / "claim").write_bytes(data)
    assert "not a picture" in complaint(read_image, tmp_path / "claim")


@pytest.mark.parametrize(
    "suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".jp2", ".pgm", ".ppm", ".pam", ".gif"]
)
@pytest.mark.parametrize("colour", [False, True])
def test_headers_say_what_is_decoded(tmp_path, suffix, colour):
    from hybridkp.files import picture_size

    if (
        (suffix == ".pgm" and colour)
        or (suffix == ".ppm" and not colour)
        or not cv2.haveImageWriter(f"x{suffix}")
    ):
        pytest.skip("OpenCV does not write that")
    image = np.random.default_rng(2).integers(
        0, 256, (64, 81, 3), dtype=np.uint8
    )  # too small is no JPEG 2000
    path = stored(tmp_path / f"p{suffix}", image if colour or suffix == ".gif" else image[:, :, 0])
    assert picture_size(path) == read_image(path).shape[:2] == (64, 81)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs devices and pipes")
def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe"):
        assert "is no regular file" in complaint(read_image, path)
    os.mkfifo(tmp_path / "train.json")
    assert "train.json" in complaint(load_dataset, tmp_path / "train.json")


def test_names_that_no_file_can_have(tmp_path):
    for name in ("x" * 5000, "a\0b.png", "\ud800.png"):
        assert "picture" in complaint(read_image, tmp_path / name) or len(name) > 300


# --------------------------------------------------------------------------------------------
# 10 to 14 bits in files of 16, and a fourth channel
# --------------------------------------------------------------------------------------------

FULL = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_few_bits_in_a_16_bit_file_do_not_go_dark(tmp_path, bits):
    path = stored(tmp_path / "p.png", FULL >> (16 - bits))
    with pytest.warns(RangeWarning, match=f"need {bits} bits only"):
        found = read_image(path)
    wanted = (FULL >> (16 - bits)) * (255 / (2**bits - 1))
    assert np.abs(found - wanted).max() <= 0.5 and found.max() == 255
    assert read_image(path, bits=16).max() == max(1, round((2**bits - 1) / 257))


def test_a_file_that_says_its_bits_is_believed(tmp_path):
    dark = (FULL >> 4) // 8  # a 12-bit camera in the dark
    path = tmp_path / "p.pgm"
    path.write_bytes(b"P5 30 20 4095\n" + dark.astype(">u2").tobytes())
    assert read_image(path).max() == round(int(dark.max()) * 255 / 4095)


def test_a_set_has_one_range(coco):
    path = coco()
    for i, top in ((1, 16), (2, 4)):  # the second picture is dark, not of another camera
        stored(path.parent / "images" / f"{i}.png", (FULL >> 4) // (16 // top) if top < 16 else FULL >> 4)
    with pytest.warns(RangeWarning, match="need 12 bits only: all are read so"):
        bright, dark = load_dataset(path)
    assert bright.image.max() == 255 and 60 < dark.image.max() < 68
    codes = {f.code: f for f in check_dataset(path)}
    assert "12 bits" in codes["pixel-range"].message


def test_a_picture_brighter_than_its_set_is_told(tmp_path):
    path = stored(tmp_path / "p.png", FULL)
    with pytest.warns(RangeWarning, match="brighter than 12 bits"):
        assert read_image(path, bits=12).max() == 255


def test_crops_of_16_bits_share_their_range():
    crops = [FULL >> 4, (FULL >> 4) // 4]
    with pytest.warns(RangeWarning, match="12 bits"):
        bright, dark = check_crops(crops)
    assert bright.max() == 255 and 60 < dark.max() < 68


def test_crops_of_floats_share_their_range():
    crops = np.stack([np.full((20, 30), 200.0), np.full((20, 30), 1.0)])
    assert [crop.max() for crop in check_crops(crops)] == [200, 1]
    assert [crop.max() for crop in check_crops(crops / 250)] == [204, 1]


def test_a_fourth_channel_is_alpha_only_where_it_is_said(tmp_path):
    depth = np.dstack([COLOUR, np.minimum(GREY, 200)])
    with pytest.warns(RangeWarning, match="fourth channel"):
        assert np.array_equal(as_uint8(depth), COLOUR)
    laid = (COLOUR.astype(int) * depth[:, :, 3:] + 127) // 255
    with pytest.warns(RangeWarning, match="transparency by the file's format"):  # which no mask looks like
        assert np.array_equal(as_uint8(depth, alpha=True), laid)
    with pytest.warns(RangeWarning, match="transparency by the file's format"):
        assert np.array_equal(read_image(stored(tmp_path / "said.png", depth)), laid)
    raw = tiff(
        [
            *((256, 4, 1, 30), (257, 4, 1, 20), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 2)),
            *((273, 4, 1, 122), (277, 3, 1, 4), (278, 4, 1, 20), (279, 4, 1, depth.size)),
        ],
        data=depth[:, :, [2, 1, 0, 3]].tobytes(),
    )
    (tmp_path / "depth.tiff").write_bytes(raw)
    if cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED).shape[2:] == (4,):
        with pytest.warns(RangeWarning, match="fourth channel"):
            assert np.array_equal(read_image(tmp_path / "depth.tiff"), COLOUR)
