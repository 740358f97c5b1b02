"""Any finder, taught and asked in overlapping tiles of the picture: for objects that are small in it.

Knows no finder by name; the arithmetic of tiles is in :mod:`.tiles`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..imaging.images import as_uint8
from ..metrics.boxes import box_overlap
from ..structures import Array, Finder, InputError, Instance, NamedMembers, Sample
from .fitting import fit_finder
from .tiles import MOST_TILES, find_in_tiles, tile_boxes

SHOWN = 0.8  #: part of an object's box that a tile must show to teach it; of less it teaches nothing


@dataclass(eq=False, repr=False)
class TiledFinder(NamedMembers, BaseEstimator):
    """A finder that looks at each tile of a picture, so that small objects fill more of what it sees.

    Parameters
    ----------
    members : one (name, finder)
    n_tiles : along the picture's longer side
    shared : part of a tile's side that it shares with its neighbour; an object up to so large is whole in one
    whole : also look at the whole picture, for objects larger than that
    overlap : of two boxes, above which the better one stays
    random_state : fixes which tiles without an object teach

    Notes
    -----
    The finder learns from the tiles that hold an object, from as many that hold none, and with ``whole`` from
    the pictures.  Time grows with the number of tiles.
    """

    members: Sequence[tuple[str, Finder]]
    n_tiles: int = 2
    shared: float = 0.25
    whole: bool = True
    overlap: float = 0.4
    random_state: Any = 0

    def fit(self, samples: Iterable[Sample]) -> TiledFinder:
        """Fit the finder on tiles.

        Raises
        ------
        InputError
            For another number of finders than one, or of tiles than 1 to 32, and what the finder says.
        """
        if len(self.members) != 1:
            raise InputError(f"tiles are of one finder, got {len(self.members)}: join them in fused(a,b)")
        if not 1 <= self.n_tiles <= MOST_TILES or not 0 <= self.shared <= 0.8:
            raise InputError(
                f"n_tiles must lie in 1..{MOST_TILES}, shared in 0..0.8: got {self.n_tiles} and {self.shared}"
            )
        self.finder_ = fit_finder(self.members[0][1], self._taught(list(samples)))
        return self

    def _taught(self, samples: Sequence[Sample]) -> list[Sample]:
        """The tiles that teach, each a sample of its picture's group."""
        rng = check_random_state(self.random_state)
        out: list[Sample] = []
        for sample in samples:
            size_hw = sample.size_hw or as_uint8(sample.image, sample.name).shape[:2]
            tiles = tile_boxes((int(size_hw[0]), int(size_hw[1])), self.n_tiles, self.shared)
            made = [_tile(sample, number, tile) for number, tile in enumerate(tiles)]
            held = [any(not i.ignore for i in each.instances) for each in made]
            empty = [each for each, full in zip(made, held, strict=True) if not full]
            n = min(len(empty), max(1, sum(held)))
            out += [each for each, full in zip(made, held, strict=True) if full]
            out += [empty[i] for i in np.sort(rng.choice(len(empty), n, replace=False))] if empty else []
            out += [sample] if self.whole and len(tiles) > 1 else []
        return out

    def find(self, image: Array, *, name: str = "") -> tuple[Array, Array]:
        """Boxes (N, 4) and scores (N,), best first, of a picture (h, w[, 3])."""
        check_is_fitted(self)
        image = as_uint8(image, name or "picture")
        return find_in_tiles(
            lambda tile: self.finder_.find(tile, name=name),
            image,
            int(self.n_tiles),
            float(self.shared),
            bool(self.whole),
            float(self.overlap),
        )

    def runtime_node(self) -> dict[str, Any]:
        check_is_fitted(self)
        return {
            "kind": "detection.tiles",
            "member": self.finder_.runtime_node(),  # type: ignore[attr-defined]
            "n_tiles": int(self.n_tiles),
            "shared": float(self.shared),
            "whole": bool(self.whole),
            "overlap": float(self.overlap),
        }


class _Tile:
    """A function that reads a picture and gives one tile of it."""

    def __init__(self, sample: Sample, tile: Array) -> None:
        self.sample, self.tile = sample, tile.tolist()

    def __call__(self) -> Array:
        x, y, w, h = self.tile
        image: Array = np.ascontiguousarray(self.sample.image[y : y + h, x : x + w])
        return image


def _tile(sample: Sample, number: int, tile: Array) -> Sample:
    """The tile (4,) as a sample: objects that it shows are its own, parts of others are regions to ignore."""
    x, y, w, h = tile.tolist()
    instances = []
    for each in sample.instances:
        if not np.isfinite(each.box_xywh).all():
            continue
        shown = float(box_overlap(each.box_xywh, tile, part=True)[0, 0])
        if shown > 0:
            moved = replace(each, xy=each.xy - [x, y], box_xywh=each.box_xywh - [x, y, 0, 0], second_xy=None)
            instances.append(replace(moved, ignore=True) if shown < SHOWN else moved)
    kept: tuple[Instance, ...] = tuple(instances)
    return replace(
        sample, name=f"{sample.name}#{number}", load=_Tile(sample, tile), instances=kept, size_hw=(h, w)
    )
