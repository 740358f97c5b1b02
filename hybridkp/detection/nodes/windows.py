"""The classical finder in the runtime: a learned window over the pyramid, as :class:`.WindowModel` has it.

One picture in, boxes (N, 4) and scores (N,) out.
"""

from __future__ import annotations

from ...runtime.nodes import Node
from ...runtime.values import array, number, whole
from ...structures import Array
from ..channels import Cells
from ..windows import WindowModel
from . import Find


def model_of(node: Node) -> WindowModel:
    """What the node describes, checked."""
    channels = Cells(whole(node, "cell_px", 1, 32), whole(node, "n_orientations", 2, 64), bool(node["color"]))
    height, width = node["window_hw"]
    return WindowModel(
        channels,
        (int(height), int(width)),
        number(node["context"], 1, 4),
        number(node["least_px"], 1, 1e5),
        whole(node, "octave", 1, 16),
        number(node["overlap"], 1e-6, 1),
        array(node["linear"], -1),
        dict(node["trees"]),
        number(node["reject"], -1e9, 1e9),
        array(node["regression"], -1, 4),
        array(node["calibration"], 2),
        bool(node["fast"]),
    )


def make(node: Node, engine: str) -> Find:
    model = model_of(node)
    least = number(node["min_score"], 0, 1)

    def find(picture: Array) -> tuple[Array, Array]:
        return model.find(picture, least)

    return find
