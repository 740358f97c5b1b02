"""The explaining page: pictures, tables and sentences of one :class:`.Explanation` in one HTML file.

Reads a model and a picture, writes the page; words only, no arithmetic beyond what a sentence states.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..files import load_model, read_image, read_meta, write_atomic
from ..imaging import crop_matrix, cut, to_picture
from ..imaging.crops import is_outside
from ..imaging.images import as_uint8
from ..report.output import about_page
from ..report.rendering import render_page
from ..structures import MARGIN, Array, InputError, check_box
from . import pictures
from .evidence import Explanation, check_detector, explain
from .hiding import ENOUGH, GRID, SHARE, Deletion


def page(
    model: str | os.PathLike[str] | Any,
    picture: str | os.PathLike[str] | Array,
    out: str | os.PathLike[str] | None = None,
    *,
    landmark: int | str | None = None,
    box_xywh: ArrayLike | None = None,
    meta: Mapping[str, Any] | None = None,
    name: str = "",
    random_state: int = 0,
) -> str:
    """Why a model put its points where it did, as one self-contained HTML page.

    Parameters
    ----------
    model : a model file, or a fitted detector (then ``meta`` may give landmarks, crop size and margin)
    picture : a file, or (h, w[, 3]) uint8
    out : written there too, whole or not at all
    landmark : number from 0 or name of the one that is looked into; None: that of the highest score
    box_xywh : of the object in the picture; None: the whole picture
    name : of the picture, where it is no file

    Returns
    -------
    str
        The page.

    Raises
    ------
    InputError
        For files that cannot be read, a box outside of the picture, a landmark that is not there.

    Examples
    --------
    >>> import hybridkp
    >>> faces = hybridkp.make_faces(12, random_state=0)
    >>> crops = hybridkp.evaluate.make_crops(faces, size_hw=(48, 48))
    >>> model = hybridkp.make_method("hog+ridge").fit(crops.images, crops.xy)
    >>> html = hybridkp.explain.page(model, crops.images[0], landmark=3, meta={"margin": 1.0})
    >>> "Which pixels decided" in html
    True
    """
    shown = str(name or (picture if isinstance(picture, str | os.PathLike) else "a picture"))
    if isinstance(model, str | os.PathLike):
        meta = {**read_meta(model), **(meta or {})}
        model = load_model(model)
    meta = dict(meta or {})
    image = read_image(picture) if isinstance(picture, str | os.PathLike) else as_uint8(picture, shown)
    if len(meta.get("modalities") or ("image",)) > 1:
        raise InputError(
            f"{shown}: this model sees {', '.join(meta['modalities'])}; pages are of pictures alone"
        )
    box = np.array([0.0, 0, *image.shape[1::-1]]) if box_xywh is None else check_box(box_xywh)
    if is_outside(box, image.shape[:2]):
        raise InputError(f"{shown}: the box {box.tolist()} lies outside of the picture")
    check_detector(model)
    h, w = meta.get("size_hw") or model.size_hw_
    matrix = crop_matrix(box, (int(h), int(w)), float(meta.get("margin", MARGIN)))
    crop = cut(image, matrix, (int(h), int(w)))
    found = explain(model, crop, landmark, meta.get("landmarks"), random_state)
    html = render(found, meta, shown, to_picture(matrix, found.xy))
    if out is not None:
        write_atomic(Path(out), html)
    return html


def render(e: Explanation, meta: Mapping[str, Any], shown: str, xy: Array) -> str:
    """The page as text; ``xy`` (K, 2) are the points in the picture."""
    method = str(meta.get("method") or "the model")
    context = {
        "title": f"Why {method} put {e.names[e.landmark]} there",
        "facts": [
            Path(shown).name,
            f"{len(e.names)} landmarks",
            f"crop of {e.crop.shape[1]} x {e.crop.shape[0]} px",
        ],
        "opening": _opening(e, xy),
        "landmark": e.names[e.landmark],
        "seen": pictures.seen(e),
        "stages": pictures.stages(e),
        "moves": _moves(e),
        "voices": pictures.voices(e),
        "weights_note": " before it is corrected" if len(e.stages) > 1 and e.voices else "",
        "weights": [_weights(e, title, members) for title, members in e.voices],
        "responses": pictures.responses(e),
        "maps_of": e.maps_of,
        "evidence": [pictures.evidence(e, found) for found in e.evidence],
        "tests": [{"name": x.name, **_test(x.deletion)} for x in e.evidence],
        "parts": _parts(e),
        "hidden": pictures.hidden(e),
        "all_landmarks": _all(e.deletion),
        "messages": pictures.messages(e),
        "notes": _notes(),
        "about": about_page(
            {"picture": shown, "method": method, "trained on": str(meta.get("trained_on", ""))}, {}, []
        ),
    }
    return render_page("explain.html", context, room="explain")


def _opening(e: Explanation, xy: Array) -> str:
    k = e.landmark
    both = e.evidence[0].deletion
    place = f"({xy[k, 0]:.1f}, {xy[k, 1]:.1f})" if np.isfinite(xy[k]).all() else "nowhere"
    return (
        f"{e.names[k]} is at {place}, with a score of {e.score[k]:.0%}. Hiding the tenth of the crop that"
        f" matters most moves it by {both.important[0]:.2f} px of the crop; hiding a tenth at random by"
        f" {both.chance[0]:.2f} px: {both.ratio[0]:.1f} times as much"
        f" ({np.median(e.deletion.ratio):.1f} times in the middle of all landmarks)."
    )


def _test(found: Deletion) -> dict[str, str]:
    ratio = float(found.ratio[0])
    if ratio >= ENOUGH:
        verdict = "believe it"
    elif ratio > 1:
        verdict = f"less than {ENOUGH:g} times chance: a hint, not a cause"
    else:
        verdict = "no better than chance: not why the point is there"
    return {
        "important": f"{found.important[0]:.2f}",
        "chance": f"{found.chance[0]:.2f}",
        "ratio": f"{ratio:.1f} ×",
        "verdict": verdict,
    }


def _parts(e: Explanation) -> list[str]:
    return [
        f"{x.name}: blue adds, orange takes away. The {x.parts.what} is {x.parts.total:.3g}; the cells add"
        f" {np.maximum(x.parts.value, 0).sum():.3g} and take {np.maximum(-x.parts.value, 0).sum():.3g}; the"
        f" rest, {x.parts.rest:.3g}, belongs to no cell."
        for x in e.evidence
        if x.parts is not None
    ]


def _all(found: Deletion) -> str:
    ratio = found.ratio
    return (
        f"Over all {len(ratio)} landmarks the ratio is {np.median(ratio):.1f} in the middle (quartiles"
        f" {np.percentile(ratio, 25):.1f} and {np.percentile(ratio, 75):.1f});"
        f" {int((ratio >= ENOUGH).sum())} of them reach {ENOUGH:g}."
    )


def _moves(e: Explanation) -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    before: Array | None = None
    for stage in e.stages:
        xy = np.asarray(stage.xy[0], float)
        words = "–", "–"
        if before is not None:
            far = np.linalg.norm(xy - before, axis=-1)
            words = f"{np.nanmean(far):.2f}", f"{far[e.landmark]:.2f}"
        rows.append((stage.name, *words))
        before = xy
    return rows


def _weights(
    e: Explanation, title: str, members: Sequence[Any]
) -> tuple[str, list[str], list[tuple[str, list[str]]]]:
    rows = [(name, [f"{m.weight[0, k]:.0%}" for m in members]) for k, name in enumerate(e.names)]
    return title, [m.name for m in members], rows


def _notes() -> list[str]:
    n = round(SHARE * GRID**2)
    return [
        f"Deletion test: the crop is cut into {GRID} x {GRID} cells; {n} of them ({SHARE:.0%}) are replaced"
        " by a blurred copy. Random tenths: 20 draws, their mean. Moves are measured from the points of the"
        " whole crop.",
        "Occlusion hides windows two and four cells wide, and counts how far they push the point in one"
        " direction, the one on which the most important tenth of the cells agrees best: pushes to opposite"
        " sides would undo each other.",
        "A small move is not a small error: the test asks what the model uses, not whether it is right.",
        "The blur leaves coarse shapes in place. What a model reads from those, no map here shows.",
        "A method that starts from the whole crop hardly moves a point whose surroundings are hidden: that is"
        " robustness, and it makes ratios small.",
    ]
