"""SURF's repeatability and matching accuracy on graf 1->2, 3, 4, and beside the authors' program.

    python benchmarks/points_surf.py DATA

DATA holds ``oxford_affine`` and ``surf_reference``.  Of the authors' program there is only its output
on the first picture of graf; so its repeatability and MMA between two pictures cannot be
measured here.  What can be: whether ours finds its points (as one-to-one repeatability between
both programs' points of one picture, in the same measure as between two pictures), what
becomes of its points and rows of picture 1 against ours of pictures 2 to 4 (one side is ours in both
lines, so the likeness of both sides favours ours), and how ours fares against SIFT and ORB.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hybridkp import points
from hybridkp.datasets.hpatches import read_hpatches
from hybridkp.descriptors import SURF
from hybridkp.descriptors.surf import SCALE_OF_SIZE
from hybridkp.imaging.pyramid import gaussian_pyramid
from hybridkp.metrics.points import localisation_error, mma, repeatability
from hybridkp.points.matching import mutual_nearest, ratio_test
from hybridkp.structures import Keypoints

THRESHOLDS = (1.0, 3.0, 5.0)


def reference(path: Path) -> tuple[Keypoints, np.ndarray]:
    """Points and unit rows of the authors' program: 1 / r^2 with r = 2.5 s, sums signed as in our rows."""
    with gzip.open(path, "rt") as lines:
        table = np.loadtxt(lines, skiprows=2)
    part = table[:, 6:].reshape(-1, 16, 4)
    dx, dy = part[..., 0] + part[..., 1], part[..., 2] + part[..., 3]
    rows = np.stack([dx, dy, part[..., 1] - part[..., 0], part[..., 3] - part[..., 2]], axis=-1)
    rows = rows.reshape(len(table), -1)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return Keypoints(table[:, :2], size=0.4 / np.sqrt(table[:, 2]) / SCALE_OF_SIZE), rows.astype(np.float32)


def beside_the_authors(root: Path) -> None:
    image = cv2.imread(str(root / "graf1.png"), cv2.IMREAD_GRAYSCALE)
    theirs, their_rows = reference(root / "graf1.surf64.txt.gz")
    ours = SURF(threshold=20).detect(image)[: len(theirs)]
    size = image.shape
    print(f"graf 1, {len(theirs)} points of the authors' program and our {len(ours)} strongest:")
    for t in THRESHOLDS:
        both = repeatability(ours.xy, theirs.xy, np.eye(3), size, size, t)
        print(f"  found by both, one-to-one, within {t:g} px: {both:.3f}")
    error = localisation_error(ours.xy, theirs.xy, np.eye(3), size, size, 3.0)
    print(f"  mean distance of these: {error:.3f} px")
    rows = SURF().describe(gaussian_pyramid(image, 1), Keypoints(theirs.xy, size=theirs.size))
    cosine = (rows * their_rows).sum(axis=1)
    pairs = mutual_nearest(rows, their_rows)
    right = np.mean(pairs.index_a == pairs.index_b)
    print(f"  rows at their points: median cosine {np.median(cosine):.3f}; {len(pairs.index_a)} mutual")
    print(f"  nearest neighbours between ours and theirs, {right:.3f} of them of one point")


def one_side_theirs(root: Path, data: Path) -> None:
    """Their points and rows of picture 1 against our 1561 strongest of the others, full size."""
    theirs, their_rows = reference(root / "graf1.surf64.txt.gz")
    surf = points.SURFFeature(len(theirs), threshold=20)
    print("\nfull size, 1561 points, the second picture ours: repeatability at 1/3/5 px, MMA at 1/3/5 px")
    for pair in graf_pairs(data, None):
        a, b = pair.load_a(), pair.load_b()
        found, rows = surf.detect_and_describe(b)
        for name, (first, first_rows) in {
            "theirs": (theirs, their_rows),
            "ours": surf.detect_and_describe(a),
        }.items():
            sizes = a.shape[:2], b.shape[:2]
            rep = [repeatability(first.xy, found.xy, pair.homography, *sizes, t) for t in THRESHOLDS]
            m = mutual_nearest(first_rows, rows)
            accuracy = mma(first.xy[m.index_a], found.xy[m.index_b], pair.homography, THRESHOLDS)
            print(f"{pair.name:10s} {name:8s}" + "".join(f" {v:.3f}" for v in [*rep, *accuracy]))


def graf_pairs(data: Path, short_side: int | None) -> list[Any]:
    pairs = read_hpatches(data / "oxford_affine", short_side)
    return [p for p in pairs if p.sequence == "graf" and p.name.endswith(("-2", "-3", "-4"))]


def row_of(name: str, feature: Any, pair: Any) -> str:
    a, b = pair.load_a(), pair.load_b()
    (pa, ra), (pb, rb) = feature.detect_and_describe(a), feature.detect_and_describe(b)
    size = a.shape[:2], b.shape[:2]
    rep = [repeatability(pa.xy, pb.xy, pair.homography, *size, t) for t in THRESHOLDS]
    cells = [f"{v:.3f}" for v in rep]
    for matches in (mutual_nearest(ra, rb, feature.norm), ratio_test(ra, rb, feature.norm, 0.9)):
        accuracy = mma(pa.xy[matches.index_a], pb.xy[matches.index_b], pair.homography, THRESHOLDS)
        cells += [f"{len(matches.index_a):5d}"] + [f"{v:.3f}" for v in accuracy]
    return f"{pair.name:10s} {name:16s} {len(pa):5d} {len(pb):5d}  " + " ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--short-side", type=int, default=480)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    beside_the_authors(args.data / "surf_reference")
    one_side_theirs(args.data / "surf_reference", args.data)
    features = {
        "SURF": points.SURFFeature(args.points, threshold=20),
        "SURF-128": points.SURFFeature(args.points, threshold=20, extended=True),
        "SIFT": points.SIFTFeature(args.points),
        "ORB": points.ORBFeature(args.points),
    }
    print(f"\nshort side {args.short_side}: repeatability, mutual matches and MMA, ratio 0.9 and MMA")
    print(f"{'pair':10s} {'feature':16s}  N_a   N_b  " + " 1 px  3 px  5 px     M" * 2 + " 1 px  3 px  5 px")
    for pair in graf_pairs(args.data, args.short_side):
        for name, feature in features.items():
            print(row_of(name, feature, pair))


if __name__ == "__main__":
    main()
