"""The commands of the interest-point task, from the outside."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from plain_matchers import SHIFT, Broken, Guess, picture

import hybridkp
from hybridkp import cli
from hybridkp.cli import bench_points as command
from hybridkp.datasets import few_of_each, load_pairs
from hybridkp.evaluate import processes
from hybridkp.report import plots


@pytest.fixture
def folder(tmp_path):
    """Two sequences of three pictures in the HPatches layout."""
    root = tmp_path / "set"
    for s, name in enumerate(("i_one", "v_two")):
        (root / name).mkdir(parents=True)
        for number, move in ((1, (0, 0)), (2, (3, -2)), (3, (-6, 4))):
            data = cv2.imencode(".png", picture(s, *move))[1].tobytes()
            (root / name / f"{number}.png").write_bytes(data)
            if number > 1:
                shift = np.array([[1, 0, move[0]], [0, 1, move[1]], [0, 0, 1]])
                np.savetxt(root / name / f"H_1_{number}", shift)
    return root


@pytest.fixture
def recipes(monkeypatch, here):
    """Three methods in place of the real ones, run in this process."""
    room = hybridkp.recipes
    real, made = room.canonical, {"sift": (Guess, 1.0), "guess": (Guess, 0.2), "broken": (Broken, 0.2)}
    words = {"sift": ("classical", "what it is"), "guess": ("hybrid", "another"), "broken": ("deep", "fails")}
    lines = [room.MethodLine(name, name, *words[name]) for name in made]

    def make_matcher(name, n_points=1024, random_state=0):
        kind, share = made[canonical(name, "points")]
        return kind(n_points, share, random_state)

    def canonical(name, task="landmarks"):
        return name if name in made else real(name, task)

    for name, value in {
        "POINTS_DEFAULT": ("sift", "guess"),
        "canonical": canonical,
        "make_matcher": make_matcher,
        "methods_table": lambda task="landmarks": lines,
        "family": lambda name, task="landmarks": words[name][0],
        "describe_method": lambda name, task="landmarks": words[name][1],
    }.items():
        monkeypatch.setattr(room, name, value)


def test_list(capsys, recipes):
    assert cli.main(["list", "--task", "points"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "sift    classical  what it is",
        "guess   hybrid     another",
        "broken  deep       fails",
    ]


def test_bench_and_report(capsys, recipes, folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    argv = ["bench-points", str(folder), "--points", "30", "--short-side", "0", "--out", str(out)]
    assert cli.main(argv) == 0
    text, messages = capsys.readouterr()
    table = [row for row in text.splitlines() if row.startswith("|")]
    assert all(word in table[0] for word in ("method", "AUC@3", "MMA@3", "repeatability@3", "ms"))
    assert {row.split("|")[2].strip() for row in table[2:]} == {"sift", "guess"}
    assert f"Report: {out / 'index.html'}" in text and "[2/2] guess-30" in messages
    assert json.loads((out / "bench.json").read_text()) == {
        "task": "points", "data": str(folder), "short_side": 0, "quick": False
    }  # fmt: skip
    before = {p.name: p.stat().st_mtime_ns for p in (out / "matched").iterdir()}
    with monkeypatch.context() as quick:
        quick.setattr(command, "show_points_report", lambda *_: None)
        assert cli.main(argv) == 0
    assert capsys.readouterr().err.count("kept from before") == 2
    assert {p.name: p.stat().st_mtime_ns for p in (out / "matched").iterdir()} == before
    (out / "index.html").unlink()
    for name in ("trade_off_svg", "shares_svg"):  # curves take seconds, and were drawn above
        monkeypatch.setattr(plots, name, lambda *a, **k: '<svg role="img" aria-label="stub"></svg>')
    monkeypatch.setattr(plots, "overview_png", lambda *a, **k: b"stub")
    assert cli.main(["report", str(out)]) == 0
    again = capsys.readouterr().out
    assert (out / "index.html").exists() and [r for r in again.splitlines() if r.startswith("|")] == table
    (folder / "i_one" / "H_1_2").write_text("2 0 0 0 2 0 0 0 1")
    assert cli.main(["report", str(out)]) == 2
    assert "holds matches of other pairs" in capsys.readouterr().err


def test_a_method_that_fails_is_1(capsys, recipes, folder, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(command, "show_points_report", lambda found, *_: written.extend(found))
    out = tmp_path / "out"
    argv = ["bench-points", str(folder), "--quick", "--methods", "broken,guess", "--out", str(out)]
    assert cli.main(argv) == 1
    assert "broken-512 failed; its traceback is in" in capsys.readouterr().err
    assert [m.label for m in written] == ["guess-512"]
    assert (out / "errors" / "broken-512-0.txt").exists()


def test_quick_takes_two_of_each_sequence(folder):
    pairs = load_pairs("synthetic", 120)
    few = few_of_each(pairs, 2)
    names = [p.name for p in few]
    assert names[:4] == [
        "astronaut-viewpoint/1",
        "astronaut-viewpoint/4",
        "astronaut-rotation/1",
        "astronaut-rotation/2",
    ]
    assert names[-1] == "motorcycle/1-2" and len(names) == len(set(names)) == 18 * 2 + 1


def test_stopped_says_how_to_go_on(capsys, recipes, folder, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(processes, "_run_all", stop)
    assert cli.main(["bench-points", str(folder), "--out", str(tmp_path / "out")]) == 130
    assert f"Finished methods are kept in {tmp_path / 'out'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["bench-points", "FOLDER/none"], "no such file or folder"),
        (["bench-points", "FOLDER", "--methods", "sfit"], "did you mean 'sift'"),
        (["bench-points", "FOLDER", "--methods", "xyz"], "hybridkp list --task points"),
        (["bench-points", "FOLDER/.."], "no sequence there"),
        (["match", "FOLDER/i_one/1.png", "FOLDER/none.png", "--method", "sift"], "no such picture"),
        (["match", "FOLDER/i_one/1.png", "FOLDER/i_one/2.png", "-o", "m.txt"], "m.txt: give a name"),
        (["match", "FOLDER/i_one/1.png", "FOLDER/i_one/2.png", "--method", "sfit"], "did you mean 'sift'"),
    ],
)
def test_mistakes_are_one_line(capsys, recipes, folder, tmp_path, argv, message):
    argv = [a.replace("FOLDER", str(folder)) for a in argv]
    assert cli.main([*argv, *(["--out", str(tmp_path / "out")] if argv[0] != "match" else [])]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("hybridkp: error: ") and message in line


@pytest.mark.parametrize("argv", [["--points", "0"], ["--points", "a"], ["--seeds", "x"]])
def test_wrong_usage_is_2(capsys, argv):
    with pytest.raises(SystemExit) as done:
        cli.main(["bench-points", *argv])
    assert done.value.code == 2 and "error" in capsys.readouterr().err


def test_match_writes_json_and_pictures(capsys, recipes, folder, tmp_path):
    pictures = [str(folder / "i_one" / f"{n}.png") for n in (1, 2)]
    out = tmp_path / "m.json"
    assert cli.main(["match", *pictures, "--method", "guess", "--points", "25", "-o", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("guess: 25 and 25 points, 25 matches, ") and lines[-1] == str(out)
    printed = np.array([row.split() for row in lines[1:4]], float)
    found = json.loads(out.read_text())
    np.testing.assert_allclose(found["homography"], printed, rtol=1e-6)
    np.testing.assert_allclose(found["homography"], SHIFT, atol=0.21)
    assert len(found["matches"]) == 25 and set(found["matches"][0]) == {"a", "b", "score", "inlier"}
    assert sum(m["inlier"] for m in found["matches"]) == int(lines[0].split()[-2])
    assert cli.main(["match", *pictures, "--method", "guess", "-o", str(tmp_path / "m.PNG")]) == 0
    drawn = cv2.imread(str(tmp_path / "m.PNG"))
    assert drawn.shape[0] == 60 and drawn.shape[1] >= 160
    assert cli.main(["match", *pictures, "--method", "guess"]) == 0


def test_match_without_a_homography(capsys, recipes, folder, tmp_path, monkeypatch):
    from hybridkp.files.matched import no_result

    monkeypatch.setattr(Guess, "match", lambda self, a, b: no_result())
    pictures = [str(folder / "i_one" / f"{n}.png") for n in (1, 2)]
    assert cli.main(["match", *pictures, "--method", "guess", "-o", str(tmp_path / "m.json")]) == 0
    assert "no homography was found" in capsys.readouterr().out
    assert json.loads((tmp_path / "m.json").read_text())["homography"] is None
    assert cli.main(["match", *pictures, "--method", "guess", "-o", str(tmp_path / "m.png")]) == 0
