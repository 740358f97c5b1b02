"""Linear maps of rows whose result does not depend on how many rows come together.

A BLAS library rounds a matrix product differently with its size.  A search that picks the best of
nearly equal places can then end elsewhere for a picture alone than for the same picture in a batch.
NumPy only: an exported model runs from here.
"""

from __future__ import annotations

import numpy as np

from ..structures import Array


def row_by_row(rows: Array, weights: Array) -> Array:
    """``rows`` (B, D) times ``weights`` (D, N), each row by itself: (B, N), equal to the bit for any B."""
    return np.matmul(rows[:, None], weights)[:, 0]
