"""From stored predictions to what people read: tables, plots, pictures, one self-contained page.

:func:`write_report` is the door.  ``scores`` lines answers up with the truth and asks ``metrics``
and ``statistics``; ``tables``, ``plots``, ``shapes``, ``pictures`` and ``words`` each make one kind
of thing; ``page`` joins them.  No metric is computed here and no model is run.
"""

from __future__ import annotations

from ..lazy import doors

__getattr__, __dir__, __all__ = doors(__name__, {"Report": "writer", "write_report": "writer"})
