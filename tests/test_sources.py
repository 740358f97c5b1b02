"""Fingerprints of source: they follow the imports, and nothing but the imports."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridkp import fusion, recipes
from hybridkp.landmarks import CascadedRegressor
from hybridkp.memory import source_of, sources


def test_a_method_stands_on_what_it_imports_and_not_on_the_others():
    used = sources.closure(["hybridkp.landmarks.cascade"])
    assert {"hybridkp.landmarks.descent", "hybridkp.landmarks.ridge", "hybridkp.descriptors.hog"} <= set(used)
    assert "hybridkp.imaging.geometry" in used  # through others
    assert not [m for m in used if m.split(".")[1:2] in (["deep"], ["report"], ["recipes"], ["cli"])]
    assert "hybridkp.landmarks.patches" not in used


def test_a_package_taken_as_a_whole_is_followed_into_all_its_files():
    used = sources.closure(["hybridkp.memory"])  # it says ``files.save_model``
    assert {"hybridkp.files.modelfile", "hybridkp.files.estimators"} <= set(used)


def test_members_of_a_combination_count():
    classical = fusion.Average([("a", CascadedRegressor()), ("b", CascadedRegressor())])
    assert source_of(classical) == source_of(fusion.Average([("a", CascadedRegressor(alpha=1.0))]))
    assert source_of(recipes.make_method("vote")) != source_of(recipes.make_method("sdm-hog"))


def test_a_changed_file_changes_the_fingerprint_of_those_that_stand_on_it(tmp_path, monkeypatch):
    (tmp_path / "a.py").write_text("from .b import thing\n")
    (tmp_path / "b.py").write_text("thing = 1\n")
    (tmp_path / "c.py").write_text("import os\n")
    monkeypatch.setattr(sources, "_ROOT", tmp_path)

    def prints() -> list[str]:
        for cached in (sources._fingerprint, sources._code, sources._imports, sources._doors):
            cached.cache_clear()
        return [sources.fingerprint([f"hybridkp.{m}"]) for m in "abc"]

    before = prints()
    (tmp_path / "b.py").write_text("thing = 2\n")
    after = prints()
    monkeypatch.undo()
    prints()
    assert [x == y for x, y in zip(before, after, strict=True)] == [False, False, True]


def test_docstrings_comments_and_layout_do_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_ROOT", tmp_path)

    def seen(text: str) -> str:
        (tmp_path / "a.py").write_text(text)
        for cached in (sources._fingerprint, sources._code, sources._imports):
            cached.cache_clear()
        return sources.fingerprint(["hybridkp.a"])

    before = seen('"""One."""\ndef f(a, b):\n    """Adds."""\n    return a + b  # so\n')
    same = seen('"""Two."""\n\n\ndef f(\n    a, b\n):\n    return a + b\n')
    other = seen('"""One."""\ndef f(a, b):\n    """Adds."""\n    return a - b  # so\n')
    monkeypatch.undo()
    for cached in (sources._fingerprint, sources._code, sources._imports):
        cached.cache_clear()
    assert before == same != other


@pytest.mark.parametrize("module", ["numpy", "hybridkp.no_such_file"])
def test_what_is_not_ours_has_no_part(module: str):
    assert sources.fingerprint([module]) == sources.fingerprint([])


def test_every_file_is_found():
    root = Path(sources.__file__).parents[1]
    assert sources._file("hybridkp.deep") == root / "deep" / "__init__.py"
    assert sources._file("hybridkp.memory") == root / "memory" / "__init__.py"
