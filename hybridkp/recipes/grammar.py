"""The one grammar of methods: text to tree and back, for both tasks.

What the words mean is never known here: whoever parses says which names there are, and the longest one
wins, so that ``sdm-hog`` is one name and ``sift-hog`` are two.  Text goes in, a tree of frozen dataclasses
comes out; ``str`` of a tree is its canonical text, and parsing that gives an equal tree::

    method  = [ finder "/" ] chain                       chain = start { ":" step }
    start   = part | experts | rule "(" method { "," method } ")"
    experts = descriptor { "-" descriptor } [ "+" reducer ] "+" classifier
    part    = name [ "[" key "=" value { "," key "=" value } "]" ]
    value   = number | name | "text" | value { ":" value } | method
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ..structures import InputError

#: text, list or nested method of a parameter; a bare word is text until somebody knows what it means
Value = Any

MAX_CHARACTERS = 2000
MAX_LEVELS = 16  #: of brackets within brackets
MAX_PARTS = 64

_CHUNK = re.compile(r"[A-Za-z0-9_.]+")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?(?=[\s,:\]]|$)")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*")
_WORDS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Part:
    """A name and what is written in its brackets, sorted by key; ``at`` is where it stands in the text."""

    name: str
    options: tuple[tuple[str, Value], ...] = ()
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        inside = ",".join(f"{key}={_value_text(value)}" for key, value in self.options)
        return f"{self.name}[{inside}]" if inside else self.name


@dataclass(frozen=True)
class Experts:
    """Descriptors side by side, and what learns from their rows; of interest points, detector and rows.

    ``last`` is None where a list of descriptors stands alone, as the value of a parameter may.
    """

    first: tuple[Part, ...]
    reducer: Part | None = None
    last: Part | None = None

    def __str__(self) -> str:
        return "+".join(map(str, ("-".join(map(str, self.first)), *filter(None, (self.reducer, self.last)))))

    @property
    def at(self) -> int:
        return self.first[0].at


@dataclass(frozen=True)
class Rule:
    """A way to combine, and its members."""

    part: Part
    members: tuple[Method, ...]

    def __str__(self) -> str:
        return f"{self.part}({','.join(map(str, self.members))})"

    @property
    def at(self) -> int:
        return self.part.at


Start = Part | Experts | Rule


@dataclass(frozen=True)
class Method:
    """A start, what follows it, and what finds the objects; no finder: boxes are given."""

    start: Start
    steps: tuple[Part, ...] = ()
    finder: Start | None = None

    def __str__(self) -> str:
        chain = ":".join(map(str, (self.start, *self.steps)))
        return chain if self.finder is None else f"{self.finder}/{chain}"

    @property
    def at(self) -> int:
        return (self.finder or self.start).at


def parse(text: str, names: Collection[str], at: int | None = None) -> Method:
    """The tree of an expression; :class:`InputError` shows where it goes wrong.

    ``at`` is where all its parts are said to stand, when the text itself stands for a name in another.
    """
    return _Parser(text, names, at).whole()


def split(text: str) -> list[str]:
    """A list of expressions at its outermost commas: ``"a[x=1,y=2],vote(b,c)"`` are two.

    >>> split("sdm,vote(sdm,heatmap[input_px=64,sigma=1])")
    ['sdm', 'vote(sdm,heatmap[input_px=64,sigma=1])']

    Raises
    ------
    InputError
        Where an expression is missing: for an empty text, and between two commas.
    """
    depth, found = 0, [""]
    for token in re.findall(r'"(?:\\.|[^"\\])*"?|.', text, re.S):
        depth += (token in "([") - (token in ")]")
        if token == "," and depth <= 0:
            found.append("")
        else:
            found[-1] += token
    expressions = [item.strip() for item in found]
    if not all(expressions):
        raise InputError(f"{text.strip()!r}: a method is missing" + " at a comma" * (len(found) > 1))
    return expressions


def count_parts(node: Any) -> int:
    """How many parts stand in a tree, those of parameters included."""
    return sum(isinstance(each, Part) for each in walk(node))


def walk(node: Any) -> Iterator[Any]:
    """Every node of a tree, outermost first."""
    yield node
    if isinstance(node, tuple):
        children: tuple[Any, ...] = node
    elif isinstance(node, Part):
        children = tuple(value for _, value in node.options)
    elif isinstance(node, Experts):
        children = (*node.first, node.reducer, node.last)
    elif isinstance(node, Rule):
        children = (node.part, *node.members)
    elif isinstance(node, Method):
        children = (node.finder, node.start, *node.steps)
    else:
        children = ()
    for child in children:
        if isinstance(child, tuple | Part | Experts | Rule | Method):
            yield from walk(child)


def fault(text: str, at: int, message: str, hint: str = "") -> InputError:
    """One line that says where: the character, counted from 1, and what stands there."""
    cut = f"…{text[max(0, at - 30) : at + 30]}…" if len(text) > 80 else text
    return InputError(f"method {cut!r}, character {at + 1}: {message}{hint and ': '}{hint}")


def _value_text(value: Value) -> str:
    if isinstance(value, tuple):
        return ":".join(map(_value_text, value))
    if isinstance(value, str):
        if _BARE.fullmatch(value) and value not in _WORDS:
            return value
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    return str(value) if isinstance(value, Method) else repr(value)


class _Parser:
    """Recursive descent over one text."""

    def __init__(self, text: str, names: Collection[str], said: int | None) -> None:
        self.text, self.said, self.at, self.level, self.parts = text, said, 0, 0, 0
        self.names = sorted(names, key=len, reverse=True)
        if len(text) > MAX_CHARACTERS:
            raise InputError(
                f"method {text[:30]!r}…: has {len(text)} characters, {MAX_CHARACTERS} are the most"
            )

    def whole(self) -> Method:
        found = self.method()
        if self.peek():
            self.stop("a step is joined by ':', a member by ','" if self.peek() != ")" else "no '(' is open")
        return found

    def method(self) -> Method:
        start = self.start()
        finder = None
        if self.take("/"):
            finder, start = start, self.start()
        steps = []
        while self.take(":"):
            steps.append(self.part())
        return Method(start, tuple(steps), finder)

    def start(self) -> Start:
        part = self.part()
        if self.peek() == "(":
            return Rule(part, self.members(part))
        first = [part]
        while self.take("-"):
            first.append(self.part())
        rest: list[Part] = []
        while self.take("+"):
            if len(rest) == 2:
                self.stop("after '+' stand at most a reducer and a classifier, a step stands after ':'")
            rest.append(self.part())
        if len(first) == 1 and not rest:
            return part
        return Experts(tuple(first), rest[0] if len(rest) == 2 else None, rest[-1] if rest else None)

    def members(self, rule: Part) -> tuple[Method, ...]:
        opened = self.open("(")
        if self.peek() == ")":
            self.stop(f"'{rule.name}' has no members", f"{rule.name}(a,b)")
        found = [self.method()]
        while self.take(","):
            found.append(self.method())
        self.close(")", opened)
        return tuple(found)

    def part(self) -> Part:
        self.peek()
        at, name = self.at, self.name()
        self.parts += 1
        if self.parts > MAX_PARTS:
            self.stop(f"more than {MAX_PARTS} parts")
        options: dict[str, Value] = {}
        if self.peek() == "[":
            opened = self.open("[")
            while not options or self.take(","):
                self.option(options)
            self.close("]", opened)
        return Part(name, tuple(sorted(options.items())), at if self.said is None else self.said)

    def option(self, options: dict[str, Value]) -> None:
        self.peek()
        key = _KEY.match(self.text, self.at)
        if not key:
            self.stop("a parameter is missing", "name[key=value]")
        if key[0] in options:
            self.stop(f"'{key[0]}' is given twice")
        self.at = key.end()
        if not self.take("="):
            self.stop(f"'{key[0]}' has no value", f"{key[0]}=value")
        values = [self.value()]
        while self.take(":"):
            values.append(self.value())
        options[key[0]] = values[0] if len(values) == 1 else tuple(values)

    def value(self) -> Value:
        if self.peek() == '"':
            return self.quoted()
        number = _NUMBER.match(self.text, self.at)
        if number:
            self.at = number.end()
            return int(number[0]) if re.fullmatch(r"[-+]?\d+", number[0]) else float(number[0])
        start = self.start()
        if isinstance(start, Part) and not start.options:
            return _WORDS.get(start.name, start.name)
        return Method(start)

    def quoted(self) -> str:
        opened, out = self.at, ""
        self.at += 1
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "\\" and self.text[self.at + 1 : self.at + 2] in ('"', "\\"):
                self.at += 1
                char = self.text[self.at]
            elif char == '"':
                self.at += 1
                return out
            out += char
            self.at += 1
        raise fault(self.text, opened, "the text in quotes does not end")

    def name(self) -> str:
        """The longest known name here; else all that could be one."""
        start = self.at
        known = self.known(start)
        if known:
            self.at += len(known)
            return known
        chunk = _CHUNK.match(self.text, start)
        if not chunk:
            self.stop("a name is missing")
        while chunk:
            self.at = chunk.end()
            joined = self.text[self.at : self.at + 1] == "-" and not self.known(self.at + 1)
            chunk = _CHUNK.match(self.text, self.at + 1) if joined else None
        return self.text[start : self.at]

    def known(self, at: int) -> str:
        found = (n for n in self.names if self.text.startswith(n, at))
        return next((n for n in found if not _CHUNK.match(self.text, at + len(n))), "")

    def peek(self) -> str:
        """The next character that is not a space."""
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def take(self, char: str) -> bool:
        found = self.peek() == char
        self.at += found
        return found

    def open(self, char: str) -> int:
        self.take(char)
        self.level += 1
        if self.level > MAX_LEVELS:
            self.stop(f"more than {MAX_LEVELS} levels of brackets")
        return self.at - 1

    def close(self, char: str, opened: int) -> None:
        if not self.take(char):
            left = self.text[opened]
            if not self.peek():
                raise fault(self.text, opened, f"this '{left}' is never closed")
            self.stop(f"the '{left}' of character {opened + 1} is still open", f"close it by '{char}'")
        self.level -= 1

    def stop(self, message: str, hint: str = "") -> NoReturn:
        here = self.text[self.at : self.at + 1]
        if here == ">":
            message, hint = "steps are joined by ':'", self.text.replace(">", ":")
        elif here:
            message = f"{here!r}: {message}"
        raise fault(self.text, self.at, message, hint)
