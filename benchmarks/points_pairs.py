"""What the rescaling of sizes gains when detectors and descriptors are paired.

    python benchmarks/points_pairs.py

Bundled pictures (those that are for learning, not those that judge) under seeded homographies: tilt,
zoom and turn.  Each pair with its sizes left alone ("naive"), with the rule of
``hybridkp.points.pairing.WINDOW``, and, for comparison, scaled so that the blob or corner has the
same sigma in both methods' eyes.  Printed: MMA of the mutual nearest neighbours, mean over pairs.
"""

from __future__ import annotations

import argparse
from typing import Any

import cv2
import numpy as np

from hybridkp import points
from hybridkp.datasets.synthetic.bundled import training_pictures
from hybridkp.datasets.synthetic.photo_pairs import View, draw_homography, warp_homography
from hybridkp.metrics.points import mma
from hybridkp.points.matching import mutual_nearest

NAMES = ("chelsea", "rocket", "china", "flower", "coins", "brick", "retina", "page")
VIEW = View((5, 45), (0.1, 0.5), 0.12, 0.05)
#: sigma per px of size: SIFT and KAZE size / 2, AKAZE size / 3, SURF 1.2 / 9; ORB's and FAST's corner
#: (a ring of radius 3) is taken for a blob of sigma 1.6 on its level
SIGMA = {"SIFTFeature": 0.5, "SURFFeature": 1.2 / 9, "AKAZEFeature": 1 / 3, "KAZEFeature": 0.5}
SIGMA |= {"ORBFeature": 1.6 / 31, "BEBLID": 1.6 / 31, "TEBLID": 1.6 / 31, "FAST": 1.6 / 7}

PAIRS: dict[str, tuple[Any, Any]] = {
    "ORB + SIFT": (points.ORBFeature(), points.SIFTFeature()),
    "ORB + RootSIFT": (points.ORBFeature(), points.SIFTFeature(root=True)),
    "FAST + RootSIFT": (points.FAST(), points.SIFTFeature(root=True)),
    "ORB + BEBLID": (points.ORBFeature(), points.BEBLID()),
    "ORB + TEBLID": (points.ORBFeature(), points.TEBLID()),
    "SIFT + BEBLID": (points.SIFTFeature(), points.BEBLID()),
    "SIFT + SURF": (points.SIFTFeature(), points.SURFFeature()),
    "AKAZE + RootSIFT": (points.AKAZEFeature(), points.SIFTFeature(root=True)),
    "SURF + RootSIFT": (points.SURFFeature(), points.SIFTFeature(root=True)),
    "SIFT + AKAZE": (points.SIFTFeature(), points.AKAZEFeature()),
}


def accuracy(feature: Any, pictures: list[tuple[Any, Any, Any]]) -> np.ndarray:
    out = []
    for image, warped, homography in pictures:
        (a, rows_a), (b, rows_b) = feature.detect_and_describe(image), feature.detect_and_describe(warped)
        m = mutual_nearest(rows_a, rows_b, feature.norm)
        out.append(mma(a.xy[m.index_a], b.xy[m.index_b], homography, (1.0, 3.0, 5.0)))
    return np.nanmean(out, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=512)
    parser.add_argument("--short-side", type=int, default=320)
    parser.add_argument("--only", nargs="*", default=list(PAIRS))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rng, pictures = np.random.default_rng(0), []
    for name, image in training_pictures(args.short_side).items():
        if name in NAMES:
            homography = draw_homography(VIEW, image.shape[:2], rng)
            pictures.append((image, warp_homography(image, homography, image.shape[:2]), homography))
    print(f"{len(pictures)} pairs, {args.points} points; MMA at 1/3/5 px")
    for title in args.only:
        detector, descriptor = PAIRS[title]
        names = type(detector).__name__, type(descriptor).__name__
        rules: dict[str, str | float] = {"naive": 1.0, "window": "window"}
        rules["sigma"] = SIGMA[names[0]] / SIGMA[names[1]]
        cells = []
        for rule, scale in rules.items():
            found = accuracy(points.Paired(detector, descriptor, args.points, scale), pictures)
            cells.append(f"{rule} " + "/".join(f"{v:.3f}" for v in found))
        print(f"{title:18s} " + "   ".join(cells), flush=True)


if __name__ == "__main__":
    main()
