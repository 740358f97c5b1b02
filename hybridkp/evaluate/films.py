"""A film put through a tracker: points of every object in every frame, as JSON, CSV and an annotated film.

Frames are read once to follow the objects and once more to draw them; between the two, parts of a hundred
frames lie on disk, from which a stopped run goes on.  Memory does not grow with the film.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..detection import TopDown
from ..files import write_atomic
from ..files.cameras import Camera
from ..files.films import Film, Frame
from ..files.lease import work_in
from ..runtime import Tracker
from ..structures import Array, InputError
from ..tracking import smooth_points
from ..tracking.filters import variance_of
from .apply import open_model, skeleton_of
from .film_files import Drawing, Row, names_of, write_coco_film, write_drawn, write_tracks
from .processes import Progress

PART = 100  #: frames between two places from which a stopped run can go on
GAP = 10  #: frames over which ``smooth`` fills a gap
WINDOW = 600  #: frames that are smoothed together; the outer ones see what is beyond
_EDGE = 60


def follow_film(
    tracker: Tracker,
    film: str | os.PathLike[str] | Camera,
    out: str | os.PathLike[str],
    *,
    meta: Mapping[str, Any] | None = None,
    model: str = "",
    smooth: bool = False,
    overlays: bool = True,
    told: Progress | None = None,
) -> dict[str, int]:
    """Every object of a film in every frame, written to ``out``.

    Parameters
    ----------
    tracker : begins anew
    film : a file, or a camera, which ends with its ``max_frames`` or by a KeyboardInterrupt (Ctrl-C)
    meta : of the model: ``landmarks``, ``skeleton``, ``category``
    model : what tells the model from others, its file's digest say: another one does not go on
    smooth : make each track smooth in both directions of time, and fill gaps of up to :data:`GAP` frames
        (:func:`~hybridkp.tracking.smooth_points`)
    overlays : also write the annotated film
    told : hears of the progress

    Returns
    -------
    dict with how many ``frames``, ``tracks`` and ``points`` there are.  In ``out`` lie ``predictions.json``
    (COCO; ``track_id`` for each annotation, ``frame`` and ``time`` for each picture), ``tracks.csv`` (a row
    a frame, header rows as DeepLabCut writes them) and ``film.mp4``.

    Notes
    -----
    A run over a file that is stopped goes on where it was, and gives the same, if it is called again in the
    same way.  A camera's frames come once: they are drawn as they come, without ``smooth``, and a folder that
    holds predictions already is refused.
    """
    if tracker.lag:
        raise InputError("a film's rows are written as its frames come: use lag=0, and smooth=True")
    live = isinstance(film, Camera)
    source, folder, meta = film if isinstance(film, Camera) else Film(film), Path(out), dict(meta or {})
    if live and (folder / "predictions.json").exists():
        raise InputError(
            f"{folder}: holds predictions already, and a camera cannot be asked again: choose another"
        )
    with work_in(folder):
        parts = _Parts(folder / ".tracking", _settings(tracker, source, model))
        if isinstance(source, Camera):
            drawing = Drawing(parts.folder, source.size_hw, None, skeleton_of(meta)) if overlays else None
            _follow_live(tracker, source, parts, drawing, told)
        else:
            drawing = None
            _follow(tracker, source, parts, told)
        if smooth:
            parts.smooth()
        rows = partial(parts.rows, "smooth" if smooth else "part")
        facts = _facts(rows())
        names = names_of(meta, facts["k"])
        write_coco_film(rows, folder / "predictions.json", source, names, meta)
        write_tracks(rows, folder / "tracks.csv", facts["tracks"], names)
        if drawing is not None:
            drawing.finish(folder / "film.mp4")
        elif overlays and isinstance(source, Film):
            write_drawn(rows(), source, parts.folder, folder / "film.mp4", meta, told)
        parts.clear()
    return {"frames": facts["frames"], "tracks": len(facts["tracks"]), "points": facts["points"]}


def predict_film(
    model: str | os.PathLike[str],
    film: str | os.PathLike[str] | Camera,
    out: str | os.PathLike[str],
    *,
    min_score: float | None = None,
    smooth: bool = False,
    overlays: bool = True,
    told: Progress | None = None,
    **settings: Any,
) -> dict[str, int]:
    """:func:`follow_film` with a model file or .hkr file; ``settings`` are the :class:`Tracker`'s.

    Raises
    ------
    InputError
        For a model without a finder, which cannot say where objects are.
    """
    loaded, meta = open_model(model)
    if not isinstance(loaded, TopDown):
        raise InputError(
            f"{model}: has no finder, so it cannot say where objects are in a film; train it with --finder"
        )
    detector = loaded.at_least(min_score)
    digest = hashlib.sha256(Path(model).read_bytes()).hexdigest()[:16] + f" {detector.min_score}"
    tracker = Tracker(detector, **settings)
    return follow_film(
        tracker, film, out, meta=meta, model=digest, smooth=smooth, overlays=overlays, told=told
    )


# --------------------------------------------------------------------------------------------
# parts on disk
# --------------------------------------------------------------------------------------------


class _Parts:
    """Hundreds of frames, each a file of its rows and of the tracker's state after them."""

    def __init__(self, folder: Path, settings: str) -> None:
        self.folder = folder
        if self._text("settings.json") != settings:
            self.clear()
            write_atomic(folder / "settings.json", settings)

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def files(self, kind: str = "part") -> list[Path]:
        return sorted(self.folder.glob(f"{kind}-*.json"))

    def write(self, rows: list[Row], state: Mapping[str, Any], kind: str = "part") -> None:
        name = f"{kind}-{rows[-1]['number'] + 1:09d}.json"
        write_atomic(self.folder / name, json.dumps({"rows": rows, "state": state}))

    def smooth(self) -> None:
        """The same with smooth tracks, beside; once, since several files are written from them."""
        rows: list[Row] = []
        for row in _smoothed(self.rows()):
            rows.append(row)
            if len(rows) >= PART:
                self.write(rows, {}, "smooth")
                rows = []
        if rows:
            self.write(rows, {}, "smooth")

    def _read(self, file: Path) -> dict[str, Any]:
        try:
            part = json.loads(file.read_bytes())
            return {"rows": list(part["rows"]), "state": dict(part["state"])}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise InputError(f"{file}: damaged; remove the folder {self.folder}, and begin anew") from None

    def rows(self, kind: str = "part") -> Iterator[Row]:
        for file in self.files(kind):
            yield from self._read(file)["rows"]

    def last(self) -> tuple[int, Mapping[str, Any]] | None:
        """The number of the next frame and the tracker's state there."""
        files = self.files()
        if not files:
            return None
        return int(files[-1].stem.removeprefix("part-")), self._read(files[-1])["state"]

    def clear(self) -> None:
        own = self.folder / "settings.json", self.folder / "film.mp4"
        for file in (*self.files(), *self.files("smooth"), *own):
            file.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def _settings(tracker: Tracker, film: Film | Camera, model: str) -> str:
    """What must be the same for a run to go on; nothing is, of a camera."""
    if isinstance(film, Camera):
        return f"camera {uuid.uuid4().hex}"
    facts = film.path.stat()
    digest = hashlib.sha256()
    with open(film.path, "rb") as file:
        digest.update(file.read(2**20))
    own = {k: v for k, v in tracker.get_params(deep=False).items() if k != "detector"}
    what = {"film": [film.path.name, facts.st_size, digest.hexdigest()], "model": model, **own}
    return json.dumps(what, sort_keys=True)


def _follow(tracker: Tracker, film: Film, parts: _Parts, told: Progress | None) -> None:
    tracker.reset()
    begun, rows = parts.last(), []
    start = 0 if begun is None else begun[0]
    for frame in film.frames(max(start - 1, 0)):
        if begun is not None and frame.number < start:  # the last frame that was seen
            tracker.set_state(begun[1], frame.image)
            continue
        rows.append(_row(frame, tracker))
        if told is not None:
            told("following", frame.number + 1, max(film.n_frames, frame.number + 1))
        if len(rows) >= PART:
            parts.write(rows, tracker.get_state())
            rows = []
    if rows:
        parts.write(rows, tracker.get_state())
    if not parts.files():
        raise InputError(f"{film.path}: not one frame can be decoded; is the file whole?")


def _follow_live(
    tracker: Tracker, camera: Camera, parts: _Parts, drawing: Drawing | None, told: Progress | None
) -> None:
    tracker.reset()
    rows: list[Row] = []
    n = 0
    with suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
        for n, frame in enumerate(camera.frames(), 1):
            row = _row(frame, tracker)
            if drawing is not None:
                drawing.add(frame, row["objects"])
            rows.append(row)
            if told is not None:
                told("following", n, max(camera.n_frames, n))
            if len(rows) >= PART:
                parts.write(rows, {})
                rows = []
    if rows:
        parts.write(rows, {})
    if not parts.files():
        raise InputError(f"{camera.path}: ended before its first frame")


def _row(frame: Frame, tracker: Tracker) -> Row:
    found = tracker.update(frame.image, frame.time)
    seen = {track.number: track.seen for track in tracker.tracks}
    objects = [
        {
            "track": i.track,
            "box": _rounded(i.box_xywh),
            "xy": _rounded(i.xy),
            "score": _rounded(i.keypoint_scores, 4),
            "seen": _rounded(seen[i.track]),
        }
        for i in found
    ]
    return {"number": frame.number, "time": round(frame.time, 6), "objects": objects}


def _rounded(values: Any, digits: int = 3) -> Any:
    """Lists for JSON, which has no NaN: None."""
    array = np.round(np.asarray(values, float), digits)
    return np.where(np.isfinite(array), array.astype(object), None).tolist()  # type: ignore[call-overload]


# --------------------------------------------------------------------------------------------
# smoothing
# --------------------------------------------------------------------------------------------


def _smoothed(rows: Iterator[Row]) -> Iterator[Row]:
    """The same rows with smooth tracks, a window at a time."""
    kept: list[Row] = []
    fresh = 0  # of the kept rows, those before are only looked back at
    for row in rows:
        kept.append(row)
        if len(kept) >= WINDOW:
            yield from _smooth_window(kept)[fresh : WINDOW - _EDGE]
            kept, fresh = kept[WINDOW - 2 * _EDGE :], _EDGE
    yield from _smooth_window(kept)[fresh:]


def _smooth_window(rows: list[Row]) -> list[Row]:
    out = [{**row, "objects": []} for row in rows]
    times = np.array([row["number"] for row in rows], float)
    tracks: dict[int, dict[int, Row]] = {}
    for i, row in enumerate(rows):
        for one in row["objects"]:
            tracks.setdefault(one["track"], {})[i] = one
    for number, seen in sorted(tracks.items()):
        first, last = min(seen), max(seen)
        k = len(seen[first]["xy"])
        span = last + 1 - first
        xy, score, box = np.full((span, k, 2), np.nan), np.full((span, k), np.nan), np.full((span, 4), np.nan)
        for i, one in seen.items():
            xy[i - first], score[i - first] = np.array(one["seen"], float), np.array(one["score"], float)
            box[i - first] = one["box"]
        side = float(np.nanmedian(box[:, 2:].max(1)))
        when = times[first : last + 1]
        smooth, _ = smooth_points(xy, variance_of(score, side), side, max_gap=GAP, frames=when)
        for t in range(span):
            if np.isfinite(smooth[t]).any():
                own = {"track": number, "box": _rounded(_box(box, t)), "xy": _rounded(smooth[t])}
                out[first + t]["objects"].append({**own, "score": _rounded(np.nan_to_num(score[t]), 4)})
    return out


def _box(boxes: Array, t: int) -> Array:
    """The box of a frame, of the nearest one that has a box in a gap."""
    known = np.flatnonzero(np.isfinite(boxes[:, 0]))
    return boxes[known[np.abs(known - t).argmin()]]


def _facts(rows: Iterator[Row]) -> dict[str, Any]:
    tracks: set[int] = set()
    frames = points = k = 0
    for row in rows:
        frames += 1
        for one in row["objects"]:
            tracks.add(one["track"])
            k, points = len(one["xy"]), points + len(one["xy"])
    return {"frames": frames, "tracks": sorted(tracks), "points": points, "k": k}
