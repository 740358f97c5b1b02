"""Pair matchers and pairs for tests of the points bench: small, deterministic, importable by workers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
from sklearn.base import BaseEstimator

from hybridkp.structures import Keypoints
from hybridkp.structures.pairs import Matched, Pair, PairSet

NONE = np.full((3, 3), np.nan)
SHIFT = np.array([[1.0, 0, 3], [0, 1, -2], [0, 0, 1]])


class Guess(BaseEstimator):
    """Random points, matched with where they lie after the right shift and some noise."""

    def __init__(self, n_points=40, noise=0.5, random_state=None):
        self.n_points = n_points
        self.noise = noise
        self.random_state = random_state

    def match(self, image_a, image_b):
        rng = np.random.default_rng([self.random_state or 0, int(image_a.sum()) % 1000])
        h, w = image_a.shape[:2]
        a = rng.uniform(8, [w - 9, h - 9], (self.n_points, 2))
        b = a + [3, -2] + rng.normal(0, self.noise, a.shape)
        estimate = np.array([[1.0, 0, 3 + self.noise], [0, 1, -2], [0, 0, 1]])
        good = np.linalg.norm(b - a - [3, -2], axis=1) < 2 * self.noise + 1e-9
        seconds = {"detect": 0.002, "match": 0.001}
        return Matched(Keypoints(a), Keypoints(b), a, b, np.arange(len(a))[::-1], estimate, good, seconds)


class Picky(Guess):
    """Raises at blank pictures."""

    def match(self, image_a, image_b):
        if image_b.max() == 0:
            raise ValueError("a blank\npicture")
        return super().match(image_a, image_b)


class Broken(Guess):
    def match(self, image_a, image_b):
        raise RuntimeError("never works")


class Stopping(Guess):
    """Is interrupted at its third pair as long as the file ``gate`` is not there; counts its calls."""

    def __init__(self, gate="", n_points=40, noise=0.5, random_state=None):
        super().__init__(n_points, noise, random_state)
        self.gate = gate

    def match(self, image_a, image_b):
        log = Path(self.gate).with_suffix(".log")
        log.write_text((log.read_text() if log.exists() else "") + "x")
        if not Path(self.gate).exists() and len(log.read_text()) > 3:  # one is the warm-up
            raise KeyboardInterrupt
        return super().match(image_a, image_b)


def picture(index, dx=0, dy=0):
    """A textured picture, 60 x 80, moved by whole pixels."""
    rng = np.random.default_rng(index)
    large = cv2.GaussianBlur(rng.uniform(0, 255, (80, 100)).astype(np.float32), (0, 0), 1.5)
    part = large[10 - dy : 70 - dy, 10 - dx : 90 - dx]
    return cv2.normalize(part, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def blank():
    return np.zeros((60, 80), np.uint8)


def plain_pairs(n=5, blank_at=None):
    """``n`` pairs in two sequences, each moved by (3, -2); one of them may be blank."""
    pairs = []
    for i in range(n):
        second = blank if i == blank_at else partial(picture, i, 3, -2)
        name = f"s{i % 2}"
        pairs.append(Pair(f"{name}/1-{i}", name, partial(picture, i), second, SHIFT, change="shift"))
    return PairSet("plain", tuple(pairs))
