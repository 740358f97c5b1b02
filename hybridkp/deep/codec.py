"""Points to maps and back: the codec between landmarks in px and what a fully convolutional net gives.

Maps (B, K, h, w) are non-negative and sum to 1; points (B, K, 2) are in px of the map, or of the
network's input where a stride says how many of them a map's pixel covers.  No network and no loss here.
Plain operators only, so that every ONNX engine runs the way back.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..imaging.geometry import rescale

MODE_SMOOTHING, MODE_WINDOW = 3.0, 4.0  #: map px; chosen on folds of faces and of bodies


def encode(xy: Tensor, size_hw: tuple[int, int], sigma: float, stride: int = 1) -> Tensor:
    """Points (B, K, 2) to Gaussian maps (B, K, h, w) of spread ``sigma`` map px, each summing to 1.

    Sampled at pixel centres and normalised; a NaN point gives a map of zeros.
    """
    xy = xy if stride == 1 else rescale(xy, 1 / stride)
    height, width = size_hw
    x = torch.arange(width, device=xy.device, dtype=xy.dtype)
    y = torch.arange(height, device=xy.device, dtype=xy.dtype)
    known = torch.isfinite(xy).all(-1)
    xy = torch.where(known.unsqueeze(-1), xy, 0.0)
    over_x = torch.softmax(-((x - xy[..., :1]) ** 2) / (2 * sigma**2), -1)
    over_y = torch.softmax(-((y - xy[..., 1:]) ** 2) / (2 * sigma**2), -1)
    return over_y.unsqueeze(-1) * over_x.unsqueeze(-2) * known[..., None, None]


def decode(maps: Tensor, stride: int = 1) -> tuple[Tensor, Tensor]:
    """Maps (B, K, h, w) to their expectation (B, K, 2), and their variance (B, K) in map px squared."""
    h, w = (int(n) for n in maps.shape[-2:])
    x, y = ([i - (n - 1) / 2 for i in range(n)] for n in (w, h))  # small squares round less
    over_x = [(1.0, i, i * i) for i in x]
    over_y = [of for i in y for of in ((0.0, i, i * i), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))]
    tables = (torch.tensor(t, device=maps.device, dtype=maps.dtype) for t in (over_x, over_y))
    rows = maps @ next(tables)  # of each row its sum, and those of x and of x^2
    moments = rows.flatten(2) @ next(tables)
    off = moments[..., :2]
    variance = (moments[..., 2:] - (off * off).sum(-1, keepdim=True)).squeeze(-1).clamp_min(0)
    xy = off + torch.tensor([-x[0], -y[0]], device=maps.device, dtype=maps.dtype)
    return (xy if stride == 1 else rescale(xy, stride)), variance


def decode_mode(maps: Tensor, stride: int = 1) -> tuple[Tensor, Tensor]:
    """As :func:`decode`, of the part of each map around its mode.

    The expectation of a map with two peaks (left or right wrist?) lies between them, where
    nothing is.  Here the map, smoothed and sharpened by its fourth power, says where the greater mass
    lies (of every second px, of which there are enough after so much smoothing), and two steps of mean
    shift (Comaniciu & Meer 2002) take the expectation there, in a Gaussian window.
    """
    y, x = (axis(int(n), maps.device) for n in maps.shape[-2:])
    few_y, few_x = (i[::2] + (1 - len(i) % 2) / 2 for i in (y, x))  # as far from either edge
    smooth = _blur_matrix(few_y, y) @ maps @ _blur_matrix(x, few_x) + 1e-9
    sharp = (smooth * smooth) * (smooth * smooth)
    over_x, over_y = sharp.sum(-2), sharp.sum(-1)
    mass = over_x.sum(-1, keepdim=True)
    at_x, at_y = _expectation(over_x, few_x) / mass, _expectation(over_y, few_y) / mass
    for _ in range(2):
        over_x, over_y, mass = _windowed(maps, at_x, at_y, MODE_WINDOW)
        mass = mass + 1e-12  # a window may be all but empty when the map is flat
        at_x, at_y = _expectation(over_x, x) / mass, _expectation(over_y, y) / mass
    variance = _variance(over_x / mass, at_x, x) + _variance(over_y / mass, at_y, y)
    return _point(at_x, at_y, stride), variance


def windowed_mean(maps: Tensor, xy: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """The expectation (B, K, 2) of each map in a Gaussian window around ``xy``, and the mass there (B, K)."""
    y, x = (axis(int(n), maps.device) for n in maps.shape[-2:])
    over_x, over_y, mass = _windowed(maps, xy[..., :1], xy[..., 1:], sigma)
    found = torch.cat([_expectation(over_x, x), _expectation(over_y, y)], -1) / (mass + 1e-6)
    return found, mass.squeeze(-1)


def axis(n: int, device: torch.device) -> Tensor:
    """0 .. n - 1; a constant for the ONNX tracer, whose operator for torch.arange cv2.dnn refuses."""
    return torch.tensor([float(i) for i in range(n)], device=device)


def _expectation(over: Tensor, axis: Tensor) -> Tensor:
    """(B, K, 1) from sums over columns or rows (B, K, n) and the axis (n,)."""
    return (over * axis).sum(-1, keepdim=True)


def _point(at_x: Tensor, at_y: Tensor, stride: int) -> Tensor:
    """(B, K, 2) from map px (B, K, 1) each."""
    xy = torch.cat([at_x, at_y], -1)
    return xy if stride == 1 else rescale(xy, stride)


def _variance(over: Tensor, mean: Tensor, axis: Tensor) -> Tensor:
    """(B, K) of shares (B, K, n); around the mean: a difference of squares loses digits that scores need."""
    off = axis - mean
    return _expectation(over, off * off).squeeze(-1)


def _windowed(maps: Tensor, at_x: Tensor, at_y: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    """Maps in a Gaussian window around points (B, K, 1) each: sums (B, K, w), (B, K, h), mass (B, K, 1).

    As products, since windows the size of the maps would cost more than the network's last layers.
    """
    y, x = (axis(int(n), maps.device) for n in maps.shape[-2:])
    off_x, off_y = x - at_x, y - at_y  # off * off: ONNX Runtime is slow at powers
    window_x, window_y = (torch.exp(off * off * (-0.5 / sigma**2)) for off in (off_x, off_y))
    over_x = (window_y.unsqueeze(-2) @ maps).squeeze(-2) * window_x
    over_y = (maps @ window_x.unsqueeze(-1)).squeeze(-1) * window_y
    return over_x, over_y, over_x.sum(-1, keepdim=True)


def _blur_matrix(rows: Tensor, columns: Tensor) -> Tensor:
    """(n, m): Gaussian smoothing along an axis, from ``columns`` to ``rows``; what leaves the map is lost."""
    return torch.exp((rows[:, None] - columns) ** 2 / (-2 * MODE_SMOOTHING**2)) / (
        MODE_SMOOTHING * math.sqrt(2 * math.pi)
    )
