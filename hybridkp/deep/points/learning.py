"""Training the interest-point network from a handful of plain pictures.

Labels come from drawn shapes and, for pictures, from homographic adaptation (SuperPoint): the
average answer over many warped views, at first of the classical corner measure (Shi & Tomasi 1994),
later of the network itself.  Views and losses are in the neighbouring modules.
A step draws all its random numbers from (seed, step), so a resumed training goes on as it was.
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ...files import atomic_path
from ...points.dense import peaks, sample_rows, soft_argmax
from ...structures import Array, InputError
from ..tensors import seeded
from .losses import PointLoss, total
from .network import PointModule, standardise
from .pairs import Source, Views, collage, grey_of, look, make_batch, random_view, shapes, transform, vary

Respond = Callable[[Array], Array]  #: grey (H, W) uint8 -> (H, W) score in 0..1


@dataclass(frozen=True)
class PointSchedule:
    """How long and on what; the shares are of the pairs of a batch, the rest are pictures."""

    steps: int = 20000
    pairs: int = 4  #: per batch
    side: int = 160  #: px of a view
    learning_rate: float = 2.5e-3
    weight_decay: float = 1e-4
    shapes: float = 0.12
    collages: float = 0.2
    relabel: tuple[float, ...] = (0.3, 0.6)  #: progress at which the network labels the pictures itself
    averaging: float = 0.998  #: of the weights (exponential moving average)
    views: Views = field(default_factory=Views)


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


def dense_maps(net: nn.Module, picture: Array) -> tuple[Array, Array]:
    """Logits (H, W) and rows (D, h, w) of a grey (H, W) uint8 picture."""
    height, width = picture.shape
    padded = cv2.copyMakeBorder(picture, 0, -height % 16, 0, -width % 16, cv2.BORDER_REPLICATE)
    with torch.inference_mode():
        value = standardise(torch.from_numpy(padded)[None, None].float())
        logits, rows = net(value.contiguous(memory_format=torch.channels_last))
    return logits[0, 0, :height, :width].contiguous().numpy(), rows[0].contiguous().numpy()


def adapt(
    picture: Array, respond: Respond, rng: np.random.Generator, n_views: int = 10, px: int = 160
) -> Source:
    """Homographic adaptation: points of the average response over warped views, one per ``px`` at most."""
    height, width = picture.shape
    side = max(height, width)
    views = Views(rotation=40, scale=1.35, perspective=0.15)
    sums, counts = respond(picture).astype(np.float32), np.ones((height, width), np.float32)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    there = np.array([[1, 0, middle[0]], [0, 1, middle[1]], [0, 0, 1]])
    back = np.array([[1, 0, -(side - 1) / 2], [0, 1, -(side - 1) / 2], [0, 0, 1]])
    for _ in range(n_views):
        to_source = there @ random_view(rng, side, views, 1.0) @ back
        view, inside = look(picture, to_source, side)
        heat = respond(vary(view, rng, Views(noise=6, blur=1.2, contrast=0.4)).astype(np.uint8))
        inverse = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
        to_view = np.linalg.inv(to_source)
        sums += cv2.warpPerspective(heat * inside, to_view, (width, height), flags=inverse)
        counts += cv2.warpPerspective(inside.astype(np.float32), to_view, (width, height), flags=inverse)
    mean = cv2.GaussianBlur(sums / counts, (0, 0), 0.6)
    logits = np.log(np.maximum(mean, 1e-6))
    found = peaks(logits, height * width // px, math.log(0.1), radius=3, border=4)
    xy, _ = soft_argmax(logits, found, 0.5)
    return Source(picture, xy.astype(np.float64), np.ones(len(xy)))


def _levels(picture: Array) -> list[Array]:
    """Smaller copies: long sides of 800, 560 and 400 px where the picture has them, and its own size."""
    height, width = picture.shape[:2]
    factors = [1.0] if max(height, width) <= 900 else []
    factors += [s / max(height, width) for s in (800, 560, 400) if s < 0.9 * max(height, width)]
    sizes = [(round(width * f), round(height * f)) for f in factors]
    kept = [s for s in sizes if min(s) >= 180] or [(width, height)]
    return [cv2.resize(picture, s, interpolation=cv2.INTER_AREA) for s in kept]


class Supply:
    """Sources for the batches: shapes, collages and the labelled pictures at several sizes."""

    def __init__(self, pictures: Sequence[Array], schedule: PointSchedule, seed: int) -> None:
        self.colour = [level for p in pictures for level in _levels(p)[:2]]
        self.plain = [level for p in pictures for level in _levels(p)]
        self.owner = np.repeat(np.arange(len(pictures)), [len(_levels(p)) for p in pictures])
        self.schedule, self.seed = schedule, seed
        self.labelled: list[Source] = []

    def relabel(self, respond: Respond, round_: int) -> None:
        """Label every picture at every size by homographic adaptation of ``respond``."""
        rng = np.random.default_rng((self.seed, 7, round_))
        greys = [p if p.ndim == 2 else cv2.cvtColor(p, cv2.COLOR_BGR2GRAY) for p in self.plain]
        self.labelled = [adapt(g, respond, rng) for g in greys]

    def _picture(self, rng: np.random.Generator) -> Source:
        owner = int(rng.integers(self.owner.max() + 1))
        row = int(rng.choice(np.flatnonzero(self.owner == owner)))
        grey, xy, weight = self.labelled[row]
        picture = grey_of(self.plain[row], rng) if rng.random() < 0.5 else grey
        if rng.random() < 0.5:  # mirrored, so that the few pictures are twice as many
            picture = np.ascontiguousarray(picture[:, ::-1])
            xy = np.stack([grey.shape[1] - 1 - xy[:, 0], xy[:, 1]], 1)  # type: ignore[index]
        return Source(picture, xy, weight)

    def batch(self, rng: np.random.Generator) -> Any:
        """One :class:`~hybridkp.deep.points.pairs.PairBatch`."""
        plan = self.schedule
        drawn = rng.random(plan.pairs)
        drawn[0] = 1.0  # at least one picture
        sources = [
            shapes(rng) if d < plan.shapes
            else collage(self.colour, rng) if d < plan.shapes + plan.collages
            else self._picture(rng)
            for d in drawn
        ]  # fmt: skip
        return make_batch(sources, rng, plan.side, plan.views)


# ------------------------------------------------------------------------------ validation
def validate(
    net: nn.Module, pictures: Sequence[Array], n_pairs: int = 6, n_points: int = 300
) -> dict[str, float]:
    """Fixed warps of held-out pictures: MMA at 1 and 3 px, repeatability and matching score at 3 px."""
    net.eval()
    rng, found = np.random.default_rng(5), []
    greys = [p if p.ndim == 2 else cv2.cvtColor(p, cv2.COLOR_BGR2GRAY) for p in pictures]
    for grey in [g for g in greys for _ in range(n_pairs)]:
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


# ------------------------------------------------------------------------------ the loop
class PointTrainer:
    """State of one training: network, its running average, optimiser, labels, step.

    Parameters
    ----------
    pictures : to learn from, (H, W) or (H, W, 3) uint8 BGR
    held : other pictures, to judge by
    """

    def __init__(
        self, pictures: Sequence[Array], held: Sequence[Array], schedule: PointSchedule, seed: int = 0
    ) -> None:
        self.schedule, self.seed, self.held = schedule, seed, held
        with seeded(seed, torch.device("cpu")):
            self.net = PointModule()
            self.loss = PointLoss()
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.net).eval()
        self.best, self.best_value = copy.deepcopy(self.net.state_dict()), -1.0
        parameters = [*self.net.parameters(), *self.loss.parameters()]
        self.optimiser = torch.optim.AdamW(parameters, weight_decay=schedule.weight_decay)
        self.supply = Supply(pictures, schedule, seed)
        self.step, self.rounds, self.history = 0, 0, []  # type: ignore[var-annotated]
        self.supply.relabel(corner_response, 0)

    def rate(self, progress: float) -> float:
        """Learning rate: linear warm-up, then a cosine to zero."""
        warm = min(1.0, progress / 0.02 + 0.02)
        return (
            self.schedule.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * min(1.0, progress)) + 2e-3)
        )

    def advance(self, progress: float) -> dict[str, float]:
        """One step; returns its terms."""
        if self.rounds < sum(progress >= r for r in self.schedule.relabel):
            self.rounds += 1
            self.supply.relabel(net_response(self.average), self.rounds)
        batch = self.supply.batch(np.random.default_rng((self.seed, 1, self.step)))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(progress)
        self.net.train()
        terms = self.loss(self.net, batch, generator)
        self.optimiser.zero_grad(set_to_none=True)
        value = total(terms, progress)
        value.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        self._follow()
        return {"loss": float(value.detach())} | {k: float(v.detach()) for k, v in terms.items()}

    def _follow(self) -> None:
        keep = min(self.schedule.averaging, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            now = self.net.state_dict()
            for name, value in self.average.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(now[name], 1 - keep)

    def judge(self) -> dict[str, float]:
        """Validate the average, remember it when it is the best so far."""
        found = validate(self.average, self.held)
        value = found["mma3"] + found["matching"]
        if value >= self.best_value:
            self.best, self.best_value = copy.deepcopy(self.average.state_dict()), value
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Everything that :meth:`resume` needs, in one safetensors file, replaced atomically."""
        tensors: dict[str, Any] = {}
        for name, state in (("net", self.net.state_dict()), ("average", self.average.state_dict()),
                            ("best", self.best), ("loss", self.loss.state_dict())):  # fmt: skip
            tensors |= {f"{name}.{k}": v for k, v in state.items()}
        for i, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{i}.{k}": v for k, v in state.items()}
        for i, source in enumerate(self.supply.labelled):
            tensors[f"label.{i}"] = torch.from_numpy(np.asarray(source.xy))
        tensors = {k: v.detach().contiguous().clone() for k, v in tensors.items()}
        about = {"run": self._run(), "step": self.step, "rounds": self.rounds, "value": self.best_value}
        about["history"] = self.history
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, {"hybridkp": json.dumps(about)})

    def _run(self) -> dict[str, Any]:
        shapes_ = [list(p.shape) for p in self.supply.plain]
        run = {"schedule": asdict(self.schedule), "seed": self.seed, "pictures": shapes_}
        return json.loads(json.dumps(run))  # type: ignore[no-any-return]

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Go on from :meth:`save`; raises :class:`InputError` for another training's file."""
        try:
            with safe_open(path, "pt") as stream:
                about = json.loads((stream.metadata() or {})["hybridkp"])
                tensors = {k: stream.get_tensor(k) for k in stream.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise InputError(f"{path}: not a training checkpoint; delete it to start afresh") from error
        if about["run"] != self._run():
            raise InputError(f"{path}: checkpoint of another training (other pictures, seed or schedule)")

        def part(name: str) -> dict[str, Any]:
            return {k[len(name) + 1 :]: v for k, v in tensors.items() if k.startswith(name + ".")}

        self.net.load_state_dict(part("net"))
        self.average.load_state_dict(part("average"))
        self.loss.load_state_dict(part("loss"))
        self.best, self.best_value = part("best"), about["value"]
        state: dict[int, dict[str, Any]] = {}
        for key, value in part("optimiser").items():
            index, name = key.split(".")
            state.setdefault(int(index), {})[name] = value
        self.optimiser.load_state_dict(
            {"state": state, "param_groups": self.optimiser.state_dict()["param_groups"]}
        )
        labels = part("label")
        self.supply.labelled = [
            Source(s.picture, labels[str(i)].numpy(), np.ones(len(labels[str(i)])))
            for i, s in enumerate(self.supply.labelled)
        ]
        self.step, self.rounds, self.history = about["step"], about["rounds"], about["history"]

    def run(
        self,
        checkpoint: str | os.PathLike[str] | None = None,
        minutes: float | None = None,
        every: int = 500,
        report: Callable[[dict[str, float]], None] | None = None,
    ) -> nn.Module:
        """Train to the end, or until the clock says so, and give the best average network.

        With ``minutes`` the schedule follows the clock wherever that is ahead of the steps: the
        training ends in time on any machine, but no two runs are the same any more.
        """
        begin, early = time.monotonic(), self.step / self.schedule.steps
        if checkpoint is not None and Path(checkpoint).exists():
            self.resume(checkpoint)
            early = self.step / self.schedule.steps
        sums: dict[str, list[float]] = {}
        progress = early
        while progress < 1:
            for name, value in self.advance(progress).items():
                sums.setdefault(name, []).append(value)
            progress = self.step / self.schedule.steps
            if minutes is not None:
                spent = (time.monotonic() - begin) / (60 * minutes)
                progress = max(progress, early + (1 - early) * spent)
            if self.step % every == 0 or progress >= 1:
                line = {"step": float(self.step), "progress": progress}
                line |= {k: float(np.mean(v)) for k, v in sums.items()} | self.judge()
                sums = {}
                self.history.append(line)
                if report is not None:
                    report(line)
                if checkpoint is not None:
                    self.save(checkpoint)
        self.net.load_state_dict(self.best)
        return self.net.eval()
