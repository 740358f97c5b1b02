"""What no run can use is left out of a data set, by rules that are stated here.

Kept is what merely says nothing, such as empty text, silence or a hole in depth: rows of features have a rule
for it.  Each picture is decoded once, none is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..structures import Dataset, InputError, Sample
from .linter.pixels import other_size, pixels_digest

Parts = list[tuple[str | None, Dataset]]


def cleaned(parts: Sequence[tuple[str | None, Dataset]]) -> tuple[Parts, str]:
    """The splits without pictures that stop a run or make a figure wrong; how many of each kind, in words.

    Left out, by the first rule that applies: a picture that cannot be read; one of another size than its
    annotation says; one whose pixels are those of a picture that is kept, of any split; one whose depth or
    sound cannot be read; one whose depth has another size.
    """
    seen, count, out = set[str](), Counter[str](), []
    for split, part in parts:
        kept = []
        for number, sample in enumerate(part):
            wrong = _fault_of(sample, seen)
            count.update([wrong] if wrong else [])
            kept += [] if wrong else [number]
        if not kept:
            raise InputError(f"{part.name}: nothing is left: {_words(count)}")
        out.append((split, part.subset(kept)))
    return out, _words(count)


def _words(count: dict[str, int]) -> str:
    return ", ".join(f"{n} pictures {what}" for what, n in count.items())


def _fault_of(sample: Sample, seen: set[str]) -> str:
    """What is wrong with the picture; "" for nothing, and then its pixels are noted in ``seen``."""
    try:
        image = sample.image
    except InputError:
        return "that cannot be read"
    if other_size(sample.size_hw, image.shape[:2]):
        return "of another size than annotated"
    shows = pixels_digest(image)
    fault = "that were there before" if shows in seen else _fault_of_senses(sample)
    if not fault:
        seen.add(shows)
    return fault


def _fault_of_senses(sample: Sample) -> str:
    """What is wrong with what the picture has besides, "" for nothing."""
    for name in ("depth", "sound"):
        if name in sample.modalities:
            try:
                found = np.asarray(sample.modalities[name]())
            except InputError:
                return f"whose {name} cannot be read"
            if name == "depth" and other_size(sample.size_hw, found.shape[:2]):
                return "whose depth has another size"
    return ""
