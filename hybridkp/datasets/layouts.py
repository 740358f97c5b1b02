"""The rules that recognise the landmark sets of :mod:`.schemes`, and what names alone tell.

A scheme fixes what a file often leaves out: which landmark mirrors into which, by what length
errors are divided, the OKS constants.  Nothing is guessed silently: what was recognised stands
in ``Dataset.flip``, ``.sigmas`` and ``.normalizer``, and ``hybridkp data info`` shows it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import numpy as np

from ..structures import Array, InputError, Normalizer
from .schemes import LAYOUTS, Layout


def recognise(landmarks: Sequence[str], category: str = "") -> Layout | None:
    """The known scheme with these landmark names in this order, or None.

    Names count without case, blanks, ``-`` and ``_``.  Sets of face points without official names (68, 98,
    106, 29) are recognised by their number, in a category whose name contains "face", unless the names carry
    a left/right word (then it is another scheme).
    """
    plain = [_plain(name) for name in landmarks]
    face = "face" in category.lower()
    for layout in LAYOUTS:
        if plain == [_plain(name) for name in layout.landmarks] and (face or not _is_numbered(layout)):
            return layout
    sided = any(_mirrored_name(name) for name in landmarks)
    unnamed = (layout for layout in LAYOUTS if _is_numbered(layout) and len(layout.landmarks) == len(plain))
    return next(unnamed, None) if face and not sided else None


def named(k: int, category: str = "") -> Layout | None:
    """The usual set of ``k`` landmarks of a category, for files that name none; else None.

    >>> named(17, "person").name, named(21, "hands").name, named(17, "zebra") is None
    ('coco-17', 'hand-21', True)
    """
    word = category.lower()
    of_kind = (s for s in LAYOUTS if len(s.landmarks) == k and s.category in word)
    return next(of_kind, None)


def names_for(k: int, category: str = "") -> tuple[str, ...]:
    """K names where the file has none: the usual set of that size for the category, else p0, p1, ..."""
    layout = named(k, category)
    return layout.landmarks if layout else tuple(f"p{i}" for i in range(k))


def _is_numbered(layout: Layout) -> bool:
    return layout.landmarks[0] == "p0"


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]", "", name.lower())


#: what marks a side in a name: a whole word left/right, a single l/r set off by _ - or blank, or a
#: capital L/R before a capitalised word (LShoulder)
_SIDE_RULES = (
    re.compile(r"(?:(?<=[^a-z])|^)(left|right)(?=[^a-z]|$)", re.IGNORECASE),
    re.compile(r"(?:(?<=[_\-\s.])|^)(l|r)(?=[_\-\s.\d]|$)", re.IGNORECASE),
    re.compile(r"(Left|Right)(?=[A-Z_]|$)"),
    re.compile(r"^(L|R)(?=[A-Z][a-z])"),
    re.compile(r"^(left|right)(?=[A-Z])"),
)
#: what may mark a side (leftear, earleft, wingL, legL4) or not (leftover): believed where the partner is
_PERHAPS = (
    re.compile(r"^(left|right)(?=[a-z])", re.IGNORECASE),
    re.compile(r"(?<=[a-z])(left|right)$", re.IGNORECASE),
    re.compile(r"(?<=[a-z])(L|R)(?=[\d_\-\s.]|$)"),
)


_OPPOSITE = {"left": "right", "right": "left", "l": "r", "r": "l"}


def _mirrored_name(name: str, there: Collection[str] = ()) -> str | None:
    """The name with every side word swapped, in lower case; None when it has none. ``there``: all names."""
    for pattern in _SIDE_RULES + _PERHAPS:
        swapped, count = pattern.subn(lambda found: _OPPOSITE[found.group(1).lower()], name)
        if count and (pattern in _SIDE_RULES or swapped.lower() in there):
            return swapped.lower()
    return None


def infer_flip(landmarks: Sequence[str]) -> Array | None:
    """(K,) mirror permutation from left/right in the names, or None when that cannot be trusted.

    ``left_eye``/``right_eye``, ``eye_l``/``eye_r``, ``LEye``/``REye``, ``leftEye``/``rightEye``,
    ``lefteye``/``righteye``, ``eyeL``/``eyeR``.
    None when no name carries a side, when a partner is missing, or when two names collide: then
    nobody mirrors, which costs some accuracy but never teaches a wrong anatomy.

    >>> infer_flip(["nose", "left_eye", "right_eye"]).tolist()
    [0, 2, 1]
    >>> infer_flip(["p0", "p1"]) is None
    True
    """
    index = {name.lower(): k for k, name in enumerate(landmarks)}
    if len(index) < len(landmarks):
        return None
    partners = [_mirrored_name(name, index) for name in landmarks]
    if not any(partners) or any(p is not None and p not in index for p in partners):
        return None
    flip = np.array([k if p is None else index[p] for k, p in enumerate(partners)])
    return flip if np.array_equal(flip[flip], np.arange(len(flip))) else None


def parse_normalizer(value: object, landmarks: Sequence[str], where: str) -> Normalizer:
    """``info.normalizer`` of a file: "box", "pixel", "mm", ["box"], ["points", i, j] (indices or names)."""
    parts = [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else []
    if len(parts) == 1 and parts[0] in ("box", "pixel", "mm"):
        return (parts[0],)
    if len(parts) == 3 and parts[0] == "points":
        ends = [list(landmarks).index(p) if p in landmarks else p for p in parts[1:]]
        if all(isinstance(e, int) and 0 <= e < len(landmarks) for e in ends) and ends[0] != ends[1]:
            return ("points", int(ends[0]), int(ends[1]))
    raise InputError(
        f'{where}: normalizer {value!r} is none of ["box"], ["pixel"], ["mm"], ["points", i, j] with 0-based'
        f" landmark indices below {len(landmarks)} or names"
    )
