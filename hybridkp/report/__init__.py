"""From stored predictions to what people read: tables, plots, pictures, one self-contained page.

:func:`write_report` is the door.  ``scores`` lines answers up with the truth and asks ``metrics``
and ``statistics``; ``tables``, ``plots``, ``shapes``, ``pictures`` and ``words`` each make one kind
of thing; ``page`` joins them.  No metric is computed here and no model is run.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_DOORS = {"Report": "writer", "write_report": "writer"}

__all__ = sorted(_DOORS)


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        value = getattr(import_module(f".{_DOORS[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'hybridkp.report' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
