"""Pins the threads of OpenCV, of BLAS and OpenMP pools, and of torch where it is loaded.

The three multiply inside joblib workers; :func:`limit_threads` is the one brake for all.  A sum over
two threads is added in another order than over one, so fits have one fixed number of them, whatever
the machine has and however many jobs run side by side; who wants more asks for them (:func:`fits_with`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
from threadpoolctl import threadpool_limits

FIT_THREADS = 1  #: of every fit where nobody asks for more
_ASKED = "HYBRIDKP_THREADS"  #: in the environment, so that processes that are started here know it
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def fit_threads() -> int:
    """Threads of a fit here and now; recorded with the predictions, as it decides their last bits.

    As many as :func:`fits_with` says, else :data:`FIT_THREADS`; never more than ``OMP_NUM_THREADS``, where a
    caller has set it.
    """
    asked = _count(_ASKED) or FIT_THREADS
    return min(asked, _count("OMP_NUM_THREADS") or asked)


@contextmanager
def fits_with(n_threads: int | None) -> Iterator[int]:
    """Fits of the body, in processes that it starts too, take so many threads; None leaves all as it is."""
    before = os.environ.get(_ASKED)
    if n_threads is not None:
        os.environ[_ASKED] = str(int(n_threads))
    try:
        yield fit_threads()
    finally:
        if n_threads is not None:
            os.environ.pop(_ASKED) if before is None else os.environ.__setitem__(_ASKED, before)


def _count(name: str) -> int:
    """A count in the environment; 0 where there is none (OpenMP allows a list: the first counts)."""
    text = os.environ.get(name, "").split(",")[0].strip()
    return int(text) if text.isascii() and text.isdecimal() else 0


@contextmanager
def limit_threads(n_threads: int) -> Iterator[None]:
    """Run the body with at most ``n_threads`` in every native pool, then restore."""
    torch = sys.modules.get("torch")
    before_cv2 = cv2.getNumThreads()
    before_torch = torch.get_num_threads() if torch else None
    cv2.setNumThreads(n_threads)
    if torch:
        torch.set_num_threads(n_threads)
    try:
        with threadpool_limits(limits=n_threads):
            yield
    finally:
        cv2.setNumThreads(before_cv2)
        if torch and before_torch:
            torch.set_num_threads(before_torch)
