"""Predictions on disk: one safetensors file per method and seed, written whole or not at all.

Arrays are tensors, everything else is JSON in the metadata.  No metric is stored here.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import InputError, Predictions
from .atomic import write_atomic

PREDICTIONS_FORMAT = 1
_ARRAYS = ("xy", "score", "instance", "seconds")


def save_predictions(predictions: Predictions, path: str | os.PathLike[str]) -> None:
    """One safetensors file: the arrays as tensors, everything else as JSON in its metadata."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(getattr(predictions, name)) for name in _ARRAYS}
    rest = {f.name: getattr(predictions, f.name) for f in fields(predictions) if f.name not in _ARRAYS}
    meta = {"format": str(PREDICTIONS_FORMAT), "predictions": json.dumps(rest, default=_plain)}
    write_atomic(path, save(arrays, metadata=meta))


def load_predictions(path: str | os.PathLike[str]) -> Predictions:
    """The inverse of :func:`save_predictions`; :class:`InputError` for any other file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        data = Path(path).read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])["__metadata__"]
        version = int(header["format"])
        if version != PREDICTIONS_FORMAT:
            raise InputError(f"{path}: format {version} of predictions, this hybridkp reads 1; update it")
        rest: dict[str, Any] = json.loads(header["predictions"])
        rest["names"] = tuple(rest["names"])
        arrays = load(data)
        rest |= {name: arrays[name] for name in _ARRAYS}
        return Predictions(**rest)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except InputError as error:
        raise InputError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from None
    except (SafetensorError, ValueError, TypeError, KeyError, struct.error, RecursionError, MemoryError):
        raise InputError(
            f"{path}: not a predictions file, or a damaged one; delete it and run again"
        ) from None


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays as JSON; anything else by its repr (parameters are for reading)."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return repr(value)
