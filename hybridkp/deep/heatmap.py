"""A small heat-map network with sub-pixel decoding, and the codec between points and maps.

The network reads squares (B, C, S, S), grey or BGR, and gives K maps of S/4 x S/4; a map's
expectation, or its mode, is the point.  Map pixel (i, j) sits at input point ((j + 1/2) 4 - 1/2,
(i + 1/2) 4 - 1/2), the same convention as everywhere.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from ..imaging.geometry import rescale
from ..stats.calibration import FAR
from ..structures import Array, InputError
from .estimator import NetDetector, Pipeline, calibrated, mean_error
from .export import trace
from .layers import Encoder, conv, standardise
from .tensors import pick_device, resize_square

STRIDE = 4  #: input px per map px
MODE_SMOOTHING, MODE_WINDOW = 3.0, 4.0  #: map px; chosen on folds of faces and of bodies
LOSS_WINDOW = 3.0  #: map px; chosen as the above


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
    at_x, at_y = _expectation(over_x, x), _expectation(over_y, y)
    return _point(at_x, at_y), _variance(over_x, at_x, x) + _variance(over_y, at_y, y)


def decode_mode(maps: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`decode`, of the part of each map around its mode.

    The expectation of a map with two peaks (left or right wrist?) lies between them, where
    nothing is.  Here the map, smoothed and sharpened by its fourth power, says where the greater mass
    lies, and two steps of mean shift (Comaniciu & Meer 2002) take the expectation there, in a
    Gaussian window.  Plain operators only, so that every ONNX engine runs it.
    """
    y, x = (_axis(int(n), maps.device) for n in maps.shape[-2:])
    smooth = _blur_matrix(y) @ maps @ _blur_matrix(x) + 1e-9
    sharp = (smooth * smooth) * (smooth * smooth)
    over_x, over_y = sharp.sum(-2), sharp.sum(-1)
    mass = over_x.sum(-1, keepdim=True)
    at_x, at_y = _expectation(over_x, x) / mass, _expectation(over_y, y) / mass
    for _ in range(2):
        over_x, over_y, mass = _windowed(maps, at_x, at_y, MODE_WINDOW)
        mass = mass + 1e-12  # a window may be all but empty when the map is flat
        at_x, at_y = _expectation(over_x, x) / mass, _expectation(over_y, y) / mass
    variance = _variance(over_x / mass, at_x, x) + _variance(over_y / mass, at_y, y)
    return _point(at_x, at_y), variance


def _expectation(over: Tensor, axis: Tensor) -> Tensor:
    """(B, K, 1) from sums over columns or rows (B, K, n) and the axis (n,)."""
    return (over * axis).sum(-1, keepdim=True)


def _variance(over: Tensor, mean: Tensor, axis: Tensor) -> Tensor:
    """(B, K), not negative."""
    return (_expectation(over, axis * axis) - mean * mean).squeeze(-1).clamp_min(0)


def _point(at_x: Tensor, at_y: Tensor) -> Tensor:
    """(B, K, 2) from (B, K, 1) each."""
    return torch.cat([at_x, at_y], -1)


def _windowed(maps: Tensor, at_x: Tensor, at_y: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    """Maps in a Gaussian window around points (B, K, 1) each: sums (B, K, w), (B, K, h), mass (B, K, 1).

    As products, since windows the size of the maps would cost more than the network's last layers.
    """
    y, x = (_axis(int(n), maps.device) for n in maps.shape[-2:])
    off_x, off_y = x - at_x, y - at_y  # off * off: ONNX Runtime is slow at powers
    window_x, window_y = (torch.exp(off * off * (-0.5 / sigma**2)) for off in (off_x, off_y))
    over_x = (window_y.unsqueeze(-2) @ maps).squeeze(-2) * window_x
    over_y = (maps @ window_x.unsqueeze(-1)).squeeze(-1) * window_y
    return over_x, over_y, over_x.sum(-1, keepdim=True)


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

    def __init__(self, n_landmarks: int, width: int = 64, channels: int = 1) -> None:
        super().__init__()
        self.register_buffer("mode", torch.tensor(False))
        self.encoder = Encoder(channels=channels)
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
        return _read(self.maps(pictures), self.at_mode)


class MirroredModule(nn.Module):
    """A network's maps of the picture and of its mirror image, mirrored back, averaged and then read.

    Both pictures go through as one batch.  Mirroring is written as a product with a permutation, which
    every ONNX engine runs and which is exact.
    """

    relabel: Tensor

    def __init__(self, net: HeatmapModule, flip: Sequence[int]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("relabel", torch.eye(len(flip))[torch.as_tensor(flip)])

    def maps(self, pictures: Tensor) -> Tensor:
        """(B, K, S/4, S/4) probability maps, each summing to 1."""
        n = len(pictures)
        both = self.net.maps(torch.cat([pictures, pictures @ _reversal(pictures)]))
        plain, other = both[:n], both[n:]
        other = (self.relabel.to(other.dtype) @ other.flatten(2)).view_as(other)
        return (plain + other @ _reversal(other)) / 2

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        return _read(self.maps(pictures), self.net.at_mode)


class BothReadings(nn.Module):
    """A network's points (B, K, 2) in input px: its maps' means, and their modes."""

    def __init__(self, net: HeatmapModule) -> None:
        super().__init__()
        self.net = net

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.net.maps(pictures)
        return _read(maps, False)[0], _read(maps, True)[0]


class ScoreMaps(nn.Module):
    """Crop (B, C, H, W) to a network's maps on a grid of ``size_hw``, each summing to 1."""

    def __init__(self, net: nn.Module, side: int, size_hw: tuple[int, int]) -> None:
        super().__init__()
        self.net, self.side, self.size_hw = net, side, size_hw

    def forward(self, crops: Tensor) -> Tensor:
        net: Any = self.net
        maps: Tensor = net.maps(resize_square(crops, self.side)[0])
        if tuple(maps.shape[-2:]) != self.size_hw:
            maps = F.interpolate(maps, self.size_hw, mode="bilinear", align_corners=False)
            maps = maps / maps.sum((2, 3), keepdim=True)
        return maps


def _reversal(maps: Tensor) -> Tensor:
    """(w, w) permutation that turns the last axis of (B, C, h, w) around."""
    return torch.eye(int(maps.shape[-1]), dtype=maps.dtype, device=maps.device).flip(0)


def _read(maps: Tensor, at_mode: bool) -> tuple[Tensor, Tensor]:
    """Points (B, K, 2) in input px and a raw confidence (B, K) that falls with the spread."""
    xy, variance = (decode_mode if at_mode else decode)(maps)
    return rescale(xy, STRIDE), -0.5 * torch.log(variance + 1e-2)


class HeatmapNet(NetDetector):
    """Fully convolutional detector with integral (soft-argmax) decoding (Sun et al. 2018).

    The loss is the cross-entropy between the map and a Gaussian around the truth, and the distance of
    the map's expectation in a window around the truth, weighed by the mass that lies there.  Departure
    from integral regression and DSNT (Nibali et al. 2018), whose distance is that of the whole map's
    expectation: where a map has two peaks (left or right wrist?) that distance pulls both to the
    middle.  Measured on a fold of train, 15 epochs: faces 4.30 % to 3.97, bodies 17 to 28 % PCK@0.2.
    Not labelled points, and points that augmentation carried outside, do not count.

    Parameters
    ----------
    input_px : side of the square that the network sees; crops of any size are resampled to it
    color : see colour where the crops have it; False looks at grey always
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
    history_ : training curves; ``validation`` is the mean point error in units of the crop's side,
        each error counting as at most 5 % of it
    n_parameters_ : number of weights
    """

    def __init__(
        self,
        input_px: int = 128,
        color: bool = True,
        sigma: float = 0.8,
        decoding: str = "auto",
        max_epochs: int = 20,
        batch_size: int = 16,
        learning_rate: float = 3e-3,
        weight_decay: float = 2e-2,
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
        self.color = color
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
        return HeatmapModule(n_landmarks, channels=self.n_channels_)

    def set_state(self, state: dict[str, Any]) -> None:
        if state:  # files from before the mode was an option do not say which it is
            state = {**state, "weights": {"net.mode": np.array(False), **state["weights"]}}
        super().set_state(state)
        if state and "calibration_mirrored" in state:
            weight, bias = state["calibration_mirrored"]
            self.calibration_mirrored_ = (float(weight), float(bias))

    def get_state(self) -> dict[str, Any]:
        state = super().get_state()
        if state and hasattr(self, "calibration_mirrored_"):
            state["calibration_mirrored"] = list(self.calibration_mirrored_)
        return state

    def _readings(
        self, net: Any, pictures: Tensor, target: Tensor, device: torch.device
    ) -> dict[bool, float]:
        """The capped mean error, in sides, of each way to read maps that ``decoding`` allows."""
        allowed = {"mean": (False,), "mode": (True,), "auto": (False, True)}[self.decoding]
        found = self._run(BothReadings(net), pictures, device)
        return {mode: mean_error(np.minimum(self._off(found[mode], target), FAR)) for mode in allowed}

    def _validate(self, net: Any, pictures: Tensor, target: Tensor, device: torch.device) -> float:
        return min(self._readings(net, pictures, target, device).values())

    def _settle(
        self, pipeline: Pipeline, pictures: Tensor, target: Tensor, device: torch.device, flip: Tensor | None
    ) -> None:
        net: Any = pipeline.net
        errors = self._readings(net, pictures, target, device)
        net.mode.fill_(min(errors, key=lambda mode: errors[mode]))
        super()._settle(pipeline, pictures, target, device, flip)
        if flip is not None:
            found, raw = self._run(MirroredModule(net, flip.tolist()), pictures, device)
            self.calibration_mirrored_ = calibrated(raw, self._off(found, target))

    def with_mirror(self, flip: Sequence[int]) -> HeatmapNet:
        """This fitted network, asked about each picture and its mirror image: their maps are averaged.

        ``flip`` (K,) says which landmark each one is in the mirror.  The weights are shared, not copied.
        """
        check_is_fitted(self)
        twice = copy.copy(self)
        twice.module_ = Pipeline(MirroredModule(self.module_.net, flip), self.input_px).eval()
        calibration = getattr(self, "calibration_mirrored_", None)  # files from before it have none
        own = self.module_.calibration if calibration is None else torch.tensor(calibration)
        twice.module_.calibration.copy_(own)
        return twice

    def _loss(self, net: Any, pictures: Tensor, xy: Tensor) -> Tensor:
        logits = net.logits(pictures).float()
        height, width = logits.shape[-2:]
        target = rescale(xy, 1 / STRIDE)
        size = torch.tensor([width, height], device=xy.device)
        known = ((target > -0.5) & (target < size - 0.5)).all(-1)  # False for NaN
        log_map = torch.log_softmax(logits.flatten(2), -1)
        wanted = torch.where(known.unsqueeze(-1), target, 0.0)
        maps, (at_x, at_y) = log_map.exp().view_as(logits), wanted.split(1, -1)
        over_x, over_y, mass = _windowed(maps, at_x, at_y, LOSS_WINDOW)
        x, y = _axis(width, xy.device), _axis(height, xy.device)
        found = _point(_expectation(over_x, x), _expectation(over_y, y)) / (mass + 1e-6)
        distance = (found - wanted).abs().sum(-1) * mass.squeeze(-1).detach()
        entropy = -(encode(target, (height, width), self.sigma).flatten(2) * log_map).sum(-1)
        return ((distance + entropy) * known).sum() / known.sum().clamp_min(1)

    def score_maps(self, images: Any, stride: int = STRIDE) -> Array:
        """(B, K, H // stride, W // stride) float32, each map summing to 1, on the crop's own grid."""
        check_is_fitted(self)
        return self.maps_by(self._map_module(stride), images)

    def maps_by(self, module: nn.Module, images: Any) -> Array:
        """What a module on this network, crops (B, C, H, W) to maps, gives for crops (B, H, W[, 3])."""
        device = pick_device(self.device)
        module.to(device)
        with torch.inference_mode():
            parts = [module(part.to(device).float()).cpu() for part in self._crops(images).split(32)]
        return torch.cat(parts).numpy()

    def _map_module(self, stride: int) -> ScoreMaps:
        height, width = self.size_hw_
        return ScoreMaps(self.module_.net, self.input_px, (height // stride, width // stride)).eval()

    def maps_node(self, stride: int) -> dict[str, Any]:
        return self.traced_maps(self._map_module(stride))

    def traced_maps(self, module: nn.Module) -> dict[str, Any]:
        """Such a module for the runtime: ``graph``, and how many ``channels`` its ``image`` has."""
        image = torch.zeros(1, self.n_channels_, *self.size_hw_)
        return {"graph": trace(module, {"image": image}, outputs=("maps",)), "channels": self.n_channels_}
