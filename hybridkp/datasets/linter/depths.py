"""The linter's look at depth: pictures without it, files that cannot be read, other sizes, holes.

Of each split at most :data:`LOOKED_AT` depth files are read, evenly spread.  What is filled, and by which
rule, stands in the finding; nothing is changed here.
"""

from __future__ import annotations

import numpy as np

from ...structures import Array, Dataset, InputError, Sample
from ...structures.base import evenly
from .findings import Finding, finding

LOOKED_AT = 60  #: depth files of a split
MANY = 0.5  #: of a picture's pixels without a value
_RULE = "methods see a hole as the nearest pixel that has a value"


def depths(dataset: Dataset, split: str) -> list[Finding]:
    """Everything suspicious about the depth of a data set; nothing where no picture has any."""
    having = [sample for sample in dataset if "depth" in sample.modalities]
    if not having:
        return []
    lacks = [f"{split}/{s.name}" for s in dataset if "depth" not in s.modalities]
    unread, other, empty, points = [], [], [], []
    shares: dict[str, float] = {}
    total = 0
    for row in evenly(len(having), LOOKED_AT):
        sample = having[row]
        name = f"{split}/{sample.name}"
        try:
            depth = np.asarray(sample.modalities["depth"]())
        except InputError as error:
            unread.append(str(error))
            continue
        if sample.size_hw is not None and depth.shape[:2] != tuple(sample.size_hw):
            other.append(f"{name} ({depth.shape[0]} x {depth.shape[1]})")
            continue
        known = depth > 0
        shares[name] = float(1 - known.mean())
        empty += [name] * (not known.any())
        at = _under_points(sample, known)
        total += len(at)
        points += [name] * int((~at).sum())
    return [
        *_found("no-depth", lacks, split, f"of {len(dataset)} pictures have no depth"),
        *_found("unreadable-depth", unread, split, "depth files cannot be read"),
        *_found("depth-size", other, split, "depth files have another size than their picture"),
        *_found("empty-depth", empty, split, f"of {len(shares)} depth files hold no value"),
        *_holes(shares, points, total, split),
    ]


#: code -> effect, cure
_WORDS = {
    "no-depth": ("a run that sees depth stops there", "add depth_file, or compare without these pictures"),
    "unreadable-depth": ("a run that sees depth stops there", "restore the files, or remove their entries"),
    "depth-size": ("depth and picture do not lie on each other", "register depth to colour: cameras.json"),
    "empty-depth": ("depth says nothing there: it counts as flat", "leave depth_file out of these pictures"),
}


def _found(code: str, where: list[str], split: str, what: str) -> list[Finding]:
    if not where:
        return []
    effect, cure = _WORDS[code]
    severity = "warning" if code == "no-depth" else "error"
    return [finding(severity, code, f"{split}: {len(where)} {what}", effect, where, cure)]


def _holes(shares: dict[str, float], points: list[str], total: int, split: str) -> list[Finding]:
    out = []
    if shares and max(shares.values()) > 0:
        many = [name for name, share in shares.items() if share > MANY]
        message = f"{split}: {100 * np.mean(list(shares.values())):.0f} % of the pixels have no depth"
        if many:
            message += f", more than half in {len(many)} of {len(shares)} pictures"
        severity = "warning" if many else "note"
        cure = "nothing, where holes lie at the picture's rim or behind things; else another camera setting"
        out.append(finding(severity, "depth-holes", message, f"{_RULE}; 0 counts as none", many, cure))
    if points:
        message = f"{split}: {len(points)} of {total} labelled points have no depth"
        effect = f"depth cannot help there; {_RULE}"
        cure = "nothing: the picture shows them"
        out.append(finding("note", "points-in-holes", message, effect, dict.fromkeys(points), cure))
    return out


def _under_points(sample: Sample, known: Array) -> Array:
    """(N,) bool: which labelled points, of those in the picture, have a depth."""
    xy = np.concatenate([i.xy for i in sample.instances]) if sample.instances else np.zeros((0, 2))
    xy = np.rint(xy[np.isfinite(xy).all(1)]).astype(int)
    inside = (xy >= 0).all(1) & (xy < known.shape[::-1]).all(1)
    return np.asarray(known[xy[inside, 1], xy[inside, 0]])
