"""Named constructors of what recipes are made of: descriptors and refiners, for recipes and checks.

No detector is built here, and nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _descriptors() -> dict[str, Any]:
    from ..descriptors import HOG, ORB, SIFT, SURF, Concat, MultiLevel

    return {
        "sift": SIFT(),
        "orb": ORB(),
        "hog": HOG(),
        "surf": SURF(size_px=16),
        "surf-upright-128": SURF(upright=True, extended=True, size_px=16),
        "sift-hog": Concat([("sift", SIFT()), ("hog", HOG())]),
        "hog-3-levels": MultiLevel(HOG(), levels=(0, 1, 2)),
    }


def _cnn(quick: bool) -> Any:
    from ..deep import CNNRefiner

    changes = {"max_epochs": 6, "epoch_pictures": 500} if quick else {"max_epochs": 8}
    return CNNRefiner(schedule=CNNRefiner.default_schedule(**changes))


def _subpixel(quick: bool) -> Any:
    from ..landmarks.refiner import SubpixelRefiner

    return SubpixelRefiner()


_REFINERS: dict[str, Callable[[bool], Any]] = {"cnn": _cnn, "subpixel": _subpixel}


def descriptor_names() -> list[str]:
    """Names for :func:`make_descriptor`."""
    return list(_descriptors())


def make_descriptor(name: str) -> Any:
    """A descriptor with its default parameters."""
    return _descriptors()[name]


def refiner_names() -> list[str]:
    """Names for :func:`make_refiner`."""
    return list(_REFINERS)


def make_refiner(name: str, quick: bool = False) -> Any:
    """A fresh, unfitted refiner; ``quick`` trains shorter."""
    return _REFINERS[name](quick)
