"""The model file: a fitted estimator in one zip, without pickle.

``manifest.json`` holds a tree of plain values, ``arrays.safetensors`` the arrays and
``sklearn/0.skops`` the scikit-learn estimators.  Reading builds nothing but hybridkp's own
classes, NumPy arrays and scikit-learn's types from a fixed list; no code comes from the file.
"""

from __future__ import annotations

import json
import math
import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..structures import InputError
from .atomic import atomic_path

FORMAT = 1  #: a promise: format 1 stays readable
MANIFEST, ARRAYS, SKLEARN = "manifest.json", "arrays.safetensors", "sklearn/0.skops"
MAX_MANIFEST = 64 * 2**20
MAX_DEPTH = 60

_MODULE = re.compile(r"hybridkp(\.[a-z][a-z0-9_]*){1,3}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STATE = re.compile(r"[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?_")
_FORBIDDEN_MODULES = {"hybridkp.cli"}


def save_model(estimator: Any, path: str | os.PathLike[str], meta: dict[str, Any] | None = None) -> None:
    """Write a hybridkp estimator (fitted or not) to one file.

    Stored are its parameters and its fitted state: every attribute that ends in one ``_``, or
    what its ``_get_state()`` gives.  ``meta`` (plain values: landmarks, skeleton, margin, ...) is
    read back with :func:`read_meta`.

    Raises
    ------
    InputError
        When something in it has no place in the format (a function, a generator, an estimator
        from elsewhere), or the file cannot be written.
    """
    writer = _Writer()
    root = writer.encode(estimator, type(estimator).__name__, 0)
    manifest = {
        "format": FORMAT,
        "hybridkp": __version__,
        "meta": writer.encode(meta or {}, "meta", 0),
        "root": root,
    }
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
        writer.write_parts(file)
        _add(file, MANIFEST, json.dumps(manifest, allow_nan=False, separators=(",", ":")).encode())


def load_model(path: str | os.PathLike[str], trusted: Sequence[type] = ()) -> Any:
    """The estimator that :func:`save_model` wrote.

    ``trusted`` are classes from outside hybridkp that the file may name, given by you as
    objects: nothing is ever imported because a file says so.

    Raises
    ------
    InputError
        For anything that is not a whole, honest model file of this format.
    """
    manifest, arrays, estimators = _open(path)
    try:
        return _Reader(arrays, estimators, trusted).decode(manifest["root"], 0)
    except (_Bad, InputError) as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # a hostile tree can make any constructor of ours complain
        raise InputError(f"{path}: damaged model file ({type(error).__name__}: {_line(error)})") from None


def read_meta(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The ``meta`` that was given to :func:`save_model`."""
    manifest, arrays, _ = _open(path, with_estimators=False)
    try:
        meta = _Reader(arrays, [], ()).decode(manifest["meta"], 0)
    except _Bad as error:
        raise InputError(f"{path}: {error}") from None
    if not isinstance(meta, dict):
        raise InputError(f"{path}: damaged model file (meta is not a dict)")
    return meta


class _Bad(ValueError):
    """The file breaks the format; the message lacks the path."""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _add(file: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # the same model gives the same bytes
    file.writestr(info, data)


# --------------------------------------------------------------------------------------------
# writing
# --------------------------------------------------------------------------------------------


class _Writer:
    """Values -> JSON nodes; arrays and scikit-learn estimators go to their own parts."""

    def __init__(self) -> None:
        self.arrays: dict[str, Any] = {}
        self.estimators: list[Any] = []
        self.seen: dict[int, dict[str, Any]] = {}
        self.keep: list[Any] = []  # so that no id is used twice

    def encode(self, value: Any, where: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise InputError(f"{where}: nested too deeply to save (does it contain itself?)")
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, np.generic):
            return {"$": "array", **self._array(np.asarray(value), where), "scalar": True}
        if isinstance(value, int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"$": "float", "v": repr(value)}
        if isinstance(value, np.ndarray):
            return {"$": "array", **self._array(value, where)}
        if isinstance(value, list):
            return [self.encode(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)]
        if isinstance(value, tuple):
            return {
                "$": "tuple",
                "v": [self.encode(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)],
            }
        if isinstance(value, dict):
            bad = [k for k in value if not isinstance(k, str)]
            if bad:
                raise InputError(f"{where}: the key {bad[0]!r} is not a string, so it cannot be saved")
            return {
                "$": "dict",
                "v": {k: self.encode(v, f"{where}[{k!r}]", depth + 1) for k, v in value.items()},
            }
        return self._object(value, where, depth)

    def _object(self, value: Any, where: str, depth: int) -> Any:
        from sklearn.base import BaseEstimator

        kind = type(value)
        if isinstance(value, BaseEstimator) and kind.__module__.startswith("sklearn."):
            if id(value) not in self.seen:
                self.seen[id(value)] = {"$": "sklearn", "n": len(self.estimators)}
                self.estimators.append(value)
            return self.seen[id(value)]
        name = {"module": kind.__module__, "class": kind.__qualname__}
        if isinstance(value, BaseEstimator):
            params = value.get_params(deep=False)
            if hasattr(value, "_get_state"):
                state = value._get_state()
            else:
                state = {k: v for k, v in vars(value).items() if _STATE.fullmatch(k)}
            return {
                "$": "estimator",
                **name,
                "params": {k: self.encode(v, f"{where}.{k}", depth + 1) for k, v in params.items()},
                "state": {k: self.encode(v, f"{where}.{k}", depth + 1) for k, v in state.items()},
            }
        if is_dataclass(value) and kind.__module__.startswith("hybridkp."):
            values = {f.name: getattr(value, f.name) for f in fields(value) if f.init}
            return {
                "$": "dataclass",
                **name,
                "fields": {k: self.encode(v, f"{where}.{k}", depth + 1) for k, v in values.items()},
            }
        raise InputError(f"{where}: a {kind.__module__}.{kind.__qualname__} cannot be saved in a model file")

    def _array(self, array: Any, where: str) -> dict[str, Any]:
        if id(array) in self.seen:
            return self.seen[id(array)]
        if array.dtype.kind in "US" or (
            array.dtype == object and all(isinstance(v, str) for v in array.flat)
        ):
            node = {
                "strings": [str(v) for v in array.flat],
                "shape": list(array.shape),
                "object": array.dtype == object,
            }
        elif array.dtype.kind in "biuf" and array.dtype.itemsize <= 8:
            name = f"a{len(self.arrays)}"
            native = array.astype(array.dtype.newbyteorder("="), copy=False)
            self.arrays[name] = np.ascontiguousarray(native).reshape(array.shape)
            node = {"n": name}
        else:
            raise InputError(f"{where}: an array of dtype {array.dtype} cannot be saved in a model file")
        self.seen[id(array)] = node
        self.keep.append(array)
        return node

    def write_parts(self, file: zipfile.ZipFile) -> None:
        if self.arrays:
            from safetensors.numpy import save

            _add(file, ARRAYS, save(self.arrays))
        if self.estimators:
            from .skopsfile import dump_estimators

            _add(file, SKLEARN, dump_estimators(self.estimators))


# --------------------------------------------------------------------------------------------
# reading
# --------------------------------------------------------------------------------------------


def _open(
    path: str | os.PathLike[str], with_estimators: bool = True
) -> tuple[dict[str, Any], Any, list[Any]]:
    """(manifest, arrays, scikit-learn estimators), every part checked."""
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as file:
            parts = _read_parts(file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such model file; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, not a model file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except _Bad as error:
        raise InputError(f"{path}: {error}") from None
    except Exception:  # zipfile raises half a dozen kinds on damaged files
        raise InputError(f"{path}: not a hybridkp model file, or a truncated one") from None
    try:
        manifest = _manifest(parts.pop(MANIFEST))
        arrays = _arrays(parts.pop(ARRAYS, None))
        estimators: list[Any] = []
        if with_estimators and SKLEARN in parts:
            from .skopsfile import load_estimators

            estimators = load_estimators(parts[SKLEARN])
        return manifest, arrays, estimators
    except (_Bad, InputError) as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:
        raise InputError(f"{path}: damaged model file ({type(error).__name__}: {_line(error)})") from None


def _read_parts(file: zipfile.ZipFile) -> dict[str, bytes]:
    """The bytes of the known members.  Stored members only, so the file's own size bounds them."""
    infos = file.infolist()
    names = [info.filename for info in infos]
    if MANIFEST not in names:
        raise _Bad("a zip, but not a hybridkp model file (no manifest)")
    strange = [n for n in names if n not in (MANIFEST, ARRAYS, SKLEARN)]
    if strange or len(set(names)) != len(names):
        raise _Bad(f"the file has members that do not belong there ({str((strange or names)[0])[:60]!r})")
    if any(
        info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size for info in infos
    ):
        raise _Bad("compressed members are not part of the format")
    if file.getinfo(MANIFEST).file_size > MAX_MANIFEST:
        raise _Bad("the manifest is too large")
    return {name: file.read(name) for name in names}


def _manifest(data: bytes) -> dict[str, Any]:
    def no_constant(text: str) -> Any:
        raise _Bad(f"the manifest holds {text}, which is not JSON")

    try:
        manifest = json.loads(data, parse_constant=no_constant)
    except RecursionError:
        raise _Bad("the manifest is nested too deeply") from None
    except ValueError as error:
        raise error if isinstance(error, _Bad) else _Bad("the manifest is not JSON") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise _Bad("the manifest has no format number")
    if manifest["format"] != FORMAT:
        by = str(manifest.get("hybridkp", "?"))[:20]
        raise _Bad(
            f"model format {manifest['format']} (written by hybridkp {by}); this one reads {FORMAT}: update"
        )
    if "root" not in manifest or "meta" not in manifest:
        raise _Bad("the manifest is incomplete")
    return manifest


def _arrays(data: bytes | None) -> dict[str, Any]:
    if data is None:
        return {}
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        # a copy: safetensors gives read-only views where it can
        return {name: np.array(value) for name, value in load(data).items()}
    except (SafetensorError, ValueError, KeyError, MemoryError) as error:
        raise _Bad(f"the arrays are damaged ({_line(error)})") from None


class _Reader:
    """JSON nodes -> values, by the same small grammar and nothing else."""

    def __init__(self, arrays: dict[str, Any], estimators: list[Any], trusted: Sequence[type]) -> None:
        self.arrays, self.estimators = arrays, estimators
        self.trusted = {(c.__module__, c.__qualname__): c for c in trusted}

    def decode(self, node: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise _Bad("the manifest is nested too deeply")
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        if isinstance(node, list):
            return [self.decode(v, depth + 1) for v in node]
        kind = node.get("$")
        if kind == "tuple" and isinstance(node["v"], list):
            return tuple(self.decode(v, depth + 1) for v in node["v"])
        if kind == "dict":
            return self._values(node["v"], depth)
        if kind == "float" and node["v"] in ("nan", "inf", "-inf"):
            return float(node["v"])
        if kind == "array":
            array = self._array(node)
            return array[()] if node.get("scalar") else array
        if kind == "sklearn":
            if type(node["n"]) is not int or not 0 <= node["n"] < len(self.estimators):
                raise _Bad("a scikit-learn part is missing")
            return self.estimators[node["n"]]
        if kind == "estimator":
            return self._estimator(node, depth)
        if kind == "dataclass":
            cls = self._class(node)
            if not is_dataclass(cls):
                raise _Bad(f"{node['class']} is not a dataclass of hybridkp")
            return cls(**self._values(node["fields"], depth))
        raise _Bad(f"unknown kind of value {str(kind)[:40]!r}")

    def _values(self, nodes: Any, depth: int) -> dict[str, Any]:
        if not isinstance(nodes, dict):
            raise _Bad("a table of values is not a table")
        return {k: self.decode(v, depth + 1) for k, v in nodes.items()}

    def _array(self, node: dict[str, Any]) -> Any:
        if "strings" in node:
            if not all(isinstance(v, str) for v in node["strings"]):
                raise _Bad("an array of strings holds something else")
            return np.array(node["strings"], object if node.get("object") else str).reshape(node["shape"])
        if node["n"] not in self.arrays:
            raise _Bad(f"the array {str(node['n'])[:40]!r} is missing")
        return self.arrays[node["n"]]

    def _class(self, node: dict[str, Any]) -> Any:
        """A class of ours by name: found in our own package, defined there, of the right kind."""
        from importlib import import_module
        from importlib.util import find_spec

        from sklearn.base import BaseEstimator

        module, name = node["module"], node["class"]
        if (module, name) in self.trusted:
            return self.trusted[module, name]
        text = ascii(f"{str(module)[:60]}.{str(name)[:60]}")
        if not (isinstance(module, str) and isinstance(name, str)):
            raise _Bad("a class name is not a string")
        if not (_MODULE.fullmatch(module) and _NAME.fullmatch(name)) or module in _FORBIDDEN_MODULES:
            raise _Bad(f"names {text}, which is not a class of hybridkp: refused")
        try:
            known = find_spec(module) is not None
        except ModuleNotFoundError:
            known = False
        cls = vars(import_module(module)).get(name) if known else None
        ours = isinstance(cls, type) and cls.__module__ == module
        if not ours or not (issubclass(cls, BaseEstimator) or is_dataclass(cls)):
            raise _Bad(f"names {text}, which this hybridkp {__version__} does not have")
        return cls

    def _estimator(self, node: dict[str, Any], depth: int) -> Any:
        from sklearn.base import BaseEstimator

        cls = self._class(node)
        if not issubclass(cls, BaseEstimator):
            raise _Bad(f"{node['class']} is not an estimator")
        params, state = self._values(node["params"], depth), self._values(node["state"], depth)
        unknown = set(params) - set(cls._get_param_names())
        if unknown:
            raise _Bad(f"{node['class']} has no parameter {min(unknown)[:40]!r}")
        estimator = cls(**params)
        if hasattr(estimator, "_set_state"):
            if state:
                estimator._set_state(state)
            return estimator
        for name, value in state.items():
            if not _STATE.fullmatch(name):
                raise _Bad(f"{name[:40]!r} is not a fitted attribute")
            setattr(estimator, name, value)
        return estimator
