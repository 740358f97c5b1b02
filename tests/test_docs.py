"""The pages: tables that are what the stored values say, links that lead somewhere, examples that run."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
import publish_results
import tables

from hybridkp import recipes

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [p for p in PAGES if not {"_build", "_generated"} & set(p.parts)]
PUBLISHED = sorted(p for p in (ROOT / "docs" / "results").glob("*.json") if '"format"' in p.read_text()[:20])


def test_every_table_is_what_the_stored_values_say() -> None:
    assert tables.main(["--check"]) == 0


def test_every_kind_of_fault_has_tests_that_exist() -> None:
    kinds = json.loads((ROOT / "docs" / "kinds.json").read_text(encoding="utf-8"))
    assert list(kinds) == [str(n) for n in range(1, 23)]
    for number, (words, *tests) in kinds.items():
        assert words.endswith(".") and tests, number
        for test in tests:
            file, _, name = test.partition("::")
            functions = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8")).body
            assert name in {f.name for f in functions if isinstance(f, ast.FunctionDef)}, test


def test_the_harness_found_no_harm() -> None:
    found = json.loads((ROOT / "docs" / "results" / "trust_fuzz.json").read_text(encoding="utf-8"))
    assert found["failures"] == []
    for counts in (*found["targets"].values(), found["attacks"]):
        assert counts["cases"] == counts["accepted"] + counts["library errors"] > 0
        assert counts.get("past the header", counts["cases"]) >= counts["cases"] / 4, counts


def test_published_files_are_small_and_say_where_they_come_from() -> None:
    assert len(PUBLISHED) >= 5
    assert sum(p.stat().st_size for p in PUBLISHED) < 1_000_000
    for path in PUBLISHED:
        document = json.loads(path.read_text())
        facts = document["provenance"]
        assert set(facts) >= {"data", "judged", "machine", "versions", "date", "command"}, path.name
        assert not re.search(r"/(work|home|root|tmp|Users)/", path.read_text()), f"{path.name} names a folder"
        for row in document["methods"]:
            lengths = {len(values) for values in row["values"].values()}
            assert lengths == {len(document["groups"])}, (path.name, row["method"])
            method = row["method"].removesuffix(" from drawn")  # a network that drawn faces taught first
            assert recipes.canonical(method, document["task"]) == method, path.name


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        # the reference and the lessons are made with the site, whose builder refuses a broken link to them
        if not target.startswith(("http", "#", "lessons/")) and "api/" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_expressions_with_brackets_are_quoted(page: Path) -> None:
    """A shell reads ``(``, ``[`` and ``>`` for itself."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```(?:bash|text)\n(.*?)```", text, flags=re.DOTALL):
        for raw in re.findall(r"--methods? (\"[^\"]*\"|'[^']*'|\S+)", block):
            assert raw[0] in "\"'" or not re.search(r"[()\[\]<>*?]", raw), raw
            assert len(shlex.split(raw)) == 1


def test_the_readme_is_short_and_has_its_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 110
    for name in ("main", "test"):
        assert re.search(rf"<!-- ci:{name} -->\n<!--- skip: next -->\n```bash\npython3 -m venv", text), name


@pytest.mark.slow
def test_a_published_figure_is_the_one_of_the_benchs_own_page(tmp_path: Path, monkeypatch) -> None:
    from hybridkp.cli import main

    run, out = tmp_path / "run", tmp_path / "toy.json"
    arguments = ["--methods", "mean-shape,hog+ridge", "--max-train", "40", "--max-val", "12", "--crop", "64"]
    arguments += ["--jobs", "1"]
    assert main(["bench", "synthetic", *arguments, "--out", str(run)]) == 0
    publish_results.main([str(run), "-o", str(out)])
    monkeypatch.setattr("table_text.RESULTS", tmp_path)
    published = tables.read("toy")
    own = json.loads((run / "results.json").read_text())["methods"]
    assert (
        [m.name for m in published.ranked()] == [row["method"] for row in own] == ["hog+ridge", "mean-shape"]
    )
    key = published.head.key
    for method, row in zip(published.ranked(), own, strict=True):
        found = published.interval(method, key)
        wanted = [row[key], row["low"], row["high"]]
        # each object's figure is stored with four digits
        assert np.allclose([found.value, found.low, found.high], wanted, rtol=1e-3)
    assert "| `hog+ridge` | classical |" in tables.table("toy")
    assert tables.summary("toy").startswith("`hog+ridge` leads with NME ")
    with pytest.raises(SystemExit, match="has no method 'sdm'"):
        tables.against("toy", "sdm")


def test_a_block_is_filled_and_nothing_else_is_touched() -> None:
    before = "a\n<!-- results: summary faces68 -->\nstale\n<!-- /results -->\nb\n"
    after = tables.filled(before)
    assert after.startswith("a\n<!-- results: summary faces68 -->\n") and after.endswith(
        "<!-- /results -->\nb\n"
    )
    assert "stale" not in after and tables.filled(after) == after
    with pytest.raises(SystemExit, match="unknown table 'tabel'"):
        tables.filled(before.replace("summary", "tabel"))


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_examples_run(script: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, script, "-o", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert any(tmp_path.iterdir())
