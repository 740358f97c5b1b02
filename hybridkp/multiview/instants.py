"""From pictures to instants: which pictures show one moment, and their points as (T, V, K, 2).

Letters: **T** instants, **V** views, **K** landmarks.  Which picture is which comes from the data (``view``
and ``instant``); nothing is computed from points here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..structures import Array, Dataset, InputError, Predictions, object_keys, short_repr
from .cameras import Cameras

SAME_SIZE = 0.01  #: sides of picture and camera may differ by this share after scaling


@dataclass(frozen=True, eq=False)
class Views:
    """The landmarks of T instants in V views; rows of views are in the cameras' order."""

    cameras: Cameras
    landmarks: tuple[str, ...]
    skeleton: Array  #: (E, 2)
    instants: tuple[str, ...]  #: T names, in the data's order
    groups: Array  #: (T,) what splits never cut
    xy: Array  #: (T, V, K, 2) px, NaN = not labelled or no such picture
    sample: Array  #: (T, V) number of the picture in the data set, -1 = none
    score: Array | None = None  #: (T, V, K) of predictions

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.instants)

    @property
    def flat(self) -> Array:
        """(V, T K, 2): what triangulation takes."""
        return np.moveaxis(self.xy, 1, 0).reshape(len(self.cameras), -1, 2)

    @property
    def flat_score(self) -> Array | None:
        """(V, T K)."""
        return None if self.score is None else np.moveaxis(self.score, 1, 0).reshape(len(self.cameras), -1)

    def subset(self, names: Sequence[str]) -> Views:
        """Only these views, in this order."""
        cameras = self.cameras.subset(names)
        rows = [self.cameras.names.index(name) for name in names]
        score = None if self.score is None else self.score[:, rows]
        return replace(self, cameras=cameras, xy=self.xy[:, rows], sample=self.sample[:, rows], score=score)

    def with_points(self, predictions: Predictions, dataset: Dataset) -> Views:
        """The same instants with stored predictions in place of the labels.

        Raises
        ------
        InputError
            For predictions of other pictures or landmarks.
        """
        k = len(self.landmarks)
        if predictions.xy.shape[1] != k:
            raise InputError(
                f"the predictions have {predictions.xy.shape[1]} landmarks, the data {k}: give the data's own"
            )
        keys = object_keys(zip(predictions.names, predictions.instance.tolist(), strict=True))
        row = {key: b for b, key in enumerate(keys)}
        mine = object_keys((s.name, 0) for s in dataset)
        where = np.array([row.get(key, -1) for key in mine])
        if (where[self.sample[self.sample >= 0]] < 0).all():
            raise InputError(f"{predictions.method}: its predictions are of none of these pictures")
        b = np.where(self.sample >= 0, where[self.sample], -1)
        xy = np.where((b >= 0)[..., None, None], predictions.xy[b], np.nan).astype(np.float64)
        return replace(self, xy=xy, score=np.where((b >= 0)[..., None], predictions.score[b], np.nan))


def views_of(dataset: Dataset, cameras: Cameras) -> Views:
    """The data's pictures by instant and view.

    Parameters
    ----------
    dataset : its samples say which ``view`` and ``instant`` they are of
    cameras : of every view in the data; a camera for pictures of another size is scaled to theirs

    Raises
    ------
    InputError
        Without views or instants, for a view without a camera, for two pictures of one view and instant, for
        several objects in a picture, for a picture whose shape is not its camera's.
    """
    marks = [(sample.view, sample.instant) for sample in dataset]
    for sample, (view, instant) in zip(dataset, marks, strict=True):
        if not view or not instant:
            raise InputError(
                f"{dataset.name}: {sample.name} names no {'instant' if view else 'view'}; several views need"
                " both on every image of the COCO file"
            )
        if view not in cameras.names:
            raise InputError(
                f"{dataset.name}: {sample.name} is of view {view!r}; the cameras are"
                f" {', '.join(cameras.names)}"
            )
        if len(sample.instances) > 1:
            raise InputError(
                f"{dataset.name}: {sample.name} has {len(sample.instances)} objects; which is which in the"
                " other views is not known: keep one"
            )
    names = [name for name in cameras.names if any(view == name for view, _ in marks)]
    instants = tuple(dict.fromkeys(instant for _, instant in marks))
    cameras = Cameras(tuple(_fitting(dataset, cameras[n], marks) for n in names), cameras.unit)
    k = len(dataset.landmarks)
    xy = np.full((len(instants), len(names), k, 2), np.nan)
    sample_of = np.full(xy.shape[:2], -1)
    groups = np.empty(len(instants), dtype=object)
    places = {name: i for i, name in enumerate(instants)}
    for i, (sample, (view, instant)) in enumerate(zip(dataset, marks, strict=True)):
        t, v = places[instant], names.index(view)
        if sample_of[t, v] >= 0:
            raise InputError(f"{dataset.name}: two pictures of view {view!r} at instant {instant!r}")
        sample_of[t, v], groups[t] = i, sample.group
        for one in sample.instances:
            xy[t, v] = one.xy
    return Views(cameras, dataset.landmarks, dataset.skeleton, instants, groups, xy, sample_of)


def _fitting(dataset: Dataset, camera: Any, marks: Sequence[tuple[str, str]]) -> Any:
    """The camera for the pictures' size, where both are known."""
    sizes = {
        s.size_hw for s, (view, _) in zip(dataset, marks, strict=True) if view == camera.name and s.size_hw
    }
    if camera.size_hw is None or not sizes:
        return camera
    if len(sizes) > 1:
        raise InputError(f"{dataset.name}: the pictures of {camera.name!r} have several sizes")
    size = np.array(next(iter(sizes)), float)
    ratio = size / np.array(camera.size_hw, float)
    if abs(ratio[0] / ratio[1] - 1) > SAME_SIZE:
        h, w = camera.size_hw
        raise InputError(
            f"{dataset.name}: pictures of {camera.name!r} are {size[1]:.0f} x {size[0]:.0f} px, its camera is"
            f" of {w} x {h} px: another camera, or cut pictures"
        )
    return camera if np.allclose(ratio, 1) else camera.scaled(float(ratio.mean()))
