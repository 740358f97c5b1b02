"""Why two points matched, or did not: distances, ratio, mutual choice, agreement with the map; and a page.

For matchers of one feature.  Letters: **N** points of the first picture, **D** features of a row.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_atomic
from ..imaging import apply_homography, draw_matches, extract_patches, tile
from ..imaging.images import as_uint8
from ..points import FeatureMatcher
from ..points.local import picture as picture_of
from ..points.matchers import find
from ..points.matching import distances, match
from ..report.embed import Picture
from ..report.output import about_page
from ..report.rendering import render_page
from ..structures import Array, InputError, Keypoints, Matched, short_repr
from ..structures.base import evenly
from .pictures import picture

#: what may become of a point, best first, and in words
FATES = {
    "inlier": "matched, in agreement with the map",
    "outlier": "matched, against the map",
    "dropped": "nearest to each other, dropped by the rule",
    "one-sided": "not chosen in return by their nearest",
}
SIDE, SHOWN = 150, 4  #: px of a patch on the page; points shown of each fate


@dataclass(frozen=True, eq=False, kw_only=True)
class PairExplanation:
    """What became of each of the N points of the first picture that have a neighbour in the second."""

    found: Matched
    nearest: Array  #: (N,) int, the point of the second picture with the nearest row
    second: Array  #: (N,) int, the next
    distance: Array  #: (N, 2) to both: Euclidean, or bits
    fate: Array  #: (N,) of the keys of :data:`FATES`
    off: Array  #: (N,) px between the nearest and where the map puts the point; NaN without a map

    __repr__ = short_repr

    @property
    def ratio(self) -> Array:
        """(N,) nearest / second nearest."""
        return self.distance[:, 0] / np.maximum(self.distance[:, 1], 1e-9)


def explain_pair(matcher: Any, image_a: Array, image_b: Array) -> PairExplanation:
    """Follow every point of the first picture through a matcher of one feature.

    Parameters
    ----------
    matcher : :class:`hybridkp.points.FeatureMatcher`, as ``make_matcher("sift")`` gives it
    image_a, image_b : (h, w[, 3]) uint8

    Raises
    ------
    InputError
        For a matcher of several stages or features, and where a picture has fewer than two points.
    """
    if not isinstance(matcher, FeatureMatcher):
        name = type(matcher).__name__
        raise InputError(f"{name}: pages of pairs are of one feature, such as sift, orb or surf[rule=ratio]")
    found = matcher.match(image_a, image_b)
    norm = matcher.feature.norm
    first, other = (find(matcher.feature, picture_of(image)) for image in (image_a, image_b))
    a, b = first.keypoints, other.keypoints
    if not len(a) or len(b) < 2:
        raise InputError(f"the pictures have {len(a)} and {len(b)} points: nothing to compare")
    far = distances(first.rows, other.rows, norm)
    order = np.argsort(far, axis=1, kind="stable")[:, :2]
    nearest = order[:, 0]
    mutual = far.argmin(axis=0)[nearest] == np.arange(len(a))
    fate = np.where(mutual, "dropped", "one-sided")
    kept = match(first, other, norm, matcher.rule, matcher.ratio)
    fate[kept.index_a] = np.where(found.inlier, "inlier", "outlier")
    nearest[kept.index_a] = kept.index_b
    off = np.full(len(a), np.nan)
    if np.isfinite(found.homography).all():
        off = np.linalg.norm(apply_homography(found.homography, a.xy) - b.xy[nearest], axis=1)
    distance = np.take_along_axis(far, order, axis=1)
    return PairExplanation(
        found=found, nearest=nearest, second=order[:, 1], distance=distance, fate=fate, off=off
    )


def pair_page(
    matcher: Any,
    image_a: Array,
    image_b: Array,
    out: str | os.PathLike[str] | None = None,
    *,
    method: str = "",
) -> str:
    """Why points of two pictures matched or not, as one self-contained HTML page; also written to ``out``.

    ``method`` names the matcher on the page.  Raises as :func:`explain_pair`.
    """
    e = explain_pair(matcher, image_a, image_b)
    name = method or type(matcher.feature).__name__
    counts = {fate: int((e.fate == fate).sum()) for fate in FATES}
    unit = "bits" if matcher.feature.norm == "HAMMING" else "(distance of rows)"
    context = {
        "title": f"Why {name} matched these points, and not those",
        "facts": [
            f"{len(e.found.keypoints_a)} and {len(e.found.keypoints_b)} points",
            f"rule: {matcher.rule}",
        ],
        "opening": _opening(e, counts),
        "matches": picture(
            draw_matches(image_a, image_b, e.found.xy_a, e.found.xy_b, e.found.inlier, most=120),
            "The matches",
            "blue: agree with the map; orange, dashed: do not.",
        ),
        "fates": [
            {
                "name": fate,
                "words": FATES[fate],
                "n": counts[fate],
                "distance": _middle(e.distance[e.fate == fate, 0]),
                "ratio": _middle(e.ratio[e.fate == fate]),
                "off": _middle(e.off[e.fate == fate]),
            }
            for fate in FATES
        ],
        "unit": unit,
        "examples": [(FATES[f], _examples(e, f, image_a, image_b)) for f in FATES if counts[f]],
        "notes": _notes(matcher),
        "about": about_page({"method": name}, {}, []),
    }
    html = render_page("pair.html", context, room="explain")
    if out is not None:
        write_atomic(Path(out), html)
    return html


def _opening(e: PairExplanation, counts: dict[str, int]) -> str:
    words = "; ".join(f"{n} {FATES[fate]}" for fate, n in counts.items())
    lost = "" if np.isfinite(e.found.homography).all() else f" No map was found: {e.found.reason}."
    return f"Of {len(e.fate)} points of the first picture: {words}.{lost}"


def _middle(values: Array) -> str:
    known = values[np.isfinite(values)]
    return f"{np.median(known):.3g}" if len(known) else "–"


def _examples(e: PairExplanation, fate: str, image_a: Array, image_b: Array) -> list[Picture]:
    """Some points of one fate, evenly by ratio: the point, its nearest, and the next."""
    rows = np.flatnonzero(e.fate == fate)
    rows = rows[np.argsort(e.ratio[rows], kind="stable")]
    rows = rows[evenly(len(rows), SHOWN)]
    a, b = e.found.keypoints_a, e.found.keypoints_b
    out = []
    for i in rows.tolist():
        patches = [_patch(image_a, a, i), _patch(image_b, b, e.nearest[i]), _patch(image_b, b, e.second[i])]
        off = f", {e.off[i]:.1f} px from where the map puts it" if np.isfinite(e.off[i]) else ""
        words = f"nearest {e.distance[i, 0]:.3g}, second {e.distance[i, 1]:.3g}, ratio {e.ratio[i]:.2f}{off}"
        out.append(picture(tile(patches, 3), "Point, nearest, second nearest:", words))
    return out


def _patch(image: Array, points: Keypoints, i: int) -> Array:
    """What surrounds a point, turned and scaled as its descriptor sees it."""
    size, angle = float(points.size[i]), float(np.nan_to_num(points.angle[i]))
    spacing = max(6 * size, 24.0) / SIDE
    patch: Array = extract_patches(as_uint8(image), points.xy[i : i + 1], SIDE, spacing, angle)[0]
    return patch


def _notes(matcher: FeatureMatcher) -> Sequence[str]:
    rule = {
        "mutual": "Rule: two points match when each is the other's nearest.",
        "ratio": "Rule: mutual nearest neighbours, and nearest / second nearest below"
        f" {matcher.ratio:g} (Lowe 2004).",
    }.get(matcher.rule, f"Rule: {matcher.rule}.")
    return [
        rule,
        f"The map is a homography on which most matches agree within {matcher.threshold_px:g} px. It is right"
        " for planes and for a camera that only turns; elsewhere a right match may disagree with it.",
        "Patches are shown turned by the points' angles and as wide as six times their size, at least 24 px.",
    ]
