"""What a reader repaired or refused, rule by rule and object by object: told once, shown by the linter.

A reader warns with one :class:`Repaired` a file, or raises :class:`Mismatched`; both carry names, so that
the linter never needs a second opinion about the same file.  Nothing is read or mended here.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..structures import DataWarning, InputError

Repairs = dict[str, list[str]]  #: rule -> the objects it was applied to (a point each for rules of points)

#: objects that are left out although they have keypoints, by name: the linter explains it
CATEGORY_RULE = "objects with keypoints in a category that lists none, left out"
#: the rule that OKS stands on, by name: the linter explains it
AREA_RULE = "area missing, taken from the box"


class Repaired(DataWarning):
    """One file's repairs, each object named once a rule."""

    def __init__(self, where: str, repairs: Repairs):
        told = "; ".join(f"{rule}: {len(names)}" for rule, names in repairs.items())
        super().__init__(f"{where}: repaired ({told})")
        self.repairs = {rule: list(dict.fromkeys(names)) for rule, names in repairs.items()}


class Mismatched(InputError):
    """Objects whose number of landmarks is not their category's; ``names`` has them all."""

    def __init__(self, message: str, names: Iterable[str]):
        super().__init__(message)
        self.names = tuple(names)
