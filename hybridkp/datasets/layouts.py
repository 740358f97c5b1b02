"""Facts about known landmark schemes, as plain data, and the rules that recognise them.

A scheme fixes what a file often leaves out: which landmark mirrors into which, by what length
errors are divided, the OKS constants.  Nothing is guessed silently: what was recognised stands
in ``Dataset.flip``, ``.sigmas`` and ``.normalizer``, and ``hybridkp data info`` shows it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..structures import Array, InputError, Normalizer


@dataclass(frozen=True)
class Layout:
    """A landmark scheme: K names, 0-based skeleton pairs, mirror pairs, normaliser, OKS sigmas."""

    name: str
    landmarks: tuple[str, ...]
    category: str
    skeleton: tuple[tuple[int, int], ...]
    mirror_pairs: tuple[tuple[int, int], ...]
    normalizer: Normalizer
    sigmas: tuple[float, ...] | None = None

    @property
    def flip(self) -> Array:
        """(K,) int; landmarks in no pair map to themselves."""
        flip = np.arange(len(self.landmarks))
        for left, right in self.mirror_pairs:
            flip[left], flip[right] = right, left
        return flip


def _chain(first: int, last: int, closed: bool = False) -> tuple[tuple[int, int], ...]:
    edges = tuple((i, i + 1) for i in range(first, last))
    return (*edges, (last, first)) if closed else edges


#: Sagonas et al. 2013, "300 Faces in-the-Wild Challenge": the jaw from the person's right ear to the left,
#: brows, nose, eyes, outer and inner lips.  Errors are divided by the distance of the outer eye corners.
IBUG_68 = Layout(
    name="ibug-68",
    landmarks=tuple(f"p{i}" for i in range(68)),
    category="face",
    skeleton=(
        *_chain(0, 16),
        *_chain(17, 21),
        *_chain(22, 26),
        *_chain(27, 30),
        *_chain(31, 35),
        *_chain(36, 41, True),
        *_chain(42, 47, True),
        *_chain(48, 59, True),
        *_chain(60, 67, True),
    ),
    mirror_pairs=(
        *((i, 16 - i) for i in range(8)),
        *((17 + i, 26 - i) for i in range(5)),
        *((31 + i, 35 - i) for i in range(2)),
        *((36 + i, 45 - i) for i in range(4)),
        *((40, 47), (41, 46)),
        *((48 + i, 54 - i) for i in range(3)),
        *((59, 55), (58, 56)),
        *((60, 64), (61, 63), (67, 65)),
    ),
    normalizer=("points", 36, 45),
)

#: Lin et al. 2014, "Microsoft COCO"; the sigmas are the official evaluation's.
COCO_17 = Layout(
    name="coco-17",
    landmarks=(
        *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
        *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
        *("left_knee", "right_knee", "left_ankle", "right_ankle"),
    ),
    category="person",
    skeleton=(
        *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8)),
        *((7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    ),
    mirror_pairs=tuple((i, i + 1) for i in range(1, 17, 2)),
    normalizer=("box",),
    sigmas=(
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062),
        *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ),
)

#: Johnson & Everingham 2010/2011, "Leeds Sports Pose" (Extended); errors are divided by the torso,
#: left shoulder to right hip.
LSP_14 = Layout(
    name="lsp-14",
    landmarks=(
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist"),
        *("right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top"),
    ),
    category="person",
    skeleton=(
        *((0, 1), (1, 2), (2, 8), (3, 4), (4, 5), (3, 9), (2, 3), (6, 7), (7, 8), (9, 10), (10, 11)),
        *((8, 12), (9, 12), (12, 13)),
    ),
    mirror_pairs=((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)),
    normalizer=("points", 9, 2),
)

LAYOUTS: tuple[Layout, ...] = (IBUG_68, COCO_17, LSP_14)


def recognise(landmarks: Sequence[str], category: str = "") -> Layout | None:
    """The known scheme with these landmark names in this order, or None.

    Names count without case, blanks, ``-`` and ``_``.  The 68 face points have no official names:
    any 68 landmarks of a category whose name contains "face", and no others, are taken for the
    iBUG layout, unless their names carry a left/right word (then it is another scheme).
    """
    plain = [_plain(name) for name in landmarks]
    for layout in LAYOUTS:
        same = plain == [_plain(name) for name in layout.landmarks]
        if same and (layout is not IBUG_68 or "face" in category.lower()):
            return layout
    sided = any(_mirrored_name(name) for name in landmarks)
    if len(plain) == 68 and "face" in category.lower() and not sided:
        return IBUG_68
    return None


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


_OPPOSITE = {"left": "right", "right": "left", "l": "r", "r": "l"}


def _mirrored_name(name: str) -> str | None:
    """The name with every side word swapped, in lower case; None when it has none."""
    for pattern in _SIDE_RULES:
        swapped, count = pattern.subn(lambda found: _OPPOSITE[found.group(1).lower()], name)
        if count:
            return swapped.lower()
    return None


def infer_flip(landmarks: Sequence[str]) -> Array | None:
    """(K,) mirror permutation from left/right in the names, or None when that cannot be trusted.

    ``left_eye``/``right_eye``, ``eye_l``/``eye_r``, ``LEye``/``REye``, ``leftEye``/``rightEye``.
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
    partners = [_mirrored_name(name) for name in landmarks]
    if not any(partners) or any(p is not None and p not in index for p in partners):
        return None
    flip = np.array([k if p is None else index[p] for k, p in enumerate(partners)])
    return flip if np.array_equal(flip[flip], np.arange(len(flip))) else None


def parse_normalizer(value: object, landmarks: Sequence[str], where: str) -> Normalizer:
    """``info.normalizer`` of a file: "box", "pixel", ["box"], ["points", i, j] (indices or names)."""
    parts = [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else []
    if len(parts) == 1 and parts[0] in ("box", "pixel"):
        return (parts[0],)
    if len(parts) == 3 and parts[0] == "points":
        ends = [list(landmarks).index(p) if p in landmarks else p for p in parts[1:]]
        if all(isinstance(e, int) and 0 <= e < len(landmarks) for e in ends) and ends[0] != ends[1]:
            return ("points", int(ends[0]), int(ends[1]))
    raise InputError(
        f'{where}: normalizer {value!r} is none of ["box"], ["pixel"], ["points", i, j] with 0-based'
        f" landmark indices below {len(landmarks)} or names"
    )
