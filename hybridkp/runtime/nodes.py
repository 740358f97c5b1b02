"""From a node of a runtime file to a function of one crop, grey or BGR.

A node is a dict of plain values, arrays and ONNX bytes, as the estimators' ``runtime_node()`` gives
it.  Its ``kind`` names the module that computes it, ``fusion.votes`` is ``fusion/nodes/votes.py``: only
modules that lie in these folders can be named, so that a file never says what is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from ..files.graphs import open_graph
from ..imaging.geometry import warp
from ..imaging.images import planes_of, to_grey
from ..imaging.looks import MOST_LOOKS, mean_maps
from ..structures import Array, InputError, Prediction, Tells, supports
from .values import array, whole

Node = dict[str, Any]
Run = Callable[[Array], tuple[Array, Array]]  #: crop (H, W) or BGR (H, W, 3), uint8 -> (K, 2), (K,)
Combine = Callable[[Array, Array], tuple[Array, Array]]  #: (M, 1, K, 2), (M, 1, K) -> (1, K, 2), (1, K)

SCORELESS = "scoreless"  #: in a node whose scores nobody reads: it need not work them out
ROOMS = ("deep", "detection", "fusion", "landmarks")  #: whose folders ``nodes`` are looked into
_PACKAGE = __name__.split(".")[0]


@lru_cache(maxsize=1)
def kinds() -> frozenset[str]:
    """Every kind of node: room and module, ``landmarks.cascade``."""
    from pkgutil import iter_modules  # not before a file is read: an application's import waits for it

    root = os.path.dirname(os.path.dirname(__file__))
    folders = {room: os.path.join(root, room, "nodes") for room in ROOMS}
    return frozenset(f"{room}.{m.name}" for room, folder in folders.items() for m in iter_modules([folder]))


def build(node: Node, engine: str = "auto") -> Any:
    """The function that a node describes: a :data:`Run`, or what its room says of that kind.

    Raises
    ------
    InputError
        For an unknown kind, or an engine that is not there.
    KeyError, TypeError, ValueError
        For a node that lacks something or holds something else than its kind asks for.
    """
    kind = node["kind"]
    if not isinstance(kind, str) or kind not in kinds():
        raise InputError(f"holds a node of kind {str(kind)[:30]!r}, which this hybridkp cannot run: update")
    room, name = kind.split(".")
    return import_module(f"{_PACKAGE}.{room}.nodes.{name}").make(node, engine)


def build_start(node: Node, engine: str) -> Callable[[Array], Array]:
    """The points alone of a node, (K, 2), for a step that begins at them."""
    run = build({**node, SCORELESS: True}, engine)
    return lambda picture: run(picture)[0]


def told(run: Run, picture: Array) -> Prediction:
    """All that the function of a node says of a crop, without the axis B."""
    if supports(run, Tells):
        found: Prediction = run.predict_all(picture)  # type: ignore[attr-defined]
        return found
    return Prediction(*run(picture))


def on_grey(run: Run) -> Run:
    """``run`` for crops that may have colour."""
    return lambda picture: run(to_grey(picture))


def on_planes(node: Node, engine: str, outputs: Sequence[str]) -> Callable[[Array], list[Array]]:
    """The node's ``graph`` as a function of a crop; ``channels`` says whether it sees grey (1) or BGR (3).

    It takes ``image`` (1, channels, H, W) float32 in 0..255.  Where the node has ``looks`` (N, 2, 3), its one
    output, maps at its ``stride``, is the mean over these looks at the crop.
    """
    ask, channels = open_graph(node["graph"], engine, ["image"], outputs), whole(node, "channels", 1, 3)
    if channels == 2:
        raise ValueError("a picture has 1 channel or 3")

    def once(picture: Array) -> list[Array]:
        return ask(planes(picture, channels))

    if "looks" not in node:
        return once
    matrices, stride = array(node["looks"], -1, 2, 3), whole(node, "stride", 1, 64)
    if not 1 <= len(matrices) <= MOST_LOOKS:
        raise ValueError(f"{len(matrices)} looks at a crop")

    def looked(picture: Array) -> list[Array]:
        size_hw = picture.shape[:2]
        return [mean_maps(lambda matrix: once(warp(picture, matrix, size_hw))[0], matrices, stride)]

    return looked


def planes(picture: Array, channels: int) -> Array:
    """A crop, grey or BGR, as networks take it: (1, channels, H, W) float32."""
    if channels == 1:
        return to_grey(picture)[None, None].astype(np.float32)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], channels, 2)
    return planes_of(picture)[None]


def combination(node: Node, engine: str, rule_of: Callable[[Node, int], Combine]) -> Run:
    """The node's ``members`` and the rule that makes their predictions one."""
    runs = [build(member, engine) for member in node["members"]]
    if not runs:
        raise ValueError("no members")
    rule = rule_of(node, len(runs))

    def run(picture: Array) -> tuple[Array, Array]:
        pairs = [run(picture) for run in runs]
        points = np.stack([p[0][None] for p in pairs]).astype(float)
        fused, score = rule(points, np.stack([p[1][None] for p in pairs]))
        return fused[0], score[0]

    return run
