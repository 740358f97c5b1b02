"""How much memory a fit may fill with rows, and what is done where the data need more.

Two ways out, each where it belongs: rows that are added up are read in blocks, all of them; what has to see
all its rows at once (scikit-learn's forests and SVMs) learns from a sample of the pictures, and says so.
Below the budget nothing changes.
"""

from __future__ import annotations

import warnings

from ..structures import DataWarning

ROW_BYTES = 2**30  #: that one table of rows, or the crops of one part of the data, may take


def fits_in(n: int, bytes_each: float) -> bool:
    """Whether ``n`` rows may lie in memory together."""
    return n * bytes_each <= ROW_BYTES


def rows_in(share: float, bytes_each: float) -> int:
    """How many rows, one at least, take that share of the budget."""
    return max(1, int(share * ROW_BYTES // bytes_each))


def affordable(n: int, bytes_each: float, who: str, asked: int | None = None) -> int | None:
    """``asked``, or fewer where so many pictures of ``n`` do not fit; then a warning says so.

    None stands for all, as in the detectors' ``max_pictures``.
    """
    most = rows_in(1, bytes_each)
    if min(n, n if asked is None else asked) <= most:
        return asked
    warnings.warn(
        f"{who}: learns from {most} of {n} pictures, drawn at random: more do not fit into"
        f" {ROW_BYTES // 2**20} MiB",
        DataWarning,
        stacklevel=3,
    )
    return most
