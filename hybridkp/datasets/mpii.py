"""MPII Human Pose: the authors' MATLAB file, and the JSON in which most training code has it.

The centre of the top-left pixel is (1, 1) in both.  JSON: a list, a person an entry; ``joints_vis`` 0 is not
labelled (-1 -1 likewise), ``center`` and ``scale`` (a person's height over 200 px, by the authors) give the
box.  MATLAB: the variable RELEASE; people of training pictures with points, ``is_visible`` 0 is hidden,
``objpos`` and ``scale`` give the box, and pictures of one film are a group.  No picture is opened here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import HIDDEN, NOT_LABELLED, VISIBLE, Array, Dataset, InputError
from .collect import Collected
from .lookup import Tally, by_split, only
from .matfile import is_mat, mat_names, read_mat
from .schemes import MPII_16
from .text import number, read_any_json, read_head, start_of

ORIGIN, HEIGHT_PX = 1.0, 200.0
RELEASE = "RELEASE"  #: the variable in the authors' MATLAB file


def recognises(root: Path) -> float:
    return float(any(_is_one(file) for file in _candidates(root)))


def _is_one(file: Path) -> bool:
    if file.suffix.lower() == ".mat":
        return is_mat(file) and RELEASE in mat_names(file)
    head = read_head(file)
    return start_of(head).startswith(b"[") and b'"joints' in head


def _candidates(root: Path) -> list[Path]:
    files = [p for sub in ("", "annot/", "annotations/") for p in root.glob(f"{sub}*.json")]
    files += [p for sub in ("", "*/") for p in root.glob(f"{sub}mpii_human_pose*.mat")]
    return sorted(dict.fromkeys(files)) if root.is_dir() else [root]


def splits(root: Path) -> dict[str, Path]:
    return by_split(filter(_is_one, _candidates(root))) if root.is_dir() else {}


def read(
    root: Path, split: str | None = None, *, origin: float = ORIGIN, images_dir: str | None = None
) -> Dataset:
    """People of one picture stand together."""
    file = splits(root)[split] if split is not None else _only(root)
    found = Collected(
        file,
        MPII_16.landmarks,
        origin,
        "person",
        flip=MPII_16.flip.tolist(),
        skeleton=MPII_16.skeleton,
        name=file.resolve().stem,
    )
    collect = _from_mat if file.suffix.lower() == ".mat" else _from_json
    collect(file, found, origin)
    base = file.parent
    folders = [base / "images", base, base.parent / "images"]
    return found.dataset(folders if images_dir is None else [Path(images_dir)])


def _from_json(file: Path, found: Collected, origin: float) -> None:
    people = read_any_json(file)
    if not isinstance(people, list) or not all(isinstance(p, dict) for p in people):
        raise InputError(f"{file}: not MPII's JSON: expected a list of people")
    pictures: dict[str, list[dict[str, Any]]] = {}
    for n, person in enumerate(people):
        if not isinstance(person.get("image"), str) or not isinstance(person.get("joints"), list):
            raise InputError(f"{file}: person {n} needs image and joints")
        pictures.setdefault(person["image"], []).append(person)
    for picture, persons in pictures.items():
        found.picture(picture)
        for person in persons:
            found.object(*_points(person, f"{file}: {picture}", origin))


def _from_mat(file: Path, found: Collected, origin: float) -> None:
    release = _rows(read_mat(file, RELEASE))
    annolist = _rows(release[0].get("annolist")) if release else []
    if not annolist:
        raise InputError(f"{file}: its RELEASE has no annolist; take the authors' file")
    for row in annolist:
        people = [p for p in _rows(row.get("annorect")) if _rows(p.get("annopoints"))]
        image = _rows(row.get("image"))
        name = image[0].get("name") if image else None
        if not people or not isinstance(name, str):
            continue  # of the test part, whose points are not published
        film = _scalar(row.get("vididx", ""), f"{file}: {name}")
        found.picture(name, group=f"film {film:g}" if np.isfinite(film) else None)
        for person in people:
            found.object(*_person(person, f"{file}: {name}", origin))


def _rows(value: Any) -> list[dict[str, Any]]:
    """A structure's elements; none where MATLAB has an empty array in its place."""
    return value if isinstance(value, list) and all(isinstance(row, dict) for row in value) else []


def _person(person: dict[str, Any], who: str, origin: float) -> tuple[Array, Any]:
    """(16, 3) and the box."""
    table = np.zeros((16, 3))
    for point in _rows(_rows(person["annopoints"])[0].get("point")):
        k, x, y = (_scalar(point.get(key), who) for key in ("id", "x", "y"))
        if not (k.is_integer() and 0 <= k < 16):
            raise InputError(f"{who}: point {k:g}; MPII has 0 to 15")
        hidden = _scalar(point.get("is_visible"), who) == 0
        table[int(k)] = x, y, HIDDEN if hidden else VISIBLE
    at = _rows(person.get("objpos"))
    centre = [_scalar(at[0].get(key), who) for key in ("x", "y")] if at else None
    return table, _box(centre, _scalar(person.get("scale"), who), origin)


def _scalar(value: Any, who: str) -> float:
    """A number, also as text; NaN of an empty array."""
    if isinstance(value, str) or value is None:
        return number(value, who)
    if not isinstance(value, np.ndarray) or value.size > 1:
        raise InputError(f"{who}: one number expected, not {str(value)[:40]!r}")
    return float(value.flat[0]) if value.size else float("nan")


def _box(centre: Any, scale: float, origin: float) -> list[float] | None:
    """A square of the person's height about its middle; None where that is not known."""
    from ..imaging.geometry import box_about

    if centre is None or not (np.isfinite(centre).all() and 0 < scale < np.inf):
        return None
    side = scale * HEIGHT_PX
    return box_about(np.array(centre) - origin, side, side).tolist()


def _points(person: dict[str, Any], who: str, origin: float) -> tuple[Any, Any]:
    """(16, 3) and the box; a person without a scale has the points' box."""
    seen = person.get("joints_vis") or [1] * len(person["joints"])
    joints = person["joints"]
    if len(joints) != 16 or not isinstance(seen, list) or len(seen) != 16:
        raise InputError(f"{who}: needs 16 joints and 16 joints_vis, has {len(joints)}")
    if not all(isinstance(p, list) and len(p) == 2 for p in joints):
        raise InputError(f"{who}: joints are pairs [x, y]")
    xy = np.array([[number(v, who) for v in p] for p in joints])
    gone = np.array([number(v, who) <= 0 for v in seen]) | (xy == -1).all(1)
    table = np.column_stack([xy, np.where(gone, NOT_LABELLED, VISIBLE)])
    centre = person.get("center")
    pair = [number(v, who) for v in centre] if isinstance(centre, list) and len(centre) == 2 else None
    return table, _box(pair, number(person.get("scale"), who), origin)


def _only(root: Path) -> Path:
    files = [file for file in _candidates(root) if _is_one(file)] if root.is_dir() else [root]
    return only(files, root, "MPII file")


def tally(root: Path, split: str | None = None, **_: Any) -> Tally:
    """Counts by a plain look: a picture a name, an object an entry."""
    file = splits(root)[split] if split else _only(root)
    if file.suffix.lower() == ".mat":
        return Tally(sum(bool(row["annorect"]) for row in read_mat(file, RELEASE)[0]["annolist"]))
    people = json.loads(file.read_text(encoding="utf-8"))
    seen = [sum(v > 0 for v in p["joints_vis"]) for p in people]
    return Tally(len({p["image"] for p in people}), len(people), sum(seen))
