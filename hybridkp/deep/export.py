"""Trained networks to ONNX, decoding included, for OpenCV's and ONNX Runtime's engines.

One static graph per model: input ``image`` (1, C, H, W) float32 in 0..255, grey or BGR, outputs
``xy`` (1, K, 2) in crop px and ``score`` (1, K).  Nothing here runs a model.
"""

from __future__ import annotations

import copy
import io
import warnings
from typing import Any

import torch
from torch import nn

from ..files import write_atomic
from ..structures import InputError


def export_onnx(
    module: nn.Module, size_chw: tuple[int, int, int], path: Any = None, opset: int = 17
) -> bytes:
    """The model as bytes; also written to ``path`` (atomically) when given.

    Opset 13 to 17: what OpenCV 4.14 and 5.0 and every ONNX Runtime of the last years read.
    """
    if not 13 <= opset <= 17:
        raise InputError(f"opset must lie in 13..17, got {opset}")
    data = trace(module, {"image": torch.zeros(1, *size_chw)}, opset)
    if path is not None:
        write_atomic(path, data)
    return data


def trace(
    module: nn.Module,
    inputs: dict[str, torch.Tensor],
    opset: int = 17,
    outputs: tuple[str, ...] = ("xy", "score"),
    free: dict[str, dict[int, str]] | None = None,
) -> bytes:
    """A module as ONNX bytes; ``inputs`` name and size its arguments, ``outputs`` name what it gives.

    ``free`` names the axes of either that may have any length.
    """
    module = copy.deepcopy(module).cpu().eval()
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of sizes that are constants here by design
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            buffer,  # type: ignore[arg-type]
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=free,
            opset_version=opset,
            dynamo=False,
        )
    return buffer.getvalue()
