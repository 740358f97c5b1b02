"""A detector as an ONNX graph that also tells its stages and its maps, for the page that has no server.

A crop (1, 3, S, S) float32 goes in; ``stages`` (T, K, 2), ``score`` (K,) and, where a part of the detector
has score maps, ``maps`` (K, h, w) come out.  The operators are those of exported files; only what is shown
on the way is added.  Needs the onnx package; nothing is run here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper

from ..explain.evidence import STRIDE, inside
from ..runtime.builder import OPSET, Crop, Graph, Tensor, declared, emit
from ..runtime.export import crops_node
from ..runtime.onnx_export import BESIDE
from ..structures import MapsNode, stages_of, supports


def staged_graph(detector: Any) -> tuple[bytes, list[str]]:
    """The graph of a fitted detector, and the names of its stages.

    Raises
    ------
    InputError
        For a part that has no ONNX form, by its name.
    """
    h, w = (int(v) for v in detector.size_hw_)
    blank = np.zeros((1, h, w, 3), np.uint8)
    names = [stage.name for stage in stages_of(detector, blank, "points")]
    node = crops_node(detector)
    nodes = list(_stages(node))
    if len(nodes) != len(names):  # a detector whose stages lie deeper than its node tells
        nodes, names = [node], names[-1:]
    g = Graph()
    image = Tensor(g, "image", np.float32)
    crop = Crop(image.reshape(3, h, w), (h, w))
    found = [emit(stage, crop) for stage in nodes]
    k = len(detector.predict(blank)[0])
    out = {"stages": (g.stack([xy for xy, _ in found], 0), [len(found), k, 2]), "score": (found[-1][1], [k])}
    part = next((part for _, part in inside(detector) if supports(part, MapsNode)), None)
    if part is not None:
        tensor = crop.maps(part.maps_node(STRIDE))
        out["maps"] = (tensor.reshape(k, h // STRIDE, w // STRIDE), [k, h // STRIDE, w // STRIDE])
    for name, (tensor, _) in out.items():
        g.name(tensor, name)
    g.nodes = _once(g.nodes)
    outputs = [declared(name, np.float32, shape) for name, (_, shape) in out.items()]
    graph = g.finish("classroom", [declared("image", np.float32, [1, 3, h, w])], outputs)
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="hybridkp"
    )
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString(), names


def _stages(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The nodes of a detector that stops after each of its stages, in order; the last is the detector."""
    if node["kind"] == "landmarks.fast_cascade":
        yield from _stages(node["start"])
        for n in range(len(node["stages"])):
            yield {**node, "stages": node["stages"][: n + 1]}
        return
    if node["kind"] == "fusion.refined":
        yield from _stages(node["detector"])
    if node["kind"] in BESIDE:  # the last points are the detector's own
        *earlier, _ = _stages(node["detector"])
        yield from earlier
    yield node


def _once(nodes: list[Any]) -> list[Any]:
    """Operators that compute the same are kept once: stages share what comes before them."""
    same: dict[str, str] = {}
    known: dict[Any, list[str]] = {}
    out = []
    for node in nodes:
        node.input[:] = [same.get(name, name) for name in node.input]
        about = sorted(a.SerializeToString() for a in node.attribute)
        key = (node.op_type, tuple(node.input), tuple(about), len(node.output))
        if key in known and node.op_type != "Identity":
            same.update(zip(node.output, known[key], strict=True))
        else:
            known[key] = list(node.output)
            out.append(node)
    return out
