"""The page of a calibration: residuals of each camera and picture, and the board as it was found.

A :class:`.calibration.Calibration` comes in, one self-contained HTML page goes out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from ..files import read_image, write_atomic
from ..imaging.draw import POINT_COLOR, draw_landmarks
from ..imaging.geometry import resize_points
from ..imaging.images import as_uint8
from ..report.cells import median, number, sortable
from ..report.embed import Picture, css_color, jpeg_uri
from ..report.output import about_page
from ..report.rendering import render_page
from .calibration import Calibration, Detection

SHOWN = 2  #: pictures of each camera: the one of most corners, and the worst
_WIDE = 480


def write_calibration_page(
    found: Calibration, path: str | os.PathLike[str], *, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write the page."""
    missing = found.without_board
    n = len(found.detections)
    worst = float(np.max(found.error_px))
    context = {
        "title": f"{len(found.cameras)} cameras calibrated",
        "facts": [
            f"{n} pictures, the board in {n - len(missing)}"
            + (f", {len(found.refused)} more cannot be read" if found.refused else ""),
            f"{found.moments} moments seen by several cameras",
            f"world in {found.cameras.unit}",
        ],
        "opening": f"The board's corners lie {number(worst, 2)} px (median, worst camera) from where the"
        " cameras together expect them.",
        "scene": None,
        "parts": [_cameras(found), _pictures_part(found)],
        "pictures": _pictures(found),
        "pictures_title": "The board as it was found",
        "pictures_words": "Of each camera the picture with most corners, and the worst.",
        "key": [("corners", css_color(POINT_COLOR))],
        "terms": (),
        "notes": [
            *(
                [f"No board in {p.parent.name}/{p.name}." for p in missing]
                or ["The board is in every picture."]
            ),
            *(f"Left out, because it cannot be read: {p.parent.name}/{p.name}." for p in found.refused),
        ],
        "about": about_page({"board": str(found.board)}, provenance or {}, []),
    }
    write_atomic(path, render_page("views.html", context))


def _cameras(found: Calibration) -> dict[str, Any]:
    lines = []
    for v, camera in enumerate(found.cameras):
        mine = [d for d in found.detections if d.camera == camera.name]
        numbers = (
            (float(sum(len(d.numbers) > 0 for d in mine)), 0),
            (float(found.alone_px[v]), 3),
            (float(found.error_px[v]), 3),
            (float(camera.matrix[0, 0]), 1),
            (float(camera.distortions[0]) if camera.distortions.size else 0.0, 3),
        )
        lines.append([(camera.name, ""), *(sortable(value, digits) for value, digits in numbers)])
    heads = ("camera", "pictures", "alone, px (RMS)", "together, px (median)", "focal length, px", "k1")
    caption = "Residuals of each camera by itself, and of all in one world."
    return {"id": "cameras", "title": "Cameras", "caption": caption, "heads": heads, "lines": lines}


def _pictures_part(found: Calibration) -> dict[str, Any]:
    lines = [
        [(f"{d.camera}/{d.path.name}", ""), sortable(float(len(d.numbers)), 0), sortable(median(r), 3)]
        for d, r in zip(found.detections, found.residual_px, strict=True)
    ]
    heads = ("picture", "corners", "residual, px")
    caption = "A picture far worse than the others is blurred, or its name is another moment's."
    return {"id": "each", "title": "Pictures", "caption": caption, "heads": heads, "lines": lines}


def _pictures(found: Calibration) -> list[Picture]:
    out = []
    pairs = list(zip(found.detections, found.residual_px, strict=True))
    for camera in found.cameras:
        mine = [(d, median(r)) for d, r in pairs if d.camera == camera.name and len(d.numbers)]
        most = max(mine, key=lambda pair: len(pair[0].numbers))
        worst = max(mine, key=lambda pair: np.nan_to_num(pair[1]))
        for detection, error in dict.fromkeys((most, worst)):
            out.append(_picture(detection, error))
    return out


def _picture(detection: Detection, error: float) -> Picture:
    image = as_uint8(read_image(detection.path), str(detection.path))
    factor = min(1.0, _WIDE / image.shape[1])
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    drawn = draw_landmarks(small, resize_points(detection.xy, factor), radius=2)
    title = f"{detection.camera}/{detection.path.name}"
    words = f"{len(detection.numbers)} corners, {number(error, 2)} px"
    return Picture(jpeg_uri(drawn), f"{title}: {words}", title, words)
