"""What one pair matcher answered on one set of pairs, in memory and on disk: results, no metric.

One safetensors file per method, budget and seed, written whole or not at all: what differs in
length from pair to pair lies in flat arrays with offsets.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ..structures import Array, InputError, Keypoints, short_repr
from ..structures.pairs import Matched
from .records import check_kinds, load_tensors, save_tensors

MATCHED_FORMAT = 1
_POINTS = ("xy", "score", "size", "angle", "octave")
_MATCHES = ("xy_a", "xy_b", "score", "inlier")
_REST: dict[str, type] = {
    **dict.fromkeys(("method", "data", "fingerprint", "host"), str),
    **dict.fromkeys(("params", "failures", "versions"), dict),
    **dict.fromkeys(("n_points", "seed", "peak_bytes"), int),
    "load": float,
}


@dataclass(frozen=True, eq=False)
class MatchedSet:
    """Answers of one method, budget and seed to P pairs; row p belongs to the pair ``names[p]``.

    Parameters
    ----------
    method : its name, without the budget
    results : P :class:`~hybridkp.structures.Matched`; a pair at which the method raised an exception has no
        points, no matches and no homography, and stands in ``failures``
    names : of the pairs
    size_hw_a, size_hw_b : (P, 2) int, the pictures' sizes: metrics need no pictures
    n_points : points per picture that were asked for
    cpu_seconds : (P,) processor time of the whole pair, which neighbours on the machine disturb
        less than the clock; NaN where not measured
    data, fingerprint : name and digest of the pair set
    params : what must be the same for the results to be kept
    peak_bytes : the process's largest resident size, -1 = unknown
    failures : pair name -> one line
    load : the machine's load average per core when the times were taken, NaN = unknown
    host : that machine's name, "" = unknown
    """

    method: str
    results: tuple[Matched, ...]
    names: tuple[str, ...]
    size_hw_a: Array
    size_hw_b: Array
    n_points: int = 0
    seed: int = 0
    cpu_seconds: Array = None  # type: ignore[assignment]
    data: str = ""
    fingerprint: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    peak_bytes: int = -1
    failures: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    load: float = float("nan")
    host: str = ""

    __repr__ = short_repr

    def __post_init__(self) -> None:
        n = len(self.names)
        if len(self.results) != n or len(set(self.names)) != n:
            raise InputError(f"{self.method}: {len(self.results)} results for {len(set(self.names))} pairs")
        cpu = np.full(n, np.nan) if self.cpu_seconds is None else np.asarray(self.cpu_seconds, float)
        object.__setattr__(self, "cpu_seconds", cpu.reshape(n))
        for name in ("size_hw_a", "size_hw_b"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.int64).reshape(n, 2))

    def __len__(self) -> int:
        return len(self.results)

    @property
    def label(self) -> str:
        """Method and budget: "sift-1024"."""
        return f"{self.method}-{self.n_points}"

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the timed stages, in the order of their first appearance."""
        return tuple(dict.fromkeys(stage for result in self.results for stage in result.seconds))

    def seconds(self, *stages: str) -> Array:
        """(P,) seconds of these stages of each pair together (all without names); NaN = not timed."""
        wanted = stages or self.stages
        return np.array(
            [
                sum(a.seconds.get(stage, 0.0) for stage in wanted) if a.seconds else np.nan
                for a in self.results
            ],
            float,
        )


def no_result() -> Matched:
    """What stands for a pair at which a method raised: no points, no matches, no homography."""
    none, nothing = Keypoints(np.zeros((0, 2), np.float32)), np.zeros(0, np.float32)
    return Matched(none, none, nothing, nothing, nothing, np.full((3, 3), np.nan), nothing)


def save_matched(matched: MatchedSet, path: str | os.PathLike[str]) -> None:
    """One safetensors file; the points' ``label`` is not kept."""
    results, stages = matched.results, matched.stages
    arrays: dict[str, Array] = {
        "homography": np.stack([a.homography for a in results]) if results else np.zeros((0, 3, 3)),
        "pose": np.stack([a.pose for a in results]) if results else np.zeros((0, 3, 4)),
        "seconds": np.array([[a.seconds.get(s, np.nan) for s in stages] for a in results], float).reshape(
            len(results), len(stages)
        ),
        "matches.offsets": _offsets([len(a.xy_a) for a in results]),
        **{name: getattr(matched, name) for name in ("size_hw_a", "size_hw_b", "cpu_seconds")},
    }
    for name in _MATCHES:
        arrays[f"matches.{name}"] = np.concatenate([getattr(a, name) for a in (no_result(), *results)])
    for side in ("a", "b"):
        points = [getattr(a, f"keypoints_{side}") for a in results]
        arrays[f"{side}.offsets"] = _offsets([len(p) for p in points])
        for name in _POINTS:
            arrays[f"{side}.{name}"] = np.concatenate(
                [getattr(p, name) for p in (no_result().keypoints_a, *points)]
            )
    rest = {name: getattr(matched, name) for name in _REST}
    rest |= {"names": list(matched.names), "stages": list(stages)}
    save_tensors(path, "matches", MATCHED_FORMAT, arrays, rest)


def load_matched(path: str | os.PathLike[str]) -> MatchedSet:
    """The inverse of :func:`save_matched`; :class:`InputError` for any other file."""
    return load_tensors(path, "matches", MATCHED_FORMAT, _built)


def _offsets(lengths: list[int]) -> Array:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def _rows(arrays: dict[str, Array], prefix: str, names: tuple[str, ...], n: int) -> list[dict[str, Array]]:
    """n dicts of columns, cut from the flat ones at the offsets."""
    offsets = arrays[f"{prefix}.offsets"]
    columns = {name: arrays[f"{prefix}.{name}"] for name in names}
    if (
        offsets.shape != (n + 1,)
        or offsets.dtype != np.int64
        or offsets[0] != 0
        or (np.diff(offsets) < 0).any()
    ):
        raise InputError(f"damaged: the offsets of {prefix} do not count {n} pairs")
    if any(len(column) != offsets[-1] for column in columns.values()):
        raise InputError(f"damaged: the columns of {prefix} differ in length")
    return [{name: column[start:end] for name, column in columns.items()} for start, end in pairwise(offsets)]


def _built(arrays: dict[str, Array], rest: dict[str, Any]) -> MatchedSet:
    rest = {"load": float("nan"), "host": "", **rest}  # older files have none
    check_kinds(rest, {**_REST, "names": list, "stages": list})
    names, stages = tuple(map(str, rest["names"])), tuple(map(str, rest["stages"]))
    n = len(names)
    homography, seconds = arrays["homography"], arrays["seconds"]
    if homography.shape != (n, 3, 3) or seconds.shape != (n, len(stages)):
        raise InputError(f"damaged: not one homography and one row of {len(stages)} seconds for {n} pairs")
    pose = arrays.get("pose", np.full((n, 3, 4), np.nan))  # older files have none
    if pose.shape != (n, 3, 4):
        raise InputError(f"damaged: not one pose for each of {n} pairs")
    sides = [_rows(arrays, side, _POINTS, n) for side in ("a", "b")]
    results = tuple(
        Matched(
            Keypoints(**a),
            Keypoints(**b),
            **matches,
            homography=homography[p],
            pose=pose[p],
            seconds={s: float(t) for s, t in zip(stages, seconds[p], strict=True) if not np.isnan(t)},
        )
        for p, (a, b, matches) in enumerate(zip(*sides, _rows(arrays, "matches", _MATCHES, n), strict=True))
    )
    known: dict[str, Any] = {name: arrays[name] for name in ("size_hw_a", "size_hw_b", "cpu_seconds")}
    known |= {name: rest[name] for name in _REST}
    return MatchedSet(results=results, names=names, **known)
