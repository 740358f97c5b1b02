"""The one list of backbones by name: a new one is its file, its import and its row here.

Nothing is built before it is asked for.  A row takes the number of channels of the pictures.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

from ...structures import InputError
from .backbone import Backbone
from .dense import DenseTrunk
from .encoder import Encoder
from .unet import UNet

BACKBONES: dict[str, Callable[[int], Backbone]] = {
    "dense": DenseTrunk,
    "encoder": Encoder,
    "unet": UNet,
}


def make_backbone(name: str, channels: int = 1) -> Backbone:
    """A fresh backbone for pictures of ``channels``; :class:`InputError` for an unknown name."""
    if name not in BACKBONES:
        near = difflib.get_close_matches(str(name), BACKBONES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(BACKBONES))}"
        raise InputError(f"no backbone {name!r}: {hint}")
    return BACKBONES[name](channels)
