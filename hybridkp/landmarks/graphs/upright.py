"""Objects at any angle as ONNX operators: the turn is told, the crop turned back, the points turned forth."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...imaging.geometry import middle_of
from ...runtime.builder import Complex, Crop, Graph, Points, Tensor, declared, emit_all, logit
from ...runtime.onnx_picture import n_landmarks, shape_of
from .. import polar
from ..nodes.upright import APART, INSIDE, MOST, SURE, TRUST, nearest_turn
from .channels import channel_maps
from .pictures import interpolated, read_pixels, resized

FAR = -1e30  #: an answer where there is no summit


def emit(node: dict[str, Any], crop: Crop) -> Points:
    found = emit_outputs(node, crop)
    return found["xy"], found["score"]


def emit_outputs(node: dict[str, Any], crop: Crop) -> dict[str, Tensor]:
    """As :class:`..nodes.upright.Righted`: a loop over likely turns, left where none can be better."""
    g, k = crop.graph, n_landmarks(node["detector"], crop.size_hw)
    turns, answers = _likely(_answers(node, crop), float(node["turns"]), 1 if INSIDE.get() else MOST)
    turns = g.where(turns.abs() < float(node["least"]), np.zeros(1), turns)
    body = Graph(f"{g.fresh()}_")
    number = Tensor(body, f"{body.prefix}number", np.int64)
    bgr, turns, limits = (Tensor(body, t.name, t.dtype) for t in (crop.bgr, turns, answers * TRUST + SURE))
    turn = turns.take(number)
    token = INSIDE.set(True)
    try:
        found = emit_all(node["detector"], _turned(bgr, turn, crop.size_hw))
    finally:
        INSIDE.reset(token)
    found |= _turned_back(found, turn, crop.size_hw)
    seen = logit(found["presence"].to(np.float64)) if "presence" in found else body.tensor(SURE, float)
    odds = limits.take(number) - SURE + seen
    shapes = {"odds": [], **{name: shape_of(name, k) for name in found}}
    found = {name: t.reshape(*shapes[name]) for name, t in {"odds": odds, **found}.items()}
    return _best_of(g, found, shapes, number, limits)


def _best_of(
    g: Graph, found: dict[str, Tensor], shapes: dict[str, list[int]], number: Tensor, limits: Tensor
) -> dict[str, Tensor]:
    """What was ``found`` in the round of the highest odds, in the graph around that of the rounds.

    The ``number`` of a round and ``limits`` (MOST,), which the odds of each cannot pass, are the rounds' own;
    there is no further one where none could be better.
    """
    body = number.graph
    best = {name: Tensor(body, f"{body.prefix}{name}", t.dtype) for name, t in found.items()}
    better = found["odds"] > best["odds"]
    kept = {name: body.where(better, t, best[name]) for name, t in found.items()}
    later = limits.take(body.op("Min", number + 1, body.tensor(MOST - 1, np.int64)))
    outputs = [declared(f"{body.prefix}go_on", bool, [])]
    body.name(kept["odds"] < later, outputs[0].name)
    for name, tensor in kept.items():
        body.name(tensor, f"{body.prefix}kept_{name}")
        outputs.append(declared(f"{body.prefix}kept_{name}", tensor.dtype, shapes[name]))
    inputs = [declared(number.name, np.int64, []), declared(f"{body.prefix}on", bool, [])]
    inputs += [declared(t.name, t.dtype, shapes[name]) for name, t in best.items()]
    made = body.finish("turned", inputs, outputs)
    start = [np.full(shapes[name], -np.inf if name == "odds" else 0, t.dtype) for name, t in found.items()]
    out = {name: Tensor(g, g.fresh(), t.dtype) for name, t in found.items()}
    g.loop(made, g.tensor(MOST, np.int64), [*map(g.tensor, start)], [t.name for t in out.values()])
    return {name: t for name, t in out.items() if name != "odds"}


def _answers(node: dict[str, Any], crop: Crop) -> Tensor:
    """(A,) of the filter to the crop: :meth:`..nodes.upright.TurnRule.likely` without its summits."""
    g, a = crop.graph, polar.N_TURNS
    row = _polar_row(crop) - np.asarray(node["centre"], np.float32)
    ring = row.transpose(1, 0).reshape(1, polar.N_CHANNELS, a)
    ring = g.concat([ring, ring.slice(2, 0, a - 1)], 2)
    rule = np.asarray(node["filter"], np.float32).T[None]
    return g.op("Conv", ring, g.tensor(rule)).reshape(a).to(np.float64)


def _polar_row(crop: Crop) -> Tensor:
    """(A, C) as :func:`..polar.polar_row`."""
    g, n, (h, w) = crop.graph, polar.N_ORIENTATIONS, crop.size_hw
    factor = max(1, min(h, w) // (2 * polar.N_RINGS * polar.ALONG))
    size_hw = round(h / factor), round(w / factor)
    grey = resized(crop.grey, (h, w), size_hw, True)
    x, y = polar.places(size_hw)
    picture = read_pixels(grey, size_hw, g.tensor(x), g.tensor(y)).round()
    ((channels, _, _),) = channel_maps(picture, x.shape, n, (polar.SIGMA,))
    ours = channels.slice(1, polar.WRAP, x.shape[0] - polar.WRAP)
    ours = ours.reshape(n, polar.N_TURNS, polar.ACROSS, polar.N_RINGS, polar.ALONG)
    cells = (ours.sum(2, 4, keep=False) / float(polar.ACROSS * polar.ALONG)).sqrt().transpose(1, 2, 0)
    cells = cells / ((cells * cells).mean(2).sqrt() + polar.FAINT)
    pairs = cells.slice(1, 0, -1) * cells.slice(1, 1, 2**31) * polar.PAIRS
    return g.concat([part.reshape(polar.N_TURNS, -1) for part in (cells, pairs)], 1)


def _likely(answers: Tensor, turns: float, most: int) -> tuple[Tensor, Tensor]:
    """(MOST,) degrees and answers: :func:`..nodes.upright.likely_turns`; :data:`FAR` where none are left."""
    g, n = answers.graph, polar.N_TURNS
    around = np.arange(n)
    away = nearest_turn(around * 360 / n)
    before, after = (answers.take((around + step) % n) for step in (-1, 1))
    bend = answers * 2.0 - before - after
    curved = bend > 1e-12
    shift = g.where(curved, (after - before) / (g.where(curved, bend, np.ones(1)) * 2.0), np.zeros(1))
    degrees = g.tensor(away) + shift.clip(-0.5, 0.5) * (360 / n)
    left = g.where(g.tensor(np.abs(away) <= turns + 180 / n), answers, np.full(1, FAR))
    summit = g.op("Not", answers < g.op("Max", before, after))
    found = []
    for rank in range(MOST):
        place = g.op("ArgMax", left, axis=0, keepdims=1, dtype=np.int64)
        found.append((degrees.take(place), left.take(place)))
        if rank + 1 == most:
            found += [(found[0][0], g.tensor([FAR], float))] * (MOST - most)
            break
        apart = g.tensor(away) - found[-1][0]
        apart = (apart - ((apart + 180.0) / 360.0).floor() * 360.0).abs()
        free = g.op("Not", apart < APART)
        left = g.where(g.op("And", free, summit), left, np.full(1, FAR))
    return g.concat([d for d, _ in found]), g.concat([a for _, a in found])


def _turn(degrees: Tensor) -> Complex:
    """(1,) what a turn by degrees (), clockwise on the screen, multiplies ``x + iy`` by."""
    g = degrees.graph
    angle = degrees.reshape(1) * (np.pi / 180)
    return Complex(g.op("Cos", angle), g.op("Sin", angle))


def _middle(g: Graph, size_hw: tuple[int, int]) -> Complex:
    """(1,) the crop's."""
    return Complex.of(g, [complex(*middle_of(size_hw))])


def _turned(bgr: Tensor, degrees: Tensor, size_hw: tuple[int, int]) -> Crop:
    """The crop turned back: :func:`hybridkp.imaging.warp` about its middle."""
    middle = _middle(bgr.graph, size_hw)
    a = _turn(degrees).conj()
    made = interpolated(bgr, size_hw, a, middle - a * middle, size_hw, (3,))
    return Crop(made.round(), size_hw)


def _turned_back(found: dict[str, Tensor], degrees: Tensor, size_hw: tuple[int, int]) -> dict[str, Tensor]:
    """As :func:`..nodes.upright.turned_back`."""
    g = degrees.graph
    turn, middle = _turn(degrees), _middle(g, size_hw)
    changes = {"xy": ((Complex.points(found["xy"]) - middle) * turn + middle).xy().to(np.float32)}
    if "covariance" in found:
        matrix = g.concat([turn.re, -turn.im, turn.im, turn.re]).reshape(2, 2)
        covariance = matrix @ found["covariance"].to(np.float64) @ matrix.transpose(1, 0)
        changes["covariance"] = covariance.to(np.float32)
    return changes
