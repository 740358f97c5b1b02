"""A two-stage finder: others' boxes, judged and corrected by a small CNN on what each of them shows.

Pictures and boxes (N, 4) come in; crops (B, C, S, S) go through the network, which gives a logit (B,) and
the correction (B, 4) of :func:`hybridkp.detection.boxes_math.corrections`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ..detection.boxes_math import calibrating, corrected, corrections, objects_of
from ..detection.fitting import calibrated, fit_finder
from ..detection.proposals import VerifiedReader, cut_boxes, proposed
from ..imaging.images import as_uint8
from ..metrics.boxes import box_overlap
from ..structures import Array, Finder, InputError, NamedMembers, Sample
from .augment import Augment, augment
from .batches import Batch, Rows, picture_tensor, split_rows
from .devices import draw_seed, in_parts, n_parameters, pick_device, seeded, set_weights, weights_of
from .export import trace
from .networks.blocks import Residual, conv, standardise
from .schedule import Schedule, Scheduled
from .training import train

HIT, MISS = 0.5, 0.4  #: overlap of an object; of the background
JITTERED, RANDOM = 8, 10  #: boxes around each object, and anywhere in each picture, that also teach
_VARIED = Augment(rotation=0.0, scale=0.0, shift=0.0, stretch=0.0, occlusion=0.1, jpeg=0.05)


class VerifierModule(nn.Module):
    """Crops to a logit and the correction of their box: four strides, one hidden layer."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *(conv(channels, 24, 3, 2), conv(24, 40, 3, 2), Residual(40), conv(40, 64, 3, 2), Residual(64))
        )
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(64 * (side // 8) ** 2, 96), nn.ReLU())
        self.out = nn.Linear(96, 5)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        out = self.out(self.hidden(self.trunk(standardise(crops))))
        return out[:, :4], out[:, 4:]


@dataclass(eq=False, repr=False)
class VerifiedFinder(NamedMembers, Scheduled):
    """Boxes of other finders, each judged and re-boxed by a CNN (R-CNN; Girshick et al. 2014).

    Parameters
    ----------
    members : (name, finder) pairs; the boxes of all are pooled
    side : of the crops that the network sees, px; a multiple of 8
    margin : crop side / box side
    color : see colour, else grey
    overlap : of two boxes, above which the better one stays
    min_score : boxes below are not given
    schedule : :class:`~hybridkp.deep.Schedule`, or None for this network's own
    random_state : fixes weights, order, augmentation and the boxes drawn at random

    Notes
    -----
    The network learns from the members' boxes of the training pictures, from boxes around the objects and
    from boxes drawn at random.  Its logit and the log-odds of the member's score are added: two witnesses
    (departure from R-CNN, where the proposals' scores are forgotten).  A score is the probability of an
    overlap of one half, from pictures that the network did not see.
    """

    schedule_defaults: ClassVar[dict[str, Any]] = {
        "max_epochs": 10,
        "learning_rate": 2e-3,
        "batch_size": 64,
        "average": 0.99,
        "precision": "auto",
        "epoch_pictures": 1,
        "validation_fraction": 0.15,
    }

    members: Sequence[tuple[str, Finder]]
    side: int = 40
    margin: float = 1.3
    color: bool = True
    overlap: float = 0.4
    min_score: float = 0.05
    schedule: Schedule | None = None
    random_state: Any = 0

    def fit(self, samples: Iterable[Sample]) -> VerifiedFinder:
        """Fit the members, then the network on what they propose.

        Raises
        ------
        InputError
            When no sample has a box.
        """
        samples = list(samples)
        if not any(len(objects_of(s)[0]) for s in samples):
            raise InputError("a finder learns from boxes, and no object has one: annotate bbox")
        schedule, seed = self._schedule, draw_seed(self.random_state)
        device = pick_device(schedule.device)
        self.finders_ = [fit_finder(member, samples) for _, member in self.members]
        crops, label, change, picture = self._taught(samples, np.random.default_rng(seed))
        groups = [samples[i].group for i in picture]
        taught, held_out = split_rows(len(label), groups, schedule.validation_fraction, seed)
        rows = (picture_tensor(crops, self._channels), torch.from_numpy(label), torch.from_numpy(change))
        with seeded(seed, device):
            module = self._make()
        supply = Rows(
            tuple(r[taught] for r in rows), _vary, schedule.batch_size, schedule.epoch_pictures, device
        )
        seen = tuple(r[held_out].to(device) for r in rows)
        self.history_ = train(module, supply, _loss, lambda net: _validate(net, seen), schedule, seed=seed)
        self.module_, self.n_parameters_ = module.eval(), n_parameters(module)
        self.calibration_ = calibrated(
            self._judged, calibrating([samples[i] for i in np.unique(picture[held_out])], samples)
        )
        return self

    @property
    def _channels(self) -> int:
        return 3 if self.color else 1

    def _make(self) -> VerifierModule:
        if self.side < 16 or self.side % 8:
            raise InputError(f"side must be a multiple of 8 and at least 16, got {self.side}")
        return VerifierModule(self._channels, self.side)

    def _taught(self, samples: Sequence[Sample], rng: np.random.Generator) -> tuple[Array, ...]:
        """Crops (N, S, S[, 3]), label (N,), correction (N, 4) and the picture's number (N,)."""
        crops, labels, changes, pictures = [], [], [], []
        for number, sample in enumerate(samples):
            image = as_uint8(sample.image, sample.name)
            true, ignored = objects_of(sample)
            around = np.repeat(true, JITTERED, axis=0)
            around = corrected(around, rng.normal(0, 0.15, around.shape))
            anywhere = _anywhere(image.shape, true, rng)
            boxes = np.concatenate([proposed(self.finders_, image, sample.name)[0], around, anywhere])
            overlap = box_overlap(boxes, true)
            best = overlap.max(1, initial=0)
            counts = (best >= HIT) | (
                (best < MISS) & (box_overlap(boxes, ignored, True).max(1, initial=0) < 0.5)
            )
            boxes, best, overlap = boxes[counts], best[counts], overlap[counts]
            goal = true[overlap.argmax(1)] if len(true) else boxes
            crops.append(cut_boxes(image, boxes, self.side, self.margin, bool(self.color)))
            labels.append(best >= HIT)
            changes.append(np.where(best[:, None] >= HIT, corrections(boxes, goal), 0.0))
            pictures.append(np.full(len(boxes), number))
        columns = (np.concatenate(c) for c in (labels, changes))
        label, change = (c.astype(np.float32) for c in columns)
        return np.concatenate(crops), label, change, np.concatenate(pictures)

    def _judged(self, image: Array, name: str) -> tuple[Array, Array]:
        """Boxes (N, 4), best first, and logits (N,) of a picture."""
        return self._reader((1.0, 0.0)).judged(self._ask, image, *proposed(self.finders_, image, name))

    def _reader(self, calibration: tuple[float, float]) -> VerifiedReader:
        return VerifiedReader(self.side, self.margin, bool(self.color), float(self.overlap), calibration)

    def _ask(self, crops: Array) -> tuple[Array, Array]:
        self.module_.to(pick_device(self._schedule.device))
        device, tensor = pick_device(self._schedule.device), picture_tensor(crops, self._channels)
        change, logit = in_parts(lambda part: self.module_(part.float()), device, tensor)
        return change, logit[:, 0]

    def find(self, image: Array, *, name: str = "") -> tuple[Array, Array]:
        """Boxes (N, 4) and scores (N,), best first, of a picture (h, w[, 3])."""
        check_is_fitted(self)
        image = as_uint8(image, name or "picture")
        proposals = proposed(self.finders_, image, name)
        return self._reader(self.calibration_).find(self._ask, image, *proposals, self.min_score)

    def runtime_node(self) -> dict[str, Any]:
        check_is_fitted(self)
        image = torch.zeros(1, self._channels, self.side, self.side)
        return {
            "kind": "detection.verified",
            "members": [finder.runtime_node() for finder in self.finders_],  # type: ignore[attr-defined]
            "graph": trace(self.module_, {"image": image}, outputs=("change", "logit")),
            "channels": self._channels,
            "side": int(self.side),
            "margin": float(self.margin),
            "overlap": float(self.overlap),
            "calibration": np.array(self.calibration_),
            "min_score": float(self.min_score),
        }

    def get_state(self) -> dict[str, Any]:
        if not hasattr(self, "module_"):
            return {}
        return {
            "weights": weights_of(self.module_),
            "finders": list(self.finders_),
            "calibration": list(self.calibration_),
            "history": self.history_,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        if not state:
            return
        slope, offset = state["calibration"]
        self.calibration_, self.finders_ = (float(slope), float(offset)), list(state["finders"])
        self.history_ = {name: list(v) for name, v in state["history"].items()}
        self.module_ = set_weights(self._make(), state["weights"]).eval()
        self.n_parameters_ = n_parameters(self.module_)


def _anywhere(shape: tuple[int, ...], true: Array, rng: np.random.Generator) -> Array:
    """Boxes as large as the picture's objects (or a fifth of it), anywhere in it."""
    h, w = shape[:2]
    sizes = true[:, 2:] if len(true) else np.full((1, 2), min(h, w) / 5)
    sizes = sizes[rng.integers(len(sizes), size=RANDOM)] * np.exp(rng.normal(0, 0.3, (RANDOM, 1)))
    corner = rng.uniform(0, 1, (RANDOM, 2)) * np.maximum([w, h] - sizes, 1)
    return np.concatenate([corner, sizes], 1)


def _vary(batch: Batch, generator: Generator) -> Batch:
    """Crops in other light, half of them mirrored, and their corrections with them."""
    crops, label, change = batch
    turned = torch.rand(len(crops), generator=generator) < 0.5
    turned = turned.to(crops.device)
    crops = torch.where(turned[:, None, None, None], crops.flip(-1), crops)
    sign = torch.where(turned[:, None], torch.tensor([-1.0, 1, 1, 1], device=crops.device), 1.0)
    nothing = torch.zeros(len(crops), 1, 2, device=crops.device)
    crops, _ = augment(crops, nothing, _VARIED, generator)
    return crops, label, change * sign


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    crops, label, change = batch
    found, logit = module(crops.float().contiguous(memory_format=torch.channels_last))
    apart = F.smooth_l1_loss(found.float(), change, reduction="none", beta=0.1).sum(1)
    boxes = (apart * label).sum() / label.sum().clamp_min(1)
    return F.binary_cross_entropy_with_logits(logit[:, 0].float(), label) + boxes


def _validate(module: nn.Module, rows: Batch) -> float:
    parts = list(zip(*(r.split(256) for r in rows), strict=True))
    with torch.inference_mode():
        return sum(float(_loss(module, part)) * len(part[0]) for part in parts) / len(rows[0])
