"""Interest points: local features, their matching, and what learning adds to them.

A :class:`~hybridkp.structures.LocalFeature` goes from a picture to keypoints and rows, a
:class:`~hybridkp.pairs.PairMatcher` from two pictures to matched points and a homography.
Never here: torch, metrics, truth.  Names load lazily.
"""

from __future__ import annotations

from ..lazy import doors

__getattr__, __dir__, __all__ = doors(
    __name__,
    {
        "AKAZEFeature": "diffusion",
        "AlikedFeature": "onnx",
        "BEBLID": "bits",
        "BRIEF": "bits",
        "BRISKFeature": "classical",
        "ConcatFeature": "combined",
        "Corners": "detectors",
        "DiskFeature": "onnx",
        "EccMatcher": "matchers",
        "FAST": "detectors",
        "FREAK": "bits",
        "FallbackMatcher": "matchers",
        "FeatureMatcher": "matchers",
        "FromFeature2D": "opencv_door",
        "GridRefinedMatcher": "grid",
        "KAZEFeature": "diffusion",
        "LightGlue": "onnx",
        "LightGlueMatcher": "onnx",
        "Matchability": "matchability",
        "MatchabilityRanked": "matchability",
        "Matches": "matching",
        "NetFeature": "net",
        "ORBFeature": "classical",
        "OnnxFeature": "onnx",
        "Paired": "pairing",
        "RefinedMatcher": "subpixel",
        "SIFTFeature": "classical",
        "SURFFeature": "classical",
        "TEBLID": "bits",
        "TwoStageMatcher": "two_stage",
        "UnionMatcher": "matchers",
        "Upright": "combined",
        "as_feature2d": "opencv_door",
        "estimate_fundamental": "robust",
        "estimate_homography": "robust",
        "gms": "matching",
        "guided_matches": "matching",
        "least_squares_matching": "subpixel",
        "match_grid": "grid",
        "mutual_nearest": "matching",
        "ratio_test": "matching",
        "refine_ecc": "robust",
    },
)
