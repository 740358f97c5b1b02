"""Detectors of a few lines, in a module of their own so that worker processes can import them."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator

from hybridkp.structures import Batch, Dataset, DetectorMixin, InputError, Instance, Sample


class PlainMean(DetectorMixin, BaseEstimator):
    """The mean of the training points, plus noise of ``sigma`` px drawn at fit."""

    def __init__(self, sigma=0.0, random_state=None):
        self.sigma = sigma
        self.random_state = random_state

    def fit(self, images, xy, *, groups=None, flip=None):
        rng = np.random.default_rng(self.random_state)
        mean = np.nanmean(xy, axis=0)
        self.mean_ = mean + rng.normal(0, self.sigma, mean.shape) if self.sigma else mean
        self.size_hw_ = tuple(images.shape[1:3])
        self.history_ = {"loss": [2.0, 1.0]}
        return self

    def predict_with_score(self, images):
        xy = np.repeat(self.mean_[None], len(images), axis=0).astype(np.float32)
        return xy, np.full(xy.shape[:2], 0.5, np.float32)


class DepthMean(PlainMean):
    """Landmark k where the depth is 1000 (k + 1); the mean of the training points where it is nowhere."""

    def seen_modalities(self):
        return ("image", "depth")

    def predict_with_score(self, images):
        if not isinstance(images, Batch):
            raise InputError("DepthMean needs depth: give a Batch")
        xy, score = super().predict_with_score(images)
        for row, depth in zip(xy, images["depth"], strict=True):
            for k in range(len(row)):
                y, x = np.nonzero(np.abs(depth.astype(float) - 1000 * (k + 1)) < 50)
                if len(x):
                    row[k] = x.mean(), y.mean()
        return xy, score


class Failing(PlainMean):
    """Fails at fit."""

    def fit(self, images, xy, *, groups=None, flip=None):
        raise RuntimeError("this one always fails")


HELD = []  #: what a fit leaves behind in its process


class Waiting(PlainMean):
    """Fits only once the file ``gate`` is there, and holds a named semaphore from then on."""

    def __init__(self, gate="", sigma=0.0, random_state=None):
        super().__init__(sigma, random_state)
        self.gate = gate

    def fit(self, images, xy, *, groups=None, flip=None):
        while not Path(self.gate).exists():
            time.sleep(0.05)
        HELD.append(multiprocessing.get_context("spawn").Semaphore())
        return super().fit(images, xy)


class Picture:
    """``Sample.load`` of a blob picture; a class, so that it travels to worker processes."""

    def __init__(self, seed):
        self.seed = seed

    def __call__(self):
        return np.random.default_rng(self.seed).integers(0, 255, (50, 60, 3), dtype=np.uint8)


def plain_dataset(name, n, k=3, seed=0):
    rng = np.random.default_rng(seed)
    samples = []
    for i in range(n):
        xy = rng.uniform(18, 38, (k, 2))
        instance = Instance(xy, box_xywh=[14, 14, 28, 28], area=784.0)
        samples.append(Sample(f"{name}{i}", Picture(seed + i), (instance,), f"{name}{i}", (50, 60)))
    return Dataset(name, tuple(f"p{i}" for i in range(k)), tuple(samples))
