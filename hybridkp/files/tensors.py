"""One safetensors file with arrays as tensors and everything else as JSON in its metadata.

The grammar that stored answers share; what the entries mean is the business of
:mod:`.predictions` and :mod:`.matched`.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..structures import Array, InputError
from .atomic import write_atomic

Built = TypeVar("Built")


def save_tensors(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    arrays: Mapping[str, Array],
    rest: Mapping[str, Any],
) -> None:
    """Write ``arrays`` and the plain values ``rest`` under the name ``kind``, whole or not at all."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    meta = {"format": str(version), kind: json.dumps(dict(rest), default=_plain)}
    write_atomic(path, save(tensors, metadata=meta))


def load_tensors(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    build: Callable[[dict[str, Array], dict[str, Any]], Built],
) -> Built:
    """``build(arrays, rest)`` of a file of :func:`save_tensors`; :class:`InputError` for any other file.

    Whatever ``build`` says about missing or misshapen entries is reported as damage to the file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        data = Path(path).read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])["__metadata__"]
        found = int(header["format"])
        rest: dict[str, Any] = json.loads(header[kind])
        if found != version:
            raise InputError(f"format {found} of {kind}, this hybridkp reads {version}; update it")
        return build(load(data), rest)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (
        *(SafetensorError, ValueError, TypeError, KeyError, IndexError, AttributeError),
        *(struct.error, RecursionError, MemoryError),
    ):
        raise InputError(f"{path}: not a {kind} file, or a damaged one; delete it and run again") from None


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays as JSON; anything else by its repr (parameters are for reading)."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return repr(value)
