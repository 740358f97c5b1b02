"""What is shipped: a source archive that can run its tests, and a description that stands by itself."""

from __future__ import annotations

import configparser
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def metadata() -> configparser.ConfigParser:
    found = configparser.ConfigParser()
    found.read(ROOT / "setup.cfg", encoding="utf-8")
    return found


def test_the_source_archive_holds_what_its_tests_need() -> None:
    rules = [line.split() for line in (ROOT / "MANIFEST.in").read_text().splitlines() if line[:1] not in "#"]
    grafted = {rule[1] for rule in rules if rule[0] == "graft"}
    included = {name for rule in rules if rule[0] == "include" for name in rule[1:]}
    known = {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "hybridkp", "PKG-INFO"}
    top = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    made = {name for name in top if name.endswith((".egg-info", "-out")) or name in ("build", "dist")}
    assert top - made - {"__pycache__"} - grafted - included <= known, "neither in MANIFEST.in nor by itself"
    assert grafted | included <= top | {".ci"}, "MANIFEST.in names what is not there"


def test_every_file_of_the_package_is_in_the_wheel(metadata: configparser.ConfigParser) -> None:
    patterns = re.split(r",\s*", metadata["options.package_data"]["hybridkp"])
    package = ROOT / "hybridkp"
    files = [p.relative_to(package).as_posix() for p in package.rglob("*") if p.is_file()]
    data = [name for name in files if not name.endswith((".py", ".pyc"))]
    assert "py.typed" in data and "deep/__init__.pyi" in data
    lost = [
        name
        for name in data
        if not any(fnmatch(name, p) and name.count("/") == p.count("/") for p in patterns)
    ]
    assert not lost


def test_the_description_needs_no_repository(metadata: configparser.ConfigParser) -> None:
    """A package index shows it alone: no picture and no link that leads into the repository."""
    name = metadata["metadata"]["long_description"].removeprefix("file: ")
    text = (ROOT / name).read_text(encoding="utf-8")
    html = MarkdownIt("commonmark").render(text)
    assert html.startswith("<h1>hybridkp</h1>") and html.count("<pre>") == 3
    assert "<img" not in html and "<!--" not in html
    assert all(link.startswith("https://") for link in re.findall(r'href="([^"]*)"', html))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in (
        text.split("\n\n")[1],
        text.split("\n\n")[2],
        re.findall(r"```python\n.*?```", text, re.S)[0],
    ):
        assert block in readme, "it says what the README says"


def test_metadata(metadata: configparser.ConfigParser) -> None:
    about = metadata["metadata"]
    assert about["license"] == "Apache-2.0" and (ROOT / about["license_files"]).is_file()
    assert about["long_description_content_type"] == "text/markdown"
    versions = re.findall(r"Python :: 3\.(\d+)", about["classifiers"])
    assert versions == ["11", "12", "13"] and metadata["options"]["python_requires"] == ">=3.11"
