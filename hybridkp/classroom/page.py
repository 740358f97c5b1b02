"""The page as text: template, style, scripts and what they need to know; one file that asks no other host.

Who answers the page's states, a server or models inside of it, is the caller's: here are words and pictures.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import cv2
import numpy as np

from ..report.output import about_page
from ..report.rendering import render_page
from ..structures import Array
from .altering import SLIDERS
from .answers import MOST_COLUMNS, Classroom, Plate
from .models import Models

#: what the page may do: run its own scripts and models, show its own pictures and the camera's
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; style-src 'unsafe-inline';"
    " img-src data: blob:; media-src blob: mediastream:; connect-src 'self' data: blob:; base-uri 'none';"
    " form-action 'none'"
)
KINDS = ("classical", "deep", "hybrid")
LEVELS = 4
CELL = 6  #: px of a cell of the page's HOG


def render(
    classroom: Classroom,
    engine: str = "server.js",
    further: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The page for a classroom.

    Parameters
    ----------
    engine : the script of this folder that answers
    further : what that script needs to know, by name
    """
    models = classroom.models
    data = {
        "side": models.side,
        "landmarks": list(models.landmarks),
        "landmark": _first_landmark(models),
        "models": [m.name for m in models.models],
        "first": first_models(models),
        "sliders": [slider._asdict() for slider in SLIDERS],
        "pictures": [{"id": name} for name in classroom.plates],
        "levels": LEVELS,
        "cell": CELL,
        "unit": {"pixel": "px", "mm": "mm"}.get(classroom.normalizer[0], "%"),
        "inferno": base64.b64encode(_inferno().tobytes()).decode(),
        **(further or {}),
    }
    context = {
        "title": "Classroom",
        "facts": [
            f"{len(models.models)} models",
            f"{len(models.landmarks)} landmarks",
            f"crops of {models.side} x {models.side} px",
        ],
        "opening": "Make a picture harder, and see which detector gives way first, and where.",
        "policy": POLICY,
        "data": data,
        "sliders": SLIDERS,
        "columns": len(data["first"]),
        "models": _by_kind(models),
        "landmarks": models.landmarks,
        "abouts": {m.name: m.about for m in models.models if m.about},
        "pictures": [
            (name, _png(_crop(plate)), f"picture {n}, {plate.name}")
            for n, (name, plate) in enumerate(classroom.plates.items(), 1)
        ],
        "unit": _unit(classroom),
        "scripts": [_script("core.js"), _script(engine), _script("page.js")],
        "own_style": _script("classroom.css"),
        "notes": [*_notes(models), *notes],
        "about": about_page({}, {}, []),
    }
    return render_page("classroom.html", context, room="classroom")


def first_models(models: Models) -> list[str]:
    """The names that the columns begin with: one of each kind, then whatever is left."""
    by_kind = [next((m.name for m in models.models if m.family == kind), None) for kind in KINDS]
    chosen = [name for name in by_kind if name is not None]
    others = [m.name for m in models.models if m.name not in chosen]
    return (chosen + others)[:MOST_COLUMNS]


def _unit(classroom: Classroom) -> str:
    """What errors are measured in, for people; empty where no truth is known."""
    if not any(np.isfinite(plate.length) for plate in classroom.plates.values()):
        return ""
    match classroom.normalizer:
        case ("points", i, j):
            names = classroom.models.landmarks
            return f"Errors are shares of the distance from {names[i]} to {names[j]}."
        case ("pixel",):
            return "Errors are in px of the picture."
        case ("mm",):
            return "Errors are in mm."
    return "Errors are shares of the side of the box."


def _by_kind(models: Models) -> list[tuple[str, list[str]]]:
    kinds = dict.fromkeys([*KINDS, *(m.family for m in models.models)])
    found = [(kind, [m.name for m in models.models if m.family == kind]) for kind in kinds]
    return [(kind, names) for kind, names in found if names]


def _first_landmark(models: Models) -> int:
    """A mouth corner where there is one: it moves, and has a twin."""
    return next((k for k, name in enumerate(models.landmarks) if "mouth" in name), 0)


def _crop(plate: Plate) -> Array:
    side = len(plate.image) // 2
    return plate.image[side // 2 : side // 2 + side, side // 2 : side // 2 + side]


def _png(image: Array) -> str:
    return "data:image/png;base64," + base64.b64encode(cv2.imencode(".png", image)[1].tobytes()).decode()


def _inferno() -> Array:
    """(256, 3) uint8, red green blue: even steps of brightness, told apart by every kind of eye."""
    ramp = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(ramp[:, 0, ::-1])


def _script(name: str) -> str:
    return files("hybridkp.classroom").joinpath(name).read_text(encoding="utf-8")


def _notes(models: Models) -> list[str]:
    small = [
        "Small models on drawn faces: what you see here teaches how methods behave, and ranks none of them."
        " Figures on photographs are in the documentation.",
        "The small models know drawn faces alone: do not expect much of them on a photograph.",
    ]
    return [
        "The picture is changed in this order: size, turn and place; the square; blur; noise. All models see"
        " the same changed crop, and none was trained on such changes beyond its own usual augmentation.",
        "How sure: the model's own word for how probable it is that the landmark is within 2.5 % of the"
        " crop's side. Look at it while a point goes wrong: honest models become unsure.",
        *(small if models.small else []),
    ]
