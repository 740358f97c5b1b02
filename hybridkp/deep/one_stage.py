"""One stage: the centre of each object, its box, and all its points as offsets from there.

Squares (B, C, S, S) become what :mod:`.centre` has, and offsets (B, 2 K, S/4, S/4) in sides of the box.
They are read in :mod:`hybridkp.detection.objects_read`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ..detection.boxes_math import calibrating
from ..detection.centre_maps import STRIDE, CentreReader
from ..detection.fitting import calibrated
from ..detection.objects_read import OffsetReader
from ..detection.picture_points import learned_from
from ..imaging.images import as_uint8
from ..structures import Array, InputError, Instance, Sample
from .augment import Augment
from .batches import Batch
from .centre import CentreModule, centre_loss
from .schedule import Schedule
from .squares import SquareNet, flip_tensor, pictures_of

POINT_WEIGHT = 8.0


def offset_loss(
    offsets: Tensor, change: Tensor, xy: Tensor, boxes: Tensor, weight: Tensor, which: Tensor
) -> Tensor:
    """Mean distance of the points, in sides of their object, weighed as its box is.

    Unlabelled ones do not count.  Offsets (B, 2 K, h, w) are laid out from the boxes that the network itself
    gives, which do not learn from this; xy (B, M, K, 2) and boxes (B, M, 2, 2) px, weight and which (B, h, w)
    as of :func:`.centre_targets`.
    """
    b, _, h, w = offsets.shape
    k = xy.shape[2]
    y, x = torch.meshgrid(*(torch.arange(n, device=xy.device) for n in (h, w)), indexing="ij")
    own = change.detach().float()
    middle = torch.stack([x + 0.5 + own[:, 0], y + 0.5 + own[:, 1]], 1)[:, None]  # (B, 1, 2, h, w)
    size = torch.exp(own[:, 2:].clamp(-4, 6))[:, None]
    found = middle + offsets.float().view(b, k, 2, h, w) * size
    index = which.flatten(1)[..., None]
    true = ((xy + 0.5) / STRIDE).flatten(2).gather(1, index.expand(-1, -1, 2 * k))
    true = true.view(b, h, w, k, 2).permute(0, 3, 4, 1, 2)
    side = (boxes[:, :, 1] - boxes[:, :, 0]).prod(-1).sqrt() / STRIDE  # (B, M)
    side = side.nan_to_num(1.0).gather(1, which.flatten(1)).view(b, 1, h, w).clamp_min(1.0)
    known = torch.isfinite(true).all(2)
    off = (found - torch.where(known[:, :, None], true, found.detach())).square().sum(2)
    distance = (off / side**2 + 1e-4).sqrt() - 0.01
    counts = known * weight[:, None]
    return (distance * counts).sum() / counts.sum().clamp_min(1e-6)


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    pictures, true, ignored, xy = batch
    offsets, change, logits = module(pictures_of(pictures))
    loss, weight, which = centre_loss(change, logits, true, ignored)
    return loss + POINT_WEIGHT * offset_loss(offsets, change, xy, true, weight, which)


@dataclass(eq=False, repr=False)
class OneStageNet(SquareNet):
    """One stage: each object's centre, box, and points in one look (Zhou, Wang, Krähenbühl 2019, section 5).

    Parameters
    ----------
    input_px : side of the square that the whole picture is fitted into; a multiple of 32
    color : see colour, else grey
    overlap : of two boxes, above which the better one stays
    schedule : :class:`~hybridkp.deep.Schedule`, or None for this network's own
    random_state : fixes weights, order and augmentation

    Attributes
    ----------
    n_parameters_, history_ : as of :class:`.CentreNet`

    Notes
    -----
    Departures from the paper: offsets are in sides of the object's box, so that size is learned once; no heat
    maps of landmarks to which points would snap: a cascade behind it (``onestage:sdm``) places them.  Every
    point's score is its object's.
    """

    varied: ClassVar[Augment] = Augment(rotation=5.0, scale=0.18, shift=0.12, stretch=0.05, occlusion=0.1)

    input_px: int = 256
    color: bool = True
    overlap: float = 0.5
    schedule: Schedule | None = None
    random_state: Any = 0

    def fit(
        self, samples: Iterable[Sample], *, skeleton: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> OneStageNet:
        """Learn from the boxes and points of samples; crowds are left alone.

        Parameters
        ----------
        skeleton : has no part in it
        flip : (K,) the landmark that each becomes in a mirror image; None: no mirror images

        Raises
        ------
        InputError
            When no object has points.
        """
        samples, shapes = learned_from(samples)
        self.n_points_ = shapes.shape[1]
        held_out = self._train(samples, self.n_points_, _loss, flip_tensor(flip))
        reader = self._reader.centres
        self.calibration_ = calibrated(
            lambda image, _: reader.judged(self._centres, image), calibrating(held_out, samples)
        )
        return self

    def _make(self) -> CentreModule:
        return CentreModule(self._channels, self.n_points_)

    @property
    def _reader(self) -> OffsetReader:
        centres = CentreReader(self.input_px, bool(self.color), float(self.overlap), self.calibration_)
        return OffsetReader(centres)

    def _centres(self, square: Array) -> tuple[Array, Array]:
        _, change, centre = self._ask(square)
        return centre[0], change

    def detect(self, image: Any, *, name: str = "") -> list[Instance]:
        """The objects of a picture (h, w[, 3]), best first, each with all its points."""
        check_is_fitted(self)
        return self._reader.detect(self._ask, as_uint8(image, name or "picture"))

    def runtime_node(self) -> dict[str, Any]:
        check_is_fitted(self)
        return {
            "kind": "detection.one_stage",
            **self._graph(self.module_, ("offsets", "change", "centre")),
            "overlap": float(self.overlap),
        }

    def get_state(self) -> dict[str, Any]:
        state = super().get_state()
        return {**state, "n_points": int(self.n_points_)} if state else state

    def set_state(self, state: dict[str, Any]) -> None:
        if state:
            self.n_points_ = int(state["n_points"])
            if not 1 <= self.n_points_ <= 10_000:
                raise InputError("a model of no points: train again")
        super().set_state(state)
