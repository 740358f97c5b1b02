"""The public checks for deep recipes and for refiners."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from recipe_cases import detector_cases, refiner_cases

pytestmark = pytest.mark.usefixtures("one_torch_thread")  # each test process has one core


@pytest.mark.parametrize("run", [*detector_cases("deep"), *refiner_cases()])
def test_promise(run: Callable[[], None]) -> None:
    run()
