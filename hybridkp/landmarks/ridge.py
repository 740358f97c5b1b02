"""Ridge regression with exact leave-one-group-out predictions from a single solve.

Rows (N, D) and targets (N, T) in, weights (D, T) and an offset (T,) out; works in the smaller of
the two spaces, or through the rows in blocks.  NumPy and SciPy only; knows nothing of pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import overload

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ..memory.budget import fits_in, rows_in
from ..structures import Array

Read = Callable[[Array], Array]
_COPIES = 2  #: of the rows, that a solution holds together


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


def ridge_of(
    read: Read, n: int, width: int, targets: Array, alpha: float, groups: Array
) -> tuple[Array, Array, Array]:
    """:func:`ridge` of rows that are made when asked for: at once, or twice in blocks where they are many.

    Parameters
    ----------
    read : indices (n,) to rows (n, D) float32, the same ones whenever it is asked
    n, width : rows and D

    Notes
    -----
    In blocks the products of the rows are summed (in float64), about the mean of the first block; the
    solution is the same but for rounding.  Blocks never cut a group, so that each group's held-out residual
    has its rows together: memory grows with D and with the largest group, not with ``n``.
    """
    if fits_in(n, _COPIES * 4 * width):
        return ridge(read(np.arange(n)), targets, alpha, groups)
    alpha = max(alpha, 1e-6)
    parts = list(_whole_groups(n, groups, rows_in(0.25, _COPIES * 4 * width)))
    centre = targets.mean(axis=0)
    wanted = (targets - centre).astype(np.float32)
    mean, gram, cross = _products(read, width, parts, wanted)
    gram[np.diag_indices_from(gram)] += alpha
    factor = cho_factor(gram.astype(np.float32), lower=True, overwrite_a=True, check_finite=False)
    del gram
    weights = cho_solve(factor, cross.astype(np.float32), check_finite=False)
    offset = (centre - mean @ weights).astype(np.float32)
    held_out = np.array(targets, float)
    for chosen in parts:
        rows = read(chosen)
        rows -= mean
        mine = groups[chosen]
        held_out[chosen] -= _held_out_residuals(rows, wanted[chosen], weights, factor, alpha, False, mine)
    return np.ascontiguousarray(weights), offset, held_out


def _products(read: Read, width: int, parts: list[Array], wanted: Array) -> tuple[Array, Array, Array]:
    """The rows' mean (D,), and about it their products (D, D) and those with the targets (D, T)."""
    about: Array = np.zeros(width, np.float32)
    total, gram = np.zeros(width), np.zeros((width, width))
    cross, n = np.zeros((width, wanted.shape[1])), 0
    for i, chosen in enumerate(parts):
        rows = read(chosen)
        if i == 0:
            about = rows.mean(axis=0)
        rows -= about
        total += rows.sum(axis=0, dtype=float)
        gram += rows.T @ rows
        cross += rows.T @ wanted[chosen]
        n += len(rows)
    shift = total / n
    gram -= n * np.outer(shift, shift)  # the targets are centred: their products stay
    return (about + shift).astype(np.float32), gram, cross


def _whole_groups(n: int, groups: Array, most: int) -> Iterator[Array]:
    """Indices of all rows, group by group, in parts of about ``most`` rows; a larger group is one part."""
    order = np.argsort(groups, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(groups[order])) + 1, n)
    first = 0
    while first < n:
        at = max(np.searchsorted(ends, first + most, side="right") - 1, np.searchsorted(ends, first, "right"))
        yield order[first : ends[at]]
        first = int(ends[at])
