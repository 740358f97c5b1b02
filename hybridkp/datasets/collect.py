"""What a reader of another tool's files collects, picture by picture, and the data set that it becomes.

A reader says what stands in its file, in the file's own pixels; here that becomes a COCO document, so that
all formats are repaired, bounded and told by the rules of :func:`~hybridkp.datasets.coco.read_coco`.
Pictures are found by name and opened late; those that are listed but absent are left out, and counted.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..structures import NOT_LABELLED, VISIBLE, Array, Dataset, InputError, Instance
from .coco_objects import grown, size_hw_of
from .lookup import find_pictures, path_of
from .repairs import Repairs

ABSENT = "pictures that are listed but not there, left out"
Load = Callable[[], Array]
Points = dict[str, Sequence[float]]  #: landmark -> x, y and, where the file knows it, visibility


class Collected:
    """The pictures and objects of one file or folder.

    Parameters
    ----------
    path : the file, for messages and names
    landmarks : the K names in order
    origin : what the file calls the centre of the top-left pixel, in both directions
    category : the objects' name
    kinds : number -> name, where a file may have several kinds of objects with these landmarks
    """

    def __init__(
        self,
        path: Path,
        landmarks: Sequence[str],
        origin: float = 0.0,
        category: str = "object",
        *,
        kinds: Mapping[int, str] | None = None,
        flip: Sequence[int] | None = None,
        skeleton: Sequence[Sequence[int]] = (),
        name: str | None = None,
    ):
        self.path, self.landmarks, self.origin, self.name = path, list(landmarks), origin, name
        self.kinds = {1: category} if kinds is None else dict(kinds)
        self.category: dict[str, Any] = {"keypoints": self.landmarks}
        self.category["skeleton"] = [[a + 1, b + 1] for a, b in skeleton]
        if flip is not None:
            self.category["flip_indices"] = list(flip)
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.loads: dict[int, Load] = {}
        self.repairs: Repairs = defaultdict(list)

    def picture(
        self, name: str, size_hw: Any = None, group: str | None = None, load: Load | None = None
    ) -> None:
        """The next picture; the objects that follow are in it."""
        image: dict[str, Any] = {"id": len(self.images) + 1, "file_name": name}
        if size_hw is not None:
            image["height"], image["width"] = size_hw
        if group:
            image["group"] = group
        if load is not None:
            self.loads[image["id"]] = load
        self.images.append(image)

    def object(self, points: Points | ArrayLike, box: ArrayLike | None = None, kind: int = 1) -> None:
        """One object: by landmark name, or as a table (K, 2) or (K, 3); ``box`` along pixel edges.

        Without a box it is the points' own grown by :data:`GROW`; an object without any point is none.
        """
        table = self._table(points)
        xy = table[:, :2] - self.origin
        lost = np.asarray(~np.isfinite(table).all(1))
        table[lost] = NOT_LABELLED
        xy[lost] = np.nan
        known = np.where(table[:, 2:] > NOT_LABELLED, xy, np.nan)
        box = box_around(known) if box is None else box
        if box is None:
            return
        x, y, w, h = (float(v) for v in np.asarray(box, float))
        table[:, :2] = np.where(lost[:, None], 0, xy)
        image = self.images[-1]
        self.kinds.setdefault(kind, f"object {kind}" if kind else "object")
        self.annotations.append(
            {
                "id": f"{len(self.annotations) + 1} in {image['file_name'][-28:]}",
                "image_id": image["id"],
                "category_id": kind,
                "keypoints": table.ravel().tolist(),
                "num_keypoints": int((table[:, 2] > NOT_LABELLED).sum()),
                "bbox": [x, y, w, h],
                "area": w * h,
            }
        )

    def _table(self, points: Any) -> Array:
        """(K, 3) of x, y, visibility, a copy."""
        if isinstance(points, dict):
            rows = [points.get(name, (np.nan, np.nan)) for name in self.landmarks]
        else:
            rows = points
        table = np.array([(*row, VISIBLE)[:3] for row in rows], float).reshape(-1, 3)
        if len(table) != len(self.landmarks):
            at = self.images[-1]["file_name"]
            raise InputError(f"{self.path}: {at}: {len(table)} points, not {len(self.landmarks)}")
        return table

    def dataset(self, folders: Sequence[Path] = (), category: str | int | None = None) -> Dataset:
        """The data set of one category; pictures without a ``load`` are looked for in ``folders``."""
        from .coco import dataset_of

        if not self.images:
            raise InputError(f"{self.path}: lists no picture; nothing to read")
        missing = [i for i in self.images if i["id"] not in self.loads]
        told = ""
        if missing:
            names, sizes = [i["file_name"] for i in missing], [size_hw_of(i) for i in missing]
            loads, told = find_pictures(names, folders, str(self.path), sizes)
            found = iter(loads)
            self.loads |= {i["id"]: next(found) for i in self.images if i["id"] not in self.loads}
            self._leave_out_absent()
        kinds = [self.category | {"id": n, "name": name} for n, name in self.kinds.items()]
        document = {"images": self.images, "annotations": self.annotations, "categories": kinds}
        loads = [self.loads[image["id"]] for image in self.images]
        return dataset_of(document, self.path, lambda *_: (loads, told), self.name, category, self.repairs)

    def _leave_out_absent(self) -> None:
        paths = {i["id"]: path_of(self.loads[i["id"]]) for i in self.images}
        absent = {key for key, path in paths.items() if path is not None and not os.path.isfile(path)}
        if absent and len(absent) < len(self.images):
            self.repairs[ABSENT] = [i["file_name"] for i in self.images if i["id"] in absent]
            self.images = [i for i in self.images if i["id"] not in absent]
            self.annotations = [a for a in self.annotations if a["image_id"] not in absent]


def box_around(xy: Array) -> Array | None:
    """The box of the labelled points, grown by :data:`GROW`; None where there are none."""
    from ..imaging.geometry import points_box

    tight = points_box(xy)
    return grown(tight) if np.isfinite(tight).all() else None


def box_of(instance: Instance, name: str) -> Array:
    """An object's box for formats that need one: its own, else that of its points."""
    box = instance.box_xywh if np.isfinite(instance.box_xywh).all() else box_around(instance.xy)
    if box is None:
        raise InputError(f"{name}: an object with neither box nor points; this format needs one of them")
    return box


def pick_kind(
    names: Iterable[str], wanted: str | int | None, path: Path, usual: str = "object"
) -> tuple[str, str]:
    """The kind of objects, of those in use, that is wanted by name or by number from 1, or the only one.

    By the rules, and with the words, of :func:`~hybridkp.datasets.coco.pick_category`.  Also what objects are
    that do not say it (""): of the only kind that others say, else ``usual``.
    """
    from .coco import pick_category

    names = list(dict.fromkeys(names))
    said = [name for name in names if name]
    unsaid = said[0] if len(said) == 1 else usual
    there = dict.fromkeys(name or unsaid for name in names)
    kinds = [{"id": n, "name": name, "keypoints": ["any"]} for n, name in enumerate(there, 1)]
    used = [{"category_id": kind["id"]} for kind in kinds]
    chosen = pick_category({"categories": kinds, "annotations": used}, wanted, path)
    return str(chosen["name"]), unsaid


def in_natural_order(names: Sequence[str]) -> list[str]:
    """By number where all names are one word and a number, else as they stand.

    >>> in_natural_order(["l10", "l2", "l1"]), in_natural_order(["tail", "nose"])
    (['l1', 'l2', 'l10'], ['tail', 'nose'])
    """
    parts = [re.fullmatch(r"(\D*)(\d{1,9})", name) for name in names]
    if names and all(parts) and len({p[1] for p in parts if p}) == 1:
        return sorted(names, key=lambda name: int(re.sub(r"\D", "", name)))
    return list(names)


def once(labels: Sequence[tuple[str, Sequence[float]]], who: str, repairs: Repairs) -> Points:
    """Landmark -> point; a landmark that one object has twice is not labelled, because nobody knows which."""
    points: Points = {}
    twice = set()
    for label, point in labels:
        if label in points:
            twice.add(label)
        points[label] = point
    for label in twice:
        repairs["landmarks twice in one object, now not labelled"].append(f"{who}: {label}")
        del points[label]
    return points
