"""Where annotated pictures come from: readers, splits, the linter, the synthetic faces; and pairs
of pictures with known homographies for the interest points.

One file per format; every reader gives a :class:`hybridkp.structures.Dataset` with lazy samples,
0-based points and NaN for what is not labelled.  Never here: learning, metrics, printing.
Importing this package imports none of the files: names are fetched when first asked for.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
