"""Points near the modes of the mean of several looks' maps: :class:`.SeveralLooks` in a runtime file.

Pure NumPy and cv2; the looks themselves are :func:`hybridkp.runtime.nodes.on_planes`.
"""

from __future__ import annotations

import numpy as np

from ...imaging.geometry import resize_points
from ...runtime.nodes import Node, Run, on_planes
from ...runtime.values import array, whole
from ...structures import Array
from ..kernels import recalibrated
from .pictorial import read_mode


def make(node: Node, engine: str) -> Run:
    ask, calibration = on_planes(node, engine, ["maps"]), array(node["calibration"], 2)
    stride = whole(node, "stride", 1, 64)

    def run(picture: Array) -> tuple[Array, Array]:
        xy, mass = read_mode(ask(picture)[0])
        return resize_points(xy[0], stride).astype(np.float32), recalibrated(mass[0], calibration, True)

    return run
