"""From a data set's name to the problem that a bench, a search, a training and a report share.

Reads annotations, not pictures; learns nothing and judges nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..datasets import load_parts, parse_normalizer, thin
from ..structures import MARGIN, Normalizer, Problem, modalities_of


def load_problem(
    data: str = "synthetic",
    split: str = "val",
    *,
    max_train: int | None = None,
    max_val: int | None = None,
    normalizer: str | Normalizer | None = None,
    size_hw: tuple[int, int] = (128, 128),
    margin: float = MARGIN,
    modalities: Sequence[str] = ("image",),
    max_timed: int = 50,
    anyway: bool = False,
    **options: Any,
) -> Problem:
    """Both parts of a data set, thinned evenly, with their crops and their normaliser.

    Parameters
    ----------
    data : what :func:`hybridkp.datasets.load_dataset` reads; data without splits are divided by group
    split : what is judged on
    max_train, max_val : at most so many pictures
    normalizer : "box", "pixel", "mm", two landmarks as "I,J", a
        :data:`hybridkp.structures.Normalizer`, or None for the data's own
    anyway : see :class:`~hybridkp.structures.Problem`
    options : the reader's, as of :func:`hybridkp.datasets.load_dataset`: ``category``, ``images_dir``

    Raises
    ------
    InputError
        For data that cannot be read, a split that is not there, or a normaliser that means nothing.

    Examples
    --------
    >>> problem = load_problem("synthetic", max_train=10, max_val=4, normalizer="box", size_hw=(64, 64))
    >>> len(problem.train), len(problem.val), problem.normalizer
    (10, 4, ('box',))
    """
    train, val = load_parts(data, split, **options)
    train, val = thin(train, max_train), thin(val, max_val)
    chosen = parse_normalizer(normalizer, train) if isinstance(normalizer, str) else normalizer
    noted = {"data": data, "split": split, "max_val": max_val, "normalizer": normalizer, "anyway": anyway}
    return Problem(
        train,
        val,
        size_hw=size_hw,
        margin=margin,
        normalizer=chosen,
        modalities=tuple(modalities),
        split=split,
        max_timed=max_timed,
        anyway=anyway,
        name=data,
        source={**noted, "options": {name: str(value) for name, value in options.items()}},
    )


def seeing(problem: Problem, *estimators: Any) -> Problem:
    """The problem with all modalities that such estimators see besides its own."""
    seen = dict.fromkeys([*problem.modalities, *modalities_of(*estimators)])
    return replace(problem, modalities=tuple(seen))
