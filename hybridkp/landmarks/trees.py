"""Regression trees as plain arrays: growing them, packing others' trees, walking many at once.

Two layouts.  *Balanced* trees test differences of two values and are stored level by level, so that
a node's children follow from its number; *packed* ones are scikit-learn's, with pointers.  Rows of
values in, leaves out; pictures and landmarks never.  NumPy only: an exported model runs from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..runtime.values import array, whole
from ..stats.calibration import logit
from ..structures import Array

NEVER = 256  #: a threshold that no difference of two uint8 values exceeds

# --------------------------------------------------------------------------------------------
# balanced trees of differences
# --------------------------------------------------------------------------------------------


def grow_balanced(
    values: Array, targets: Array, depth: int, n_candidates: int, n_least: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """One tree of ``2**depth`` leaves that groups rows with like targets.

    A node asks whether ``values[a] - values[b] > threshold``.  Each level draws pairs (a, b) at
    random; each of its nodes takes one of its own rows' differences as the threshold of each pair,
    and keeps the pair that lessens the targets' variance most.  All pairs are tried at once.

    Parameters
    ----------
    values : (P, N) int16, one column per row that is to be grouped
    targets : (N, T)
    n_candidates : pairs tried per node
    n_least : rows that each side of a split must keep; a node that cannot sends all rows left

    Returns
    -------
    pairs : (2**depth - 1, 2) int32
    threshold : (2**depth - 1,) int16, :data:`NEVER` where there is no split
    """
    n_inner = 2**depth - 1
    pairs, threshold = np.zeros((n_inner, 2), np.int32), np.full(n_inner, NEVER, np.int16)
    targets = np.asarray(targets, np.float32)
    place = np.zeros(values.shape[1], int)  # of each row's node within the level
    for level in range(depth):
        order = np.argsort(place, kind="stable")
        ends = np.searchsorted(place[order], np.arange(2**level + 1))
        tried = _random_pairs(len(values), n_candidates, rng)
        sorted_values = values[:, order]
        difference = sorted_values[tried[:, 0]] - sorted_values[tried[:, 1]]
        right = np.zeros(len(order), bool)
        for j in range(2**level):
            low, high = ends[j], ends[j + 1]
            block = difference[:, low:high]
            best, at = _best_split(block, targets[order[low:high]], n_least, rng)
            if best >= 0:
                pairs[2**level - 1 + j], threshold[2**level - 1 + j] = tried[best], at
                right[low:high] = block[best] > at
        place[order] = 2 * place[order] + right
    return pairs, threshold


def _random_pairs(n_values: int, n: int, rng: np.random.Generator) -> Array:
    """(n, 2) indices, different from each other where there are two."""
    first = rng.integers(n_values, size=n)
    return np.stack([first, (first + rng.integers(1, max(n_values, 2), size=n)) % n_values], axis=1)


def _best_split(difference: Array, targets: Array, n_least: int, rng: np.random.Generator) -> tuple[int, int]:
    """The candidate of (F, n) with the largest drop in the variance of (n, T), and its threshold."""
    f, n = difference.shape
    if n < 2 * max(n_least, 1):
        return -1, NEVER
    threshold = difference[np.arange(f), rng.integers(n, size=f)]
    centred = targets - targets.mean(axis=0)
    above = (difference > threshold[:, None]).astype(np.float32)
    n_right = above.sum(axis=1)
    gain = ((above @ centred) ** 2).sum(axis=1)  # the sums of both sides differ in sign only
    gain = gain * n / np.maximum(n_right * (n - n_right), 1)
    gain[np.minimum(n_right, n - n_right) < n_least] = -1.0
    best = int(gain.argmax())
    return (best, int(threshold[best])) if gain[best] > 0 else (-1, NEVER)


def balanced_leaves(values: Array, pairs: Array, threshold: Array) -> Array:
    """Leaves (N, F) of F trees for rows (N, P), all trees and rows at once: 0 .. 2**depth - 1.

    Parameters
    ----------
    values : (N, P) int16
    pairs : (F, 2**depth - 1, 2) columns of ``values``
    threshold : (F, 2**depth - 1)
    """
    n_trees, n_inner = threshold.shape
    first, second, least = pairs[..., 0].ravel(), pairs[..., 1].ravel(), threshold.ravel()
    root = np.arange(n_trees) * n_inner
    column = np.arange(len(values))[:, None] * values.shape[1]
    flat = values.ravel()
    node = np.zeros((len(values), n_trees), int)
    for _ in range((n_inner + 1).bit_length() - 1):
        test = root + node
        above = flat[column + first[test]] - flat[column + second[test]] > least[test]
        node = 2 * node + 1 + above
    return node - n_inner


def checked_balanced(pairs: Array, threshold: Array, n_values: int) -> int:
    """Number of leaves of all trees; ValueError where they cannot be walked over ``n_values`` columns.

    ``pairs`` is (F, n, 2), ``threshold`` (F, n): for trees that were read from a file.
    """
    n_trees, n_inner = threshold.shape
    if n_trees < 1 or n_inner < 1 or (n_inner + 1) & n_inner:
        raise ValueError(f"{n_trees} balanced trees of {n_inner} nodes")
    if pairs.dtype.kind not in "iu" or threshold.dtype.kind not in "iu":
        raise ValueError("trees need whole numbers")
    if pairs.min() < 0 or pairs.max() >= n_values:
        raise ValueError(f"a tree reads beyond its {n_values} values")
    return n_trees * (n_inner + 1)


# --------------------------------------------------------------------------------------------
# scikit-learn's trees
# --------------------------------------------------------------------------------------------

_TYPES = {"feature": np.int32, "threshold": np.float64, "left": np.int32, "right": np.int32}


def packed(trees: Sequence[Any], values_of: Callable[[Any], dict[str, Array]]) -> dict[str, Any]:
    """Fitted scikit-learn trees (``estimator.tree_``; None = a single leaf) as columns of nodes.

    Parameters
    ----------
    values_of : of a tree (or None), columns with one entry per node: what its leaves say

    Returns
    -------
    "feature", "threshold", "left", "right" and the columns of `values_of` (n_nodes, ...); "root"
    (n_trees,), "depth".  A leaf's children are the leaf itself, so that all trees can be walked to
    the depth of the deepest.
    """
    columns: dict[str, list[Array]] = {}
    root = np.zeros(len(trees), np.int32)
    total, depth = 0, 0
    for t, tree in enumerate(trees):
        root[t] = total
        node = np.arange(1 if tree is None else tree.node_count) + total
        inner = np.zeros(1, bool) if tree is None else tree.children_left >= 0
        own = {
            "feature": node * 0 if tree is None else np.maximum(tree.feature, 0),
            "threshold": node * 0.0 if tree is None else tree.threshold,
            "left": node if tree is None else np.where(inner, tree.children_left + total, node),
            "right": node if tree is None else np.where(inner, tree.children_right + total, node),
            **values_of(tree),
        }
        for name, values in own.items():
            columns.setdefault(name, []).append(values)
        total += len(node)
        depth = max(depth, 0 if tree is None else int(tree.max_depth))
    out = {name: np.concatenate(v).astype(_TYPES.get(name, np.float32)) for name, v in columns.items()}
    return {**out, "root": root, "depth": depth}


def path_contributions(trees: dict[str, Any], row: Array, root: Array, column: Array) -> tuple[float, Array]:
    """What each value of one row (D,) adds to the mean of ``column`` over the trees at ``root`` (T,).

    On the way from root to leaf each question changes the node's value; the change belongs to the value
    that was asked about (Palczewska et al. 2014).  Exact: the mean at the roots plus (D,) is the
    mean at the leaves.
    """
    out, node = np.zeros(len(row)), root
    for _ in range(trees["depth"]):
        asked = trees["feature"][node]
        below = np.where(row[asked] <= trees["threshold"][node], trees["left"][node], trees["right"][node])
        out += np.bincount(asked, column[below] - column[node], len(row))
        node = below
    return float(column[root].mean()), out / len(root)


def checked_packed(trees: dict[str, Any], n_values: int, root_axes: int, **tails: int) -> dict[str, Any]:
    """Packed trees that were read from a file; ValueError where they cannot be walked over ``n_values``.

    ``root_axes`` is the number of axes of "root"; ``tails`` name the columns of what leaves say, with the
    length of their second axis, 0 where they have one axis.
    """
    shapes = {"root": (-1,) * root_axes, **{n: (-1,) * (1 + bool(t)) for n, t in tails.items()}}
    out: dict[str, Any] = {"depth": whole(trees, "depth", 0, 64)}
    for name in (*_TYPES, "root", *tails):
        out[name] = array(trees[name], *shapes.get(name, (-1,)))
    n = len(out["threshold"])
    for name, end in (("feature", n_values), ("left", n), ("right", n), ("root", n)):
        values = out[name]
        if values.dtype.kind not in "iu" or not values.size or values.min() < 0 or values.max() >= end:
            raise ValueError(f"trees point beyond their {end} {name}")
    if any(out[name].shape != ((n, tails[name]) if tails.get(name) else (n,)) for name in (*_TYPES, *tails)):
        raise ValueError("columns of trees of different lengths")
    return out


def share_odds(trees: dict[str, Any], rows: Array, root: Array) -> Array:
    """Log odds (N, K, P) of rows (N, K, P, D) by forests with "root" (F, K, T), of leaves' "share".

    The mean over a forest's trees, then over the F forests.
    """
    out = np.zeros(rows.shape[:3], np.float32)
    for each in root:
        node = packed_leaves(trees, rows, each[None, :, None])
        out += logit(trees["share"][node].mean(axis=-1)) / len(root)
    return out


def packed_leaves(trees: dict[str, Any], rows: Array, root: Array) -> Array:
    """Nodes (..., T) where rows (..., D) end in the trees that start at ``root`` (..., T)."""
    node = np.broadcast_to(root, (*rows.shape[:-1], root.shape[-1]))
    for _ in range(trees["depth"]):
        value = np.take_along_axis(rows, trees["feature"][node], axis=-1)
        node = np.where(value <= trees["threshold"][node], trees["left"][node], trees["right"][node])
    return node
