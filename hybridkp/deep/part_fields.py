"""Bottom-up: heat maps and part affinity fields of a whole picture, whatever number of objects it shows.

Squares (B, C, S, S) become logits of heat maps (B, K, S/4, S/4) and fields (B, 2 L, S/4, S/4).  They are
read and grouped in :mod:`hybridkp.detection.part_fields`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from ..detection.boxes_math import calibrating
from ..detection.centre_maps import STRIDE
from ..detection.fitting import calibrated
from ..detection.objects_read import FieldReader
from ..detection.part_fields import in_order
from ..detection.picture_points import learned_from, mean_shape
from ..fusion.pictorial import spanning_tree
from ..imaging.geometry import points_box, rescale
from ..imaging.images import as_uint8
from ..structures import Array, DataWarning, InputError, Instance, Sample
from .augment import Augment
from .batches import Batch
from .schedule import Schedule
from .squares import FEATURES, SquareNet, Trunk, flip_tensor, inside, pictures_of

REACH = 1.0  #: cells to each side of a limb that its field covers
OFF_LIMB = 0.3  #: weight of a cell in which a field should be 0
FIELD_WEIGHT = 2.0


class FieldModule(Trunk):
    """A trunk with a heat map of each landmark and a field of unit vectors of each limb."""

    def __init__(self, channels: int, n_points: int, n_limbs: int) -> None:
        super().__init__(channels)
        self.heat, self.flow = nn.Conv2d(FEATURES, n_points, 1), nn.Conv2d(FEATURES, 2 * n_limbs, 1)
        nn.init.constant_(self.heat.bias, -4.0)  # type: ignore[arg-type]  # landmarks are rare

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.maps(pictures)
        return self.flow(maps), self.heat(maps)


class Heights(nn.Module):
    """The module with heights in place of logits, as it is exported."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        flow, heat = self.module(pictures)
        return flow, torch.sigmoid(heat)


def heat_targets(xy: Tensor, cells: int, sigma: float) -> Tensor:
    """(B, K, cells, cells) in 0..1: at each cell the highest Gaussian of the objects' points (B, M, K, 2).

    Points in cells with an integer at a cell's centre, NaN = none.
    """
    at = torch.arange(cells, device=xy.device, dtype=xy.dtype)
    out = xy.new_zeros(len(xy), xy.shape[2], cells, cells)
    for each in xy.unbind(1):  # an object at a time: all at once would take gigabytes
        x, y = (torch.exp(((at - each[..., i : i + 1]) ** 2) / (-2 * sigma**2)) for i in (0, 1))
        out = torch.maximum(out, (y[..., None] * x[..., None, :]).nan_to_num())
    return out


def field_targets(xy: Tensor, limbs: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """(B, L, 2, h, w) unit vectors along limbs (L, 2) of points (B, M, K, 2) in cells; where: (B, L, h, w).

    Where limbs of several objects cross, the mean of their vectors.
    """
    at = torch.arange(cells, device=xy.device, dtype=xy.dtype)
    total = xy.new_zeros(len(xy), len(limbs), 2, cells, cells)
    count = xy.new_zeros(len(xy), len(limbs), cells, cells)
    for each in xy.unbind(1):
        start, end = each[:, limbs[:, 0]], each[:, limbs[:, 1]]
        length = (end - start).norm(dim=-1, keepdim=True)
        unit = (end - start) / length.clamp_min(1e-3)
        x, y = at - start[..., :1], at - start[..., 1:]  # (B, L, cells)
        ux, uy = unit[..., 0, None, None], unit[..., 1, None, None]
        along = x[..., None, :] * ux + y[..., None] * uy
        across = x[..., None, :] * uy - y[..., None] * ux
        ends = REACH / 2
        on = (across.abs() <= REACH) & (along >= -ends) & (along <= length[..., None] + ends)  # False for NaN
        count = count + on
        total = total + (unit[..., None, None] * on[:, :, None]).nan_to_num()
    return total / count.clamp_min(1)[:, :, None], count > 0


def field_loss(flow: Tensor, heat: Tensor, rows: Batch, limbs: Tensor, sigma: float) -> Tensor:
    """Cross-entropy of heights and squares of fields, per labelled point and per cell of a limb.

    A landmark that is not labelled teaches nothing inside its object's box, nor do regions to ignore.
    """
    boxes, ignored, xy = rows
    cells = heat.shape[-1]
    xy = rescale(xy, 1 / STRIDE)
    target = heat_targets(xy, cells, sigma)
    lacking = ~torch.isfinite(xy).all(-1)  # (B, M, K)
    within = inside(boxes / STRIDE, cells)  # (B, M, h, w)
    unknown = torch.einsum("bmk,bmhw->bkhw", lacking.float(), within.float()) > 0
    crowd = inside(ignored / STRIDE, cells).any(1)[:, None]
    taught = ~(unknown | crowd) | (target > 0.3)
    value = F.binary_cross_entropy_with_logits(heat.float(), target, reduction="none")
    floor = -(torch.xlogy(target, target) + torch.xlogy(1 - target, 1 - target))  # what is left at the best
    loss = ((value - floor) * taught).sum() / (~lacking).sum().clamp_min(1)
    way, on = field_targets(xy, limbs, cells)
    known = ~(unknown[:, limbs[:, 0]] | unknown[:, limbs[:, 1]] | crowd) | on
    weight = torch.where(on, 1.0, OFF_LIMB) * known
    square = (flow.float().view_as(way) - way).square().sum(2)
    return loss + FIELD_WEIGHT * (square * weight).sum() / on.sum().clamp_min(1)


@dataclass(eq=False, repr=False)
class PartFieldNet(SquareNet):
    """Bottom-up: all landmarks of a picture at once, joined to objects by part affinity fields.

    Parameters
    ----------
    input_px : side of the square that the whole picture is fitted into; a multiple of 32
    color : see colour, else grey
    sigma : spread of a landmark's hill, in cells of 4 px of the square
    least_height : of a hill that counts
    least_part : of the landmarks, that an object must show
    overlap : of two objects' boxes, above which the better one stays
    schedule : :class:`~hybridkp.deep.Schedule`, or None for this network's own
    random_state : fixes weights, order and augmentation

    Attributes
    ----------
    skeleton_ : (L, 2) the limbs, those of a tree first
    n_parameters_, history_ : as of :class:`.CentreNet`

    References
    ----------
    Z. Cao, G. Hidalgo, T. Simon, S.-E. Wei, Y. Sheikh, OpenPose, TPAMI 43(1), 2021.  Departures: one compact
    network with deconvolutions and no stages; heights are probabilities, learned by cross-entropy; limbs are
    matched by the greatest total, and those beyond a tree mend what a hidden landmark has torn.
    """

    varied: ClassVar[Augment] = Augment(rotation=7.0, scale=0.18, shift=0.1, stretch=0.04, occlusion=0.1)

    input_px: int = 256
    color: bool = True
    sigma: float = 1.0
    least_height: float = 0.1
    least_part: float = 0.3
    overlap: float = 0.6
    schedule: Schedule | None = None
    random_state: Any = 0

    def fit(
        self, samples: Iterable[Sample], *, skeleton: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> PartFieldNet:
        """Learn from the points of samples; crowds are left alone, pictures without an object are welcome.

        Parameters
        ----------
        skeleton : (E, 2) pairs of landmarks.  What it leaves apart, everything where it is None, is joined by
            the edges whose offsets scatter least, with a :class:`~hybridkp.structures.DataWarning`
        flip : (K,) the landmark that each becomes in a mirror image; None: no mirror images

        Raises
        ------
        InputError
            When no object has points, for a landmark that is labelled nowhere, for one landmark alone, and
            for a skeleton of landmarks that are not there.
        """
        samples, shapes = learned_from(samples)
        k = shapes.shape[1]
        if k < 2:
            raise InputError("part fields join landmarks, and there is only one: take onestage, or a finder")
        self.skeleton_ = _limbs(skeleton, shapes)
        self.mean_ = mean_shape(shapes)
        self.grow_ = _growth(samples)
        limbs, sigma = torch.from_numpy(self.skeleton_), float(self.sigma)

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            pictures, *rows = batch
            flow, heat = module(pictures_of(pictures))
            return field_loss(flow, heat, tuple(rows), limbs.to(flow.device), sigma)

        held_out = self._train(samples, k, loss, flip_tensor(flip))
        self.calibration_ = calibrated(self._judged, calibrating(held_out, samples))
        return self

    def _make(self) -> FieldModule:
        return FieldModule(self._channels, len(self.mean_), len(self.skeleton_))

    @property
    def _reader(self) -> FieldReader:
        return FieldReader(
            int(self.input_px),
            bool(self.color),
            self.skeleton_,
            self.mean_,
            self.grow_,
            float(self.least_height),
            float(self.least_part),
            float(self.overlap),
            self.calibration_,
        )

    def _heights(self, square: Array) -> tuple[Array, Array]:
        flow, heat = self._ask(square)
        return flow, 1 / (1 + np.exp(-heat.astype(float)))

    def _judged(self, image: Array, name: str) -> tuple[Array, Array]:
        _, _, boxes, odds = self._reader.judged(self._heights, image)
        return boxes, odds

    def detect(self, image: Any, *, name: str = "") -> list[Instance]:
        """The objects of a picture (h, w[, 3]), best first; a landmark that is not seen is NaN."""
        check_is_fitted(self)
        return self._reader.detect(self._heights, as_uint8(image, name or "picture"))

    def runtime_node(self) -> dict[str, Any]:
        check_is_fitted(self)
        read = {k: v for k, v in vars(self._reader).items() if k != "color"}
        return {
            "kind": "detection.part_fields",
            **read,
            **self._graph(Heights(self.module_), ("flow", "heat")),
        }

    def get_state(self) -> dict[str, Any]:
        state = super().get_state()
        learned = {"skeleton": self.skeleton_, "mean": self.mean_, "grow": self.grow_} if state else {}
        return {**state, **learned}

    def set_state(self, state: dict[str, Any]) -> None:
        if state:
            self.skeleton_ = np.asarray(state["skeleton"], np.int64).reshape(-1, 2)
            self.mean_, self.grow_ = (np.asarray(state[name], float) for name in ("mean", "grow"))
            if (
                self.mean_.ndim != 2
                or not (self.skeleton_ >= 0).all()
                or not (self.skeleton_ < len(self.mean_)).all()
            ):
                raise InputError("a skeleton names a landmark that is not there: train again")
        super().set_state(state)


def _limbs(skeleton: ArrayLike | None, shapes: Array) -> Array:
    """The limbs (L, 2): those given, and where they leave landmarks apart, the edges that vary least."""
    k = shapes.shape[1]
    given = in_order(np.zeros((0, 2), int) if skeleton is None else np.asarray(skeleton, int))
    if len(given) and (given.min() < 0 or given.max() >= k):
        raise InputError(f"the skeleton names a landmark outside 0..{k - 1}")
    size = np.array([np.sqrt(np.prod(np.maximum(points_box(s)[2:], 1.0))) for s in shapes])
    parent = spanning_tree(shapes / size[:, None, None])
    edges = np.array([[p, i] for i, p in enumerate(parent) if p >= 0], int).reshape(-1, 2)
    both = in_order(np.concatenate([given, edges]))
    known = {frozenset(limb) for limb in given.tolist()}
    added = [limb for limb in both[: k - 1].tolist() if frozenset(limb) not in known]
    if added:
        told = ", ".join(f"{a}-{b}" for a, b in added[:6]) + ", ..." * (len(added) > 6)
        what = "the skeleton leaves landmarks apart" if len(given) else "the data have no skeleton"
        warnings.warn(
            f"{what}: they are joined by the edges that vary least ({told}); `skeleton` in the"
            " annotations says which you want",
            DataWarning,
            stacklevel=3,
        )
    return in_order([*given.tolist(), *added])


def _growth(samples: Sequence[Sample]) -> Array:
    """(2,) sides of an object's box / of its points' box, the median of objects that are labelled whole."""
    ratio = [
        i.box_xywh[2:] / np.maximum(points_box(i.xy)[2:], 1.0)
        for s in samples
        for i in s.instances
        if not i.ignore and np.isfinite(i.xy).all()
    ]
    return np.clip(np.median(ratio, axis=0), 0.5, 4.0) if ratio else np.ones(2)
