"""Augmentation of whole batches as tensors: geometry that moves the points exactly, and light.

Shapes that pass: pictures (B, C, H, W) float32 in 0..255 and points (B, K, 2) in px, NaN = not
labelled.  Every random number comes from the generator handed in, so a seed fixes a training.
Pictures are only ever mirrored when the landmarks' ``flip`` permutation is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from ..structures import InputError
from .batches import invert_maps, pixel_grid, sample, transform_points


@dataclass(frozen=True)
class Augment:
    """How much to vary.  ``rotation`` in degrees and the log of the scale are normal deviates
    (cut at twice this value), ``turns`` a further rotation, uniform to both sides, in degrees; ``shift`` is
    uniform in units of the side; the rest are the largest
    relative changes, and ``occlusion``, ``blur``, ``jpeg`` and ``grey`` the probability of each;
    ``tint`` (each channel's gain) and ``grey`` (no colour left) touch colour pictures alone.
    """

    rotation: float = 12.0
    scale: float = 0.08
    shift: float = 0.05
    stretch: float = 0.04
    contrast: float = 0.3
    brightness: float = 0.15
    gamma: float = 0.3
    noise: float = 6.0
    blur: float = 0.25
    occlusion: float = 0.3
    jpeg: float = 0.15
    tint: float = 0.1
    grey: float = 0.15
    turns: float = 0.0

    def varied(self, times: float, degrees: float) -> Augment:
        """Geometry varied ``times`` as much, and turned by up to ``degrees`` more, 180 for any direction."""
        if not (math.isfinite(times) and times >= 0):
            raise InputError(f"vary must be a number of at least 0, got {times}")
        more = {name: times * getattr(self, name) for name in ("rotation", "scale", "shift", "stretch")}
        return replace(self, **more, turns=float(degrees))


_BGR_TO_GREY = (0.114, 0.587, 0.299)  # ITU-R BT.601, as in OpenCV


def _normal(n: int, generator: Generator) -> Tensor:
    return torch.randn(n, generator=generator).clamp_(-2, 2)


def _uniform(n: int, generator: Generator, low: float = -1.0, high: float = 1.0) -> Tensor:
    return torch.rand(n, generator=generator) * (high - low) + low


def random_maps(n: int, size_hw: tuple[int, int], amount: Augment, generator: Generator) -> Tensor:
    """(n, 2, 3) maps of points: turn, scale and stretch about the picture's centre, then shift."""
    height, width = size_hw
    angle = _normal(n, generator) * math.radians(amount.rotation)
    if amount.turns:
        angle = angle + _uniform(n, generator) * math.radians(amount.turns)
    scale = torch.exp(_normal(n, generator) * amount.scale)
    stretch = torch.exp(_normal(n, generator) * amount.stretch)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    linear = torch.stack([cos * stretch, -sin / stretch, sin * stretch, cos / stretch], 1).reshape(n, 2, 2)
    centre = torch.tensor([(width - 1) / 2, (height - 1) / 2])
    shift = torch.stack([_uniform(n, generator) * width, _uniform(n, generator) * height], 1) * amount.shift
    offset = centre + shift - linear @ centre
    return torch.cat([linear, offset.unsqueeze(2)], 2)


def apply_maps(pictures: Tensor, xy: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures and points through maps of points (B, 2, 3); beyond the edge the border repeats."""
    height, width = pictures.shape[-2:]
    grid = pixel_grid(height, width, pictures.device).expand(len(pictures), -1, -1, -1)
    source = transform_points(invert_maps(matrix), grid)
    return sample(pictures, source), transform_points(matrix, xy)


def mirror(pictures: Tensor, xy: Tensor, flip: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror the rows of the mask ``which`` (B,) left to right, x' = W - 1 - x, relabelled by ``flip``."""
    turned = xy[:, flip].clone()
    turned[..., 0] = pictures.shape[-1] - 1 - turned[..., 0]
    pictures = torch.where(which[:, None, None, None], pictures.flip(-1), pictures)
    return pictures, torch.where(which[:, None, None], turned, xy)


def vary_color(pictures: Tensor, amount: Augment, generator: Generator) -> Tensor:
    """Gains of the channels, or none but grey left, of BGR (B, 3, H, W); grey pictures pass."""
    n, channels = pictures.shape[:2]
    if channels == 1:
        return pictures
    gain = 1 + amount.tint * (torch.rand(n, channels, 1, 1, generator=generator) * 2 - 1)
    bleak = torch.rand(n, generator=generator) < amount.grey
    weights = torch.tensor(_BGR_TO_GREY, device=pictures.device)
    grey = (pictures * weights[:, None, None]).sum(1, keepdim=True)
    bleak = bleak.to(pictures.device)[:, None, None, None]
    return torch.where(bleak, grey, pictures * gain.to(pictures.device)).clamp(0, 255)


def vary_light(pictures: Tensor, amount: Augment, generator: Generator) -> Tensor:
    """Gamma, contrast, brightness, blur and noise, each picture its own; clipped to 0..255."""
    n, device = len(pictures), pictures.device

    def column(values: Tensor) -> Tensor:
        return values.to(device)[:, None, None, None]

    gamma = torch.exp(_uniform(n, generator) * amount.gamma)
    contrast = torch.exp(_uniform(n, generator) * amount.contrast)
    brightness = _uniform(n, generator) * amount.brightness * 255
    out = (pictures / 255).clamp_(0, 1).pow(column(gamma)) * 255
    out = (out - 127.5) * column(contrast) + 127.5 + column(brightness)
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=device) / 16
    strength = (torch.rand(n, generator=generator) < amount.blur) * torch.rand(n, generator=generator)
    if amount.blur and bool((strength > 0).any()):
        c = out.shape[1]
        padded = F.pad(out, (2, 2, 2, 2), mode="replicate")
        soft = F.conv2d(padded, (kernel[:, None] * kernel).expand(c, 1, 5, 5), groups=c)
        out = out + (soft - out) * column(strength)
    noise = torch.randn(out.shape, generator=generator).to(device)
    out = out + noise * column(torch.rand(n, generator=generator) * amount.noise)
    return out.clamp_(0, 255)


def occlude(pictures: Tensor, amount: Augment, generator: Generator) -> Tensor:
    """Lay one flat grey rectangle (10..40 % of each side) over some pictures; points stay labelled."""
    n, _, height, width = pictures.shape
    low = torch.rand(n, 2, generator=generator)
    size = 0.1 + 0.3 * torch.rand(n, 2, generator=generator)
    fill = (torch.rand(n, generator=generator) * 255).to(pictures.device)
    chosen = torch.rand(n, generator=generator) < amount.occlusion
    high = (low + size * chosen[:, None]).to(pictures.device)
    low = low.to(pictures.device)
    x = (torch.arange(width, device=pictures.device) + 0.5) / width
    y = (torch.arange(height, device=pictures.device) + 0.5) / height
    inside_x = (x >= low[:, :1]) & (x < high[:, :1])
    inside_y = (y >= low[:, 1:]) & (y < high[:, 1:])
    mask = (inside_y[:, :, None] & inside_x[:, None, :]).unsqueeze(1)
    return torch.where(mask, fill[:, None, None, None], pictures)


#: quantisation of an 8 x 8 block's frequencies at quality 50 (ITU-T T.81, annex K, table K.1)
_LUMINANCE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)


def compress(pictures: Tensor, quality: Tensor) -> Tensor:
    """What JPEG does to grey pictures (B, C, H, W) in 0..255 at ``quality`` (B,) in 1..100.

    The lossy part of baseline JPEG only: the discrete cosine transform of 8 x 8 blocks, rounded to
    multiples of the standard's luminance table, scaled by quality as libjpeg does.
    """
    n, c, height, width = pictures.shape
    device = pictures.device
    i = torch.arange(8, device=device, dtype=torch.float32)
    dct = torch.cos((2 * i + 1) * i[:, None] * math.pi / 16) / 2
    dct[0] /= math.sqrt(2)
    quality = quality.to(device).clamp(1, 100)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    table = torch.tensor(_LUMINANCE, device=device, dtype=torch.float32).view(8, 8)
    steps = ((table * scale[:, None, None] + 50) / 100).floor().clamp(1, 255)[:, None, None, None]
    padded = F.pad(pictures - 128, (0, -width % 8, 0, -height % 8), mode="replicate")
    h, w = (int(v) // 8 for v in padded.shape[-2:])
    blocks = padded.view(n, c, h, 8, w, 8).transpose(3, 4)
    found = dct.T @ ((dct @ blocks @ dct.T / steps).round() * steps) @ dct
    whole = found.transpose(3, 4).reshape(n, c, 8 * h, 8 * w)[..., :height, :width]
    return (whole + 128).clamp(0, 255)


def _jpeg(pictures: Tensor, amount: Augment, generator: Generator) -> Tensor:
    """Some of the pictures, as JPEG of quality 15 to 75 would leave them."""
    chosen = torch.rand(len(pictures), generator=generator) < amount.jpeg
    quality = _uniform(len(pictures), generator, 15, 75)
    if bool(chosen.any()):
        which = chosen.nonzero()[:, 0].to(pictures.device)
        pictures = pictures.index_copy(0, which, compress(pictures[which], quality[chosen]))
    return pictures


def augment(
    pictures: Tensor,
    xy: Tensor,
    amount: Augment,
    generator: Generator,
    flip: Tensor | None = None,
    widths: Sequence[tuple[str, int]] = (("image", 0),),
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """One random variant of each picture with its points; see :class:`Augment`.

    Of several inputs (``widths``: name and number of channels) all move by one map.  Light varies in the
    picture's channels alone, the others are given noise; with the chance ``dropout`` one input of a row is
    hidden, none of one.
    """
    pictures = pictures.float()
    if flip is not None:
        which = torch.rand(len(pictures), generator=generator) < 0.5
        pictures, xy = mirror(pictures, xy, flip.to(xy.device), which.to(xy.device))
    size = (pictures.shape[-2], pictures.shape[-1])
    maps = random_maps(len(pictures), size, amount, generator).to(pictures.device)
    pictures, xy = apply_maps(pictures, xy, maps)
    if len(widths) == 1 and widths[0][0] == "image":
        return occlude(_lit(pictures, amount, generator), amount, generator), xy
    parts = pictures.split([n for _, n in widths], dim=1)
    varied = [
        _lit(part, amount, generator) if name == "image" else _noisy(part, amount, generator)
        for (name, _), part in zip(widths, parts, strict=True)
    ]
    return torch.cat(_without_one(varied, dropout, generator), dim=1), xy


def _lit(pictures: Tensor, amount: Augment, generator: Generator) -> Tensor:
    pictures = vary_light(vary_color(pictures, amount, generator), amount, generator)
    return _jpeg(pictures, amount, generator)


def _noisy(planes: Tensor, amount: Augment, generator: Generator) -> Tensor:
    """Planes of another sense with noise, each row its own."""
    level = torch.rand(len(planes), generator=generator) * amount.noise
    noise = torch.randn(planes.shape, generator=generator).to(planes.device)
    return (planes + noise * level.to(planes.device)[:, None, None, None]).clamp_(0, 255)


def _without_one(parts: list[Tensor], dropout: float, generator: Generator) -> list[Tensor]:
    """Modality dropout: in some rows one part, evenly drawn, is flat grey."""
    if not dropout or len(parts) < 2:
        return parts
    n = len(parts[0])
    which = torch.randint(len(parts), (n,), generator=generator)
    which = torch.where(torch.rand(n, generator=generator) < dropout, which, -1).to(parts[0].device)
    return [
        torch.where((which == i)[:, None, None, None], torch.full_like(part, 127.5), part)
        for i, part in enumerate(parts)
    ]
