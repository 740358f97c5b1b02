"""The objects of a COCO keypoint file, repaired by the rules of :func:`~hybridkp.datasets.coco.read_coco`.

Every repair is written down by rule and object; what no rule mends is an error that names the object.
No file is opened here.  Tables (K, 3) of x, y, v become points (K, 2), 0-based, and boxes (4,).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..structures import HIDDEN, NOT_LABELLED, VISIBLE, Array, InputError, Instance
from .repairs import AREA_RULE, CATEGORY_RULE, Mismatched, Repairs

Record = dict[str, Any]

SECOND = "keypoints_b"  #: the field of a second annotator's points, as ``keypoints``
GROW = 0.1  #: of a box's longer side, on every side of the points, where a file has no box
HUGE = 2**31  #: px; beyond it nothing is a coordinate of a picture


def size_hw_of(image: Record) -> tuple[int, int] | None:
    """(h, w) as the file says it, None where it does not."""
    try:
        h, w = int(image["height"]), int(image["width"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (h, w) if 0 < h < 2**31 and 0 < w < 2**31 else None


def mm_per_px_of(image: Record) -> float:
    """``mm_per_px`` as the file says it, NaN where it does not or where it is no length."""
    value = image.get("mm_per_px")
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9:
        return float(value)
    return float("nan")


def read_instances(
    document: Record, category: Record, images: dict[Any, Record], path: Path, repairs: Repairs
) -> dict[Any, list[Instance]]:
    """Image id -> its instances of the category, repaired; what was done goes into ``repairs``.

    Raises :class:`InputError` for repeated ids and unknown pictures, :class:`Mismatched` when K changes.
    """
    k = len(category["keypoints"])
    own, able = category.get("id"), {str(c.get("id")) for c in document["categories"] if c.get("keypoints")}
    out: dict[Any, list[Instance]] = {image_id: [] for image_id in images}
    seen: set[Any] = set()
    mismatched: list[tuple[str, str]] = []
    labelled = 0
    for row, annotation in enumerate(document["annotations"]):
        name = f"instance {str(annotation.get('id', f'in row {row}'))[:40]}"
        who = f"{path}: {name}"
        if "id" in annotation:
            if isinstance(annotation["id"], list | dict):
                raise InputError(f"{who}: ids are whole numbers")
            if annotation["id"] in seen:
                raise InputError(f"{who}: this id occurs twice; ids must differ")
            seen.add(annotation["id"])
        if (its := annotation.get("category_id", own)) != own:
            if annotation.get("keypoints") and str(its) not in able:
                repairs[CATEGORY_RULE].append(f"{name}: category {str(its)[:40]}")
            continue
        if annotation.get("keypoints") in (None, []):
            repairs["instances without keypoints skipped"].append(name)
            continue
        image_id = annotation.get("image_id")
        if isinstance(image_id, list | dict) or image_id not in images:
            raise InputError(
                f"{who}: image_id {repr(image_id)[:40]} is no picture of the file;"
                " remove the instance or add its picture"
            )
        table = _table(annotation["keypoints"], who)
        if table.size != 3 * k:
            has = f"{name}: has {table.size} keypoint numbers"
            mismatched.append((has, f"{name}: {table.size / 3:g} points instead of {k}"))
            continue
        instance = _instance(
            annotation, table.reshape(k, 3), size_hw_of(images[image_id]), name, who, repairs
        )
        if instance is not None:
            out[image_id].append(instance)
            labelled += bool(instance.visibility.any())
    if mismatched:
        raise Mismatched(
            f"{path}: {mismatched[0][0]}, its category needs {3 * k} (3 for each of {k} landmarks); K may not"
            " change inside a file: write v = 0 for a landmark that is missing",
            [where for _, where in mismatched],
        )
    if not labelled:
        raise InputError(f"{path}: no instance with a labelled point; nothing to learn from or to score")
    return out


def _table(values: Any, who: str) -> Array:
    """The numbers of ``keypoints``, as float."""
    try:
        return np.array(values, float)  # null becomes NaN
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{who}: keypoints must be numbers x, y, v, x, y, v, ...") from None


def _instance(
    annotation: Record,
    table: Array,
    size_hw: tuple[int, int] | None,
    name: str,
    who: str,
    repairs: Repairs,
) -> Instance | None:
    from ..imaging.geometry import points_box

    xy, visibility = _points(table, size_hw, name, repairs)
    count = int((visibility > NOT_LABELLED).sum())
    if annotation.get("num_keypoints") != count:
        repairs["num_keypoints missing or wrong, counted again"].append(name)
    tight = points_box(xy)
    box, repair = _box(annotation.get("bbox"), tight, size_hw, who)
    if repair:
        repairs[repair].append(name)
    if box is None:
        return None
    area = annotation.get("area")
    if not isinstance(area, int | float) or not 0 < area < 2**62:  # more than any picture: a slip
        if count:
            repairs[AREA_RULE].append(name)
        area = float(box[2] * box[3])
    ignore = bool(annotation.get("iscrowd", 0)) or count == 0
    second = _second(annotation.get(SECOND), size_hw, name, who, len(xy), repairs)
    track = annotation.get("track_id")
    track = track if type(track) is int and 0 <= track < 2**53 else -1
    return Instance(xy, visibility, box, area=float(area), ignore=ignore, second_xy=second, track=track)


def _second(
    values: Any, size_hw: tuple[int, int] | None, name: str, who: str, k: int, repairs: Repairs
) -> Array | None:
    """(K, 2) of a second annotator, read by the same rules; None where there is none."""
    if values in (None, []):
        return None
    table = _table(values, who)
    if table.size != 3 * k:
        raise InputError(f"{who}: {SECOND} has {table.size} numbers, not {3 * k}")
    return _points(table.reshape(k, 3), size_hw, f"{name}, {SECOND}", repairs)[0]


def _points(
    table: Array, size_hw: tuple[int, int] | None, name: str, repairs: Repairs
) -> tuple[Array, Array]:
    """(K, 2) float with NaN, (K,) visibility."""
    xy, v = table[:, :2].copy(), np.nan_to_num(table[:, 2], nan=0.0)
    if np.any((v < NOT_LABELLED) | (v > VISIBLE)):
        repairs["visibility outside 0..2, clipped"].append(name)
    if np.any((v > NOT_LABELLED) & (v < VISIBLE) & (v != HIDDEN)):
        repairs["visibility between the whole numbers, rounded up"].append(name)
    visibility = np.ceil(np.clip(v, NOT_LABELLED, VISIBLE)).astype(int)
    broken = (visibility > NOT_LABELLED) & ~np.isfinite(xy).all(1)
    far = (visibility > NOT_LABELLED) & ~broken & (_beyond(xy, size_hw) > 0)
    for hit, rule in ((broken, "points with NaN coordinates"), (far, "points far outside the picture")):
        if hit.any():
            repairs[f"{rule}, now not labelled"] += [name] * int(hit.sum())
            visibility[hit] = NOT_LABELLED
    xy[visibility == NOT_LABELLED] = np.nan
    return xy, visibility


def _beyond(xy: Array, size_hw: tuple[int, int] | None) -> Array:
    """(K,) px by which points lie further outside than the picture's longer side."""
    if size_hw is None:
        return np.abs(xy).max(1) - HUGE
    h, w = size_hw
    return np.maximum(-xy, xy - [w - 1, h - 1]).max(1) - max(h, w)


def _box(value: Any, tight: Array, size_hw: tuple[int, int] | None, who: str) -> tuple[Array | None, str]:
    """The instance's box (4,) and the rule of :func:`read_coco` that was needed for it ("" = none).

    The box is None when no rule gives one.
    """
    what = "bbox missing"
    if value is not None and value != []:
        try:
            box = np.asarray(value, float).reshape(4)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{who}: bbox must be four numbers [x, y, width, height]") from None
        w, h = (HUGE, HUGE) if size_hw is None else size_hw[::-1]
        if not np.isfinite(box).all() or (box[2:] < 1 / HUGE).any():
            what = "bbox without width or height"
        elif box[0] >= w or box[1] >= h or (box[:2] + box[2:] <= 0).any() or np.abs(box).max() >= HUGE:
            what = "bbox outside the picture"
        else:
            return box, ""
    if np.isfinite(tight).all() and max(tight[2:]) > 1:
        return grown(tight), f"{what}, taken from the points"
    if size_hw is not None:
        return np.array([0.0, 0.0, size_hw[1], size_hw[0]]), f"{what}, now the whole picture"
    return None, "instances with neither box nor points skipped"


def grown(tight: Array) -> Array:
    """The box of points, larger by :data:`GROW` of its longer side on every side; by 1 px about one point."""
    grow = GROW * max(tight[2:]) or 1.0
    return np.concatenate([tight[:2] - grow, tight[2:] + 2 * grow])
