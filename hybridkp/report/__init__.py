"""From stored predictions to what people read: tables, plots, pictures, one self-contained page.

:func:`write_report` is the door of the landmarks task, :func:`write_points_report` of interest points; each
has a folder with ``scores`` (predictions beside the truth), ``tables``, ``words``, ``pictures``, ``page`` and
``writer``.  ``cells``, ``material``, ``verdicts``, ``plots``, ``embed``, ``rendering`` and ``output`` serve
both.  No metric is computed here and no model is run.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
