"""The truth of pairs registered again on their pixels, kept in a bench's folder beside the matches.

Asks :func:`hybridkp.points.register_homography` for each pair with a homography; scores nothing.  One JSON
file, ``truth.json``, goes on where a stopped run left it, and names every pair that was refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_atomic
from ..memory.sources import fingerprint as source_fingerprint
from ..memory.threads import limit_threads
from ..points.registration import register_homography
from ..structures import InputError
from ..structures.base import Progress
from ..structures.pairs import PairSet, Registration

TRUTH_FORMAT = 1
_FIGURES = ("moved_px", "precision_px", "agreement")


def refine_truth(
    pairs: PairSet, out: str | os.PathLike[str], progress: Progress | None = None
) -> dict[str, Registration]:
    """Register the homography of every pair again, and store the answers in ``out/truth.json``.

    Pairs with a flow are left out.  What is there already for these pairs is kept.

    Raises
    ------
    InputError
        When no pair has a homography, and for unreadable pictures.
    """
    plane = [p for p in pairs if p.homography is not None]
    if not plane:
        raise InputError(f"{pairs.name}: no pair has a homography, so there is no truth to register again")
    path = Path(out) / "truth.json"
    facts = {"format": TRUTH_FORMAT, "fingerprint": pairs.fingerprint, "source": _source()}
    found = _read(path, facts) or {}
    with limit_threads(1):
        for number, pair in enumerate(plane):
            if progress is not None:
                progress(pair.name, number, len(plane))
            if pair.name not in found:
                found[pair.name] = register_homography(pair.load_a(), pair.load_b(), pair.truth())
                write_atomic(path, _as_text(facts, found))
    if progress is not None:
        progress("done", len(plane), len(plane))
    return found


def stored_truth(out: str | os.PathLike[str], pairs: PairSet) -> dict[str, Registration] | None:
    """What :func:`refine_truth` stored for all of these pairs; None without it.

    Raises
    ------
    InputError
        For a damaged file, and for one of other pairs or that a stopped run left unfinished.
    """
    path = Path(out) / "truth.json"
    if not path.is_file():
        return None
    found = _read(path, {"format": TRUTH_FORMAT, "fingerprint": pairs.fingerprint})
    if found is None or {p.name for p in pairs if p.homography is not None} - set(found):
        raise InputError(
            f"{path}: damaged, unfinished, or of other pairs; run bench-points --refine-truth again, or"
            " remove the file"
        )
    return found


def _source() -> str:
    return source_fingerprint(["hybridkp.points.registration"])


def _as_text(facts: Mapping[str, Any], found: Mapping[str, Registration]) -> str:
    rows = {name: {"homography": r.homography.tolist(), "reason": r.reason} for name, r in found.items()}
    for name, r in found.items():
        figures = {key: getattr(r, key) for key in _FIGURES}
        rows[name] |= {key: round(v, 4) if np.isfinite(v) else None for key, v in figures.items()}
    return json.dumps({**facts, "pairs": rows}, indent=1)


def _read(path: Path, facts: Mapping[str, Any]) -> dict[str, Registration] | None:
    """What is stored under these very facts; None for anything else."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if any(stored[key] != value for key, value in facts.items()):
            return None
        return {str(name): _row(row) for name, row in stored["pairs"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _row(row: Mapping[str, Any]) -> Registration:
    homography = np.array(row["homography"], float)
    if homography.shape != (3, 3) or not np.isfinite(homography).all() or np.linalg.det(homography) == 0:
        raise ValueError("a homography is nine finite numbers of an invertible matrix")
    figures = [float("nan") if row[key] is None else float(row[key]) for key in _FIGURES]
    moved, precision, agreement = figures
    return Registration(homography, moved, precision, agreement, str(row["reason"]))
