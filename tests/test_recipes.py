"""The public checks, generated for every recipe, descriptor and refiner of the library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hybridkp import checks, recipes
from hybridkp.structures import InputError

SLOW_BY_NATURE = recipes.slow_names()


#: trainings of seconds: what is checked are promises, not accuracy
SMALL = {"max_epochs": 5, "epoch_pictures": 160, "learning_rate": 4e-3, "input_px": 64}


def _small(estimator: Any) -> Any:
    """The recipe with every network in it trained for seconds."""
    known = estimator.get_params(deep=True)
    chosen = {name: SMALL[last] for name in known if (last := name.split("__")[-1]) in SMALL}
    return estimator.set_params(**chosen)


def _cases() -> Iterator[pytest.param]:
    for name in recipes.method_names():
        marks = [pytest.mark.slow] if name in SLOW_BY_NATURE else []
        for check, run in checks.detector_checks(_small(recipes.make_method(name, quick=True))):
            yield pytest.param(run, id=f"{name}: {check}", marks=marks)
    for name in recipes.descriptor_names():
        for check, run in checks.descriptor_checks(recipes.make_descriptor(name)):
            yield pytest.param(run, id=f"{name}: {check}")
    for name in recipes.refiner_names():
        for check, run in checks.refiner_checks(_small(recipes.make_refiner(name, quick=True))):
            yield pytest.param(run, id=f"{name}: {check}", marks=[pytest.mark.slow])


@pytest.mark.parametrize("run", list(_cases()))
def test_promise(run: Callable[[], None]) -> None:
    run()


def test_each_exception_has_a_reason_and_a_check() -> None:
    known = {*checks._DETECTOR_CHECKS, "improves held-out starts", "a missing start stays missing"}
    for (_, check), reason in checks.EXCEPTIONS.items():
        assert check in known and len(reason) > 10


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"did you mean 'hog\+svm'"):
        recipes.make_method("hog+svn")


def test_every_recipe_says_what_it_is() -> None:
    for name in recipes.method_names():
        assert 10 < len(recipes.describe_method(name)) < 100
    assert set(recipes.QUICK) <= set(recipes.DEFAULT) <= set(recipes.method_names())
