"""What detectors of pictures can read of several senses: planes of grey values side by side.

Every plane is a scalar that moves with the picture (and means the same in its mirror image), so that all
that is done to grey pictures is done to it: cells, gradients, maps, warps.  A batch comes in, (B, H, W) or
(B, H, W, P) uint8 goes out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ..imaging.images import check_crops, crops_to_grey
from ..structures import Array, InputError, as_batch, blocks
from ..structures.base import evenly
from .depth import fill_holes, slopes, tilts

#: input -> the modality that it is made of, and its planes
INPUTS: dict[str, tuple[str, int]] = {"image": ("image", 1), "depth": ("depth", 1), "normals": ("depth", 2)}
_SPREAD, _STEEP = 75, 75  #: percentiles, over the pixels of the training crops
_MIDDLE = 0.25  #: a part of each side that is left out where a crop's own depth is taken
_LEARNED_FROM = 500  #: crops, evenly chosen


class Planes(BaseEstimator):
    """Grey pictures, depth and normals as planes of 0..255, standardised as on the training crops.

    ``depth``: the crop's own median depth is 128, nearer is brighter; how much, by the spread of depths in
    training.  ``normals``: how far a surface faces up, and how far the viewer.  Holes are filled first
    (:func:`.fill_holes`); a crop without any depth is a flat wall.

    Parameters
    ----------
    inputs : of :data:`INPUTS`, in the order of the planes
    color : the picture as its three channels, where it has them, instead of one grey plane

    Attributes
    ----------
    spread_ : mm; steep_ : mm per px; both 0 where no depth is read
    color_ : whether the picture is three planes

    Examples
    --------
    >>> ramp = np.tile(np.arange(900, 932, dtype=np.uint16), (1, 32, 1))
    >>> batch = as_batch({"image": np.zeros((1, 32, 32), np.uint8), "depth": ramp})
    >>> Planes(("image", "depth")).fit(batch).planes(batch).shape
    (1, 32, 32, 2)
    """

    def __init__(self, inputs: tuple[str, ...] = ("image",), color: bool = False):
        self.inputs = inputs
        self.color = color

    def seen_modalities(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(INPUTS[name][0] for name in _checked(self.inputs)))

    def fit(self, images: Any) -> Planes:
        """Learn the scales from crops, or a Batch of them."""
        self.spread_ = self.steep_ = 0.0
        self.color_ = self.color and check_crops(images).ndim == 4
        if "depth" in self.seen_modalities():
            depth = as_batch(images)["depth"]
            rows = evenly(len(depth), _LEARNED_FROM)
            known = [fill_holes(np.asarray(row)) for row in depth[rows]]
            known = [row for row in known if row.any()]
            if not known:
                raise InputError("depth: no crop has any value above 0; leave depth out, or mend the files")
            off = np.concatenate([np.abs(row - _own(row)).ravel()[::7] for row in known])
            steep = np.concatenate([np.linalg.norm(slopes(row), axis=-1).ravel()[::7] for row in known])
            self.spread_ = max(float(np.percentile(off, _SPREAD)), 1e-3)
            self.steep_ = max(float(np.percentile(steep, _STEEP)), 1e-3)
        return self

    def planes(self, images: Any) -> Any:
        """(B, H, W) uint8 of one plane, else (B, H, W, P); a stream of pictures alone stays one."""
        pictures = check_crops(images)
        parts = [self._picture(pictures)] if "image" in self.inputs else []
        inputs = _checked(self.inputs)
        if inputs == ("image",):
            return parts[0]
        found = {"image": parts[0]} if parts else {}
        if "depth" in self.seen_modalities():
            found |= self._surfaces(as_batch(images)["depth"], pictures.shape[1:3])
        named = [np.asarray(found[name]) for name in inputs]
        out = np.concatenate([p if p.ndim == 4 else p[..., None] for p in named], axis=-1)
        return out[..., 0] if out.shape[-1] == 1 else out

    def _picture(self, pictures: Any) -> Any:
        if not getattr(self, "color_", self.color):
            return crops_to_grey(pictures)
        if pictures.ndim == 3 and hasattr(self, "color_"):  # grey, and colour was learned from
            return np.asarray(pictures)[..., None].repeat(3, -1)
        return pictures

    def _surfaces(self, depth: Any, size_hw: tuple[int, int]) -> dict[str, Array]:
        if depth.shape[1:] != tuple(size_hw):
            raise InputError(f"depth is {depth.shape[1:]}, its pictures {tuple(size_hw)}: both need one size")
        wanted = [name for name in _checked(self.inputs) if INPUTS[name][0] == "depth"]
        out = {name: np.empty((len(depth), *size_hw, INPUTS[name][1]), np.uint8) for name in wanted}
        at = 0
        for block in blocks(depth):
            for row in np.asarray(block):
                whole = fill_holes(row)
                if "depth" in out:
                    near = (_own(whole) - whole) / self.spread_
                    out["depth"][at, ..., 0] = np.rint(127.5 + 127.5 * near / np.sqrt(1 + near * near))
                if "normals" in out:
                    up, facing = np.moveaxis(tilts(slopes(whole), self.steep_), -1, 0)
                    out["normals"][at] = np.rint(np.stack([127.5 + 127.5 * up, 255 * facing], -1))
                at += 1
        return out


class ReadsPlanes:
    """What estimators with ``inputs`` have in common: they read :class:`Planes` instead of grey pictures.

    Of pictures alone nothing is learned and nothing kept.
    """

    inputs: tuple[str, ...]

    def seen_modalities(self) -> tuple[str, ...]:
        """The modalities that the inputs are made of."""
        return Planes(self.inputs).seen_modalities()

    @property
    def input_names(self) -> tuple[str, ...]:
        """The inputs, checked."""
        return _checked(self.inputs)

    @property
    def sees_more(self) -> bool:
        """Whether there is anything beside, or instead of, the picture."""
        return self.input_names != ("image",)

    def learn_planes(self, images: Any, color: bool = False) -> Any:
        """The planes of training crops, after their scales were learned."""
        if self.sees_more:
            self.planes_ = Planes(self.input_names, color).fit(images)
        return self.read_planes(images, color)

    def read_planes(self, images: Any, color: bool = False) -> Any:
        """The planes of crops: (B, H, W[, P]) uint8."""
        return (self.planes_ if self.sees_more else Planes(color=color)).planes(images)

    def check_export(self) -> None:
        """:class:`InputError` for a model of more than pictures, which no application can be given yet."""
        if self.sees_more:
            raise InputError(
                f"a model of {' and '.join(self.input_names)} cannot be exported: exported ones see pictures"
            )


def _checked(inputs: Any) -> tuple[str, ...]:
    """Inputs that there are, each once."""
    names = (inputs,) if isinstance(inputs, str) else tuple(inputs)
    unknown = [name for name in names if name not in INPUTS]
    if unknown or not names or len(set(names)) != len(names):
        known = ", ".join(INPUTS)
        raise InputError(f"inputs={':'.join(map(str, names)) or 'none'}: give some of {known}, each once")
    return names


def _own(whole: Array) -> float:
    """The depth that a crop's others are compared with: the median of its middle."""
    h, w = whole.shape
    y, x = round(h * _MIDDLE), round(w * _MIDDLE)
    return float(np.median(whole[y : h - y, x : w - x]))
