"""What kind a modality is, by its name: cut along with the picture, or one row a sample.

A **spatial** modality has the picture's height and width, and whoever moves the picture moves it by the
same map.  Of ``depth`` (mm, 0 = none) no two values are ever mixed, and outside the picture it is 0.  What
hangs on the sample alone passes as it is: ``sound`` (n,) float32, ``text`` a str.  ``words`` are text with
boxes, ((x0, y0, x1, y1, str), ...): the boxes' corners move along.  ``object`` is a ticket
(:mod:`.tickets`) that is made with the crop.  Never here: files, image processing, learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from .base import Array, InputError

SOUND_HZ = 16_000  #: samples a second of every ``sound``


class Modality(NamedTuple):
    """How rows of a modality are treated."""

    about: str
    spatial: bool = True  #: has the picture's size
    mixes: bool = True  #: the mean of two neighbouring pixels means something
    plain: bool = True  #: rows are arrays of numbers; else Python values in an object array


#: a name that is not here has the picture's size, and its pixels mix
MODALITIES = {
    "image": Modality("the picture, BGR or grey uint8"),
    "depth": Modality("distance in mm, 0 = none, uint16 or float32", mixes=False),
    "sound": Modality(f"float32 at {SOUND_HZ} Hz around the picture's time", spatial=False),
    "text": Modality("what is written or said, a str", spatial=False, plain=False),
    "object": Modality("a ticket that says which object a crop shows", spatial=False),
    "words": Modality("text with boxes, (x0, y0, x1, y1, str) each", spatial=False, plain=False),
}


def modality(name: str) -> Modality:
    """The kind of a modality.

    >>> modality("depth").mixes, modality("infrared").spatial
    (False, True)
    """
    return MODALITIES.get(name, Modality("has the picture's size"))


def stack_rows(name: str, rows: Sequence[Any]) -> Array:
    """(B, ...) of a modality's rows; (B,) object where they are no arrays.

    >>> stack_rows("words", [[[0, 0, 9, 4, "total"]], []])[0]
    ((0.0, 0.0, 9.0, 4.0, 'total'),)
    """
    if modality(name).plain:
        shapes = {np.shape(row) for row in rows}
        if len(shapes) > 1:
            raise InputError(f"{name}: rows of several sizes, {sorted(shapes)[:3]}; give all one size")
        return np.stack(list(rows))
    out = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        out[i] = row if isinstance(row, str) else tuple((*map(float, word[:4]), str(word[4])) for word in row)
    return out


@runtime_checkable
class SeesModalities(Protocol):
    """A detector that says which modalities it reads, it and all inside of it."""

    def seen_modalities(self) -> tuple[str, ...]:
        """Names, such as ("image", "depth")."""
        ...


def modalities_of(*estimators: Any) -> tuple[str, ...]:
    """All that estimators, and those inside of them, read; "image" comes first, whoever reads it."""
    return tuple(dict.fromkeys(["image", *(name for each in estimators for name in _seen(each))]))


def senses_of(estimator: Any) -> tuple[str, ...]:
    """What one detector reads; one that does not say, pictures."""
    return tuple(dict.fromkeys(_seen(estimator))) or ("image",)


def _seen(value: Any) -> list[str]:
    if isinstance(value, type):
        return []
    if isinstance(value, SeesModalities):
        return list(value.seen_modalities())
    if hasattr(value, "get_params"):
        inside = _seen(list(value.get_params(deep=False).values()))
        return inside or ["image"] * hasattr(value, "predict_with_score")
    if isinstance(value, dict):
        value = list(value.values())
    return [name for each in value for name in _seen(each)] if isinstance(value, list | tuple) else []
