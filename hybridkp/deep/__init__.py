"""Networks and the estimators around them: the only room where torch is imported.

Every network is a file, every estimator follows scikit-learn's rules, all are trained by the one
loop in :mod:`~hybridkp.deep.training`.  Importing this package loads no torch: names are lazy.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
