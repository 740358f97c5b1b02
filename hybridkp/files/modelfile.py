"""The model file: a fitted estimator in one zip, without pickle.

``manifest.json`` holds a tree of plain values, ``arrays.safetensors`` the arrays.  Reading builds nothing
but hybridkp's own classes by their public doors, NumPy arrays, and a short list of scikit-learn's
estimators whose tables are checked (``estimators.py``); no code comes from the file.
"""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import __version__
from ..imaging.images import MIN_SIDE
from ..structures import MAX_CROP, InputError
from .arrays import dump_arrays, load_arrays
from .atomic import atomic_path
from .modelnodes import FormatError, Reader, Writer, is_estimator
from .zipped import file_bytes, members

FORMAT = 1  #: a promise: format 1 stays readable
MANIFEST, ARRAYS = "manifest.json", "arrays.safetensors"
MAX_MANIFEST = 64 * 2**20


def save_model(estimator: Any, path: str | os.PathLike[str], meta: dict[str, Any] | None = None) -> None:
    """Write a hybridkp estimator (fitted or not) to one file.

    Stored are its parameters and its fitted state: every attribute that ends in one ``_``, or
    what its ``get_state()`` gives.  ``meta`` (plain values: landmarks, skeleton, margin, ...) is
    read back with :func:`read_meta`.

    Raises
    ------
    InputError
        When something in it has no place in the format (a function, a generator, an estimator
        from elsewhere), or the file cannot be written.
    """
    writer = Writer()
    root = writer.encode(estimator, type(estimator).__name__, 0)
    manifest = {
        "format": FORMAT,
        "hybridkp": __version__,
        "meta": writer.encode(meta or {}, "meta", 0),
        "root": root,
        "estimators": writer.estimators,
    }
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
        if writer.arrays:
            _add(file, ARRAYS, dump_arrays(writer.arrays))
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
    manifest, arrays = _open(path)
    try:
        model = Reader(arrays, manifest["estimators"], trusted).decode(manifest["root"], 0)
        if not is_estimator(type(model)):
            raise FormatError("holds no estimator")
        _try(model)
        return model
    except (FormatError, InputError) as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # a hostile tree can make any constructor of ours complain
        raise InputError(f"{path}: damaged model file ({type(error).__name__}: {_line(error)})") from None


def read_meta(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The ``meta`` that was given to :func:`save_model`."""
    manifest, arrays = _open(path)
    try:
        meta = Reader(arrays).decode(manifest["meta"], 0)
    except (FormatError, InputError) as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # as in load_model
        raise InputError(f"{path}: damaged model file ({type(error).__name__}: {_line(error)})") from None
    if not isinstance(meta, dict):
        raise InputError(f"{path}: damaged model file (meta is not a dict)")
    return meta


def _try(model: Any) -> None:
    """Ask a fitted detector about a blank crop: parts that do not fit together show now, not in use."""
    size = getattr(model, "size_hw_", None)
    if not hasattr(model, "predict_with_score"):
        return
    if size is None:
        ours = type(model).__module__.startswith("hybridkp.")
        if ours and any(name.endswith("_") for name in vars(model)):
            raise FormatError("what was learned is incomplete (size_hw_)")
        return
    height, width = (int(n) for n in size)
    if not (MIN_SIDE <= height <= MAX_CROP and MIN_SIDE <= width <= MAX_CROP):
        raise FormatError(f"crops of {height} x {width} px cannot be")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            xy, score = model.predict_with_score(np.zeros((1, height, width, 3), np.uint8))
        except InputError:  # its own words, and no surprise in use: it may want more than a picture
            return
    if np.shape(xy)[:1] != (1,) or np.shape(xy)[2:] != (2,) or np.shape(score) != np.shape(xy)[:2]:
        raise FormatError("its predictions are no points")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _add(file: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # the same model gives the same bytes
    file.writestr(info, data)


def _open(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Any]:
    """(manifest, arrays), each checked."""
    data = file_bytes(path, "model file", "check the path")
    try:
        parts = members(data)
    except ValueError as error:
        raise InputError(f"{path}: not a hybridkp model file: {_line(error)}") from None
    except Exception:  # zipfile raises half a dozen kinds on damaged files
        raise InputError(f"{path}: not a hybridkp model file, or a truncated one") from None
    try:
        manifest = _manifest(_known(parts))
        return manifest, _arrays(parts.get(ARRAYS))
    except (FormatError, InputError) as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:
        raise InputError(f"{path}: damaged model file ({type(error).__name__}: {_line(error)})") from None


def _known(parts: dict[str, bytes]) -> bytes:
    """The manifest, of no other members than ours."""
    if MANIFEST not in parts:
        raise FormatError("a zip, but not a hybridkp model file (no manifest)")
    strange = [name for name in parts if name not in (MANIFEST, ARRAYS)]
    if strange:
        raise FormatError(f"the file has members that do not belong there ({strange[0][:60]!r})")
    if len(parts[MANIFEST]) > MAX_MANIFEST:
        raise FormatError("the manifest is too large")
    return parts[MANIFEST]


def _manifest(data: bytes) -> dict[str, Any]:
    def no_constant(text: str) -> Any:
        raise FormatError(f"the manifest holds {text}, which is not JSON")

    try:
        manifest = json.loads(data, parse_constant=no_constant)
    except RecursionError:
        raise FormatError("the manifest is nested too deeply") from None
    except ValueError as error:
        raise error if isinstance(error, FormatError) else FormatError("the manifest is not JSON") from None
    if isinstance(manifest, dict) and "runtime" in manifest:
        raise FormatError("a runtime file, for hybridkp.runtime.load: give the model it was exported from")
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise FormatError("the manifest has no format number")
    if manifest["format"] != FORMAT:
        by = str(manifest.get("hybridkp", "?"))[:20]
        raise FormatError(
            f"model format {manifest['format']} (written by hybridkp {by}); this one reads {FORMAT}: update"
        )
    if not {"root", "meta", "estimators"} <= manifest.keys():
        raise FormatError("the manifest is incomplete")
    return manifest


def _arrays(data: bytes | None) -> dict[str, Any]:
    try:
        return {} if data is None else load_arrays(data)[0]
    except (ValueError, MemoryError) as error:
        raise FormatError(f"the arrays are damaged ({_line(error)})") from None
