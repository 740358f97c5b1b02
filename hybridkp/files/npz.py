"""NumPy's .npz of plain arrays, written, and read without running anything that a file may hold.

Headers are looked at before memory is asked for.  What the arrays mean is the business of those who ask.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import Array, InputError
from .atomic import write_atomic

MAX_BYTES = 1 << 31  #: that the arrays of an npz may take


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """An npz of plain arrays, whole or not at all."""
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    write_atomic(path, data.getvalue())


def read_npz(path: str | os.PathLike[str], names: tuple[str, ...]) -> dict[str, Array]:
    """The arrays of these names that the npz has; their headers are looked at before memory is asked for."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; give an .npz")
    try:
        with zipfile.ZipFile(path) as file:
            sizes = [i.file_size for i in file.infolist() if i.filename.removesuffix(".npy") in names]
            if sum(sizes) > MAX_BYTES:
                raise InputError(f"{path}: its arrays take over {MAX_BYTES >> 30} GB")
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in names if name in file.files}
    except InputError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        what = " ".join(str(error).split())[:80]
        raise InputError(f"{path}: no .npz of plain arrays ({what})") from None
    except Exception as error:  # NumPy's header parser: tokenize's and struct's own errors
        raise InputError(f"{path}: no .npz of plain arrays ({type(error).__name__})") from None
