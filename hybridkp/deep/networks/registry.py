"""Backbones by name: the architectures that the stub of this package names are the one list.

Nothing is built before it is asked for.
"""

from __future__ import annotations

import copy
import difflib
from typing import Any

import torch
from torch import Tensor, nn

from ...structures import InputError
from .backbone import Architecture, Backbone


def architectures() -> dict[str, type[Architecture]]:
    """Name -> class, of all that the stub names."""
    from .. import networks

    known = [getattr(networks, name) for name in dir(networks)]
    found = [
        c for c in known if isinstance(c, type) and issubclass(c, Architecture) and c is not Architecture
    ]
    return {c.__name__.lower(): c for c in found}


def make_backbone(backbone: Any, channels: int = 1, side: int = 128) -> Backbone:
    """A fresh backbone for pictures of ``channels``, to be trained on squares of ``side`` px.

    Parameters
    ----------
    backbone : name of an architecture, an :class:`.Architecture`, or any module of anybody's
        A module maps standardised pictures (B, C, H, W) to features (B, F, H / s, W / s).  It is copied, its
        weights are where the training starts, and F and s are found by asking it about a blank picture.

    Raises
    ------
    InputError
        For an unknown name, parameters out of range, and a module that breaks this contract.
    """
    if isinstance(backbone, str):
        known = architectures()
        if backbone not in known:
            near = difflib.get_close_matches(backbone, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
            raise InputError(f"no backbone {backbone!r}: {hint}")
        backbone = known[backbone]()
    if isinstance(backbone, Architecture):
        return backbone.build(channels, side)
    if isinstance(backbone, nn.Module):
        return Foreign(copy.deepcopy(backbone), channels, side)
    raise InputError(
        f"backbone must be a name, an architecture or a torch.nn.Module, got {type(backbone).__name__}"
    )


class Foreign(Backbone):
    """Anybody's module as a backbone, by the contract of :func:`make_backbone`."""

    def __init__(self, module: nn.Module, channels: int, side: int) -> None:
        super().__init__()
        self.module = module
        name = type(module).__name__
        training = module.training
        try:
            with torch.inference_mode():
                found = module.eval()(torch.zeros(1, channels, side, side))
        except Exception as error:  # whatever somebody's code raises
            first = (str(error).splitlines() or [""])[0]
            raise InputError(
                f"backbone {name} fails on pictures (1, {channels}, {side}, {side}): "
                f"{type(error).__name__}: {first}"
            ) from error
        module.train(training)
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        if not isinstance(found, Tensor) or found.ndim != 4 or found.shape[2] != found.shape[3]:
            raise InputError(f"backbone {name} must give features (B, F, H / s, W / s), got {shape}")
        if side % found.shape[2]:
            raise InputError(
                f"backbone {name} makes {found.shape[2]} px of {side}, which is no whole stride: "
                "pad its convolutions"
            )
        self.n_features, self.stride = int(found.shape[1]), side // int(found.shape[2])

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.module(pictures)
        return features
