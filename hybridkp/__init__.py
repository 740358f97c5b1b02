"""hybridkp: classical, deep and hybrid keypoint detectors side by side.

The root keeps a few lazy doors: importing it loads neither torch nor scikit-learn.
"""

from __future__ import annotations

from .lazy import attach_stub

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__, "__version__")
