"""What this machine is called, and what kind of machine it is: figures and times are kept with both.

Nothing is measured here; how busy the machine is, is for :mod:`hybridkp.memory.resident`.
"""

from __future__ import annotations

import platform
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path


def host() -> str:
    """The machine's name, "unknown" where it has none."""
    return platform.node() or "unknown"


@lru_cache
def processor() -> str:
    """The processor's name."""
    name = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), name)
    return name


def kind_of_machine() -> str:
    """System, processor, and the accelerator where torch, if it is loaded, sees one."""
    parts = [f"{platform.system()} {platform.machine()}", processor()]
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        parts.append(str(torch.cuda.get_device_name()))
    return ", ".join(dict.fromkeys(filter(None, parts)))
