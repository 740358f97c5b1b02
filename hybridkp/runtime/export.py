"""From a fitted detector to a runtime file: one zip with a JSON tree, arrays and ONNX graphs.

A detector takes part by a method ``runtime_node()`` that gives a tree of plain values, NumPy
arrays and ONNX bytes; which kinds of node can be run is said in ``nodes.py``.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..files import atomic_path
from ..files.arrays import dump_arrays
from ..structures import InputError
from .values import FORMAT, PICTURES, WHOLE


def export_runtime(model: Any, path: str | os.PathLike[str], meta: Mapping[str, Any] | None = None) -> Path:
    """Write ``model`` for :func:`hybridkp.runtime.load`.

    Parameters
    ----------
    model : a fitted detector of a kind that the runtime knows
    meta : ``landmarks``, ``margin`` and whatever else the application wants to read back; as
        :func:`hybridkp.files.read_meta` gives it for a model file

    Raises
    ------
    InputError
        When the model, or a member of it, cannot run without scikit-learn or torch, and for a name that
        does not end in .hkr, by which :func:`hybridkp.evaluate.predict` knows a runtime file.
    """
    if Path(path).suffix.lower() != ".hkr":
        raise InputError(f"{path}: call a runtime file .hkr; an .onnx file is written by export_onnx")
    tree = fitted_node(model)
    arrays: dict[str, Any] = {}
    graphs: dict[str, bytes] = {}
    manifest = {
        "runtime": FORMAT,
        "hybridkp": __version__,
        "size_hw": [int(v) for v in model.size_hw_],
        "meta": dict(meta or {}),
        "root": _strip(tree, arrays, graphs),
    }
    try:
        text = json.dumps(manifest, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"meta must hold plain values that JSON knows: {error}") from None
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
        file.writestr("manifest.json", text)
        file.writestr("arrays.safetensors", dump_arrays(arrays))
        for name, graph in graphs.items():
            file.writestr(name, graph)
    return Path(path)


def fitted_node(model: Any) -> Any:
    """The tree of a fitted detector that can run without scikit-learn and torch.

    Raises
    ------
    InputError
        For another one, by the part's name.
    """
    try:
        return model.runtime_node()
    except AttributeError as error:
        lacking = type(error.obj).__name__
        if error.name not in ("runtime_node", "maps_node"):
            raise InputError(f"{lacking} is not fitted: only a trained detector can be exported") from None
        raise InputError(
            f"{lacking} cannot be exported to the runtime: use its model file with load_model"
        ) from None


def crops_node(model: Any) -> Any:
    """:func:`fitted_node` of a detector of crops; a model with a finder of its own is refused."""
    node = refuse_pictures(fitted_node(model))
    if node["kind"] == WHOLE:
        raise InputError(
            "finds objects itself, and such a file takes crops: give the size of whole pictures (--picture"
            " 480x640), or export to a .hkr file"
        )
    return node


def refuse_pictures(node: Any) -> Any:
    """The node, of anything but a method that begins with whole pictures, which groups in NumPy."""
    if node["kind"] == PICTURES:
        raise InputError("begins with whole pictures, and has no ONNX form: export to a .hkr file instead")
    return node


def _strip(node: Any, arrays: dict[str, Any], graphs: dict[str, bytes]) -> Any:
    """The tree with arrays and graphs replaced by their names."""
    if isinstance(node, np.ndarray):
        name = f"a{len(arrays)}"
        columns = node.ndim == 2 and node.flags.f_contiguous and not node.flags.c_contiguous
        arrays[name] = np.ascontiguousarray(node.T if columns else node)
        return {"$array": name, "columns": columns}  # products in another order round differently
    if isinstance(node, bytes):
        name = f"graph{len(graphs)}.onnx"
        graphs[name] = node
        return {"$graph": name}
    if isinstance(node, Mapping):
        return {str(k): _strip(v, arrays, graphs) for k, v in node.items()}
    if isinstance(node, list | tuple):
        return [_strip(v, arrays, graphs) for v in node]
    if isinstance(node, np.generic):
        return node.item()
    return node
