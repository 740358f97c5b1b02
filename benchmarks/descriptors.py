"""Descriptors per second against the bare OpenCV call on the same points, in one run.

    python benchmarks/descriptors.py [--quick]

Contract: one thread, and its processor time, so that other jobs' turns do not count.  Each round
times every contender once, in an order drawn anew, so that a slow spell hits all alike and none
always finds the cache as the same other one left it; the first rounds are dropped; medians with
quartiles, and the ratio is the median of the rounds' ratios.  The bare call gets its
``cv2.KeyPoint`` ready-made; ours starts from arrays and a pyramid that is built already (its own
cost is a row of the table).  Losses are printed too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from hybridkp.descriptors import HOG, ORB, SIFT, Concat, MultiLevel, orientation_maps
from hybridkp.descriptors.sift import sift_octave
from hybridkp.imaging.opencv import create_sift
from hybridkp.imaging.pyramid import gaussian_pyramid
from hybridkp.memory.threads import limit_threads
from hybridkp.structures import Array, Keypoints

WARM_UP = 3  # rounds
SIZE_PX = 4.0  # of SIFT: the 24 px window that HOG's 4 x 4 cells of 4 px and their soft rim have


def picture(size_hw: tuple[int, int], seed: int = 0) -> Array:
    """A texture with energy at all scales (H, W) uint8; timings do not depend on what is shown."""
    rng = np.random.default_rng(seed)
    out = np.zeros(size_hw, np.float32)
    for sigma in (1, 2, 4, 8, 16):
        out += sigma * cv2.GaussianBlur(rng.standard_normal(size_hw).astype(np.float32), (0, 0), sigma)
    return cv2.normalize(out, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def bare_points(xy: Array, size: float, octave: int) -> list[Any]:
    return [cv2.KeyPoint(float(x), float(y), size, 0.0, 0.0, octave, i) for i, (x, y) in enumerate(xy)]


def contenders(size_hw: tuple[int, int], n_points: int) -> dict[str, tuple[str, Callable[[], Any]]]:
    """Name -> (what it is compared with, the call)."""
    image = picture(size_hw)
    # inside by ORB's margin, outside of which the bare call drops points
    inside = np.array(size_hw[::-1]) - 64
    xy = (32 + np.random.default_rng(1).uniform(0, 1, (n_points, 2)) * inside).astype(np.float32)
    keypoints, pyramid = Keypoints(xy), gaussian_pyramid(image)
    level = pyramid.levels[0]
    sift, orb = create_sift(), cv2.ORB_create(nlevels=1)
    for_sift = bare_points(xy, SIZE_PX, int(sift_octave(SIZE_PX, min(size_hw))))
    wide = 2 * SIZE_PX
    for_wide = bare_points(xy, wide, int(sift_octave(wide, min(size_hw))))
    for_orb = bare_points(xy, 31.0, 0)
    hog = HOG()
    quick = MultiLevel(HOG(backend="opencv"))
    levels, parts = MultiLevel(hog), Concat([("sift", SIFT(SIZE_PX)), ("hog", hog)])
    return {
        "cv2.SIFT.compute": ("", lambda: sift.compute(image, for_sift)),
        "SIFT": ("cv2.SIFT.compute", lambda: SIFT(SIZE_PX).describe(pyramid, keypoints)),
        "cv2.SIFT.compute, 48 px window": ("cv2.SIFT.compute", lambda: sift.compute(image, for_wide)),
        "cv2.ORB.compute": ("", lambda: orb.compute(image, for_orb)),
        "ORB(hamming)": ("cv2.ORB.compute", lambda: ORB("hamming").describe(pyramid, keypoints)),
        "ORB": ("cv2.ORB.compute", lambda: ORB().describe(pyramid, keypoints)),
        "gaussian_pyramid": ("cv2.SIFT.compute", lambda: gaussian_pyramid(image)),
        "orientation_maps, level 0": ("cv2.SIFT.compute", lambda: orientation_maps(level)),
        "HOG": ("cv2.SIFT.compute", lambda: hog.describe(pyramid, keypoints)),
        "HOG, 3 levels": ("cv2.SIFT.compute", lambda: levels.describe(pyramid, keypoints)),
        "HOG(opencv), 3 levels": ("cv2.SIFT.compute", lambda: quick.describe(pyramid, keypoints)),
        "Concat(SIFT, HOG)": ("cv2.SIFT.compute", lambda: parts.describe(pyramid, keypoints)),
    }


def measure(calls: dict[str, tuple[str, Callable[[], Any]]], rounds: int) -> dict[str, Array]:
    """Seconds (rounds,) of each call, the calls of one round after each other."""
    seconds = {name: np.empty(rounds) for name in calls}
    rng, names = np.random.default_rng(0), list(calls)
    for i in range(-WARM_UP, rounds):
        for name in rng.permutation(names).tolist():
            call = calls[name][1]
            start = time.thread_time()
            call()
            if i >= 0:
                seconds[name][i] = time.thread_time() - start
    return seconds


def table(calls: dict[str, tuple[str, Callable[[], Any]]], seconds: dict[str, Array], n_points: int) -> str:
    lines = [f"{'':32}{'ms':>9}{'quartiles':>18}{'rows/s':>10}{'ratio':>8}  to"]
    for name, (reference, _) in calls.items():
        low, middle, high = np.percentile(seconds[name], [25, 50, 75]) * 1e3
        line = f"{name:32}{middle:9.3f}{f'{low:.3f} .. {high:.3f}':>18}{n_points / middle * 1e3:10.0f}"
        if reference:
            line += f"{np.median(seconds[name] / seconds[reference]):8.2f}  {reference}"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few rounds: does it still run?")
    rounds = 5 if parser.parse_args().quick else 40
    print(f"OpenCV {cv2.__version__}, NumPy {np.__version__}, one thread, {rounds} rounds")
    with limit_threads(1):
        for size_hw, n_points in (((128, 128), 68), ((480, 640), 68), ((480, 640), 2000)):
            calls = contenders(size_hw, n_points)
            print(f"\n{n_points} points, {size_hw[1]} x {size_hw[0]} px")
            print(table(calls, measure(calls, rounds), n_points))


if __name__ == "__main__":
    main()
