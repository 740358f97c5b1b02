"""The point network for stock OpenCV 5: one ONNX file that ``cv2.ALIKED`` runs, decoding included.

Also the way back from a shipped graph to the module, so that its weights can be exported or trained
on.  Nothing here runs a model; without OpenCV 5 use :class:`hybridkp.points.NetFeature`.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...files.atomic import write_atomic
from ...files.onnx_graph import fields
from ...points.dense import TEMPERATURE
from ...points.net import SHIPPED
from ...structures import InputError
from ..export import trace
from .network import DIVISOR, STRIDE, PointModule, folded

BORDER = 4  #: px without points, as in hybridkp.points.dense


# ------------------------------------------------------------------------------ reading
def _weights(path: Path) -> dict[str, Tensor]:
    """The float32 initialisers of an ONNX file by name (``onnx.proto3``: model 7, graph 5, tensor 1 8 9)."""
    out: dict[str, Tensor] = {}
    for number, graph in fields(memoryview(path.read_bytes())):
        if number != 7:
            continue
        for number_, tensor in fields(graph):
            if number_ != 5:
                continue
            shape, name, raw = [], "", b""
            for field, value in fields(tensor):
                if field == 1:
                    shape.append(int(value))
                elif field == 8:
                    name = bytes(value).decode()
                elif field == 9:
                    raw = bytes(value)
            if len(raw) == 4 * math.prod(shape):
                out[name] = torch.from_numpy(np.frombuffer(raw, "<f4").reshape(shape).copy())
    return out


def load_points(weights: str | os.PathLike[str] | None = None) -> PointModule:
    """The module, its normalisations folded, with the weights of an exported graph (None = shipped).

    Raises
    ------
    InputError
        When the file is absent or was not written by :func:`.export_points`.
    """
    path = SHIPPED if weights is None else Path(weights)
    try:
        found = _weights(path)
        widths = tuple(len(found[f"{name}.weight"]) for name in ("at2.0", "at4.1.0", "at8.1.0", "at16.1.0"))
        module: PointModule = folded(PointModule(widths, len(found["describe.weight"])))  # type: ignore[arg-type]
        module.load_state_dict({k: v for k, v in found.items() if k in module.state_dict()})
    except OSError:
        raise InputError(f"{path}: no such weights file") from None
    except (KeyError, ValueError, IndexError, RuntimeError, TypeError) as error:
        raise InputError(f"{path}: not a graph written by export_points ({type(error).__name__})") from None
    return module.eval()


# ------------------------------------------------------------------------------ writing
class AlikedGraph(nn.Module):
    """RGB / 255 of one size to N points, rows and scores, with operators that OpenCV 5 has."""

    grey: Tensor
    outside: Tensor
    window: Tensor
    dx: Tensor
    dy: Tensor

    def __init__(self, module: PointModule, size_hw: tuple[int, int], n_points: int) -> None:
        super().__init__()
        self.module, self.size_hw, self.n_points = module, size_hw, n_points
        height, width = size_hw
        self.register_buffer("grey", torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1) * 255)
        inner = torch.zeros(1, 1, height, width)
        inner[..., BORDER:-BORDER, BORDER:-BORDER] = 1
        self.register_buffer("outside", 60 * (1 - inner))
        step = torch.arange(-2, 3)
        dy, dx = (g.flatten() for g in torch.meshgrid(step, step, indexing="ij"))
        self.register_buffer("window", (dy * width + dx).view(1, 25))
        self.register_buffer("dx", dx.float().view(1, 25))
        self.register_buffer("dy", dy.float().view(1, 25))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        height, width = self.size_hw
        grey = torch.floor(F.conv2d(image, self.grey) + 0.5)  # grey values are whole numbers everywhere else
        centred = grey - grey.mean((2, 3), keepdim=True)
        spread = (centred * centred).mean((2, 3), keepdim=True).sqrt()
        logits, rows = self.module(centred / (spread + 1.0))
        # what is no maximum, or near the edge, sinks by 60: below every point
        hidden = logits - self.outside
        largest = F.max_pool2d(logits, 5, 1, 2)
        hidden = hidden - 60.0 * (largest - logits).clamp(0, 1e-6) * 1e6
        score, place = torch.topk(hidden.view(-1), self.n_points)
        y = torch.floor((place.float() + 0.5) / width)
        x = place.float() - y * width
        inside = (place.view(-1, 1) + self.window).clamp(0, height * width - 1)
        near = torch.softmax(logits.view(-1)[inside] / TEMPERATURE, 1)
        x = x + (near * self.dx).sum(1)
        y = y + (near * self.dy).sum(1)
        size = torch.tensor([float(width), float(height)])
        at = torch.stack([x, y], 1)
        # grid_sample counts from edge to edge, and so does a point in px plus one half
        grid = (2 * at + 1) / size - 1
        found = F.grid_sample(rows, grid.view(1, 1, -1, 2), padding_mode="border", align_corners=False)
        found = found[0, :, 0].transpose(0, 1)
        length = (found * found).sum(1, keepdim=True).sqrt().clamp_min(1e-9)
        return 2 * at / size - 1, found / length, torch.sigmoid(score).view(-1, 1)


def export_aliked(
    path: str | os.PathLike[str],
    size_hw: tuple[int, int] = (640, 640),
    n_points: int = 1024,
    weights: str | os.PathLike[str] | None = None,
) -> None:
    """Write the network as an ONNX file for ``cv2.ALIKED`` of OpenCV 5 and up.

    Input ``image`` (1, 3, H, W) RGB / 255; outputs ``keypoints`` (N, 2) with x = (k + 1) / 2 W as
    OpenCV reads them, ``descriptors`` (N, 64) of unit length and ``scores`` (N, 1), best first.
    There are always N rows: where the picture has fewer points, the rest have score 0 and a C++
    application drops them by ``response``::

        auto feature = cv::ALIKED::create("net.onnx");
        feature->detectAndCompute(image, cv::noArray(), keypoints, descriptors);
        auto weak = [](const cv::KeyPoint& k) { return k.response < 0.02f; };

    Parameters
    ----------
    path : the file to write, replaced atomically
    size_hw : the graph's picture size, multiples of 16.  The default is the size that ``cv2.ALIKED`` has by
        default; of another one it must be told (``params.inputSize``), or its matches are wrong.  OpenCV
        resizes pictures to it, and takes points back without the half pixel: best is the application's size
    n_points : N
    weights : as in :func:`load_points`

    Raises
    ------
    InputError
        For a size that is no multiple of 16 or has fewer px than points, and bad weights.
    """
    height, width = (int(s) for s in size_hw)
    if min(height, width) < 2 * DIVISOR or height % DIVISOR or width % DIVISOR:
        raise InputError(f"size_hw must be multiples of {DIVISOR} from {2 * DIVISOR} on, got {size_hw}")
    if not 1 <= n_points <= height * width // STRIDE**2:
        raise InputError(f"n_points must lie in 1..{height * width // STRIDE**2}, got {n_points}")
    graph = AlikedGraph(load_points(weights), (height, width), int(n_points)).eval()
    image = {"image": torch.zeros(1, 3, height, width)}
    write_atomic(path, trace(graph, image, 16, ("keypoints", "descriptors", "scores")))
