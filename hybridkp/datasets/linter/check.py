"""The linter for annotated pictures: what is wrong, where, what it does to the score, how to mend it.

:func:`check_dataset` gives findings and prints nothing; an "error" makes scores wrong or stops the
reader, a "warning" probably does, a "note" is worth knowing.  What the reader mended is told by the
reader; numbers are counted here, pixels are looked at in :mod:`.pixels`, shapes in :mod:`.orientation`.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ...imaging.images import RangeWarning
from ...structures import NOT_LABELLED, Dataset, DataWarning, InputError
from ..layouts import infer_flip, recognise
from ..load import load_dataset, split_names
from ..repairs import AREA_RULE, CATEGORY_RULE, Mismatched, Repaired
from .appearance import better_place
from .depths import depths
from .errors import (
    LEAK,
    RARE,
    doubles,
    k_finding,
    label_finding,
    labelled_share,
    never_labelled,
    picture_errors,
)
from .findings import SEVERITIES, Finding, finding
from .orientation import swapped_sides
from .pixels import Pictures, Print, look_alikes, read_prints, same_pixels
from .scales import better_reading, objects_of, same_places, share_in_box, wrong_scale
from .senses import senses
from .unsaid import UNDIVIDED, boxes, groups, scheme

TINY = 32  #: px, the box's longer side under which an object counts as tiny


def check_dataset(path: str | Path, **options: Any) -> list[Finding]:
    """Everything suspicious about a data set, worst first.

    Parameters
    ----------
    path : whatever :func:`~hybridkp.datasets.load.load_dataset` takes
    options : the reader's, likewise

    Returns
    -------
    list of Finding
        Empty when nothing was found.  Problems of the files become findings, not exceptions;
        only a ``path`` that does not exist raises :class:`~hybridkp.structures.InputError`.
    """
    findings: list[Finding] = []
    loaded: dict[str, Dataset] = {}
    for split in split_names(path) or (None,):
        shown = split or UNDIVIDED
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", DataWarning)
                loaded[shown] = load_dataset(path, split, **options)
        except InputError as error:
            findings += _refused(error, shown)
        for warning in caught:
            findings += _mended(warning.message, shown)
    prints: list[Print] = []
    for split, dataset in loaded.items():
        findings += _annotations(dataset, split)
        pictures = read_prints(dataset, split)
        findings += _files(pictures, split)
        prints += pictures.prints
    findings += scheme(loaded) + _across(loaded, prints)
    return sorted(findings, key=lambda f: SEVERITIES.index(f.severity))


# --------------------------------------------------------------------------------------------
# what the reader said
# --------------------------------------------------------------------------------------------


def _refused(error: InputError, split: str) -> list[Finding]:
    out = [finding("error", "unreadable", str(error), "nothing can be scored", [split], "see the message")]
    return out + (k_finding(error.names, split) if isinstance(error, Mismatched) else [])


def _mended(warning: Warning | str, split: str) -> list[Finding]:
    """The reader's own words, and the objects behind them."""
    if not isinstance(warning, DataWarning):
        return []
    if isinstance(warning, RangeWarning):
        effect = "read by another rule than their file's, dark pictures would have lost their contrast"
        cure = "write 8-bit files, or 16-bit ones that use their range"
        return [finding("warning", "pixel-range", f"{split}: {warning}", effect, [split], cure)]
    repairs = warning.repairs if isinstance(warning, Repaired) else {}
    names = [name for rule in repairs for name in repairs[rule]]
    effect = "the reader's rules decided instead of the annotator: boxes and areas move crops and OKS"
    cure = "write the missing values into the file"
    out = [finding("warning", "repaired", str(warning), effect, _of(split, names) or [split], cure)]
    if lone := repairs.get(AREA_RULE):
        message = f"{split}: {len(lone)} objects without an area"
        effect = "OKS divides by the area: its rule decides the score, and other tools may count 0"
        cure = "write the object's area; else the area of the points' box is taken"
        out.append(finding("warning", "no-area", message, effect, _of(split, lone), cure))
    if wrong := repairs.get(CATEGORY_RULE):
        message = f"{split}: {len(wrong)} objects with keypoints in a category that lists none"
        effect = "they are neither learned from nor judged, and count as background"
        cure = "mend category_id, or give their category its keypoints"
        out.append(finding("warning", "wrong-category", message, effect, _of(split, wrong), cure))
    return out


def _of(split: str, names: Iterable[str]) -> list[str]:
    return [f"{split} {name}" for name in dict.fromkeys(names)]


# --------------------------------------------------------------------------------------------
# annotations
# --------------------------------------------------------------------------------------------


def _annotations(dataset: Dataset, split: str) -> list[Finding]:
    looks = (groups, boxes, _mirrors, _scales, _places, depths, senses)
    out = [found for look in looks for found in look(dataset, split)]
    rows = [(s.name, i) for s in dataset for i in s.instances]
    share = labelled_share(dataset)
    rare = (share > 0) & (share < RARE)
    out += never_labelled(dataset, split) + label_finding(dataset, split, share, rare, "warning")
    tiny = [name for name, i in rows if max(i.box_xywh[2:]) < TINY]
    if tiny:
        out.append(
            finding(
                *("note", "tiny", f"{split}: {len(tiny)} objects under {TINY} px"),
                "one pixel of annotation noise is several percent of such an object",
                *(tiny, "leave them out of the score, or report them apart"),
            )
        )
    suspects = swapped_sides(dataset)
    if suspects:
        out.append(
            finding(
                *("warning", "swapped-sides"),
                f"{split}: {len(suspects)} of {len(rows)} instances fit the mean shape better with left and"
                " right exchanged (people seen from behind look the same)",
                "left and right are taught wrong, and a right answer is scored as an error",
                *(suspects, "look at them; exchange the labels where they are wrong"),
            )
        )
    return out + _doubled(dataset, split)


def _scales(dataset: Dataset, split: str) -> list[Finding]:
    """Coordinates that are another thing than they should be, in many objects alike."""
    found = objects_of(dataset)
    if found is None:
        return []
    out = []
    places = same_places(found, dataset.landmarks)
    effect = "methods learn the slip, and true answers are scored as errors"
    for corner, severity, cure in (
        (True, "error", "write v = 0 for a landmark that is missing"),
        (False, "warning", "if that is no thing that stands still, write v = 0"),
    ):
        names = [words for in_corner, words in places if in_corner is corner]
        if names:
            message = f"{split}: {len(names)} landmarks lie in exactly one place in many objects"
            out.append(finding(severity, "one-place", message, effect, names, cure))
    if (share := share_in_box(found)) < 0.5:
        message = f"{split}: only {share:.0%} of the points lie in their object's box"
        cure = "boxes are x, y of the top-left corner, width, height, in px of the picture"
        out.append(finding("error", "box-elsewhere", message, effect, found.names, cure))
    for code, words, cure in (
        ("other-reading", better_reading(found), "write x, y, y down; boxes as x, y, width, height"),
        ("wrong-scale", wrong_scale(found), "write points in px of the picture, 0 at the first one's centre"),
    ):
        if words:
            out.append(finding("warning", code, f"{split}: {words}", effect, found.names, cure))
    if words := better_place(dataset):
        cure = "write points in px of the picture: x to the right, y down, as the pixels lie in the file"
        out.append(finding("warning", "other-place", f"{split}: {words}", effect, found.names, cure))
    return out


def _mirrors(dataset: Dataset, split: str) -> list[Finding]:
    """Mirror pairs against the words left and right in the landmarks' names, or against a known scheme."""
    layout = recognise(dataset.landmarks, dataset.category)
    named = layout.flip if layout else infer_flip(dataset.landmarks)
    if dataset.flip is None or named is None or np.array_equal(named, dataset.flip):
        return []
    wrong = [dataset.landmarks[k] for k in np.flatnonzero(named != dataset.flip)]
    message = f"{split}: flip_indices contradict the names of {len(wrong)} landmarks"
    effect = "mirrored pictures teach the wrong side: the worst slip for methods that mirror"
    return [
        finding("warning", "mirror-names", message, effect, wrong, "mend flip_indices, or leave them out")
    ]


def _places(dataset: Dataset, split: str) -> list[Finding]:
    """Points and boxes against the picture's frame."""
    outside, leaving = [], []
    at_end = at_zero = 0
    for sample in dataset:
        if sample.size_hw is None:
            continue
        size = np.array(sample.size_hw[::-1], float)
        for instance in sample.instances:
            xy = instance.xy[instance.visibility > NOT_LABELLED]
            beyond = np.maximum(-0.5 - xy, xy - size + 0.5).max(initial=-1)
            if beyond > 0:
                outside.append((float(beyond), f"{split}/{sample.name} (by {beyond:.1f} px)"))
            box = instance.box_xywh
            if (box[:2] < -1).any() or (box[:2] + box[2:] > size + 1).any():
                leaving.append(f"{split}/{sample.name}")
            at_end += int((xy == size).any(1).sum())
            at_zero += int((xy < 0.5).any(1).sum())
    out = []
    if outside:
        outside.sort(reverse=True)
        out.append(
            finding(
                *(
                    "warning",
                    "points-outside",
                    f"{split}: {len(outside)} instances with points outside the picture",
                ),
                "nobody can see them: errors there measure guessing",
                *([where for _, where in outside], "mark them v = 0, or keep the wider picture"),
            )
        )
    if leaving:
        out.append(
            finding(
                *(
                    "note",
                    "box-leaves",
                    f"{split}: {len(leaving)} boxes leave their picture by more than 1 px",
                ),
                "crops show repeated border pixels there; harmless if the detector's boxes do so too",
                *(leaving, "cut the boxes at the frame, or leave them"),
            )
        )
    if at_end and not at_zero:
        out.append(
            finding(
                *(
                    "warning",
                    "one-based",
                    f"{split}: {at_end} points lie exactly at x = W or y = H, none at 0",
                ),
                "points counted from 1 are all half to one pixel off: sub-pixel methods are punished most",
                *([split], "subtract 1 from every x and y if the tool counted from 1"),
            )
        )
    return out


def _doubled(dataset: Dataset, split: str) -> list[Finding]:
    """Two instances of one picture with the same points."""
    twice = []
    for sample in dataset:
        shapes = [i.xy for i in sample.instances if i.visibility.any()]
        for a in range(len(shapes)):
            for b in range(a):
                gap = np.hypot(*(shapes[a] - shapes[b]).T)
                known = np.isfinite(gap)
                if known.any() and np.array_equal(np.isfinite(shapes[a]), np.isfinite(shapes[b])):
                    twice += [f"{split}/{sample.name}"] * bool(gap[known].mean() < 1)
    repeated = [name for name, count in Counter(s.name for s in dataset).items() if count > 1]
    out = []
    for code, names, what in (
        ("doubled-instance", twice, "instances annotated twice (points within 1 px)"),
        ("doubled-name", repeated, "file names listed more than once"),
    ):
        if names:
            out.append(
                finding(
                    *("warning", code, f"{split}: {len(names)} {what}"),
                    "they count double in the score, and a detector answering once misses one",
                    *(names, "remove the second"),
                )
            )
    return out


# --------------------------------------------------------------------------------------------
# pictures, and splits against each other
# --------------------------------------------------------------------------------------------


def _files(pictures: Pictures, split: str) -> list[Finding]:
    out = picture_errors(pictures, split)
    if names := pictures.changed:
        message = f"{split}: {len(names)} pictures lose bits or a channel when read"
        effect, cure = (
            "they look other than their file says",
            "write 8-bit colour or grey, or 16 bits in full",
        )
        out.append(finding("warning", "pixel-range", message, effect, names, cure))
    return out


def _across(loaded: dict[str, Dataset], prints: list[Print]) -> list[Finding]:
    """Leaks between splits, and pictures that occur twice."""
    out = []
    homes: dict[str, set[str]] = {}
    for split, dataset in loaded.items():
        for sample in dataset:
            homes.setdefault(sample.group, set()).add(split)
    shared = [g for g, where in homes.items() if len(where) > 1 and not _is_file_name(g, loaded)]
    if shared:
        out.append(
            finding(
                *("error", "group-in-two-splits", f"{len(shared)} groups lie in more than one split"),
                *(LEAK, shared, "move each group to one split"),
            )
        )
    return out + doubles(same_pixels(prints), "same-picture") + doubles(look_alikes(prints), "look-alikes")


def _is_file_name(group: str, loaded: dict[str, Dataset]) -> bool:
    """Whether the group is only the stand-in that the reader takes for a missing one."""
    return all(s.name == group for d in loaded.values() for s in d if s.group == group)
