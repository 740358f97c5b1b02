"""The page of lifters: errors of each with intervals, and the best one's poses in space.

What :mod:`.compared` found comes in, one self-contained HTML page goes out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..files import write_atomic
from ..metrics.landmarks import mean_of_known
from ..report.cells import number, sortable
from ..report.output import about_page
from ..report.rendering import render_page
from ..report.space import space_context
from ..stats import bootstrap_interval
from ..structures import Array
from ..structures.base import evenly
from .compared import Lifted, ranked
from .pairs import PosePairs

SHOWN = 40  #: poses in space on the page


def write_lifting_page(
    found: Sequence[Lifted],
    val: PosePairs,
    path: str | os.PathLike[str],
    *,
    root: int = 0,
    unit: str = "",
    up: tuple[float, float, float] = (0.0, -1.0, 0.0),
    notes: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write the page; ``up`` is up in the axes of the poses (a camera's y points down)."""
    order = ranked(found, val, root)
    best, errors = next(pair for pair in order if pair[0].lifter is not None)
    truth = val.xyz - val.xyz[:, [root]]
    shown = evenly(len(val), SHOWN)
    names = [str(i) for i in range(val.xy.shape[1])]
    each = mean_of_known(np.linalg.norm(best.xyz - truth, axis=2), axis=0)
    error = float(mean_of_known(errors["mpjpe"]))
    n_judged = int(np.isfinite(errors["mpjpe"]).sum())
    left_out = f"{len(val) - n_judged} poses lack a point in the picture, or their truth, and are not judged."
    unit = unit or "units"
    context = {
        "title": "Poses in space from points in one picture",
        "facts": [f"{n_judged} poses judged", f"{len(set(val.groups.tolist()))} sequences"],
        "opening": f"The best on these poses is {best.name}: its points are {number(error, -3)}"
        f" {unit} from the truth on average, both relative to the root.",
        "scene": space_context(
            *(best.xyz[shown], val.skeleton, names, [f"{val.groups[i]}, row {i}" for i in shown]),
            up=up,
            other=truth[shown],
            words=(best.name, "truth"),
            unit=unit,
        ),
        "parts": [
            _part(
                *("lifters", "Lifters", ("lifter", f"MPJPE, {unit}", f"P-MPJPE, {unit}")),
                [_line(*pair, val.groups) for pair in order],
                "Lower is better; in brackets the 95 % interval over sequences.",
            ),
            _part(
                *("landmarks", f"Landmarks of {best.name}", ("landmark", f"mean error, {unit}")),
                *([[(n, ""), sortable(e, -3)] for n, e in zip(names, each, strict=True)], "Lower is better."),
            ),
        ],
        "pictures": [],
        "terms": _TERMS,
        "notes": [
            *([left_out] if n_judged < len(val) else []),
            *notes,
            "Settings were chosen on folds of the training pairs that cut no sequence.",
        ],
        "about": about_page({}, provenance or {}, []),
    }
    write_atomic(path, render_page("views.html", context))


def _line(lifted: Lifted, scores: Mapping[str, Array], groups: Array) -> list[tuple[str, str]]:
    """A lifter's errors with their intervals."""
    line = [(lifted.name, "")]
    for key in ("mpjpe", "p_mpjpe"):
        interval = bootstrap_interval(scores[key], groups)
        text, value = sortable(interval.value, -3)
        line.append((f"{text} [{number(interval.low, -3)}, {number(interval.high, -3)}]", value))
    return line


def _part(name: str, title: str, heads: Sequence[str], lines: Any, caption: str) -> dict[str, Any]:
    caption = f"{caption} Click a heading to sort."
    return {"id": name, "title": title, "caption": caption, "heads": heads, "lines": lines}


_TERMS = (
    ("MPJPE", "Mean distance of a pose's points from the truth, both relative to the root."),
    ("P-MPJPE", "The same after the best turn, shift and size: the error of the shape alone."),
    ("mean pose", "The training poses' mean, whatever the picture shows: what has to be beaten."),
)
