"""The public checks for hybrid recipes.

Members are fitted once for all of them, as in a bench: each member keeps its promises without a
memory in the other two files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from recipe_cases import detector_cases

from hybridkp import memory

pytestmark = pytest.mark.usefixtures("one_torch_thread")  # each test process has one core


@pytest.fixture(autouse=True, scope="module")
def _remembered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with memory.remember(tmp_path_factory.mktemp("members")):
        yield


@pytest.mark.parametrize("run", list(detector_cases("hybrid")))
def test_promise(run: Callable[[], None]) -> None:
    run()
