"""The linter's questions about what the data leave unsaid, and what was assumed in its place.

Groups that a split would need, boxes that are nobody's but the points', mirror pairs and OKS sigmas that
nobody knows.  Annotations only: no picture is opened here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...imaging.geometry import points_box
from ...structures import NOT_LABELLED, Dataset
from ..adjust import frame_pattern, whole_picture
from .findings import SHOWN, Finding, finding

UNDIVIDED = "all"  #: what the only part of data without splits is called
ASSUMED_SIGMA = 0.05  #: what a data set takes where nothing says better
CENTRED, CENTRED_PX = 0.005, 0.51  #: share of a side, or px, within which two boxes have one middle
MADE = 0.9  #: share of the boxes with the middle of their points, from which they were made of them
FEW = 3  #: objects, and points of one, under which nothing is concluded


def scheme(loaded: Mapping[str, Dataset]) -> list[Finding]:
    """What is unknown of the landmarks, told once for all splits."""
    if not loaded:
        return []
    dataset, splits, out = next(iter(loaded.values())), ", ".join(loaded), []
    if dataset.flip is None:
        out.append(
            finding(
                *("note", "mirror-unknown", f"{splits}: nobody knows which landmark mirrors into which"),
                "no method learns from mirrored pictures, and the step flip has nothing to turn: that costs"
                " accuracy where objects have two like sides",
                dataset.landmarks[:SHOWN],
                "name them left_.../right_..., or write category.flip_indices",
            )
        )
    if (dataset.sigmas == ASSUMED_SIGMA).all():
        message = f"{splits}: {ASSUMED_SIGMA:g} is assumed for every OKS sigma"
        effect = "OKS and its AP compare methods on these data; published figures of others they do not match"
        cure = "write category.sigmas: each landmark's scatter between annotators, by the object's scale"
        out.append(finding("note", "sigmas-assumed", message, effect, list(loaded), cure))
    return out


def groups(dataset: Dataset, split: str) -> list[Finding]:
    alone = [sample.name for sample in dataset if sample.group == sample.name]  # the reader's stand-in
    if not alone:
        return []
    message = f"{split}: {len(alone)} of {len(dataset)} pictures have no group"
    effect = (
        "two pictures of one person, photo or video can fall on both sides of a split:"
        " validation looks better than it is, and intervals are too narrow"
    )
    cure = "write image.group: the subject, photograph or video; or find it in the names: --group-by REGEX"
    pattern, made = frame_pattern(alone)
    if pattern:
        message += ", and their names look like frames of films"
        cure += f", such as '{pattern}', which makes {made} groups"
    if split == UNDIVIDED:
        message += "; there are no splits either, so every one is by picture"
    return [finding("warning", "no-groups", message, effect, [split], cure)]


def boxes(dataset: Dataset, split: str) -> list[Finding]:
    """Boxes that were made from the points: their middles are the points'."""
    centred, judged = [], 0
    for sample in dataset:
        for i in sample.instances:
            tight = points_box(i.xy)
            sides = i.box_xywh[2:]
            if (i.visibility > NOT_LABELLED).sum() < FEW or not np.isfinite(tight).all():
                continue
            judged += 1
            off = np.abs(tight[:2] + tight[2:] / 2 - i.box_xywh[:2] - sides / 2)
            inside = (tight[2:] <= sides + 1).all() and not whole_picture(i.box_xywh, sample.size_hw)
            if inside and (off <= np.maximum(CENTRED_PX, CENTRED * sides)).all():
                centred.append(sample.name)
    if judged < FEW or len(centred) < MADE * judged:
        return []
    message = f"{split}: {len(centred)} of {judged} boxes are the points' own extent (or that, grown)"
    effect = "a crop cut from such a box gives part of the answer away: errors are smaller than in use"
    cure = "write the boxes of a detector, or read with --box-jitter 0.1"
    return [finding("warning", "box-is-extent", message, effect, centred, cure)]
