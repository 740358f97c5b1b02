"""The stages of a fast cascade: gradient channels of a frame, read at points, small products."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.builder import Complex, Crop, Points, Tensor
from ...runtime.builder import emit as emitted
from .. import fast_descent
from .channels import channel_maps, read_pattern
from .maps import read_maps
from .pictures import warped
from .steps import pose_of, step_scores, turn_of


def emit(node: dict[str, Any], crop: Crop) -> Points:
    g, n = crop.graph, int(node["n_orientations"])
    start, _ = emitted(node["start"], crop)
    mean, pattern = fast_descent.ShapeFrame.of(node["mean"]), fast_descent.rings_pattern(node["rings"])
    k, z, scale, lengths = len(node["mean"]), Complex.points(start), 0.0, []
    further = _Further(node["maps"], crop) if "maps" in node else None
    for stage in node["stages"]:
        if stage["scale"] != scale:
            scale, maps = stage["scale"], None
            a, b = pose_of(mean, z, scale, k)
        if fast_descent.Stage(**stage).stays:
            lengths.append(g.tensor(np.zeros(k)))
            continue
        if maps is None:
            size = fast_descent.frame_size(crop.size_hw, scale)
            maps = channel_maps(
                warped(crop.grey, crop.size_hw, a, b, scale), size, n, [ring.sigma for ring in pattern]
            )
        at = a * z + b
        turn = turn_of(mean, at.scaled(1 / scale))
        row = read_pattern(maps, at, turn, pattern, k, n)
        if stage["uses_maps"] and further is not None:
            row = g.concat([row, further.row(z, k)], 1)
        step = (row @ np.asarray(stage["weights"])) @ np.asarray(stage["directions"], np.float32)
        step = step + np.asarray(stage["shift"], np.float32)
        moved = Complex.points(step.reshape(k, 2)) * (turn * a.inverse())
        z = z + moved
        lengths.append(moved.abs())
    return z.xy().to(np.float32), step_scores(lengths, node["curve"])


class _Further:
    """Further maps of the crop, such as a network's, which stages read too."""

    def __init__(self, node: dict[str, Any], crop: Crop) -> None:
        self.node, self.size_hw, self.maps = node, crop.size_hw, crop.maps(node)

    def row(self, z: Complex, k: int) -> Tensor:
        return read_maps(self.maps, self.node, self.size_hw, z, k)
