"""The public checks as test cases, for the recipes of some families, all descriptors and all refiners.

The test files that use it divide the work, so that two processes have about the same to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hybridkp import checks, recipes
from hybridkp.recipes.reading import task_of

#: trainings of seconds: what is checked are promises, not accuracy
SMALL = {"max_epochs": 5, "epoch_pictures": 160, "learning_rate": 4e-3, "input_px": 64}
#: for networks inside of combinations, which keep their own promises elsewhere
SMALLER = {"max_epochs": 3, "epoch_pictures": 96, "learning_rate": 4e-3, "input_px": 48}
#: for backbones by themselves, whose heads keep the same promises elsewhere
TINY = {"max_epochs": 4, "epoch_pictures": 160, "learning_rate": 6e-3, "input_px": 32}


#: starts that read no picture, and are tried with what they read elsewhere
OTHER_SENSES = {"words"}


def _small(estimator: Any, sizes: dict[str, Any]) -> Any:
    """The recipe with every network in it trained for seconds."""
    known = estimator.get_params(deep=True)
    chosen = {name: sizes[last] for name in known if (last := name.split("__")[-1]) in sizes}
    return estimator.set_params(**chosen)


def detector_cases(*families: str) -> Iterator[Any]:
    """One case for each method of the list, once, of the families, and each promise."""
    seen = set()
    for name in recipes.method_names():
        expression = recipes.canonical(name)
        if recipes.family(name) not in families or expression in seen or name in OTHER_SENSES:
            continue
        seen.add(expression)
        marks = [pytest.mark.slow] if recipes.is_slow(name) else []
        sizes = SMALLER if recipes.family(name) == "hybrid" else SMALL
        if name in _parts("backbone") and name != "plain":  # whose full connections learn more slowly
            sizes = TINY
        for check, run in checks.detector_checks(_small(recipes.make_method(name, quick=True), sizes)):
            yield pytest.param(run, id=f"{name}: {check}", marks=marks)


def _parts(slot: str) -> list[str]:
    return [line.name for line in recipes.parts_table() if line.slot == slot]


def descriptor_cases() -> Iterator[Any]:
    """Those that need no training, and two side by side."""
    plain = [name for name in _parts("descriptor") if recipes.family(f"{name}+svm") == "classical"]
    for name in [*plain, "sift-hog"]:
        for check, run in checks.descriptor_checks(recipes.make_descriptor(name)):
            yield pytest.param(run, id=f"{name}: {check}")


def refiner_cases() -> Iterator[Any]:
    for name, row in task_of("landmarks").by_slot["step"].items():
        # what needs more than points before it is no refiner, and cannot stand behind this start
        if row.needs or not hasattr(recipes.make_method(f"mean-shape:{name}"), "refiner"):
            continue
        for check, run in checks.refiner_checks(_small(recipes.make_refiner(name, quick=True), SMALL)):
            yield pytest.param(run, id=f"{name}: {check}", marks=[pytest.mark.slow])
