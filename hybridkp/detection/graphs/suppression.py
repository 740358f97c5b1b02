"""Non-maximum suppression by ONNX's operator: :func:`..boxes_math.suppress`."""

from __future__ import annotations

import numpy as np

from ...runtime.builder import Tensor
from ..boxes_math import VOTES


def kept_boxes(
    boxes: Tensor, value: Tensor, score: Tensor, overlap: float, least: float, vote: bool = False
) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) and scores (N,) of at least ``least`` that no better one overlaps, best first.

    Of boxes (M, 4) float64, ranked by ``value`` (M,), with their scores (M,) float64.  With ``vote`` a box is
    the mean that :func:`..boxes_math.voted` makes of those whose score is as high, by their scores.
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
    every, weight = boxes, score
    boxes, score = boxes.take(rows), score.take(rows)
    if vote:
        weight = g.where(weight < least, g.tensor(0.0), weight)
        boxes = _voted(boxes, every, weight)
    sure = g.op("Not", score < least)
    return tuple(g.op("Compress", part, sure, axis=0) for part in (boxes, score))  # type: ignore[return-value]


def _voted(kept: Tensor, every: Tensor, weight: Tensor) -> Tensor:
    """As :func:`..boxes_math.voted`, of boxes (n, 4) among (N, 4)."""
    g = kept.graph
    own, others = g.op("Unsqueeze", kept, g.ints([1])), g.op("Unsqueeze", every, g.ints([0]))
    low = [b.slice(2, 0, 2) for b in (own, others)]
    size = [b.slice(2, 2, 4) for b in (own, others)]
    shared = (low[0] + size[0]).at_most(low[1] + size[1]) - low[0].at_least(low[1])
    both, *areas = (s.slice(2, 0, 1) * s.slice(2, 1, 2) for s in (shared.at_least(0.0), *size))
    near = g.op("Not", both < (areas[0] + areas[1] - both) * VOTES)  # (n, N, 1)
    share = g.where(g.op("Squeeze", near, g.ints([2])), weight, g.tensor(0.0))
    return (share @ every) / share.sum(1).at_least(1e-12)
