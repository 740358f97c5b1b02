"""What the linter finds: one frozen line of severity, place, effect and cure.

An "error" makes scores wrong or stops the reader, a "warning" probably does, a "note" is worth knowing.
Nothing is looked at here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SEVERITIES = ("error", "warning", "note")
SHOWN = 8  #: names in ``Finding.where``; the message has the count


@dataclass(frozen=True)
class Finding:
    """One thing the linter found.

    ``severity`` is "error", "warning" or "note"; ``code`` is stable and short; ``message`` says what,
    ``effect`` what it does to the score, ``cure`` what to do; ``where`` names up to
    :data:`SHOWN` examples.
    """

    severity: str
    code: str
    message: str
    effect: str
    where: tuple[str, ...]
    cure: str

    @property
    def line(self) -> str:
        """One line: what, where (two examples), and the cure."""
        names = f", such as {' and '.join(self.where[:2])}" if self.where else ""
        return f"{self.message} [{self.code}]{names}: {self.cure}"

    def __str__(self) -> str:
        names = f"\n    where:  {', '.join(self.where)}" if self.where else ""
        return (
            f"{self.severity}: {self.message} [{self.code}]\n    effect: {self.effect}"
            f"\n    cure:   {self.cure}{names}"
        )


def finding(severity: str, code: str, message: str, effect: str, where: Iterable[Any], cure: str) -> Finding:
    return Finding(severity, code, message, effect, tuple(str(w) for w in where)[:SHOWN], cure)
