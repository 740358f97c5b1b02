"""The error of each landmark, drawn on the mean shape as a small SVG, one per method.

A circle's radius *is* the landmark's mean error at the scale of the shape, its colour repeats it;
hovering (or a screen reader) gives the name and the number.  Plain text building, no plot library.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from ...structures import Array

#: seven steps of viridis (Smith and van der Walt 2015), ordered in lightness for every eye
STOPS = ("#440154", "#443983", "#31688e", "#21918c", "#35b779", "#90d743", "#fde725")
_SIDE = 200.0


def color_of(share: float) -> str:
    """0..1 to ``#rrggbb``, linear between the stops."""
    place = float(np.clip(share, 0, 1)) * (len(STOPS) - 1)
    low = min(int(place), len(STOPS) - 2)
    a, b = (np.array([int(s[i : i + 2], 16) for i in (1, 3, 5)]) for s in (STOPS[low], STOPS[low + 1]))
    mixed = np.rint(a + (b - a) * (place - low)).astype(int)
    return "#{:02x}{:02x}{:02x}".format(*mixed.tolist())


def mean_shape_svg(
    shape: Array, error: Array, top: float, *, skeleton: Array, names: Sequence[str], unit: str, label: str
) -> str:
    """One method's panel.

    Parameters
    ----------
    shape : (K, 2) in the errors' unit, NaN = never labelled
    error : (K,)
    top : the error that gets the last colour, the same for all panels
    skeleton : (E, 2) int
    unit : "%" (errors are shown times 100) or "px"
    label : read out instead of the picture

    Returns
    -------
    str
        Empty when the shape has no point.
    """
    seen = np.atleast_1d(np.isfinite(shape).all(axis=1))
    if not seen.any():
        return ""
    low, high = shape[seen].min(0), shape[seen].max(0)
    scale = 0.8 * _SIDE / max(float((high - low).max()), 3 * float(np.nan_to_num(error).max()), 1e-9)
    at = (shape - (low + high) / 2) * scale
    height = max(40.0, float((high - low)[1]) * scale + 0.2 * _SIDE)
    parts = [
        f'<svg class="shape" role="img" aria-label="{escape(label)}"'
        f' viewBox="{-_SIDE / 2:g} {-height / 2:.1f} {_SIDE:g} {height:.1f}">'
    ]
    for i, j in np.asarray(skeleton, int).reshape(-1, 2):
        if seen[i] and seen[j]:
            (x1, y1), (x2, y2) = at[i], at[j]
            parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
    factor = 100.0 if unit == "%" else 1.0
    for k in np.argsort(-np.nan_to_num(error)):
        if not (seen[k] and np.isfinite(error[k])):
            continue
        radius = min(max(float(error[k]) * scale, 1.2), _SIDE / 3)
        color = color_of(error[k] / top if top > 0 else 0)
        parts.append(
            f'<circle cx="{at[k, 0]:.1f}" cy="{at[k, 1]:.1f}" r="{radius:.1f}" fill="{color}">'
            f"<title>{escape(names[k])}: {factor * error[k]:.2f} {unit}</title></circle>"
        )
    return "".join(parts) + "</svg>"
