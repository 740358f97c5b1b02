"""Networks of a runtime file's tree with convolutions in 8 bits: static quantisation by ONNX Runtime's tools.

Weights by output channel, activations by the range that they have on given crops; decoding and everything
that is not a convolution stays in float32, and so does the first convolution, whose few channels fill no
8-bit product: in float32 it is as quick.  Needs onnx and onnxruntime.  Whether the result is good
enough is not judged here (see :mod:`hybridkp.evaluate.int8`).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from ..structures import Array
from .nodes import planes


class Pictures(CalibrationDataReader):  # type: ignore[misc]  # a class without types
    """Crops (B, H, W, 3), one after the other, as a network takes them."""

    def __init__(self, crops: Array, channels: int) -> None:
        self.left: Iterator[dict[str, Array]] = iter([{"image": planes(crop, channels)} for crop in crops])

    def get_next(self) -> dict[str, Array] | None:
        return next(self.left, None)


def in_8_bits(node: Any, crops: Array) -> Any:
    """The tree with every network that sees crops quantised on ``crops`` (B, H, W, 3) uint8.

    Networks that see patches (a refiner's) stay as they are.
    """
    if isinstance(node, dict):
        made = {name: in_8_bits(value, crops) for name, value in node.items()}
        if "graph" in node and "channels" in node:
            made["graph"] = _quantised(node["graph"], Pictures(crops, node["channels"]))
        return made
    return [in_8_bits(value, crops) for value in node] if isinstance(node, list) else node


def n_networks(node: Any) -> int:
    """How many networks of a tree :func:`in_8_bits` changes."""
    if isinstance(node, dict):
        own = int("graph" in node and "channels" in node)
        return own + sum(n_networks(value) for value in node.values())
    return sum(n_networks(value) for value in node) if isinstance(node, list) else 0


def _quantised(graph: bytes, pictures: Pictures) -> bytes:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the tools recommend what was done
    try:
        with tempfile.TemporaryDirectory() as folder:
            plain, ready, small = (Path(folder) / f"{name}.onnx" for name in ("plain", "ready", "small"))
            plain.write_bytes(graph)
            quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
            convolutions = [node.name for node in onnx.load(ready).graph.node if node.op_type == "Conv"]
            quantize_static(
                str(ready),
                str(small),
                pictures,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv", "Relu"],  # a rectifier is the range of the numbers before it
                nodes_to_exclude=convolutions[:1],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            return small.read_bytes()
    finally:
        logging.disable(before)
