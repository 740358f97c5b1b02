"""Data sets from Python's own things: arrays, and tables as pandas has them.

pandas is asked for only by :func:`to_frame`; a table that is read is anything with columns by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array, Dataset, InputError, Instance, Sample
from .collect import Collected, box_around
from .layouts import infer_flip, names_for, recognise

COLUMNS = ("picture", "object", "landmark", "x", "y", "visibility", "group")


def from_arrays(
    images: Sequence[Any],
    xy: ArrayLike,
    *,
    landmarks: Sequence[str] | None = None,
    visibility: ArrayLike | None = None,
    boxes: ArrayLike | None = None,
    groups: Sequence[Any] | None = None,
    names: Sequence[str] | None = None,
    category: str = "object",
    name: str = "arrays",
) -> Dataset:
    """A data set of pictures and points in memory, one object a picture.

    Parameters
    ----------
    images : N pictures (H, W) or (H, W, 3) uint8 BGR, or the names of their files
    xy : (N, K, 2) px, integers at pixels' centres; NaN = not labelled
    landmarks : K names; default the usual set of K for the category, else p0, p1, ...
    visibility : (N, K) of 0, 1, 2
    boxes : (N, 4) x, y, width, height along pixel edges; default the points' own, 10 % larger
    groups : N subjects or films, which splits never cut; default each picture for itself
    names : N names; default the files', or counted

    Raises
    ------
    InputError
        Numbers that do not fit together.

    >>> import numpy as np
    >>> data = from_arrays(np.zeros((2, 40, 60), np.uint8), [[[3, 4], [10, 20]]] * 2, landmarks=["a", "b"])
    >>> len(data), data.samples[1].name, data.samples[1].image.shape
    (2, '00001.png', (40, 60))
    """
    points = np.asarray(xy, float)
    n = len(images)
    if points.ndim != 3 or points.shape[0] != n or points.shape[2] != 2:
        raise InputError(f"from_arrays: xy {points.shape} must be ({n}, K, 2), an object for each picture")
    k = points.shape[1]
    marks = tuple(map(str, landmarks)) if landmarks is not None else names_for(k, category)
    for what, given, wanted in (("landmarks", marks, k), ("groups", groups, n), ("names", names, n)):
        if given is not None and len(given) != wanted:
            raise InputError(f"from_arrays: {len(given)} {what} for {wanted}")
    seen = None if visibility is None else _shaped(visibility, (n, k), "visibility")
    frames = None if boxes is None else _shaped(boxes, (n, 4), "boxes")
    samples = []
    for i, image in enumerate(images):
        label, load, size = _picture(image, i)
        label = str(names[i]) if names is not None else label
        box = box_around(points[i]) if frames is None else frames[i]
        area = float("nan") if box is None else float(box[2] * box[3])
        instance = Instance(points[i], None if seen is None else seen[i], box, area=area)  # type: ignore[arg-type]
        group = label if groups is None else str(groups[i])
        samples.append(Sample(label, load, (instance,), group, size, image_id=i + 1))
    layout = recognise(marks, category)
    return Dataset(
        name,
        marks,
        tuple(samples),
        np.array(layout.skeleton if layout else (), int),
        layout.flip if layout else infer_flip(marks),
        None if layout is None or layout.sigmas is None else np.array(layout.sigmas),  # type: ignore[arg-type]
        layout.normalizer if layout else ("box",),
        category=category,
    )


def _shaped(values: ArrayLike, shape: tuple[int, ...], what: str) -> Array:
    array = np.asarray(values, float)
    if array.shape != shape:
        raise InputError(f"from_arrays: {what} {array.shape} must be {shape}")
    return array


def _picture(image: Any, i: int) -> tuple[str, Callable[[], Array], tuple[int, int] | None]:
    from .lookup import loader

    if isinstance(image, str | os.PathLike):
        return Path(image).name, loader(Path(image)), None
    array = np.asarray(image)
    return f"{i:05}.png", partial(_same, array), (int(array.shape[0]), int(array.shape[1]))


def _same(image: Array) -> Array:
    """The ``Sample.load`` of a picture in memory; a function of the module, so that it pickles."""
    return image


def from_frame(
    frame: Any,
    images_dir: str | os.PathLike[str] = ".",
    *,
    columns: Mapping[str, str] | None = None,
    category: str = "object",
    name: str = "frame",
) -> Dataset:
    """A data set from a tidy table: a row a point, with the columns ``picture, landmark, x, y``.

    Parameters
    ----------
    frame : a pandas (or polars) frame, or a mapping of columns; also read: ``object`` (which object of the
        picture, default one), ``visibility`` (0, 1, 2), ``group``
    images_dir : where the pictures are looked for
    columns : ours -> yours, such as ``{"picture": "file", "landmark": "bodypart"}``

    Raises
    ------
    InputError
        A column that is missing, a landmark twice, or pictures nowhere to be found.
    """
    given = dict(columns or {})
    there = {c: given.get(c, c) for c in COLUMNS if given.get(c, c) in frame}
    for needed in ("picture", "landmark", "x", "y"):
        if needed not in there:
            raise InputError(f"{name}: no column {given.get(needed, needed)!r}; columns= names yours")
    table = {c: list(frame[own]) for c, own in there.items()}
    rows = len(table["picture"])
    landmarks = list(dict.fromkeys(map(str, table["landmark"])))
    pictures: dict[str, dict[Any, dict[str, list[float]]]] = {}
    groups: dict[str, str] = {}
    for i in range(rows):
        picture, landmark = str(table["picture"][i]), str(table["landmark"][i])
        number = table["object"][i] if "object" in table else 0
        points = pictures.setdefault(picture, {}).setdefault(number, {})
        if landmark in points:
            raise InputError(f"{name}: {picture}: {landmark!r} twice in one object")
        try:
            points[landmark] = [float(table[c][i]) for c in ("x", "y", "visibility") if c in table]
        except (TypeError, ValueError):
            raise InputError(f"{name}: row {i}: x, y and visibility must be numbers") from None
        if "group" in table:
            groups[picture] = str(table["group"][i])
    found = Collected(Path(name), landmarks, category=category, name=name)
    for picture, objects in pictures.items():
        found.picture(picture, group=groups.get(picture))
        for points in objects.values():
            found.object(points)  # type: ignore[arg-type]
    return found.dataset([Path(images_dir)])


def to_frame(dataset: Dataset) -> Any:
    """The inverse: a pandas frame with a row for each landmark of each object, NaN where not labelled.

    Columns ``picture, object, landmark, x, y, visibility, group``.
    """
    try:
        import pandas
    except ImportError:
        raise InputError("a frame needs pandas: pip install 'hybridkp[formats]'") from None
    rows = [
        (sample.name, number, landmark, float(x), float(y), int(v), sample.group)
        for sample in dataset
        for number, i in enumerate(sample.instances)
        for landmark, (x, y), v in zip(dataset.landmarks, i.xy, i.visibility, strict=True)
    ]
    return pandas.DataFrame(rows, columns=list(COLUMNS))
