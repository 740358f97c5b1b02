"""What a machine may lack: a home, a folder to write in, characters, peace.

It works, or says why in a line.
"""

from __future__ import annotations

import ast
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
from report_helpers import answer, make_data

from hybridkp import cli
from hybridkp.datasets import make_faces
from hybridkp.evaluate import Problem, bench
from hybridkp.files import graphs, load_predictions, save_predictions
from hybridkp.files.lease import RUN, hold, work_in
from hybridkp.landmarks import MeanShape
from hybridkp.memory.resident import load_per_core
from hybridkp.report import write_report
from hybridkp.report.verdicts import LOADED

ROOT = Path(__file__).parents[1]
FEW = ["--crop", "48", "--max-train", "8", "--max-val", "2"]
TINY = ["bench", "synthetic", "--methods", "mean-shape", "--jobs", "1", *FEW]
HOMES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "USERPROFILE", "PYTHONIOENCODING")
C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def command(
    words: list[str], cwd: Path | str | None = None, **env: str
) -> subprocess.CompletedProcess[bytes]:
    """The real command without a home, with these variables."""
    plain = {name: value for name, value in os.environ.items() if name not in HOMES}
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    program = [sys.executable, "-m", "hybridkp", *words]
    return subprocess.run(program, cwd=cwd, env=plain | path | env, capture_output=True, timeout=300)


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/sys/kernel").is_dir(), reason="needs a folder that nobody, not even root, may write"
)
def test_a_bench_without_a_home_in_a_read_only_folder_and_any_code_page(tmp_path: Path) -> None:
    out = tmp_path / "Ergebnisse \u2265 \u4e2d"
    surroundings: list[dict[str, str]] = [
        {"PYTHONIOENCODING": "ascii"},
        {"HOME": "/sys"} | C,
    ]
    for env in surroundings:
        done = command([*TINY, "--out", str(out)], cwd="/sys", **env)
        assert done.returncode == 0, (env, done.stderr.decode(errors="replace"))
        assert b"mean-shape" in done.stdout and b"Traceback" not in done.stderr
        assert (
            "\u2264" in (out / "index.html").read_text(encoding="utf-8")
            or (out / "results.md").stat().st_size
        )
    assert not (out / RUN).exists()
    done = command(TINY, cwd="/sys")
    assert done.returncode == 2 and done.stdout == b""
    assert done.stderr.startswith(b"hybridkp: error: ") and done.stderr.count(b"\n") == 1, done.stderr


@pytest.mark.parametrize(
    "words", [["list"], ["list", "--task", "points"], ["--help"], ["data", "info", "synthetic"]]
)
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_what_a_code_page_lacks_is_escaped(
    monkeypatch: pytest.MonkeyPatch, words: list[str], encoding: str
) -> None:
    heard: list[Any] = []
    for name in ("stdout", "stderr"):
        heard.append(io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict"))
        monkeypatch.setattr(sys, name, heard[-1])
    try:
        code = cli.main(words)
    except SystemExit as end:  # argparse after --help
        code = end.code
    print("\u2265 \u4e2d", end="")
    heard[0].flush()
    assert code == 0 and heard[0].buffer.getvalue().decode(encoding).endswith("\\u4e2d")


def test_of_two_runs_in_one_folder_the_second_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hold(tmp_path / RUN):
        for words in (
            [*TINY, "--out", str(tmp_path)],
            ["bench-points", "--quick", "--methods", "orb", "--out", str(tmp_path)],
            ["bench-finders", "synthetic", "--max-train", "8", "--max-val", "2", "--out", str(tmp_path)],
            ["tune", "synthetic", "--methods", "hog+ridge", "--max-train", "8", "-o", str(tmp_path)],
        ):
            assert cli.main(words) == 2
            text = capsys.readouterr().err
            assert text.count("\n") == 1 and f"{tmp_path}: another process works there" in text
        assert [path.name for path in tmp_path.iterdir()] == [RUN], "the second has written nothing"
    with work_in(tmp_path), work_in(tmp_path):
        assert (tmp_path / RUN).is_file()
    assert not (tmp_path / RUN).exists()


def _without_encoding(path: Path) -> list[str]:
    """Calls that read or write text as the locale has it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        method = isinstance(node.func, ast.Attribute)
        plain_open = not method and name == "open"
        fdopen = name in ("fdopen", "TextIOWrapper")
        if not (plain_open or fdopen or (method and name in ("read_text", "write_text"))):
            continue
        modes = [a.value for a in node.args[1:2] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        modes += [
            k.value.value for k in node.keywords if k.arg == "mode" and isinstance(k.value, ast.Constant)
        ]
        binary = (plain_open or fdopen) and any("b" in mode for mode in modes)
        if not binary and not any(k.arg == "encoding" for k in node.keywords):
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def test_text_is_read_and_written_as_utf_8() -> None:
    sources = [p for room in ("hybridkp", "benchmarks", "docs") for p in (ROOT / room).rglob("*.py")]
    assert len(sources) > 250
    wrong = [place for path in sources for place in _without_encoding(path)]
    assert not wrong, f"say encoding='utf-8': {', '.join(wrong)}"


# --------------------------------------------------------------------------------------------
# peace
# --------------------------------------------------------------------------------------------


def test_a_page_of_times_taken_under_load_says_so(tmp_path: Path) -> None:
    data = make_data()
    made = [
        answer(data, "quiet", 1.0, load=LOADED, fit_load=0.4),
        answer(data, "busy", 2.0, load=2.34, fit_load=9.0),
    ]
    save_predictions(made[1], tmp_path / "busy")
    again = load_predictions(tmp_path / "busy")
    assert (again.load, again.fit_load) == (2.34, 9.0)
    text = write_report([made[0], again], data, tmp_path).paths["markdown"].read_text(encoding="utf-8")
    assert (
        "Milliseconds of busy were taken on a busy machine, with a load average of up to 2.3 per core" in text
    )
    assert "Fit times of busy were taken" in text and text.count("on a busy machine") == 2
    quiet = write_report(made[:1], data, tmp_path / "quiet").paths["markdown"].read_text(encoding="utf-8")
    assert "on a busy machine" not in quiet


@pytest.mark.skipif(not hasattr(os, "getloadavg"), reason="the system counts no load")
def test_a_bench_notes_how_busy_the_machine_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = make_faces(6, (64, 64))
    problem = Problem(faces.subset(range(4)), faces.subset([4, 5]), size_hw=(48, 48), max_timed=1)
    (found,) = bench({"mean": MeanShape()}, problem, out=tmp_path)
    assert found.load > 0 and found.fit_load > 0
    monkeypatch.setattr(os, "getloadavg", lambda: (6.0, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert load_per_core() == 1.5


def test_a_callers_number_of_threads_is_an_engines_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getNumThreads", lambda: 8)
    for said, threads in (("1", 1), ("3", 3), ("64", 8), ("", 8), ("4,2", 8)):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert graphs._threads() == threads


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs masks of signals")
def test_workers_are_deaf_to_ctrl_c_from_their_first_moment() -> None:
    """In a fresh process: its first workers start a helper of Python's that opens the mask again."""
    code = """
import signal
from hybridkp.evaluate.processes import in_processes
def is_deaf(_):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
print(*in_processes(is_deaf, [(0,), (1,)], 2))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
