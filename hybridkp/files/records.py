"""One safetensors file with arrays as tensors and everything else as JSON in its metadata.

The grammar that stored results share; what the entries mean is the business of
:mod:`.predictions` and :mod:`.matched`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..structures import Array, InputError
from .arrays import dump_arrays, load_arrays
from .atomic import write_atomic

Built = TypeVar("Built")
_SEAL = "sha256"


def save_tensors(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    arrays: Mapping[str, Array],
    rest: Mapping[str, Any],
) -> None:
    """Write ``arrays`` and the plain values ``rest`` under the name ``kind``, whole or not at all."""
    meta = {"format": str(version), kind: json.dumps(dict(rest), default=_plain)}
    write_atomic(path, dump_arrays(arrays, meta | {_SEAL: _seal(arrays, meta)}))


def load_tensors(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    build: Callable[[dict[str, Array], dict[str, Any]], Built],
) -> Built:
    """``build(arrays, rest)`` of a file of :func:`save_tensors`; :class:`InputError` for any other file.

    Whatever ``build`` says about missing or misshapen entries is reported as damage to the file.
    """
    try:
        arrays, meta = load_arrays(Path(path).read_bytes())
        seal = meta.pop(_SEAL, None)  # older files have none
        if seal is not None and seal != _seal(arrays, meta):
            raise ValueError("other bytes than were written")
        found = int(meta["format"])
        rest: dict[str, Any] = json.loads(meta[kind])
        if found != version:
            raise InputError(f"format {found} of {kind}, this hybridkp reads {version}; update it")
        return build(arrays, rest)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError):
        raise InputError(f"{path}: not a {kind} file, or a damaged one; delete it and run again") from None


def check_kinds(rest: Mapping[str, Any], kinds: Mapping[str, type | tuple[type, ...]]) -> None:
    """TypeError for an entry of another type than ``kinds`` says; a bool is no number here.

    ValueError for a whole number that no counter of ours holds.
    """
    for name, kind in kinds.items():
        if not isinstance(rest[name], kind) or isinstance(rest[name], bool):
            raise TypeError(name)
        if isinstance(rest[name], int) and not -(2**63) <= rest[name] < 2**63:
            raise ValueError(name)


def _seal(arrays: Mapping[str, Array], meta: Mapping[str, str]) -> str:
    """What tells bytes that a disk or a copy has changed; the layout itself has no check."""
    return hashlib.sha256(dump_arrays(arrays, meta)).hexdigest()


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays as JSON; anything else by its repr (parameters are for reading)."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return repr(value)
