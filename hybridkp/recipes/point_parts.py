"""The parts of the interest-point task, a row each, and its well-known methods.

To add a detector, a descriptor, a step or a rule: its class in its room, and its row here.
"""

from __future__ import annotations

from .parts import Inside, Listed, Row, Task

#: a feature by itself becomes a matcher by a rule for its rows
_MATCHED = Inside(".points:FeatureMatcher", "feature")
#: a detector's points with a descriptor's rows, then such a matcher
_PAIRED = Inside(".points:Paired", "descriptor", "detector", inside=_MATCHED)
#: a feature on the warped picture, near where the homography of what stands before it says
_SECOND = Inside(".points:TwoStageMatcher", "second", "first")
_SINGLE = (".points:FeatureMatcher", "single features")

_FEATURES = (
    *(
        Row("feature detector", name, f".points:{target}Feature", about, "classical", own, inside=_MATCHED)
        for name, target, about, own in (
            ("sift", "SIFT", "SIFT, mutual nearest neighbours", {}),
            ("rootsift", "SIFT", "RootSIFT, mutual and ratio 0.9", {"root": True, "rule": "ratio"}),
            ("surf", "SURF", "SURF, ours, mutual", {}),
            ("orb", "ORB", "ORB, mutual", {}),
            ("akaze", "AKAZE", "AKAZE with its bits, mutual", {}),
            ("kaze", "KAZE", "KAZE, mutual", {}),
            ("brisk", "BRISK", "BRISK, mutual", {}),
        )
    ),
    Row(
        "feature",
        "net",
        ".points:NetFeature",
        "our network's points and rows, mutual",
        "deep",
        inside=_MATCHED,
    ),
    Row(
        "feature",
        "matchability",
        ".points:MatchabilityRanked",
        "RootSIFT's points by learned matchability, ratio 0.9",
        "hybrid",
        {"rule": "ratio"},
        inside=_MATCHED,
    ),
    *(
        Row("feature", name, f".points:{target}", f"{about}, mutual", "peer", inside=_MATCHED)
        for name, target, about in (
            ("onnx", "OnnxFeature", 'another\'s network, onnx[file="net.onnx"]'),
            ("aliked", "AlikedFeature", 'ALIKED by OpenCV 5, aliked[file="aliked.onnx"]'),
            ("disk", "DiskFeature", 'DISK by OpenCV 5, disk[file="disk.onnx"]'),
        )
    ),
    Row("detector", "fast", ".points:FAST", "FAST corners", "classical"),
    Row("detector", "corners", ".points:Corners", "Shi and Tomasi's corners", "classical"),
    *(
        Row("descriptor", name, f".points:{target}", about, "classical", own, inside=_PAIRED)
        for name, target, about, own in (
            ("sift", "SIFTFeature", "SIFT's rows", {}),
            ("rootsift", "SIFTFeature", "RootSIFT's rows", {"root": True}),
            ("surf", "SURFFeature", "SURF's rows", {}),
            ("brisk", "BRISKFeature", "BRISK's bits", {}),
            *((name.lower(), name, f"{name}'s bits", {}) for name in ("BEBLID", "TEBLID", "BRIEF", "FREAK")),
        )
    ),
)

_STEPS = (
    Row("step", "net", ".points:NetFeature", "our network nearby, after a warp", "deep", inside=_SECOND),
    Row(
        "step",
        "upright-rootsift",
        ".points:Upright",
        "RootSIFT without orientation nearby, after a warp",
        "classical",
        {"feature": "rootsift"},
        inside=_SECOND,
    ),
    Row(
        "step",
        "turns",
        ".points:TurnedMatcher",
        "turned and resized where upright finds little",
        holds="first",
        needs=_SINGLE,
    ),
    Row("step", "refine", ".points:RefinedMatcher", "least-squares matching", "classical", holds="first"),
    Row("step", "grid", ".points:GridRefinedMatcher", "a grid of patches", "classical", holds="first"),
    Row(
        "step",
        "ecc",
        ".points:EccMatcher",
        "the homography refined on pixels (ECC)",
        "classical",
        holds="first",
    ),
)

_RULES = (
    Row(
        "rule",
        "concat",
        ".points:ConcatFeature",
        "the first one's points, rows side by side",
        holds="parts",
        takes="feature",
        needs=("norm=L2", "rows of numbers"),
        inside=_MATCHED,
    ),
    Row(
        "rule",
        "lightglue",
        ".points:LightGlueMatcher",
        'another\'s LightGlue for its feature, lightglue[file="lg.onnx"] of aliked',
        "peer",
        holds="feature",
        takes="feature",
    ),
    Row(
        "rule",
        "union",
        ".points:UnionMatcher",
        "all matches together, votes between them",
        holds="members",
        named=False,
        needs=_SINGLE,
    ),
    Row(
        "rule",
        "fallback",
        ".points:FallbackMatcher",
        "the next where one finds too little",
        holds="members",
        named=False,
    ),
)

_LISTED = (
    Listed("rootsift[rule=mutual]", "RootSIFT, mutual nearest neighbours"),
    Listed("rootsift[rule=gms]", "RootSIFT, grid-based motion statistics"),
    Listed("orb+beblid", "ORB's points with BEBLID's bits, mutual"),
    Listed("orb+teblid", "ORB's points with TEBLID's bits, mutual"),
    Listed("orb+sift", "ORB's points with SIFT's rows, mutual"),
    Listed("fast+sift", "FAST corners with SIFT's rows, mutual"),
    Listed("net[ratio=0.95,rule=ratio]", "our network, mutual and ratio 0.95"),
    Listed("net:turns", "our network; turned and resized pictures where upright ones give little"),
    Listed("net-rows", "RootSIFT's points, the net's rows, mutual", "concat[weights=0:1](rootsift,net)"),
    Listed("concat", "RootSIFT's points, both rows side by side", "concat[weights=1:1](rootsift,net)"),
    Listed(
        "union",
        "ratio-tested RootSIFT and net together, votes between them",
        "union[min_support=0.4](rootsift,net[rule=ratio])",
    ),
    Listed("rootsift:net", "RootSIFT, warp, the net within 12 px"),
    Listed("rootsift:net[pool=union,rounds=2]", "RootSIFT, warp and the net, twice; both's matches"),
    Listed("rootsift:net[rounds=2]:refine", "RootSIFT, warp and the net twice, refined on pixels"),
    Listed(
        "rootsift:net[guide=epipolar]:refine[guide=epipolar]",
        "scenes that are no plane: RootSIFT, the net near epipolar lines, refined",
    ),
    Listed("orb+beblid[rule=ratio]:net", "ORB and BEBLID, warp, the net nearby"),
    Listed("orb+beblid[rule=ratio]:net[rounds=2]", "ORB and BEBLID, warp and the net, twice"),
    Listed("orb+beblid[rule=ratio]:net[rounds=2]:refine", "ORB and BEBLID, warp and the net twice, refined"),
    Listed(
        "surf-net-grid",
        "SURF or RootSIFT, the net twice, then a grid of patches",
        "fallback(surf[rule=ratio],rootsift):net[rounds=2]:grid",
    ),
    Listed(
        "orb-net-grid", "ORB and BEBLID, the net, then a grid of patches", "orb+beblid[rule=ratio]:net:grid"
    ),
    Listed("rootsift:refine", "RootSIFT, then least-squares matching", family="control"),
    Listed("rootsift:upright-rootsift", "RootSIFT, warp, RootSIFT without orientation", family="control"),
    Listed(
        "surf-grid",
        "SURF or RootSIFT, then a grid of patches; no net",
        "fallback(surf[rule=ratio],rootsift):grid[n_passes=4]",
        family="control",
    ),
    Listed("rootsift:ecc", "RootSIFT, then its homography refined on the pixels (ECC)", family="control"),
)

POINTS = Task(
    "points",
    start="feature",
    first="detector",
    last="descriptor",
    rows=(*_FEATURES, *_STEPS, *_RULES),
    listed=_LISTED,
    nested={"feature": "feature"},
)

#: what ``hybridkp bench-points`` runs without ``--methods``
POINTS_DEFAULT: tuple[str, ...] = (
    *("sift", "rootsift", "surf", "orb", "akaze", "orb+beblid", "net"),
    *("union", "concat", "matchability", "rootsift:net", "rootsift:net[pool=union,rounds=2]"),
    *("rootsift:net[rounds=2]:refine", "orb+beblid[rule=ratio]:net"),
    *("orb+beblid[rule=ratio]:net[rounds=2]", "orb+beblid[rule=ratio]:net[rounds=2]:refine"),
    *("surf-net-grid", "orb-net-grid"),
    *("rootsift:refine", "rootsift:upright-rootsift", "surf-grid", "rootsift:ecc"),
)
