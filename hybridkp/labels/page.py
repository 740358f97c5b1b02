"""The page of suspicious labels: ranked, with pictures, and the whole list as CSV and JSON beside it.

What :mod:`.suspicion` found comes in, files go out; no number is computed here.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..imaging.crops import cut
from ..imaging.draw import POINT_COLOR, TRUTH_COLOR, draw_landmarks
from ..imaging.geometry import crop_matrix, rescale
from ..imaging.images import as_uint8
from ..report.cells import tidy_csv
from ..report.embed import Picture, css_color, jpeg_uri
from ..report.output import about_page, write_files
from ..report.rendering import render_page
from ..structures import Array
from .suspicion import CLUES, SUSPICIOUS, Suspicions

SHOWN = 60  #: objects with a picture
USUAL = 3  #: ordinary objects for comparison
SIDE = 320  #: px of a picture
KEY = (("the label", POINT_COLOR), ("the detector", TRUTH_COLOR))
COLUMNS = (
    *("rank", "score", "suspicious", "picture", "object", "group", "finding", "oddest_landmark"),
    *("neighbours", "neighbours_and_detector", "shape_shift"),
)


def write_suspicions(
    found: Suspicions,
    out: str | os.PathLike[str],
    *,
    shown: int = SHOWN,
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Path]:
    """Write ``index.html``, ``labels.csv`` and ``labels.json`` into ``out``; kind -> path.

    The page shows the ``shown`` most suspicious labels, and no others than suspicious ones unless there are
    fewer than :data:`USUAL`; the lists have every object.
    """
    rows = records(found)
    about = about_page({"data": found.opinions.data.name}, provenance or {}, [])
    document = {
        "task": "suspicious labels",
        "provenance": about,
        "detectors": list(found.opinions.names),
        "suspicious_from": SUSPICIOUS,
        "objects": rows,
    }
    files: dict[str, tuple[str, str | bytes]] = {
        "html": ("index.html", _page(found, rows, shown, about)),
        "csv": ("labels.csv", tidy_csv(COLUMNS, [[*row.values()] for row in rows])),
        "json": ("labels.json", json.dumps(document, indent=1, allow_nan=False)),
    }
    return write_files(Path(out), files)


def records(found: Suspicions) -> list[dict[str, Any]]:
    """One record for each object, of plain values, the most suspicious first; None = says nothing."""
    data, crops = found.opinions.data, found.opinions.crops
    out = []
    for rank, row in enumerate(found.order.tolist(), 1):
        odd = found.odd[row]
        clues = [None if not math.isfinite(v) else round(float(v), 3) for v in found.clues[row]]
        diagnosis = found.diagnoses.get(row)
        oddest = data.landmarks[int(np.nanargmax(odd))] if np.isfinite(odd).any() else ""
        values = (
            *(rank, round(float(found.score[row]), 3), bool(found.suspicious[row]), crops.names[row]),
            *(int(crops.instance[row]), str(crops.groups[row])),
            *("" if diagnosis is None else diagnosis.words(data.landmarks), oddest, *clues),
        )
        out.append(dict(zip(COLUMNS, values, strict=True)))
    return out


def _page(found: Suspicions, rows: list[dict[str, Any]], shown: int, about: dict[str, str]) -> str:
    data, crops = found.opinions.data, found.opinions.crops
    order, n = found.order.tolist(), int(found.suspicious.sum())
    top = order[: min(shown, max(n, USUAL))]
    ordinary = order[len(order) // 2 :][:USUAL]
    asked = " and ".join(found.opinions.names)
    left = f" The first {len(top)} are shown; the lists have all." if n > len(top) else ""
    context = {
        "title": f"{data.name}: {n} of {len(order)} labels are suspicious",
        "facts": [
            f"{len(order)} objects",
            f"{len(set(crops.groups.tolist()))} groups",
            f"asked: {asked}",
        ],
        "opening": "The most suspicious first: look at each, and mend it where it is wrong. A detector may be"
        f" wrong, too: nothing was changed.{left}",
        "key": [(words, css_color(color)) for words, color in KEY],
        "cards_of": [_card(found, row, rows[rank]) for rank, row in enumerate(top)],
        "ordinary": [_card(found, row, rows[len(order) // 2 + i]) for i, row in enumerate(ordinary)],
        "clues": [(name, _CLUE_WORDS[i]) for i, name in enumerate(CLUES)],
        "table": rows[: max(n, USUAL)],
        "downloads": ("labels.csv", "labels.json"),
        "notes": _notes(asked),
        "about": about,
    }
    return render_page("suspicious.html", context, room="labels")


_CLUE_WORDS = (
    "how far a landmark is from where the object's other labels expect it",
    "the same where the detector's points are known, too",
    "how far the shape as a whole is from the detector's",
)


def _notes(asked: str) -> list[str]:
    return [
        f"Each object was seen by {asked}, fitted on other groups of pictures.",
        "Scores are in units of the middle object; the largest of the three clues counts. From"
        f" {SUSPICIOUS:g} a label is called suspicious.",
        "What is usual was learned from the 70 % least suspicious objects, in rounds, so that wrong labels do"
        " not hide each other.",
        "A rare pose, an odd picture or a bad box can make a right label suspicious.",
    ]


def _card(found: Suspicions, row: int, record: Mapping[str, Any]) -> Picture:
    which = f"{record['picture']}" + (f", object {record['object']}" if record["object"] else "")
    words = record["finding"] or "nothing odd"
    title = f"{record['rank']}. {which}"
    return Picture(
        jpeg_uri(_draw(found, row)), f"{title}: {words}", title, f"{record['score']:.1f} · {words}"
    )


def _draw(found: Suspicions, row: int) -> Array:
    """The object with its label and the detectors' opinion, enlarged from the picture itself."""
    crops, data = found.opinions.crops, found.opinions.data
    sample = data.samples[int(crops.sample[row])]
    longer = max(crops.size_hw)
    side = round(SIDE * crops.size_hw[0] / longer), round(SIDE * crops.size_hw[1] / longer)
    image = cut(as_uint8(sample.image, sample.name), crop_matrix(crops.boxes[row], side, crops.margin), side)
    scale = np.array([side[1] / crops.size_hw[1], side[0] / crops.size_hw[0]])
    label, guess = (rescale(xy[row], scale) for xy in (crops.xy, found.guess))
    seen = np.where(np.isfinite(label), guess, np.nan)
    return draw_landmarks(
        image, label, truth=seen, skeleton=data.skeleton, radius=3 if len(label) <= 30 else 2
    )
