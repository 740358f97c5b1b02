"""Non-maximum suppression by ONNX's operator: :func:`..boxes_math.suppress`."""

from __future__ import annotations

import numpy as np

from ...runtime.builder import Tensor


def kept_boxes(
    boxes: Tensor, value: Tensor, score: Tensor, overlap: float, least: float
) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) and scores (N,) of at least ``least`` that no better one overlaps, best first.

    Of boxes (M, 4) float64, ranked by ``value`` (M,), with their scores (M,) float64.
    """
    g = boxes.graph
    x, y, w, h = (boxes.slice(1, i, i + 1) for i in range(4))
    corners = g.concat([y, x, y + h, x + w], 1).to(np.float32)
    chosen = g.op(
        "NonMaxSuppression",
        g.op("Unsqueeze", corners, g.ints([0])),
        g.op("Unsqueeze", value.to(np.float32), g.ints([0, 1])),
        g.ints([10**6]),
        g.tensor([overlap], np.float32),
        dtype=np.int64,
    )
    rows = chosen.take(2, 1)
    boxes, score = boxes.take(rows), score.take(rows)
    sure = g.op("Not", score < least)
    return tuple(g.op("Compress", part, sure, axis=0) for part in (boxes, score))  # type: ignore[return-value]
