"""Predictions that another program wrote, as rows beside ours: the same objects, the same metrics and tests.

Read are COCO results (and COCO annotations, such as ``hybridkp predict`` writes), DeepLabCut's and
lightning-pose's tables of predictions, SLEAP's analysis CSV, Ultralytics' texts, and our own stored
predictions.  Whole-picture programs do not say which annotated object they mean.  Where a picture has one, it
gets the most confident; else they are given out in the order of their confidence, each to the free annotated
object of highest OKS, if that is at least :data:`LIKE`, as COCO's evaluation does.  An annotated object that
gets none has no points, which every metric charges.  Points are 0-based px as in each program's labels (see
:mod:`hybridkp.datasets.formats`).
"""

from __future__ import annotations

import os
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..datasets import image_ids
from ..datasets.text import number, read_any_json, read_csv, read_head, read_text
from ..files import FoundBoxes, load_predictions
from ..imaging.geometry import points_box
from ..metrics import matched, oks_matrix
from ..structures import Array, Dataset, DataWarning, InputError, Predictions, Sample
from .ready_made import untimed
from .result_doors import objects_of_key_points

LIKE = 0.1  #: OKS from which an object that was found may stand for an annotated one


class Found(NamedTuple):
    """One object that a program found: (K, 2) px, NaN = gave none, (K,) scores, and its own score."""

    xy: Array
    score: Array
    confidence: float


Objects = dict[int, list[Found]]  #: row of the data set's samples -> what was found there


def _nothing() -> defaultdict[int, list[Found]]:
    return defaultdict(list)


def read_foreign(
    path: str | os.PathLike[str] | Mapping[str, Any], dataset: Dataset, name: str
) -> Predictions:
    """The predictions in a file (or a folder of texts) for the objects of ``dataset``, called ``name``.

    ``path`` may also be a mapping of pictures' names to ``supervision.KeyPoints``.

    Raises
    ------
    InputError
        A file of no known kind, other landmarks, or no picture of the data set in it.
    """
    if isinstance(path, str | os.PathLike) and Path(path).suffix == ".safetensors" and Path(path).exists():
        return _own(Path(path), dataset, name)
    objects, place = _objects(path, dataset, name)
    return _rows(objects, dataset, name, place)


def found_objects(
    path: str | os.PathLike[str] | Mapping[str, Any], dataset: Dataset, name: str
) -> FoundBoxes:
    """All objects that somebody else's file speaks of, picture by picture; a box is that of the points.

    Read and raised as by :func:`read_foreign`; what ``bench`` stored of given boxes is none.
    """
    if isinstance(path, str | os.PathLike) and Path(path).suffix == ".safetensors":
        raise InputError(
            f"{path}: is of given boxes, not of whole pictures: leave it out, or the models that"
            " have a finder"
        )
    objects, k = _objects(path, dataset, name)[0], len(dataset.landmarks)
    rows = [sorted(objects.get(p, []), key=lambda one: -one.confidence) for p in range(len(dataset))]
    return FoundBoxes(
        name,
        tuple(s.name for s in dataset),
        tuple(np.array([points_box(one.xy) for one in row]).reshape(-1, 4) for row in rows),
        tuple(np.array([one.confidence for one in row], float) for row in rows),
        data=dataset.name,
        fingerprint=dataset.fingerprint,
        points=tuple(np.array([one.xy for one in row]).reshape(-1, k, 2) for row in rows),
        sure=tuple(map(len, rows)),
    )


def _objects(
    path: str | os.PathLike[str] | Mapping[str, Any], dataset: Dataset, name: str
) -> tuple[Objects, Path]:
    """What is said of each picture, and where that stands."""
    if isinstance(path, Mapping):
        return _key_points(path, dataset, name), Path("KeyPoints")
    if not isinstance(path, str | os.PathLike):
        raise InputError(
            f"{name}: {type(path).__name__} is neither a file, nor KeyPoints by picture, nor a detector that"
            " learns nothing"
        )
    place = Path(path)
    if not place.exists():
        raise InputError(f"{place}: no such file of predictions")
    read = next((read for is_one, read in _KINDS if is_one(place)), None)
    if read is None:
        raise InputError(
            f"{place}: no predictions that are known: COCO results (.json), a CSV of DeepLabCut,"
            " lightning-pose or SLEAP, a folder of Ultralytics' .txt, or a .safetensors of ours"
        )
    found = read(place, dataset)
    if not found:
        raise InputError(f"{place}: speaks of no picture of {dataset.name}; give predictions for these data")
    return found, place


def _key_points(theirs: Mapping[str, Any], dataset: Dataset, name: str) -> Objects:
    find, found = _by_name(dataset), _nothing()
    for picture, xy, score, confidence in objects_of_key_points(theirs, len(dataset.landmarks)):
        if (row := find(picture)) is not None:
            found[row].append(Found(xy, score, confidence))
    if not found:
        raise InputError(f"{name}: speaks of no picture of {dataset.name}; name them as the data do")
    return found


def _own(path: Path, dataset: Dataset, name: str) -> Predictions:
    stored = load_predictions(path)
    if stored.fingerprint != dataset.fingerprint:
        raise InputError(f"{path}: predictions of other data than {dataset.name}")
    return replace(stored, method=name)


# --------------------------------------------------------------------------------------------
# found objects -> annotated ones
# --------------------------------------------------------------------------------------------


def _rows(found: Objects, dataset: Dataset, name: str, path: Path) -> Predictions:
    k = len(dataset.landmarks)
    xy, score, names, instance = [], [], [], []
    for row, sample in enumerate(dataset):
        wanted = [n for n, i in enumerate(sample.instances) if i.judged]
        given = _given_out(sample, wanted, found.get(row, []), dataset.sigmas)
        for n, one in zip(wanted, given, strict=True):
            xy.append(np.full((k, 2), np.nan) if one is None else one.xy)
            score.append(np.zeros(k) if one is None else one.score)
            names.append(sample.name)
            instance.append(n)
    points, sure = np.array(xy).reshape(-1, k, 2), np.array(score).reshape(-1, k)
    return untimed(name, points, sure, names, instance, dataset, {"file": path.name})


def _given_out(
    sample: Sample, wanted: Sequence[int], found: Sequence[Found], sigmas: Array
) -> list[Found | None]:
    """For each annotated object the one that it gets, the most confident choosing first."""
    ordered = sorted(found, key=lambda one: -one.confidence)
    if len(sample.instances) == 1:
        return [ordered[0] if ordered else None for _ in wanted]
    if not wanted or not found:
        return [None] * len(wanted)
    truth = [sample.instances[n] for n in wanted]
    areas = [i.area if np.isfinite(i.area) and i.area > 0 else _area(i.xy) for i in truth]
    likeness = oks_matrix([i.xy for i in truth], [one.xy for one in ordered], areas, sigmas)
    return [ordered[d] if d >= 0 else None for d in matched(likeness.T, LIKE)]


def _area(xy: Array) -> float:
    return float(max(np.prod(np.nanmax(xy, 0) - np.nanmin(xy, 0)), 1.0))


# --------------------------------------------------------------------------------------------
# which picture is meant
# --------------------------------------------------------------------------------------------


def _by_name(dataset: Dataset) -> Callable[[str], int | None]:
    """Row of a picture by its name, by as much of its end as tells it apart, else by its last part alone."""
    whole = {sample.name.replace("\\", "/"): row for row, sample in enumerate(dataset)}
    ends: dict[str, list[int]] = defaultdict(list)
    for name, row in whole.items():
        parts = name.split("/")
        for n in range(len(parts)):
            ends["/".join(parts[n:])].append(row)

    def find(name: str) -> int | None:
        parts = name.replace("\\", "/").split("/")
        for n in range(len(parts)):
            rows = ends.get("/".join(parts[n:]), [])
            if len(rows) == 1:
                return rows[0]
        return None

    return find


def _by_frame(dataset: Dataset, path: Path) -> Callable[[int], int | None]:
    """Row of a frame by the number at the end of its picture's name."""
    rows: dict[int, list[int]] = defaultdict(list)
    for row, sample in enumerate(dataset):
        digits = re.search(r"(\d+)$", Path(sample.name).stem)
        if digits:
            rows[int(digits[1])].append(row)
    if any(len(same) > 1 for same in rows.values()):
        raise InputError(f"{path}: counts frames, and {dataset.name} has several films; judge one at a time")
    return lambda frame: rows[frame][0] if frame in rows else None


def _columns(parts: Iterable[str], dataset: Dataset, path: Path) -> dict[str, int]:
    """Landmark -> its place in the data set; those of others' that the data lack are left out."""
    plain = {re.sub(r"[\s_\-]", "", name.lower()): k for k, name in enumerate(dataset.landmarks)}
    out = {p: plain[q] for p in parts if (q := re.sub(r"[\s_\-]", "", p.lower())) in plain}
    missing = [name for k, name in enumerate(dataset.landmarks) if k not in out.values()]
    if missing:
        theirs = ", ".join(list(dict.fromkeys(parts))[:6])
        raise InputError(
            f"{path}: has no landmark {missing[0]!r} of {dataset.name} (has {theirs}); rename them to match"
        )
    return out


# --------------------------------------------------------------------------------------------
# the kinds of files
# --------------------------------------------------------------------------------------------


def _coco(path: Path, dataset: Dataset) -> Objects:
    document = read_any_json(path)
    rows: Any = document.get("annotations") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: not COCO results: expected a list of objects with image_id and keypoints")
    ids = {str(key): row for row, key in enumerate(image_ids(dataset))}
    own, others = str(dataset.category_id), set[str]()
    kinds: dict[str, list[int]] = {}  # category -> where its file has each landmark of the data
    if isinstance(document, dict):  # a file with its own pictures, categories, landmarks: by their names
        told = [c for c in document.get("categories") or [] if isinstance(c, dict)]
        mine = [c for c in told if len(told) == 1 or c.get("name") == dataset.category]
        kinds = {str(c.get("id")): _order(c.get("keypoints"), dataset) for c in mine}
        find = _by_name(dataset)
        images = [i for i in document.get("images") or [] if isinstance(i, dict)]
        its = {str(i.get("id")): find(str(i.get("file_name"))) for i in images}
        ids = {key: row for key, row in its.items() if row is not None}
    k, found = len(dataset.landmarks), _nothing()
    kinds = kinds or {own: list(range(k))}
    for n, row in enumerate(rows):
        at, kind = ids.get(str(row.get("image_id"))), str(row.get("category_id", next(iter(kinds))))
        if at is None or kind not in kinds:
            others |= {kind} if at is not None else set()
            continue
        who = f"{path}: object {n}"
        keypoints = row.get("keypoints")
        if not isinstance(keypoints, list) or len(keypoints) != 3 * k:
            size = len(keypoints) if isinstance(keypoints, list) else 0
            raise InputError(f"{who}: {size} keypoint numbers, not {3 * k} (x, y, score for each of {k})")
        table = np.array([number(v, who) for v in keypoints]).reshape(k, 3)
        scores = row.get("keypoint_scores")
        score = table[:, 2] if scores is None else np.array([number(v, who) for v in scores])
        if score.shape != (k,):
            raise InputError(f"{who}: {len(score)} keypoint_scores for {k} landmarks")
        table[(table == 0).all(1), :2] = np.nan  # as COCO writes a point that was not given
        xy, score = table[kinds[kind], :2], score[kinds[kind]]
        found[at].append(Found(xy, score, _confidence(row.get("score"), score, who)))
    if others and not found:
        what = f"objects of category {', '.join(sorted(others))[:80]} alone"
        raise InputError(f"{path}: {what}, and that of {dataset.name} is {own}")
    return found


def _order(names: Any, dataset: Dataset) -> list[int]:
    """Where a file has each landmark: by name where it has the same names, else in its order."""
    theirs = [str(name) for name in names] if isinstance(names, list) else []
    same = sorted(theirs) == sorted(dataset.landmarks)
    return [theirs.index(name) if same else n for n, name in enumerate(dataset.landmarks)]


def _confidence(value: Any, score: Array, who: str) -> float:
    given = number(value, who)
    return given if np.isfinite(given) else float(np.nan_to_num(score).mean())


def _is_poses(path: Path) -> bool:
    return path.suffix.lower() == ".csv" and read_head(path).lstrip(b"\xef\xbb\xbf").startswith(b"scorer,")


def _poses(path: Path, dataset: Dataset) -> Objects:
    """DeepLabCut and lightning-pose: x, y, likelihood; the first cells name the picture or count frames."""
    rows = read_csv(path)
    head = {row[0]: row for row in rows[:5] if row and row[0] in ("individuals", "bodyparts", "coords")}
    if not {"bodyparts", "coords"} <= head.keys():
        raise InputError(f"{path}: needs the header rows scorer, bodyparts, coords")
    coords, parts, people = head["coords"], head["bodyparts"], head.get("individuals", [])
    first = next((i for i, cell in enumerate(coords) if cell in ("x", "y")), len(coords))
    width = min(len(coords), len(parts))
    place = _columns(parts[first:width], dataset, path)
    by_name = _by_name(dataset)
    by_frame: Any = None
    k, found = len(dataset.landmarks), _nothing()
    for n, row in enumerate(rows[len(head) + 1 :], len(head) + 2):
        if not row or not any(row):
            continue
        picture = "/".join(filter(None, row[:first]))
        if re.fullmatch(r"\d+(\.0)?", picture):
            by_frame = by_frame or _by_frame(dataset, path)
            at = by_frame(int(float(picture)))
        else:
            at = by_name(picture)
        if at is None:
            continue
        tables: dict[str, Array] = {}
        for i in range(first, min(width, len(row))):
            if coords[i] in ("x", "y", "likelihood") and parts[i] in place:
                table = tables.setdefault(people[i] if i < len(people) else "", np.full((k, 3), np.nan))
                table[place[parts[i]], ("x", "y", "likelihood").index(coords[i])] = number(
                    row[i], f"{path}: line {n}"
                )
        found[at] += [one for table in tables.values() if (one := _found(table)) is not None]
    return found


def _found(table: Array) -> Found | None:
    """(K, 3) of x, y, score as an object; None where no point is given."""
    known = np.asarray(np.isfinite(table[:, :2]).all(1))
    if not known.any():
        return None
    score = np.where(known, np.nan_to_num(table[:, 2], nan=1.0), 0.0)
    return Found(np.where(known[:, None], table[:, :2], np.nan), score, float(score[known].mean()))


def _is_sleap(path: Path) -> bool:
    head = read_head(path, 4096)
    return path.suffix.lower() == ".csv" and b"frame_idx" in head.partition(b"\n")[0]


def _sleap(path: Path, dataset: Dataset) -> Objects:
    """SLEAP's analysis CSV: a row an instance; frames go by the number at the end of a picture's name."""
    header, *rows = read_csv(path)
    at = {name: i for i, name in enumerate(header)}
    parts = list(dict.fromkeys(name.rpartition(".")[0] for name in header if name.endswith(".x")))
    place, frame_of = _columns(parts, dataset, path), _by_frame(dataset, path)
    k, found = len(dataset.landmarks), _nothing()
    for n, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise InputError(f"{path}: line {n}: {len(row)} cells instead of {len(header)}")
        frame = number(row[at["frame_idx"]], f"{path}: line {n}")
        sample = frame_of(int(frame)) if 0 <= frame < 1e9 else None
        if sample is None:
            continue
        table = np.full((k, 3), np.nan)
        for part, landmark in place.items():
            for c, key in enumerate(("x", "y", "score")):
                if f"{part}.{key}" in at:
                    table[landmark, c] = number(row[at[f"{part}.{key}"]], f"{path}: line {n}")
        one = _found(table)
        if one is not None:
            whole = (
                number(row[at["instance.score"]], f"{path}: line {n}") if "instance.score" in at else np.nan
            )
            found[sample].append(one._replace(confidence=whole) if np.isfinite(whole) else one)
    return found


def _is_yolo(path: Path) -> bool:
    return path.is_dir() and next(path.glob("*.txt"), None) is not None


def _yolo(path: Path, dataset: Dataset) -> Objects:
    """Ultralytics' ``save_txt``: class, box, x y (score) of each point divided by the size, (confidence).

    Of several classes those of the data's own number are meant.
    """
    k = len(dataset.landmarks)
    classes: dict[float, Objects] = defaultdict(_nothing)
    stems: Mapping[str, Path] = {file.stem: file for file in sorted(path.glob("*.txt"))}
    for row, sample in enumerate(dataset):
        file = stems.get(Path(sample.name).stem)
        if file is None:
            continue
        h, w = sample.size_hw or sample.image.shape[:2]
        for n, line in enumerate(read_text(file).splitlines(), 1):
            cells = np.array([number(cell, f"{file}: line {n}") for cell in line.split()])
            if not len(cells):
                continue
            if not (cells[0] >= 0 and cells[0].is_integer()):
                raise InputError(f"{file}: line {n}: the class {cells[0]:g} is no number from 0")
            rests = {d: len(cells) - 5 - d * k for d in (3, 2)}
            dims, rest = next(((d, r) for d, r in rests.items() if r in (0, 1)), (0, 0))
            if not dims:
                raise InputError(f"{file}: line {n}: {len(cells)} numbers do not fit {k} landmarks")
            points = cells[5 : 5 + dims * k].reshape(k, dims)
            score = points[:, 2] if dims == 3 else np.ones(k)
            xy = np.where((points[:, :2] == 0).all(1, keepdims=True), np.nan, points[:, :2] * [w, h])
            sure = float(cells[-1]) if rest else float(score.mean())
            classes[cells[0]][row].append(Found(xy, score, sure))
    return _of_class(classes, dataset, path)


def _of_class(classes: Mapping[float, Objects], dataset: Dataset, path: Path) -> Objects:
    """The objects of the data's class; texts of one class that is 0 are of it, whatever the data call it."""
    if not classes or set(classes) == {0}:
        return classes.get(0, {})
    told, own = ", ".join(f"{number:g}" for number in sorted(classes)), str(dataset.category_id)
    mine = next((found for number, found in classes.items() if f"{number:g}" == own), None)
    if mine is None:
        raise InputError(
            f"{path}: objects of class {told}, and that of {dataset.name} is {own}: keep the lines of one"
            " class, with the number 0"
        )
    if len(classes) > 1:
        warnings.warn(
            f"{path}: has objects of class {told}; those of {own}, as {dataset.name} numbers"
            f" {dataset.category!r}, are judged alone.  If that is another, keep the lines of one class",
            DataWarning,
            stacklevel=2,
        )
    return mine


_KINDS: tuple[tuple[Callable[[Path], bool], Callable[[Path, Dataset], Objects]], ...] = (
    (lambda path: path.suffix.lower() == ".json", _coco),
    (_is_poses, _poses),
    (_is_sleap, _sleap),
    (_is_yolo, _yolo),
)
