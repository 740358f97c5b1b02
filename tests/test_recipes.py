"""The public checks for classical recipes and descriptors; what recipes say of themselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from recipe_cases import descriptor_cases, detector_cases

from hybridkp import checks, recipes
from hybridkp.structures import InputError


@pytest.mark.parametrize("run", [*detector_cases("floor", "classical"), *descriptor_cases()])
def test_promise(run: Callable[[], None]) -> None:
    run()


def test_each_exception_has_a_reason_and_a_check() -> None:
    known = {*checks.DETECTOR_CHECKS, "improves held-out starts", "a missing start stays missing"}
    for (_, check), reason in checks.EXCEPTIONS.items():
        assert check in known and len(reason) > 10


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"did you mean 'hog\+svm'"):
        recipes.make_method("hog+svn")


def test_every_recipe_says_what_it_is() -> None:
    for name in recipes.method_names():
        assert 10 < len(recipes.describe_method(name)) < 100
    assert set(recipes.QUICK) <= set(recipes.DEFAULT) <= set(recipes.method_names())
