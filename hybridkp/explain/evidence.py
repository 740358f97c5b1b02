"""Everything that a fitted detector can say of one crop, asked once and kept: the page's numbers.

Models are walked through what they hold; each is asked what it promises (``structures``).  Nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..structures import (
    Array,
    Contributing,
    Contributions,
    Detector,
    Holds,
    InputError,
    InputGradients,
    Message,
    Messages,
    ScoreMaps,
    Stage,
    Voice,
    Voices,
    short_repr,
    stages_of,
    supports,
)
from .hiding import Deletion, deletion_test, occlusion, on_grid

STRIDE = 2  #: crop px per px of a map


class Evidence(NamedTuple):
    """One answer to the question which pixels decided about a landmark."""

    name: str
    words: str  #: how it was come by
    map: Array  #: (G, G), not negative: how much each cell counted
    deletion: Deletion  #: of this landmark alone
    parts: Contributions | None = None  #: where it is exact


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation:
    """What :func:`explain` found; points are in crop px."""

    crop: Array  #: (H, W, 3) uint8
    names: Sequence[str]  #: of the K landmarks
    landmark: int  #: the one that is looked into
    xy: Array  #: (K, 2)
    score: Array  #: (K,)
    stages: Sequence[Stage]
    voices: Sequence[tuple[str, Sequence[Voice]]]  #: name of each combination, and its members
    maps: Array | None  #: (K, h, w), where the model or a part of it has score maps
    maps_of: str  #: the way to that part; empty for the model itself
    occlusion: Array  #: (K, G, G) px
    deletion: Deletion  #: of the occlusion maps, all landmarks
    evidence: Sequence[Evidence]  #: of the landmark, occlusion first
    messages: Sequence[Message]  #: of its neighbours, where a tree is used

    __repr__ = short_repr


def explain(
    model: Any,
    crop: Array,
    landmark: int | str | None = None,
    names: Sequence[str] | None = None,
    random_state: int = 0,
) -> Explanation:
    """Ask a fitted detector about one crop: what it found, on which way, and because of which pixels.

    Parameters
    ----------
    model : a fitted detector of this library or any other that keeps :class:`hybridkp.structures.Detector`
    crop : (H, W[, 3]) uint8, of the size of the fit
    landmark : its number from 0 or its name; None takes the one that the model is surest of
    names : of the landmarks; numbers, where nobody knows
    random_state : of the random cells of the deletion tests

    Raises
    ------
    InputError
        For a landmark that is not there, and for what is no detector of crops.
    """
    check_detector(model)
    crop = np.asarray(crop)
    xy, score = (rows[0] for rows in model.predict_with_score(crop[None]))
    called = tuple(names or (f"point{i}" for i in range(len(xy))))
    chosen = _number(landmark, called, score)
    hidden = occlusion(model, crop)
    maps_of, maps = maps_inside(model, crop)
    tree = next((m for _, m in inside(model) if supports(m, Messages)), None)
    return Explanation(
        crop=crop,
        names=called,
        landmark=chosen,
        xy=xy,
        score=score,
        stages=stages_of(model, crop[None], "prediction"),
        voices=[(n, m.voices(crop[None])) for n, m in inside(model) if supports(m, Voices)],
        maps=maps,
        maps_of=maps_of,
        occlusion=hidden,
        deletion=deletion_test(model, crop, hidden, random_state=random_state),
        evidence=list(_evidence(model, crop, chosen, hidden, random_state)),
        messages=[] if tree is None else tree.messages(crop[None], chosen),
    )


def check_detector(model: Any) -> None:
    """:class:`InputError` for what does not predict landmarks in crops."""
    if not supports(model, Detector):
        raise InputError(f"{type(model).__name__}: only detectors of landmarks in crops can be explained")


def inside(model: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The model and, depth first, whatever it holds, each with its way there."""
    yield name, model
    if supports(model, Holds):
        for inner, held in model.held():
            yield from inside(held, f"{name}, {inner}" if name else inner)


def maps_inside(model: Any, crop: Array) -> tuple[str, Array | None]:
    """The score maps (K, h, w) of the outermost part that has some, and the way to it; None without any."""
    for name, part in inside(model):
        if supports(part, ScoreMaps):
            stride = {} if supports(part, Messages) else {"stride": STRIDE}  # a tree has one of its own
            return name, part.score_maps(crop[None], **stride)[0]
    return "", None


def _number(landmark: int | str | None, names: Sequence[str], score: Array) -> int:
    if landmark is None:
        return int(np.argmax(np.nan_to_num(score)))
    if isinstance(landmark, str) and landmark in names:
        return names.index(landmark)
    try:
        number = int(landmark)
    except ValueError:
        number = -1
    if not 0 <= number < len(names):
        known = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise InputError(f"no landmark {landmark!r}: give 0 to {len(names) - 1}, or a name ({known})")
    return number


def _evidence(model: Any, crop: Array, k: int, hidden: Array, random_state: int) -> Iterator[Evidence]:
    def tested(name: str, words: str, cells: Array, parts: Contributions | None = None) -> Evidence:
        both = deletion_test(model, crop, cells[None], [k], random_state=random_state)
        return Evidence(name, words, cells, both, parts)

    yield tested("Occlusion", "how far hiding the surroundings of a cell pushes the point", hidden[k])
    for name, part in inside(model):
        where = f" ({name})" if name else ""
        if supports(part, Contributing):
            found = part.contributions(crop, k)
            cells = on_grid(spread(found, np.abs(found.value), crop.shape[:2]))
            yield tested(f"Exact parts{where}", f"what each cell adds to the {found.what}", cells, found)
        if supports(part, InputGradients):
            pixels = part.input_gradients(crop[None], k)[0]
            words = "how far the point would move if a pixel changed by one grey level"
            yield tested(f"Input gradients{where}", words, on_grid(pixels))


def spread(parts: Contributions, value: Array, size_hw: tuple[int, ...]) -> Array:
    """Values (N,) of square places as amounts per pixel (H, W); what lies outside of the crop is lost."""
    half = parts.side_px / 2

    def share(centre: Array, length: int) -> Array:
        """(N, length) how much of a place's side lies on each pixel; 1 in all."""
        low, high = centre[:, None] - half, centre[:, None] + half
        at = np.arange(length)
        return np.maximum(np.minimum(high, at + 0.5) - np.maximum(low, at - 0.5), 0) / parts.side_px

    rows, columns = share(parts.xy[:, 1], size_hw[0]), share(parts.xy[:, 0], size_hw[1])
    out: Array = (rows * np.asarray(value)[:, None]).T @ columns
    return out
