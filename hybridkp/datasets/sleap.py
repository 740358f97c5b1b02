"""SLEAP's ``.slp``: an HDF5 file of frames, instances and points; films and pictures stay beside it.

Read and written with h5py (``pip install 'hybridkp[formats]'``).  Since format 1.1 the centre of the
top-left pixel is 0, before it was ½ (SLEAP's own note on its format).  Instances set by people are read, a
model's only where there are no others.  A point that is not visible is not labelled, as in SLEAP's own
arrays.  A frame of a film, or of a package (``.pkg.slp``), is decoded when it is asked for; a film is
a group.  Links to other files are refused.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import NOT_LABELLED, Array, Dataset, InputError
from .collect import Collected
from .films import is_film, load_frame
from .hdf import BROKEN, MAGIC, open_hdf, table_of, whole
from .lookup import Tally, by_split, candidates, find_pictures, only, path_of
from .text import read_head

SLP = "labels.slp"
FRAME = [
    (n, t)
    for n, t in zip(
        ("frame_id", "video", "frame_idx", "instance_id_start", "instance_id_end"),
        ("u8", "u4", "u8", "u8", "u8"),
        strict=True,
    )
]
INSTANCE = [
    *(
        ("instance_id", "i8"),
        ("instance_type", "u1"),
        ("frame_id", "u8"),
        ("skeleton", "u4"),
        ("track", "i4"),
    ),
    *(("from_predicted", "i8"), ("score", "f4"), ("point_id_start", "u8"), ("point_id_end", "u8")),
    ("tracking_score", "f4"),
]
POINT = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]


def recognises(root: Path) -> float:
    """Sure of a .slp that is HDF5, and of a folder with one."""
    return float(any(read_head(file, 8) == MAGIC for file in candidates(root, ".slp")))


def splits(root: Path) -> dict[str, Path]:
    return by_split(candidates(root, ".slp"), drop=".pkg") if root.is_dir() else {}


def read(
    root: Path, split: str | None = None, *, origin: float | None = None, images_dir: str | None = None
) -> Dataset:
    """The first skeleton's instances; frames of a film are samples of their own."""
    file = splits(root)[split] if split is not None else _only(root)
    about, tables = _tables(file)
    landmarks, edges = _skeleton(about, file)
    start = origin if origin is not None else 0.0 if about["format_id"] >= 1.1 else 0.5
    found = Collected(file, landmarks, start, skeleton=edges, name=file.resolve().stem)
    folders = [file.parent, file.parent / "videos", file.parent.parent / "videos"]
    pictures = _Pictures(tables["videos"], folders if images_dir is None else [Path(images_dir)], file)
    frames, instances = tables["frames"], tables["instances"]
    manual = instances["instance_type"] == 0
    if not manual.any() and len(instances):
        found.repairs["a model's predictions taken for labels"] = [
            f"instance {i}" for i in range(len(instances))
        ]
        manual[:] = True
    for frame in frames:
        rows = np.arange(*_span(frame["instance_id_start"], frame["instance_id_end"], len(instances), file))
        rows = rows[manual[rows] & (instances["skeleton"][rows] == 0)]
        if not len(rows):
            continue
        name, group, load = pictures.of(int(frame["video"]), int(frame["frame_idx"]))
        found.picture(name, group=group, load=load)
        for row in rows:
            found.object(_points(instances[row], tables, len(landmarks), file))
    return found.dataset()


def _only(root: Path) -> Path:
    return only(candidates(root, ".slp"), root, ".slp file")


def _tables(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metadata and the tables, each bounded before it is read."""
    with open_hdf(file, "a .slp file") as opened:
        about = json.loads(opened["metadata"].attrs["json"])
        about["format_id"] = float(opened["metadata"].attrs.get("format_id", 1.0))
        names = ("frames", "instances", "points", "pred_points")
        tables = {name: whole(opened, name, file) for name in names}
        for name, columns in (("frames", FRAME), ("instances", INSTANCE[:-1]), ("points", POINT)):
            missing = {key for key, _ in columns} - set(tables[name].dtype.names or ())
            if missing:
                raise InputError(f"{file}: '{name}' has no column {sorted(missing)[0]}")
        tables["videos"] = [json.loads(text) for text in whole(opened, "videos_json", file)]
        if not isinstance(about, dict):
            raise InputError(f"{file}: its metadata are no object")
        return about, tables


def _skeleton(about: dict[str, Any], file: Path) -> tuple[list[str], list[list[int]]]:
    """The first skeleton's names in its own order, and its pairs."""
    try:
        skeleton = about["skeletons"][0]
        skeleton = skeleton.get("nx_graph", skeleton)
        order = [int(node["id"]) for node in skeleton["nodes"]]
        names = [str(about["nodes"][i]["name"]) for i in order]
        place = {node: k for k, node in enumerate(order)}
        edges = [
            [place[int(link["source"])], place[int(link["target"])]] for link in _body(skeleton["links"])
        ]
    except BROKEN:
        raise InputError(f"{file}: its metadata name no skeleton; save it again in SLEAP") from None
    return names, edges


def _body(links: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The links that are no symmetries (type 2), in the order in which they were drawn."""
    kinds: dict[int, int] = {}
    body = []
    for link in links:
        kind = link.get("type", {})
        if "py/reduce" in kind:
            value = int(kind["py/reduce"][1]["py/tuple"][0])
            kinds[len(kinds) + 1] = value
        else:
            value = kinds.get(int(kind.get("py/id", 1)), 1)
        if value == 1:
            body.append(link)
    return sorted(body, key=lambda link: int(link.get("edge_insert_idx", 0)))


def _span(first: Any, last: Any, n: int, file: Path) -> tuple[int, int]:
    if not 0 <= int(first) <= int(last) <= n:
        raise InputError(f"{file}: rows {first}..{last} of {n}: the file is damaged; save it again in SLEAP")
    return int(first), int(last)


def _points(instance: Any, tables: dict[str, Any], k: int, file: Path) -> Array:
    """(K, 3): x, y, 2 or 0."""
    points = tables["points" if instance["instance_type"] == 0 else "pred_points"]
    first, last = _span(instance["point_id_start"], instance["point_id_end"], len(points), file)
    if last - first != k:
        raise InputError(f"{file}: instance {instance['instance_id']} has {last - first} points, not {k}")
    rows = points[first:last]
    return np.column_stack([rows["x"], rows["y"], np.where(rows["visible"], 2, NOT_LABELLED)])


def _inside(file: Path, dataset: str) -> dict[int, Any]:
    """Frame -> load, of the encoded pictures that a package (``.pkg.slp``) holds."""
    with open_hdf(file, "a .slp file") as opened:
        numbers = whole(opened, f"{dataset.rpartition('/')[0]}/frame_numbers", file)
        return {int(n): partial(load_embedded, str(file), dataset, row) for row, n in enumerate(numbers)}


def load_embedded(path: str, dataset: str, row: int) -> Array:
    """A picture of a package; a function of the module, so that it pickles.

    Before format 1.4 SLEAP encoded RGB as if it were BGR; the file says so, or its age.
    """
    from ..files import decode_image

    with open_hdf(Path(path), "a .slp file") as opened:
        table = table_of(opened, dataset, Path(path))
        old = float(opened["metadata"].attrs.get("format_id", 1.0)) < 1.4
        order = table.attrs.get("channel_order", "BGR" if old else "RGB")
        data = np.asarray(table[row], np.int8).tobytes()
    image = decode_image(data, Path(path))
    swapped = image.ndim == 3 and order in ("BGR", b"BGR")
    return np.ascontiguousarray(image[..., ::-1]) if swapped else image


class _Pictures:
    """(name, group, load) of a frame: a picture of a list, or of a film."""

    def __init__(self, videos: list[Any], folders: list[Path], file: Path):
        self.file = file
        self.loads: list[Any] = []
        self.names: list[list[str]] = []
        for video in videos:
            backend = video.get("backend", video) if isinstance(video, dict) else {}
            names = backend.get("filenames") or backend.get("filename") or ""
            names = [str(n) for n in names] if isinstance(names, list) else [str(names)]
            if names[0] in ("", "."):
                self.loads.append(_inside(file, str(backend.get("dataset"))))
                self.names.append([f"{file.stem.removesuffix('.pkg')}-{len(self.names)}"])
                continue
            self.loads.append(find_pictures(names, folders, str(file))[0])
            self.names.append([name.replace("\\", "/") for name in names])

    def of(self, video: int, frame: int) -> tuple[str, str, Any]:
        if video >= len(self.names):
            raise InputError(
                f"{self.file}: a frame of film {video}, of {len(self.names)}; save it again in SLEAP"
            )
        names, loads = self.names[video], self.loads[video]
        if isinstance(loads, dict):
            if frame not in loads:
                raise InputError(f"{self.file}: frame {frame} of film {video} has no picture in it")
            return f"{names[0]}/frame_{frame:06}.png", names[0], loads[frame]
        if not is_film(names[0]):
            if frame >= len(names):
                raise InputError(f"{self.file}: picture {frame} of a list of {len(names)}")
            return names[frame].rsplit("/", 1)[-1] if ":" in names[frame] else names[frame], "", loads[frame]
        film = Path(names[0])
        path = path_of(loads[0])
        load = loads[0] if path is None else partial(load_frame, path, frame)
        return f"{film.stem}/frame_{frame:06}.png", film.name, load


def write(dataset: Dataset, root: Path, split: str | None = None) -> None:
    """``labels.slp``, or ``<split>.slp``, of format 1.2: one list of pictures, by their names."""
    from ..files import atomic_path

    try:
        import h5py
    except ImportError:
        raise InputError(f"{root}: SLEAP's files need h5py: pip install 'hybridkp[formats]'") from None
    k, skeleton = len(dataset.landmarks), "Skeleton-0"
    kind = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [1]}]}
    links = [
        {
            "edge_insert_idx": i,
            "key": 0,
            "source": int(a),
            "target": int(b),
            "type": {"py/id": 1} if i else kind,
        }
        for i, (a, b) in enumerate(dataset.skeleton)
    ]
    graph = {"directed": True, "graph": {"name": skeleton, "num_edges_inserted": len(links)}, "links": links}
    graph |= {"multigraph": True, "nodes": [{"id": i} for i in range(k)]}
    about: dict[str, Any] = {"version": "2.0.0", "skeletons": [graph]}
    about |= {
        "nodes": [{"name": name, "weight": 1.0} for name in dataset.landmarks],
        "videos": [],
        "tracks": [],
    }
    about |= {"suggestions": [], "negative_anchors": {}, "provenance": {}}
    names = [sample.name for sample in dataset]
    h, w = next((s.size_hw for s in dataset if s.size_hw), (None, None))
    backend = {"filename": names[0], "filenames": names, "height_": h, "width_": w, "channels_": 3}
    frames: list[Any] = []
    instances: list[Any] = []
    points: list[Any] = []
    for n, sample in enumerate(dataset):
        first = len(instances)
        for instance in sample.instances:
            at = len(points)
            points += [
                (x, y, v > 0, v > 0) for (x, y), v in zip(instance.xy, instance.visibility, strict=True)
            ]
            instances.append((len(instances), 0, n, 0, -1, -1, np.nan, at, len(points), np.nan))
        frames.append((n, 0, n, first, len(instances)))
    with atomic_path(root / (f"{split}.slp" if split else SLP)) as path, h5py.File(path, "w") as file:
        metadata = file.create_group("metadata")
        metadata.attrs["format_id"], metadata.attrs["json"] = 1.2, np.bytes_(json.dumps(about).encode())
        file["videos_json"] = np.array([json.dumps({"backend": backend}).encode()], dtype=bytes)
        file["tracks_json"] = file["suggestions_json"] = np.zeros(0)
        for name, rows, columns in (
            ("frames", frames, FRAME),
            ("instances", instances, INSTANCE),
            ("points", points, POINT),
            ("pred_points", [], [*POINT, ("score", "f8")]),
        ):
            file[name] = np.array(rows, np.dtype(columns))


def tally(root: Path, split: str | None = None, **_: Any) -> Tally:
    """Counts by a plain look at the tables."""
    import h5py

    with h5py.File(splits(root)[split] if split else _only(root), "r") as file:
        manual = file["instances"]["instance_type"] == 0
        points = file["points"][()]
        seen = points["visible"] & np.isfinite(points["x"])
        return Tally(len(set(file["instances"]["frame_id"][manual])), int(manual.sum()), int(seen.sum()))
