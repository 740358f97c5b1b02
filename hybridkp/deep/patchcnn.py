"""Local experts that are convolutional: each patch is judged for each landmark, shape decides.

The deep counterpart of :class:`hybridkp.landmarks.PatchDetector` on the same kind of candidates:
three pyramid levels, coarse to fine, with the point distribution model between them.  A network only
ever sees 18 x 18 px of its level, never the whole object.  Squares of grey values (B, 1, S, S) in.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ..imaging.geometry import rescale
from ..imaging.images import check_crops
from ..landmarks.shape import PointDistribution
from ..structures import Array, DetectorMixin, InputError, check_xy
from .augment import Augment, augment
from .estimator import NetEstimator, calibrated, mean_error
from .heatmap import decode, encode
from .layers import DenseTrunk, standardise
from .tensors import draw_seed, n_parameters, pick_device, pixel_grid, place, seeded, split_rows
from .training import Batch

STRIDE = 2  #: candidates lie two px of their level apart
SCALES = (0.25, 0.5, 1.0)  #: of the pyramid levels, coarse first
TARGET = 1.0  #: spread of the training target, in candidates


class PatchModule(nn.Module):
    """One trunk with K outputs per level."""

    mean_xy: Tensor
    spread: Tensor

    def __init__(self, n_landmarks: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList([DenseTrunk(n_landmarks, (16, 24, 32)) for _ in SCALES])
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
        """(B, K, S/2, S/2), the fine level's answer for every candidate, before any window."""
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


class PatchCNN(NetEstimator, DetectorMixin, BaseEstimator):
    """Dense convolutional patch classifiers, coarse to fine, with a shape model.

    Per landmark, the candidates in a Gaussian search window compete (multinomial logistic loss:
    the landmark's candidate against the background's).  On the coarsest level the window is the
    landmark's distribution in training, on the others it is around what the shape model made of
    the level before.  The last answer is drawn towards the plausible shape by as much as its
    own map is spread.

    Parameters
    ----------
    input_px : crops are resampled to this square
    window : spread of the fine search window, in units of the side
    n_passes : searches on the fine level, each around the plausible shape of the one before
    variance : of :class:`~hybridkp.landmarks.PointDistribution`
    max_epochs ... verbose : as in :class:`~hybridkp.deep.heatmap.HeatmapNet`

    Attributes
    ----------
    history_, n_parameters_ : as in :class:`~hybridkp.deep.heatmap.HeatmapNet`
    """

    augmentation = Augment(rotation=10, scale=0.08, shift=0.04, occlusion=0.1)

    def __init__(
        self,
        input_px: int = 128,
        window: float = 0.03,
        n_passes: int = 5,
        variance: float = 0.98,
        max_epochs: int = 10,
        batch_size: int = 16,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-2,
        patience: int = 10,
        epoch_pictures: int = 1000,
        validation_fraction: float = 0.1,
        device: str = "auto",
        random_state: Any = 0,
        checkpoint: Any = None,
        verbose: int = 0,
    ) -> None:
        self.input_px = input_px
        self.window = window
        self.n_passes = n_passes
        self.variance = variance
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.epoch_pictures = epoch_pictures
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.verbose = verbose

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> PatchCNN:
        """Train on crops (B, H, W[, 3]) and points (B, K, 2) in crop px, NaN = not labelled."""
        images = check_crops(images)
        points = check_xy(xy, len(images))
        if self.input_px < 32 or self.input_px % 8 or self.window <= 0 or self.n_passes < 1:
            raise InputError("PatchCNN needs input_px >= 32, a multiple of 8, window > 0 and n_passes >= 1")
        seed, device = draw_seed(self.random_state), pick_device(self.device)
        rows, held = split_rows(len(images), groups, self.validation_fraction, seed)
        squares, scale = self._squares(images)
        target, k = self._to_square(points, scale), points.shape[1]
        self.shape_ = PointDistribution(variance=self.variance).fit(target.numpy())
        with seeded(seed, device):
            module = self._make(k)
        module.mean_xy.copy_(torch.nanmean(target, 0))
        power = torch.nanmean((target - module.mean_xy).square().sum(-1)) / 2
        module.spread.copy_(power.sqrt() + 0.04 * self.input_px)
        mirror = None if flip is None else torch.from_numpy(np.array(flip, np.int64))

        def vary(batch: Batch, generator: Generator) -> Batch:
            pictures, xy = augment(batch[0], batch[1], self.augmentation, generator, mirror)
            noise = torch.randn(len(xy), k + 1, 2, generator=generator).to(xy.device)
            noise = self.window * self.input_px * (0.6 * noise[:, 1:] + 0.6 * noise[:, :1])
            return pictures, xy, xy.nan_to_num() + noise

        self.history_ = self._train(
            module,
            (squares.round().to(torch.uint8)[rows], target[rows]),
            self._loss,
            lambda net: mean_error(self._off(self._run(net, squares[held], device)[0], target[held])),
            vary,
            seed,
        )
        found, raw = self._run(module, squares[held], device)
        self.calibration_ = calibrated(raw, self._off(found, target[held]))
        self.size_hw_ = (int(images.shape[1]), int(images.shape[2]))
        self.n_landmarks_, self.n_parameters_, self.module_ = k, n_parameters(module), module.eval()
        return self

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px, and (B, K) the probability of an error under 2.5 % of the side."""
        check_is_fitted(self)
        squares, scale = self._squares(check_crops(images, self.size_hw_))
        xy, raw = self._run(self.module_, squares, pick_device(self.device))
        weight, bias = self.calibration_
        score = 1 / (1 + np.exp(-(weight * raw + bias)))
        return rescale(xy, 1 / scale.numpy()).astype(np.float32), score.astype(np.float32)

    def score_maps(self, images: Any, stride: int = 4) -> Array:
        """(B, K, H/stride, W/stride) float32: the fine level's candidates, each map summing to 1."""
        check_is_fitted(self)
        device = pick_device(self.device)
        size = (self.size_hw_[0] // stride, self.size_hw_[1] // stride)
        squares, _ = self._squares(check_crops(images, self.size_hw_))
        module, out = self.module_, []
        place(module, device)
        with torch.inference_mode():
            for part in squares.split(32):
                part = part.to(device)
                maps = module.log_maps(
                    len(SCALES) - 1, part, self._coarse(module, part), self._fine_spread(device)
                ).exp()
                if maps.shape[-1] >= 2 * size[1] and maps.shape[-2] >= 2 * size[0]:
                    maps = F.avg_pool2d(maps, 2)
                if tuple(maps.shape[-2:]) != size:
                    maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
                out.append((maps / maps.sum((2, 3), keepdim=True).clamp_min(1e-12)).cpu().numpy())
        return np.concatenate(out)

    # ---------------------------------------------------------------------------- inside

    def _make(self, n_landmarks: int) -> PatchModule:
        return PatchModule(n_landmarks)

    def _fine_spread(self, device: torch.device) -> Tensor:
        return torch.tensor(self.window * self.input_px, device=device)

    def _coarse(self, module: PatchModule, pictures: Tensor) -> Tensor:
        """(B, K, 2): the plausible shape closest to the coarse levels' answer."""
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
            target = encode(where, (log_maps.shape[-2], log_maps.shape[-1]), TARGET)
            entropy = -(target * log_maps).sum((2, 3))
            total = total + (entropy * seen).sum() / seen.sum().clamp_min(1)
        return total

    @staticmethod
    def _candidate(xy: Tensor, level: int) -> Tensor:
        return rescale(xy, SCALES[level] / STRIDE)

    def _run(self, module: Any, pictures: Tensor, device: torch.device) -> tuple[Array, Array]:
        """Points and raw confidence of squares (B, 1, S, S)."""
        place(module, device)
        unit, points, raw = (0.01 * self.input_px) ** 2, [], []
        with torch.inference_mode():
            for part in pictures.split(32):
                part = part.to(device)
                logits, shape = module.fine(part), self._coarse(module, part)
                xy, variance = shape, shape[..., 0]
                for _ in range(self.n_passes):
                    xy, variance = module.search_fine(logits, shape, self.window * self.input_px)
                    shape = self._plausible(xy, variance)
                own = (4 * unit / (variance + 4 * unit)).unsqueeze(-1)
                far = (xy - shape).square().sum(-1)
                points.append((own * xy + (1 - own) * shape).cpu().numpy())
                raw.append((-0.5 * torch.log(variance + far + 0.1 * unit)).cpu().numpy())
        return np.concatenate(points), np.concatenate(raw)

    def get_state(self) -> dict[str, Any]:
        if not hasattr(self, "module_"):
            return {}
        shape = {n: getattr(self.shape_, n) for n in ("mean_", "components_", "sigma_", "noise_")}
        return super().get_state() | {"shape": {name.rstrip("_"): value for name, value in shape.items()}}

    def set_state(self, state: dict[str, Any]) -> None:
        if not state:
            return
        super().set_state(state)
        self.shape_ = PointDistribution(variance=self.variance)
        for name, value in state["shape"].items():
            setattr(self.shape_, f"{name}_", value)
