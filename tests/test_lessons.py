"""The lessons' form; the site's build runs them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples" / "lessons"
LESSONS = sorted(FOLDER.glob("lesson_*.py"))


def test_there_are_at_least_ten() -> None:
    assert len(LESSONS) >= 10
    numbers = [int(path.stem.split("_")[1]) for path in LESSONS]
    assert numbers == list(range(1, len(LESSONS) + 1)), "they are numbered without a gap"


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_a_lesson_has_a_question_a_picture_and_an_exercise_with_its_solution(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    words = ast.get_docstring(tree) or ""
    title, line, *_ = words.splitlines()
    assert set(line) == {"="} and len(line) == len(title)
    assert "**Question.**" in words and "?" in words
    assert "plt." in source, "a picture"
    headings = re.findall(r"^# (\w[^\n]*)\n# -+$", source, re.MULTILINE)
    assert headings[-2:] == ["Exercise", "A solution"]
    after = source.split("# A solution\n", 1)[1]
    assert any(not row.startswith("#") and row.strip() for row in after.splitlines()), "the solution runs"


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_a_lesson_reads_no_file_and_no_net(path: Path) -> None:
    """From a clone, offline, and without writing anything."""
    source = path.read_text(encoding="utf-8")
    for word in ("open(", "read_image", "urlopen", "http", "imwrite", "savefig", "HYBRIDKP_DATA", "argv"):
        assert word not in source, word
