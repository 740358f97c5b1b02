"""A small heat-map network with sub-pixel decoding, and the codec between points and maps.

The network reads squares of grey values (B, 1, S, S) and gives K maps of S/4 x S/4; a map's
expectation is the point.  Map pixel (i, j) sits at input point ((j + 1/2) 4 - 1/2,
(i + 1/2) 4 - 1/2), the same convention as everywhere.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from ..geometry import rescale
from ..images import check_crops
from ..structures import Array, InputError
from .estimator import NetDetector, mean_error
from .layers import Encoder, conv, standardise
from .tensors import grey_tensor, pick_device, resize_square

STRIDE = 4  #: input px per map px
MODE_SMOOTHING, MODE_WINDOW = 3.0, 4.0  #: map px; chosen on folds of faces and of bodies
MODE_SHARPNESS = 4.0


def encode(xy: Tensor, size_hw: tuple[int, int], sigma: float) -> Tensor:
    """Points (B, K, 2) in map px to Gaussian maps (B, K, h, w), each summing to 1.

    Sampled at pixel centres and normalised; a NaN point gives a map of zeros.
    """
    height, width = size_hw
    x = torch.arange(width, device=xy.device, dtype=xy.dtype)
    y = torch.arange(height, device=xy.device, dtype=xy.dtype)
    known = torch.isfinite(xy).all(-1)
    xy = torch.where(known.unsqueeze(-1), xy, 0.0)
    over_x = torch.softmax(-((x - xy[..., :1]) ** 2) / (2 * sigma**2), -1)
    over_y = torch.softmax(-((y - xy[..., 1:]) ** 2) / (2 * sigma**2), -1)
    return over_y.unsqueeze(-1) * over_x.unsqueeze(-2) * known[..., None, None]


def decode(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Non-negative maps (B, K, h, w) summing to 1 to (B, K, 2) expectation and (B, K) variance, map px."""
    height, width = (int(v) for v in maps.shape[-2:])
    x, y = _axis(width, maps.device).to(maps.dtype), _axis(height, maps.device).to(maps.dtype)
    over_x, over_y = maps.sum(-2), maps.sum(-1)
    mean_x, mean_y = (over_x * x).sum(-1), (over_y * y).sum(-1)
    variance = (over_x * x * x).sum(-1) - mean_x**2 + (over_y * y * y).sum(-1) - mean_y**2
    return torch.stack([mean_x, mean_y], -1), variance.clamp_min(0)


def decode_mode(maps: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`decode`, of the part of each map around its mode.

    The expectation of a map with two peaks (left or right wrist?) lies between them, where
    nothing is.  Here the map, smoothed and sharpened, says where the greater mass lies, and two steps
    of mean shift (Comaniciu & Meer 2002) take the expectation there, in a Gaussian window.  Plain
    operators only, so that every ONNX engine runs it.
    """
    y, x = (_axis(int(n), maps.device) for n in maps.shape[-2:])
    smooth = _blur_matrix(y) @ maps @ _blur_matrix(x)
    sharp = torch.softmax(MODE_SHARPNESS * torch.log(smooth + 1e-9).flatten(2), -1)
    xy, variance = decode(sharp.view_as(maps))
    for _ in range(2):
        over_x = torch.exp((x - xy[..., :1]) ** 2 / (-2 * MODE_WINDOW**2))
        over_y = torch.exp((y - xy[..., 1:]) ** 2 / (-2 * MODE_WINDOW**2))
        window = maps * over_x.unsqueeze(-2) * over_y.unsqueeze(-1)
        # + 1e-12: a window may be all but empty when the map is flat
        xy, variance = decode(window / (window.sum((2, 3), keepdim=True) + 1e-12))
    return xy, variance


def _axis(n: int, device: torch.device) -> Tensor:
    """0 .. n - 1; a constant for the ONNX tracer, whose operator for torch.arange cv2.dnn refuses."""
    return torch.tensor([float(i) for i in range(n)], device=device)


def _blur_matrix(i: Tensor) -> Tensor:
    """(n, n) symmetric: Gaussian smoothing along an axis of n map px; what leaves the map is lost."""
    return torch.exp((i[:, None] - i) ** 2 / (-2 * MODE_SMOOTHING**2)) / (
        MODE_SMOOTHING * math.sqrt(2 * math.pi)
    )


class HeatmapModule(nn.Module):
    """Encoder to stride 32, decoder back to stride 4 with lateral connections, one map per landmark."""

    mode: Tensor

    def __init__(self, n_landmarks: int, width: int = 64) -> None:
        super().__init__()
        self.register_buffer("mode", torch.tensor(False))
        self.encoder = Encoder()
        self.context = conv(80, 80)
        self.at16 = conv(80, width, 1)
        self.at8 = conv(64, width, 1)
        self.at4 = conv(48, 48, 1)
        self.mix8 = conv(width, 48)
        self.mix4 = conv(48, 48)
        self.head = nn.Conv2d(48, n_landmarks, 1)

    @property
    def at_mode(self) -> bool:
        """Whether points are read at the maps' modes rather than as their expectations."""
        return bool(self.mode)

    def features(self, pictures: Tensor) -> Tensor:
        """(B, 48, S/4, S/4), what the last layer reads."""
        s4, s8, s16, s32 = self.encoder(standardise(pictures))
        up = F.interpolate(self.context(s32), s16.shape[-2:], mode="nearest")
        up = F.interpolate(self.at16(s16 + up), s8.shape[-2:], mode="nearest")
        up = F.interpolate(self.mix8(self.at8(s8) + up), s4.shape[-2:], mode="nearest")
        return self.mix4(self.at4(s4) + up)

    def logits(self, pictures: Tensor) -> Tensor:
        """(B, K, S/4, S/4), the logarithm of each map up to a constant."""
        return self.head(self.features(pictures))

    def maps(self, pictures: Tensor) -> Tensor:
        """(B, K, S/4, S/4) probability maps, each summing to 1."""
        logits = self.logits(pictures)
        return torch.softmax(logits.flatten(2), -1).view_as(logits)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        xy, variance = (decode_mode if self.at_mode else decode)(self.maps(pictures))
        return rescale(xy, STRIDE), -0.5 * torch.log(variance + 1e-2)


class HeatmapNet(NetDetector):
    """Fully convolutional detector with integral (soft-argmax) decoding (Sun et al. 2018).

    The loss joins the distance of the decoded point with the cross-entropy between map and a
    Gaussian around the truth, which keeps the map a single peak (as the divergence term of DSNT,
    Nibali et al. 2018, whose Jensen-Shannon divergence we replace: the cross-entropy also has a
    gradient where map and target do not overlap).  Not labelled points, and points that
    augmentation carried outside, do not count.

    Parameters
    ----------
    input_px : side of the square that the network sees; crops of any size are resampled to it
    sigma : spread of the training target in map px (one map px = 4 input px)
    decoding : "mean" (expectation of the whole map), "mode" (:func:`decode_mode`), or "auto": whichever
        errs less on the validation groups, errors above 5 % of the side counting as 5 %
    max_epochs, batch_size, learning_rate, weight_decay, patience, epoch_pictures :
        see :class:`~hybridkp.deep.training.Schedule`
    validation_fraction : part of the groups kept for early stopping and for calibrating the score
    average : the kept weights are a running mean, in which the past has this weight per step
    precision : of the forward pass in training, "float32", "bfloat16" or "auto" (bfloat16 where the
        hardware has it); predictions are always float32
    device : "auto" (CUDA, MPS, else CPU) or a torch device name
    checkpoint : file for interrupted trainings, or None
    verbose : 1 shows a progress bar on stderr

    Attributes
    ----------
    history_ : training curves; ``validation`` is the mean point error in units of the crop's side
    n_parameters_ : number of weights
    """

    def __init__(
        self,
        input_px: int = 128,
        sigma: float = 1.2,
        decoding: str = "auto",
        max_epochs: int = 20,
        batch_size: int = 16,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        patience: int = 12,
        epoch_pictures: int = 1000,
        validation_fraction: float = 0.1,
        average: float = 0.998,
        precision: str = "auto",
        device: str = "auto",
        random_state: Any = 0,
        checkpoint: Any = None,
        verbose: int = 0,
    ) -> None:
        self.input_px = input_px
        self.sigma = sigma
        self.decoding = decoding
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.epoch_pictures = epoch_pictures
        self.validation_fraction = validation_fraction
        self.average = average
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.verbose = verbose

    def _build(self, n_landmarks: int) -> nn.Module:
        if self.decoding not in ("mean", "mode", "auto"):
            raise InputError(f"decoding must be 'mean', 'mode' or 'auto', got {self.decoding!r}")
        return HeatmapModule(n_landmarks)

    def _set_state(self, state: dict[str, Any]) -> None:
        if state:  # files from before the mode was an option do not say which it is
            state = {**state, "weights": {"net.mode": np.array(False), **state["weights"]}}
        super()._set_state(state)

    def _settle(self, net: Any, pictures: Tensor, target: Tensor, device: torch.device) -> None:
        errors = []
        for mode in (False, True):
            net.mode.fill_(mode)
            off = self._off(self._run(net, pictures, device)[0], target)
            errors.append(mean_error(np.minimum(off, 0.05)))
        chosen = {"mean": False, "mode": True, "auto": errors[1] < errors[0]}[self.decoding]
        net.mode.fill_(chosen)

    def _loss(self, net: Any, pictures: Tensor, xy: Tensor) -> Tensor:
        logits = net.logits(pictures).float()
        height, width = logits.shape[-2:]
        target = rescale(xy, 1 / STRIDE)
        size = torch.tensor([width, height], device=xy.device)
        known = ((target > -0.5) & (target < size - 0.5)).all(-1)  # False for NaN
        log_map = torch.log_softmax(logits.flatten(2), -1)
        found, _ = decode(log_map.exp().view_as(logits))
        wanted = torch.where(known.unsqueeze(-1), target, found.detach())
        distance = (found - wanted).abs().sum(-1)
        entropy = -(encode(target, (height, width), self.sigma).flatten(2) * log_map).sum(-1)
        return ((distance + 0.5 * entropy) * known).sum() / known.sum().clamp_min(1)

    def score_maps(self, images: Any, stride: int = 4) -> Array:
        """(B, K, H/stride, W/stride) float32, each map summing to 1, on the crop's own grid."""
        check_is_fitted(self)
        grey, device = grey_tensor(check_crops(images, self.size_hw_)), pick_device(self.device)
        size = (self.size_hw_[0] // stride, self.size_hw_[1] // stride)
        net: Any = self.module_.net.to(device)
        out = []
        with torch.inference_mode():
            for part in grey.split(32):
                maps = net.maps(resize_square(part.to(device).float(), self.input_px)[0])
                if tuple(maps.shape[-2:]) != size:
                    maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
                maps = maps / maps.sum((2, 3), keepdim=True)
                out.append(maps.float().cpu().numpy())
        return np.concatenate(out)
