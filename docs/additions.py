"""The worked additions of ``docs/adding``: what each page puts where, applied to a copy of the package.

A page names a file in a line of its own and gives the text in the code block that follows::

    `hybridkp/descriptors/lbp.py`, a new file:
    `hybridkp/descriptors/__init__.pyi`, after `from .hog import HOG as HOG`:
    `hybridkp/cli/parser.py`, in place of `GROUPS = {}`:

and, in ``bash`` blocks, the commands that show it at work.  Nothing but the standard library here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "adding"
_STEP = re.compile(
    r"^`(?P<path>[^`\n]+)`, (?:a new file|(?P<where>after|before|in place of) `(?P<anchor>[^`\n]+)`):\n\n"
    r"```\w+\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_SHELL = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """One block of a page: a new file, or lines before, after or in place of a line of an old one."""

    path: str
    text: str
    where: str = ""  #: "after", "before", "in place of", or "" for a new file
    anchor: str = ""  #: that line, without its indent

    def apply(self, root: Path) -> None:
        """Do it in the copy under ``root``; a line that is not there exactly once is a ValueError."""
        file = root / self.path
        if not self.where:
            if file.exists():
                raise ValueError(f"{self.path} is there already")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.text, encoding="utf-8")
            return
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        found = [i for i, line in enumerate(lines) if line.strip() == self.anchor]
        if len(found) != 1:
            raise ValueError(f"{self.path}: {len(found)} lines are {self.anchor!r}, expected one")
        start, end = found[0] + (self.where == "after"), found[0] + (self.where != "before")
        file.write_text("".join([*lines[:start], self.text, *lines[end:]]), encoding="utf-8")


def pages() -> list[Path]:
    """The worked additions, without the page that introduces them."""
    return [page for page in sorted(FOLDER.glob("*.md")) if page.stem != "index"]


def steps(page: str) -> list[Step]:
    """What a page's text puts where, in order."""
    return [Step(m["path"], m["text"], m["where"] or "", m["anchor"] or "") for m in _STEP.finditer(page)]


def commands(page: str) -> list[str]:
    """The shell blocks of a page's text, in order."""
    return _SHELL.findall(page)


def cost(found: Iterable[Step]) -> tuple[int, int]:
    """Files touched and lines written, blank ones not counted."""
    found = list(found)
    lines = [line for step in found for line in step.text.splitlines() if line.strip()]
    return len({step.path for step in found}), len(lines)


def table(found: Sequence[Path]) -> str:
    """The pages with what each addition costs, as a table of links."""
    lines = ["| addition | files | lines |", "|:---|---:|---:|"]
    for page in found:
        text = page.read_text(encoding="utf-8")
        title = text.partition("\n")[0].removeprefix("# ")
        lines.append("| [{}]({}) | {} | {} |".format(title, page.name, *cost(steps(text))))
    return "\n".join(lines) + "\n"
