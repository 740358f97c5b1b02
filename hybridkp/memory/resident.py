"""How much memory this process took at most, and how busy the machine is, as the system counts it.

Shared by whoever measures fits: the memory of finished work and the bench.  Nothing is printed or kept.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def reset_peak() -> None:
    """Let the kernel's high-water mark of this process start anew (Linux; elsewhere nothing)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_bytes() -> int:
    """The process's largest resident size, interpreter and libraries included; -1 when unknown."""
    try:
        for row in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if row.startswith("VmHWM:"):
                return int(row.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return -1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if sys.platform == "darwin" else 1024)


def load_per_core() -> float:
    """The last minute's load average over the machine's cores: above 1, processes wait; NaN when unknown."""
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except (OSError, AttributeError):  # Windows has none
        return float("nan")
