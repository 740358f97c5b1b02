"""What can be said of a method without making it: its name, its words, what kind it is.

No estimator is imported or made here.  Expressions and short names go in, words come out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from .grammar import Experts, Method, Part, Rule
from .parts import Task
from .reading import read, rows_of, task_of


class MethodLine(NamedTuple):
    """A method of the list."""

    name: str
    definition: str  #: its canonical expression
    family: str
    about: str


class PartLine(NamedTuple):
    """A part and where in an expression it may stand."""

    slot: str
    name: str
    about: str


def method_names(task: str = "landmarks") -> list[str]:
    """Names and expressions for :func:`make_method`: single parts, then well-known combinations.

    >>> method_names()[:2]
    ['mean-shape', 'hog+ridge']
    """
    known = task_of(task)
    return [*known.by_slot[known.start], *(each.name for each in known.listed)]


def methods_table(task: str = "landmarks") -> list[MethodLine]:
    """A line for each of :func:`method_names`, and for each start that takes whole pictures."""
    return [
        MethodLine(name, canonical(name, task), family(name, task), describe_method(name, task))
        for name in (*method_names(task), *task_of(task).by_slot.get(task_of(task).pictures, ()))
    ]


def parts_table(task: str = "landmarks") -> list[PartLine]:
    """A line for each part in each slot."""
    slots = task_of(task).by_slot.items()
    return [PartLine(slot, row.name, row.about) for slot, rows in slots for row in rows.values()]


def canonical(expression: str, task: str = "landmarks") -> str:
    """The expression that a method is stored under: short names written out, keys in order.

    >>> canonical("vote( sdm-fast , heatmap-flip )")
    'vote(sdm,heatmap:flip)'
    """
    return str(read(expression, task))


def definition(name: str, task: str = "landmarks") -> str:
    """What a short name stands for; any other expression stands for itself."""
    return canonical(name, task)


def family(expression: str, task: str = "landmarks") -> str:
    """``"floor"``, ``"classical"``, ``"deep"``, ``"hybrid"``, ``"peer"``, or ``"control"``.

    A control is a hybrid's stages without what is learned.

    >>> family("hog+svm:cnn")
    'hybrid'
    """
    tree = read(expression, task)
    said = {canonical(x.name, task): x.family for x in task_of(task).listed if x.family}
    kinds = {row.family for row in rows_of(tree, task_of(task))} - {""}
    kinds = kinds - {"floor"} or kinds
    return said.get(str(tree), kinds.pop() if len(kinds) == 1 else "hybrid")


def is_slow(expression: str, task: str = "landmarks") -> bool:
    """Whether a part of it takes long even on a tiny problem."""
    return any(row.slow for row in rows_of(read(expression, task), task_of(task)))


def describe_method(name: str, task: str = "landmarks") -> str:
    """One line about a method: its own of the list, or its parts' words put together.

    >>> describe_method("heatmap:flip")
    'heatmap on the picture and its mirror image'
    >>> describe_method("hog+svm/direct").partition("; ")[2]
    'in each box: direct coordinate regression by a small CNN'
    """
    known = task_of(task)
    own = {each.name: each.about for each in known.listed}
    if name in own:
        return own[name]
    tree = read(name, task)
    if tree.finder is not None:
        chain = describe_method(str(replace(tree, finder=None)), task)
        return f"{describe_method(str(tree.finder), 'finders')}; in each box: {chain}"
    same = {canonical(each.name, task): each.about for each in known.listed}
    row = known.starting(str(tree))
    return row.about if row else same.get(str(tree)) or _words(tree, known)


def _words(tree: Method, task: Task) -> str:
    start = tree.start
    if isinstance(start, Part):
        row = task.starting(start.name)
        words = row.about if row else start.name
    elif isinstance(start, Rule):
        words = f"{task.by_slot['rule'][start.part.name].about} of {', '.join(map(str, start.members))}"
    else:
        words = _expert_words(start, task)
    written = "" if not isinstance(start, Part) or not start.options else f" ({start})"
    return ", then ".join((words + written, *(task.by_slot["step"][step.name].about for step in tree.steps)))


def _expert_words(start: Experts, task: Task) -> str:
    rows = " and ".join(task.by_slot[task.first][part.name].about for part in start.first)
    reducer = [task.by_slot["reducer"][start.reducer.name].about] if start.reducer else []
    last = [task.by_slot[task.last][start.last.name].about] if start.last else []
    return ", ".join((rows, *reducer, *last))


def tuned_names() -> list[str]:
    """Methods that ``hybridkp tune`` takes by itself: one start each, with settings to choose from."""
    task = task_of("landmarks")
    starts = [row.name for row in task.by_slot["start"].values() if row.space and row.family != "peer"]
    return starts + [
        each.name
        for each in task.listed
        if isinstance(read(each.name).start, Experts) and not read(each.name).steps
    ]
