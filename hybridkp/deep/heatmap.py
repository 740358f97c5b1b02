"""A small heat-map network with sub-pixel decoding: backbone, a map a landmark, codec and loss.

The network reads squares (B, C, S, S), grey or BGR, and gives K maps of S/s x S/s at its backbone's
stride of s; a map's expectation, or its mode, is the point.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from ..imaging.geometry import rescale
from ..stats.calibration import FAR, calibrated
from ..structures import Array, InputError
from .batches import resize_square
from .codec import decode, decode_mode
from .devices import in_parts
from .distil import Teacher
from .estimator import NetDetector, Pipeline, mean_error
from .export import trace
from .heads import MapsHead
from .losses import MAP_LOSSES, OF_HEIGHTS, POINT_LOSSES, check_loss, masked_mean, point_loss
from .networks.backbone import Backbone
from .networks.blocks import standardise
from .networks.registry import make_backbone
from .schedule import Schedule
from .transfer import Pretrained


class HeatmapModule(nn.Module):
    """A backbone and one map per landmark, for each of the backbone's stages in training.

    ``heights``: what the head gives are heights, of which the positive are a map; else they are its
    logarithm.
    """

    mode: Tensor

    def __init__(self, backbone: Backbone, n_landmarks: int, heights: bool = False) -> None:
        super().__init__()
        self.register_buffer("mode", torch.tensor(False))
        self.backbone, self.heights = backbone, heights
        self.head = MapsHead(backbone, n_landmarks)
        self.early = nn.ModuleList(MapsHead(backbone, n_landmarks) for _ in range(backbone.n_stages - 1))

    @property
    def at_mode(self) -> bool:
        """Whether points are read at the maps' modes rather than as their expectations."""
        return bool(self.mode)

    def logits(self, pictures: Tensor) -> Tensor:
        """(B, K, S/s, S/s), the logarithm of each map up to a constant."""
        logits: Tensor = self.head(self.backbone(standardise(pictures)))
        return logits

    def staged_logits(self, pictures: Tensor) -> list[Tensor]:
        """:meth:`logits` of every stage, the last one last."""
        features = self.backbone.staged(standardise(pictures))
        return [head(maps) for head, maps in zip([*self.early, self.head], features, strict=True)]

    def maps(self, pictures: Tensor) -> Tensor:
        """(B, K, S/s, S/s) probability maps, each summing to 1."""
        return self.as_maps(self.logits(pictures))

    def mirrored_maps(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`maps` of pictures and of their mirror images, in which those of the latter are found.

        Both go through as one batch.  A picture and its mirror image have one mean and one spread.
        """
        plain = standardise(pictures)
        both = torch.cat([plain, plain @ _reversal(plain)])
        maps = self.as_maps(self.head(self.backbone(both)))
        return maps[: len(plain)], maps[len(plain) :]

    def as_maps(self, logits: Tensor) -> Tensor:
        if self.heights:
            heights = torch.relu(logits) + 1e-6
            return heights / heights.sum((2, 3), keepdim=True)
        return torch.softmax(logits.flatten(2), -1).view_as(logits)

    def read(self, maps: Tensor, at_mode: bool | None = None) -> tuple[Tensor, Tensor]:
        """Points (B, K, 2) in input px and a raw confidence (B, K) that falls with the spread."""
        at_mode = self.at_mode if at_mode is None else at_mode
        xy, variance = (decode_mode if at_mode else decode)(maps, self.backbone.stride)
        return xy, -0.5 * torch.log(variance + 1e-2)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        return self.read(self.maps(pictures))


class MirroredModule(nn.Module):
    """A network's maps of the picture and of its mirror image, mirrored back, averaged and then read.

    Mirroring is written as a product with a permutation, which every ONNX engine runs and which is exact.
    """

    flip: Tensor

    def __init__(self, net: HeatmapModule, flip: Sequence[int]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("flip", torch.as_tensor(flip))

    def maps(self, pictures: Tensor) -> Tensor:
        """(B, K, S/s, S/s) probability maps, each summing to 1."""
        plain, other = self.net.mirrored_maps(pictures)
        return (plain + other.index_select(1, self.flip) @ _reversal(other)) / 2

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        return self.net.read(self.maps(pictures))


class BothReadings(nn.Module):
    """A network's points (B, K, 2) in input px: its maps' means, and their modes."""

    def __init__(self, net: HeatmapModule) -> None:
        super().__init__()
        self.net = net

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.net.maps(pictures)
        return self.net.read(maps, False)[0], self.net.read(maps, True)[0]


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


@dataclass(eq=False, repr=False)
class HeatmapNet(NetDetector):
    """Fully convolutional detector with integral (soft-argmax) decoding (Sun et al. 2018).

    Parameters
    ----------
    input_px : side of the square that the network sees; crops of any size are resampled to it
    color : see colour where the crops have it; False sees grey always
    backbone : a name, an architecture such as ``Hourglass(stacks=3)``, or a module of your own: what
        :func:`~hybridkp.deep.networks.make_backbone` takes
    loss : of maps "peak" (:func:`~hybridkp.deep.losses.map_loss`, cross-entropy and a distance near the
        truth),
        "cross-entropy", "l2-maps" or "adaptive-wing" (Wang et al. 2019); or of the maps' expectations "l2" or
        "wing" (Feng et al. 2018)
    sigma : spread of the training target in map px (of the "unet", one map px = 4 input px)
    decoding : "mean" (expectation of the whole map), "mode" (:func:`decode_mode`), or "auto": whichever
        errs less on the validation groups, errors above 5 % of the side counting as 5 %
    initial : None, or what :func:`~hybridkp.deep.pretrained` gives: another network's weights to start from
    teacher : None, or what :func:`~hybridkp.deep.teacher` gives: another detector to learn from
    inputs : what the network sees, of :data:`~hybridkp.multimodal.INPUTS`, side by side as channels
    dropout : of several inputs, the chance that one is hidden from a training crop, so that none is all
    schedule : :class:`~hybridkp.deep.Schedule`, or None for this network's own
    random_state : fixes weights, order and augmentation

    Attributes
    ----------
    history_ : training curves; ``validation`` is the mean point error in units of the crop's side,
        each error counting as at most 5 % of it
    n_parameters_ : number of weights
    """

    schedule_defaults: ClassVar[dict[str, Any]] = {
        "max_epochs": 20,
        "learning_rate": 3e-3,
        "weight_decay": 2e-2,
        "average": 0.998,
        "precision": "auto",
    }

    input_px: int = 128
    color: bool = True
    backbone: Any = "unet"
    loss: str = "peak"
    sigma: float = 0.8
    decoding: str = "auto"
    initial: Pretrained | None = None
    teacher: Teacher | None = None
    inputs: tuple[str, ...] = ("image",)
    dropout: float = 0.25
    schedule: Schedule | None = None
    random_state: Any = 0

    def _build(self, n_landmarks: int) -> nn.Module:
        if self.decoding not in ("mean", "mode", "auto"):
            raise InputError(f"decoding must be 'mean', 'mode' or 'auto', got {self.decoding!r}")
        check_loss(self.loss, "maps", *MAP_LOSSES, *POINT_LOSSES)
        backbone = make_backbone(self.backbone, self.n_channels_, self.input_px)
        return HeatmapModule(backbone, n_landmarks, self.loss in OF_HEIGHTS)

    def _readings(self, net: Any, pictures: Any, target: Tensor, device: torch.device) -> dict[bool, float]:
        """The capped mean error, in sides, of each way to read maps that ``decoding`` allows."""
        allowed = {"mean": (False,), "mode": (True,), "auto": (False, True)}[self.decoding]
        found = self._run(BothReadings(net), pictures, device)
        return {mode: mean_error(np.minimum(self._errors(found[mode], target), FAR)) for mode in allowed}

    def _validate(self, net: Any, pictures: Any, target: Tensor, device: torch.device) -> float:
        return min(self._readings(net, pictures, target, device).values())

    def _settle(
        self, pipeline: Pipeline, pictures: Any, target: Tensor, device: torch.device, flip: Tensor | None
    ) -> None:
        net: Any = pipeline.net
        errors = self._readings(net, pictures, target, device)
        net.mode.fill_(min(errors, key=lambda mode: errors[mode]))
        super()._settle(pipeline, pictures, target, device, flip)
        if flip is not None:
            found, raw = self._run(MirroredModule(net, flip.tolist()), pictures, device)
            self.calibration_mirrored_ = calibrated(raw, self._errors(found, target))

    def with_mirror(self, flip: Sequence[int]) -> HeatmapNet:
        """This fitted network, asked about each picture and its mirror image: their maps are averaged.

        ``flip`` (K,) says which landmark each one is in the mirror.  The weights are shared, not copied, so
        that it cannot be saved: save this one, or a :class:`~hybridkp.fusion.MirrorAverage` of it.
        """
        check_is_fitted(self)
        twice = copy.copy(self)
        twice.module_ = Pipeline(MirroredModule(self.module_.net, flip), self.input_px).eval()
        calibration = getattr(self, "calibration_mirrored_", None)  # none where the fit knew no flip
        plain = self.module_.calibration
        twice.module_.calibration.copy_(plain if calibration is None else torch.tensor(calibration))
        return twice

    def get_state(self) -> dict[str, Any]:
        if hasattr(self, "module_") and isinstance(self.module_.net, MirroredModule):
            raise InputError("what with_mirror() gave is not saved: save the network itself, or heatmap:flip")
        return super().get_state()

    def _loss(self, net: Any, pictures: Tensor, xy: Tensor) -> Tensor:
        stages = [self._stage_loss(net, logits.float(), xy) for logits in net.staged_logits(pictures)]
        return sum(stages[1:], stages[0]) / len(stages)

    def _stage_loss(self, net: HeatmapModule, logits: Tensor, xy: Tensor) -> Tensor:
        stride = net.backbone.stride
        if self.loss in MAP_LOSSES:
            return MAP_LOSSES[self.loss](logits, rescale(xy, 1 / stride), self.sigma)
        found, _ = decode(net.as_maps(logits), stride)
        value, _, known = point_loss(self.loss, found, xy, self.input_px)
        return masked_mean(value, known)

    def score_maps(self, images: Any, stride: int = 4) -> Array:
        """(B, K, H // stride, W // stride) float32, each map summing to 1, on the crop's own grid."""
        check_is_fitted(self)
        return self.maps_by(self._map_module(stride), images)

    def maps_by(self, module: nn.Module, images: Any) -> Array:
        """What a module on this network, crops (B, C, H, W) to maps, gives for crops (B, H, W[, 3])."""
        module.to(self._device)
        maps: Array = in_parts(lambda part: module(part.float()), self._device, self._crops(images))
        return maps

    def _map_module(self, stride: int) -> ScoreMaps:
        height, width = self.size_hw_
        return ScoreMaps(self.module_.net, self.input_px, (height // stride, width // stride)).eval()

    def maps_node(self, stride: int) -> dict[str, Any]:
        return self.traced_maps(self._map_module(stride))

    def traced_maps(self, module: nn.Module) -> dict[str, Any]:
        """Such a module for the runtime: ``graph``, and how many ``channels`` its ``image`` has."""
        image = torch.zeros(1, self.n_channels_, *self.size_hw_)
        return {"graph": trace(module, {"image": image}, outputs=("maps",)), "channels": self.n_channels_}
