"""How much memory this process took at most, as the system counts it.

Shared by whoever measures fits: the memory of finished work and the bench.  Nothing is printed or kept.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path


def reset_peak() -> None:
    """Let the kernel's high-water mark of this process start anew (Linux; elsewhere nothing)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The process's largest resident size, interpreter and libraries included; -1 when unknown."""
    try:
        for row in Path("/proc/self/status").read_text().splitlines():
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
