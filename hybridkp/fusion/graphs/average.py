"""The mean of the members' points, plain or with given weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.builder import Crop, Points, members


def emit(node: dict[str, Any], crop: Crop) -> Points:
    xy, score = members(node, crop)
    share = np.asarray(node["weights"], float) / np.sum(node["weights"])
    fused = (xy * share[:, None, None]).sum(0, keep=False)
    return fused.to(np.float32), (score * share[:, None]).sum(0, keep=False).to(np.float32)
