"""From tracks to actions: what a body's points do through time, as resampled motion and as rows.

Tracks are arrays (T, K, 2) of any length in px, NaN = not seen.  No picture and no file comes here.  Who
learns from rows is :class:`~hybridkp.multimodal.SenseClassifier`, from motion
:class:`~hybridkp.deep.TemporalNet`.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
