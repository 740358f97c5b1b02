"""Each landmark's error beside the distance of two annotators: where labels, and not methods, are the limit.

Numbers of stored predictions come in, a small table comes out; nothing where nobody labelled twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...metrics import per_landmark_error
from ..cells import Grid, number
from .scores import Scores, Truth, landmark_errors

SECOND = "two annotators"


def agreement_grid(truth: Truth, scores: Sequence[Scores], most: int = 6) -> Grid | None:
    """A line a landmark, those first at which the annotators differ most; a column each for them and methods.

    Marked are landmarks at which a method is no further from the first annotator than the second one is.
    """
    both = truth.objects.has("second")
    if not both.any():
        return None
    apart = per_landmark_error(truth.xy[both], truth.objects.second[both], truth.lengths[both])
    factor, unit = truth.error_unit
    order = [k for k in np.argsort(-np.nan_to_num(apart, nan=-1.0)) if np.isfinite(apart[k])]
    shown = list(scores)[:most]
    errors = {SECOND: apart, **{s.method: landmark_errors(truth, s) for s in shown}}
    names = truth.dataset.landmarks
    lines = tuple(
        (names[k], tuple((number(factor * float(error[k]), 2), "") for error in errors.values()))
        for k in order
    )
    near = [frozenset(names[k] for k in order if error[k] <= apart[k]) for error in errors.values()]
    return Grid(f"Mean error, {unit}", tuple(errors), lines, (frozenset(), *near[1:]))
