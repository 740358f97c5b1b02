"""Files of others' predictions, read picture by picture: COCO, tables of frames, Ultralytics' texts.

Which of the found objects stands for which annotated one is asked elsewhere (:mod:`.foreign`).  Points (K, 2)
are 0-based px as in each program's labels (see :mod:`hybridkp.datasets.formats`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..datasets import image_ids
from ..datasets.text import number, read_any_json, read_csv, read_head, read_text
from ..datasets.yolo import class_names
from ..structures import Array, Dataset, InputError


class Found(NamedTuple):
    """One object that a program found: (K, 2) px, NaN = gave none, (K,) scores, and its own score."""

    xy: Array
    score: Array
    confidence: float


Objects = dict[int, list[Found]]  #: row of the data set's samples -> what was found there


def nothing() -> defaultdict[int, list[Found]]:
    return defaultdict(list)


# --------------------------------------------------------------------------------------------
# which picture is meant
# --------------------------------------------------------------------------------------------


def by_name(dataset: Dataset) -> Callable[[str], int | None]:
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
        find = by_name(dataset)
        images = [i for i in document.get("images") or [] if isinstance(i, dict)]
        its = {str(i.get("id")): find(str(i.get("file_name"))) for i in images}
        ids = {key: row for key, row in its.items() if row is not None}
    k, found = len(dataset.landmarks), nothing()
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
    find = by_name(dataset)
    by_frame: Any = None
    k, found = len(dataset.landmarks), nothing()
    for n, row in enumerate(rows[len(head) + 1 :], len(head) + 2):
        if not row or not any(row):
            continue
        picture = "/".join(filter(None, row[:first]))
        if re.fullmatch(r"\d+(\.0)?", picture):
            by_frame = by_frame or _by_frame(dataset, path)
            at = by_frame(int(float(picture)))
        else:
            at = find(picture)
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
    k, found = len(dataset.landmarks), nothing()
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

    Of several classes the one is meant that a ``data.yaml`` beside the texts calls as the data do.
    """
    k = len(dataset.landmarks)
    classes: dict[float, Objects] = defaultdict(nothing)
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
    """The objects of the data's class: as a ``data.yaml`` names it, else of the only class if that is 0.

    A number alone says nothing: COCO counts categories from 1 where Ultralytics counts classes from 0.
    """
    known = class_names(path)
    told = ", ".join(f"{number:g}" for number in sorted(classes))
    mine = [number for number, name in known.items() if name == dataset.category]
    if classes and mine and mine[0] not in classes:
        raise InputError(f"{path}: objects of class {told} alone, and {dataset.category!r} is {mine[0]}")
    if mine:
        return classes.get(mine[0], {})
    if not classes or (set(classes) == {0} and len(known) < 2):
        return classes.get(0, {})
    there = (
        f"its data.yaml has {', '.join(known.values())!s:.80}" if known else "no data.yaml says which it is"
    )
    raise InputError(
        f"{path}: objects of class {told}, and {dataset.name} is of {dataset.category!r} ({there}): put a"
        " data.yaml with these names beside the texts, or keep the lines of one class, with the number 0"
    )


KINDS: tuple[tuple[Callable[[Path], bool], Callable[[Path, Dataset], Objects]], ...] = (
    (lambda path: path.suffix.lower() == ".json", _coco),
    (_is_poses, _poses),
    (_is_sleap, _sleap),
    (_is_yolo, _yolo),
)
