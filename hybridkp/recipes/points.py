"""Named constructors of the interest-point task: the one room that knows every pair matcher.

A recipe is a function of the point budget and the seed that gives a fresh
:class:`~hybridkp.structures.pairs.PairMatcher`.  To add a method: write the function, add the line in
:data:`_METHODS`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, NamedTuple

from ..structures import InputError


class _Recipe(NamedTuple):
    make: Callable[[int, int], Any]  #: (n_points, random_state) -> PairMatcher
    about: str  #: one line
    family: str  #: "classical", "deep", "hybrid", or "control": a hybrid's stages without what is learned


# --------------------------------------------------------------------------------------------
# features
# --------------------------------------------------------------------------------------------


def _rootsift(n_points: int) -> Any:
    from ..points import SIFTFeature

    return SIFTFeature(n_points, root=True)


def _net(n_points: int) -> Any:
    from ..points import NetFeature

    return NetFeature(n_points)


def _orb_beblid(n_points: int) -> Any:
    from ..points import BEBLID, ORBFeature, Paired

    return Paired(ORBFeature(n_points), BEBLID(), n_points)


def _paired(detector: str, descriptor: str) -> Callable[[int], Any]:
    def make(n_points: int) -> Any:
        from .. import points

        return points.Paired(getattr(points, detector)(), getattr(points, descriptor)(), n_points)

    return make


def _feature(name: str) -> Callable[[int], Any]:
    def make(n_points: int) -> Any:
        from .. import points

        return getattr(points, name)(n_points)

    return make


# --------------------------------------------------------------------------------------------
# matchers
# --------------------------------------------------------------------------------------------


def _single(
    make: Callable[[int], Any], rule: str = "mutual", ratio: float = 0.9
) -> Callable[[int, int], Any]:
    """One feature, one rule."""

    def recipe(n_points: int, random_state: int) -> Any:
        from ..points import FeatureMatcher

        return FeatureMatcher(make(n_points), rule, ratio, random_state=random_state)

    return recipe


def _two_stage(first: Callable[[int], Any], rounds: int = 1, **options: Any) -> Callable[[int, int], Any]:
    """Ratio-tested matches of ``first``, then the net on the warped picture."""
    return _net_after(_single(first, "ratio"), rounds, **options)


def _net_after(
    first: Callable[[int, int], Any], rounds: int = 1, **options: Any
) -> Callable[[int, int], Any]:
    """Any recipe's homography, then the net on the warped picture."""

    def recipe(n_points: int, random_state: int) -> Any:
        from ..points import TwoStageMatcher

        start = first(n_points, random_state)
        return TwoStageMatcher(start, _net(n_points), rounds=rounds, random_state=random_state, **options)

    return recipe


def _control(n_points: int, random_state: int) -> Any:
    from ..points import TwoStageMatcher, Upright

    start = _single(_rootsift, "ratio")(n_points, random_state)
    return TwoStageMatcher(start, Upright(_rootsift(n_points)), random_state=random_state)


def _refined(recipe: Callable[[int, int], Any]) -> Callable[[int, int], Any]:
    """A recipe's matches moved to sub-pixel agreement."""

    def refined(n_points: int, random_state: int) -> Any:
        from ..points import RefinedMatcher

        return RefinedMatcher(recipe(n_points, random_state), random_state=random_state)

    return refined


def _surf_first(n_points: int, random_state: int) -> Any:
    """SURF, and RootSIFT where SURF finds too little: a coarse homography at half of SIFT's cost."""
    from ..points import FallbackMatcher

    makes = _feature("SURFFeature"), _rootsift
    return FallbackMatcher([_single(make, "ratio")(n_points, random_state) for make in makes])


def _grid(recipe: Callable[[int, int], Any], n_passes: int = 2) -> Callable[[int, int], Any]:
    """A recipe's homography estimated again from a grid of patches."""

    def refined(n_points: int, random_state: int) -> Any:
        from ..points import GridRefinedMatcher

        first = recipe(n_points, random_state)
        return GridRefinedMatcher(first, n_passes=n_passes, random_state=random_state)

    return refined


def _ranked(n_points: int) -> Any:
    from ..points import MatchabilityRanked

    return MatchabilityRanked(n_points=n_points)


def _ecc(n_points: int, random_state: int) -> Any:
    from ..points import EccMatcher

    return EccMatcher(_single(_rootsift, "ratio")(n_points, random_state))


def _union(n_points: int, random_state: int) -> Any:
    from ..points import UnionMatcher

    members = [_single(make, "ratio")(n_points, random_state) for make in (_rootsift, _net)]
    return UnionMatcher(members, min_support=0.4, random_state=random_state)


def _concat(weights: tuple[float, float]) -> Callable[[int, int], Any]:
    """RootSIFT's points; RootSIFT's and the net's rows, weighted."""

    def make(n_points: int) -> Any:
        from ..points import ConcatFeature

        return ConcatFeature([("rootsift", _rootsift(n_points)), ("net", _net(n_points))], weights)

    return _single(make)


_METHODS: dict[str, _Recipe] = {
    "sift": _Recipe(_single(_feature("SIFTFeature")), "SIFT, mutual nearest neighbours", "classical"),
    "rootsift": _Recipe(_single(_rootsift, "ratio"), "RootSIFT, mutual and ratio 0.9", "classical"),
    "rootsift-mutual": _Recipe(_single(_rootsift), "RootSIFT, mutual nearest neighbours", "classical"),
    "rootsift-gms": _Recipe(_single(_rootsift, "gms"), "RootSIFT, grid-based motion statistics", "classical"),
    "surf": _Recipe(_single(_feature("SURFFeature")), "SURF, ours, mutual", "classical"),
    "orb": _Recipe(_single(_feature("ORBFeature")), "ORB, mutual", "classical"),
    "akaze": _Recipe(_single(_feature("AKAZEFeature")), "AKAZE with its bits, mutual", "classical"),
    "kaze": _Recipe(_single(_feature("KAZEFeature")), "KAZE, mutual", "classical"),
    "brisk": _Recipe(_single(_feature("BRISKFeature")), "BRISK, mutual", "classical"),
    "orb+beblid": _Recipe(_single(_orb_beblid), "ORB's points with BEBLID's bits, mutual", "classical"),
    "orb+teblid": _Recipe(
        _single(_paired("ORBFeature", "TEBLID")), "ORB's points with TEBLID's bits, mutual", "classical"
    ),
    "orb+sift": _Recipe(
        _single(_paired("ORBFeature", "SIFTFeature")), "ORB's points with SIFT's rows, mutual", "classical"
    ),
    "fast+sift": _Recipe(
        _single(_paired("FAST", "SIFTFeature")), "FAST corners with SIFT's rows, mutual", "classical"
    ),
    "net": _Recipe(_single(_net), "our network's points and rows, mutual", "deep"),
    "net-ratio": _Recipe(_single(_net, "ratio", 0.95), "our network, mutual and ratio 0.95", "deep"),
    "rootsift+net-rows": _Recipe(_concat((0.0, 1.0)), "RootSIFT's points, the net's rows, mutual", "hybrid"),
    "concat": _Recipe(_concat((1.0, 1.0)), "RootSIFT's points, both rows side by side, mutual", "hybrid"),
    "union": _Recipe(_union, "ratio-tested RootSIFT and net together, votes between them", "hybrid"),
    "rootsift>net": _Recipe(_two_stage(_rootsift), "RootSIFT, warp, the net within 12 px", "hybrid"),
    "rootsift>net-x2": _Recipe(
        _two_stage(_rootsift, 2, pool="union"),
        "RootSIFT, warp and the net, twice; both's matches",
        "hybrid",
    ),
    "rootsift>net-x2+refine": _Recipe(
        _refined(_two_stage(_rootsift, 2)),
        "RootSIFT, warp and the net twice, refined on pixels",
        "hybrid",
    ),
    "orb+beblid>net": _Recipe(_two_stage(_orb_beblid), "ORB and BEBLID, warp, the net nearby", "hybrid"),
    "orb+beblid>net-x2": _Recipe(
        _two_stage(_orb_beblid, 2), "ORB and BEBLID, warp and the net, twice", "hybrid"
    ),
    "orb+beblid>net-x2+refine": _Recipe(
        _refined(_two_stage(_orb_beblid, 2)), "ORB and BEBLID, warp and the net twice, refined", "hybrid"
    ),
    "surf>net-x2+grid": _Recipe(
        _grid(_net_after(_surf_first, 2)),
        "SURF or RootSIFT, the net twice, then a grid of patches",
        "hybrid",
    ),
    "orb+beblid>net+grid": _Recipe(
        _grid(_two_stage(_orb_beblid)), "ORB and BEBLID, the net, then a grid of patches", "hybrid"
    ),
    "matchability": _Recipe(
        _single(_ranked, "ratio"), "RootSIFT's points by learned matchability, ratio 0.9", "hybrid"
    ),
    "rootsift+refine": _Recipe(
        _refined(_single(_rootsift, "ratio")), "RootSIFT, then least-squares matching", "control"
    ),
    "rootsift>upright-rootsift": _Recipe(_control, "RootSIFT, warp, RootSIFT without orientation", "control"),
    "surf+grid": _Recipe(
        _grid(_surf_first, 4), "SURF or RootSIFT, then a grid of patches; no net", "control"
    ),
    "rootsift>ecc": _Recipe(_ecc, "RootSIFT, then its homography refined on the pixels (ECC)", "control"),
}

#: what ``hybridkp bench-points`` runs without ``--methods``
DEFAULT: tuple[str, ...] = (
    *("sift", "rootsift", "surf", "orb", "akaze", "orb+beblid", "net"),
    *("union", "concat", "matchability", "rootsift>net", "rootsift>net-x2", "rootsift>net-x2+refine"),
    *("orb+beblid>net", "orb+beblid>net-x2", "orb+beblid>net-x2+refine"),
    *("surf>net-x2+grid", "orb+beblid>net+grid"),
    *("rootsift+refine", "rootsift>upright-rootsift", "surf+grid", "rootsift>ecc"),
)


def method_names() -> list[str]:
    """Names for :func:`make_matcher`."""
    return list(_METHODS)


def _recipe(name: str) -> _Recipe:
    if name not in _METHODS:
        near = difflib.get_close_matches(name, _METHODS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`hybridkp list --task points` shows them"
        raise InputError(f"unknown method {name!r}: {hint}")
    return _METHODS[name]


def make_matcher(name: str, n_points: int = 1024, random_state: int = 0) -> Any:
    """A fresh pair matcher with a budget of ``n_points`` per picture."""
    return _recipe(name).make(n_points, random_state)


def describe_method(name: str) -> str:
    """One line about a method."""
    return _recipe(name).about


def family(name: str) -> str:
    """``"classical"``, ``"deep"``, ``"hybrid"`` or ``"control"``."""
    return _recipe(name).family
