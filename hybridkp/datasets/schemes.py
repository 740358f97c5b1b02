"""The field's usual landmark sets, as plain data: names, skeletons, mirror pairs, normalisers, OKS sigmas.

Each set names its source.  Nothing is recognised here: that is :mod:`.layouts`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..structures import Array, Normalizer


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


def _chains(text: str) -> tuple[tuple[int, int], ...]:
    """``0-16 36-41o``: landmarks 0 to 16 in a row, and 36 to 41 in a ring."""
    edges: list[tuple[int, int]] = []
    for part in text.split():
        first, last = map(int, part.rstrip("o").split("-"))
        edges += [(i, i + 1) for i in range(first, last)] + [(last, first)] * part.endswith("o")
    return tuple(edges)


#: Sagonas et al. 2013, "300 Faces in-the-Wild Challenge": the jaw from the person's right ear to the left,
#: brows, nose, eyes, outer and inner lips.  Errors are divided by the distance of the outer eye corners.
IBUG_68 = Layout(
    name="ibug-68",
    landmarks=tuple(f"p{i}" for i in range(68)),
    category="face",
    skeleton=_chains("0-16 17-21 22-26 27-30 31-35 36-41o 42-47o 48-59o 60-67o"),
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


def _facing(first: int, last: int) -> tuple[tuple[int, int], ...]:
    """Mirror pairs of a run that is symmetric about its middle."""
    return tuple((first + i, last - i) for i in range((last - first + 1) // 2))


def _numbered(k: int) -> tuple[str, ...]:
    return tuple(f"p{i}" for i in range(k))


def _shifted(pairs: tuple[tuple[int, int], ...], by: int) -> tuple[tuple[int, int], ...]:
    return tuple((a + by, b + by) for a, b in pairs)


#: Andriluka et al. 2014, "2D Human Pose Estimation: New Benchmark".  Its own measure is PCKh; the sigmas are
#: MMPose's, adapted from COCO's.
MPII_16 = Layout(
    name="mpii-16",
    landmarks=(
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis"),
        *("thorax", "upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder"),
        *("left_shoulder", "left_elbow", "left_wrist"),
    ),
    category="person",
    skeleton=(
        *((0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (8, 12), (12, 11)),
        *((11, 10), (8, 13), (13, 14), (14, 15)),
    ),
    mirror_pairs=((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)),
    normalizer=("points", 8, 9),
    sigmas=(
        *(0.089, 0.083, 0.107, 0.107, 0.083, 0.089, 0.026, 0.026, 0.026, 0.026, 0.062, 0.072, 0.179, 0.179),
        *(0.072, 0.062),
    ),
)

_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_HAND_SIGMAS = (
    *(0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024, 0.022, 0.026, 0.017),
    *(0.021, 0.021, 0.032, 0.02, 0.019, 0.022, 0.031),
)
_HAND_BONES = tuple((0 if n == 0 else 4 * f + n, 4 * f + n + 1) for f in range(5) for n in range(4))

#: One hand: wrist, then four joints a finger from palm to tip, as in OneHand10K (Wang et al. 2018), FreiHAND
#: and MediaPipe.  A mirrored hand is the other hand, so every landmark stays itself.  Sigmas: WholeBody's.
HAND_21 = Layout(
    name="hand-21",
    landmarks=("wrist", *(f"{finger}{n}" for finger in _FINGERS for n in range(1, 5))),
    category="hand",
    skeleton=_HAND_BONES,
    mirror_pairs=(),
    normalizer=("box",),
    sigmas=_HAND_SIGMAS,
)

#: Jin et al. 2020, "Whole-Body Human Pose Estimation in the Wild": COCO's 17, 6 of the feet, the 68 of the
#: face, 21 of each hand.  The sigmas are its official evaluation's.
WHOLE_BODY_133 = Layout(
    name="coco-wholebody-133",
    landmarks=(
        *COCO_17.landmarks,
        *(f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")),
        *(f"face-{i}" for i in range(68)),
        *(
            f"{side}_{'hand_root' if name == 'wrist' else name}"
            for side in ("left", "right")
            for name in HAND_21.landmarks
        ),
    ),
    category="person",
    skeleton=(
        *COCO_17.skeleton,
        *((15, 17), (15, 18), (15, 19), (16, 20), (16, 21), (16, 22)),
        *_shifted(IBUG_68.skeleton, 23),
        *((9, 91), (10, 112)),
        *_shifted(_HAND_BONES, 91),
        *_shifted(_HAND_BONES, 112),
    ),
    mirror_pairs=(
        *COCO_17.mirror_pairs,
        *((17, 20), (18, 21), (19, 22)),
        *_shifted(IBUG_68.mirror_pairs, 23),
        *((91 + i, 112 + i) for i in range(21)),
    ),
    normalizer=("box",),
    sigmas=(
        *(COCO_17.sigmas or ()),
        *(0.068, 0.066, 0.066, 0.092, 0.094, 0.094),
        *(0.042, 0.043, 0.044, 0.043, 0.040, 0.035, 0.031, 0.025, 0.020, 0.023, 0.029, 0.032, 0.037, 0.038),
        *(0.043, 0.041, 0.045, 0.013, 0.012, 0.011, 0.011, 0.012, 0.012, 0.011, 0.011, 0.013, 0.015, 0.009),
        *(0.007, 0.007, 0.007, 0.012, 0.009, 0.008, 0.016, 0.010, 0.017, 0.011, 0.009, 0.011, 0.009, 0.007),
        *(0.013, 0.008, 0.011, 0.012, 0.010, 0.034, 0.008, 0.008, 0.009, 0.008, 0.008, 0.007, 0.010, 0.008),
        *(0.009, 0.009, 0.009, 0.007, 0.007, 0.008, 0.011, 0.008, 0.008, 0.008, 0.01, 0.008),
        *_HAND_SIGMAS,
        *_HAND_SIGMAS,
    ),
)

#: Yu et al. 2021, "AP-10K".  The paper gives no sigmas; these are MMPose's, adapted from COCO's.
AP10K_17 = Layout(
    name="ap10k-17",
    landmarks=(
        *("left_eye", "right_eye", "nose", "neck", "root_of_tail", "left_shoulder", "left_elbow"),
        *("left_front_paw", "right_shoulder", "right_elbow", "right_front_paw", "left_hip", "left_knee"),
        *("left_back_paw", "right_hip", "right_knee", "right_back_paw"),
    ),
    category="animal",
    skeleton=(
        *((0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (5, 6), (6, 7), (3, 8), (8, 9), (9, 10)),
        *((4, 11), (11, 12), (12, 13), (4, 14), (14, 15), (15, 16)),
    ),
    mirror_pairs=((0, 1), (5, 8), (6, 9), (7, 10), (11, 14), (12, 15), (13, 16)),
    normalizer=("box",),
    sigmas=(
        *(0.025, 0.025, 0.026, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107),
        *(0.087, 0.087, 0.089, 0.089),
    ),
)

_BROWS = (*((33 + i, 46 - i) for i in range(5)), *((38 + i, 50 - i) for i in range(4)))

#: Wu et al. 2018, "Look at Boundary" (WFLW).  Errors are divided by the distance of the outer eye corners.
WFLW_98 = Layout(
    name="wflw-98",
    landmarks=_numbered(98),
    category="face",
    skeleton=_chains("0-32 33-41o 42-50o 51-54 55-59 60-67o 68-75o 76-87o 88-95o"),
    mirror_pairs=(
        *_facing(0, 32),
        *_BROWS,
        *_facing(55, 59),
        *((60 + i, 72 - i) for i in range(5)),
        *((65 + i, 75 - i) for i in range(3)),
        *(*_facing(76, 82), *_facing(83, 87), *_facing(88, 92), (93, 95), (96, 97)),
    ),
    normalizer=("points", 60, 72),
)

#: Liu et al. 2020, "A New Dataset and Boundary-Attention Semantic Segmentation for Face Parsing" (LaPa, and
#: JD-landmark).  Errors are divided by the distance of the outer eye corners.
LAPA_106 = Layout(
    name="lapa-106",
    landmarks=_numbered(106),
    category="face",
    skeleton=_chains("0-32 33-41o 42-50o 51-54 55-65 66-73o 75-82o 84-95o 96-103o"),
    mirror_pairs=(
        *_facing(0, 32),
        *_BROWS,
        *_facing(55, 65),
        *((66 + i, 79 - i) for i in range(5)),
        *((71, 82), (72, 81), (73, 80), (74, 83)),
        *(*_facing(84, 90), *_facing(91, 95), *_facing(96, 100), (101, 103), (104, 105)),
    ),
    normalizer=("points", 66, 79),
)

#: Burgos-Artizzu et al. 2013, "Robust Face Landmark Estimation under Occlusion" (COFW).
COFW_29 = Layout(
    name="cofw-29",
    landmarks=_numbered(29),
    category="face",
    skeleton=(),
    mirror_pairs=(
        *((0, 1), (2, 3), (4, 6), (5, 7), (8, 9), (10, 11), (12, 14), (13, 15), (16, 17), (18, 19), (22, 23)),
    ),
    normalizer=("points", 8, 9),
)

#: The five of WIDER FACE's detectors (RetinaFace, MTCNN, YuNet), sides as in the picture.
FACE_5 = Layout(
    name="face-5",
    landmarks=("left_eye", "right_eye", "nose", "left_mouth", "right_mouth"),
    category="face",
    skeleton=((0, 1), (0, 2), (1, 2), (2, 3), (2, 4), (3, 4)),
    mirror_pairs=((0, 1), (3, 4)),
    normalizer=("points", 0, 1),
)

LAYOUTS: tuple[Layout, ...] = (
    *(IBUG_68, COCO_17, LSP_14, MPII_16, HAND_21, WHOLE_BODY_133, AP10K_17, WFLW_98, LAPA_106, COFW_29),
    FACE_5,
)
