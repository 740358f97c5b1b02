"""Training the interest-point network from a handful of plain pictures, with the room's one loop.

Labels come from drawn shapes and, for pictures, from homographic adaptation (SuperPoint): the
average response over many warped views, at first of the classical corner measure (Shi & Tomasi 1994),
later of the network itself.  Here are labels, the supply of batches and the validation; views and
losses are in the neighbouring modules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
import torch
from torch import Generator, Tensor, nn

from ...points.dense import peaks, sample_rows, soft_argmax
from ...structures import Array, InputError
from ..devices import draw_seed, n_parameters, pick_device, seeded
from ..schedule import Schedule, Scheduled
from ..training import train
from .export import load_points
from .losses import PointLoss, total
from .network import PointModule, unit_spread
from .views import (
    PairBatch,
    Source,
    Views,
    collage,
    grey_of,
    make_batch,
    random_view,
    render_view,
    shapes,
    transform,
    vary,
)

Respond = Callable[[Array], Array]  #: grey (H, W) uint8 -> (H, W) score in 0..1
_MIRRORS: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (0, 1))  #: axes that are turned round
Report = Callable[[dict[str, float], nn.Module], None]


# ------------------------------------------------------------------------------ labels
def corner_response(picture: Array) -> Array:
    """Shi and Tomasi's smaller eigenvalue of (H, W) uint8, as a share of the picture's strong corners."""
    soft = cv2.GaussianBlur(picture, (0, 0), 1.0)
    strength = np.sqrt(np.maximum(cv2.cornerMinEigenVal(soft, 3, ksize=3), 0))
    return (strength / max(float(np.percentile(strength, 99.5)), 1e-3)).clip(0, 1)


def net_response(net: nn.Module) -> Respond:
    """The network's point probability for (H, W) uint8 of any size (edges repeat up to a multiple of 16)."""

    def respond(picture: Array) -> Array:
        logits, _ = dense_maps(net, picture)
        return 1 / (1 + np.exp(-logits))

    return respond


def even(respond: Respond) -> Respond:
    """The mean response to the picture and its mirror images: what errs to one side errs to the other too.

    Without it a network that learned from its own labels for two hours had drifted by 0.12 px.
    """

    def mean(picture: Array) -> Array:
        seen = [np.flip(respond(np.ascontiguousarray(np.flip(picture, axes))), axes) for axes in _MIRRORS]
        return np.ascontiguousarray(np.mean(seen, axis=0))

    return mean


def dense_maps(net: nn.Module, picture: Array) -> tuple[Array, Array]:
    """Logits (H, W) and rows (D, h, w) of a grey (H, W) uint8 picture."""
    height, width = picture.shape
    padded = cv2.copyMakeBorder(picture, 0, -height % 16, 0, -width % 16, cv2.BORDER_REPLICATE)
    with torch.inference_mode():
        value = unit_spread(torch.from_numpy(padded)[None, None].float())
        logits, rows = net(value.contiguous(memory_format=torch.channels_last))
    return logits[0, 0, :height, :width].contiguous().numpy(), rows[0].contiguous().numpy()


def adapt(
    picture: Array, respond: Respond, rng: np.random.Generator, n_views: int = 10, px: int = 160
) -> Array:
    """Homographic adaptation: points (N, 2) of the mean response to warped views, one per ``px`` at most."""
    height, width = picture.shape
    side = max(height, width)
    views = Views(rotation=40, scale=1.35, tilt=1.0, perspective=0.15)
    sums, counts = respond(picture).astype(np.float32), np.ones((height, width), np.float32)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    there = np.array([[1, 0, middle[0]], [0, 1, middle[1]], [0, 0, 1]])
    back = np.array([[1, 0, -(side - 1) / 2], [0, 1, -(side - 1) / 2], [0, 0, 1]])
    for _ in range(n_views):
        to_source = there @ random_view(rng, side, views, 1.0) @ back
        view, inside = render_view(picture, to_source, side)
        heat = respond(vary(view, rng, Views(noise=6, blur=1.2, contrast=0.4)).astype(np.uint8))
        inverse = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
        to_view = np.linalg.inv(to_source)
        sums += cv2.warpPerspective(heat * inside, to_view, (width, height), flags=inverse)
        counts += cv2.warpPerspective(inside.astype(np.float32), to_view, (width, height), flags=inverse)
    mean = cv2.GaussianBlur(sums / counts, (0, 0), 0.6)
    logits = np.log(np.maximum(mean, 1e-6))
    found = peaks(logits, height * width // px, math.log(0.1), radius=3, border=4)
    xy, _ = soft_argmax(logits, found, 0.5)
    return xy.astype(np.float64)


def _grey(picture: Array) -> Array:
    return picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)


def _levels(picture: Array) -> list[Array]:
    """Smaller copies: long sides of 800, 560 and 400 px where the picture has them, and its own size."""
    height, width = picture.shape[:2]
    factors = [1.0] if max(height, width) <= 900 else []
    factors += [s / max(height, width) for s in (800, 560, 400) if s < 0.9 * max(height, width)]
    sizes = [(round(width * f), round(height * f)) for f in factors]
    kept = [s for s in sizes if min(s) >= 180] or [(width, height)]
    return [cv2.resize(picture, s, interpolation=cv2.INTER_AREA) for s in kept]


class Step(NamedTuple):
    """What the loss of one step sees."""

    pairs: PairBatch
    progress: float
    generator: Generator


class PointSupply:
    """Batches of pairs from shapes, collages and the labelled pictures at several sizes."""

    def __init__(self, pictures: Sequence[Array], learner: PointLearner, seed: int) -> None:
        sizes, schedule = [_levels(p) for p in pictures], learner.schedule_
        self.colour = [level for levels in sizes for level in levels[:2]]
        self.plain = [level for levels in sizes for level in levels]
        self.greys = [_grey(p) for p in self.plain]
        self.owner = np.repeat(np.arange(len(pictures)), [len(levels) for levels in sizes])
        self.learner, self.seed, self.n_pairs = learner, seed, schedule.batch_size
        self.n_steps = math.ceil(schedule.epoch_pictures / schedule.batch_size)
        self.labels: list[Array] = []  # (N, 2) of each of the greys
        self.rounds = self.steps = 0

    def about(self) -> Any:
        plan = self.learner
        kind = [plan.side, plan.shapes, plan.collages, plan.relabel, vars(plan.views_), str(plan.start)]
        return [kind, [[*p.shape, float(p.mean())] for p in self.plain]]

    def epoch(
        self, kept: nn.Module, progress: Callable[[int], float], generator: Generator
    ) -> Iterator[Step]:
        if not self.labels:
            self.relabel(corner_response, 0)
        while self.rounds < sum(progress(0) >= r for r in self.learner.relabel):
            self.rounds += 1
            self.relabel(even(net_response(kept.net)), self.rounds)  # type: ignore[arg-type]
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        for step in range(self.n_steps):
            self.steps += 1
            yield Step(self.batch(rng), progress(step), generator)

    def tensors(self) -> dict[str, Tensor]:
        labels = {str(i): torch.from_numpy(xy) for i, xy in enumerate(self.labels)}
        return labels | {"count": torch.tensor([self.rounds, self.steps])}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self.rounds, self.steps = tensors["count"].tolist()
        self.labels = [tensors[str(i)].numpy() for i in range(len(self.greys))]

    def relabel(self, respond: Respond, round_: int) -> None:
        """Label every picture at every size by homographic adaptation of ``respond``."""
        rng = np.random.default_rng((self.seed, 7, round_))
        self.labels = [adapt(grey, respond, rng) for grey in self.greys]

    def _picture(self, rng: np.random.Generator) -> Source:
        owner = int(rng.integers(self.owner.max() + 1))
        row = int(rng.choice(np.flatnonzero(self.owner == owner)))
        grey, xy = self.greys[row], self.labels[row]
        picture = grey_of(self.plain[row], rng) if rng.random() < 0.5 else grey
        if rng.random() < 0.5:  # mirrored, so that the few pictures are twice as many
            picture = np.ascontiguousarray(picture[:, ::-1])
            xy = np.stack([grey.shape[1] - 1 - xy[:, 0], xy[:, 1]], 1)
        return Source(picture, xy, np.ones(len(xy)))

    def batch(self, rng: np.random.Generator) -> PairBatch:
        """Pairs of drawn kinds, at least one of them of a picture."""
        plan = self.learner
        drawn = rng.random(self.n_pairs)
        drawn[0] = 1.0
        sources = [
            shapes(rng) if d < plan.shapes
            else collage(self.colour, rng) if d < plan.shapes + plan.collages
            else self._picture(rng)
            for d in drawn
        ]  # fmt: skip
        return make_batch(sources, rng, plan.side, plan.views_)


# ------------------------------------------------------------------------------ validation
def validate(
    net: nn.Module, pictures: Sequence[Array], n_pairs: int = 6, n_points: int = 300
) -> dict[str, float]:
    """Fixed warps of held-out pictures: MMA at 1 and 3 px, repeatability and matching score at 3 px."""
    net.eval()
    rng, found = np.random.default_rng(5), []
    for grey in [_grey(p) for p in pictures for _ in range(n_pairs)]:
        batch = make_batch([Source(grey, None, None)], rng, 256, Views(blur=1.2, noise=7))
        sides = []
        for picture, valid in zip(batch.pictures, batch.valid, strict=True):
            logits, rows = dense_maps(net, picture.astype(np.uint8))
            at = peaks(logits, 4 * n_points, -6.0)
            at = at[valid[at[:, 1], at[:, 0]]][:n_points]
            xy, _ = soft_argmax(logits, at, 1.0)
            sides.append((xy, sample_rows(rows, xy)))
        found.append(_judge(sides[0], sides[1], batch.homography[0], batch.valid))
    mean = np.nanmean(np.array(found), 0)
    return dict(zip(("mma1", "mma3", "repeatability", "matching"), mean.tolist(), strict=True))


def _judge(side_a: tuple, side_b: tuple, homography: Array, valid: Array) -> list[float]:
    (xy_a, rows_a), (xy_b, rows_b) = side_a, side_b
    if not len(xy_a) or not len(xy_b):
        return [0.0] * 4
    at = transform(homography, xy_a)
    size = valid.shape[-1]
    near = np.rint(at).astype(int).clip(0, size - 1)
    seen = ((at >= 0) & (at < size)).all(1) & valid[1][near[:, 1], near[:, 0]]
    far = np.linalg.norm(at[:, None] - xy_b, axis=2)
    cosine = rows_a @ rows_b.T
    forth, back = cosine.argmax(1), cosine.argmax(0)
    mutual = np.flatnonzero(back[forth] == np.arange(len(forth)))
    off = far[mutual, forth[mutual]]
    right = (off < 3).sum()
    return [
        float((off < 1).mean()) if len(off) else 0.0,
        float((off < 3).mean()) if len(off) else 0.0,
        float((far[seen].min(1) < 3).mean()) if seen.any() else np.nan,
        float(right / max(seen.sum(), 1)),
    ]


# ------------------------------------------------------------------------------ the estimator
class _Task(nn.Module):
    """What is trained together: the network, and the sharpness of its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.loss = PointModule(), PointLoss()


@dataclass(eq=False, repr=False)
class PointLearner(Scheduled):
    """Learns interest points and their rows from pictures alone.

    Parameters
    ----------
    side : px of a view
    shapes, collages : shares of the pairs of a batch that are drawn; the rest are of pictures
    relabel : progress at which the network labels the pictures itself, at the next epoch's start
    views : how far the two views of a pair may differ, None = ``Views()``
    start : file of :func:`~hybridkp.deep.points.network.export_points` whose weights the training goes on
        from, its normalisations folded; None = from nothing
    schedule : :class:`~hybridkp.deep.Schedule`, its rows are pairs; on the CPU
    random_state : fixes weights, labels, views and order

    Attributes
    ----------
    net_ : the :class:`.PointModule` with the best running mean of the weights
    history_ : ``validation`` is minus the sum of MMA at 3 px and matching score
    n_rounds_ : how often the network labelled the pictures
    """

    schedule_defaults: ClassVar[dict[str, Any]] = {
        "max_epochs": 40,
        "batch_size": 4,
        "learning_rate": 2.5e-3,
        "weight_decay": 1e-4,
        "warm_up": 0.02,
        "patience": 1000,
        "epoch_pictures": 2000,
        "average": 0.998,
        "device": "cpu",
    }

    side: int = 160
    shapes: float = 0.12
    collages: float = 0.2
    relabel: tuple[float, ...] = (0.3, 0.6)
    views: Views | None = None
    start: Any = None
    schedule: Schedule | None = None
    random_state: Any = 0

    def fit(
        self, pictures: Sequence[Array], held_out: Sequence[Array], report: Report | None = None
    ) -> PointLearner:
        """Learn from pictures (H, W) or (H, W, 3) uint8 BGR, judged by ``held_out`` ones after each epoch.

        ``report`` gets the epoch's numbers and the network as it would be kept now.
        """
        self.schedule_, seed = self._schedule, draw_seed(self.random_state)
        device = pick_device(self.schedule_.device)
        if device.type != "cpu":
            raise InputError(f"PointLearner trains on device 'cpu', got {self.schedule_.device!r}")
        self.views_ = Views() if self.views is None else self.views
        supply = PointSupply(pictures, self, seed)
        with seeded(seed, device):
            task = _Task()
        if self.start is not None:
            task.net = load_points(self.start)
        seen: list[dict[str, float]] = []

        def loss(module: Any, step: Step) -> Tensor:
            terms = module.loss(module.net, step.pairs, step.generator)
            value = total(terms, step.progress)
            seen.append({name: float(v.detach()) for name, v in {"loss": value, **terms}.items()})
            return value

        def judge(module: Any) -> float:
            found = validate(module.net, held_out)
            if report is not None:
                means = {name: float(np.mean([s[name] for s in seen])) for name in seen[0]}
                report({"step": float(supply.steps)} | means | found, module.net)
            seen.clear()
            return -found["mma3"] - found["matching"]

        self.history_ = train(task, supply, loss, judge, self.schedule_, seed=seed)
        self.net_, self.n_rounds_ = task.net, supply.rounds
        self.n_parameters_ = n_parameters(self.net_)
        return self
