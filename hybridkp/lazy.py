"""Lazy, typed doors (PEP 562): a package offers what its ``__init__.pyi`` names, and imports it when asked.

The stub is the one table of public names: type checkers and editors read it as it is, and
:func:`attach_stub` reads it at run time.  So ``import hybridkp`` loads no NumPy, and a light module of a
room never drags along the heavy ones beside it.  Never here: anything but the standard library.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

_LINE = re.compile(r"^from \.([\w.]*) import (\w+) as (\w+)$", re.MULTILINE)  # all that a stub is made of

#: what is imported under another name than pip's, and what comes with an extra
PIP_NAMES = {
    "cv2": "opencv-contrib-python",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "dlib": "hybridkp[peers]",
    "onnx": "hybridkp[onnx]",
    "onnxruntime": "hybridkp[onnx]",
    "pandas": "hybridkp[formats]",
}


def missing(what: str, library: str) -> str:
    """One line for a library that is not installed, with the cure."""
    return (
        f"{what} needs {library}, which is not installed: pip install {PIP_NAMES.get(library, library)}"
        " (pip install hybridkp brings everything that training and comparing need)"
    )


def stub_names(text: str) -> dict[str, str]:
    """Public name -> submodule that defines it, "" for a submodule itself, of a stub's text."""
    return {name: module for module, _, name in _LINE.findall(text)}


def attach_stub(
    package: str, file: str, *own: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package, from the stub beside its ``__init__``.

    ``own`` names what the package defines itself.
    """
    with open(f"{os.path.splitext(file)[0]}.pyi", encoding="utf-8") as stub:
        where = stub_names(stub.read())
    public = sorted([*own, *where])

    def load(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = import_module(f".{where[name] or name}", package)
        except ModuleNotFoundError as error:
            library = (error.name or package).partition(".")[0]
            if library == package.partition(".")[0]:
                raise
            raise ModuleNotFoundError(missing(f"{package}.{name}", library), name=library) from None
        value = getattr(module, name) if where[name] else module
        setattr(sys.modules[package], name, value)  # the next time it is simply there
        return value

    return load, lambda: list(public), public
