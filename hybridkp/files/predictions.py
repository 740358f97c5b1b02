"""Predictions on disk: one safetensors file per method and seed, written whole or not at all.

Arrays are tensors, everything else is JSON in the metadata.  No metric is stored here.
"""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

from ..structures import Array, Predictions
from .records import check_kinds, load_tensors, save_tensors

PREDICTIONS_FORMAT = 1
_ARRAYS = ("xy", "score", "instance", "seconds")
_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("method", "dataset", "fingerprint", "split", "host", "fit_host"), str),
    **dict.fromkeys(("params", "versions", "history"), dict),
    **dict.fromkeys(("seed", "model_bytes", "peak_bytes"), int),
    **dict.fromkeys(("fit_seconds", "load", "fit_load"), (int, float)),
    "names": list,
}


def save_predictions(predictions: Predictions, path: str | os.PathLike[str]) -> None:
    """One safetensors file: the arrays as tensors, everything else as JSON in its metadata."""
    arrays = {name: getattr(predictions, name) for name in _ARRAYS}
    rest = {f.name: getattr(predictions, f.name) for f in fields(predictions) if f.name not in _ARRAYS}
    save_tensors(path, "predictions", PREDICTIONS_FORMAT, arrays, rest)


def load_predictions(path: str | os.PathLike[str]) -> Predictions:
    """The inverse of :func:`save_predictions`; :class:`InputError` for any other file."""
    return load_tensors(path, "predictions", PREDICTIONS_FORMAT, _built)


def _built(arrays: dict[str, Array], rest: dict[str, Any]) -> Predictions:
    unknown = {"load": float("nan"), "fit_load": float("nan"), "host": "", "fit_host": ""}
    rest = {**unknown, **rest}  # older files have none
    check_kinds(rest, _KINDS)
    rest["names"] = tuple(str(name) for name in rest["names"])
    rest |= {name: arrays[name] for name in _ARRAYS}
    return Predictions(**rest)
