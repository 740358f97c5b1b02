"""The worked additions are done: each in a copy of the package, with its own tests and the house's rules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hybridkp

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
import additions

ROOT = Path(__file__).parents[1]
MOST_FILES, MOST_LINES = 3, 100
#: rules that an addition could break: imports, lengths, who prints
RULES = "table or circles or itself or torch or prints or readable"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The installed package and what its own rules are tested with."""
    shutil.copytree(
        Path(hybridkp.__file__).parent, tmp_path / "hybridkp", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / "tests").mkdir()
    for name in ("conftest.py", "test_architecture.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    return tmp_path


def run(command: str, folder: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(folder), "HYBRIDKP_DATA": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("page", additions.pages(), ids=lambda p: p.stem)
def test_a_worked_addition_works(page: Path, copy: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for step in additions.steps(text):
        step.apply(copy)
    written = " ".join({step.path for step in additions.steps(text)})
    config = ROOT / "pyproject.toml"
    run(f"ruff check --config {config} {written} && ruff format --check --config {config} {written}", copy)
    commands = additions.commands(text)
    assert commands, "a page shows its addition at work"
    for command in commands:
        run(command, copy)


@pytest.mark.slow
def test_all_additions_together_keep_the_rules(copy: Path) -> None:
    for page in additions.pages():
        for step in additions.steps(page.read_text(encoding="utf-8")):
            step.apply(copy)
    run(f"python -m pytest -q -p no:cacheprovider tests/test_architecture.py -k '{RULES}'", copy)


@pytest.mark.parametrize("page", additions.pages(), ids=lambda p: p.stem)
def test_an_addition_is_small(page: Path) -> None:
    files, lines = additions.cost(additions.steps(page.read_text(encoding="utf-8")))
    assert 1 <= files <= MOST_FILES and 1 <= lines <= MOST_LINES, (files, lines)


def test_steps_are_read_and_done(tmp_path: Path) -> None:
    page = (
        "# A toy\n\n`pack/new.py`, a new file:\n\n```python\nX = 1\n\nY = 2\n```\n\n"
        "`pack/old.pyi`, after `from .a import A as A`:\n\n```python\nfrom .new import X as X\n```\n\n"
        "```bash\npython -c 'import pack'\n```\n"
    )
    (tmp_path / "pack").mkdir()
    old = tmp_path / "pack" / "old.pyi"
    old.write_text("if True:\n    from .a import A as A\nend = 1\n")
    found = additions.steps(page)
    for step in found:
        step.apply(tmp_path)
    assert (tmp_path / "pack" / "new.py").read_text() == "X = 1\n\nY = 2\n"
    assert old.read_text() == "if True:\n    from .a import A as A\nfrom .new import X as X\nend = 1\n"
    assert additions.cost(found) == (2, 3) and additions.commands(page) == ["python -c 'import pack'\n"]
    with pytest.raises(ValueError, match="is there already"):
        found[0].apply(tmp_path)
    old.write_text("nothing\n")
    with pytest.raises(ValueError, match=r"0 lines are 'from .a import A as A', expected one"):
        found[1].apply(tmp_path)
