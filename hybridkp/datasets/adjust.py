"""What may be changed of any data set that was read: its groups and its boxes.

Options of :func:`~hybridkp.datasets.load_dataset` for every format, because no file has to know of them.
No picture is opened here, and no point is moved.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..structures import Array, Dataset, InputError

FRAMES = 3  #: pictures of a film, in the mean, from which their names are believed
STRETCHES = 5  #: of one film, at least, that :func:`frame_pattern` makes
MAX_JITTER = 0.5  #: of a box's side; further away a box no longer holds its object


def adjust(dataset: Dataset, options: Mapping[str, Any]) -> Dataset:
    """The data set with those of :data:`OPTIONS` that are given, one after the other."""
    for name, value in options.items():
        dataset = OPTIONS[name](dataset, value)
    return dataset


def group_by(dataset: Dataset, pattern: str) -> Dataset:
    """Groups from the pictures' names: what the parentheses of ``pattern`` found, else all that it found.

    Parameters
    ----------
    pattern : a regular expression of :mod:`re`, looked for anywhere in the name as the data write it,
        with ``/`` between folders; several parentheses make one name

    Raises
    ------
    InputError
        No regular expression, or a name in which it finds nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridkp.datasets import from_arrays
    >>> names = ["mouse1_000.png", "mouse1_001.png", "mouse2_000.png"]
    >>> data = from_arrays(np.zeros((3, 9, 9), np.uint8), [[[1, 2], [3, 4]]] * 3, names=names)
    >>> group_by(data, r"(mouse\\d+)_").groups.tolist()
    ['mouse1', 'mouse1', 'mouse2']
    """
    try:
        sought = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f"group_by {pattern!r}: no regular expression ({error})") from None
    samples, without = [], []
    for sample in dataset:
        found = sought.search(sample.name.replace("\\", "/"))
        if found is None:
            without.append(sample.name)
            continue
        parts = [part for part in found.groups() if part] or [found.group(0)]
        samples.append(replace(sample, group="/".join(parts)))
    if without:
        raise InputError(
            f"{dataset.name}: group_by {pattern!r} finds nothing in the names of {len(without)} of"
            f" {len(dataset)} pictures, such as {without[0]!r}"
        )
    return replace(dataset, samples=tuple(samples))


def frame_pattern(names: Sequence[str]) -> tuple[str, int]:
    """(pattern for :func:`group_by`, groups it makes) where names look like frames of films, else ("", 0).

    Several films: what stands before the number.  One film: stretches of it, by leaving off last digits.

    >>> frame_pattern([f"a_{i:03}.png" for i in range(9)] + [f"b_{i:03}.png" for i in range(9)])
    ('^(.*?)\\\\d+\\\\.[^./]+$', 2)
    >>> frame_pattern([f"img{i:03}.png" for i in range(90)])
    ('^(.*)\\\\d{1}\\\\.[^./]+$', 9)
    """
    found = [re.match(r"^(.*?)(\d+)\.[^./]+$", name.replace("\\", "/")) for name in names]
    films = Counter(match[1] for match in found if match)
    if not films or sum(films.values()) < len(names) or len(films) > len(names) / FRAMES:
        return "", 0
    if len(films) > 1:
        return r"^(.*?)\d+\.[^./]+$", len(films)
    numbers = [match[2] for match in found if match]
    for left_off in range(min(map(len, numbers)), 0, -1):
        if STRETCHES <= (made := len({number[:-left_off] for number in numbers})) <= len(names) / 2:
            return rf"^(.*)\d{{{left_off}}}\.[^./]+$", made
    return "", 0


def box_jitter(dataset: Dataset, ratio: float) -> Dataset:
    """Boxes as a detector finds them: each moved by up to ``ratio`` of its sides, and scaled by up to that.

    For boxes that are the points' own extent: a crop cut from one says where the outermost landmarks are.
    A box that is its whole picture says nothing, and stays.
    Fixed by the picture's name and the object's number, so that it is the same for all methods, orders and
    subsets.  Points and areas stay as they are.

    Raises
    ------
    InputError
        No number from 0 to :data:`MAX_JITTER`.
    """
    try:
        ratio = float(ratio)
    except (TypeError, ValueError):
        raise InputError(f"box_jitter {ratio!r}: give a share of the box's side, such as 0.1") from None
    if not 0 <= ratio <= MAX_JITTER:
        raise InputError(f"box_jitter {ratio:g}: give a share of the box's side from 0 to {MAX_JITTER:g}")
    samples = tuple(
        replace(
            sample,
            instances=tuple(
                instance
                if whole_picture(instance.box_xywh, sample.size_hw)
                else replace(instance, box_xywh=_moved(instance.box_xywh, ratio, f"{sample.name}\0{number}"))
                for number, instance in enumerate(sample.instances)
            ),
        )
        for sample in dataset
    )
    return replace(dataset, samples=samples)


def whole_picture(box_xywh: Array, size_hw: tuple[int, int] | None) -> bool:
    """Whether a box is its picture, to the pixel."""
    return size_hw is not None and bool(np.allclose(box_xywh, [0, 0, size_hw[1], size_hw[0]], atol=1))


def _moved(box: Array, ratio: float, name: str) -> Array:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:16]
    move, scale = 2 * np.frombuffer(digest, "<u4").reshape(2, 2) / 0xFFFFFFFF - 1  # each in -1..1
    size = box[2:] * (1 + ratio * scale)
    centre = box[:2] + box[2:] / 2 + ratio * move * box[2:]
    return np.concatenate([centre - size / 2, size])


#: option of load_dataset -> function of the data set and its value
OPTIONS: dict[str, Callable[[Dataset, Any], Dataset]] = {"group_by": group_by, "box_jitter": box_jitter}
