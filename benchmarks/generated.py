"""Do pictures made by a small generative model help where few are labelled?  A VAE on shapes, one on patches.

Beside the plain augmentation (turned, scaled, lit, covered, mirrored; every network here has it) come as
many made pictures as there are labelled ones, each from a labelled one:

``shapes``   a variational autoencoder (Kingma & Welling 2014) of the training shapes, each in its own frame.
             A shape is encoded, moved in the code, decoded; the picture is bent to it by a thin-plate spline.
``patches``  one of the training patches around the landmarks. Each is encoded, moved in the code, and what
             that changed of it is laid over the picture with a soft rim; the points stay.

Both learn from the same few pictures and from nothing else. Every network has the same processor time and the
same schedule, and validates on no picture. Each seed draws whole groups anew. What ``-o`` holds already is
not trained again, so that a killed run goes on.

examples:
  python benchmarks/generated.py --seconds 25 -o docs/results/generated.json
  python benchmarks/generated.py --quick
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import cv2
import landmark_sets as sets
import networks
import numpy as np
import publish_results
import torch
from learning_curves import nested
from scipy.interpolate import RBFInterpolator
from torch import Tensor, nn

from hybridkp.evaluate import Crops, make_crops
from hybridkp.imaging.geometry import extract_patches
from hybridkp.memory.threads import limit_threads
from hybridkp.structures import Array, Problem

PATCH = 17  #: px of the crop
#: no picture is held out, and an epoch of few pictures is not a moment
UNWATCHED = {"schedule__epoch_pictures": 500, "schedule__validation_fraction": 0.0}
SPREAD = 0.5  #: of the step in the code, in standard deviations of the prior
Made = tuple[Array, Array]  #: pictures (B, H, W, 3) and their points (B, K, 2)


class VAE(nn.Module):
    """Rows (N, D) of zero mean and unit spread, to a Gaussian code and back; fully connected."""

    def __init__(self, n_features: int, n_code: int, width: int = 96) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n_features, width), nn.ReLU(), nn.Linear(width, 2 * n_code))
        self.decoder = nn.Sequential(nn.Linear(n_code, width), nn.ReLU(), nn.Linear(width, n_features))

    def loss(self, rows: Tensor, noise: float) -> Tensor:
        """Minus the evidence's lower bound, for an observation noise in units of the rows."""
        mean, log_variance = self.encoder(rows).chunk(2, 1)
        code = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        error = (self.decoder(code) - rows).square().sum(1) / (2 * noise**2)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        return (error + divergence).mean()


def varied(rows: Array, n_code: int, steps: int, noise: float, seed: int) -> Array:
    """Each row (N, D) as a model of all of them makes it a step away in the code; its own remainder stays."""
    torch.manual_seed(seed)
    middle, spread = rows.mean(0), rows.std() + 1e-6
    seen = torch.from_numpy((rows - middle) / spread).float()
    model = VAE(rows.shape[1], n_code)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        model.loss(seen[torch.randint(len(seen), (128,))], noise).backward()
        optimiser.step()
    with torch.no_grad():
        code = model.encoder(seen).chunk(2, 1)[0]
        moved = model.decoder(code + SPREAD * torch.randn_like(code)) - model.decoder(code)
    return rows + spread * moved.numpy()


def by_shapes(crops: Crops, steps: int, seed: int) -> Made:
    """Each crop bent to a shape that the model made of its own."""
    centre = np.nanmean(crops.xy, 1, keepdims=True)
    size = np.sqrt(np.nanmean((crops.xy - centre) ** 2, (1, 2), keepdims=True))
    own = (crops.xy - centre) / size
    flat = np.where(np.isfinite(own), own, np.nanmean(own, 0)).reshape(len(own), -1)
    xy = varied(flat, 8, steps, 0.1, seed).reshape(own.shape) * size + centre
    return np.stack([bent(*row) for row in zip(crops.images, crops.xy, xy, strict=True)]), np.where(
        np.isfinite(crops.xy), xy, np.nan
    )


def bent(image: Array, old: Array, new: Array) -> Array:
    """The picture with what was at ``old`` (K, 2) at ``new``; its border stays."""
    h, w = image.shape[:2]
    known = np.isfinite(old).all(1)
    rim = np.array([(x, y) for x in (0, w / 2, w - 1) for y in (0, h / 2, h - 1) if (x, y) != (w / 2, h / 2)])
    there = np.concatenate([new[known], rim])
    move = np.concatenate([old[known] - new[known], np.zeros_like(rim)])
    grid = np.mgrid[: h : h / 16, : w : w / 16].reshape(2, -1).T[:, ::-1]
    coarse = RBFInterpolator(there, move, smoothing=0.1)(grid).reshape(16, 16, 2).astype(np.float32)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    dx, dy = (
        cv2.remap(coarse[..., i], x * 16 / w, y * 16 / h, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for i in (0, 1)
    )
    return cv2.remap(image, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def by_patches(crops: Crops, steps: int, seed: int) -> Made:
    """Each crop with what the model changed of the patches around its points."""
    b, k = crops.xy.shape[:2]
    at = np.rint(np.where(np.isfinite(crops.xy), crops.xy, 0.0))
    rows = np.stack(
        [
            extract_patches(image.astype(np.float32), p, PATCH)
            for image, p in zip(crops.images, at, strict=True)
        ]
    ).reshape(b * k, -1)
    change = (varied(rows, 12, steps, 0.3, seed) - rows).reshape(b, k, PATCH, PATCH, 3)
    rim = np.hanning(PATCH + 2)[1:-1]
    soft = (rim[:, None] * rim)[..., None]
    h, w = crops.images.shape[1:3]
    out, total = np.zeros((b, h + 2 * PATCH, w + 2 * PATCH, 3)), np.ones((b, h + 2 * PATCH, w + 2 * PATCH, 1))
    for i, j in np.argwhere(np.isfinite(crops.xy).all(2)):
        x, y = np.clip(at[i, j], 0, (w - 1, h - 1)).astype(int) + PATCH - PATCH // 2
        where = i, slice(y, y + PATCH), slice(x, x + PATCH)
        out[where] += soft * change[i, j]
        total[where] += soft
    inner = (out / total)[:, PATCH:-PATCH, PATCH:-PATCH]
    return np.clip(np.rint(crops.images + inner), 0, 255).astype(np.uint8), crops.xy


MAKERS: dict[str, Callable[[Crops, int, int], Made]] = {"shapes": by_shapes, "patches": by_patches}


def trained(problem: Problem, made: str, size: int, seed: int, args: argparse.Namespace) -> Any:
    """The network that learned from so many pictures and what was made of them."""
    part = problem.train.subset(nested(problem.train.groups, [size], seed)[size])
    crops = make_crops(part, problem.size_hw, problem.margin)
    images, xy = crops.images, crops.xy
    if made != "plain":
        more = MAKERS[made](crops, args.steps, seed)
        images, xy = np.concatenate([images, more[0]]), np.concatenate([xy, more[1]])
    (net,) = networks.networks([args.method], args.input_px, args.seconds).values()
    net.set_params(random_state=seed, **UNWATCHED)
    return net.fit(images, xy, groups=np.resize(crops.groups, len(images)), flip=part.flip)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = sets.parser(__doc__, publish=True)
    parser.add_argument("--set", default="faces68", help="folder of the real data (%(default)s)")
    parser.add_argument("--method", default="heatmap", help="a network (%(default)s)")
    parser.add_argument("--sizes", default="50,200", help="labelled pictures (%(default)s)")
    parser.add_argument("--seeds", default="0", help="numbers, with commas (%(default)s)")
    parser.add_argument("--seconds", type=float, default=25, help="processor time for each (%(default)s)")
    parser.add_argument("--input-px", type=int, default=64, help="side of what it sees (%(default)s)")
    parser.add_argument("--steps", type=int, default=1500, help="of each VAE's training (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="drawn faces, seconds")
    args = parser.parse_args(arguments)
    if args.quick:
        args.set, args.sizes, args.seconds, args.input_px, args.steps = "synthetic", "8", 0.2, 32, 20
    problem = sets.load_problem(args.set, *((12, 4) if args.quick else (None, None)), 0)
    sizes, seeds = ([int(n) for n in text.split(",")] for text in (args.sizes, args.seeds))
    val = make_crops(problem.val, problem.size_hw, problem.margin)
    document = sets.kept(args.publish, {"groups": publish_results.codes(np.asarray(val.groups)), "rows": []})
    done = {(row["pictures"], row["seed"], row["made"]) for row in document["rows"]}
    about = {"data": problem.name, "method": f"{args.method}[input_px={args.input_px}]"}
    about |= {"budget": f"{args.seconds:g} s of one core to train each", "machine": args.machine}
    about |= {"date": str(date.today()), "command": "python benchmarks/generated.py"}
    for size, seed, made in itertools.product(sizes, seeds, ("plain", *MAKERS)):
        if (size, seed, made) in done:
            continue
        with limit_threads(1):
            found = sets.errors(problem, val, trained(problem, made, size, seed, args).predict(val.images))
        print(f"{size} pictures, seed {seed}, {made}: {np.nanmean(found):.3f} %", file=sys.stderr)
        row = {"pictures": size, "seed": seed, "made": made, "values": publish_results.rounded(found)}
        sets.add_row(args.publish, document, about, row)


if __name__ == "__main__":
    sys.exit(sets.fail_in_a_line(main))
