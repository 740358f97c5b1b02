"""The tables of the page on trust: what was tried, what was survived, and the kinds of fault.

Figures come from ``docs/results/trust_fuzz.json`` and ``trust_faults.json``, which ``python tests/fuzz``
and ``python tests/faults.py`` write; kinds from ``docs/kinds.json``.  Nothing is computed but sums.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from table_text import markdown, stored

DOCS = Path(__file__).parent
WORDS = ("cases", "past the header", "accepted", "library errors")
HARM = ("crashes", "hangs", "over memory", "tracebacks", "long messages")


def cases() -> str:
    """What the harness read, a line for each target, and the known attacks."""
    found = stored("trust_fuzz")
    rows = [(facts["words"], facts) for facts in found["targets"].values()]
    rows.append(("**all**", {w: sum(f[w] for _, f in rows) for w in (*WORDS, *HARM)}))
    rows.append(("known attacks, as they are", found["attacks"]))
    lines = [
        [what, *(f"{facts[w]:,}" if w in facts else "" for w in WORDS), *(str(facts[w]) for w in HARM)]
        for what, facts in rows
    ]
    memory, seconds = (found["limits"][key] for key in ("bytes of memory", "seconds of processor time"))
    told = (
        f"*{found['provenance']}. A process for each kind, with {memory >> 30} GB of address space; a hang is"
        f" {seconds:g} s of processor time for one file.*"
    )
    return f"{markdown(('files', *WORDS, *HARM), lines)}\n\n{told}"


def faults() -> str:
    """Figures of the harness that kills the command line, as they are."""
    found = stored("trust_faults")
    told = found.pop("provenance", "")
    lines = [[str(k).replace("_", " "), _said(v)] for k, v in found.items()]
    return f"{markdown(('what', 'how many'), lines)}" + (f"\n\n*{_said(told)}*" if told else "")


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_said(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def kinds() -> str:
    """Each kind of fault, and the tests that hold it."""
    found = json.loads((DOCS / "kinds.json").read_text(encoding="utf-8"))
    lines = [[n, words, "<br>".join(f"`{t}`" for t in tests)] for n, (words, *tests) in found.items()]
    return markdown(("", "what happened", "what holds it, in `tests/`"), lines, left=3)
