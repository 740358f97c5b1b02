"""A small classroom for tests: real detectors, fitted for some seconds on a few drawn faces."""

from __future__ import annotations

from functools import lru_cache

from hybridkp import make_method
from hybridkp.classroom import Classroom
from hybridkp.classroom.models import Model, Models
from hybridkp.datasets import load_dataset
from hybridkp.evaluate import Problem, make_crops

DATA = Problem(
    load_dataset("synthetic", "train").subset(range(30)),
    load_dataset("synthetic", "val").subset([0, 5, 9]),
    size_hw=(64, 64),
)
NET = "heatmap[input_px=48,max_epochs=3,epoch_pictures=30]"
METHODS = {
    "sdm": ("classical", "sdm"),
    "heatmap": ("deep", NET),
    "average": ("hybrid", f"average(sdm,{NET})"),
    "hog+ridge": ("classical", "hog+ridge"),
}


@lru_cache
def room() -> Classroom:
    crops = make_crops(DATA.train, DATA.size_hw, DATA.margin)
    fitted = [
        Model(name, family, f"what {name} is", make_method(text).fit(crops.images, crops.xy, flip=crops.flip))
        for name, (family, text) in METHODS.items()
    ]
    return Classroom(Models(tuple(fitted), tuple(DATA.train.landmarks), 64, DATA.margin), DATA)
