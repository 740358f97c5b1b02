"""Public checks that every finder must pass, third parties' too.

``for name, check in finder_checks(MyFinder()): check()`` raises AssertionError where the promise of
:class:`hybridkp.structures.Finder` is broken.  Needs no data: the pictures are made here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sklearn.base import clone

from ..files import load_model, save_model
from ..metrics import box_figures, box_outcome
from ..structures import Array, Instance, Sample
from .detectors import Checks

SIZE_HW = 96, 128  #: px of the pictures
RADIUS_PX = 9.0, 16.0  #: of the things that are to be found
LEAST_AP50 = 0.7  #: on new pictures: rings on a calm background are easy


def ring_samples(n: int = 24, random_state: int = 0) -> list[Sample]:
    """Pictures with none to three rings, each a thing to be found; every sixth also has a crowd region."""
    out = []
    for index in range(n):
        rng = np.random.default_rng([random_state, index])
        instances: list[Instance] = []
        for _ in range(index % 4):
            radius = rng.uniform(*RADIUS_PX)
            for _ in range(30):
                centre = rng.uniform(radius + 2, np.array(SIZE_HW[::-1]) - radius - 3)
                apart = [np.hypot(*(i.xy[0] - centre)) > 2.3 * RADIUS_PX[1] for i in instances]
                if all(apart):
                    box = np.array([*(centre + 0.5 - radius), 2 * radius, 2 * radius])
                    instances.append(Instance(centre[None], box_xywh=box, area=4 * radius**2))
                    break
        if index % 6 == 5:
            nowhere, corner = np.full((1, 2), np.nan), np.array([0.0, 0, 20, 20])
            instances.append(Instance(nowhere, box_xywh=corner, area=400.0, ignore=True))
        load = partial(_ring_picture, random_state, index, tuple(instances))
        out.append(Sample(f"rings{index}.png", load, tuple(instances), f"group{index // 2}", SIZE_HW))
    return out


def _ring_picture(random_state: int, index: int, instances: Sequence[Instance]) -> Array:
    rng = np.random.default_rng([random_state, index, 1])
    canvas = cv2.resize(
        rng.uniform(60, 190, (6, 8)).astype(np.float32), SIZE_HW[::-1], interpolation=cv2.INTER_CUBIC
    )
    y, x = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    for instance in instances:
        if not instance.ignore:
            radius = instance.box_xywh[2] / 2
            distance = np.hypot(x - instance.xy[0, 0], y - instance.xy[0, 1])
            edge = np.clip(1.5 - np.abs(distance - radius + 2), 0, 1)
            canvas = canvas + edge * (20 - canvas)
    noisy = canvas[..., None] * [1.0, 0.9, 0.8] + rng.normal(0, 3, (*SIZE_HW, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


class _Case:
    """One finder, fitted once."""

    def __init__(self, finder: Any, least_ap50: float) -> None:
        self.finder, self.least_ap50 = finder, least_ap50
        self.taught, self.new = ring_samples(24, 0), ring_samples(8, 1)
        self._fitted: Any = None

    @property
    def fitted(self) -> Any:
        if self._fitted is None:
            self._fitted = clone(self.finder).fit(self.taught)
        return self._fitted


def finder_checks(finder: Any, least_ap50: float = LEAST_AP50) -> Checks:
    """Named checks, each a function of no arguments.

    Parameters
    ----------
    finder : unfitted, with scikit-learn's ``get_params``
    least_ap50 : AP50 that it must reach on rings that it has not seen; 0 for a finder of something else
    """
    case = _Case(finder, least_ap50)
    yield "fit gives itself and leaves parameters alone", partial(_fit, case)
    yield "boxes and scores fit together, best first", partial(_shapes, case)
    yield "finds what it was taught", partial(_finds, case)
    yield "the same twice, and the picture is left as it was", partial(_same, case)
    yield "grey pictures and small ones are no surprise", partial(_kinds, case)
    yield "a model file gives it back", partial(_stored, case)


def _fit(case: _Case) -> None:
    fresh = clone(case.finder)
    before = repr(fresh.get_params())
    assert fresh.fit(iter(case.taught)) is fresh, "fit returns the finder itself, and takes any iterable"
    assert repr(fresh.get_params()) == before, "fit changed a parameter"
    case._fitted = fresh


def _shapes(case: _Case) -> None:
    blank = replace(case.new[0], load=partial(np.full, (*SIZE_HW, 3), 90, np.uint8))
    for sample in [*case.new, blank]:
        boxes, score = case.fitted.find(sample.image, name=sample.name)
        assert boxes.ndim == 2 and boxes.shape[1] == 4 and score.shape == (len(boxes),), (
            "boxes (N, 4), scores (N,)"
        )
        assert np.isfinite(boxes).all() and (boxes[:, 2:] > 0).all(), "a box has a place and an area"
        assert ((score >= 0) & (score <= 1)).all(), "a score is a probability"
        assert (np.diff(score) <= 0).all(), "the best box comes first"


def _finds(case: _Case) -> None:
    outcomes = []
    for sample in case.new:
        true, crowd = [i.box_xywh for i in sample.instances], [i.ignore for i in sample.instances]
        boxes, score = case.fitted.find(sample.image)
        outcomes.append(box_outcome(true, boxes, score, crowd))
    found = box_figures(outcomes)["ap50"]
    assert found >= case.least_ap50, f"AP50 of {found:.2f} on rings"


def _same(case: _Case) -> None:
    image = case.new[3].image
    kept = image.copy()
    first, again = case.fitted.find(image), case.fitted.find(image)
    assert np.array_equal(image, kept), "find wrote into the picture"
    for a, b in zip(first, again, strict=True):  # a network's last bits depend on where arrays lie
        assert a.shape == b.shape and np.allclose(a, b, atol=1e-4), "two answers for one picture"


def _kinds(case: _Case) -> None:
    image = case.new[3].image
    for other in (image[..., 0], image[:9, :7], image[:2, :2]):
        boxes, score = case.fitted.find(np.ascontiguousarray(other))
        assert boxes.shape == (len(score), 4)


def _stored(case: _Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_model(case.fitted, Path(folder) / "finder.hkp")
        loaded = load_model(Path(folder) / "finder.hkp")
    image = case.new[3].image
    for a, b in zip(case.fitted.find(image), loaded.find(image), strict=True):
        assert a.shape == b.shape and np.allclose(a, b, atol=1e-3), "a stored finder answers otherwise"
