"""The five errors that make every figure wrong, and the words for them: one place for linter and bench.

Pictures that cannot be read, that have another size than their annotation says, or that lie in two splits;
objects with another number of landmarks; landmarks without labels.  The linter decodes pictures, and so sees
the same pixels in other files; :func:`figure_errors` reads each file once and decodes none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...files import picture_facts
from ...structures import NOT_LABELLED, Array, Dataset, InputError
from ..lookup import path_of, refusal_of
from .findings import Finding, finding
from .pixels import OTHER_SIZE_CURE, Pictures, Print, same_pixels

RARE = 0.1  #: labelled share under which a landmark counts as rare
LEAK = "the test has been seen in training: every figure is too good, most of all the biggest model's"


def figure_errors(parts: Mapping[str, Dataset]) -> list[Finding]:
    """The five errors in the parts of a comparison, name -> data; empty where there are none.

    Linear in the number of pictures: each file is read once, for its header and a digest of its bytes, which
    is about a tenth of what decoding it takes.  Pictures that are no files are not looked at here; their
    sizes are compared when they are cut.  Of the judged part only what is there is asked: a landmark that
    it never labels costs nothing but its column.
    """
    found: list[Finding] = []
    prints: list[Print] = []
    for number, (part, dataset) in enumerate(parts.items()):
        pictures = read_headers(dataset, part)
        prints += pictures.prints
        found += picture_errors(pictures, part)
        if wrong := wrong_k(dataset, part):
            found += wrong
        elif number == 0 or not labelled_share(dataset).any():
            found += never_labelled(dataset, part)
    return found + [f for f in doubles(same_pixels(prints), "same-picture") if f.severity == "error"]


def read_headers(dataset: Dataset, split: str) -> Pictures:
    """What :func:`~.pixels.read_prints` finds, by headers and bytes alone; ``changed`` stays empty."""
    out = Pictures([], [], [], [], [])
    nothing = np.zeros(0)
    for sample in dataset:
        path = path_of(sample.load)
        try:
            if refusal := refusal_of(sample.load):
                raise InputError(refusal)
            if path is None:
                continue
            size_hw, digest = picture_facts(path)
        except InputError as error:
            out.unreadable.append((sample.name, str(error)))
            continue
        out.compare(sample.name, sample.size_hw, size_hw)
        out.prints.append(Print(split, sample.name, sample.group, digest, nothing, nothing))
    return out


def picture_errors(pictures: Pictures, split: str) -> list[Finding]:
    """Pictures that cannot be read, or have another size than their annotation says."""
    out = []
    for code, names, what, effect, cure in (
        (
            *("unreadable-picture", [why for _, why in pictures.unreadable], "pictures cannot be read"),
            *("the run stops there", "restore the files or remove their entries"),
        ),
        (
            *("turned-picture", pictures.turned),
            "pictures have width and height exchanged against the annotation (EXIF orientation?)",
            "points lie in another frame than the pixels: every error there is huge",
            "turn the pixels for good and drop the EXIF tag, or annotate the picture as shown",
        ),
        (
            *("wrong-size", pictures.resized),
            "pictures have another size than the annotation says",
            "points are scaled against the pixels",
            OTHER_SIZE_CURE,
        ),
    ):
        if names:
            out.append(finding("error", code, f"{split}: {len(names)} {what}", effect, names, cure))
    return out


def wrong_k(dataset: Dataset, split: str) -> list[Finding]:
    """Objects whose number of landmarks is not the data set's (made in Python: readers refuse them)."""
    k = len(dataset.landmarks)
    return k_finding([s.name for s in dataset for i in s.instances if len(i.xy) != k], split)


def k_finding(names: Sequence[str], split: str) -> list[Finding]:
    if not names:
        return []
    message = f"{split}: {len(names)} instances with another number of landmarks"
    effect = "columns would be compared with other landmarks: the file is refused"
    cure = "give every instance all landmarks, v = 0 where one is missing"
    where = [f"{split} {name}" for name in dict.fromkeys(names)]
    return [finding("error", "wrong-k", message, effect, where, cure)]


def never_labelled(dataset: Dataset, split: str) -> list[Finding]:
    """Landmarks that no object labels."""
    share = labelled_share(dataset)
    return label_finding(dataset, split, share, share == 0, "error")


#: severity -> code, what, effect
_LABELS = {
    "error": ("never-labelled", "never labelled", "no method can learn it or be judged on it"),
    "warning": (
        *("rarely-labelled", f"labelled in under {RARE:.0%} of the instances"),
        "its error rests on few examples: noisy, and learned badly",
    ),
}


def label_finding(dataset: Dataset, split: str, share: Array, hit: Array, severity: str) -> list[Finding]:
    """Landmarks (K,) bool that too few objects label, with the share (K,) that does."""
    if not hit.any():
        return []
    code, what, effect = _LABELS[severity]
    names = [f"{dataset.landmarks[k]} ({share[k]:.0%})" for k in np.flatnonzero(hit)]
    message = f"{split}: {hit.sum()} landmarks {what}"
    return [finding(severity, code, message, effect, names, "label more, or drop the landmark")]


def labelled_share(dataset: Dataset) -> Array:
    """(K,) share of the objects that label each landmark."""
    rows = [i.visibility > NOT_LABELLED for s in dataset for i in s.instances]
    return np.mean(rows, axis=0) if rows else np.zeros(len(dataset.landmarks))


def doubles(pairs: Sequence[tuple[Print, Print]], code: str) -> list[Finding]:
    """Pictures that occur twice, told once for all groups (films, photographs) that they join.

    Pictures of one group in one split are left alone: that is what groups are for.
    """
    what = {"same-picture": "have the pixels of one", "look-alikes": "look like one"}[code]
    across, within = [], []
    for a, b in pairs:
        if a.split != b.split:
            across.append((a, b))
        elif a.group != b.group:
            within.append((a, b))
    out, worst = [], "error" if code == "same-picture" else "warning"
    twice = "they count double, and inner splits may part them: give them one group"
    for found, where, severity, end, effect in (
        (across, "of another split", worst, "-across-splits", LEAK),
        (within, "of another group", "warning", "", twice),
    ):
        if found:
            names = [_example(pairs) for pairs in _joined(found)]
            count = len({(b.split, b.name) for _, b in found})
            sets = f" (sets of groups that they join: {len(names)})" if len(names) < count else ""
            message = f"{count} pictures {what} {where}{sets}"
            out.append(finding(severity, code + end, message, effect, names, "keep one of each"))
    return out


def _joined(pairs: Sequence[tuple[Print, Print]]) -> list[list[tuple[Print, Print]]]:
    """The pairs by sets of groups that they join."""
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while root.setdefault(name, name) != name:
            root[name] = name = root[root[name]]
        return name

    for a, b in pairs:
        root[find(b.group)] = find(a.group)
    out: dict[str, list[tuple[Print, Print]]] = {}
    for a, b in pairs:
        out.setdefault(find(a.group), []).append((a, b))
    return list(out.values())


def _example(pairs: Sequence[tuple[Print, Print]]) -> str:
    (a, b), others = pairs[0], len({p.name for _, p in pairs}) - 1
    return f"{a.split}/{a.name} = {b.split}/{b.name}" + (f" and {others} more" if others else "")
