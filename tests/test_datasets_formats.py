"""One format, one row: what rows drive, and the public checks that a reader which loses something fails."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hybridkp.checks import make_annotated, reader_checks
from hybridkp.datasets import (
    FORMATS,
    PAIR_FORMATS,
    Format,
    Mismatched,
    Repaired,
    Tally,
    check_dataset,
    describe_dataset,
    formats_help,
    load_dataset,
    load_pairs,
    load_parts,
    read_coco,
    recognise_format,
    register_format,
    split_names,
    write_coco,
)
from hybridkp.files import write_image
from hybridkp.structures import Dataset, DataWarning, InputError, Instance, Sample

BY_NAME = {row.name: row for row in FORMATS}
COCO, PTS = BY_NAME["coco"], BY_NAME["300w"]


def failed(row: Format[Dataset], *args: Any, **options: Any) -> set[str]:
    """The names of the checks that a row does not pass."""
    out = set()
    for name, check in reader_checks(row, *args, **options):
        try:
            check()
        except (AssertionError, ValueError, TypeError, AttributeError):
            out.add(name)
    return out


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    made = make_annotated(tmp_path)
    write_coco(made.subset(range(4)), tmp_path / "train.json")
    write_coco(made.subset([4, 5]), tmp_path / "val.json")
    return tmp_path


@pytest.fixture
def pts(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A folder of .pts files written here: the file's numbers are 1-based."""
    rng = np.random.default_rng(0)
    points = {}
    for n in range(5):
        xy = rng.integers(8, 300, (4, 2)) / 8
        write_image(tmp_path / f"f{n}.png", rng.integers(0, 256, (50, 40, 3), np.uint8))
        lines = "\n".join(f"{x + 1} {y + 1}" for x, y in xy)
        (tmp_path / f"f{n}.pts").write_text(f"version: 1\nn_points: 4\n{{\n{lines}\n}}\n")
        points[f"f{n}.png"] = xy[None]
    return tmp_path, points


# --------------------------------------------------------------------------------------------
# the readers that are here
# --------------------------------------------------------------------------------------------


def test_coco_passes(coco: Path) -> None:
    assert failed(COCO, coco) == set()
    assert failed(COCO, coco, expected={"train": Tally(4, 7), "val": Tally(2, 5)}) == set()


def test_pts_passes(pts: tuple[Path, dict[str, np.ndarray]]) -> None:
    folder, points = pts
    assert failed(PTS, folder, expected=Tally(5, 5, 20), points=points) == set()
    # a file that counts from 0, read as if it counted from 1, is a pixel off
    assert failed(PTS, folder, points=points, origin=0.0) == {"points lie where they were put"}


def test_synthetic_passes() -> None:
    names = [name for name, _ in reader_checks(BY_NAME["synthetic"], "synthetic")]
    assert "no picture, object or point is lost" in names
    assert failed(BY_NAME["synthetic"], "synthetic") == set()


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        "bees32",
        "bodies14",
        "ceph19",
        "coco_people",
        "faces68",
        "flies13",
        "kitchen_depth",
        "mouse17",
        "wings12",
    ],
)
def test_real_sets_lose_nothing(data_root: Path, name: str) -> None:
    assert failed(COCO, data_root / name) == set()


@pytest.mark.data
def test_files_as_other_tools_wrote_them_are_read_or_refused_in_one_line(data_root: Path) -> None:
    files = sorted((data_root / "formats").rglob("*.json"))
    assert len(files) > 30
    read = 0
    for file in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            try:
                read += len(load_dataset(file)) > 0
            except InputError as error:
                assert "\n" not in str(error) and file.name in str(error)
    assert read >= 5


# --------------------------------------------------------------------------------------------
# readers that are wrong
# --------------------------------------------------------------------------------------------


def spoiled(change: Any) -> Format[Dataset]:
    """The COCO row with a reader that spoils what it reads."""

    def read(root: Path, split: str | None = None, **options: Any) -> Dataset:
        return change(COCO.read(root, split, **options))

    return replace(COCO, read=read)


def each(data: Dataset, change: Any) -> Dataset:
    """Every object of every sample changed."""
    samples = [replace(s, instances=tuple(map(change, s.instances))) for s in data]
    return replace(data, samples=tuple(samples))


def eager(sample: Sample) -> Sample:
    image = sample.image
    return replace(sample, load=lambda: image)


BROKEN = {
    "loses a frame": (lambda d: d.subset(range(len(d) - 1)), "no picture, object or point is lost"),
    "loses an object": (
        lambda d: replace(d, samples=(*d.samples[:-1], replace(d.samples[-1], instances=()))),
        "no picture, object or point is lost",
    ),
    "loses a point": (
        lambda d: each(d, lambda i: replace(i, visibility=np.where(np.arange(5) == 1, 0, i.visibility))),
        "no picture, object or point is lost",
    ),
    "half a pixel off": (
        lambda d: each(d, lambda i: replace(i, xy=i.xy + 0.5)),
        "what is written comes back",
    ),
    "x for y": (lambda d: each(d, lambda i: replace(i, xy=i.xy[:, ::-1])), "what is written comes back"),
    "hidden is visible": (
        lambda d: each(d, lambda i: replace(i, visibility=2 * (i.visibility > 0))),
        "what is written comes back",
    ),
    "another order": (lambda d: d.subset(range(len(d) - 1, -1, -1)), "what is written comes back"),
    "no groups": (
        lambda d: replace(d, samples=tuple(replace(s, group=s.name) for s in d)),
        "what is written comes back",
    ),
    "the size is (w, h)": (
        lambda d: replace(d, samples=tuple(replace(s, size_hw=s.size_hw[::-1]) for s in d)),
        "pictures open, upright and as large as said",
    ),
    "cannot be pickled": (
        lambda d: replace(d, samples=tuple(replace(s, load=lambda s=s: s.image) for s in d)),
        "pictures open, upright and as large as said",
    ),
    "opens every picture": (
        lambda d: replace(d, samples=tuple(map(eager, d))),
        "pictures are opened late",
    ),
    "a picture for another": (
        lambda d: replace(d, samples=tuple(replace(s, load=d.samples[0].load) for s in d)),
        "what is written comes back",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_reader_that_spoils_data_fails(coco: Path, fault: str) -> None:
    change, check = BROKEN[fault]
    assert check in failed(spoiled(change), coco), fault


def test_a_reader_whose_order_wanders_fails(coco: Path) -> None:
    rng = np.random.default_rng(0)
    assert "read again, the same" in failed(spoiled(lambda d: d.subset(rng.permutation(len(d)))), coco)


def test_splits_that_overlap_fail(coco: Path) -> None:
    whole = replace(
        COCO, read=lambda root, split, **_: COCO.read(root, "train"), tally=lambda *_: Tally(4), write=None
    )
    assert "splits have nothing in common" in failed(whole, coco)


def test_a_row_that_claims_everything_fails(coco: Path) -> None:
    assert "knows nothing of other things" in failed(replace(COCO, recognises=lambda _: 1.0), coco)


def test_a_reader_with_other_errors_fails(coco: Path) -> None:
    def read(root: Path, split: str | None = None, **_: Any) -> Dataset:
        json.loads((root / f"{split or 'annotations'}.json").read_bytes())  # any of Python's errors
        return COCO.read(root, split)

    assert "damaged files are errors of one line" in failed(replace(COCO, read=read), coco)


def test_checks_that_could_not_fail_are_refused(coco: Path) -> None:
    with pytest.raises(InputError, match="nothing to read"):
        list(reader_checks(PTS))
    with pytest.raises(InputError, match="nothing to count by"):
        list(reader_checks(replace(COCO, tally=None), coco))


# --------------------------------------------------------------------------------------------
# a third party's row
# --------------------------------------------------------------------------------------------


def _is_tracks(root: Path) -> float:
    return float(root.is_file() and root.suffix == ".csv" and root.read_bytes()[:6] == b"file,x")


def _read_tracks(root: Path, split: str | None = None) -> Dataset:
    rows = [line.split(",") for line in root.read_text().split()[1:]]
    samples = tuple(
        Sample(
            name,
            _Load(str(root.parent / name)),
            (Instance([[float(x), float(y)]], box_xywh=[0, 0, 9, 9]),),
            name,
        )
        for name, x, y in rows
    )
    return Dataset("tracks", ("tip",), samples)


class _Load:
    def __init__(self, path: str):
        self.path = path

    def __call__(self) -> np.ndarray:
        return cv2.imread(self.path)


TRACKS = Format(
    name="tracks",
    words="a .csv file of file,x,y",
    recognises=_is_tracks,
    splits=lambda _: (),
    read=_read_tracks,
    tally=lambda root, split: Tally(len(root.read_text().split()) - 1),
)


@pytest.fixture
def tracks(tmp_path: Path) -> Iterator[Path]:
    for n in range(4):
        write_image(tmp_path / f"{n}.png", np.random.default_rng(n).integers(0, 256, (30, 40, 3), np.uint8))
    text = "\n".join(f"{n}.png,{n + 5},{n + 7.25}" for n in range(4))
    (tmp_path / "tracks.csv").write_text(f"file,x,y\n{text}\n")
    register_format(TRACKS)
    yield tmp_path / "tracks.csv"
    FORMATS.remove(TRACKS)


def test_a_registered_row_is_a_format_everywhere(tracks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert failed(TRACKS, tracks, points={"2.png": [[[7, 9.25]]]}) == set()
    assert recognise_format(tracks) is TRACKS and split_names(tracks) == ()
    data = load_dataset(tracks)
    assert data.name == "tracks" and len(data) == 4
    assert describe_dataset(tracks)["pictures"] == 4
    assert {f.code for f in check_dataset(tracks)} >= {"no-groups"}
    with pytest.warns(UserWarning, match="held out one by one, for want of groups"):
        assert [len(part) for part in load_parts(str(tracks), "val")] == [3, 1]
    assert "a .csv file of file,x,y" in formats_help()
    with pytest.raises(InputError, match=r"expected a \.csv file of file,x,y, a folder with train\.json"):
        load_dataset(tracks.parent / "0.png")
    with pytest.raises(InputError, match="takes no option 'category'"):
        load_dataset(tracks, category="x")
    with pytest.raises(InputError, match="already"):
        register_format(TRACKS)


# --------------------------------------------------------------------------------------------
# the doors
# --------------------------------------------------------------------------------------------


def test_pairs_have_rows_too() -> None:
    assert recognise_format("synthetic", PAIR_FORMATS).word == "synthetic"
    assert formats_help(PAIR_FORMATS).startswith(
        "a folder in the HPatches layout, a pairs file in SuperGlue's"
    )
    assert len(load_pairs("synthetic", 120)) == 52


def test_a_folder_called_synthetic_is_a_folder(coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(coco, coco / "synthetic")
    monkeypatch.chdir(coco)
    assert (
        len(load_dataset("./synthetic", "train")) == 4 and load_dataset("synthetic", "val").category == "face"
    )


@pytest.fixture
def two_categories(coco: Path) -> Path:
    for split in ("train", "val"):
        document = json.loads((coco / f"{split}.json").read_text())
        rod = {"id": 7, "name": "rod", "keypoints": ["tip", "base"]}
        document["categories"].append(rod)
        extra = document["annotations"][0] | {"id": 99, "category_id": 7, "num_keypoints": 2}
        document["annotations"].append(extra | {"keypoints": [10, 10, 2, 40, 30, 2]})
        (coco / f"{split}.json").write_text(json.dumps(document))
    return coco


def test_one_of_two_categories_by_name(two_categories: Path) -> None:
    with pytest.raises(InputError, match=r"several categories.*'mouse' id 1, 'rod' id 7.*--category"):
        load_dataset(two_categories, "train")
    for wanted in ("7", 7):
        assert load_dataset(two_categories, "train", category=wanted).category == "rod"
    with pytest.raises(InputError, match=r"no category 'cow'.*'mouse' id 1, 'rod' id 7"):
        load_dataset(two_categories, category="cow")
    rods = load_dataset(two_categories, category="rod")
    assert rods.landmarks == ("tip", "base") and sum(len(s.instances) for s in rods) == 2
    assert len(load_parts(str(two_categories), "val", category="rod")[0]) == 4
    assert describe_dataset(two_categories, "val", category="mouse")["instances"] == 5
    codes = {f.code for f in check_dataset(two_categories, category="mouse")}
    assert "unreadable" not in codes and "wrong-k" not in codes
    assert failed(COCO, two_categories, category="rod") == set()


@pytest.mark.parametrize("change", [{"keypoints": []}, {"keypoints": None}, {"keypoints": ...}])
def test_objects_without_keypoints_are_skipped_and_counted(coco: Path, change: dict[str, Any]) -> None:
    document = json.loads((coco / "train.json").read_text())
    extra = document["annotations"][0] | {"id": 99, "num_keypoints": 0} | change
    document["annotations"].append({k: v for k, v in extra.items() if v is not ...})
    (coco / "train.json").write_text(json.dumps(document))
    with pytest.warns(Repaired, match="without keypoints skipped: 1") as caught:
        assert sum(len(s.instances) for s in load_dataset(coco, "train")) == 7
    assert caught[0].message.repairs == {"instances without keypoints skipped": ["instance 99"]}
    found = {f.code: f for f in check_dataset(coco)}
    assert found["repaired"].where == ("train instance 99",) and "wrong-k" not in found


def test_an_empty_box_is_a_missing_one(coco: Path) -> None:
    document = json.loads((coco / "train.json").read_text())
    document["annotations"][0]["bbox"] = []
    (coco / "train.json").write_text(json.dumps(document))
    with pytest.warns(Repaired, match="bbox missing, taken from the points: 1"):
        load_dataset(coco, "train")


def test_all_objects_with_another_number_of_points_are_named(coco: Path) -> None:
    document = json.loads((coco / "train.json").read_text())
    for row in (1, 4):
        document["annotations"][row]["keypoints"] = [1, 2, 2]
    (coco / "train.json").write_text(json.dumps(document))
    with pytest.raises(Mismatched, match=r"in 2 instances|has 3 keypoint numbers") as error:
        load_dataset(coco, "train")
    assert error.value.names == ("instance 2: 1 points instead of 5", "instance 5: 1 points instead of 5")
    found = {f.code: f for f in check_dataset(coco)}
    assert found["wrong-k"].where == tuple(f"train {name}" for name in error.value.names)


# --------------------------------------------------------------------------------------------
# visibility
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "read"), [(0.93, 1), (1e-6, 1), (1.7, 2), (True, 1), (0, 0), (7, 2), (-1, 0)]
)
def test_any_visibility_above_zero_is_labelled(coco: Path, given: Any, read: int) -> None:
    document = json.loads((coco / "val.json").read_text())
    document["annotations"][0]["keypoints"][2] = given
    (coco / "val.json").write_text(json.dumps(document))
    plain = given is True or given == 0
    rule = "num_keypoints" if given == 0 else "visibility"
    with nullcontext() if plain and read else pytest.warns(Repaired, match=rule):
        data = load_dataset(coco, "val")
    assert data.samples[0].instances[0].visibility[0] == read


# --------------------------------------------------------------------------------------------
# file names of other machines
# --------------------------------------------------------------------------------------------


def renamed(folder: Path, name: Any) -> Path:
    """train.json with file names written by ``name(last part)``; the pictures stay in images/."""
    document = json.loads((folder / "train.json").read_text())
    for image in document["images"]:
        image["file_name"] = name(image["file_name"].split("/")[-1])
    (folder / "train.json").write_text(json.dumps(document))
    return folder / "train.json"


@pytest.mark.parametrize(
    "name",
    [
        "images\\{}",
        "C:\\users\\me\\images\\{}",
        "/home/x/data/{}",
        "file:///D:/my%20data/images/{}",
        "server/share/{}",
        "\\\\server\\share\\images\\{}",
    ],
)
def test_names_of_other_machines_are_found_with_a_word(coco: Path, name: str) -> None:
    before = [s.image for s in load_dataset(coco, "train")]
    with pytest.warns(Repaired, match="file names of another machine"):
        data = read_coco(renamed(coco, name.format))
    for image, sample in zip(before, data, strict=True):
        np.testing.assert_array_equal(sample.image, image)


def test_quoted_names_are_found(coco: Path) -> None:
    for file in (coco / "images").iterdir():
        file.rename(file.with_name(f"a b {file.name}"))
    with pytest.warns(Repaired, match="%20"):
        data = read_coco(renamed(coco, "a%20b%20{}".format))
    assert data.samples[0].image.ndim == 3


def test_names_that_differ_never_become_one(coco: Path) -> None:
    """Two cameras with the same names, of which only one folder's pictures are there."""
    document = json.loads((coco / "train.json").read_text())
    for n, image in enumerate(document["images"]):
        image["file_name"] = f"cam{n % 2}/0{n // 2}.png"
    (coco / "train.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="none of its 4 pictures"):
        read_coco(coco / "train.json")


@pytest.mark.parametrize("name", ["{outside}", "../../{last}/secret.png"])
def test_names_that_leave_the_data_are_refused_unless_allowed(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "elsewhere"
    data = tmp_path / "a" / "data"
    for folder in (outside, data):
        folder.mkdir(parents=True)
    write_image(outside / "secret.png", np.full((30, 40, 3), 9, np.uint8))
    made = make_annotated(data)
    write_coco(made, data / "train.json")
    document = json.loads((data / "train.json").read_text())
    document["images"][1]["file_name"] = name.format(outside=outside / "secret.png", last="elsewhere")
    (data / "train.json").write_text(json.dumps(document))
    loaded = read_coco(data / "train.json")
    with pytest.raises(
        InputError, match="lies outside the data's folders; to allow it, read with images_dir="
    ):
        _ = loaded.samples[1].image
    assert loaded.samples[0].image.ndim == 3
    document["images"] = document["images"][1:2]
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] == 5]
    document["images"][0]["file_name"] = "secret.png"
    (data / "train.json").write_text(json.dumps(document))
    assert read_coco(data / "train.json", outside).samples[0].image.shape == (30, 40, 3)


def test_a_picture_is_searched_for_by_name_and_size(coco: Path) -> None:
    """Human3.6M's files name ``a.png`` and have it in ``S1/scene/a.png``."""
    names = sorted(p.name for p in (coco / "images").iterdir())
    for n, name in enumerate(names):
        (coco / "images" / f"s{n}" / "deep").mkdir(parents=True)
        (coco / "images" / name).rename(coco / "images" / f"s{n}" / "deep" / name)
    (coco / "images" / "thumbs").mkdir()
    cv2.imwrite(str(coco / "images" / "thumbs" / names[0]), np.zeros((5, 5), np.uint8))
    with pytest.warns(DataWarning, match="by name and size, as only one file has both"):
        found = load_dataset(coco)
    assert all(s.image.shape[:2] == s.size_hw for s in found)
    shutil.copytree(coco / "images" / "s0", coco / "images" / "again")
    with pytest.warns(DataWarning):
        twice = next(s for s in load_dataset(coco) if s.name.endswith(names[0]))
    with pytest.raises(InputError):
        _ = twice.image  # two files of that name and size: nobody knows which


def test_a_skeleton_that_counts_from_zero(coco: Path) -> None:
    """COCO counts landmarks from 1; a pair with 0 cannot, as in ATRW's and Human3.6M's files."""
    path = coco / "train.json"
    document = json.loads(path.read_text())
    document["categories"][0]["skeleton"] = [[0, 1], [1, 2]]
    path.write_text(json.dumps(document))
    with pytest.warns(DataWarning, match="skeleton counts from 0"):
        found = load_dataset(coco, "train")
    assert found.skeleton.tolist() == [[0, 1], [1, 2]]
