"""The rooms of the house and who may call on whom, held against the imports in the source."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "hybridkp"

CORE = {"numpy", "structures"}
LEARN = CORE | {"geometry", "images", "pyramid", "descriptors", "sklearn"}

#: room -> what it may import besides the standard library (its own room is always allowed)
ROOMS: dict[str, set[str]] = {
    "__init__": set(),
    "__main__": {"cli"},
    "lazy": set(),  # every package's __init__ may use it, nobody else
    "base": {"numpy"},
    "structures": {"numpy", "base", "cv2"},
    "opencv": {"cv2"},
    "threads": {"cv2", "threadpoolctl"},
    "images": CORE | {"cv2"},
    "geometry": CORE | {"cv2"},
    "calibration": CORE | {"sklearn"},
    "pairs": CORE | {"base"},
    "metrics": CORE | {"pairs"},
    "statistics": CORE | {"scipy"},
    "pyramid": CORE | {"geometry", "images", "cv2"},
    "files": CORE | {"pairs", "images", "cv2", "safetensors", "skops", "sklearn"},
    "draw": CORE | {"images", "geometry", "descriptors", "cv2"},
    "descriptors": CORE | {"geometry", "images", "opencv", "pyramid", "cv2", "skimage", "sklearn"},
    "datasets": CORE | {"pairs", "geometry", "images", "files", "cv2", "skimage", "sklearn"},
    "resident": set(),
    "sources": set(),
    "memory": CORE | {"images", "files", "datasets", "resident", "sources", "threads", "sklearn"},
    "landmarks": LEARN | {"memory", "opencv", "calibration", "threads", "cv2", "joblib", "scipy"},
    "points": CORE
    | {"pairs", "geometry", "images", "opencv", "threads", "pyramid", "descriptors", "files", "calibration"}
    | {"memory", "cv2", "sklearn", "onnxruntime"},
    "deep": CORE
    | {"geometry", "images", "files", "datasets", "landmarks", "calibration", "sklearn", "cv2"}
    | {"memory", "pyramid", "points", "safetensors", "torch", "tqdm"},
    "peers": CORE | {"images", "sklearn", "dlib"},
    "refiners": LEARN | {"memory", "landmarks", "calibration", "cv2"},
    "fusion": CORE
    | {"geometry", "images", "memory", "runtime", "datasets", "calibration", "sklearn", "scipy"},
    "evaluate": CORE
    | {
        "pairs",
        "geometry",
        "images",
        "files",
        "memory",
        "threads",
        "resident",
        "sources",
        "datasets",
        "draw",
        "joblib",
        "sklearn",
        "tqdm",
        "cv2",
    },
    "tuning": CORE
    | {"datasets", "evaluate", "files", "memory", "metrics", "statistics", "threads", "joblib"},
    "report": CORE
    | {"metrics", "statistics", "draw", "files", "geometry", "images", "pairs", "datasets"}
    | {"calibration", "jinja2", "matplotlib", "cv2"},
    "runtime": CORE
    | {"geometry", "images", "pyramid", "descriptors", "landmarks", "files", "cv2"}
    | {"safetensors", "onnxruntime"},
    "recipes": CORE
    | {"landmarks", "descriptors", "deep", "refiners", "fusion", "peers", "sklearn"}
    | {"recipe_parts", "search_spaces"},
    "recipe_parts": {"descriptors", "deep", "refiners"},
    "search_spaces": set(),
    "settings": {"search_spaces", "structures"},
    "point_recipes": CORE | {"pairs", "points", "descriptors", "sklearn"},
    "point_checks": CORE | {"checks", "sklearn", "cv2"},
    "checks": CORE | {"geometry", "files", "pyramid", "datasets", "sklearn", "cv2"},
    "cli": CORE
    | {
        "recipes",
        "point_recipes",
        "pairs",
        "tuning",
        "settings",
        "evaluate",
        "report",
        "files",
        "datasets",
        "draw",
        "metrics",
        "runtime",
        "tqdm",
        "images",
    },
}

#: single modules of a room that other rooms may not drag along: they must stay light
LIGHT = [
    *(f"landmarks/{name}.py" for name in ("shape", "response", "frames", "grid", "descent", "search")),
    "landmarks/linear.py",
    "landmarks/binary_descent.py",
    "landmarks/trees.py",
    "landmarks/fast_descent.py",
    "descriptors/gradients.py",
]
HEAVY = {"sklearn", "torch", "skimage", "matplotlib", "scipy"}


def _imports(path: Path) -> set[str]:
    """Top-level names of third parties and of our own rooms that a file imports, lazily or not."""
    found = set()
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                found.add((node.module or "").split(".")[0])
                continue
            base = list(package[: len(package) - (node.level - 1)])
            parts = base + (node.module or "").split(".") if node.module else base
            if parts:
                found.add(parts[0])
            else:
                found |= {alias.name for alias in node.names}
    return {n for n in found if n and n not in sys.stdlib_module_names and n != "__version__"}


def _room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


SOURCES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_stay_within_the_table(path: Path) -> None:
    room = _room(path)
    assert room in ROOMS, f"{room} is a new room: give it a row in ROOMS"
    allowed = ROOMS[room] | {room} | ({"lazy"} if path.name == "__init__.py" else set())
    extra = _imports(path) - allowed
    assert not extra, f"{path.name} may not import {sorted(extra)}"


def test_the_table_has_no_circles() -> None:
    done: set[str] = set()

    def visit(room: str, trail: tuple[str, ...]) -> None:
        assert room not in trail, " -> ".join((*trail, room))
        if room not in done:
            for other in ROOMS[room] & ROOMS.keys():
                visit(other, (*trail, room))
            done.add(room)

    for room in ROOMS:
        visit(room, ())


def test_only_deep_knows_torch() -> None:
    with_torch = {_room(p) for p in SOURCES if "torch" in _imports(p)}
    assert with_torch <= {"deep"}


def test_only_peers_know_dlib_and_only_recipes_know_peers() -> None:
    assert {_room(p) for p in SOURCES if "dlib" in _imports(p)} == {"peers"}
    assert {_room(p) for p in SOURCES if "peers" in _imports(p)} - {"peers"} == {"recipes"}


def test_only_the_command_line_prints() -> None:
    for path in SOURCES:
        if _room(path) != "cli":
            calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
            names = {n.func.id for n in calls if isinstance(n.func, ast.Name)}
            assert "print" not in names, f"{path.name} prints"


def test_nobody_unpickles() -> None:
    for path in SOURCES:
        assert not _imports(path) & {"pickle", "dill", "cloudpickle", "marshal"}, path.name
        text = path.read_text()
        for call in ("torch.load", "joblib.load", "allow_pickle=True"):
            assert call not in text, f"{path.name}: {call}"


@pytest.mark.parametrize("name", LIGHT)
def test_light_modules_import_nothing_heavy(name: str) -> None:
    assert not _imports(ROOT / name) & HEAVY


def _modules_after(statement: str) -> set[str]:
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {m.split(".")[0] for m in json.loads(out.stdout)}


def test_import_hybridkp_is_light() -> None:
    modules = _modules_after("import hybridkp")
    assert not modules & (HEAVY | {"numpy", "cv2"}), modules & (HEAVY | {"numpy", "cv2"})


def test_runtime_needs_neither_torch_nor_sklearn() -> None:
    modules = _modules_after("import hybridkp.runtime")
    assert not modules & {"torch", "sklearn", "skimage", "matplotlib", "pandas"}


PACKAGES = sorted(
    {".".join(("hybridkp", *p.relative_to(ROOT).parts[:-1])) for p in SOURCES} - {"hybridkp.cli"}
)


@pytest.mark.parametrize("package", PACKAGES)
def test_public_doors_open(package: str) -> None:
    module = import_module(package)
    assert len(module.__all__) == len(set(module.__all__)) > 0
    assert set(dir(module)) >= set(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in vars(module), "kept: the next time it is simply there"
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing


def test_files_and_functions_stay_readable() -> None:
    for path in SOURCES:
        source = path.read_text()
        assert len(source.splitlines()) <= 400, f"{path.name} has more than 400 lines"
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                docstring = ast.get_docstring(node) or ""
                body = length - len(docstring.splitlines())
                assert body <= 60, f"{path.name}: {node.name} has {body} lines"


def test_only_one_place_replaces_files() -> None:
    """Whole or not at all: who renames a finished file into place, does it through files/atomic.py."""
    renames = re.compile(r"os\.(replace|rename)\(")
    found = [p.relative_to(ROOT).as_posix() for p in SOURCES if renames.search(p.read_text())]
    assert found == ["files/atomic.py"]


#: files whose half pixels go by another rule than a resize, or are written for exact ties
HALVES = {"geometry.py", "datasets/synthetic_pairs.py", "points/classical.py"}


def test_one_place_says_one_half() -> None:
    """Half-pixel shifts scattered through a house are where half-pixel mistakes come from."""
    shift = re.compile(r"\+ (0\.5|1 / 2)\)[^\n]*[*/][^\n]*- (0\.5|1 / 2)\b")
    assert shift.search((ROOT / "geometry.py").read_text()), "the pattern has lost what it looks for"
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        found = shift.search(path.read_text())
        assert name in HALVES or not found, f"{name}: {found and found[0]!r}: use geometry.rescale"
