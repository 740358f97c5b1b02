"""Ridge regression with exact leave-one-group-out predictions from a single solve.

Rows (N, D) and targets (N, T) in, weights (D, T) and an offset (T,) out; works in the smaller of
the two spaces.  NumPy and SciPy only; knows nothing of pictures.
"""

from __future__ import annotations

from typing import overload

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ..structures import Array


@overload
def ridge(rows: Array, targets: Array, alpha: float, groups: None = None) -> tuple[Array, Array, None]: ...


@overload
def ridge(rows: Array, targets: Array, alpha: float, groups: Array) -> tuple[Array, Array, Array]: ...


def ridge(
    rows: Array, targets: Array, alpha: float, groups: Array | None = None
) -> tuple[Array, Array, Array | None]:
    """Minimise ``|rows W + c - targets|² + alpha |W|²``; ``rows`` (N, D) float32 is centred in place.

    Parameters
    ----------
    alpha : float
        In units of the rows' own squares: not rescaled by N or D.
    groups : (N,) int or None
        Asks for ``held_out``.

    Returns
    -------
    weights (D, T) float32, offset (T,) float32
    held_out : (N, T) or None
        What the same regression says of each row when its group is held out: the residual of a
        group is its block of ``I - hat`` solved for (Cook & Weisberg 1982).  The centring is not
        repeated, and the block's diagonal is raised by 1e-3: where one group alone tells a
        direction, its held-out prediction there lies between the exact one and the fitted one.
    """
    n, d = rows.shape
    alpha = max(alpha, 1e-6)
    mean, centre = rows.mean(axis=0), targets.mean(axis=0)
    rows -= mean
    wanted = (targets - centre).astype(np.float32)
    dual = d > n
    gram = rows @ rows.T if dual else rows.T @ rows
    gram[np.diag_indices_from(gram)] += np.float32(alpha)
    factor = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    if dual:
        weights = rows.T @ cho_solve(factor, wanted, check_finite=False)
    else:
        weights = cho_solve(factor, rows.T @ wanted, check_finite=False)
    offset = (centre - mean @ weights).astype(np.float32)
    held_out = None
    if groups is not None:
        held_out = targets - _held_out_residuals(rows, wanted, weights, factor, alpha, dual, groups)
    return np.ascontiguousarray(weights), offset, held_out  # a saved model comes back in this order


def _held_out_residuals(
    rows: Array, wanted: Array, weights: Array, factor: tuple, alpha: float, dual: bool, groups: Array
) -> Array:
    residual = (wanted - rows @ weights).astype(float)
    if dual:
        inverse = cho_solve(factor, np.eye(len(rows), dtype=np.float32), check_finite=False)
    else:
        half = cho_solve(factor, rows.T, check_finite=False)  # (D, N)
    order = np.argsort(groups, kind="stable")
    for block in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        if dual:
            rest = alpha * inverse[np.ix_(block, block)].astype(float)
        else:
            rest = np.eye(len(block)) - rows[block].astype(float) @ half[:, block]
        rest[np.diag_indices_from(rest)] += 1e-3
        residual[block] = np.linalg.solve(rest, residual[block])
    return residual
