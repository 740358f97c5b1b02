"""Writes the pages that follow from the code: the map of the rooms, the parts, and the API reference.

``conf.py`` calls :func:`write_pages` before a build; what it writes is never committed, so that no page
can be older than the code.  The map reads the import table that ``tests/test_architecture.py`` holds
equal to the imports; the API reference reads the stubs, which are the one table of public names.
"""

from __future__ import annotations

import ast
import html
import inspect
import re
import types
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from sphinx.errors import PycodeError
from sphinx.pycode import ModuleAnalyzer

import hybridkp
from hybridkp.lazy import stub_names

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(hybridkp.__file__).parent
#: what is no room of its own
DOORS = {"__init__", "__main__", "lazy"}


def write_pages(folder: Path) -> None:
    """Every generated page, each only where it changed, so that a second build is quick."""
    rooms = room_table()
    _write(folder / "_generated" / "map.md", map_page(rooms))
    names = sorted(room for room in rooms if (PACKAGE / room / "__init__.pyi").is_file())
    _write(folder / "api" / "index.rst", api_index(names))
    for room in names:
        _write(folder / "api" / f"{room}.rst", api_page(room))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


# --------------------------------------------------------------------------------------------
# the map
# --------------------------------------------------------------------------------------------


def room_table() -> dict[str, set[str]]:
    """Room -> what it imports, rooms and third parties, as the architecture test has it."""
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "ROOMS":
            table = node.value
            assert isinstance(table, ast.Dict)
            found = {ast.literal_eval(k): _set(v) for k, v in zip(table.keys, table.values, strict=True) if k}
            return {room: names for room, names in found.items() if room not in DOORS}
    raise LookupError("tests/test_architecture.py has no table ROOMS")


def _set(node: ast.expr) -> set[str]:
    return set() if isinstance(node, ast.Call) else set(ast.literal_eval(node))


def levels(ours: Mapping[str, set[str]]) -> dict[str, int]:
    """Room -> its floor: one above the highest room that it imports."""
    found: dict[str, int] = {}

    def floor(room: str) -> int:
        if room not in found:
            found[room] = 1 + max((floor(other) for other in ours[room]), default=-1)
        return found[room]

    for room in ours:
        floor(room)
    return found


def direct(ours: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The imports without those that another import brings anyway: what the picture draws."""

    def below(room: str) -> set[str]:
        return ours[room].union(*(below(other) for other in ours[room]))

    return {
        room: {o for o in others if not any(o in below(p) for p in others - {o})}
        for room, others in ours.items()
    }


def map_page(rooms: Mapping[str, set[str]]) -> str:
    """The picture and the table of the rooms, top first."""
    ours = {room: {o for o in found if o in rooms} for room, found in rooms.items()}
    floors = levels(ours)
    lines = ["| room | what lives there | imports |", "|:---|:---|:---|"]
    for room in sorted(ours, key=lambda r: (-floors[r], r)):
        about = " ".join((inspect.getdoc(import_module(f"hybridkp.{room}")) or "").split("\n\n")[0].split())
        link = f"[`{room}`](api/{room}.rst)" if (PACKAGE / room / "__init__.pyi").is_file() else f"`{room}`"
        third = ", ".join(sorted(rooms[room] - set(ours)))
        own = ", ".join(f"`{o}`" for o in sorted(ours[room]))
        lines.append(f"| {link} | {_plain(about)} | {'; '.join(filter(None, (own, third)))} |")
    return f"{drawing(ours, floors)}\n\n" + "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """A docstring's roles as plain words, for a cell of a table."""
    text = re.sub(r":\w+:`~?\.?(?:[\w.]*\.)?(\w+)`", r"`\1`", text)
    return text.replace("``", "`").replace("|", "\\|")


def drawing(ours: Mapping[str, set[str]], floors: Mapping[str, int]) -> str:
    """The rooms as boxes, floor above floor; a line goes down to each room that is imported."""
    width, height, step, side = 104, 30, 74, 760
    edges = direct(ours)
    place: dict[str, tuple[float, float]] = {}
    for floor in range(max(floors.values()) + 1):
        row = [r for r in ours if floors[r] == floor]
        middle = {r: _mean([place[o][0] for o in edges[r]], side / 2) for r in row}
        row.sort(key=lambda r: (middle[r], r))
        for i, room in enumerate(row):
            place[room] = (side * (i + 0.5) / len(row), (max(floors.values()) - floor) * step + 22)
    parts = []
    for room, others in edges.items():
        for other in sorted(others):
            (x, y), (u, v) = place[room], place[other]
            start, end = y + height / 2, v - height / 2
            bend = (start + end) / 2 if v - y <= step else start + step / 2
            curve = f"M{x:.0f} {start:.0f} C{x:.0f} {bend:.0f} {u:.0f} {end - step / 2:.0f} {u:.0f} {end:.0f}"
            parts.append(f'<path d="{curve}"/>')
    boxes = [
        f'<rect x="{x - width / 2:.0f}" y="{y - height / 2:.0f}" width="{width}" height="{height}" rx="5"/>'
        f'<text x="{x:.0f}" y="{y + 5:.0f}">{html.escape(room)}</text>'
        for room, (x, y) in place.items()
    ]
    total = max(y for _, y in place.values()) + 22
    return (
        f'<svg class="map" viewBox="0 0 {side} {total:.0f}" role="img" aria-label="which room imports which">'
        f"{''.join(parts)}{''.join(boxes)}</svg>"
    )


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


# --------------------------------------------------------------------------------------------
# the API reference
# --------------------------------------------------------------------------------------------


def public_names(room: str) -> dict[str, str]:
    """Public name -> the file of the room that defines it, from the stub."""
    path = PACKAGE / room / "__init__.pyi" if room else PACKAGE / "__init__.pyi"
    return stub_names(path.read_text(encoding="utf-8"))


def api_index(rooms: Sequence[str]) -> str:
    """The doors of ``hybridkp`` itself, and a line for each room."""
    doors = [
        f"* :py:obj:`hybridkp.{name} <hybridkp.{file}.{name}>`"
        for name, file in public_names("").items()
        if file
    ]
    return "\n".join(
        [
            *_title("API reference"),
            "Every public name, from the stubs that type checkers read. A name that is not here is private",
            "and may change without notice. ``import hybridkp`` has every room as an attribute, loaded when",
            "first asked for, and these names at hand:",
            "",
            *doors,
            "",
            ".. toctree::",
            "   :maxdepth: 1",
            "",
            *(f"   {room}" for room in rooms),
            "",
        ]
    )


def api_page(room: str) -> str:
    """Every public name of one room: classes, then functions, then constants."""
    module = import_module(f"hybridkp.{room}")
    parts: dict[str, list[str]] = {"Classes": [], "Functions": [], "Constants": []}
    for name, file in sorted(public_names(room).items(), key=lambda item: item[0].lower()):
        value = getattr(module, name)
        if isinstance(value, types.ModuleType):
            continue
        if inspect.isclass(value):
            parts["Classes"] += [f".. autoclass:: {name}", "   :members:", ""]
        elif inspect.isroutine(value):
            parts["Functions"] += [f".. autofunction:: {name}", ""]
        else:
            parts["Constants"] += [f".. py:data:: {name}", "", f"   {constant(room, file, name)}", ""]
    text = [*_title(f"hybridkp.{room}"), f".. automodule:: hybridkp.{room}", ""]
    text += [f".. py:currentmodule:: hybridkp.{room}", ""]
    for title, lines in parts.items():
        if lines:
            text += [*_title(title, "-"), *lines]
    return "\n".join(text)


def constant(room: str, file: str, name: str) -> str:
    """The words beside a constant in its source (``#:``), else its type."""
    try:
        words = ModuleAnalyzer.for_module(f"hybridkp.{room}.{file}").find_attr_docs().get(("", name), [])
    except PycodeError:
        words = []
    value: Any = getattr(import_module(f"hybridkp.{room}"), name)
    kind = type(value).__name__
    simple = isinstance(value, (int, float, str, tuple)) and len(repr(value)) < 80
    shown = f"``{value!r}``." if simple else f"A ``{kind}``."
    text = " ".join(" ".join(words).split())
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') or not text else '.'} {shown}".strip()


def _title(text: str, line: str = "=") -> list[str]:
    return [text, line * len(text), ""]
