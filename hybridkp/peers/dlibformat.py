"""dlib's own serialisation of a shape predictor, as plain arrays and back.

A dlib stream is a row of integers, each a control byte (number of bytes, sign) and its bytes,
lowest first; a float is two of them, mantissa and exponent of 2.  A model file of ours holds the
arrays, so that every index is checked before dlib's native code, which checks none, sees it.
Letters: C stages, T trees, S splits and L = S + 1 leaves of a tree, P feature pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..structures import Array, InputError

MAX_VALUES = 2**27  #: leaf values of a whole predictor; the default options on 68 points make 10.9 million
_LIMIT = 1e4  #: sides of the box: beyond it no honest number lies, and within it nothing overflows
_BLOCK = 2**20  #: integers packed or unpacked at once

_LENGTH = bytes(1 + (control & 15) for control in range(256))
_NAMES = ("start", "pixels", "thresholds", "leaves", "anchors", "offsets")


def _starts(raw: bytes) -> Iterator[int]:
    lengths, at = raw.translate(_LENGTH), 0
    while at < len(raw):
        yield at
        at += lengths[at]


def unpack(raw: bytes) -> Array:
    """(N,) int64, all integers of a dlib stream.  :class:`InputError` when it ends within one."""
    starts = np.fromiter(_starts(raw), np.int64)
    bytes_ = np.frombuffer(raw, np.uint8)
    out = np.empty(len(starts), np.int64)
    for first in range(0, len(starts), _BLOCK):
        at = starts[first : first + _BLOCK]
        size, negative = bytes_[at] & 15, bytes_[at] > 127
        if size.min() < 1 or size.max() > 8 or at[-1] + size[-1] >= len(raw):
            raise InputError("a dlib stream that is cut short or damaged")
        value = np.zeros(len(at), np.int64)
        for place in range(int(size.max())):
            more = size > place
            value[more] |= bytes_[at[more] + 1 + place].astype(np.int64) << (8 * place)
        out[first : first + _BLOCK] = np.where(negative, -value, value)
    return out


def pack(values: Array) -> bytes:
    """The dlib stream of integers (N,), each in as few bytes as it needs."""
    return b"".join(_pack(values[i : i + _BLOCK]) for i in range(0, len(values), _BLOCK))


def _pack(values: Array) -> bytes:
    size = np.ones(len(values), np.int64)
    for place in range(1, 8):
        size += np.abs(values) >> (8 * place) > 0
    at = np.cumsum(size + 1) - size - 1
    out = np.empty(int(size.sum()) + len(values), np.uint8)
    out[at] = size | np.where(values < 0, 128, 0)
    for place in range(int(size.max())):
        more = size > place
        out[at[more] + 1 + place] = (np.abs(values[more]) >> (8 * place)) & 255
    return out.tobytes()


def _floats(pairs: Array) -> Array:
    """(...,) float32 of mantissas and exponents (..., 2)."""
    return np.ldexp(pairs[..., 0].astype(np.float64), pairs[..., 1].astype(np.int32)).astype(np.float32)


def _pairs(values: Array) -> Array:
    """(..., 2) int64 mantissas and exponents of float32 (...,), low zero bytes cut off as dlib does."""
    fraction, exponent = np.frexp(np.asarray(values, np.float32))
    mantissa, exponent = (fraction * 2.0**24).astype(np.int64), exponent.astype(np.int64) - 24
    for _ in range(8):
        round_ = (mantissa & 255) == 0
        mantissa, exponent = np.where(round_, mantissa >> 8, mantissa), exponent + 8 * round_
    return np.stack([mantissa, exponent], axis=-1)


def read_predictor(raw: bytes) -> dict[str, Array]:
    """A predictor's stream as arrays.

    Returns
    -------
    start : (K, 2) float32, the mean shape in units of the box
    pixels : (C, T, S, 2) int32, the two feature pixels that a split compares
    thresholds : (C, T, S) float32
    leaves : (C, T, L, K, 2) float32, steps in units of the box
    anchors, offsets : (C, P) int32 and (C, P, 2) float32, a feature pixel's landmark and its place beside it
    """
    t = unpack(raw)
    n = -int(t[1])  # 2K: dlib writes a matrix's sides as negative numbers
    at = 3 + 2 * n
    c, trees, s = (int(v) for v in t[at : at + 3])
    tree = 2 + 4 * s + (s + 1) * (2 + 2 * n)
    forest = t[at + 1 : at + 1 + c * (1 + trees * tree)].reshape(c, -1)[:, 1:].reshape(c, trees, tree)
    at += 1 + forest.size + c
    p = int(t[at + 1])
    anchors = t[at + 1 : at + 1 + c * (1 + p)].reshape(c, -1)[:, 1:]
    at += 2 + c * (1 + p)
    offsets = t[at : at + c * (1 + 4 * p)].reshape(c, -1)[:, 1:]
    splits = forest[..., 1 : 1 + 4 * s].reshape(c, trees, s, 4)
    leaves = forest[..., 2 + 4 * s :].reshape(c, trees, s + 1, 2 + 2 * n)[..., 2:]
    return {
        "start": _floats(t[3 : 3 + 2 * n].reshape(-1, 2, 2)),
        "pixels": splits[..., :2].astype(np.int32),
        "thresholds": _floats(splits[..., 2:]),
        "leaves": _floats(leaves.reshape(c, trees, s + 1, -1, 2, 2)),
        "anchors": anchors.astype(np.int32),
        "offsets": _floats(offsets.reshape(c, p, 2, 2)),
    }


def write_predictor(arrays: Mapping[str, Array]) -> bytes:
    """The stream of :func:`read_predictor`'s arrays; :class:`InputError` when they do not fit together."""
    start, pixels, thresholds, leaves, anchors, offsets = _checked(arrays)
    (c, trees, s), n, p = thresholds.shape, start.size, anchors.shape[1]
    forest = np.empty((c, trees, 2 + 4 * s + (s + 1) * (2 + 2 * n)), np.int64)
    forest[..., 0], forest[..., 1 + 4 * s] = s, s + 1
    splits = forest[..., 1 : 1 + 4 * s].reshape(c, trees, s, 4)
    splits[..., :2], splits[..., 2:] = pixels, _pairs(thresholds)
    forest[..., 1 : 1 + 4 * s] = splits.reshape(c, trees, -1)
    rows = np.empty((c, trees, s + 1, 2 + 2 * n), np.int64)
    rows[..., 0], rows[..., 1] = -n, -1
    rows[..., 2:] = _pairs(leaves).reshape(c, trees, s + 1, -1)
    forest[..., 2 + 4 * s :] = rows.reshape(c, trees, -1)

    def stages(values: Array, count: int) -> Array:
        """The number of stages, then each stage after the number of its items."""
        return np.concatenate([[c], np.insert(values.reshape(c, -1), 0, count, axis=1).ravel()])

    head = np.concatenate([[1, -n, -1], _pairs(start).ravel()])
    tail = [stages(anchors.astype(np.int64), p), stages(_pairs(offsets), p)]
    return pack(np.concatenate([head, stages(forest, trees), *tail]))


def _checked(arrays: Mapping[str, Array]) -> list[Array]:
    found = [np.asarray(arrays.get(name)) for name in _NAMES]
    start, pixels, thresholds, leaves, anchors, offsets = found
    whole = [v.dtype.kind in ("iu" if v is pixels or v is anchors else "f") for v in found]
    if not all(whole) or start.ndim != 2 or thresholds.ndim != 3 or anchors.ndim != 2:
        raise InputError("not the arrays of a dlib shape predictor")
    c, trees, s = thresholds.shape
    k, p, n_leaves = len(start), anchors.shape[1], s + 1
    wanted = [
        (k, 2),
        (c, trees, s, 2),
        (c, trees, s),
        (c, trees, n_leaves, k, 2),
        (c, p),
        (c, p, 2),
    ]
    if [v.shape for v in found] != wanted or min(c, trees, s, k, p) < 1 or n_leaves & s:
        raise InputError("the arrays of a dlib shape predictor do not fit together")
    if leaves.size > MAX_VALUES:
        raise InputError(f"a dlib shape predictor of {leaves.size} leaf values, more than {MAX_VALUES}")
    if pixels.min() < 0 or pixels.max() >= p or anchors.min() < 0 or anchors.max() >= k:
        raise InputError("a dlib shape predictor that points outside its own lists")
    if not all(np.abs(v).max() <= _LIMIT for v in (start, thresholds, leaves, offsets)):  # refuses NaN too
        raise InputError("a dlib shape predictor with numbers that are not finite or far too large")
    return found
