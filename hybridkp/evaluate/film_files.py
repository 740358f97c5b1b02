"""What a followed film leaves: COCO's JSON, a table of tracks, and the film with its objects drawn.

Rows come in frame by frame, as often as a file needs them; files go out whole or not at all.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..datasets import coco_document
from ..files import atomic_path
from ..files.cameras import Camera
from ..files.films import Film, Frame
from ..imaging.draw import draw_boxes, draw_landmarks
from ..structures import Array, Dataset, InputError
from .apply import skeleton_of
from .processes import Progress

#: BGR of tracks by number, far apart also for the colour-blind (Okabe and Ito 2008)
_COLORS = ((0, 159, 230), (233, 180, 86), (115, 158, 0), (66, 228, 240), (167, 121, 204), (0, 94, 213))

Row = dict[str, Any]  #: a frame: its number, time, and objects


def names_of(meta: Mapping[str, Any], k: int) -> list[str]:
    return [str(name) for name in meta.get("landmarks") or (f"point{i}" for i in range(k))]


def write_coco_film(
    rows: Callable[[], Iterator[Row]],
    path: Path,
    film: Film | Camera,
    names: list[str],
    meta: Mapping[str, Any],
) -> None:
    """COCO's JSON, written as it comes: pictures first, then what is in them."""
    label = f"predictions of {meta.get('method') or 'a detector'} on {film.path.name}"
    skeleton = skeleton_of(meta)
    empty = coco_document(Dataset(label, tuple(names), (), skeleton, category=meta.get("category", "object")))
    head = json.dumps({k: v for k, v in empty.items() if k not in ("images", "annotations")}, allow_nan=False)
    h, w = film.size_hw
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(head[:-1] + ', "images": [')
        for n, row in enumerate(rows()):
            image = {"id": row["number"] + 1, "file_name": f"{film.path.stem}_{row['number']:06d}.png"}
            image |= {"width": w, "height": h, "video": film.path.name, "group": film.path.name}
            image |= {"frame": row["number"], "time": row["time"]}
            file.write((",\n" if n else "\n") + json.dumps(image))
        file.write('],\n"annotations": [')
        n = 0
        for row in rows():
            for one in row["objects"]:
                n += 1
                file.write((",\n" if n > 1 else "\n") + json.dumps(_annotation(one, row, n, empty)))
        file.write("]}\n")


def _annotation(one: Row, row: Row, number: int, empty: Mapping[str, Any]) -> Row:
    xy = [point if None not in point else [0.0, 0.0] for point in one["xy"]]
    known = [None not in point for point in one["xy"]]
    box = one["box"]
    return {
        "id": number,
        "image_id": row["number"] + 1,
        "category_id": empty["categories"][0]["id"],
        "track_id": one["track"],
        "bbox": box,
        "area": round(box[2] * box[3], 3),
        "iscrowd": 0,
        "num_keypoints": sum(known),
        "keypoints": [v for (x, y), there in zip(xy, known, strict=True) for v in (x, y, 2 * there)],
        "keypoint_scores": one["score"],
        "score": round(float(np.mean([s or 0.0 for s in one["score"]])), 4),
    }


def write_tracks(rows: Callable[[], Iterator[Row]], path: Path, tracks: list[int], names: list[str]) -> None:
    """DeepLabCut's table of several animals: four header rows, then a row a frame."""
    columns = [(t, name, c) for t in tracks for name in names for c in ("x", "y", "likelihood")]
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["scorer", *("hybridkp" for _ in columns)])
        writer.writerow(["individuals", *(f"track{t}" for t, _, _ in columns)])
        writer.writerow(["bodyparts", *(name for _, name, _ in columns)])
        writer.writerow(["coords", *(c for _, _, c in columns)])
        place = {t: n * 3 * len(names) for n, t in enumerate(tracks)}
        for row in rows():
            cells: list[Any] = [""] * len(columns)
            for one in row["objects"]:
                values = [v for (x, y), s in zip(one["xy"], one["score"], strict=True) for v in (x, y, s)]
                at = place[one["track"]]
                cells[at : at + len(values)] = ["" if v is None else v for v in values]
            writer.writerow([row["number"], *cells])


class Drawing:
    """An annotated film that grows frame by frame in a scratch folder, and is put in its place whole.

    ``rate`` None: as the first frames come, which are held until it is known.
    """

    HELD = 25

    def __init__(self, scratch: Path, size_hw: tuple[int, int], rate: float | None, skeleton: Array) -> None:
        self.file, self.size_hw, self.rate, self.skeleton = scratch / "film.mp4", size_hw, rate, skeleton
        self.writer: cv2.VideoWriter | None = None
        self.held: list[tuple[float, Array]] = []

    def add(self, frame: Frame, objects: list[Row]) -> None:
        drawn = _drawn(frame.image, objects, self.skeleton)
        if self.writer is None and self.rate is None:
            self.held.append((frame.time, drawn))
            if len(self.held) >= self.HELD:
                self._open()
            return
        self._open().write(drawn)

    def _open(self) -> cv2.VideoWriter:
        if self.writer is None:
            times = [time for time, _ in self.held]
            seen = (len(times) - 1) / max(times[-1] - times[0], 1e-3) if times else 0.0
            rate = self.rate or round(min(max(seen, 1.0), 240.0), 2)  # MPEG 4 takes no finer ones
            h, w = self.size_hw
            self.writer = cv2.VideoWriter(str(self.file), cv2.VideoWriter.fourcc(*"mp4v"), rate, (w, h))
            if not self.writer.isOpened():
                raise InputError(f"OpenCV cannot write a film of {w} x {h} px here; use --no-overlays")
            for _, drawn in self.held:
                self.writer.write(drawn)
            self.held = []
        return self.writer

    def close(self) -> None:
        """No more frames."""
        if self.held:
            self._open()
        if self.writer is not None:
            self.writer.release()

    def finish(self, path: Path) -> None:
        self.close()
        with atomic_path(path) as whole:
            shutil.copyfile(self.file, whole)


def write_drawn(
    rows: Iterator[Row], film: Film, scratch: Path, path: Path, meta: Mapping[str, Any], told: Progress | None
) -> None:
    """The film with its objects drawn, at its usual rate."""
    drawing = Drawing(scratch, film.size_hw, film.rate, skeleton_of(meta))
    try:
        for frame in film.frames():
            row = next(rows, None)
            if row is None:
                break
            drawing.add(frame, row["objects"])
            if told is not None:
                told("drawing", frame.number + 1, max(film.n_frames, frame.number + 1))
    finally:
        drawing.close()
    drawing.finish(path)


def _drawn(image: Array, objects: list[Row], skeleton: Array) -> Array:
    for one in objects:
        color = _COLORS[one["track"] % len(_COLORS)]
        xy = np.array([[np.nan if v is None else v for v in point] for point in one["xy"]], float)
        image = draw_boxes(image, np.array(one["box"], float), color=color)
        radius = max(1.2, 0.02 * max(one["box"][2:]))
        image = draw_landmarks(image, xy, skeleton=skeleton, color=color, radius=radius)
        x, y = (int(np.clip(v, 0, 2**14)) for v in one["box"][:2])
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(image, str(one["track"]), (x, max(y - 4, 10)), font, 0.5, color, 1, cv2.LINE_AA)
    return image
