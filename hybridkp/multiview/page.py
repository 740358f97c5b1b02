"""The page of triangulated points: cameras, landmarks, the worst instants, and the points in space.

What :mod:`.triangulation` found comes in, one self-contained HTML page goes out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..files import write_atomic
from ..imaging.crops import cut
from ..imaging.draw import POINT_COLOR, TRUTH_COLOR, draw_landmarks
from ..imaging.geometry import apply_affine, crop_matrix, points_box
from ..metrics import Poses3D, space_metrics
from ..report.cells import MISSING, median, number, sortable
from ..report.embed import Picture, css_color, jpeg_uri, read_picture
from ..report.output import about_page
from ..report.rendering import render_page
from ..report.space import space_context
from ..structures import Array, Dataset
from .cameras import known
from .consistency import CameraCheck
from .instants import Views
from .triangulation import Triangulated, reprojected

SHOWN = 3  #: instants with pictures
_CLOSE_HW, _MARGIN = (300, 400), 1.4  #: of a picture on the page: px, and its side by the points' own

Lines = list[list[tuple[str, str]]]


def write_views_page(
    views: Views,
    found: Triangulated,
    check: CameraCheck,
    dataset: Dataset,
    path: str | os.PathLike[str],
    *,
    truth: Array | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Write the page; gives its figures: ``found`` share, ``left_out_px``, with truth ``mpjpe_UNIT`` ..."""
    t, v, k = views.xy.shape[:3]
    unit, xyz = views.cameras.unit, found.xyz.reshape(t, k, 3)
    figures = figures_of(views, found, truth)
    seen = known(views.flat)
    facts = [f"{t} instants", f"{v} cameras", f"{k} landmarks", f"points in {unit or 'unknown units'}"]
    able = int((seen.sum(0) >= 2).sum())
    lead = (
        f"{int(known(xyz).sum())} of {able} points that two cameras or more see were found. A camera's own"
        f" point lies {number(figures['left_out_px'], 1)} px (median) from where the other cameras put it."
    )
    if truth is not None:
        mean = figures[space_metrics(unit)[0].key]
        lead += f" From the given points they are {number(mean, -3)} {unit or 'units'} away on average."
    up = -np.mean([c.turn[1] for c in views.cameras], axis=0)
    context = {
        "title": f"{dataset.name}: points of {v} cameras",
        "facts": facts,
        "opening": lead,
        "alarms": [check.words()] if check.contradicts else [],
        "scene": space_context(
            *(xyz, views.skeleton, views.landmarks, views.instants),
            up=up,
            other=truth,
            words=("triangulated", "given"),
            unit=unit,
        ),
        "parts": [_cameras_part(views, found), _landmarks_part(views, found, truth)],
        "pictures": _pictures(views, found, dataset),
        "pictures_title": "In the pictures",
        "pictures_words": "A white line joins the two. The instant in the middle of all, then the worst.",
        "key": [("points of the picture", css_color(TRUTH_COLOR)), ("reprojected", css_color(POINT_COLOR))],
        "terms": _TERMS,
        "notes": _notes(found, check),
        "about": about_page({"data": dataset.name}, provenance or {}, []),
    }
    write_atomic(path, render_page("views.html", context))
    return figures


def figures_of(views: Views, found: Triangulated, truth: Array | None = None) -> dict[str, float]:
    """The share of points found, the median errors in px, and the metrics of poses where there is a truth.

    A missing point has no distance: MPJPE is over the points found, and their share stands beside it.
    """
    t, _, k = views.xy.shape[:3]
    able = (known(views.flat).sum(0) >= 2).sum()
    out = {
        "found_percent": 100 * float(np.isfinite(found.xyz).all(1).sum()) / max(int(able), 1),
        "reprojection_px": found.reprojection_px,
        "left_out_px": found.left_out_px,
    }
    if truth is not None:
        xyz = found.xyz.reshape(t, k, 3)
        poses = Poses3D(np.where(np.isfinite(xyz), truth, np.nan), xyz)
        for metric in space_metrics(views.cameras.unit)[:2]:
            values = metric(poses)
            values = values[np.isfinite(values)]
            out[metric.key] = float(values.mean()) if len(values) else float("nan")
    return out


def _most(values: Array) -> float:
    """What 95 % of the finite ones stay below."""
    finite = values[np.isfinite(values)]
    return float(np.percentile(finite, 95)) if finite.size else float("nan")


def _cameras_part(views: Views, found: Triangulated) -> dict[str, Any]:
    seen = known(views.flat)
    lines: Lines = []
    for v, name in enumerate(views.cameras.names):
        numbers = (
            ((views.sample[:, v] >= 0).sum(), 0),
            (seen[v].sum(), 0),
            (100 * float((seen[v] & found.used[v]).sum()) / max(seen[v].sum(), 1), 1),
            (median(found.residual[v][found.used[v]]), 2),
            (median(found.left_out[v]), 2),
            (_most(found.left_out[v]), 2),
        )
        lines.append([(name, ""), *(sortable(float(value), digits) for value, digits in numbers)])
    heads = (
        "camera",
        "pictures",
        "points",
        "used, %",
        "reprojection, px",
        "left out, px",
        "left out, 95 %, px",
    )
    caption = (
        "Median distances; the last column is what 95 % of the points stay below. Click a heading to sort."
    )
    return {"id": "cameras", "title": "Cameras", "caption": caption, "heads": heads, "lines": lines}


def _landmarks_part(views: Views, found: Triangulated, truth: Array | None) -> dict[str, Any]:
    t, v, k = views.xy.shape[:3]
    xyz, unit = found.xyz.reshape(t, k, 3), views.cameras.unit or "units"
    left, spread = found.left_out.reshape(v, t, k), found.uncertainty.reshape(t, k)
    lines: Lines = []
    for i, name in enumerate(views.landmarks):
        numbers = [
            (float(np.isfinite(xyz[:, i]).all(1).sum()), 0),
            (float(found.used.reshape(v, t, k)[:, :, i].sum(0).mean()), 1),
            (median(left[:, :, i]), 2),
            (median(spread[:, i]), -3),
        ]
        if truth is not None:
            numbers.append((median(np.linalg.norm(xyz[:, i] - truth[:, i], axis=1)), -3))
        lines.append([(name, ""), *(sortable(value, digits) for value, digits in numbers)])
    heads = ["landmark", "instants", "cameras", "left out, px", f"uncertainty, {unit}"]
    heads += [] if truth is None else [f"from the given, {unit}"]
    return {
        "id": "landmarks",
        "title": "Landmarks",
        "caption": "Medians over the instants. Click a heading to sort.",
        "heads": heads,
        "lines": lines,
    }


def _pictures(views: Views, found: Triangulated, dataset: Dataset) -> list[Picture]:
    """Every view of a few instants: points as they are, and reprojected."""
    t, v, k = views.xy.shape[:3]
    left = found.left_out.reshape(v, t, k)
    error = np.array([median(left[:, i]) for i in range(t)])
    order = np.argsort(np.nan_to_num(error, nan=-1.0), kind="stable")[::-1]
    judged = [int(i) for i in order if np.isfinite(error[i])]
    chosen = list(dict.fromkeys([*judged[len(judged) // 2 :][:1], *judged[: SHOWN - 1]]))
    again = reprojected(found, views.cameras)[0].reshape(v, t, k, 2)
    out = []
    for i in chosen:
        for row in range(v):
            if views.sample[i, row] < 0:
                continue
            sample, name = dataset.samples[views.sample[i, row]], views.cameras.names[row]
            image = read_picture(sample.load, sample.name, set(), sample.size_hw or (240, 320))
            drawn = _close_up(image, again[row, i], views.xy[i, row], views.skeleton)
            words = (
                f"instant {views.instants[i]}: {number(median(left[row, i]), 1)} px from the other cameras"
            )
            out.append(Picture(jpeg_uri(drawn), f"{name}, {words}", name, words))
    return out


def _close_up(image: Array, again: Array, own: Array, skeleton: Array) -> Array:
    """The part of a picture around its points, enlarged; the whole picture where it has none."""
    box = points_box(np.concatenate([own, np.where(np.isfinite(own), again, np.nan)]))
    if not (np.isfinite(box).all() and box[2:].min() > 0):
        return draw_landmarks(image, again, truth=own, skeleton=skeleton)
    matrix = crop_matrix(box, _CLOSE_HW, _MARGIN)
    moved = [apply_affine(matrix, np.clip(xy, -1e6, 1e6)) for xy in (again, own)]
    radius = 3.0 if len(own) <= 30 else 2.0
    return draw_landmarks(
        cut(image, matrix, _CLOSE_HW), moved[0], truth=moved[1], skeleton=skeleton, radius=radius
    )


def _notes(found: Triangulated, check: CameraCheck) -> list[str]:
    notes = [f"Cameras held against the pictures: {check.words()}."]
    if np.isfinite(found.threshold_px):
        notes.append(
            f"A camera whose point is more than {found.threshold_px:.1f} px from the reprojected point of the"
            " others is not used for it."
        )
    if found.behind:
        notes.append(f"{found.behind} points lay behind a camera that saw them and were dropped.")
    return notes


_TERMS = (
    ("reprojection", "Distance between the picture's point and the found point seen by that camera."),
    (
        "left out",
        "The same, with the found point made from the other cameras alone: what a camera would not have said"
        " by itself. It is the honest error, and the larger one.",
    ),
    (
        "uncertainty",
        "Standard deviation of the point in space that the pictures' own scatter means for it, by the"
        " cameras' geometry. Errors of the calibration are not in it.",
    ),
    (MISSING, "Too few cameras see the point, or those that do disagree."),
)
