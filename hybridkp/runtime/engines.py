"""An ONNX graph as a function of arrays, on ONNX Runtime or on OpenCV's own engine.

Graphs have static shapes.  Which engine gives better speed depends on the network; see
``benchmarks/runtime.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ..imaging.images import to_grey
from ..structures import Array, InputError

ENGINES = ("auto", "onnxruntime", "cv2.dnn")

Ask = Callable[..., list[Array]]  #: one array per input -> one array per output


def planes(picture: Array, channels: int) -> Array:
    """A crop (H, W) or BGR (H, W, 3) as a graph takes it: (1, channels, H, W) float32 in 0..255."""
    if channels == 1:
        return to_grey(picture)[None, None].astype(np.float32)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], channels, 2)
    return np.ascontiguousarray(np.moveaxis(picture, 2, 0)[None], np.float32)


def open_graph(graph: bytes, engine: str, inputs: list[str], outputs: list[str]) -> Ask:
    """The graph, ready to run; "auto" is ONNX Runtime where it is installed, else ``cv2.dnn``.

    Raises
    ------
    InputError
        When the engine is unknown, not installed, or cannot run the graph.
    """
    if engine not in ENGINES:
        raise InputError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    if not isinstance(graph, bytes):
        raise TypeError("a graph is missing")
    if engine != "cv2.dnn":
        try:
            return _on_onnxruntime(graph, inputs, outputs)
        except ImportError:
            if engine == "onnxruntime":
                raise InputError("onnxruntime is not installed: use engine='cv2.dnn'") from None
    return _on_opencv(graph, inputs, outputs)


def _on_onnxruntime(graph: bytes, inputs: list[str], outputs: list[str]) -> Ask:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, cv2.getNumThreads())
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base
        raise InputError(f"holds a network that ONNX Runtime cannot read ({type(error).__name__})") from None

    def ask(*values: Array) -> list[Array]:
        found: list[Array] = session.run(outputs, dict(zip(inputs, values, strict=True)))
        return found

    return ask


def _on_opencv(graph: bytes, inputs: list[str], outputs: list[str]) -> Ask:
    try:
        net = cv2.dnn.readNetFromONNX(np.frombuffer(graph, np.uint8))
    except cv2.error:
        raise InputError(
            f"holds a network that cv2.dnn {cv2.__version__} cannot read: install onnxruntime"
        ) from None
    names = list(net.getUnconnectedOutLayersNames())  # 4.x puts its own names on some of them
    if set(outputs) <= set(names):
        names = outputs

    def ask(*values: Array) -> list[Array]:
        for name, value in zip(inputs, values, strict=True):
            net.setInput(value, name)
        try:
            # OpenCV gives its own buffers, which the next call overwrites
            found = [np.array(value) for value in net.forward(names)]
        except cv2.error:
            raise InputError(
                f"cv2.dnn {cv2.__version__} cannot run this network: install onnxruntime"
            ) from None
        return found if names is outputs else sorted(found, key=np.size, reverse=True)  # xy is the larger

    return ask
