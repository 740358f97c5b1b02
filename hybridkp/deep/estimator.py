"""What every whole-picture network shares as a detector: fit, predict, score, state, export.

A network here is a module that takes squares of grey values (B, 1, S, S), or of BGR (B, 3, S, S), in
0..255 and gives points in units of its input (B, K, 2) in px and one raw confidence (B, K).  This file
resizes crops of any size to it and points back, trains it with the room's one loop, and turns the raw
confidence into a probability.  No architecture and no loss lives here.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted
from torch import Generator, Tensor, nn

from ..imaging.geometry import rescale
from ..imaging.images import check_batch, check_crops
from ..memory.budget import fits_in
from ..multimodal import INPUTS, Planes, ReadsPlanes
from ..stats.calibration import calibrated, probability
from ..structures import Array, DetectorMixin, InputError, Stream, check_xy
from .augment import Augment, augment
from .batches import Batch, Rows, Squares, picture_tensor, resize_square, rounded, split_rows
from .devices import draw_seed, in_parts, n_parameters, pick_device, place, seeded, set_weights, weights_of
from .export import export_onnx
from .schedule import Scheduled
from .training import History, train

_COPIES = 4  #: of all squares, that are held together while they are made
CALIBRATIONS = ("calibration_", "calibration_mirrored_")  #: of scores, where they are no part of a graph


class Pipeline(nn.Module):
    """Crop (B, C, H, W) to points (B, K, 2) in crop px and score (B, K) in 0..1.

    The whole prediction in one graph, so that the exported model cannot differ from ``predict``.
    """

    calibration: Tensor

    def __init__(self, net: nn.Module, side: int) -> None:
        super().__init__()
        self.net, self.side = net, side
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        pictures, scale = resize_square(crops, self.side)
        xy, raw = self.net(pictures)
        if crops.shape[2:] != (self.side, self.side):
            xy = rescale(xy, 1 / scale)
        return xy, torch.sigmoid(self.calibration[0] * raw + self.calibration[1])


class Fit(NamedTuple):
    """What a fit starts from, checked: crops, points (B, K, 2) px, rows to learn from and held-out rows."""

    images: Any
    points: Array
    rows: Array
    held_out: Array
    flip: Tensor | None
    seed: int
    device: torch.device


class NetEstimator(Scheduled):
    """What every estimator of this room does alike: training, squares, errors, state."""

    input_px: int
    random_state: Any
    augmentation: ClassVar[Augment] = Augment()
    calibration_: tuple[float, float]
    n_channels_ = 1  #: of the pictures: 1 is grey, 3 is BGR

    def _make(self, n_landmarks: int) -> nn.Module:
        """A fresh network, to be trained or to take stored weights."""
        raise NotImplementedError

    def _begin(self, images: Any, xy: ArrayLike, groups: Any, flip: Any, checked: bool = False) -> Fit:
        images = images if checked else check_crops(images)
        points = check_xy(xy, len(images))
        seed, device = draw_seed(self.random_state), pick_device(self._schedule.device)
        rows, held_out = split_rows(len(images), groups, self._schedule.validation_fraction, seed)
        mirror = None if flip is None else torch.from_numpy(np.array(flip, np.int64))
        return Fit(images, points, rows, held_out, mirror, seed, device)

    def held_out(self, n: int, groups: ArrayLike | None = None) -> Array:
        """Which of ``n`` rows a fit keeps out of its training: it looks at them to stop and to calibrate."""
        if not isinstance(self.random_state, Integral):
            raise InputError("which rows a network kept out is known where random_state is a whole number")
        seed, share = draw_seed(self.random_state), self._schedule.validation_fraction
        taught, held_out = split_rows(n, groups, share, seed)
        return held_out if len(taught) < n else taught[:0]

    def _fresh(self, fit: Fit) -> Any:
        with seeded(fit.seed, fit.device):
            return self._make(fit.points.shape[1])

    def _train(
        self,
        module: nn.Module,
        rows: tuple[Any, ...],
        loss: Callable[[nn.Module, Batch], Tensor],
        validate: Callable[[nn.Module], float],
        vary: Callable[[Batch, Generator], Batch],
        fit: Fit,
    ) -> None:
        """:func:`~hybridkp.deep.training.train` by this estimator's schedule."""
        schedule = self._schedule
        supply = Rows(
            tuple(r[fit.rows] for r in rows), vary, schedule.batch_size, schedule.epoch_pictures, fit.device
        )
        self.history_: History = train(module, supply, loss, validate, schedule, seed=fit.seed)

    def _finish(self, module: nn.Module, fit: Fit) -> None:
        self.size_hw_ = (int(fit.images.shape[1]), int(fit.images.shape[2]))
        self.n_landmarks_, self.n_parameters_ = int(fit.points.shape[1]), n_parameters(module)
        self.module_: Any = module.eval()

    @property
    def _varied(self) -> Augment:
        """How much the crops vary in training."""
        return self.augmentation.varied(self._schedule.vary, self._schedule.turns)

    @property
    def _device(self) -> torch.device:
        return pick_device(self._schedule.device)

    def _squares(self, images: Any) -> tuple[Any, Tensor]:
        """(B, C, S, S) values 0..255 of checked crops, and the (2,) scale that points move by.

        Where they would not fit (:mod:`hybridkp.memory.budget`), :class:`.batches.Squares` of them.
        """
        values = 4 * self.n_channels_ * self.input_px**2
        if isinstance(images, Stream) or not fits_in(len(images), _COPIES * values):
            one = resize_square(torch.zeros(1, 1, *images.shape[1:3]), self.input_px)[1]
            return Squares(images, self.n_channels_, self.input_px), one
        crops = picture_tensor(images, self.n_channels_)
        with torch.inference_mode():
            parts = [resize_square(p.float(), self.input_px) for p in crops.split(64)]
        return torch.cat([p[0] for p in parts]), parts[0][1].clone()

    def _to_square(self, xy: Array, scale: Tensor) -> Tensor:
        return rescale(torch.from_numpy(np.array(xy, np.float32)), scale)

    def _errors(self, found: Array, target: Tensor) -> Array:
        """(B, K) point errors in units of the side, NaN where not labelled."""
        return np.linalg.norm(found - target.numpy(), axis=-1) / self.input_px

    def _probability(self, raw: Array) -> Array:
        """Of an error under 2.5 % of the side, from a raw confidence."""
        return probability(raw, self.calibration_)

    def get_state(self) -> dict[str, Any]:
        """What a model file holds; nothing before the fit (as another estimator's parameter)."""
        if not hasattr(self, "module_"):
            return {}
        state = {
            "weights": weights_of(self.module_),
            "n_landmarks": self.n_landmarks_,
            "n_channels": self.n_channels_,
            "size_hw": list(self.size_hw_),
            "history": self.history_,
        }
        found = vars(self)
        if "planes_" in found:
            state["planes"] = [self.planes_.spread_, self.planes_.steep_, float(self.planes_.color_)]
        return state | {name.rstrip("_"): list(found[name]) for name in CALIBRATIONS if name in found}

    def set_state(self, state: dict[str, Any]) -> None:
        if not state:
            return
        self.n_landmarks_, self.n_channels_ = int(state["n_landmarks"]), int(state["n_channels"])
        self.history_ = {name: list(v) for name, v in state["history"].items()}
        if "planes" in state:
            self.planes_ = Planes(self.input_names, bool(self.color))
            self.planes_.spread_, self.planes_.steep_, color = map(float, state["planes"])
            self.planes_.color_ = bool(color)
        height, width = state["size_hw"]
        self.size_hw_ = (int(height), int(width))
        for name in CALIBRATIONS:
            if name.rstrip("_") in state:
                weight, bias = state[name.rstrip("_")]
                setattr(self, name, (float(weight), float(bias)))
        self.module_ = set_weights(self._make(self.n_landmarks_), state["weights"]).eval()
        self.n_parameters_ = n_parameters(self.module_)


def mean_error(error: Array) -> float:
    """Mean of what is labelled, 0 when nothing is (then the last weights count as the best)."""
    return float(np.nanmean(error)) if np.isfinite(error).any() else 0.0


class NetDetector(ReadsPlanes, DetectorMixin, NetEstimator):
    """Base of the whole-picture networks; subclasses store parameters and give net and loss."""

    backbone: Any  #: what :func:`~hybridkp.deep.networks.make_backbone` takes
    color: bool
    inputs: tuple[str, ...]  #: what the network sees, of :data:`~hybridkp.multimodal.INPUTS`
    dropout: float  #: the chance that one of several inputs is hidden from a training crop
    initial: Any  #: None, or a :class:`~hybridkp.deep.Pretrained`
    teacher: Any  #: None, or a :class:`~hybridkp.deep.Teacher`

    def _build(self, n_landmarks: int) -> nn.Module:
        raise NotImplementedError

    def _loss(self, net: Any, pictures: Tensor, xy: Tensor) -> Tensor:
        raise NotImplementedError

    def _start(self, net: Any, target: Tensor) -> None:
        """Prepare a fresh net with the training points (B, K, 2) in its own px."""

    def _validate(self, net: Any, pictures: Any, target: Tensor, device: torch.device) -> float:
        """What training tries to lower on pictures that it does not see: the mean error, in sides."""
        return mean_error(self._errors(self._run(net, pictures, device)[0], target))

    def _settle(
        self, pipeline: Pipeline, pictures: Any, target: Tensor, device: torch.device, flip: Tensor | None
    ) -> None:
        """Choose what training leaves open, on pictures that it did not see."""
        found, raw = self._run(pipeline.net, pictures, device)
        pipeline.calibration.copy_(torch.tensor(calibrated(raw, self._errors(found, target))))

    def _make(self, n_landmarks: int) -> Pipeline:
        if self.input_px < 32 or self.input_px % 16:
            raise InputError(f"input_px must be a multiple of 16 and at least 32, got {self.input_px}")
        return Pipeline(self._build(n_landmarks), self.input_px)

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> NetDetector:
        """Train on crops (B, H, W[, 3]) and points (B, K, 2) in crop px, NaN = not labelled."""
        self._check_helpers()
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must lie in 0..1, 1 excluded, got {self.dropout}")
        fit = self._begin(self.learn_planes(images, bool(self.color)), xy, groups, flip, checked=True)
        self.n_channels_ = fit.images.shape[3] if fit.images.ndim == 4 else 1
        squares, scale = self._squares(fit.images)
        target = self._to_square(fit.points, scale)
        held_out = squares[fit.held_out], target[fit.held_out]
        if self.teacher is not None:
            target = self._to_square(
                self.teacher.taught(images if self.sees_more else fit.images, fit.points), scale
            )
        pipeline = self._fresh(fit)
        self._start(pipeline.net, target)
        if self.initial is not None:
            self.initial.start(pipeline.net)
        self._train(
            pipeline.net,
            (rounded(squares), target),
            lambda net, batch: self._loss(net, *batch),
            lambda net: self._validate(net, *held_out, fit.device),
            lambda batch, generator: augment(
                batch[0], batch[1], self._varied, generator, fit.flip, self._widths(), float(self.dropout)
            ),
            fit,
        )
        self._settle(pipeline, *held_out, fit.device, fit.flip)
        self._finish(pipeline, fit)
        return self

    def _widths(self) -> tuple[tuple[str, int], ...]:
        """Each input and its number of channels."""
        further = {name: INPUTS[name][1] for name in self.input_names if name != "image"}
        own = self.n_channels_ - sum(further.values())
        return tuple((name, further.get(name, own)) for name in self.input_names)

    def _check_helpers(self) -> None:
        for name, maker, asked in (("initial", "pretrained", "start"), ("teacher", "teacher", "taught")):
            value = getattr(self, name)
            if value is not None and not hasattr(value, asked):
                raise InputError(f"{name} takes what hybridkp.deep.{maker} gives, got {value!r}")

    @staticmethod
    def _run(module: nn.Module, pictures: Any, device: torch.device) -> tuple[Array, Array]:
        """Points and confidence of (B, C, H, W), a few at a time, without gradients."""
        place(module, device)
        found: tuple[Array, Array] = in_parts(
            lambda part: module(part.float().contiguous(memory_format=torch.channels_last)), device, pictures
        )
        return found

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px, and (B, K) the probability of an error under 2.5 % of the side."""
        check_is_fitted(self)
        return self._run(self.module_, self._crops(images), self._device)

    def _crops(self, images: Any) -> Tensor:
        """(B, C, H, W) uint8 of crops of the size of the fit."""
        images = check_batch(images, self.size_hw_)
        return picture_tensor(self.read_planes(images, self.n_channels_ > 1), self.n_channels_)

    def input_gradients(self, images: Any, landmark: int) -> Array:
        """(B, H, W) float32: px that a point moves per grey level of a pixel, over x, y and all channels."""
        check_is_fitted(self)
        module = self.module_
        place(module, self._device)
        out = []
        for crop in self._crops(images).split(1):
            pixels = crop.to(self._device).float().requires_grad_()
            point = module(pixels)[0][0, landmark]
            rows = [torch.autograd.grad(one, pixels, retain_graph=True)[0] for one in point]
            out.append(torch.stack(rows).square().sum((0, 1, 2)).sqrt())
        gradients: Array = torch.stack(out).cpu().numpy()
        return gradients

    def export_onnx(self, path: Any = None, opset: int = 17) -> bytes:
        """The whole prediction as an ONNX model; also written to ``path`` when given.

        Input ``image`` (1, 1, H, W) float32 grey values 0..255 at the crop size of the fit, or
        (1, 3, H, W) of BGR for a network that sees colour; outputs ``xy`` (1, K, 2) in crop px and
        ``score`` (1, K).
        """
        check_is_fitted(self)
        self.check_export()
        return export_onnx(self.module_, (self.n_channels_, *self.size_hw_), path, opset)

    def runtime_node(self) -> dict[str, Any]:
        return {"kind": "deep.net", "graph": self.export_onnx(), "channels": self.n_channels_}
