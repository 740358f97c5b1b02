"""What is exported, judged on labelled pictures: the figures of a model card, and 8 bits or a refusal.

For 8 bits half of the groups of a data set calibrate, the other half judges; a model and labelled pictures go
in, a model for the exporters comes out.  What is quantised, and how, is in :mod:`hybridkp.runtime.int8`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..datasets import info
from ..imaging.crops import to_picture
from ..metrics import metrics_for
from ..metrics.metric import objects_of
from ..runtime.export import crops_node, fitted_node
from ..runtime.nodes import Run, build
from ..runtime.values import PICTURES, WHOLE
from ..stats import bootstrap_interval
from ..structures import MARGIN, Array, Dataset, InputError
from .crops import Crops, make_crops

MOST = 0.01  #: growth of the held-out error, in parts of it, that is still taken
CALIBRATING = 200  #: crops at most that ranges are read from


@dataclass(frozen=True)
class ExportedTree:
    """What the exporters ask of a fitted detector: its tree, and the size of its crops."""

    tree: dict[str, Any]
    size_hw_: tuple[int, int]

    def runtime_node(self) -> dict[str, Any]:
        return self.tree


def int8_model(model: Any, data: Dataset, margin: float = MARGIN, random_state: int = 0) -> tuple[Any, str]:
    """A fitted detector's tree with its networks' convolutions in 8 bits, and what that costs in words.

    Parameters
    ----------
    model : a fitted detector that can be exported
    data : labelled pictures like those in use; groups are drawn into halves by ``random_state``, one to
        calibrate, the other to judge

    Returns
    -------
    model : what the exporters take in the detector's place
    said : one line with the growth of the held-out error and its interval

    Raises
    ------
    InputError
        When the model has no network, a half has fewer than 8 groups, or the held-out error may
        grow by more than 1 % of itself (the upper end of its 95 % interval over groups).
    """
    from ..runtime.int8 import in_8_bits, n_networks

    tree, (h, w) = fitted_node(model), model.size_hw_
    if tree["kind"] == WHOLE:
        raise InputError("has a finder, and 8 bits are for detectors of crops: export without --int8")
    if tree["kind"] == PICTURES:
        raise InputError(
            "begins with whole pictures, and 8 bits are for detectors of crops: leave out --int8"
        )
    if not n_networks(tree):
        raise InputError("has no network of crops: there is nothing to put into 8 bits")
    crops = make_crops(data, (int(h), int(w)), margin)
    names = np.unique(crops.groups)
    drawn = np.random.default_rng(random_state).permutation(names)[: len(names) // 2]
    mine = np.isin(crops.groups, drawn)
    if len(drawn) < 8:
        raise InputError(f"8 bits are set and judged on 8 groups each at least, got {len(names)} in all")
    small = in_8_bits(tree, crops.images[mine][:CALIBRATING])
    before, after = (_errors(build(node), crops, ~mine) for node in (tree, small))
    middle = float(np.nanmean(before))
    grown = bootstrap_interval((after - before) / middle, crops.groups[~mine], random_state=random_state)
    said = f"{100 * grown.value:+.2f} % [{100 * grown.low:+.2f}, {100 * grown.high:+.2f}]"
    if not grown.high <= MOST:
        raise InputError(
            f"in 8 bits the error of {grown.n} held-out objects grows by {said}, at most {100 * MOST:g} % is"
            " taken: give more pictures, or export without --int8"
        )
    return ExportedTree(small, (int(h), int(w))), (
        f"8 bits: the error of {grown.n} objects in {grown.n_groups} groups, held out of the calibration,"
        f" grows by {said} of {middle:.2f} px"
    )


def _errors(run: Run, crops: Crops, rows: Array) -> Array:
    """(B,) mean distance to the labelled points, px of the crop."""
    found = np.stack([run(crop)[0] for crop in crops.images[rows]])
    away: Array = np.linalg.norm(found - crops.xy[rows], axis=-1)
    return np.nanmean(away, axis=1)


def exported_figures(model: Any, data: Dataset, margin: float = MARGIN) -> str:
    """The leading figure of what the exporters write, on labelled pictures that it was not trained on.

    Parameters
    ----------
    model : a fitted detector of crops that can be exported, or what :func:`int8_model` gives

    Returns
    -------
    str
        The mean with its 95 % interval over groups, of how many objects, and what errors are divided by.
    """
    (h, w), run = model.size_hw_, build(crops_node(model))
    crops = make_crops(data, (int(h), int(w)), margin)
    found = to_picture(crops.matrix, np.stack([run(crop)[0] for crop in crops.images]))
    if found.shape[1] != len(data.landmarks):
        raise InputError(f"{data.name} has {len(data.landmarks)} landmarks, the model {found.shape[1]}")
    metric = metrics_for(data)[0]
    objects = objects_of(data, list(zip(crops.sample.tolist(), crops.instance.tolist(), strict=True)))
    mean = bootstrap_interval(metric.scale * metric(objects.predicted_by(found)), crops.groups)
    value, low, high = (f"{v:.{metric.digits}f}" for v in (mean.value, mean.low, mean.high))
    return (
        f"{metric.heading} {value} [{low}, {high}] on {data.name}: {mean.n} objects in {mean.n_groups}"
        f" groups, errors divided by {info.normalizer_text(data)}"
    )
