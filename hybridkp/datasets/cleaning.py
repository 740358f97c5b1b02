"""What no run can use is left out of a data set, by rules that are stated here.

Kept is what merely says nothing, such as empty text, silence or a hole in depth: rows of features have a rule
for it.  Each picture is decoded once, none is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import replace

import numpy as np

from ..structures import Dataset, InputError, Instance, Sample
from ..structures.base import Progress
from .linter.pixels import other_size, pixels_digest
from .lookup import path_of

Parts = list[tuple[str | None, Dataset]]
STEPS = 20  #: of the progress that is told


def cleaned(
    parts: Sequence[tuple[str | None, Dataset]], progress: Progress | None = None
) -> tuple[Parts, str]:
    """The splits without pictures that stop a run or make a figure wrong; how many of each kind, in words.

    Left out, by the first rule that applies: a picture that cannot be read; one of another size than its
    annotation says; one whose pixels are those of a picture that is kept, of any split; one whose depth or
    sound cannot be read; one whose depth has another size.  A file that one split lists again with other
    objects is no other picture: its objects are put together.
    """
    seen, out, added = dict[str, tuple[int, int]](), [], 0
    count, done, total = Counter[str](), 0, sum(len(part) for _, part in parts)
    for number, (split, part) in enumerate(parts):
        kept: list[Sample] = []
        for sample in part:
            shows, wrong = _fault_of(sample, seen)
            at = seen.get(shows, (-1, -1))
            if at[0] == number and (more := _further(kept[at[1]], sample)):
                kept[at[1]], wrong, added = more, "", added + 1
            elif wrong:
                count[wrong] += 1
            else:
                seen[shows] = number, len(kept)
                kept.append(sample)
            done += 1
            tell(progress, "looked at", done, total)
        if not kept:
            raise InputError(f"{part.name}: nothing is left: {_words(count)}")
        out.append((split, replace(part, samples=tuple(kept))))
    together = f"put together the objects of {added} pictures that were listed again" if added else ""
    return out, ", ".join(filter(None, [f"left out {_words(count)}" if count else "", together]))


def tell(progress: Progress | None, what: str, done: int, total: int) -> None:
    """Tell of every twentieth part, and of the end."""
    if progress is not None and (done == total or done % max(total // STEPS, 1) == 0):
        progress(what, done, total)


def _words(count: dict[str, int]) -> str:
    return ", ".join(f"{n} pictures {what}" for what, n in count.items())


def _further(kept: Sample, again: Sample) -> Sample | None:
    """The kept sample with the objects that another listing of its file has besides; None: it has none."""
    if path_of(kept.load) is None or path_of(kept.load) != path_of(again.load):
        return None
    known = {_facts(i) for i in kept.instances}
    new = tuple(i for i in again.instances if _facts(i) not in known)
    return replace(kept, instances=(*kept.instances, *new)) if new else None


def _facts(instance: Instance) -> tuple[bytes, bytes]:
    return instance.xy.tobytes(), np.asarray(instance.box_xywh, float).tobytes()


def _fault_of(sample: Sample, seen: Container[str]) -> tuple[str, str]:
    """A digest of the pixels, "" where there are none, and what is wrong with the picture, "" for nothing."""
    try:
        image = sample.image
    except InputError:
        return "", "that cannot be read"
    if other_size(sample.size_hw, image.shape[:2]):
        return "", "of another size than annotated"
    shows = pixels_digest(image)
    return shows, "that were there before" if shows in seen else _fault_of_senses(sample)


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
