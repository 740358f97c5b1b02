"""Pins the threads of OpenCV, of BLAS and OpenMP pools, and of torch where it is loaded.

The three multiply inside joblib workers; :func:`limit_threads` is the one brake for all.  A sum over
two threads is added in another order than over one, so fits have one fixed number of them, whatever
the machine has and however many jobs run side by side.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
from threadpoolctl import threadpool_limits

FIT_THREADS = 1  #: of every fit; recorded with the predictions


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
