"""From stored answers to what people read: tables, plots, pictures, one self-contained page.

:func:`write_report` is the door of the landmarks task, :func:`write_points_report` of interest points.
``scores`` and ``point_scores`` line answers up with the truth and ask ``metrics`` and ``statistics``;
``tables``, ``pictures``, ``words``, ``page`` and ``writer`` (and their ``point_`` siblings) each make
one kind of thing for their task; ``cells``, ``verdicts``, ``plots``, ``embed``, ``rendering`` and
``output`` serve both.  No metric is computed here and no model is run.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
