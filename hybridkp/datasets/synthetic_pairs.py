"""The embedded pairs of the interest-point bench."""

from __future__ import annotations

from .bundled import BENCH_PICTURES as BENCH_PICTURES
from .bundled import TRAIN_PICTURES as TRAIN_PICTURES
from .bundled import training_pictures as training_pictures
