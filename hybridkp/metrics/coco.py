"""COCO's keypoint AP and AR straight from COCO's own structures, as parsed from JSON.

Here lives the adapter from COCO dictionaries to :func:`.oks.oks_ap`'s arrays, for any K and any
number of categories.  Never here: reading files, the evaluation itself.  Points come as 3K numbers
x, y, visibility.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..structures import InputError
from .oks import figures, picture_of, point_box_area

Array = NDArray[Any]

#: the 17 constants of COCO's person: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles
COCO_PERSON_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)


def _coco_objects(annotations: Sequence[Mapping[str, Any]], k: int) -> dict[str, Array]:
    """Truth of one picture and category, columns as :func:`oks_ap` wants them."""
    points = np.array([a["keypoints"] for a in annotations], np.float64).reshape(-1, k, 3)
    labelled = (points[:, :, 2] > 0).sum(axis=1)
    area = np.array(
        [np.nan if "area" not in a and "bbox" in a else a["area"] for a in annotations], np.float64
    )
    boxes = np.array([a.get("bbox", [np.nan] * 4) for a in annotations], np.float64).reshape(-1, 4)
    return {
        "truth": points[:, :, :2],
        "visibility": points[:, :, 2],
        "areas": np.where(np.isfinite(area) & (area > 0), area, boxes[:, 2] * boxes[:, 3]),
        "boxes_xywh": boxes,
        "crowd": np.array([a.get("iscrowd", 0) for a in annotations], bool),
        "ignore": np.array(
            [a.get("num_keypoints", n) == 0 for a, n in zip(annotations, labelled, strict=True)], bool
        ),
    }


def _coco_predictions(results: Sequence[Mapping[str, Any]], k: int) -> dict[str, Array]:
    points = np.array([r["keypoints"] for r in results], np.float64).reshape(-1, k, 3)[:, :, :2]
    area = point_box_area(points)
    sizes = [r["bbox"][2] * r["bbox"][3] if r.get("bbox") else a for r, a in zip(results, area, strict=True)]
    return {
        "predicted": points,
        "scores": np.array([r["score"] for r in results], np.float64),
        "predicted_areas": np.array(sizes, np.float64),
    }


def _fitting(categories: Sequence[Mapping[str, Any]], k: int) -> list[Mapping[str, Any]]:
    """Those that do not list another number of keypoints than K."""
    return [c for c in categories if not c.get("keypoints") or len(c["keypoints"]) == k]


def _judged(categories: Sequence[Mapping[str, Any]], wanted: Any, k: int) -> list[Any]:
    """Ids of the categories that are judged, sorted: by name, else by id, else all that have K keypoints."""
    if wanted is None:
        chosen = _fitting(categories, k)
    else:
        chosen = [c for c in categories if c.get("name") == wanted]
        chosen = chosen or [c for c in categories if str(c["id"]) == str(wanted)]
    if not chosen and categories:
        there = ", ".join(f"{c.get('name')!r} with {len(c.get('keypoints') or ())}" for c in categories)
        what = f"no category of {k} keypoints" if wanted is None else f"no category {wanted!r}"
        raise InputError(f"{what} in the truth (there: {there})")
    return sorted(c["id"] for c in chosen)


def oks_ap_from_coco(
    truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    sigmas: ArrayLike | None = None,
    *,
    category: Any = None,
    max_detections: int = 20,
) -> dict[str, float]:
    """The ten figures from COCO's own structures, already parsed from JSON.

    Parameters
    ----------
    truth : dict with ``images``, ``categories`` and ``annotations``
        ``num_keypoints`` and ``iscrowd`` are counted from the points and taken as 0 when absent; an
        annotation without ``area`` has its box's.
    results : list of dicts with ``image_id``, ``category_id``, ``keypoints`` (3K numbers), ``score``
        A ``bbox`` gives the prediction's area, else its points' box does.
    sigmas : (K,), optional
        Default: COCO's constants for 17 landmarks; any other K needs its own.
    category : name or id of the one category to judge, optional
        Default: every category that does not list another number of keypoints than there are sigmas;
        results of others are an error.
    max_detections : int

    Returns
    -------
    dict as from :func:`oks_ap`, averaged over the categories

    Raises
    ------
    InputError
        A result for an unknown picture, a missing entry, points that do not fit the sigmas, no such
        category.
    """
    if sigmas is None:
        sigmas = COCO_PERSON_SIGMAS
    sigmas = np.asarray(sigmas, np.float64)
    k = len(sigmas)
    for part in ("images", "categories", "annotations"):
        if part not in truth:
            raise InputError(f"the truth has no {part!r}: it is not COCO")
    pictures = sorted(image["id"] for image in truth["images"])
    objects: dict[tuple[Any, Any], list[Any]] = defaultdict(list)
    predictions: dict[tuple[Any, Any], list[Any]] = defaultdict(list)
    for annotation in truth["annotations"]:
        objects[annotation["category_id"], annotation["image_id"]].append(annotation)
    known = set(pictures)
    judged = _judged(truth["categories"], category, k)
    others = {c["id"] for c in truth["categories"]} - set(judged if category is None else ())
    for result in results:
        if result["image_id"] not in known:
            raise InputError(f"a result names picture {result['image_id']}, which the truth does not have")
        if category is None and result.get("category_id") in others:
            raise InputError(
                f"a result of category {result['category_id']}, which has not {k} keypoints; leave it out, or"
                " pass category="
            )
        predictions[result["category_id"], result["image_id"]].append(result)
    categories = []
    for one in judged:
        rows = []
        for image in pictures:
            key = one, image
            try:
                columns = _coco_objects(objects[key], k) | _coco_predictions(predictions[key], k)
            except KeyError as error:
                raise InputError(f"picture {image}: an annotation or result has no {error}") from None
            except (TypeError, ValueError) as error:
                raise InputError(f"picture {image}: points do not fit {k} sigmas ({error})") from None
            rows.append(picture_of(f"picture {image}", columns, sigmas, max_detections))
        categories.append(rows)
    return figures(categories)
