"""The public checks for hybrid recipes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from recipe_cases import detector_cases


@pytest.mark.parametrize("run", list(detector_cases("hybrid")))
def test_promise(run: Callable[[], None]) -> None:
    run()
