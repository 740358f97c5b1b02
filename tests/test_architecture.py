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

from hybridkp.files.doors import doors
from hybridkp.memory.sources import closure
from hybridkp.runtime.nodes import kinds

ROOT = Path(__file__).parents[1] / "hybridkp"

#: room -> what it imports besides the standard library and itself: equal to the imports, no more, no less
ROOMS: dict[str, set[str]] = {
    "__init__": set(),
    "__main__": {"cli"},
    "actions": {"numpy", "scipy", "sklearn", "structures"},
    "checks": {"cv2", "datasets", "files", "imaging", "metrics", "numpy", "sklearn", "structures"},
    "classroom": {
        "cv2",
        "evaluate",
        "explain",
        "files",
        "imaging",
        "memory",
        "metrics",
        "numpy",
        "onnx",
        "recipes",
        "report",
        "runtime",
        "structures",
    },
    "cli": {
        "classroom",
        "datasets",
        "detection",
        "evaluate",
        "explain",
        "files",
        "imaging",
        "labels",
        "lifting",
        "memory",
        "multiview",
        "points",
        "recipes",
        "report",
        "runtime",
        "structures",
        "tqdm",
    },
    "datasets": {"cv2", "files", "h5py", "imaging", "numpy", "pandas", "skimage", "structures", "yaml"},
    "deep": {
        "actions",
        "cv2",
        "detection",
        "files",
        "fusion",
        "imaging",
        "landmarks",
        "memory",
        "metrics",
        "multimodal",
        "numpy",
        "points",
        "runtime",
        "sklearn",
        "stats",
        "structures",
        "torch",
        "tqdm",
    },
    "descriptors": {"cv2", "imaging", "numpy", "skimage", "structures"},
    "detection": {
        "cv2",
        "datasets",
        "imaging",
        "landmarks",
        "metrics",
        "numpy",
        "runtime",
        "sklearn",
        "stats",
        "structures",
        "tracking",
    },
    "evaluate": {
        "actions",
        "cv2",
        "datasets",
        "detection",
        "distributed",
        "files",
        "imaging",
        "joblib",
        "lazy",
        "memory",
        "metrics",
        "numpy",
        "pandas",
        "points",
        "runtime",
        "sklearn",
        "stats",
        "structures",
        "supervision",
        "tqdm",
        "tracking",
    },
    "explain": {"cv2", "descriptors", "files", "imaging", "numpy", "points", "report", "structures"},
    "files": {
        "cv2",
        "h5py",
        "imaging",
        "lazy",
        "numpy",
        "onnxruntime",
        "scipy",
        "sklearn",
        "soundfile",
        "structures",
    },
    "fusion": {
        "datasets",
        "imaging",
        "memory",
        "multimodal",
        "numpy",
        "runtime",
        "scipy",
        "sklearn",
        "stats",
        "structures",
    },
    "imaging": {"cv2", "numpy", "structures"},
    "landmarks": {
        "cv2",
        "datasets",
        "descriptors",
        "imaging",
        "joblib",
        "memory",
        "multimodal",
        "numpy",
        "runtime",
        "scipy",
        "sklearn",
        "stats",
        "structures",
    },
    "labels": {
        "cv2",
        "datasets",
        "evaluate",
        "imaging",
        "memory",
        "metrics",
        "numpy",
        "report",
        "sklearn",
        "structures",
    },
    "lazy": set(),
    "lifting": {"datasets", "files", "metrics", "numpy", "report", "scipy", "sklearn", "stats", "structures"},
    "memory": {
        "cv2",
        "datasets",
        "files",
        "imaging",
        "lazy",
        "numpy",
        "sklearn",
        "structures",
        "threadpoolctl",
    },
    "metrics": {"numpy", "structures"},
    "multimodal": {
        "actions",
        "cv2",
        "datasets",
        "descriptors",
        "files",
        "imaging",
        "memory",
        "numpy",
        "scipy",
        "sklearn",
        "structures",
    },
    "multiview": {
        "cv2",
        "datasets",
        "files",
        "imaging",
        "metrics",
        "numpy",
        "report",
        "scipy",
        "sklearn",
        "structures",
        "yaml",
    },
    "peers": {"cv2", "datasets", "detection", "dlib", "files", "imaging", "numpy", "sklearn", "structures"},
    "points": {"cv2", "descriptors", "files", "imaging", "numpy", "sklearn", "structures"},
    "recipes": {
        "deep",
        "descriptors",
        "detection",
        "fusion",
        "landmarks",
        "multimodal",
        "peers",
        "points",
        "sklearn",
        "structures",
    },
    "report": {
        "cv2",
        "datasets",
        "files",
        "imaging",
        "jinja2",
        "matplotlib",
        "metrics",
        "numpy",
        "pandas",
        "stats",
        "structures",
    },
    "runtime": {"files", "imaging", "metrics", "numpy", "onnx", "onnxruntime", "structures", "tracking"},
    "stats": {"numpy", "scipy", "structures"},
    "structures": {"cv2", "numpy"},
    "tracking": {"cv2", "imaging", "numpy", "stats", "structures"},
}

#: what an application reaches, besides the nodes of runtime files
LIGHT_DOORS = (
    *("runtime:load", "runtime:export_runtime", "runtime:RuntimeDetector", "runtime:RuntimePictureDetector"),
    "runtime:Tracker",
    *("points:NetFeature", "points:FeatureMatcher", "points:TwoStageMatcher", "points:GridRefinedMatcher"),
    *("points:UnionMatcher", "points:FallbackMatcher", "points:EccMatcher", "points:RefinedMatcher"),
    *("points:as_feature2d", "points:FromFeature2D", "points:SIFTFeature", "points:ORBFeature"),
    *("points:OnnxFeature", "points:LightGlueMatcher", "points:ConcatFeature", "points:Paired"),
)
LIGHT = {"numpy", "cv2", "onnxruntime"}  #: and these alone
HEAVY = {"sklearn", "torch", "skimage", "matplotlib", "scipy"}


#: ``".room:Class"`` or ``"module:Class"``, which a table's row names and which is imported when it is made
_TARGET = re.compile(r"^\.?(\w+)(?:\.\w+)*:[A-Z]\w*$")


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
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(_TARGET.findall(node.value))
    return {n for n in found if n and n not in sys.stdlib_module_names and n != "__version__"}


def _room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


SOURCES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("room", sorted({_room(p) for p in SOURCES}))
def test_the_table_is_equal_to_the_imports(room: str) -> None:
    """A room that needs a new import says so here; a grant that nobody uses is taken back."""
    assert room not in sys.stdlib_module_names, f"{room}: this name hides from import checks"
    found: set[str] = set()
    for path in SOURCES:
        if _room(path) == room:
            found |= _imports(path) - ({"lazy"} if path.name == "__init__.py" else set())
    assert found - {room} == ROOMS.get(room, set())


def test_the_table_has_no_other_rooms() -> None:
    assert set(ROOMS) == {_room(p) for p in SOURCES}


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


def _modules_of_ours(path: Path) -> set[str]:
    """The files of ours that a file imports by their own names, inside functions too; doors are lazy."""
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = (*package[: len(package) - node.level + 1], *(node.module or "").split("."))
        base = tuple(part for part in base if part)
        for parts in (base, *((*base, alias.name) for alias in node.names)):
            file = ROOT.joinpath(*parts[:-1], f"{parts[-1]}.py") if parts else ROOT
            if file.is_file():
                found.add(file.relative_to(ROOT).as_posix())
    return found


def test_no_file_imports_itself_through_others() -> None:
    graph = {p.relative_to(ROOT).as_posix(): _modules_of_ours(p) for p in SOURCES}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


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
        # remote.py gives a process what its parent sends it, as joblib does for the others; it reads no file
        calls = ("torch.load", "joblib.load", "allow_pickle=True", "backend.reduction")
        for call in calls[: 3 if path == ROOT / "evaluate" / "remote.py" else None]:
            assert call not in text, f"{path.name}: {call}"


def test_only_one_door_knows_dask() -> None:
    assert [p.name for p in SOURCES if _imports(p) & {"dask", "distributed"}] == ["executors.py"]


def _light_modules() -> list[str]:
    """Whatever the doors of applications and the runtime's nodes import, inside functions too."""
    wanted = {f"hybridkp.{door}" for door in LIGHT_DOORS}
    found = [module for (module, _), door in doors().items() if door in wanted]
    assert len(found) == len(LIGHT_DOORS)
    return closure([*found, *(f"hybridkp.{kind.replace('.', '.nodes.')}" for kind in kinds())])


def test_what_an_application_reaches_is_light() -> None:
    modules = _light_modules()
    assert {"hybridkp.landmarks.trees", "hybridkp.points.dense", "hybridkp.files.arrays"} <= set(modules)
    for module in modules:
        path = ROOT.joinpath(*module.split(".")[1:])
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        others = _imports(path) - {p.name.removesuffix(".py") for p in ROOT.iterdir()}
        assert others <= LIGHT, f"{module} imports {sorted(others - LIGHT)}"


def test_every_estimator_has_a_public_door() -> None:
    """Files name classes by their doors; what only others build upon needs none."""
    bases: dict[tuple[str, str], set[str]] = {}
    for path in SOURCES:
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                bases[module, node.name] = {ast.unparse(base).split(".")[-1] for base in node.bases}
    ours = {"BaseEstimator", "Parameters"}
    while more := {name for (_, name), of in bases.items() if of & ours} - ours:
        ours |= more
    used = set().union(*bases.values())
    leaves = {key for key in bases if key[1] in ours - used and not key[1].startswith("_")}
    assert leaves <= doors().keys(), leaves - doors().keys()


def _modules_after(statement: str) -> set[str]:
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {m.split(".")[0] for m in json.loads(out.stdout)}


def test_import_hybridkp_is_light() -> None:
    modules = _modules_after("import hybridkp")
    assert not modules & (HEAVY | {"numpy", "cv2"}), modules & (HEAVY | {"numpy", "cv2"})


def test_runtime_needs_neither_torch_nor_sklearn() -> None:
    modules = _modules_after("import hybridkp.runtime")
    assert not modules & {"torch", "sklearn", "scipy", "skimage", "safetensors", "matplotlib", "pandas"}


PACKAGES = sorted(
    {
        ".".join(("hybridkp", *p.relative_to(ROOT).parts[:-1]))
        for p in SOURCES
        if p.parent.name not in ("nodes", "graphs")
    }
    - {"hybridkp.cli"}
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


def _is_table(tree: ast.Module) -> bool:
    """Whether a file defines neither functions nor classes: rows may be as many as there are things."""
    return not any(isinstance(n, ast.FunctionDef | ast.ClassDef) for n in ast.walk(tree))


def test_files_and_functions_stay_readable() -> None:
    for path in SOURCES:
        source = path.read_text()
        tree = ast.parse(source)
        assert _is_table(tree) or len(source.splitlines()) <= 400, f"{path.name} has more than 400 lines"
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                docstring = ast.get_docstring(node) or ""
                body = length - len(docstring.splitlines())
                assert body <= 60, f"{path.name}: {node.name} has {body} lines"


def test_only_one_place_replaces_files() -> None:
    """Whole or not at all: who renames a finished file into place, does it through files/atomic.py."""
    renames = re.compile(r"os\.(replace|rename)\(")
    found = [p.relative_to(ROOT).as_posix() for p in SOURCES if renames.search(p.read_text())]
    aside = "files/lease.py"  # moves a dead owner's lease out of the way
    assert [name for name in found if name != aside] == ["files/atomic.py"]


#: files whose half pixels go by another rule than a resize, or are written for exact ties
HALVES = {"imaging/geometry.py", "datasets/synthetic/photo_pairs.py", "points/classical.py"}


def test_one_place_says_one_half() -> None:
    """Half-pixel shifts scattered through a house are where half-pixel mistakes come from."""
    shift = re.compile(r"\+ (0\.5|1 / 2)\)[^\n]*[*/][^\n]*- (0\.5|1 / 2)\b")
    assert shift.search((ROOT / "imaging" / "geometry.py").read_text()), (
        "the pattern has lost what it looks for"
    )
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        found = shift.search(path.read_text())
        assert name in HALVES or not found, f"{name}: {found and found[0]!r}: use geometry.rescale"
