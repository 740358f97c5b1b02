"""Runs the code of the pages: every ``python`` and ``bash`` block of README.md and of docs/*.md, in order.

The blocks of a page share one namespace and one empty folder that holds ``scene.jpg`` and ``again.jpg``:
the same place from two sides.  A block behind the comment ``<!--- skip: next -->`` is only shown.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
from sybil import Example, Sybil
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser, SkipParser


def run_in_shell(example: Example) -> None:
    """A shell block runs as a reader would give it; the first command that fails fails the page."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example.parsed], env={**os.environ, "PATH": path}, text=True
    )
    assert done.returncode == 0, f"exit code {done.returncode}: {example.parsed}"


def into_a_folder(namespace: dict[str, Any]) -> None:
    from hybridkp.datasets import make_pairs

    namespace["_before"], namespace["_folder"] = os.getcwd(), tempfile.TemporaryDirectory()
    pair = next(iter(make_pairs()))
    for name, image in (("scene.jpg", pair.load_a()), ("again.jpg", pair.load_b())):
        cv2.imwrite(str(Path(namespace["_folder"].name, name)), image)
    os.chdir(namespace["_folder"].name)


def out_of_it(namespace: dict[str, Any]) -> None:
    os.chdir(namespace["_before"])
    namespace["_folder"].cleanup()


pytest_collect_file = Sybil(
    parsers=[
        PythonCodeBlockParser(),
        CodeBlockParser(language="bash", evaluator=run_in_shell),
        SkipParser(),
    ],
    patterns=["README.md", "docs/*.md"],
    excludes=["docs/package.md"],  # the README's blocks again
    setup=into_a_folder,
    teardown=out_of_it,
).pytest()
