"""Expressions read by the parts there are: each name in its slot, short names written out, nested parts told
from words.

No class is imported here, so that a list of a thousand methods is checked at once.  Text goes in, a tree of
:mod:`.grammar` comes out, in which every name is a part's.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NoReturn

from ..structures import InputError
from .class_parts import CLASSES
from .finder_parts import FINDERS
from .grammar import MAX_PARTS, Experts, Method, Part, Rule, Start, Value, count_parts, fault, parse
from .landmark_parts import LANDMARKS
from .parts import Row, Task
from .point_parts import POINTS

TASKS: dict[str, Task] = {task.name: task for task in (LANDMARKS, POINTS, FINDERS, CLASSES)}
GIVEN = "given"  #: the finder that takes the boxes as they are; it need not be written


def task_of(task: str) -> Task:
    if task not in TASKS:
        raise InputError(f"unknown task {task!r}: there are {', '.join(TASKS)}")
    return TASKS[task]


def read(expression: str, task: str = "landmarks") -> Method:
    """The tree of an expression, every name in its slot and every short name written out."""
    if not isinstance(expression, str):
        raise InputError(f"a method is named by a text such as 'hog+svm', got {expression!r}")
    return Reader(expression, task_of(task)).whole()


class Reader:
    """One expression of one task."""

    def __init__(self, text: str, task: Task) -> None:
        self.text, self.task = text, task

    def whole(self) -> Method:
        found = parse(self.text, self.task.names | (FINDERS.names if self.task is LANDMARKS else set()))
        finder = found.finder
        if isinstance(found.start, Part) and self.task.find(self.task.pictures, found.start.name):
            out = self.of_pictures(found, found.start)
        else:
            out = self.method(replace(found, finder=None))
        if finder is not None and str(finder) != GIVEN:
            out = replace(out, finder=self.finder(finder))
        if count_parts(out) > MAX_PARTS:
            raise fault(self.text, 0, f"more than {MAX_PARTS} parts, with its short names written out")
        return out

    def of_pictures(self, node: Method, start: Part) -> Method:
        """A method that begins with whole pictures."""
        if node.finder is not None:
            self.stop(start.at, f"'{start.name}' finds its objects itself: no finder stands in front of it")
        steps = tuple(self.part("step", part) for part in node.steps)
        return Method(self.part(self.task.pictures, start), steps)

    def method(self, node: Method) -> Method:
        if node.finder is not None and str(node.finder) != GIVEN:
            self.stop(
                node.finder.at, "a finder stands in front of the whole method", f"finder/{self.task.name}"
            )
        start = self.start(node.start)
        steps = tuple(self.part("step", part) for part in node.steps)
        return Method(start.start, (*start.steps, *steps))

    def finder(self, node: Start) -> Start:
        if self.task is not LANDMARKS:
            self.stop(node.at, f"there is no finder '{node}'", f"boxes are given: '{GIVEN}/', or nothing")
        return Reader(self.text, FINDERS).start(node).start

    def start(self, node: Start) -> Method:
        if isinstance(node, Rule):
            return Method(self.rule(node))
        if isinstance(node, Experts):
            return Method(self.experts(node))
        short = self.task.short.get(node.name)
        if short is None or self.task.find(self.task.start, node.name):
            return Method(self.part(self.task.start, node))
        if node.options:
            self.stop(node.at, f"'{node.name}' is short for {short}: write parameters there")
        return Reader(self.text, self.task).method(parse(short, self.task.names, node.at))

    def rule(self, node: Rule) -> Rule:
        part = self.part("rule", node.part)
        members = tuple(self.method(member) for member in node.members)
        for i, member in enumerate(members):
            if member in members[:i]:
                self.stop(node.members[i].at, f"'{member}' stands twice in '{part.name}': members differ")
        weights = dict(part.options).get("weights", members)
        if not isinstance(weights, tuple) or len(weights) != len(members):
            self.stop(node.at, f"'{part.name}' has {len(members)} members: give as many weights")
        return Rule(part, members)

    def experts(self, node: Experts) -> Experts:
        task, last = self.task, node.last
        if last is None:
            whole = str(node)
            if all(task.find(task.first, part.name) for part in node.first):
                self.stop(
                    node.at,
                    f"{task.first}s need a {task.last}",
                    f"{whole}+{next(iter(task.by_slot[task.last]))}",
                )
            self.unknown(node.at, whole, self.word, self.starts())
        if task.find("step", last.name) and not task.find(task.last, last.name):
            before = self.text[: last.at].rstrip().removesuffix("+")
            self.stop(
                last.at,
                f"'{last.name}' is a step: steps are joined by ':'",
                f"{before}:{self.text[last.at :]}",
            )
        if "reducer" not in task.by_slot and (node.reducer or len(node.first) > 1):
            self.stop(node.at, f"one {task.first} and one {task.last} are joined by '+'")
        return Experts(
            tuple(self.part(task.first, part) for part in node.first),
            node.reducer and self.part("reducer", node.reducer),
            self.part(task.last, last),
        )

    def part(self, slot: str, node: Part) -> Part:
        """The part with its nested parts read too; its name must be one of the slot."""
        if not self.task.find(slot, node.name):
            self.misplaced(slot, node)
        options = tuple((key, self.value(key, value, node.at)) for key, value in node.options)
        return replace(node, options=options)

    def value(self, key: str, value: Value, at: int) -> Value:
        slot = self.task.nested.get(key)
        if slot is None or value is None:
            if isinstance(value, Method):
                self.stop(value.at, f"'{key}' takes no part", "text with other signs stands in quotes")
            return value
        chain = [
            Part(v, at=max(at, self.text.find(v, at))) if isinstance(v, str) else v
            for v in (value if isinstance(value, tuple) else (value,))
        ]
        nodes: list[Any] = [v.start if isinstance(v, Method) else v for v in chain]
        if not all(isinstance(each, Part | Experts | Rule) for each in nodes):
            self.stop(at, f"'{key}' takes a part, such as {next(iter(self.task.by_slot[slot]))}")
        if slot == self.task.start == "start":
            for step in nodes[1:]:
                if not isinstance(step, Part):
                    self.stop(step.at, f"'{step}' is no step")
            return self.method(Method(nodes[0], tuple(nodes[1:])))
        if len(nodes) > 1:
            self.stop(at, f"'{key}' takes one {slot}, without steps")
        if isinstance(nodes[0], Experts) and nodes[0].last is None:
            return Method(replace(nodes[0], first=tuple(self.part(slot, part) for part in nodes[0].first)))
        return Method(self.part(slot, nodes[0]) if isinstance(nodes[0], Part) else self.start(nodes[0]).start)

    # ----------------------------------------------------------------------------------------
    # what is wrong with a name
    # ----------------------------------------------------------------------------------------

    def starts(self) -> Iterable[str]:
        """All that may stand alone: parts, short names, and the list's expressions."""
        return (*self.task.by_slot[self.task.start], *(each.name for each in self.task.listed))

    @property
    def word(self) -> str:
        """What a whole expression of the task is called."""
        return "finder" if self.task is FINDERS else "method"

    def misplaced(self, slot: str, node: Part) -> NoReturn:
        task, name = self.task, node.name
        word = self.word if slot == task.start else slot
        if slot == task.start and task.find("rule", name):
            self.stop(node.at, f"'{name}' has no members", f"{name}(a,b)")
        if slot == task.start and task.find(task.first, name):
            last = next(iter(task.by_slot[task.last]))
            self.stop(node.at, f"'{name}' is a {task.first}: it needs a {task.last}", f"{name}+{last}")
        names = self.starts() if slot == task.start else task.by_slot[slot]
        if task.find(task.pictures, name):
            self.stop(
                node.at,
                f"'{name}' takes whole pictures: it stands in front of a method, or alone",
                f"{name}:sdm",
            )
        others = [other for other, rows in task.by_slot.items() if name in rows]
        if others:
            hint = f"there are {', '.join(names)}"
            if slot == task.start:
                hint = f"it stands behind one, {next(iter(names))}:{name}" if "step" in others else ""
            self.stop(node.at, f"'{name}' is a {' and a '.join(others)}, no {word}", hint)
        self.unknown(node.at, name, word, names)

    def unknown(self, at: int, name: str, word: str, names: Iterable[str]) -> NoReturn:
        task, near = self.task, difflib.get_close_matches(name, names, n=1)
        if near:
            hint = f"did you mean {self.text[:at] + near[0] + self.text[at + len(name) :]!r}?"
        else:
            listed = "" if task is LANDMARKS else f" --task {task.name}"
            shown = word == self.word
            hint = f"`hybridkp list{listed}` shows them" if shown else f"there are {', '.join(names)}"
        if name == self.text.strip():
            raise InputError(f"unknown {self.word} {name!r}: {hint}")
        self.stop(at, f"there is no {word} '{name}'", hint)

    def stop(self, at: int, message: str, hint: str = "") -> NoReturn:
        raise fault(self.text, at, message, hint)


def rows_of(node: Any, task: Task) -> list[Row]:
    """The parts' rows of a tree that was read, outermost first."""
    out: list[Row] = []

    def add(slot: str, part: Part | None) -> None:
        if part is not None:
            out.append(task.by_slot[slot][part.name])
            for key, value in part.options:
                if isinstance(value, Method):
                    visit(value, task.nested[key])

    def visit(node: Any, slot: str) -> None:
        for step in reversed(node.steps):
            add("step", step)
        start = node.start
        if isinstance(start, Part):
            add(slot if task.find(slot, start.name) else task.pictures, start)
        elif isinstance(start, Rule):
            add("rule", start.part)
            for member in start.members:
                visit(member, task.start)
        else:
            for part in start.first:
                add(task.first, part)
            add("reducer", start.reducer)
            add(task.last, start.last)

    visit(node, task.start)
    return out if node.finder is None else [*rows_of(Method(node.finder), FINDERS), *out]
