"""What a bench, a search, a training and a report share: the data, and how objects are cut from them.

Never here: reading files, image processing, learning.  Data sets pass through as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .annotated import Dataset, Normalizer
from .base import InputError

MIN_CROP, MAX_CROP = 8, 4096  #: px; less shows no object, and more no model file may have
MARGIN = 1.25  #: crop side / box side, where nobody says otherwise


@dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """Two parts of data of one landmark scheme, the crops, and how errors are measured.

    Parameters
    ----------
    train, val : what is learned from and what is judged on; without ``val`` there is nothing to judge
    size_hw, margin : of the crops: height and width in px, crop side / box side
    normalizer : of the errors; None = the data's own
    modalities : what detectors see; further ones than "image" come from ``Sample.modalities``
    split : the name of the judged part, for the record
    max_timed : objects on the clock
    anyway : go on where pictures have another size than their annotation says, and where the data have
        other errors that make figures wrong; the report repeats them
    name : default: that of ``train``
    source : how :func:`hybridkp.evaluate.load_problem` made it, so that it can be made again

    Raises
    ------
    InputError
        For parts of two schemes, crops that :func:`checked_crops` refuses, and modalities without "image".
    """

    train: Dataset
    val: Dataset = None  # type: ignore[assignment]
    size_hw: tuple[int, int] = (128, 128)
    margin: float = MARGIN
    normalizer: Normalizer | None = None
    modalities: tuple[str, ...] = ("image",)
    split: str = "val"
    max_timed: int = 50
    anyway: bool = False
    name: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        train = self.train
        val = train.subset([], f"{train.name}-val") if self.val is None else self.val
        if train.landmarks != val.landmarks:
            raise InputError(
                f"{train.name} has {len(train.landmarks)} landmarks and {val.name} {len(val.landmarks)}"
                " (or other names): both need one scheme"
            )
        height, width = checked_crops(self.size_hw, self.margin)
        if "image" not in self.modalities:
            raise InputError(f"modalities {', '.join(self.modalities)}: 'image' has to be one of them")
        whole = {"val": val, "size_hw": (height, width), "margin": float(self.margin)}
        whole |= {"modalities": tuple(self.modalities), "max_timed": int(self.max_timed)}
        for name, value in {**whole, "name": self.name or train.name}.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        height, width = self.size_hw
        errors = " ".join(map(str, self.normalizer or self.val.normalizer))
        return (
            f"Problem({self.name}: {len(self.train)} pictures to train on, {len(self.val)} to judge"
            f" ({self.split}), {len(self.train.landmarks)} landmarks, crops of {height} x {width} px,"
            f" margin {self.margin:g}, sees {' and '.join(self.modalities)}, errors by {errors})"
        )


def checked_crops(size_hw: Sequence[int], margin: float) -> tuple[int, int]:
    """The height and width of crops; :class:`InputError` for what a file of the model could not keep."""
    height, width = (int(v) for v in size_hw)
    if not (min(height, width) >= MIN_CROP and max(height, width) <= MAX_CROP and 0.01 < margin < 100):
        raise InputError(
            f"crops of {height} x {width} px with margin {margin}: need {MIN_CROP} to {MAX_CROP} px, and a"
            " margin above 0.01 and below 100"
        )
    return height, width


def as_problem(data: Problem | Dataset) -> Problem:
    """A data set is a problem to train on, and to judge on, with the usual crops."""
    return data if isinstance(data, Problem) else Problem(data, data)
