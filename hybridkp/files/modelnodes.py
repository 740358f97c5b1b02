"""The grammar of a model file's tree: values to JSON nodes and back.

:class:`Writer` knows every kind of value that has a place in the format, :class:`Reader` builds
these and nothing else.  Bytes and paths never come here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast

import numpy as np

from .. import __version__
from ..structures import InputError, Parameters, Stateful, parameter_names, supports
from .doors import door_of, open_door
from .estimators import build, take_apart

MAX_DEPTH = 60

_PACKAGE = __name__.split(".")[0]
_STATE = re.compile(r"[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?_")


class FormatError(ValueError):
    """The file breaks the format; the message lacks the path."""


class Writer:
    """Values -> JSON nodes; arrays go to their own part, scikit-learn's estimators to their own table."""

    def __init__(self) -> None:
        self.arrays: dict[str, Any] = {}
        self.estimators: list[Any] = []  # nodes of scikit-learn's, each once, those inside first
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
                name, params, state = take_apart(value)
                node = {
                    "class": name,
                    "params": self.encode(params, f"{where}.{name}", depth + 1)["v"],
                    "state": self.encode(state, f"{where}.{name}", depth + 1)["v"],
                }
                self.seen[id(value)] = {"$": "sklearn", "n": len(self.estimators)}
                self.estimators.append(node)
                self.keep.append(value)
            return self.seen[id(value)]
        if isinstance(value, BaseEstimator | Parameters):
            params = value.get_params(deep=False)
            if supports(value, Stateful):
                state = cast(Stateful, value).get_state()
            else:
                state = {k: v for k, v in vars(value).items() if _STATE.fullmatch(k)}
            return {
                "$": "estimator",
                "class": door_of(kind),
                "params": {k: self.encode(v, f"{where}.{k}", depth + 1) for k, v in params.items()},
                "state": {k: self.encode(v, f"{where}.{k}", depth + 1) for k, v in state.items()},
            }
        if is_dataclass(value) and kind.__module__.startswith("hybridkp."):
            values = {f.name: getattr(value, f.name) for f in fields(value) if f.init}
            return {
                "$": "dataclass",
                "class": door_of(kind),
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


class Reader:
    """JSON nodes -> values, by the same small grammar and nothing else."""

    def __init__(self, arrays: dict[str, Any], estimators: Any = (), trusted: Sequence[type] = ()) -> None:
        self.arrays = arrays
        self.trusted = {door_of(c): c for c in trusted}
        self.estimators: list[Any] = []
        for node in estimators:  # each may hold those before it
            params, state = self._values(node["params"], 1), self._values(node["state"], 1)
            self.estimators.append(build(node["class"], params, state))

    def decode(self, node: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise FormatError("the manifest is nested too deeply")
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
                raise FormatError("a scikit-learn part is missing")
            return self.estimators[node["n"]]
        if kind == "estimator":
            return self._estimator(node, depth)
        if kind == "dataclass":
            made: Any = self._class(node)
            if is_estimator(made) or not is_dataclass(made):  # one that may not be made: see _estimator
                raise FormatError(f"{node['class']} is not a dataclass of hybridkp")
            return made(**self._values(node["fields"], depth))  # type: ignore[operator]
        raise FormatError(f"unknown kind of value {str(kind)[:40]!r}")

    def _values(self, nodes: Any, depth: int) -> dict[str, Any]:
        if not isinstance(nodes, dict):
            raise FormatError("a table of values is not a table")
        return {k: self.decode(v, depth + 1) for k, v in nodes.items()}

    def _array(self, node: dict[str, Any]) -> Any:
        if "strings" in node:
            if not all(isinstance(v, str) for v in node["strings"]):
                raise FormatError("an array of strings holds something else")
            return np.array(node["strings"], object if node.get("object") else str).reshape(node["shape"])
        if node["n"] not in self.arrays:
            raise FormatError(f"the array {str(node['n'])[:40]!r} is missing")
        return self.arrays[node["n"]]

    def _class(self, node: dict[str, Any]) -> Any:
        """A class that was given as trusted, or one of ours by its public door, of the right kind."""
        door = node["class"]
        if not isinstance(door, str):
            raise FormatError("a class name is not a string")
        if door in self.trusted:
            return self.trusted[door]
        text = ascii(door[:120])
        if not door.startswith(f"{_PACKAGE}."):
            raise FormatError(f"names {text}, which is not a class of hybridkp: refused")
        cls = open_door(door)
        if not (isinstance(cls, type) and (is_estimator(cls) or is_dataclass(cls))):
            raise FormatError(f"names {text}, which this hybridkp {__version__} does not have")
        return cls

    def _estimator(self, node: dict[str, Any], depth: int) -> Any:
        cls = self._class(node)
        if not is_estimator(cls):
            raise FormatError(f"{node['class']} is not an estimator")
        if getattr(cls, "runs_programs", False) and node["class"] not in self.trusted:
            raise FormatError(
                f"holds a {cls.__name__}, which runs a program: if you trust whoever wrote the file,"
                f" load_model(path, trusted=[{cls.__name__}])"
            )
        params, state = self._values(node["params"], depth), self._values(node["state"], depth)
        unknown = set(params) - set(parameter_names(cls))
        if unknown:
            raise FormatError(f"{node['class']} has no parameter {min(unknown)[:40]!r}")
        estimator = cls(**params)
        if supports(estimator, Stateful):
            if state:
                estimator.set_state(state)
            return estimator
        for name, value in state.items():
            if not _STATE.fullmatch(name):
                raise FormatError(f"{name[:40]!r} is not a fitted attribute")
            setattr(estimator, name, value)
        return estimator


def is_estimator(cls: type) -> bool:
    from sklearn.base import BaseEstimator

    return issubclass(cls, BaseEstimator | Parameters)
