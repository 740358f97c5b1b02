"""Local experts that are convolutional: each patch is judged for each landmark, shape decides.

The deep counterpart of :class:`hybridkp.landmarks.PatchDetector` on the same kind of candidates:
three pyramid levels, coarse to fine, with the point distribution model between them.  A network only
ever sees 18 x 18 px of its level, never the whole object.  Squares of grey values (B, 1, S, S) in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ..imaging.geometry import rescale
from ..imaging.images import check_crops
from ..landmarks.shape import PointDistribution
from ..stats.calibration import calibrated
from ..structures import Array, DetectorMixin, InputError
from .augment import Augment, augment
from .batches import Batch, pixel_grid, rounded
from .codec import decode
from .devices import in_parts, place
from .estimator import NetEstimator, mean_error
from .losses import map_entropy, masked_mean
from .networks.blocks import standardise
from .networks.dense import DenseTrunk
from .schedule import Schedule

STRIDE = DenseTrunk.stride  #: candidates lie two px of their level apart
SCALES = (0.25, 0.5, 1.0)  #: of the pyramid levels, coarse first
TARGET = 1.0  #: spread of the training target, in candidates


class PatchModule(nn.Module):
    """One trunk with K outputs per level."""

    mean_xy: Tensor
    spread: Tensor

    def __init__(self, n_landmarks: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList([DenseTrunk(1, n_landmarks, (16, 24, 32)) for _ in SCALES])
        self.register_buffer("mean_xy", torch.zeros(n_landmarks, 2))
        self.register_buffer("spread", torch.ones(()))

    def log_maps(self, level: int, pictures: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
        """(B, K, h, w) logarithm of the probability of each candidate, in a Gaussian window.

        ``centre`` (B, K, 2) and ``spread`` (a number or (B, K)), in px of the square, say where
        to search.
        """
        pictures = F.avg_pool2d(pictures, round(1 / SCALES[level]))
        logits = self.levels[level](standardise(pictures))
        step = STRIDE / SCALES[level]
        place = rescale(pixel_grid(logits.shape[-2], logits.shape[-1], logits.device), step)
        x = (place[0, :, 0] - centre[..., :1]) ** 2
        y = (place[:, 0, 1] - centre[..., 1:]) ** 2
        window = (y.unsqueeze(-1) + x.unsqueeze(-2)) / (2 * spread**2)[..., None, None]
        return torch.log_softmax((logits - window).flatten(2), -1).view_as(logits)

    def fine(self, pictures: Tensor) -> Tensor:
        """(B, K, S/2, S/2), the fine level's logits of every candidate, before any window."""
        return self.levels[-1](standardise(pictures))

    def near(self, logits: Tensor, centre: Tensor, spread: float) -> tuple[Tensor, Tensor]:
        """As :meth:`log_maps` from the fine level's ``logits``, only candidates within 3.5 ``spread``.

        (B, K, n, n) log probabilities and (B, K, 2), the candidate in their top-left corner.
        """
        height, width = (int(v) for v in logits.shape[-2:])
        n = min(2 * math.ceil(3.5 * spread / STRIDE) + 1, height, width)
        middle = rescale(centre, 1 / STRIDE)
        most = torch.tensor([width - n, height - n], device=centre.device)
        origin = torch.minimum(middle.round() - n // 2, most).clamp_min(0)
        steps = torch.arange(n, device=centre.device)
        x, y = (origin[..., :1] + steps), (origin[..., 1:] + steps)
        index = (y.unsqueeze(-1) * width + x.unsqueeze(-2)).long().flatten(2)
        off = ((y - middle[..., 1:]) ** 2).unsqueeze(-1) + ((x - middle[..., :1]) ** 2).unsqueeze(-2)
        window = off.flatten(2) / (2 * (spread / STRIDE) ** 2)
        log_maps = torch.log_softmax(logits.flatten(2).gather(2, index) - window, -1)
        return log_maps.unflatten(2, (n, n)), origin

    def search(self, level: int, pictures: Tensor, centre: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        """Expected place (B, K, 2) and variance (B, K) in px and px² of the square."""
        xy, variance = decode(self.log_maps(level, pictures, centre, spread).exp())
        step = STRIDE / SCALES[level]
        return rescale(xy, step), variance * step**2

    def search_fine(self, logits: Tensor, centre: Tensor, spread: float) -> tuple[Tensor, Tensor]:
        """The same on the fine level, from its logits."""
        log_maps, origin = self.near(logits, centre, spread)
        xy, variance = decode(log_maps.exp())
        return rescale(xy + origin, STRIDE), variance * STRIDE**2


@dataclass(eq=False, repr=False)
class PatchCNN(DetectorMixin, NetEstimator):
    """Dense convolutional patch classifiers, coarse to fine, with a shape model.

    Per landmark, the candidates in a Gaussian search window compete (multinomial logistic loss:
    the landmark's candidate against the background's).  On the coarsest level the window is the
    landmark's distribution in training, on the others it is around what the shape model made of
    the level before.  The last prediction is drawn towards the plausible shape by as much as its
    own map is spread.

    Parameters
    ----------
    input_px : crops are resampled to this square
    window : spread of the fine search window, in units of the side
    n_passes : searches on the fine level, each around the plausible shape of the one before
    variance : of :class:`~hybridkp.landmarks.PointDistribution`
    schedule, random_state : as in :class:`~hybridkp.deep.heatmap.HeatmapNet`

    Attributes
    ----------
    history_, n_parameters_ : as in :class:`~hybridkp.deep.heatmap.HeatmapNet`
    """

    augmentation = Augment(rotation=10, scale=0.08, shift=0.04, occlusion=0.1)
    schedule_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 10, "learning_rate": 3e-3, "patience": 10}

    input_px: int = 128
    window: float = 0.03
    n_passes: int = 5
    variance: float = 0.98
    schedule: Schedule | None = None
    random_state: Any = 0

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> PatchCNN:
        """Train on crops (B, H, W[, 3]) and points (B, K, 2) in crop px, NaN = not labelled."""
        if self.input_px < 32 or self.input_px % 8 or self.window <= 0 or self.n_passes < 1:
            raise InputError("PatchCNN needs input_px >= 32, a multiple of 8, window > 0 and n_passes >= 1")
        fit = self._begin(images, xy, groups, flip)
        squares, scale = self._squares(fit.images)
        target = self._to_square(fit.points, scale)
        self.shape_ = PointDistribution(variance=self.variance).fit(target.numpy())
        module = self._fresh(fit)
        module.mean_xy.copy_(torch.nanmean(target, 0))
        power = torch.nanmean((target - module.mean_xy).square().sum(-1)) / 2
        module.spread.copy_(power.sqrt() + 0.04 * self.input_px)

        def vary(batch: Batch, generator: Generator) -> Batch:
            pictures, xy = augment(batch[0], batch[1], self._varied, generator, fit.flip)
            noise = torch.randn(len(xy), xy.shape[1] + 1, 2, generator=generator).to(xy.device)
            noise = self.window * self.input_px * (0.6 * noise[:, 1:] + 0.6 * noise[:, :1])
            return pictures, xy, xy.nan_to_num() + noise

        held_out = squares[fit.held_out], target[fit.held_out]
        self._train(
            module,
            (rounded(squares), target),
            self._loss,
            lambda net: mean_error(self._errors(self._run(net, held_out[0], fit.device)[0], held_out[1])),
            vary,
            fit,
        )
        found, raw = self._run(module, held_out[0], fit.device)
        self.calibration_ = calibrated(raw, self._errors(found, held_out[1]))
        self._finish(module, fit)
        return self

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px, and (B, K) the probability of an error under 2.5 % of the side."""
        check_is_fitted(self)
        squares, scale = self._squares(check_crops(images, self.size_hw_))
        xy, raw = self._run(self.module_, squares, self._device)
        return rescale(xy, 1 / scale.numpy()).astype(np.float32), self._probability(raw).astype(np.float32)

    def score_maps(self, images: Any, stride: int = 4) -> Array:
        """(B, K, H/stride, W/stride) float32: the fine level's candidates, each map summing to 1."""
        check_is_fitted(self)
        size = (self.size_hw_[0] // stride, self.size_hw_[1] // stride)
        squares, _ = self._squares(check_crops(images, self.size_hw_))
        module = self.module_
        place(module, self._device)

        def maps_of(part: Tensor) -> Tensor:
            spread = self._fine_spread(part.device)
            maps: Tensor = module.log_maps(len(SCALES) - 1, part, self._coarse(module, part), spread).exp()
            if maps.shape[-1] >= 2 * size[1] and maps.shape[-2] >= 2 * size[0]:
                maps = F.avg_pool2d(maps, 2)
            if tuple(maps.shape[-2:]) != size:
                maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
            return maps / maps.sum((2, 3), keepdim=True).clamp_min(1e-12)

        maps: Array = in_parts(maps_of, self._device, squares)
        return maps

    # ---------------------------------------------------------------------------- inside

    def _make(self, n_landmarks: int) -> PatchModule:
        return PatchModule(n_landmarks)

    def _fine_spread(self, device: torch.device) -> Tensor:
        return torch.tensor(self.window * self.input_px, device=device)

    def _coarse(self, module: PatchModule, pictures: Tensor) -> Tensor:
        """(B, K, 2): the plausible shape closest to what the coarse levels predict."""
        shape, spread = module.mean_xy.expand(len(pictures), -1, -1), module.spread
        for level in range(len(SCALES) - 1):
            shape = self._plausible(*module.search(level, pictures, shape, spread))
            spread = 2 * self._fine_spread(pictures.device)
        return shape

    def _plausible(self, xy: Tensor, variance: Tensor) -> Tensor:
        unit = (0.01 * self.input_px) ** 2
        weight = unit / (variance.cpu().double().numpy() + unit)
        shape = self.shape_.project(xy.cpu().double().numpy(), weight)
        return torch.from_numpy(shape.astype(np.float32)).to(xy.device)

    def _loss(self, module: Any, batch: Batch) -> Tensor:
        pictures, xy, centre = batch
        known = ((xy > 0) & (xy < self.input_px - 1)).all(-1)  # False for NaN
        mean = module.mean_xy.expand(len(xy), -1, -1)
        middle = xy.nan_to_num() + 2 * (centre - xy.nan_to_num())
        spread = 2 * self._fine_spread(xy.device)
        fine, origin = module.near(module.fine(pictures), centre, self.window * self.input_px)
        at = self._candidate(xy, len(SCALES) - 1) - origin
        inside = known & ((at > -0.5) & (at < fine.shape[-1] - 0.5)).all(-1)
        total = torch.zeros((), device=xy.device)
        for log_maps, where, seen in (
            (module.log_maps(0, pictures, mean, module.spread), self._candidate(xy, 0), known),
            (module.log_maps(1, pictures, middle, spread), self._candidate(xy, 1), known),
            (fine, at, inside),
        ):
            total = total + masked_mean(map_entropy(log_maps, where, TARGET), seen)
        return total

    @staticmethod
    def _candidate(xy: Tensor, level: int) -> Tensor:
        return rescale(xy, SCALES[level] / STRIDE)

    def _run(self, module: Any, pictures: Any, device: torch.device) -> tuple[Array, Array]:
        """Points and raw confidence of squares (B, 1, S, S)."""
        place(module, device)
        unit = (0.01 * self.input_px) ** 2

        def search(part: Tensor) -> tuple[Tensor, Tensor]:
            logits, shape = module.fine(part), self._coarse(module, part)
            xy, variance = shape, shape[..., 0]
            for _ in range(self.n_passes):
                xy, variance = module.search_fine(logits, shape, self.window * self.input_px)
                shape = self._plausible(xy, variance)
            weight = (4 * unit / (variance + 4 * unit)).unsqueeze(-1)
            far = (xy - shape).square().sum(-1)
            return weight * xy + (1 - weight) * shape, -0.5 * torch.log(variance + far + 0.1 * unit)

        found: tuple[Array, Array] = in_parts(search, device, pictures)
        return found

    def get_state(self) -> dict[str, Any]:
        state = super().get_state()
        return state | {"shape": self.shape_} if state else {}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        if state:
            self.shape_ = state["shape"]
