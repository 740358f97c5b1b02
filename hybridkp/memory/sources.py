"""Which of our own source files a piece of code stands on, as a fingerprint.

A remembered fit may be used again only while the code that made it is the same.  Following the
imports of a class's module gives exactly those files, so that work on one method does not throw
away the fits of the others.  Comments, docstrings and layout do not count.  Reads source as text;
nothing is imported here.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ..lazy import stub_names

PACKAGE = "hybridkp"
_ROOT = Path(__file__).parents[1]


def fingerprint(modules: Iterable[str]) -> str:
    """16 hex digits of the files that these modules of ours stand on, themselves included.

    Names of other packages' modules are left out.  Imports inside functions count, those under
    ``if TYPE_CHECKING`` too: rather one file too many than one too few.  What a package hands on
    lazily (:mod:`hybridkp.lazy`) is followed to the submodule that defines it.

    >>> fingerprint(["hybridkp.imaging.geometry"]) == fingerprint(["hybridkp.imaging.geometry", "numpy"])
    True
    """
    return _fingerprint(tuple(sorted({m for m in modules if _file(m) is not None})))


@lru_cache
def _fingerprint(modules: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for module in closure(modules):
        digest.update(module.encode() + b"\0" + _code(module))
    return digest.hexdigest()[:16]


@lru_cache
def _code(module: str) -> bytes:
    """A hash of what a module says to the interpreter, docstrings left out; empty for what is not ours.

    A package's weights count as part of it.
    """
    path = _file(module)
    if path is None:
        return b""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    digest = hashlib.sha256(ast.dump(tree).encode())
    for weights in sorted(path.parent.glob("weights/*")) if path.name == "__init__.py" else ():
        digest.update(weights.read_bytes())
    return digest.digest()


def closure(modules: Iterable[str]) -> list[str]:
    """The modules of ours that these stand on, themselves included, sorted."""
    seen: set[str] = set()
    left = list(modules)
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            left.extend(_imports(module))
    return sorted(seen)


def _file(module: str) -> Path | None:
    """The file of a module of ours, None for anybody else's."""
    first, *rest = module.split(".")
    if first != PACKAGE:
        return None
    base = _ROOT.joinpath(*rest)
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    return path if path.is_file() else None


@lru_cache
def _imports(module: str) -> tuple[str, ...]:
    path = _file(module)
    if path is None:
        return ()
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found: set[str] = set()
    if path.name == "__init__.py" and module != PACKAGE:  # taken as a whole: anything in it may be used
        found |= {f"{module}.{part.stem}" for part in path.parent.iterdir()} - {f"{module}.__init__"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found |= {_home(origin, name.name) for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return tuple(sorted(m for m in found if _file(m) is not None))


def _home(origin: str, name: str) -> str:
    """The module that defines ``name`` when it is imported from ``origin``."""
    if _file(f"{origin}.{name}") is not None:
        return f"{origin}.{name}"
    path = _file(origin)
    if path is None or path.name != "__init__.py":
        return origin
    where = _doors(origin)
    return _home(f"{origin}.{where[name]}", name) if where.get(name) else origin


@lru_cache
def _doors(package: str) -> dict[str, str]:
    """Name -> submodule, of a package with a stub."""
    path = _file(package)
    stub = path.with_suffix(".pyi") if path else None
    return stub_names(stub.read_text(encoding="utf-8")) if stub and stub.is_file() else {}
