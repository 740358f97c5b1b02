"""The public checks as test cases, for the recipes of some families, all descriptors and all refiners.

The test files that use it divide the work, so that two processes have about the same to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hybridkp import checks, recipes
from hybridkp.recipes import parts as recipe_parts

#: trainings of seconds: what is checked are promises, not accuracy
SMALL = {"max_epochs": 5, "epoch_pictures": 160, "learning_rate": 4e-3, "input_px": 64}
#: for networks inside of combinations, which keep their own promises elsewhere
SMALLER = {"max_epochs": 3, "epoch_pictures": 96, "learning_rate": 4e-3, "input_px": 48}


def _small(estimator: Any, sizes: dict[str, Any]) -> Any:
    """The recipe with every network in it trained for seconds."""
    known = estimator.get_params(deep=True)
    chosen = {name: sizes[last] for name in known if (last := name.split("__")[-1]) in sizes}
    return estimator.set_params(**chosen)


def detector_cases(*families: str) -> Iterator[Any]:
    """One case for each recipe of the families and each promise."""
    slow = recipes.slow_names()
    for name in recipes.method_names():
        if recipes.family(name) not in families:
            continue
        marks = [pytest.mark.slow] if name in slow else []
        sizes = SMALLER if recipes.family(name) == "hybrid" else SMALL
        for check, run in checks.detector_checks(_small(recipes.make_method(name, quick=True), sizes)):
            yield pytest.param(run, id=f"{name}: {check}", marks=marks)


def descriptor_cases() -> Iterator[Any]:
    for name in recipe_parts.descriptor_names():
        for check, run in checks.descriptor_checks(recipe_parts.make_descriptor(name)):
            yield pytest.param(run, id=f"{name}: {check}")


def refiner_cases() -> Iterator[Any]:
    for name in recipe_parts.refiner_names():
        for check, run in checks.refiner_checks(_small(recipe_parts.make_refiner(name, quick=True), SMALL)):
            yield pytest.param(run, id=f"{name}: {check}", marks=[pytest.mark.slow])
