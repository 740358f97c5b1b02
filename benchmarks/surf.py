"""SURF detect + describe against ``cv2.SIFT.detectAndCompute``, on the same 640 x 480 pictures.

    python benchmarks/surf.py [--quick]

One thread, warm-up, then both take turns, so that other load on the machine falls on both; the
figure is the median over the rounds of the ratio within a round, with its quartiles.  Twice: at
our default threshold, and at the threshold that gives as many points as SIFT found.  Target:
ratio at most 3.  The pictures are scikit-image's own, resized.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import skimage.data

from hybridkp.descriptors.surf import SURF
from hybridkp.imaging.opencv import create_sift
from hybridkp.memory.threads import limit_threads

TARGET = 3.0
PICTURES = ("astronaut", "camera", "coffee")


def picture(name: str) -> Any:
    """(480, 640) uint8 grey."""
    image = getattr(skimage.data, name)()
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.resize(image, (640, 480), interpolation=cv2.INTER_AREA)


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def matched(image: Any, n: int) -> SURF:
    """SURF with the threshold that gives n points, as near as the picture allows."""
    score = np.sort(SURF(threshold=0.5, upright=True).detect(image).score)[::-1]
    return SURF(threshold=float(score[min(n, len(score) - 1)]))


def compare(name: str, ours: SURF, image: Any, rounds: int) -> float:
    sift = create_sift()
    n_sift = len(sift.detectAndCompute(image, None)[0])
    n_surf = len(ours.detect_and_describe(image)[0])
    pairs = np.array(
        [
            (
                seconds(lambda: ours.detect_and_describe(image)),
                seconds(lambda: sift.detectAndCompute(image, None)),
            )
            for _ in range(rounds)
        ]
    )
    ratio = np.percentile(pairs[:, 0] / pairs[:, 1], [25, 50, 75])
    surf_ms, sift_ms = np.median(pairs, axis=0) * 1000
    print(
        f"{name:10} SURF {n_surf:5d} points {surf_ms:6.1f} ms   SIFT {n_sift:5d} points {sift_ms:6.1f} ms"
        f"   ratio {ratio[1]:.2f} [{ratio[0]:.2f}, {ratio[2]:.2f}]"
    )
    return float(ratio[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="one picture, three rounds")
    quick = parser.parse_args().quick
    names, rounds = (PICTURES[:1], 3) if quick else (PICTURES, 25)
    worst = 0.0
    with limit_threads(1):
        for name in names:
            image = picture(name)
            n_sift = len(create_sift().detect(image, None))
            print(name + ": default threshold, then as many points as SIFT")
            worst = max(worst, compare(name, SURF(), image, rounds))
            worst = max(worst, compare(name, matched(image, n_sift), image, rounds))
    print(f"worst ratio {worst:.2f}, target at most {TARGET:.0f}: {'met' if worst <= TARGET else 'MISSED'}")
    return 0 if worst <= TARGET else 1


if __name__ == "__main__":
    raise SystemExit(main())
