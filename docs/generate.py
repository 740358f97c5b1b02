"""Writes the pages that follow from the code: the map of the rooms, what additions cost, the API reference.

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
from itertools import pairwise
from pathlib import Path
from typing import Any

import additions
from sphinx.errors import PycodeError
from sphinx.pycode import ModuleAnalyzer

import hybridkp
from hybridkp.datasets import FORMATS
from hybridkp.lazy import stub_names
from hybridkp.metrics import LANDMARK_METRICS, POINT_METRICS, Metric

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(hybridkp.__file__).parent
#: what is no room of its own
DOORS = {"__init__", "__main__", "lazy"}
#: of the drawing, in its own units
BOX_W, BOX_H, STEP, SIDE = 104, 30, 74, 860
#: a room, or where the line from one room to another passes a floor
Place = str | tuple[str, str, int]


def write_pages(folder: Path) -> None:
    """Every generated page, each only where it changed, so that a second build is quick."""
    rooms = room_table()
    _write(folder / "_generated" / "map.md", map_page(rooms))
    _write(folder / "_generated" / "metrics.md", metrics_page())
    _write(folder / "_generated" / "adding.md", additions.table(additions.pages()))
    _write(folder / "_generated" / "formats.md", formats_table())
    names = sorted(room for room in rooms if (PACKAGE / room / "__init__.pyi").is_file())
    _write(folder / "api" / "index.rst", api_index(names))
    for room in names:
        _write(folder / "api" / f"{room}.rst", api_page(room))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def metrics_page() -> str:
    """A definition for every metric of both tasks, from the rows that compute them."""
    words: dict[str, str] = {}
    for m in (*LANDMARK_METRICS, *POINT_METRICS):
        words.setdefault(m.title, _meaning(m))
    return "\n\n".join(f"**{title}**\n: {text}" for title, text in sorted(words.items(), key=_first)) + "\n"


def _meaning(metric: Metric) -> str:
    text = metric.meaning.partition(": ")[2] or metric.meaning or metric.words
    return _plain(f"{text[:1].upper()}{text[1:]}".rstrip(".") + ".")


def _first(item: tuple[str, str]) -> str:
    return item[0].lower()


def formats_table() -> str:
    """The rows of the table of formats: whose, what is kept, and where its half pixel is."""
    words = {"objects": "several objects", "hidden": "hidden points", "groups": "groups", "boxes": "boxes"}
    lines = ["| format | of | written | keeps besides points | centre of the top-left pixel | options |"]
    lines.append("|:---|:---|:---|:---|:---|:---|")
    for row in FORMATS:
        if row.tool:
            kept = ", ".join(text for key, text in words.items() if key in row.keeps) if row.write else ""
            options = ", ".join(f"`{name}`" for name in row.options)
            written = "yes" if row.write else "–"
            lines.append(f"| `{row.name}` | {row.tool} | {written} | {kept} | {row.centre} | {options} |")
    return "\n".join([*lines, ""])


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
    """The rooms as boxes, floor above floor; a line goes down to each room that is imported.

    A line that passes a floor has a place of its own there, between the boxes; places are ordered by the
    mean of their neighbours (Sugiyama, Tagawa, Toda 1981).
    """
    lines = [_line(room, other, floors) for room, others in direct(ours).items() for other in sorted(others)]
    rows: list[list[Place]] = [
        [r for r in sorted(ours) if floors[r] == f] for f in range(max(floors.values()) + 1)
    ]
    near: dict[Place, set[Place]] = {}
    for line in lines:
        for place in line[1:-1]:
            rows[place[2]].append(place)  # type: ignore[misc]
        for upper, lower in pairwise(line):
            near.setdefault(upper, set()).add(lower)
            near.setdefault(lower, set()).add(upper)
    for sweep in range(8):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            at = {place: x for other in rows for place, x in _spread(other).items()}
            row.sort(key=lambda p: (_mean([at[n] for n in near.get(p, ())], at[p]), str(p)))
    at = {place: x for row in rows for place, x in _spread(row).items()}
    high = {place: (len(rows) - 1 - f) * STEP + 22 for f, row in enumerate(rows) for place in row}
    paths = []
    for line in lines:
        text = f"M{at[line[0]]:.0f} {high[line[0]] + BOX_H / 2:.0f}"
        for upper, lower in pairwise(line):
            middle = (high[upper] + high[lower]) / 2
            end = high[lower] - BOX_H / 2 * (lower is line[-1])
            text += f" C{at[upper]:.0f} {middle:.0f} {at[lower]:.0f} {middle:.0f} {at[lower]:.0f} {end:.0f}"
        paths.append(f'<path d="{text}"/>')
    boxes = [
        f'<rect x="{at[room] - BOX_W / 2:.0f}" y="{high[room] - BOX_H / 2:.0f}" width="{BOX_W}"'
        f' height="{BOX_H}" rx="5"/>'
        f'<text x="{at[room]:.0f}" y="{high[room] + 5:.0f}">{html.escape(room)}</text>'
        for room in sorted(ours)
    ]
    left, right = min(at.values()) - BOX_W / 2 - 6, max(at.values()) + BOX_W / 2 + 6
    return (
        f'<svg class="map" viewBox="{left:.0f} 0 {right - left:.0f} {(len(rows) - 1) * STEP + 44}" role="img"'
        f' aria-label="which room imports which">{"".join(paths)}{"".join(boxes)}</svg>'
    )


def _line(room: str, other: str, floors: Mapping[str, int]) -> list[Place]:
    """The places that a line goes through, from a room down to one that it imports."""
    between = range(floors[room] - 1, floors[other], -1)
    return [room, *((room, other, floor) for floor in between), other]


def _spread(row: Sequence[Place]) -> dict[Place, float]:
    """Where the places of one floor are, left to right: a line needs a fifth of a box."""
    widths = [BOX_W + 18 if isinstance(place, str) else BOX_W / 5 for place in row]
    left = (SIDE - sum(widths)) / 2
    return {p: left + sum(widths[:i]) + w / 2 for i, (p, w) in enumerate(zip(row, widths, strict=True))}


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
    """Every public name of one room: classes, functions, constants, and what another room explains."""
    module = import_module(f"hybridkp.{room}")
    parts: dict[str, list[str]] = {"Classes": [], "Functions": [], "Constants": [], "Also here": []}
    for name, file in sorted(public_names(room).items(), key=lambda item: item[0].lower()):
        value = getattr(module, name)
        if isinstance(value, types.ModuleType):
            continue
        home = str(getattr(value, "__module__", "")).split(".")[1:2]
        if (inspect.isclass(value) or inspect.isroutine(value)) and home != [room]:
            parts["Also here"] += [f"* :py:obj:`hybridkp.{'.'.join(home)}.{name}`", ""]
        elif inspect.isclass(value):
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
