"""The doors are typed: mypy and editors see what the wheel holds, and a wrong use of it is an error.

The wheel is built and unpacked, and everything here looks at that copy: a stub left out of it fails.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from hybridkp.lazy import stub_names

ROOT = Path(__file__).parents[1]

#: each line must be an error
WRONG = """\
from hybridkp.fusion import NoSuchThing
hybridkp.runtime.lod("x.hkr")
hybridkp.nothing
HOG(cels=5)
HOG(cells="five")
make_crops("faces68")
make_crops(data, size_hw=128)
make_crops(data, sise_hw=(128, 128))
number: int = load_dataset("faces68")
load_dataset(3)
load_dataset("faces68").sample
Instance(xy)
Sample("a.png", load="a.png", instances=(), group="a")
MeanShape().fit(images)
Format(name="x", words="x", recognises=1, splits=lambda p: (), read=read_coco)
check_dataset("faces68")[0].severty
bench({}, data)
save_model("model.hkp")
"""

HEAD = """\
import numpy as np
import hybridkp
from hybridkp import Dataset, Instance, Sample, bench, load_dataset, save_model
from hybridkp.datasets import Format, check_dataset, read_coco
from hybridkp.descriptors import HOG
from hybridkp.evaluate import make_crops
from hybridkp.landmarks import MeanShape

data = load_dataset("faces68", "train")
images = np.zeros((2, 64, 64), np.uint8)
xy: list[str] = []
"""

#: none of these is an error, and each is revealed as what it says
RIGHT = {
    "HOG(cells=5, signed=True)": "hybridkp.descriptors.hog.HOG",
    "load_dataset('faces68', category='face')": "hybridkp.structures.annotated.Dataset",
    "make_crops(data, size_hw=(96, 96)).images": "numpy.ndarray",
    "[s.group for s in data]": "list[str]",
    "hybridkp.runtime.load('faces.hkr')": "hybridkp.runtime.detector.RuntimeDetector",
    "hybridkp.datasets.split_names('faces68')": "tuple[str, ...]",
    "[f.code for f in check_dataset('faces68')]": "list[str]",
    "hybridkp.__version__": "str",
}


PACKAGE = sorted((ROOT / "hybridkp").rglob("__init__.pyi"))


def _names(stub: Path) -> dict[str, str]:
    return stub_names(stub.read_text(encoding="utf-8"))


def _door(stub: Path) -> str:
    return ".".join(stub.relative_to(ROOT).parent.parts)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as the wheel holds it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # setuptools writes beside what it builds
    shutil.copytree(ROOT / "hybridkp", source / "hybridkp", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    if find_spec("setuptools") is not None:
        build.append("--no-build-isolation")
    subprocess.run([*build, str(source)], check=True, timeout=600)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def said(site: Path) -> dict[str, dict[int, str]]:
    """What mypy says of each line: file -> line -> message, of one run over all that is asked here."""
    doors = [
        (f"from {_door(stub)} import {name} as n{i}_{k}", f"reveal_type(n{i}_{k})")
        for i, stub in enumerate(PACKAGE)
        for k, name in enumerate(_names(stub))
    ]
    asked = {
        "wrong": HEAD + WRONG,
        "right": HEAD + "".join(f"reveal_type({line})\n" for line in RIGHT),
        "doors": "".join(f"{line}\n" for pair in doors for line in pair),
    }
    for name, text in asked.items():
        (site / f"{name}.py").write_text(text)
    plain = ["--no-error-summary", "--hide-error-context", "--no-color-output", "--ignore-missing-imports"]
    plain += ["--follow-imports=silent"]  # what the package's functions do inside is for mypy's own run
    command = [sys.executable, "-m", "mypy", *plain, "--cache-dir", str(site / "cache")]
    files = [f"{name}.py" for name in asked]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH")}
    done = subprocess.run(
        [*command, *files],
        cwd=site,
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
        check=False,
    )
    out: dict[str, dict[int, str]] = {name: {} for name in asked}
    for line in done.stdout.splitlines():
        found = re.match(r"(\w+)\.py:(\d+): (?:error|note): (.*)", line)
        if found and found[1] in out:
            out[found[1]].setdefault(int(found[2]), found[3])
    assert any(out.values()), done.stdout[:2000] + done.stderr[:2000]
    return out


@pytest.mark.parametrize("number", range(len(WRONG.splitlines())), ids=WRONG.splitlines())
def test_a_wrong_use_is_an_error(said: dict[str, dict[int, str]], number: int) -> None:
    assert len(HEAD.splitlines()) + number + 1 in said["wrong"], "mypy has nothing against it"


def test_right_uses_pass_with_real_types(said: dict[str, dict[int, str]]) -> None:
    first = len(HEAD.splitlines()) + 1
    assert {line for line in said["right"] if line < first} == set(), said["right"]
    for number, (line, kind) in enumerate(RIGHT.items(), first):
        assert said["right"][number].startswith(f'Revealed type is "{kind}'), (line, said["right"][number])


def test_no_public_name_is_any(said: dict[str, dict[int, str]]) -> None:
    names = [f"{_door(stub)}.{name}" for stub in PACKAGE for name in _names(stub)]
    assert len(names) > 200
    for number, name in enumerate(names):
        assert 2 * number + 1 not in said["doors"], (name, said["doors"][2 * number + 1])
        told = said["doors"][2 * number + 2]
        assert told.startswith("Revealed type is") and told != 'Revealed type is "Any"', (name, told)


def test_the_wheel_has_every_stub_and_opens_its_doors(site: Path) -> None:
    for stub in PACKAGE:
        assert (site / stub.relative_to(ROOT)).read_bytes() == stub.read_bytes()
    assert (site / "hybridkp" / "py.typed").is_file()
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import hybridkp; "
        "print(sorted({'numpy', 'cv2', 'torch'} & set(sys.modules))); print(hybridkp.__file__); "
        "print(callable(hybridkp.runtime.load), hybridkp.load_dataset.__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=site)
    light, where, works = done.stdout.splitlines()
    assert light == "[]" and where.startswith(str(site)) and works == "True hybridkp.datasets.load"


def test_stubs_name_nothing_private_and_each_name_once() -> None:
    for stub in PACKAGE:
        text = stub.read_text(encoding="utf-8")
        names = list(_names(stub))
        assert not [name for name in names if name.startswith("_")], stub
        assert len(re.findall(r"^from \.", text, re.MULTILINE)) == len(names), f"{stub}: a line a name"
