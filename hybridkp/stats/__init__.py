"""How sure is a number, and which methods cannot be told apart: intervals and paired tests.

Here live the bootstrap over groups, the paired comparison of methods on the same objects with
Holm's correction, and the sets of methods that no test separates.  Never here: metrics, files,
pictures, plots.  Values are (B,) per object (a row of ``metrics.LANDMARK_METRICS``), groups (B,).

Rules held throughout.  Objects of one group (photograph, subject, video) are not independent, so
whole *groups* are resampled [2]_ [3]_ and flipped; a figure is still the mean over *objects*.  NaN rows are
left out, and the results say how many objects and groups were used.  Infinite values are an error
(``metrics.nme`` gives none).  Everything random comes from ``random_state``.

Bootstrap intervals are percentile intervals whose tails are widened for few groups, as in
Hesterberg [1]_: plain percentiles of G groups are too narrow by about sqrt((G - 1) / G) z / t.
Measured coverage of 95 % intervals (normal groups of 4 objects, 2000 trials): 90 % with 5 groups,
94 % with 8 and 25, 95 % with 116; sign-flip tests reject a true null in 0 %, 4.5 %, 5.0 % and 4.9 %.

References
----------
.. [1] Hesterberg, "What teachers should know about the bootstrap", The American Statistician 2015.
.. [2] Efron, Tibshirani, "An introduction to the bootstrap", Chapman & Hall 1993.
.. [3] Field, Welsh, "Bootstrapping clustered data", J. Royal Statistical Society B 2007.
"""

from __future__ import annotations

from ..lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
