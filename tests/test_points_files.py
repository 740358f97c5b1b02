"""Features of a folder and matches of pairs: hloc's HDF5 and COLMAP's database, resumable, with any names."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import cv2
import numpy as np
import pytest

from hybridkp import points
from hybridkp.checks.features import texture
from hybridkp.cli import main
from hybridkp.recipes import make_matcher
from hybridkp.structures import InputError

h5py = pytest.importorskip("h5py", reason="the extra 'formats'")

NAMES = ("a b.png", "deep/er/x..y;.png", "zweite.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three views of one texture, the second shifted by (-12, -7) px, the third another."""
    whole = texture(300)
    for name, (x, y) in zip(NAMES, ((0, 0), (12, 7), (60, 60)), strict=True):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", whole[y : y + 180, x : x + 220])[1].tobytes())
    (tmp_path / "pairs.txt").write_text(f"{NAMES[0]} {NAMES[1]}\n\n{NAMES[2]} {NAMES[1]}\n")
    return tmp_path


def _match(folder: Path, *more: str) -> int:
    out = str(folder / "matches.h5")
    given = ["match", str(folder / "photos"), "--pairs", str(folder / "pairs.txt"), "-o", out]
    return main([*given, "--points", "200", "--database", str(folder / "x.db"), *more])


def test_features_and_matches_go_through_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _match(folder) == 0
    with h5py.File(folder / "matches-features.h5") as file, h5py.File(folder / "matches.h5") as found:
        first, second = (file[name] for name in NAMES[:2])
        n = len(first["keypoints"])
        assert first["descriptors"].shape == (128, n) and first["scores"].shape == (n,)
        assert first["image_size"][:].tolist() == [220, 180]
        pair = found[f"{NAMES[0]}/{NAMES[1].replace('/', '-')}"]
        matches = pair["matches0"][:]
        rows = np.flatnonzero(matches >= 0)
        way = second["keypoints"][:][matches[rows]] - first["keypoints"][:][rows]
        assert len(matches) == n and (pair["matching_scores0"][:][matches < 0] == 0).all()
        np.testing.assert_allclose(np.median(way, axis=0), [-12, -7], atol=0.05)
        direct = make_matcher("rootsift", 200).tentative(
            *(cv2.imread(str(folder / "photos" / name)) for name in NAMES[:2])
        )
        assert len(direct.score) == len(rows)
        xy = first["keypoints"][:]
    with sqlite3.connect(folder / "x.db") as base:
        stored = dict(base.execute("SELECT name, data FROM images JOIN keypoints USING (image_id)"))
        table = np.frombuffer(stored[NAMES[0]], np.float32).reshape(-1, 2)
        np.testing.assert_array_equal(table, xy + np.float32(0.5))  # COLMAP's corner
        ids = dict(base.execute("SELECT name, image_id FROM images"))
        pairs = {row[0]: row[1:] for row in base.execute("SELECT pair_id, rows, data FROM matches")}
        kept = pairs[2147483647 * ids[NAMES[0]] + ids[NAMES[1]]]
        assert kept[0] == len(rows)
        table = np.frombuffer(kept[1], np.uint32).reshape(-1, 2)
        np.testing.assert_array_equal(table, np.stack([rows, matches[rows]], 1))
        assert len(pairs) == 2
    base.close()


def test_features_of_one_command_serve_the_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both take as many points where nobody says how many, and the files of pairs are for pairs alone."""
    photos, features, out = (str(folder / name) for name in ("photos", "f.h5", "m.h5"))
    assert main(["features", photos, "-o", features]) == 0
    pairs = ["--pairs", str(folder / "pairs.txt"), "--features", features, "-o", out]
    assert main(["match", photos, *pairs]) == 0
    first, second = (str(folder / "photos" / name) for name in NAMES[:2])
    assert main(["match", first, second, "--features", features]) == 2
    assert "--pairs" in capsys.readouterr().err


def test_the_databases_geometry_is_in_colmaps_px(folder: Path) -> None:
    """Inliers lie on the epipolar lines of the stored matrix by the stored points, half a pixel on."""
    assert _match(folder) == 0
    with sqlite3.connect(folder / "x.db") as base:
        xy = {
            row[0]: np.frombuffer(row[1], np.float32).reshape(-1, 2).astype(float)
            for row in base.execute("SELECT image_id, data FROM keypoints")
        }
        rows = base.execute("SELECT pair_id, data, F FROM two_view_geometries").fetchall()
    base.close()
    assert rows
    for pair, data, matrix in rows:
        f, table = np.frombuffer(matrix).reshape(3, 3), np.frombuffer(data, np.uint32).reshape(-1, 2)
        ends = (xy[side][table[:, i]] for i, side in enumerate(divmod(pair, 2147483647)))
        a, b = (np.column_stack([points, np.ones(len(points))]) for points in ends)
        line = a @ f.T
        away = np.abs((line * b).sum(1)) / np.hypot(line[:, 0], line[:, 1])
        assert np.median(away) < 0.1


def test_pycolmap_reads_the_database(folder: Path) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    assert _match(folder) == 0
    base = pycolmap.Database.open(folder / "x.db")
    assert {image.name for image in base.read_all_images()} == set(NAMES)
    assert base.num_matched_image_pairs() == 2
    base.close()


def test_a_stopped_run_goes_on(folder: Path) -> None:
    """What is whole is kept, a half entry is made again, other settings are refused."""
    matcher = make_matcher("orb", 50)
    names = points.pictures_of(folder / "photos")
    out = folder / "f.h5"
    steps = points.describe_pictures(matcher, folder / "photos", names, out)
    next(steps)
    steps.close()
    with h5py.File(out, "a") as file:
        assert len(file[names[0]]["scores"]) and names[1] not in file
        file[names[0]]["scores"][:] = 7
        file.create_group(names[1])["keypoints"] = np.zeros((3, 2))
    assert list(points.describe_pictures(matcher, folder / "photos", names, out)) == names
    with h5py.File(out) as file:
        assert (file[names[0]]["scores"][:] == 7).all() and file[names[1]]["descriptors"].shape[0] == 32
    with pytest.raises(InputError, match="other settings"):
        next(points.describe_pictures(make_matcher("orb", 51), folder / "photos", names, out))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("../secret.png zweite.png", "no picture of the folder"),
        ("/etc/passwd zweite.png", "no picture of the folder"),
        ("zweite.png", "two names"),
        ("zweite.png zweite.png", "two names"),
        ("", "no pairs"),
    ],
)
def test_bad_pairs_are_named(folder: Path, text: str, told: str) -> None:
    (folder / "bad.txt").write_text(text)
    with pytest.raises(InputError, match=told):
        points.read_pairs(folder / "bad.txt", points.pictures_of(folder / "photos"))


def turned(path: Path, image: np.ndarray, orientation: int) -> None:
    """A JPEG whose EXIF says how its rows are to be turned."""
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation]) + bytes(7)
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:])


def test_points_are_in_px_of_the_file_and_what_is_no_picture_is_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """hloc and COLMAP do not turn pictures by EXIF; and one broken file of a folder costs that file alone."""
    photos, out = folder / "photos", folder / "f.h5"
    turned(photos / "turned.jpg", texture(300)[:180, :220], 6)
    (photos / "broken.png").write_bytes((photos / NAMES[0]).read_bytes()[:500])
    with (folder / "pairs.txt").open("a") as file:
        file.write("broken.png zweite.png\n")
    assert main(["features", str(photos), "--points", "200", "-o", str(out)]) == 1
    told = capsys.readouterr()
    assert "left out" in told.err and "broken.png: the picture is cut short" in told.err
    with h5py.File(out) as file:
        assert file["turned.jpg"]["image_size"][:].tolist() == [220, 180]
        xy, upright = (file[name]["keypoints"][:] for name in ("turned.jpg", NAMES[0]))
        nearest = np.linalg.norm(xy[:, None] - upright, axis=2).min(1)
        assert np.median(nearest) < 0.2 and "broken.png" not in file
    assert _match(folder, "--features", str(out)) == 1 and "broken.png" in capsys.readouterr().err
    with h5py.File(folder / "matches.h5") as file:
        assert sorted(file) == sorted([NAMES[0], NAMES[2]])
    for path in photos.rglob("*.*"):
        path.write_bytes(b"no picture")
    assert main(["features", str(photos), "-o", str(folder / "none.h5")]) == 2
    assert "left out" not in capsys.readouterr().err


def test_bad_files_and_methods_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "matches-features.h5").write_bytes(b"no HDF5")
    assert _match(folder) == 2 and "cannot be opened as HDF5" in capsys.readouterr().err
    assert _match(folder, "--method", "rootsift:net") == 2 and "one feature" in capsys.readouterr().err
    assert main(["match", str(folder / "photos")]) == 2 and "--pairs" in capsys.readouterr().err
    assert main(["features", str(folder / "none"), "-o", str(folder / "y.h5")]) == 2
    assert not (folder / "y.h5").exists() and not (folder / "x.db").exists()
