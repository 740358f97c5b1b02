"""Feature maps read at points, bilinear: :func:`..fast_descent.read_maps` as ONNX operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...imaging.geometry import grid_offsets, rescale
from ...runtime.builder import Complex, Tensor
from ..fast_descent import as_complex


def read_maps(maps: Tensor, node: dict[str, Any], size_hw: tuple[int, int], z: Complex, k: int) -> Tensor:
    """(1, K * cells² * C) of maps (1, C, h, w) whose pixels lie ``stride`` crop px apart."""
    g, stride, cells = maps.graph, float(node["stride"]), int(node["cells"])
    unit = np.asarray(node["unit"], np.float32)
    h, w = (round(side / stride) for side in size_hw)
    flat = maps.reshape(len(unit), h * w)
    offsets = Complex.of(g, as_complex(grid_offsets(cells, stride).reshape(-1, 2)))
    places = z.reshape(k, 1) + offsets
    x, y = (rescale(v, 1 / stride).to(np.float32) for v in (places.re, places.im))
    x, y = x.clip(0, w - 1.0).reshape(-1), y.clip(0, h - 1.0).reshape(-1)
    x0, y0 = x.floor().at_most(max(w - 2.0, 0)), y.floor().at_most(max(h - 2.0, 0))
    fx, fy = x - x0, y - y0
    x1, y1 = (x0 + 1.0).at_most(w - 1.0), (y0 + 1.0).at_most(h - 1.0)

    def read(row: Tensor, column: Tensor) -> Tensor:
        return flat.take((row * float(w) + column).to(np.int32), 1)  # (C, K * cells²)

    top = read(y0, x0) * (1.0 - fx) + read(y0, x1) * fx
    bottom = read(y1, x0) * (1.0 - fx) + read(y1, x1) * fx
    found = (top * (1.0 - fy) + bottom * fy) * unit[:, None]
    return found.transpose(1, 0).reshape(1, -1)
