"""Says which methods differ and which cannot be told apart: sentences, and the matrix of all pairs.

Takes any task's rows and paired comparisons; nothing is computed that these do not hold already.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..metrics import Metric
from ..stats import ENOUGH_GROUPS, PairedComparison, indistinguishable_sets
from .cells import Column, Row, cell, number, p_value

GROUPS = {"object": "group", "pair": "sequence"}  #: what is drawn and flipped, by what is scored
MOST_SENTENCES = 12  #: about pairs; the table has them all
LOADED = 1.25  #: load average per core; a bench that is alone on its machine stays below


def excludes_zero(c: PairedComparison) -> bool:
    """Whether the pair's own interval, not corrected for the other pairs, keeps off 0."""
    return bool(math.isfinite(c.low) and (c.low > 0 or c.high < 0))


def interval_words(c: PairedComparison, head: Metric) -> str:
    """``−0.31 points [−0.42, −0.20], p = 0.003``, signed, first minus second."""
    digits = head.digits
    size = number(c.difference, digits)
    ends = (
        f" [{number(c.low, digits)}, {number(c.high, digits)}]" if np.isfinite([c.low, c.high]).all() else ""
    )
    unit = f" {head.difference_unit}" if head.difference_unit else ""
    if c.n_groups < ENOUGH_GROUPS:
        return f"{size}{unit}{ends}, no test of {count(c.n_groups, 'group')}"
    p = p_value(c.p_holm)
    p = (p if p.startswith("<") else f"= {p}").replace(" ", "\N{NO-BREAK SPACE}")
    return f"{size}{unit}{ends}, Holm p\N{NO-BREAK SPACE}{p}"


def pair_sentence(c: PairedComparison, head: Metric) -> str:
    """One pair in words."""
    if c.n == 0:
        return f"{c.first} and {c.second} share no object that can be scored."
    words = interval_words(c, head)
    if not c.distinguishable:
        return f"{c.first} and {c.second} cannot be told apart ({words})."
    better = (c.difference < 0) == head.lower_is_better
    ahead, behind = (c.first, c.second) if better else (c.second, c.first)
    return f"{ahead} is better than {behind} ({c.first} − {c.second}: {words})."


def opening(
    head: Metric, lead: Column, rows: Sequence[Row], comparisons: Sequence[PairedComparison], what: str
) -> str:
    """The result in two sentences; ``lead`` is the headline's column, ``what`` was scored."""
    best = rows[0]
    value, interval = cell(best, lead)
    if not np.isfinite(best.numbers[head.key]):
        return f"No {what} could be scored: see the notes at the end."
    unit = f" {head.unit}" if head.unit else ""
    bound = f" {interval}" if interval else ""
    first = f"{best.method} has the {'lowest' if head.lower_is_better else 'highest'} {head.title}: "
    first += f"{value}{unit}{bound}."
    others = [c for c in comparisons if best.method in (c.first, c.second)]
    if not others:
        return first
    if len(others) == 1:
        return f"{first} {pair_sentence(others[0], head)}"
    close = [c.second if c.first == best.method else c.first for c in others if not c.distinguishable]
    if not close:
        p = p_value(max(c.p_holm for c in others))
        return f"{first} It is better than every other method (Holm p {p if '<' in p else '≤ ' + p})."
    return f"{first} It cannot be told apart from {listed(shortened(close))}{_why(comparisons, what)}."


def shortened(names: Sequence[str], most: int = 5) -> list[str]:
    """The first names, and how many more there are."""
    return list(names) if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} others"]


def _why(pairs: Sequence[PairedComparison], what: str) -> str:
    """Whether so few groups could have told anything apart: G groups give no p below 2 / 2^G."""
    groups = min(c.n_groups for c in pairs)
    if 2.0 ** (1 - groups) * len(pairs) >= 0.05:
        return f": {count(groups, GROUPS[what])} {'is' if groups == 1 else 'are'} too few to tell"
    return ""


def listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def count(n: int, what: str) -> str:
    """``1 picture``, ``2 pictures``."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def comparison_note(what: str, groups: str) -> str:
    """How methods are held against each other."""
    return (
        f"Pairs of methods: the mean difference on the same {what}, a sign-flip permutation test over"
        f" {groups}, p corrected by Holm for all comparisons of one table. Methods that share a letter could"
        " not be told apart; that is not a proof that they are equal."
    )


def load_notes(loads: Mapping[str, Sequence[float]], what: str) -> list[str]:
    """What to think of times that were taken while the machine was busy; ``loads``: method -> its runs'."""
    above = {name: [value for value in found if value > LOADED] for name, found in loads.items()}
    busy = {name: max(values) for name, values in above.items() if values}
    if not busy:
        return []
    return [
        f"{what} of {listed(list(busy))} were taken on a busy machine, with a load average of up to"
        f" {max(busy.values()):.1f} per core (above {LOADED:g} processes wait): they are too long, nobody"
        " knows by how much. Compare them with nothing; take them again on a quiet machine."
    ]


def host_marks(hosts: Mapping[str, Sequence[str]], numbered: Sequence[str]) -> dict[str, str]:
    """Method -> "@1", the machine on which its time was taken; nothing where all are of one machine.

    ``hosts``: method -> its runs' machines, "" = unknown; ``numbered``: all of a page, in their order.

    >>> host_marks({"sdm": ["node7"], "hog": ["node8", "node7"], "orb": [""]}, ["node7", "node8"])
    {'sdm': '@1', 'hog': '@1,2', 'orb': '@?'}
    """
    if len({h for found in hosts.values() for h in found if h}) < 2:
        return {}
    known = {m: sorted({numbered.index(h) + 1 for h in found if h}) for m, found in hosts.items()}
    return {m: f"@{','.join(map(str, n)) or '?'}" for m, n in known.items()}


def host_notes(hosts: Mapping[str, Sequence[str]], numbered: Sequence[str], what: str) -> list[str]:
    """What to think of times that were taken on several machines; as of :func:`host_marks`."""
    names = {h for found in hosts.values() for h in found if h}
    if len(names) < 2:
        return []
    told = listed([f"@{n} is {name}" for n, name in enumerate(numbered, 1) if name in names])
    return [
        f"{what} were taken on {len(names)} machines ({told}). Times of two machines say nothing about the"
        " methods: compare those with the same mark only."
    ]


def machine_notes(made: Sequence[Mapping[str, str]]) -> list[str]:
    """What to think of figures that were made on machines of several kinds; ``made``: each run's versions."""
    told = dict.fromkeys(versions["machine"] for versions in made if versions.get("machine"))
    # one that says less, as older files and methods without torch do, may be the same
    kinds = [kind for kind in told if not any(k.startswith(kind) and k != kind for k in told)]
    if len(kinds) < 2:
        return []
    return [
        f"Figures were made on {len(kinds)} kinds of machine ({'; '.join(kinds)}). Sums differ there in their"
        ' last digits; a network whose precision is "auto" computes in bfloat16 on some and in float32 on'
        " others, and differs in more: fit all on one kind, or set precision=float32."
    ]


def set_sentences(rows: Sequence[Row], comparisons: Sequence[PairedComparison]) -> list[tuple[str, str]]:
    """(letter, methods) for each maximal set of two and more that no test separates."""
    names = [r.method for r in rows]
    letters = {r.method: r.letters for r in rows}
    out = []
    for members in indistinguishable_sets(names, comparisons) if len(names) > 1 else []:
        if len(members) > 1:
            shared = [c for c in _split(letters[members[0]]) if all(c in _split(letters[m]) for m in members)]
            out.append((shared[0] if shared else "", listed(members)))
    return out


def _split(letters: str) -> list[str]:
    """ "ab1c" -> ["a", "b1", "c"]."""
    out: list[str] = []
    for sign in letters:
        if sign.isdigit() and out:
            out[-1] += sign
        else:
            out.append(sign)
    return out


def pairs_context(
    head: Metric, rows: Sequence[Row], comparisons: Sequence[PairedComparison]
) -> dict[str, Any]:
    """What the template's section on pairs shows: matrix, table, sentences, sets."""
    place = {r.method: i for i, r in enumerate(rows)}
    n = len(rows)
    matrix: list[list[dict[str, str] | None]] = [[None] * n for _ in range(n)]
    table = []
    for c in comparisons:
        i, j = place[c.first], place[c.second]
        for a, b, difference in ((i, j, c.difference), (j, i, -c.difference)):
            better = (difference < 0) == head.lower_is_better
            kind = ("better" if better else "worse") if c.distinguishable else "same"
            text = number(difference, head.digits) + "*" * (not c.distinguishable and excludes_zero(c))
            tip = pair_sentence(c, head)
            matrix[a][b] = {"kind": kind, "text": text if c.distinguishable else f"≈ {text}", "tip": tip}
        ends = [number(c.low, head.digits), number(c.high, head.digits)]
        table.append(
            {
                "found": c,
                "difference": number(c.difference, head.digits),
                "interval": f"[{', '.join(ends)}]" if math.isfinite(c.low) else "–",
                "p": p_value(c.p, c.n_groups),
                "p_holm": p_value(c.p_holm, c.n_groups),
            }
        )
    same = [c for c in comparisons if not c.distinguishable]
    same.sort(key=lambda c: (place[c.first] + place[c.second], place[c.first]))
    return {
        "matrix": matrix,
        "starred": any(not c.distinguishable and excludes_zero(c) for c in comparisons),
        "pairs": table,
        "close": [pair_sentence(c, head) for c in same[:MOST_SENTENCES]],
        "n_close": len(same),
        "sets": set_sentences(rows, comparisons),
    }
