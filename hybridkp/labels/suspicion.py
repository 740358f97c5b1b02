"""Which labels are suspicious, and what seems to be wrong with them.

Three clues, each robust against the very errors that are looked for: does a point lie where its neighbours
expect it; does it lie where they and the detectors expect it; does the whole shape lie where the detectors
do.  Opinions come in; one row for each object comes out, the most suspicious first.  No label is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..datasets import group_folds
from ..imaging.geometry import apply_affine, scale_of
from ..structures import Array, Dataset, short_repr
from .diagnosis import Diagnosis, diagnose
from .opinions import Opinions, ask
from .shapes import by_themselves, highest, middle, robust_oddness, to_mean_shape

CLUES = ("its neighbours", "its neighbours and the detector", "the whole shape")
SHRINK = (0.03, 0.3)  #: of the models of labels alone, and of labels with detectors' points
MODEL_FOLDS = 8
USUAL = 0.7  #: quantile of a clue that the clues are made comparable at
SUSPICIOUS = 2.5  #: times the usual object's score, from which a label is called suspicious
POINTS = 3  #: landmarks that a shape needs before its points can be judged by each other


@dataclass(frozen=True, eq=False)
class Suspicions:
    """Every labelled object of a data set with its score; rows as in ``opinions``, ``order`` ranks them.

    Parameters
    ----------
    score : (B,) the largest clue, in units of the middle object
    clues : (B, 3) likewise, see :data:`CLUES`; NaN where a clue says nothing
    odd : (B, K) how odd each landmark is, in units of its own median; NaN = not labelled
    guess : (B, K, 2) crop px, the middle of the detectors' opinions
    diagnoses : row -> what seems wrong, of the suspicious ones
    """

    opinions: Opinions
    score: Array
    clues: Array
    odd: Array
    guess: Array
    diagnoses: Mapping[int, Diagnosis] = field(default_factory=dict)

    __repr__ = short_repr

    @property
    def order(self) -> Array:
        """(B,) rows, the most suspicious first."""
        return np.argsort(-self.score, kind="stable")

    @property
    def suspicious(self) -> Array:
        """(B,) bool: the score reaches :data:`SUSPICIOUS`."""
        return np.asarray(self.score >= SUSPICIOUS)


def check_labels(dataset: Dataset, detectors: Mapping[str, Any], **how: Any) -> Suspicions:
    """How suspicious the labels of each object are, by detectors that did not learn from it.

    Parameters
    ----------
    detectors : name -> unfitted detector; a fast one will do, and two unlike ones do better
    how : ``size_hw``, ``margin``, ``cv``, ``random_state`` and ``progress`` of :func:`ask`

    Raises
    ------
    InputError
        As :func:`ask`.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import hybridkp
    >>> faces = hybridkp.make_faces(40, random_state=0)
    >>> face = faces.samples[7]
    >>> turned = replace(face.instances[0], xy=face.instances[0].xy[::-1])
    >>> samples = (*faces.samples[:7], replace(face, instances=(turned,)), *faces.samples[8:])
    >>> found = check_labels(replace(faces, samples=samples), {"ridge": hybridkp.make_method("hog+ridge")})
    >>> int(found.order[0])
    7
    """
    return suspicions(ask(dataset, detectors, **how))


def suspicions(opinions: Opinions) -> Suspicions:
    """The clues and scores of opinions that were given; see :func:`check_labels`."""
    crops, guess = opinions.crops, np.median(opinions.xy, axis=0)
    n, k = guess.shape[:2]
    folds = group_folds(crops.groups, MODEL_FOLDS)
    maps, mean = to_mean_shape(guess)
    labels = apply_affine(maps, crops.xy)
    seen = np.concatenate([apply_affine(maps, xy) for xy in opinions.xy], axis=1)  # (B, M K, 2)
    placed = np.median(seen.reshape(n, len(opinions.xy), k, 2), axis=1)
    both = np.concatenate([labels, seen], axis=1).reshape(n, -1)
    start = np.concatenate([placed, seen], axis=1).reshape(n, -1)
    by_all, models = robust_oddness(both, start, k, SHRINK[1], folds)
    if k >= POINTS:
        own = by_themselves(crops.xy, mean)
        rows = apply_affine(own, crops.xy).reshape(n, -1)
        by_neighbours, _ = robust_oddness(rows, apply_affine(own, guess).reshape(n, -1), k, SHRINK[0], folds)
    else:
        by_neighbours = np.full((n, k), np.nan)
    shift = np.linalg.norm(middle(labels - placed), axis=1)
    raw = np.stack([highest(by_neighbours), highest(by_all), shift], axis=1)
    clues, score = _together(raw)
    found = Suspicions(opinions, score, clues, _odd(by_neighbours, by_all, raw), guess)
    which = [int(row) for row in found.order if found.suspicious[row]]
    model_of = {int(row): model for model, (_, test) in zip(models, folds, strict=True) for row in test}
    usual = float(np.median([model_of[r].misfit(model_of[r].filled(both[r][None]))[0] for r in range(n)]))
    diagnoses = {}
    for row in which:
        named = diagnose(both[row], model_of[row], k, found.odd[row], placed[row], opinions.data, usual)
        diagnoses[row] = named.in_picture(float(scale_of(maps[row]) * scale_of(crops.matrix[row])))
    return replace(found, diagnoses=diagnoses)


def _together(raw: Array) -> tuple[Array, Array]:
    """Clues (B, 3) in units of the middle object's score, and the score (B,): the largest."""
    known = np.isfinite(raw).any(0)
    clues = np.full(raw.shape, np.nan)
    usual = np.nanquantile(raw[:, known], USUAL, axis=0)
    clues[:, known] = raw[:, known] / np.maximum(usual, 1e-9)
    score = np.nan_to_num(highest(clues))
    unit = max(float(np.median(score)), 1e-9)
    return clues / unit, score / unit


def _odd(by_neighbours: Array, by_all: Array, raw: Array) -> Array:
    """(B, K) the larger of both judgements of each landmark, each in units of its usual worst landmark."""
    parts = []
    for values, worst in ((by_neighbours, raw[:, 0]), (by_all, raw[:, 1])):
        if np.isfinite(worst).any():
            parts.append(values / max(float(np.nanquantile(worst, USUAL)), 1e-9))
    return np.asarray(np.fmax.reduce(parts))
