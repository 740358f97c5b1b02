"""Trees as gathers: all rows and all trees go down a level at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.builder import Tensor


def walked(values: Tensor, trees: dict[str, Any], offset: Any, first: Any, root: Any) -> Tensor:
    """Nodes (...), int32, where rows of flat float32 ``values`` end in packed trees.

    Parameters
    ----------
    offset : (n_nodes,) from a row's first value to the one that a node asks about
    first, root : that broadcast to (...): a row's first value, a tree's first node; arrays or tensors
    """
    g, exact = values.graph, np.asarray(trees["threshold"], np.float64)
    threshold = exact.astype(np.float32)
    above = threshold.astype(np.float64) > exact  # of float32 values the same answers
    threshold = np.where(above, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    children = np.stack([trees["left"], trees["right"]], 1).ravel().astype(np.int32)
    asked, least, below = g.tensor(offset, np.int32), g.tensor(threshold), g.tensor(children)
    place, node = g.tensor(first, np.int32), g.tensor(root, np.int32)
    for _ in range(int(trees["depth"])):
        right = values.take(place + asked.take(node)) > least.take(node)
        node = below.take(node * 2 + right.to(np.int32))
    return node
