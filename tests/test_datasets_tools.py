"""Other tools' formats: what they write is read as they mean it, and what we write they read."""

from __future__ import annotations

import base64
import csv
import json
import pickle
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from hybridkp.checks import make_annotated, reader_checks
from hybridkp.cli import main
from hybridkp.cli.options import DATA
from hybridkp.cli.parser import build_parser
from hybridkp.datasets import (
    FORMATS,
    LAYOUTS,
    Repaired,
    convert_dataset,
    from_arrays,
    from_frame,
    load_dataset,
    named,
    recognise_format,
    to_frame,
    write_coco,
)
from hybridkp.datasets.adjust import box_jitter
from hybridkp.datasets.matfile import read_mat
from hybridkp.structures import HIDDEN, NOT_LABELLED, Dataset, DataWarning, InputError, Instance, Sample

BY_NAME = {row.name: row for row in FORMATS}
WRITERS = [name for name, row in BY_NAME.items() if row.write is not None]
POINT = [10.25, 20.5]  #: of a picture of 60 x 40 px


def needs(name: str) -> None:
    if name == "sleap":
        pytest.importorskip("h5py", reason="SLEAP's files need h5py: the extra 'formats'")


def put_picture(path: Path, h: int = 40, w: int = 60) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((h, w, 3), 90, np.uint8))


def put(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def only(dataset: Dataset) -> Instance:
    (sample,) = dataset.samples
    (instance,) = sample.instances
    return instance


@pytest.mark.parametrize("name", WRITERS)
def test_what_a_row_writes_it_reads(name: str) -> None:
    needs(name)
    for _, check in reader_checks(BY_NAME[name]):
        check()


# --------------------------------------------------------------------------------------------
# the half pixel: the numbers in the file, by the tool's own rule
# --------------------------------------------------------------------------------------------


def _labelme(folder: Path) -> Any:
    shapes = json.loads((folder / "a.json").read_text())["shapes"]
    return next(s["points"][0] for s in shapes if s["shape_type"] == "point")


def _label_studio(folder: Path) -> Any:
    rows = json.loads((folder / "tasks.json").read_text())[0]["annotations"][0]["result"]
    value = next(r["value"] for r in rows if r["type"] == "keypointlabels")
    return np.array([value["x"], value["y"]]) / 100 * [60, 40]


def _cvat(folder: Path) -> Any:
    point = ElementTree.parse(folder / "annotations.xml").find("image/skeleton/points")
    assert point is not None
    return [float(v) for v in point.attrib["points"].split(",")]


def _yolo(folder: Path) -> Any:
    cells = (folder / "labels" / "a.txt").read_text().split()
    return np.array(cells[5:7], float) * [60, 40]


def _dlc(folder: Path) -> Any:
    return [
        float(v)
        for v in list(csv.reader((folder / "CollectedData_hybridkp.csv").read_text().splitlines()))[3][1:3]
    ]


def _sleap(folder: Path) -> Any:
    import h5py

    with h5py.File(folder / "labels.slp") as file:
        assert file["metadata"].attrs["format_id"] == 1.2
        return [file["points"][0]["x"], file["points"][0]["y"]]


def _tps(folder: Path) -> Any:
    return [float(v) for v in (folder / "landmarks.tps").read_text().splitlines()[1].split()]


def _coco(folder: Path) -> Any:
    return json.loads((folder / "annotations.json").read_text())["annotations"][0]["keypoints"][:2]


HALF: dict[str, tuple[Callable[[Path], Any], list[float]]] = {
    "coco": (_coco, [10.25, 20.5]),
    "labelme": (_labelme, [10.75, 21.0]),
    "label-studio": (_label_studio, [10.75, 21.0]),
    "cvat": (_cvat, [10.75, 21.0]),
    "yolo-pose": (_yolo, [10.25, 20.5]),
    "dlc": (_dlc, [10.25, 20.5]),
    "sleap": (_sleap, [10.25, 20.5]),
    "tps": (_tps, [10.25, 19.5]),
}


@pytest.mark.parametrize("name", HALF)
def test_the_numbers_in_the_file_are_the_tools(name: str, tmp_path: Path) -> None:
    needs(name)
    instance = Instance([POINT, [30, 30]], box_xywh=[5, 5, 40, 30], area=1200)
    sample = Sample("images/a.png", lambda: np.zeros((40, 60), np.uint8), (instance,), "a", (40, 60))
    write = BY_NAME[name].write
    assert write is not None
    write(Dataset("one", ("nose", "tail"), (sample,)), tmp_path, None)
    look, wanted = HALF[name]
    np.testing.assert_allclose(look(tmp_path), wanted, atol=1e-9)


def test_every_writer_is_looked_at() -> None:
    assert set(HALF) | {"imglab"} == set(WRITERS), "imglab: whole pixels, tested below"
    for row in FORMATS:
        assert row.word or (row.tool and re.match(r"[0½1x]", row.centre)), f"{row.name}: state the half pixel"


def test_dlib_keeps_whole_pixels_and_says_so(tmp_path: Path) -> None:
    made = make_annotated(tmp_path)
    write = BY_NAME["imglab"].write
    assert write is not None
    with pytest.warns(DataWarning, match=r"rounded, by up to 0.50 px"):
        write(made, tmp_path, None)
    for a, b in zip(made, load_dataset(tmp_path), strict=True):
        for i, j in zip(a.instances, b.instances, strict=True):
            assert (
                np.nanmax(np.abs(i.xy - j.xy)) <= 0.5 and np.isnan(i.xy).tolist() == np.isnan(j.xy).tolist()
            )
    numbers = re.findall(r' [xy]="([^"]*)"', (tmp_path / "imglab.xml").read_text())
    assert numbers and all(re.fullmatch(r"\d+", n) for n in numbers), "dlib reads whole numbers only"


def test_pandas_reads_our_table_as_deeplabcut_does(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="the extra 'formats'")
    made = make_annotated(tmp_path)
    write = BY_NAME["dlc"].write
    assert write is not None
    write(made, tmp_path, None)
    table = pandas.read_csv(tmp_path / "CollectedData_hybridkp.csv", header=[0, 1, 2, 3], index_col=0)
    assert table.columns.names == ["scorer", "individuals", "bodyparts", "coords"]
    first = table["hybridkp"]["individual1"].to_numpy().reshape(len(made), -1, 2)
    np.testing.assert_allclose(first, [s.instances[0].xy for s in made], atol=1e-9)


# --------------------------------------------------------------------------------------------
# as their tools write them
# --------------------------------------------------------------------------------------------


def shape(label: str, x: float, y: float, group: int | None = None) -> dict[str, Any]:
    return {"label": label, "points": [[x, y]], "group_id": group, "shape_type": "point", "flags": {}}


def box_shape(label: str, corners: Any, group: int | None = None) -> dict[str, Any]:
    return shape(label, 0, 0, group) | {"points": corners, "shape_type": "rectangle"}


def labelme(*shapes: dict[str, Any], **more: Any) -> dict[str, Any]:
    about = {"version": "5.0.1", "flags": {}, "shapes": shapes, "imagePath": "..\\photos\\a.png"}
    return about | {"imageData": None, "imageHeight": 40, "imageWidth": 60} | more


def test_labelme_twice_is_unknown_and_the_picture_may_be_inside(tmp_path: Path) -> None:
    put_picture(tmp_path / "a.png")
    data = base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    (tmp_path / "a.png").unlink()
    points = [shape("l2", 5, 6), shape("l10", 7, 8), shape("l1", 1.5, 2.5), shape("l2", 9, 9)]
    put(tmp_path / "json" / "a.json", labelme(*points, imageData=data))
    with pytest.warns(Repaired, match="landmarks twice in one object, now not labelled: 1"):
        found = load_dataset(tmp_path / "json")
    assert found.landmarks == ("l1", "l2", "l10")
    np.testing.assert_allclose(only(found).xy, [[1, 2], [np.nan] * 2, [6.5, 7.5]])
    assert found.samples[0].image.shape == (40, 60, 3)


def test_labelme_groups_are_objects(tmp_path: Path) -> None:
    put_picture(tmp_path / "photos" / "a.png")
    box = box_shape("fly", [[30, 20], [4, 2]], 1)
    put(tmp_path / "json" / "a.json", labelme(shape("a", 1, 2, 0), shape("a", 5, 6, 1), box))
    put(tmp_path / "labels.txt", "__ignore__\nfly\nb\na\n")
    found = load_dataset(tmp_path / "json")
    assert found.category == "fly" and found.landmarks == ("b", "a")
    first, second = found.samples[0].instances
    np.testing.assert_allclose([first.xy[1], second.xy[1]], [[0.5, 1.5], [4.5, 5.5]])
    np.testing.assert_allclose(second.box_xywh, [4, 2, 26, 18])


def test_labelme_writes_the_category_that_it_reads(tmp_path: Path) -> None:
    write = BY_NAME["labelme"].write
    assert write is not None
    write(make_annotated(tmp_path), tmp_path, None)
    assert load_dataset(tmp_path).category == "mouse"


@pytest.mark.parametrize(
    "name",
    [
        "/data/local-files/?d=photos%5Ca.png",
        "/data/local-files/?d=project/photos/a.png",
        "photos\\a.png",
        "https://host/x/photos/a.png",
        "C:\\data\\photos\\a.png",
    ],
)
def test_label_studio_wherever_it_was_written(name: str, tmp_path: Path) -> None:
    put_picture(tmp_path / "photos" / "a.png")
    value = {"x": 50, "y": 25, "width": 0.4, "keypointlabels": ["nose"]}
    row = {"original_width": 60, "original_height": 40, "image_rotation": 0, "value": value, "id": "x"}
    task = {"id": 1, "data": {"image": name}, "annotations": [{"result": [row], "was_cancelled": False}]}
    put(tmp_path / "tasks.json", [task])
    if name.startswith(("C:", "https", "/data/local-files/?d=project")):
        with pytest.warns(Repaired, match="file names of another machine"):
            found = load_dataset(tmp_path)
    else:
        found = load_dataset(tmp_path)
    np.testing.assert_allclose(only(found).xy, [[29.5, 9.5]])
    assert found.samples[0].image.shape == (40, 60, 3)


def _in_60_by_40(key: str, label: str, x: float, y: float, parent: str = "") -> dict[str, Any]:
    """A result of Label Studio: a point of a box, or a box."""
    kind = {"keypointlabels": [label]} if parent else {"rectanglelabels": [label], "width": 9, "height": 9}
    value = {"x": x / 0.6, "y": y / 0.4, **kind}
    return {"id": key, "original_width": 60, "original_height": 40, "value": value, "parentID": parent}


TWO_KINDS: dict[str, Any] = {
    "cvat": """<?xml version="1.0" encoding="utf-8"?><annotations><meta><task><labels>
<label><name>ear</name><parent>dog</parent></label></labels></task></meta>
<image id="0" name="a.png" width="60" height="40">
<skeleton label="cat"><points label="nose" points="10.5,10.5"/>
<points label="tail" points="20,20"/></skeleton>
<skeleton label="dog"><points label="nose" points="50.5,20.5"/></skeleton>
<points label="fish" points="1,1;2,2;3,3"/></image></annotations>""",
    "label-studio": [
        _in_60_by_40("c", "cat", 1, 1),
        _in_60_by_40("d", "dog", 30, 1),
        _in_60_by_40("e", "nose", 10.5, 10.5, "c"),
        _in_60_by_40("f", "tail", 20, 20, "c"),
        _in_60_by_40("g", "nose", 50.5, 20.5, "d"),
    ],
    "labelme": labelme(
        box_shape("cat", [[1, 1], [25, 25]], 0),
        shape("nose", 10.5, 10.5, 0),
        shape("tail", 20, 20, 0),
        box_shape("dog", [[30, 1], [55, 30]], 1),
        shape("nose", 50.5, 20.5, 1),
        box_shape("ruler", [[1, 35], [59, 39]], 2),
        imagePath="a.png",
    ),
}


@pytest.mark.parametrize("name", TWO_KINDS)
def test_objects_of_several_labels_are_read_one_label_at_a_time(name: str, tmp_path: Path) -> None:
    put_picture(tmp_path / "a.png")
    if name == "cvat":
        put(tmp_path / "annotations.xml", TWO_KINDS[name])
    elif name == "labelme":
        put(tmp_path / "a.json", TWO_KINDS[name])
        put(tmp_path / "labels.txt", "cat\ndog\nnose\near\ntail\n")
    else:
        task = {"data": {"image": "a.png"}, "annotations": [{"result": TWO_KINDS[name]}]}
        put(tmp_path / "tasks.json", [task])
    with pytest.raises(InputError, match=r"several categories.*'cat' id 1, 'dog' id 2.*--category"):
        load_dataset(tmp_path)
    with pytest.raises(InputError, match=r"no category 'cow'.*'cat' id 1"):
        load_dataset(tmp_path, category="cow")
    cat, dog = load_dataset(tmp_path, category="cat"), load_dataset(tmp_path, category=2)
    assert (cat.category, dog.category) == ("cat", "dog") and cat.landmarks == ("nose", "tail")
    assert dog.landmarks == (("ear", "nose") if name == "cvat" else ("nose",))
    np.testing.assert_allclose(only(cat).xy[0], [10, 10])
    np.testing.assert_allclose(only(dog).xy[-1], [50, 20])


CVAT = """<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task><labels>
<label><name>fly</name><type>skeleton</type></label><label><name>head</name><parent>fly</parent></label>
<label><name>tail</name><parent>fly</parent></label></labels>
<original_size><width>60</width><height>40</height></original_size></task></meta>%s</annotations>"""


def test_cvat_skeletons_hidden_and_outside(tmp_path: Path) -> None:
    put_picture(tmp_path / "images" / "train" / "a.png")
    points = (
        '<points label="tail" outside="0" occluded="1" points="3.50,4.50"/>'
        '<points label="head" outside="1" occluded="0" points="0,0"/>'
    )
    image = (
        f'<image id="0" name="a.png" width="60" height="40"><skeleton label="fly">{points}</skeleton></image>'
    )
    put(tmp_path / "annotations.xml", CVAT % image)
    found = load_dataset(tmp_path)
    assert found.landmarks == ("head", "tail") and found.category == "fly"
    assert only(found).visibility.tolist() == [NOT_LABELLED, HIDDEN]
    np.testing.assert_allclose(only(found).xy[1], [3, 4])


def test_cvat_films_have_frames(tmp_path: Path) -> None:
    for n in (3, 12):
        put_picture(tmp_path / "images" / f"frame_{n:06}.png")
    shapes = "".join(
        f'<points frame="{n}" outside="{out}" occluded="0" points="{n}.5,2.5;7,8"/>'
        for n, out in ((3, 0), (12, 0), (15, 1))
    )
    put(tmp_path / "annotations.xml", CVAT % f'<track id="0" label="fly">{shapes}</track>')
    found = load_dataset(tmp_path)
    assert [s.name for s in found] == ["frame_000003.png", "frame_000012.png"]
    np.testing.assert_allclose([s.instances[0].xy[0] for s in found], [[3, 2], [12, 2]])


DLC = """scorer,,,me,me,me,me,me,me
individuals,,,one,one,one,one,two,two
bodyparts,,,snout,snout,tail,tail,snout,snout
coords,,,x,y,x,y,x,y
labeled-data,film,img1.png,1.5,2.5,,,7,8
labeled-data,film,img2.png,3,4,5,6
labeled-data,film,gone.png,3,4,5,6,7,8
"""


def test_deeplabcut_projects_with_several_animals_and_absent_frames(tmp_path: Path) -> None:
    for name in ("img1.png", "img2.png"):
        put_picture(tmp_path / "labeled-data" / "film" / name)
    put(
        tmp_path / "config.yaml",
        "Task: t\nskeleton:\n- - snout\n  - tail\n- - snout\n  - nothing\nskeleton_color: k\n",
    )
    put(tmp_path / "labeled-data" / "film" / "CollectedData_me.csv", DLC)
    with pytest.warns(Repaired, match="listed but not there, left out: 1"):
        found = load_dataset(tmp_path)
    assert [len(s.instances) for s in found] == [2, 1] and found.groups.tolist() == ["labeled-data/film"] * 2
    np.testing.assert_allclose(found.samples[0].instances[0].xy, [[1.5, 2.5], [np.nan] * 2])
    np.testing.assert_allclose(found.samples[1].instances[0].xy, [[3, 4], [5, 6]])
    assert found.landmarks == ("snout", "tail") and found.skeleton.tolist() == [[0, 1]]


DLC_COLUMNS = [("me", part, c) for part in ("snout", "tail") for c in "xy"]


def put_frame(path: Path, kind: str, columns: Any = None) -> None:
    """Two frames as pandas writes them to HDF5, in either of its ways."""
    h5py = pytest.importorskip("h5py", reason="the extra 'formats'")
    names, values = (
        [b"labeled-data/film/img1.png", b"labeled-data/film/img2.png"],
        [[1.5, 2.5, 3, 4], [5, 6, np.nan, np.nan]],
    )
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        if kind == "table":
            dtype = [("index", "S26"), ("values_block_0", "f8", (4,))]
            group["table"] = np.array(list(zip(names, values, strict=True)), dtype)
            axes = pickle.dumps([(1, columns or DLC_COLUMNS)], protocol=0 if columns is None else 2)
            group.attrs["non_index_axes"] = np.void(axes)
        else:
            for i, level in enumerate(([b"me"], [b"snout", b"tail"], [b"x", b"y"])):
                group[f"axis0_level{i}"] = level
            for i, codes in enumerate(([0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1])):
                group[f"axis0_label{i}"] = codes
            for i, part in enumerate(([b"labeled-data"], [b"film"], [b"img1.png", b"img2.png"])):
                group[f"axis1_level{i}"] = part
                group[f"axis1_label{i}"] = [0, 0] if i < 2 else [0, 1]
            group["block0_values"] = np.array(values, float)


@pytest.mark.parametrize("kind", ["table", "fixed"])
def test_deeplabcut_without_its_csv(kind: str, tmp_path: Path) -> None:
    for name in ("img1.png", "img2.png"):
        put_picture(tmp_path / "labeled-data" / "film" / name)
    put_frame(tmp_path / "labeled-data" / "film" / "CollectedData_me.h5", kind)
    found = load_dataset(tmp_path)
    assert found.landmarks == ("snout", "tail") and found.groups.tolist() == ["labeled-data/film"] * 2
    np.testing.assert_allclose(found.samples[0].instances[0].xy, [[1.5, 2.5], [3, 4]])
    np.testing.assert_allclose(found.samples[1].instances[0].xy, [[5, 6], [np.nan] * 2])


class Bomb:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_pickled_names_are_never_run(tmp_path: Path) -> None:
    put_frame(tmp_path / "x.h5", "table", [Bomb(tmp_path / "touched")])
    with pytest.raises(InputError, match="hold more than text"):
        load_dataset(tmp_path / "x.h5")
    assert not (tmp_path / "touched").exists()
    grown: Any = ["x"]
    for _ in range(60):  # as text this would be 2 ** 60 letters
        grown = [grown, grown]
    put_frame(tmp_path / "y.h5", "table", [(grown, "a", "x")])
    with pytest.raises(InputError, match="names are no text"):
        load_dataset(tmp_path / "y.h5")


@pytest.mark.parametrize(("number", "shift"), [(1.0, 0.5), (1.1, 0.0), (1.2, 0.0)])
def test_sleap_changed_its_half_pixel(number: float, shift: float, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra 'formats'")
    made = make_annotated(tmp_path, ("names", "fractions"))
    write = BY_NAME["sleap"].write
    assert write is not None
    write(made, tmp_path, None)
    with h5py.File(tmp_path / "labels.slp", "r+") as file:
        file["metadata"].attrs["format_id"] = number
    found = load_dataset(tmp_path)
    for a, b in zip(made, found, strict=True):
        np.testing.assert_allclose(b.instances[0].xy, a.instances[0].xy - shift, atol=1e-9)


def test_sleap_frames_of_a_film(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra 'formats'")
    film = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    if not film.isOpened():
        pytest.skip("this OpenCV writes no film")
    for grey in (40, 120, 200):
        film.write(np.full((48, 64, 3), grey, np.uint8))
    film.release()
    write = BY_NAME["sleap"].write
    assert write is not None
    write(make_annotated(tmp_path, ("names",)), tmp_path, None)
    with h5py.File(tmp_path / "labels.slp", "r+") as file:
        del file["videos_json"]
        backend = {"filename": "D:\\films\\clip.avi", "grayscale": True}
        file["videos_json"] = np.array([json.dumps({"backend": backend}).encode()])
        frames = file["frames"][:3]
        frames["frame_idx"] = [2, 0, 1]
        del file["frames"]
        file["frames"] = frames
    found = load_dataset(tmp_path / "labels.slp")
    assert [s.name for s in found] == [f"clip/frame_00000{n}.png" for n in (2, 0, 1)]
    assert [abs(int(np.median(s.image)) - grey) < 4 for s, grey in zip(found, (200, 40, 120), strict=True)]


@pytest.mark.parametrize("order", ["RGB", None], ids=["format 1.4", "before it"])
def test_sleap_packages_have_their_pictures_inside(order: str | None, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra 'formats'")
    write = BY_NAME["sleap"].write
    assert write is not None
    made = make_annotated(tmp_path / "made", ("names", "fractions")).subset(range(3))
    write(made, tmp_path, None)
    pictures = [np.full((20, 30, 3), (10 * n, 100, 200), np.uint8) for n in range(3)]
    coded = [cv2.imencode(".png", p if order else p[..., ::-1])[1].ravel().astype(np.int8) for p in pictures]
    rows = np.zeros((3, max(map(len, coded))), np.int8)
    for row, data in zip(rows, coded, strict=True):
        row[: len(data)] = data
    with h5py.File(tmp_path / "labels.slp", "r+") as file:
        file["video0/video"], file["video0/frame_numbers"] = rows, [0, 7, 9]
        if order:
            file["video0/video"].attrs["channel_order"] = order
        del file["videos_json"]
        backend = {"filename": ".", "dataset": "video0/video"}
        file["videos_json"] = np.array([json.dumps({"backend": backend}).encode()])
        frames = file["frames"][()]
        frames["frame_idx"] = [9, 0, 7]
        del file["frames"]
        file["frames"] = frames
    found = load_dataset(tmp_path / "labels.slp")
    assert [s.name for s in found] == [f"labels-0/frame_{n:06}.png" for n in (9, 0, 7)]
    np.testing.assert_array_equal([s.image for s in found], [pictures[n] for n in (2, 0, 1)])


def test_imglab_in_latin_letters(tmp_path: Path) -> None:
    put_picture(tmp_path / "Müller.png")
    text = """<?xml version='1.0' encoding='ISO-8859-1'?><?xml-stylesheet type='text/xsl' href='x.xsl'?>
    <dataset><name>x</name><images><image file='Müller.png' width='60' height='40'>
    <box top='2' left='3' width='20' height='10'><part name='1' x='4' y='5'/>
    <part name='0' x='6' y='7'/></box><box top='2' left='3' width='20' height='10'/></image></images>
    </dataset>"""
    put(tmp_path / "x.xml", text.encode("latin-1"))
    found = load_dataset(tmp_path)
    assert found.landmarks == ("0", "1") and found.samples[0].image.shape == (40, 60, 3)
    first, second = found.samples[0].instances
    np.testing.assert_allclose(first.xy, [[6, 7], [4, 5]])
    np.testing.assert_allclose(first.box_xywh, [3, 2, 20, 10])
    assert second.ignore, "a box without parts is kept, and not scored"


def test_tps_counts_from_below(tmp_path: Path) -> None:
    put_picture(tmp_path / "a.jpg")
    put(
        tmp_path / "x.tps",
        "LM=3\n1. 2.\n-1 -1\nNA NA\nIMAGE=a.jpg\nID=0\nLM=3\n1 1\n2 2\n3 3\nIMAGE=gone.jpg\nID=1\n",
    )
    with pytest.warns(Repaired, match="left out: 1"):
        found = load_dataset(tmp_path)
    np.testing.assert_allclose(only(found).xy, [[1, 38], [np.nan] * 2, [np.nan] * 2])


def test_mpii_counts_from_one(tmp_path: Path) -> None:
    put_picture(tmp_path / "images" / "a.jpg")
    joints = [[float(k), float(k + 1)] for k in range(1, 17)]
    person = {
        "joints_vis": [0] + [1] * 15,
        "joints": joints,
        "image": "a.jpg",
        "scale": 0.1,
        "center": [11.0, 12.0],
    }
    put(tmp_path / "annot" / "valid.json", [person])
    found = load_dataset(tmp_path, "val")
    assert only(found).visibility.tolist() == [0] + [2] * 15
    np.testing.assert_allclose(only(found).xy[1], [1, 2])
    np.testing.assert_allclose(only(found).box_xywh, [0.5, 1.5, 20, 20])
    assert found.flip is not None and found.normalizer == ("points", 8, 9)


def test_yolo_without_visibility_and_with_a_dataset_elsewhere(tmp_path: Path) -> None:
    put_picture(tmp_path / "train" / "images" / "a.jpg")
    yaml = "path: ../datasets\ntrain: ../train/images\nkpt_shape: [2, 2]\nflip_idx: [1, 0]\nnames: [cat]\n"
    put(tmp_path / "data.yaml", yaml)
    put(tmp_path / "train" / "labels" / "a.txt", "0 0.5 0.5 0.5 0.5 0 0 0.25 0.5\n")
    with pytest.warns(Repaired, match="without a visibility"):
        found = load_dataset(tmp_path)
    np.testing.assert_allclose(only(found).xy, [[np.nan] * 2, [15, 20]])
    assert found.flip is not None and found.category == "cat" and found.landmarks == ("p0", "p1")
    np.testing.assert_allclose(only(found).box_xywh, [15, 10, 30, 20])


def test_yolo_of_several_classes_is_asked_which(tmp_path: Path) -> None:
    put_picture(tmp_path / "images" / "a.png")
    put(tmp_path / "data.yaml", "train: images\nkpt_shape: [1, 2]\nnames: {0: cat, 2: dog}\n")
    lines = [f"{n} 0.5 0.5 0.5 0.5 {x} 0.5" for n, x in ((0, 0.25), (2, 0.75), (5, 0.5))]
    labels = put(tmp_path / "labels" / "a.txt", "\n".join(lines))
    with pytest.raises(InputError, match=r"'cat' id 0, 'dog' id 2, 'object 5' id 5\).*--category"):
        load_dataset(tmp_path)
    for wanted, x in (("cat", 15), (2, 45), ("5", 30)):
        np.testing.assert_allclose(only(load_dataset(tmp_path, category=wanted)).xy, [[x, 20]])
    put(labels, lines[1])
    assert load_dataset(tmp_path).category == "dog"
    put(labels, lines[1].replace("2 ", "1.5 ", 1))
    with pytest.raises(InputError, match=r"line 1: the class 1.5 is no number"):
        load_dataset(tmp_path)


def test_300vw_films_are_groups(tmp_path: Path) -> None:
    points = "version: 1\nn_points: 3\n{\n1 1\n10 2\n5 9\n}\n"
    for film in ("001", "401"):
        put_picture(tmp_path / film / "imgs" / "000006.jpg")
        put(tmp_path / film / "annot" / "000006.pts", points)
    found = load_dataset(tmp_path)
    assert [s.name for s in found] == ["001/imgs/000006.jpg", "401/imgs/000006.jpg"]
    assert found.groups.tolist() == ["001", "401"]


def test_coco_without_names_is_numbered(tmp_path: Path) -> None:
    put_picture(tmp_path / "images" / "a.png", 200, 200)
    keypoints = [v for k in range(98) for v in (k, k, 1)]
    one = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": keypoints, "bbox": [0, 0, 99, 99]}
    document = {"images": [{"id": 1, "file_name": "a.png", "height": 200, "width": 200}]}
    document |= {
        "annotations": [one | {"area": 9801, "num_keypoints": 98}],
        "categories": [{"id": 1, "name": "face"}],
    }
    put(tmp_path / "wflw.json", document)
    found = load_dataset(tmp_path)
    assert found.normalizer == ("points", 60, 72) and found.flip is not None and found.flip[96] == 97


def test_usual_sets_by_number() -> None:
    assert [named(k, c).name for k, c in ((5, "face"), (29, "face"), (68, "face"), (106, "face"))] == [
        *("face-5", "cofw-29", "ibug-68", "lapa-106")
    ]
    by_name = {layout.name: layout for layout in LAYOUTS}
    hand, body = by_name["hand-21"], by_name["coco-wholebody-133"]
    assert body.sigmas is not None and body.sigmas[91:112] == body.sigmas[112:] == hand.sigmas
    assert body.landmarks[body.flip[91]] == "right_hand_root" and body.landmarks[99] == "left_forefinger4"
    assert {len(layout.landmarks) for layout in LAYOUTS} == {5, 14, 16, 17, 21, 29, 68, 98, 106, 133}


# --------------------------------------------------------------------------------------------
# strangers' files
# --------------------------------------------------------------------------------------------

LAUGHS = "<!DOCTYPE a [<!ENTITY b 'ha'><!ENTITY c '&b;&b;&b;&b;'>]>"
HOSTILE: dict[str, tuple[str, str | bytes, str]] = {
    "entities": ("a.xml", f"<?xml version='1.0'?>{LAUGHS}<annotations>&c;</annotations>", "DOCTYPE"),
    "another file": ("a.xml", "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><annotations/>", "DOCTYPE"),
    "deep": ("a.xml", "<annotations>" + "<a>" * 10_000, "nested more than"),
    "cut": ("a.xml", "<annotations><image name='a'>", "not valid XML"),
    "encoding": ("a.xml", "<?xml version='1.0' encoding='klingon'?><annotations/>", "not valid XML"),
    "numbers": (
        "a.xml",
        "<annotations><image name='a.png'><points label='a' points='1,b'/></image></annotations>",
        "not a number",
    ),
    "part": (
        "a.xml",
        "<dataset><images><image file='a.png'><box top='x'><part name='a' x='1' y='1'/></box></image>"
        "</images></dataset>",
        "not a number",
    ),
    "labelme": (
        "a.json",
        '{"flags": {}, "shapes": [{"label": 3, "points": [[1, 2]]}]}',
        "a label and its points",
    ),
    "tasks": ("a.json", '[{"data": {}, "annotations": [{"result": 3}]}]', "names no picture"),
    "joints": ("a.json", '[{"image": "a.png", "joints": [[1, 2]], "joints_vis": [1]}]', "16 joints"),
    "table": ("a.csv", "scorer,a,a\nbodyparts,n,n\ncoords,x,y\n../../etc/a.png,one,2\n", "not a number"),
    "zero": ("a.csv", b"scorer,a,a\nbodyparts,n,n\ncoords,x,y\na\x00.png,1,2\n", ""),
    "count": ("a.tps", "LM=99999999999999\n1 1\nIMAGE=a.png\n", "has 0 points"),
    "yaml": ("data.yaml", "kpt_shape: [2, 3]\ntrain: /etc\nnames: [a]\n", "no picture where"),
    "aliases": ("data.yaml", "kpt_shape: &a [*a, *a]\n", ""),
    "slp": ("a.slp", b"\x89HDF\r\n\x1a\n" + bytes(500), ""),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_end_in_one_line(case: str, tmp_path: Path) -> None:
    name, content, words = HOSTILE[case]
    put_picture(tmp_path / "a.png")
    path = put(tmp_path / name, content)
    with pytest.raises(InputError) as caught:
        load_dataset(path)
    told = str(caught.value)
    assert words in told and "\n" not in told and len(told) < 600


def test_sleap_links_to_other_files_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra 'formats'")
    write = BY_NAME["sleap"].write
    assert write is not None
    write(make_annotated(tmp_path), tmp_path, None)
    with h5py.File(tmp_path / "other.h5", "w") as other, h5py.File(tmp_path / "labels.slp", "r+") as file:
        other["points"] = file["points"][()]
        del file["points"]
        file["points"] = h5py.ExternalLink("other.h5", "/points")
    with pytest.raises(InputError, match="no table 'points' of its own"):
        load_dataset(tmp_path / "labels.slp")
    with h5py.File(tmp_path / "labels.slp", "r+") as file:
        del file["points"]
        file.create_dataset("points", (1 << 40,), np.dtype([("x", "f8")]), chunks=(1024,))
    with pytest.raises(InputError, match="claims 1099511627776 rows"):
        load_dataset(tmp_path / "labels.slp")


def test_pictures_outside_are_not_opened(tmp_path: Path) -> None:
    put_picture(tmp_path / "secret.png")
    put_picture(tmp_path / "data" / "b.png")
    table = "scorer,a,a\nbodyparts,n,n\ncoords,x,y\n../../secret.png,1,2\nb.png,1,2\n"
    put(tmp_path / "data" / "x" / "y" / "CollectedData_a.csv", table)
    put(tmp_path / "data" / "data.yaml", "kpt_shape: [1, 3]\ntrain: list.txt\nnames: [a]\n")
    put(tmp_path / "data" / "list.txt", "../secret.png\n")
    with pytest.raises(InputError, match="is no file in"):
        load_dataset(tmp_path / "data" / "data.yaml")


def test_an_unreadable_folder_is_told_what_it_looks_like(tmp_path: Path) -> None:
    for n in range(3):
        put(tmp_path / f"{n}.csv", "track,frame_idx,instance.score,A.x,A.y,A.score\n,0,nan,1,2,1\n")
    with pytest.raises(
        InputError, match=r"nothing known in it \(3 .csv; a table of frame numbers holds predictions"
    ):
        load_dataset(tmp_path)


# --------------------------------------------------------------------------------------------
# real files
# --------------------------------------------------------------------------------------------

#: place -> format, pictures, objects, landmarks, what is told
REAL: dict[str, tuple[str, int, int, int, str]] = {
    "labelme/mollabashi": ("labelme", 1, 1, 19, "twice in one object"),
    "labelme/farhadifar": ("labelme", 1, 1, 18, "twice in one object"),
    "datumaro/cvat_dataset/for_images/export_task": ("cvat", 2, 1, 3, ""),
    "datumaro/cvat_dataset/for_images/export_project": ("cvat", 6, 3, 3, ""),
    "datumaro/cvat_dataset/for_video": ("cvat", 2, 1, 3, ""),
    "deeplabcut/openfield": ("dlc", 3, 3, 4, "left out: 113"),
    "deeplabcut/Reaching": ("dlc", 3, 3, 5, "left out: 52"),
    "sleap/dlc/labeled-data/video/CollectedData_LM.csv": ("dlc", 2, 5, 5, "left out: 2"),
    "sleap/dlc/labeled-data/video/madlc_testdata_v2.csv": ("dlc", 2, 4, 3, "left out: 2"),
    "dlib_imglab": ("imglab", 9, 43, 68, ""),
    "mmpose_samples/mpii": ("mpii", 5, 5, 16, ""),
    "mmpose_samples/300vw": ("300w", 4, 4, 68, ""),
    "mmpose_samples/wflw": ("coco", 2, 4, 98, ""),
    "mmpose_samples/cofw": ("coco", 2, 2, 29, ""),
}
#: place -> what is told
REFUSED = {
    "cvat_images_1.1": "no skeleton and no points in 4 pictures",
    "label_studio/testing_annot.json": "no keypointlabels in 50 tasks",
    "label_studio/converter_tests/data_obb.json": "no keypointlabels",
    "dlib_imglab/training.xml": "no <part> in 4 images",
    "tps": "none of its 58 pictures",
    "yolo_pose": "no data.yaml with kpt_shape",
    "sleap/csv_format": "a table of frame numbers holds predictions",
}


@pytest.mark.data
@pytest.mark.parametrize("place", REAL)
def test_real_files_with_their_defects(place: str, data_root: Path) -> None:
    name, pictures, objects, landmarks, told = REAL[place]
    path = data_root / "formats" / place
    assert recognise_format(path).name == name
    if told:
        with pytest.warns(DataWarning, match=told):
            found = load_dataset(path)
    else:
        found = load_dataset(path)
    there = len(found), sum(len(s.instances) for s in found), len(found.landmarks)
    assert there == (pictures, objects, landmarks)
    for sample in found:
        assert sample.size_hw is None or sample.image.shape[:2] == sample.size_hw


@pytest.mark.data
@pytest.mark.parametrize("place", REFUSED)
def test_real_files_that_cannot_be_read_say_why(place: str, data_root: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_dataset(data_root / "formats" / place)
    assert REFUSED[place] in str(caught.value)


@pytest.mark.data
@pytest.mark.parametrize("place", ["openfield", "Reaching"])
def test_real_hdf5_says_what_its_csv_says(place: str, data_root: Path, tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="the extra 'formats'")
    root = data_root / "formats" / "deeplabcut" / place
    shutil.copytree(root, tmp_path / "x", ignore=shutil.ignore_patterns("*.csv"))
    with pytest.warns(Repaired):
        alone, both = load_dataset(tmp_path / "x"), load_dataset(root)
    assert alone.landmarks == both.landmarks and len(alone) == len(both) == 3
    for a, b in zip(alone, both, strict=True):
        np.testing.assert_allclose(a.instances[0].xy, b.instances[0].xy, atol=1e-9)


@pytest.mark.data
def test_real_sleap_files(data_root: Path, tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="the extra 'formats'")
    folder = data_root / "formats" / "sleap"
    with pytest.raises(InputError, match=r"none of its 1 pictures \(first: .*dance.mp4"):
        load_dataset(folder / "slp_hdf5" / "dance.mp4.labels.slp")
    for n in range(3):
        put_picture(tmp_path / f"robot{n}.jpg", 320, 560)
    found = load_dataset(folder / "siv_format_v1" / "small_robot_siv.slp", images_dir=str(tmp_path))
    np.testing.assert_array_equal([s.instances[0].xy[0] for s in found], [[0, 0], [1, 0], [0, 1]])


@pytest.mark.data
def test_tps_agrees_with_the_converted_wings(data_root: Path) -> None:
    """The same flies' wings were converted to COCO by others: y from above, the same to the number."""
    wings = data_root / "wings12"
    images = wings / "images"
    found = load_dataset(data_root / "formats" / "tps", images_dir=str(images))
    coco = {Path(s.name).name: s.instances[0].xy for s in load_dataset(wings)}
    assert len(found) >= 50
    for sample in found:
        np.testing.assert_allclose(sample.instances[0].xy, coco[Path(sample.name).name], atol=1e-6)


# --------------------------------------------------------------------------------------------
# converting, and Python's own things
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "tps"])
def test_convert_keeps_every_point(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs(name)
    made = make_annotated(tmp_path / "in", tuple(BY_NAME[name].keeps))
    write_coco(made, tmp_path / "in" / "train.json")
    write_coco(made.subset([1, 3]), tmp_path / "in" / "val.json")
    assert main(["data", "convert", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--to", name]) == 0
    told = capsys.readouterr()
    assert f"coco -> {name}" in told.out and ("has no place for" in told.err) == (name in ("dlc", "sleap"))
    splits = dict(zip(("train", "val"), (made, made.subset([1, 3])), strict=True))
    for split, wanted in splits.items():
        found = load_dataset(tmp_path / "out", split)
        assert found.landmarks == made.landmarks
        assert len(set(found.groups)) > 1  # DeepLabCut: images/ is no film
        for a, b in zip(wanted, found, strict=True):
            np.testing.assert_array_equal(a.image, b.image)
            for i, j in zip(a.instances, b.instances, strict=True):
                np.testing.assert_allclose(j.xy, i.xy, atol=5e-4)  # COCO's file has three decimals


@pytest.mark.filterwarnings("ignore:.*has no place for boxes")
@pytest.mark.parametrize("name", [name for name in WRITERS if name not in ("tps", "imglab")])
def test_convert_keeps_pictures_of_odd_names(name: str, tmp_path: Path) -> None:
    needs(name)
    names = ["a/b.png", "a__b.png", "c+d.png", "e&f#g.png", "h%20i.png", "j k.png", "train.png"]
    images = [np.full((40, 60), 20 * n, np.uint8) for n in range(len(names))]
    points = np.arange(4.0 * len(names)).reshape(-1, 2, 2) + 0.5
    convert_dataset(from_arrays(images, points, names=names), tmp_path / "out", name)
    found = {int(s.image.max()) // 20: s.instances[0].xy for s in load_dataset(tmp_path / "out")}
    assert sorted(found) == list(range(len(names)))
    for n, xy in found.items():
        np.testing.assert_allclose(xy, points[n], atol=1e-6)


def test_convert_says_all_that_is_lost(tmp_path: Path) -> None:
    data = from_arrays(np.zeros((1, 40, 60), np.uint8), [[[3, 4], [10, 20]]])
    (sample,), (instance,) = data.samples, data.samples[0].instances
    told = replace(instance, track=0, area=7.0, second_xy=instance.xy)
    data = replace(data, samples=(replace(sample, instances=(told,), mm_per_px=0.1),))
    lost = (
        r"mm per px \(1\), tracks \(1\), areas other than the box's \(1\), points of a second annotator \(1\)"
    )
    with pytest.warns(DataWarning, match=lost):
        convert_dataset(data, tmp_path / "out", "cvat")


def test_convert_takes_what_has_no_files(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), np.uint8)
    data = from_arrays(images, [[[3, 4], [10, 20]]] * 2, names=["../a.png", "b/a"])
    written = convert_dataset(data, tmp_path / "out", "cvat")
    assert [s.name for s in written[0]] == ["images/a.png", "images/b/a.png"]
    found = load_dataset(tmp_path / "out")
    np.testing.assert_array_equal([s.image for s in found], images)
    with pytest.raises(InputError, match="not an empty folder"):
        convert_dataset(data, tmp_path / "out")
    with pytest.raises(InputError, match="no format 'nwb' can be written"):
        convert_dataset(data, tmp_path / "new", "nwb")


def test_arrays_are_a_data_set(tmp_path: Path) -> None:
    xy = np.arange(2 * 17 * 2, dtype=float).reshape(2, 17, 2)
    data = from_arrays(np.zeros((2, 80, 80), np.uint8), xy, category="person", groups=["a", "a"])
    assert data.landmarks[0] == "nose" and data.sigmas[0] == 0.026 and data.flip is not None
    assert data.groups.tolist() == ["a", "a"] and data.samples[0].size_hw == (80, 80)
    np.testing.assert_array_equal([s.instances[0].xy for s in data], xy)
    put_picture(tmp_path / "c.png")
    named_files = from_arrays([tmp_path / "c.png"], xy[:1])
    assert named_files.samples[0].name == "c.png" and named_files.samples[0].image.shape == (40, 60, 3)
    for wrong in ({"xy": xy[:1]}, {"xy": xy, "groups": ["a"]}, {"xy": xy, "boxes": np.zeros((2, 3))}):
        with pytest.raises(InputError, match="from_arrays"):
            from_arrays(np.zeros((2, 80, 80), np.uint8), **wrong)


def test_frames_there_and_back(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="the extra 'formats'")
    made = make_annotated(tmp_path)
    frame = to_frame(made)
    assert isinstance(frame, pandas.DataFrame) and len(frame) == 5 * sum(len(s.instances) for s in made)
    again = from_frame(frame, tmp_path)
    for a, b in zip(made, again, strict=True):
        assert a.group == b.group
        for i, j in zip(a.instances, b.instances, strict=True):
            np.testing.assert_array_equal(i.xy, j.xy)
            np.testing.assert_array_equal(i.visibility, j.visibility)
    mine = {"file": ["images/00.png"] * 2, "part": ["a", "b"], "x": [1, 2], "y": [3, "4"]}
    found = from_frame(mine, tmp_path, columns={"picture": "file", "landmark": "part"})
    np.testing.assert_array_equal(only(found).xy, [[1, 3], [2, 4]])
    with pytest.raises(InputError, match="no column 'picture'"):
        from_frame(mine, tmp_path)


# --------------------------------------------------------------------------------------------
# what may be changed of any data set
# --------------------------------------------------------------------------------------------


def test_groups_from_names_for_every_format(tmp_path: Path) -> None:
    names = ["s1/a_0.png", "s1/a_1.png", "s2/a_0.png"]
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), np.uint8)
    data = from_arrays(images, [[[3, 4], [10, 20]]] * 3, names=names)
    for to in ("labelme", "yolo-pose", "coco"):
        convert_dataset(data, tmp_path / to, to)
        groups = load_dataset(tmp_path / to, group_by=r"(s\d)/(a)").groups
        assert groups.tolist() == ["s1/a", "s1/a", "s2/a"]
    for wrong, words in (("(", "no regular expression"), ("s1", "nothing in the names of 1 of 3 pictures")):
        with pytest.raises(InputError, match=words):
            load_dataset(tmp_path / "coco", group_by=wrong)


def test_boxes_are_moved_the_same_for_all(tmp_path: Path) -> None:
    made = make_annotated(tmp_path)
    write_coco(made, tmp_path / "train.json")
    plain, moved = load_dataset(tmp_path, "train"), load_dataset(tmp_path, "train", box_jitter="0.1")
    assert plain.fingerprint != moved.fingerprint, "stored predictions of other crops are stale"
    shifts = []
    for a, b in zip(plain, moved, strict=True):
        for i, j in zip(a.instances, b.instances, strict=True):
            np.testing.assert_array_equal(i.xy, j.xy)
            assert i.area == j.area
            middle = [box[:2] + box[2:] / 2 for box in (i.box_xywh, j.box_xywh)]
            shifts += [(middle[1] - middle[0]) / i.box_xywh[2:], j.box_xywh[2:] / i.box_xywh[2:] - 1]
    assert np.abs(shifts).max() <= 0.1 + 1e-12 and np.std(shifts) > 0.03
    again = box_jitter(plain.subset([2]), 0.1).samples[0].instances
    for i, j in zip(again, moved.samples[2].instances, strict=True):
        np.testing.assert_array_equal(i.box_xywh, j.box_xywh)
    for wrong in ("wide", float("nan"), -1, 0.6):
        with pytest.raises(InputError, match="box_jitter"):
            load_dataset(tmp_path, "train", box_jitter=wrong)


def test_every_command_that_reads_annotated_data_reads_them_alike() -> None:
    parser = build_parser()
    places = next(a.choices for a in parser._actions if getattr(a, "choices", None))
    data = next(a.choices for a in places["data"]._actions if getattr(a, "choices", None))
    found = set()
    for name, command in {**places, **data}.items():
        asks = any(DATA in str(action.help) for action in command._actions)
        if asks:
            found.add(name)
            assert {"--category", "--images", "--group-by", "--box-jitter"} <= set(
                command._option_string_actions
            )
    assert found >= {
        "bench",
        "train",
        "tune",
        "evaluate",
        "export",
        "bench-finders",
        "check",
        "convert",
        "info",
    }


# --------------------------------------------------------------------------------------------
# the sets as their authors give them
# --------------------------------------------------------------------------------------------


def records(*rows: dict[str, Any]) -> np.ndarray:
    """A MATLAB structure array for ``scipy.io.savemat``."""
    out = np.zeros((1, len(rows)), [(name, object) for name in rows[0]])
    for n, row in enumerate(rows):
        out[0, n] = tuple(row.values())
    return out


def mpii_release(folder: Path, compressed: bool = True) -> Path:
    points = records(
        {"x": 11.0, "y": 21.5, "id": 9, "is_visible": "1"},
        {"x": 31.0, "y": 30.0, "id": 0, "is_visible": 0},
        {"x": 12.0, "y": 13.0, "id": 7, "is_visible": np.zeros((0, 0))},
    )
    person = {
        "annopoints": records({"point": points}),
        "scale": 0.1,
        "objpos": records({"x": 11.0, "y": 12.0}),
    }
    rows = [
        {"image": records({"name": "a.jpg"}), "annorect": records(person, person), "vididx": 7},
        {"image": records({"name": "t.jpg"}), "annorect": np.zeros((0, 0)), "vididx": np.zeros((0, 0))},
    ]
    path = folder / "mpii_human_pose_v1_u12_1.mat"
    release = {"annolist": records(*rows), "img_train": np.array([[1, 0]])}
    savemat(path, {"RELEASE": release}, do_compression=compressed)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_mpii_as_its_authors_have_it(compressed: bool, tmp_path: Path) -> None:
    put_picture(tmp_path / "images" / "a.jpg")
    mpii_release(tmp_path, compressed)
    assert recognise_format(tmp_path).name == "mpii"
    found = load_dataset(tmp_path)
    (sample,) = found.samples
    assert sample.group == "film 7" and len(sample.instances) == 2
    one = sample.instances[0]
    np.testing.assert_allclose(one.xy[[9, 0, 7]], [[10, 20.5], [30, 29], [11, 12]])
    assert one.visibility.tolist() == [HIDDEN, *[0] * 6, 2, 0, 2, *[0] * 6]
    np.testing.assert_allclose(one.box_xywh, [0.5, 1.5, 20, 20])


@pytest.mark.parametrize("extended", [False, True])
def test_leeds_sports_pose_both_sets(extended: bool, tmp_path: Path) -> None:
    n = 10_000 if extended else 2
    joints = np.ones((3, 14, n))
    joints[0] += np.arange(14)[:, None] + 0.25
    joints[1] += 5
    joints[2, 3:] = 0
    savemat(
        tmp_path / "joints.mat",
        {"joints": joints.swapaxes(0, 1) if extended else joints},
        do_compression=True,
    )
    first = "im00001.jpg" if extended else "im0001.jpg"
    put_picture(tmp_path / "images" / first)
    assert recognise_format(tmp_path).name == "lsp"
    with pytest.warns(Repaired, match="left out"):
        found = load_dataset(tmp_path)
    assert [s.name for s in found] == [first] and found.flip is not None
    seen = [2] * 3 + [0] * 11 if extended else [HIDDEN] * 3 + [2] * 11
    assert only(found).visibility.tolist() == seen
    np.testing.assert_allclose(only(found).xy[:3], [[0.25, 5], [1.25, 5], [2.25, 5]])


def test_wflw_lists(tmp_path: Path) -> None:
    xy = np.arange(196) / 8 + 0.25
    face = " ".join(map(str, [*xy, 1, 2, 31, 32, 0, 1, 0, 0, 1, 0]))
    place = tmp_path / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    put(place / "list_98pt_rect_attr_train.txt", f"{face} 0--Parade/a.jpg\n{face} 0--Parade/a.jpg\n")
    put(place / "list_98pt_rect_attr_test.txt", f"{face} 1--Ball/b.jpg\n")
    put_picture(tmp_path / "WFLW_images" / "0--Parade" / "a.jpg")
    put_picture(tmp_path / "WFLW_images" / "1--Ball" / "b.jpg")
    for _, check in reader_checks(BY_NAME["wflw"], tmp_path, points={"b.jpg": [xy.reshape(98, 2)]}):
        check()
    found = load_dataset(tmp_path, "train")
    assert len(found) == 1 and len(found.samples[0].instances) == 2 and found.normalizer == ("points", 60, 72)
    np.testing.assert_array_equal(found.samples[0].instances[0].box_xywh, [1, 2, 30, 30])
    short = put(
        tmp_path / "WFLW_annotations" / "list_98pt_test_blur.txt", f"{' '.join(map(str, xy))} 1--Ball/b.jpg"
    )
    np.testing.assert_allclose(only(load_dataset(short)).xy, xy.reshape(98, 2))


def cofw_file(path: Path, colour: bool, part: str = "Tr") -> np.ndarray:
    """Two faces; gives the pictures, RGB as MATLAB has them."""
    h5py = pytest.importorskip("h5py", reason="the extra 'formats'")
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3) if colour else (2, 40, 60), np.uint8)
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_dataset(f"Is{part}", (1, 2), h5py.ref_dtype)
        for n, image in enumerate(images):
            cells[0, n] = file.create_dataset(f"#refs#/{n}", data=image.T).ref
        phis = np.concatenate([np.arange(29) + 1.25, np.arange(29) + 3, np.arange(29) < 2])
        file[f"phis{part}"], file[f"bboxes{part}"] = (
            np.stack([phis] * 2, 1),
            np.array([[11, 6, 30, 30.0]] * 2).T,
        )
    with open(path, "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: PCWIN64".ljust(128))
    return images


@pytest.mark.parametrize("colour", [False, True])
def test_cofw_has_its_pictures_inside(colour: bool, tmp_path: Path) -> None:
    images = cofw_file(tmp_path / "COFW_train_color.mat", colour)
    cofw_file(tmp_path / "COFW_test_color.mat", colour, "T")
    for _, check in reader_checks(BY_NAME["cofw"], tmp_path):
        check()
    found = load_dataset(tmp_path, "train")
    assert found.normalizer == ("points", 8, 9) and len(load_dataset(tmp_path, "test")) == 2
    one = found.samples[1].instances[0]
    np.testing.assert_allclose(one.xy[:2], [[0.25, 2], [1.25, 3]])
    assert one.visibility.tolist() == [HIDDEN] * 2 + [2] * 27
    np.testing.assert_array_equal(one.box_xywh, [10, 5, 30, 30])
    np.testing.assert_array_equal(found.samples[1].image, images[1][..., ::-1] if colour else images[1])


def test_300vw_frames_come_from_the_film(tmp_path: Path) -> None:
    film = cv2.VideoWriter(str(tmp_path / "x.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (60, 40))
    for grey in (20, 120, 220):
        film.write(np.full((40, 60, 3), grey, np.uint8))
    film.release()
    points = "version: 1\nn_points: 3\n{\n1 1\n10 2\n5 9\n}\n"
    for name in ("001", "002"):
        put(tmp_path / name / "annot" / "000002.pts", points)
        shutil.copy(tmp_path / "x.avi", tmp_path / name / "vid.avi")
    found = load_dataset(tmp_path)
    assert [s.name for s in found] == ["001/imgs/000002.png", "002/imgs/000002.png"]
    assert found.groups.tolist() == ["001", "002"]
    assert abs(int(found.samples[0].image.mean()) - 120) < 10
    pickle.loads(pickle.dumps(found.samples[0]))


def test_pts_pictures_elsewhere(tmp_path: Path) -> None:
    put(tmp_path / "pts" / "b" / "a.pts", "n_points: 2\n{\n1 1\n10 2\n}\n")
    put_picture(tmp_path / "pictures" / "b" / "a.jpg")
    found = load_dataset(tmp_path / "pts", images_dir=str(tmp_path / "pictures"))
    assert found.samples[0].name == "b/a.jpg" and found.samples[0].image.shape == (40, 60, 3)
    with pytest.raises(InputError, match=r"no picture a.jpg, .png, \.\.\. in"):
        load_dataset(tmp_path / "pts", images_dir=str(tmp_path))


def test_matlab_files_of_strangers(tmp_path: Path) -> None:
    """SciPy's reader ends the process on a good part of these; ours says one line."""
    rng = np.random.default_rng(0)
    values = [0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x10000000]
    told = set()
    for compressed in (False, True):
        whole = mpii_release(tmp_path, compressed).read_bytes()
        for n in range(120):
            data = bytearray(whole[: rng.integers(128, len(whole))] if n % 4 == 0 else whole)
            for _ in range(rng.integers(1, 4)):
                at = int(rng.integers(120, len(data) - 4)) if len(data) > 130 else 120
                data[at : at + 4] = int(rng.choice(values)).to_bytes(4, "little")
            path = put(tmp_path / "x.mat", bytes(data))
            try:
                read_mat(path, "RELEASE")
            except InputError as error:
                told.add(str(error)[len(str(path)) :])
                assert "\n" not in str(error)
    assert len(told) > 10
    nested = np.zeros((1, 1))
    for _ in range(40):
        cell = np.empty((1, 1), object)
        cell[0, 0] = nested
        nested = cell
    savemat(tmp_path / "deep.mat", {"RELEASE": nested})
    with pytest.raises(InputError, match="too many cells"):
        read_mat(tmp_path / "deep.mat", "RELEASE")


# --------------------------------------------------------------------------------------------
# what we write, read by the tools' own readers
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sleap", "dlc", "coco"])
def test_sleap_io_reads_what_we_write(name: str, tmp_path: Path) -> None:
    """SLEAP's own library, which also reads the others' files; half a pixel would show."""
    sleap_io = pytest.importorskip("sleap_io", reason="pip install sleap-io")
    made = make_annotated(tmp_path / "in", () if name == "coco" else ("objects", "missing", "names"))
    convert_dataset(made, tmp_path / "out", name)
    read = {
        "sleap": lambda folder: sleap_io.load_slp(str(folder / "labels.slp")),
        "dlc": lambda folder: sleap_io.load_file(str(folder / "CollectedData_hybridkp.csv"), format="dlc"),
        "coco": lambda folder: sleap_io.load_coco(str(folder / "annotations.json")),
    }
    labels = read[name](tmp_path / "out")
    names = labels.skeletons[0].node_names  # of DeepLabCut's tables sorted by sleap-io
    order = [names.index(landmark) for landmark in made.landmarks]
    assert len(labels) == len(made) and (name == "dlc" or order == sorted(order))
    places: dict[str, list[np.ndarray]] = {}
    for frame in labels:
        files = frame.video.filename
        file = files if isinstance(files, str) else files[frame.frame_idx]
        places[Path(file).name] = [instance.numpy() for instance in frame.instances]
    for sample in made:
        found = places[Path(sample.name).name]
        assert len(found) == len(sample.instances)
        for one, instance in zip(found, sample.instances, strict=True):
            np.testing.assert_allclose(one[order], instance.xy, atol=6e-4 if name == "coco" else 1e-6)


def test_ultralytics_takes_every_line_that_we_write(tmp_path: Path) -> None:
    """Its loader's rules: 5 + 3 K numbers, all of 0..1, visibility 0, 1 or 2, or the whole picture is out."""
    xy = [[[-3.0, 5], [10, 20.5], [59.75, 39]], [[1, 2], [61, 3], [30, 30]]]
    data = from_arrays(np.zeros((2, 40, 60), np.uint8), xy, boxes=[[-4, -2, 70, 44], [0, 0, 60, 40]])
    with pytest.warns(DataWarning, match="2 points outside their pictures are not written"):
        convert_dataset(data, tmp_path, "yolo-pose")
    lines = [file.read_text().split() for file in sorted((tmp_path / "labels").glob("*.txt"))]
    table = np.array(lines, float)
    assert table.shape == (2, 5 + 9) and (table[:, 0] == 0).all()
    points = table[:, 5:].reshape(2, 3, 3)
    assert table[:, 1:5].min() >= 0 and points[..., :2].min() >= 0
    assert table[:, 1:5].max() <= 1 and points[..., :2].max() <= 1 and set(points[..., 2].ravel()) == {0, 2}
    corner = table[:, 1:3] - table[:, 3:5] / 2
    assert corner.min() >= 0 and (corner + table[:, 3:5]).max() <= 1
    np.testing.assert_allclose(points[0, 1, :2] * [60, 40], [10, 20.5], atol=1e-9)
    assert load_dataset(tmp_path).samples[0].instances[0].visibility.tolist() == [0, 2, 2]
