"""The command line: help, exit codes, one-line errors, and the main job from end to end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
from plain_detectors import Failing, PlainMean, plain_dataset

import hybridkp
from hybridkp import cli
from hybridkp.cli import display, options
from hybridkp.cli.parser import COMMANDS as COMMAND_FILES
from hybridkp.cli.parser import commands
from hybridkp.datasets import load_parts, parse_normalizer, thin, write_coco
from hybridkp.files import load_predictions, save_predictions
from hybridkp.structures import DataWarning, InputError

COMMANDS = ["", *(command.NAME for command in commands())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set of 10 + 6 small pictures on disk, in COCO's form."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "images").mkdir()
    for split, n, seed in (("train", 10, 0), ("val", 6, 50)):
        data = plain_dataset(split, n, seed=seed)
        samples = [replace(s, name=f"{s.name}.png", image_id=seed + i) for i, s in enumerate(data.samples)]
        for sample in samples:
            (root / "images" / sample.name).write_bytes(cv2.imencode(".png", sample.image)[1].tobytes())
        write_coco(replace(data, samples=tuple(samples)), root / f"{split}.json")
    return root


@pytest.fixture
def recipes(monkeypatch):
    """A room of recipes with three methods, in place of the real one."""
    from hybridkp.landmarks import MeanShape

    methods = {"mean": MeanShape, "plain": PlainMean, "failing": Failing}
    room = hybridkp.recipes
    monkeypatch.setattr(room, "DEFAULT", ["mean", "plain"])
    monkeypatch.setattr(room, "QUICK", ["mean"])
    monkeypatch.setattr(room, "make_method", lambda name, quick=False: methods[name]())
    monkeypatch.setattr(room, "canonical", lambda name, task="landmarks": name)
    monkeypatch.setattr(room, "family", lambda name, task="landmarks": "floor")
    monkeypatch.setattr(room, "describe_method", lambda name, task="landmarks": f"what {name} is")
    lines = [room.MethodLine(name, name, "floor", f"what {name} is") for name in methods]
    lines.append(room.MethodLine("short", "vote(mean,plain)", "hybrid", "two of them"))
    monkeypatch.setattr(room, "methods_table", lambda task="landmarks": lines)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(capsys, command):
    with pytest.raises(SystemExit) as done:
        cli.main([*command.split(), "--help"])
    text = capsys.readouterr().out
    assert done.value.code == 0 and "examples:\n  hybridkp" in text
    assert max(map(len, text.splitlines())) <= 120
    assert not re.search(r"^  --out ", text, re.M), "-o means the same everywhere"


def test_version(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"hybridkp {hybridkp.__version__}\n"


@pytest.mark.parametrize(
    "argv", [["nonsense"], ["bench", "--seeds", "a"], ["train"], ["bench", "--crop", "0"]]
)
def test_wrong_usage_is_2(capsys, argv):
    with pytest.raises(SystemExit) as done:
        cli.main(argv)
    assert done.value.code == 2 and "error" in capsys.readouterr().err


def test_no_command_shows_help(capsys):
    assert cli.main([]) == 2
    assert "commands:" in capsys.readouterr().err
    assert cli.main(["data"]) == 2


def mistake(capsys, *argv):
    assert cli.main([str(a) for a in argv]) == 2
    text = capsys.readouterr().err
    (line,) = text.strip().splitlines()
    assert line.startswith("hybridkp: error: ")
    return line


def test_mistakes_are_one_line(capsys, recipes, tmp_path, folder):
    out = tmp_path / "out"
    assert "no such file or folder" in mistake(capsys, "bench", tmp_path / "none", "--out", out)
    assert "no split 'test'" in mistake(capsys, "bench", folder, "--split", "test", "--out", out)
    assert "says nothing" in mistake(capsys, "bench", folder, "--split", "train", "--out", out)
    assert "no such model" in mistake(capsys, "predict", tmp_path / "m", folder / "images", "-o", out)
    assert "no stored predictions" in mistake(capsys, "report", tmp_path)
    assert not out.exists()


def test_an_unknown_method_gets_a_suggestion(capsys, folder, tmp_path):
    for command in (["bench", "--methods"], ["train", "-o", tmp_path / "m", "--method"]):
        assert "did you mean 'hog+svm'" in mistake(capsys, *command, "hog+svn", folder)
    assert "`hybridkp list` shows them" in mistake(capsys, "bench", folder, "--methods", "xyz")


def test_debug_shows_the_traceback(recipes, tmp_path):
    with pytest.raises(InputError):
        cli.main(["bench", str(tmp_path / "none"), "--debug"])


def test_list(capsys, recipes):
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mean     floor   what mean is"
    assert lines[-1] == "short    hybrid  two of them = vote(mean,plain)"


def test_list_of_parts(capsys):
    for task, part in (("landmarks", "heatmap"), ("points", "orb")):
        assert cli.main(["list", "--parts", "--task", task]) == 0
        assert re.search(rf"^\w+ +{part} +\w", capsys.readouterr().out, re.M)


def test_every_listed_name_and_every_example_is_a_method():
    for task in ("landmarks", "points"):
        for line in hybridkp.recipes.methods_table(task):
            assert hybridkp.recipes.canonical(line.name, task) == line.definition
    for command in commands():
        tasks = dict.fromkeys(("bench-points", "features", "match", "explain"), "points")
        tasks |= dict.fromkeys(("classify", "actions"), "classes")
        task = tasks.get(command.NAME.split()[0], "landmarks")
        for value in re.findall(r"--methods? (\S+)", command.EXAMPLES):
            for method in options.methods(value.strip('"')):
                hybridkp.recipes.canonical(method, task)


def test_a_reader_that_stops_reading(monkeypatch, recipes, tmp_path):
    with open(tmp_path / "stdout", "w") as file:

        class Closed:
            def write(self, text):
                raise BrokenPipeError

            flush = write
            fileno = file.fileno

        monkeypatch.setattr(sys, "stdout", Closed())
        assert cli.main(["list"]) == 0


def test_the_main_job(capsys, recipes, tmp_path, folder):
    out = tmp_path / "out"
    argv = [
        "bench",
        str(folder),
        "--methods",
        "mean,failing",
        "--out",
        str(out),
        "--jobs",
        "2",
        "--crop",
        "64",
    ]
    argv += ["--normalizer", "box"]
    assert cli.main(argv) == 1
    printed = capsys.readouterr()
    assert "| mean" in printed.out and "Report: " in printed.out
    assert "failing failed; its traceback is in" in printed.err
    assert sorted(os.listdir(out / "errors")) == ["failing-0.txt"]
    page = Path(printed.out.strip().splitlines()[-1].removeprefix("Report: ").split(" (")[0])
    assert page.parent == out and "mean" in page.read_text()
    assert cli.main([*argv[:3], "mean", *argv[4:]]) == 0
    assert "[1/1] mean: kept from before" in capsys.readouterr().err
    page.unlink()
    assert cli.main(["report", str(out)]) == 0
    assert page.exists() and "left out" not in capsys.readouterr().err
    found = load_predictions(out / "predictions" / "mean-0.safetensors")
    for name, change in (
        ("wide", {"params": {**found.params, "margin": 1.0}}),
        ("old", {"fingerprint": "0"}),
    ):
        save_predictions(replace(found, method=name, **change), out / "predictions" / f"{name}-0.safetensors")
    assert cli.main(["report", str(out)]) == 0
    printed = capsys.readouterr()
    assert "left out old, wide: stored by a bench on other data or in another setting" in printed.err
    assert "| mean" in printed.out and "wide" not in printed.out and "| old" not in printed.out
    assert sorted(os.listdir(tmp_path)) == ["out"]
    (out / "bench.json").write_text("{}")
    assert "run the bench again" in mistake(capsys, "report", out)


def test_train_then_predict(capsys, recipes, tmp_path, folder):
    model, out = tmp_path / "mean.hkp", tmp_path / "answers"
    argv = ["train", str(folder), "--method", "mean", "-o", str(model), "--max-train", "5", "--crop", "64"]
    assert cli.main(argv) == 0
    assert "mean.hkp: mean" in capsys.readouterr().out
    boxes = ["--boxes", str(folder / "val.json")]
    pictures = [str(folder / "images" / "val*.png")]
    assert cli.main(["predict", str(model), *pictures, *boxes, "-o", str(out)]) == 0
    assert "6 objects in 6 pictures" in capsys.readouterr().out
    assert len(os.listdir(out / "overlays")) == 6
    assert cli.main(["predict", str(model), *pictures, "-o", str(tmp_path / "b"), "--no-overlays"]) == 0
    assert os.listdir(tmp_path / "b") == ["predictions.json"]
    capsys.readouterr()
    (folder / "images" / "val0x.png").write_bytes(b"no picture")
    assert cli.main(["predict", str(model), *pictures, "-o", str(tmp_path / "b"), "--no-overlays"]) == 1
    told = capsys.readouterr()
    assert "in 6 pictures" in told.out and "left out" in told.err and "val0x.png" in told.err
    (folder / "images" / "val0x.png").unlink()
    told = mistake(capsys, "predict", model, *pictures, "--category", "face", "-o", tmp_path / "c")
    assert "are for COCO .json" in told
    told = mistake(capsys, "predict", model, *pictures, *boxes, "--min-score", "0.9", "-o", tmp_path / "c")
    assert "a finder is unsure of" in told and not (tmp_path / "c").exists()


RUN = """
import sys; sys.path.insert(0, {tests!r})
from plain_detectors import *
from hybridkp import recipes
recipes.canonical = lambda name, task="landmarks": name
recipes.make_method = lambda name, quick=False: PlainMean() if name == "plain" else Waiting({gate!r})
from hybridkp.cli import main
if __name__ == "__main__":
    sys.exit(main(["bench", {data!r}, "--methods", "plain,waiting", "--out", {out!r}]))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_says_how_to_go_on(tmp_path, folder, how):
    out = tmp_path / "out"
    script = tmp_path / "run.py"
    tests = str(Path(__file__).parent)
    script.write_text(RUN.format(tests=tests, gate=str(tmp_path / "gate"), data=str(folder), out=str(out)))
    process = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a runner in the background hands down an ignored Ctrl-C: give the child the usual one
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.time() + 90
    while not list(out.glob("predictions/*")) and time.time() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    os.killpg(process.pid, how)  # as a terminal does: the workers get it too
    _, text = process.communicate(timeout=60)
    assert process.returncode == 130
    assert text.strip().splitlines()[-1] == (
        f"hybridkp: stopped. Finished methods are kept in {out}; give the same command again to go on."
    )
    assert "Traceback" not in text
    assert [p.name for p in (out / "predictions").iterdir()] == ["plain-0.safetensors"]
    assert not list(out.rglob("crops-*")) and not list(out.rglob("*.part"))


def test_undivided_data_are_divided_by_group(folder):
    with pytest.warns(DataWarning, match="held out one by one, for want of groups"):
        train, val = load_parts(str(folder / "train.json"), "val")
    assert len(train) == 8 and len(val) == 2 and not set(train.groups) & set(val.groups)
    with pytest.warns(DataWarning, match="held out one by one, for want of groups"):
        again = load_parts(str(folder / "train.json"), "val")[1]
    assert again.fingerprint == val.fingerprint


def test_thin_takes_evenly():
    data = plain_dataset("d", 10)
    assert [s.name for s in thin(data, 4)] == ["d0", "d2", "d5", "d7"]
    assert thin(data, 99) is data and thin(data, None) is data


def test_normalizer():
    data = plain_dataset("d", 1)
    assert parse_normalizer(None, data) is None
    assert parse_normalizer("pixel", data) == ("pixel",)
    assert parse_normalizer("p0,2", data) == ("points", 0, 2)
    for text in ("x", "0", "1,1", "0,3", "0,-1", ""):
        with pytest.raises(InputError, match="--normalizer"):
            parse_normalizer(text, data)


def test_warnings_are_notes(capsys, monkeypatch, recipes, tmp_path, folder):
    import warnings

    def told(args):
        warnings.warn("something\nwas repaired", hybridkp.structures.DataWarning, stacklevel=1)
        return 0

    monkeypatch.setattr("hybridkp.cli.list.run", told)
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().err == "hybridkp: note: something was repaired\n"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("bench --seeds a,b", "a,b is not a list of numbers, such as 0,1,2"),
        ("bench --crop wide", "wide is not a positive number"),
        ("bench --max-val 0", "0 is not a positive number"),
        ("classroom --port 99999", "99999 is no port"),
        ("predict m.hkp p.png -o out --min-score nan", "nan is no number from 0 to 1"),
    ],
)
def test_what_is_wrong_with_a_number_is_said_in_words(capsys, argv, words):
    with pytest.raises(SystemExit) as done:
        cli.main(argv.split())
    assert done.value.code == 2 and words in capsys.readouterr().err


def test_methods_are_split_outside_brackets_and_quotes():
    text = (
        'sdm, heatmap[inputs=image:depth,px=64]:sdm,vote(hog+svm,average[weights=3:1](a,b)),onnx[file="a,b"]'
    )
    assert options.methods(text) == [
        "sdm",
        "heatmap[inputs=image:depth,px=64]:sdm",
        "vote(hog+svm,average[weights=3:1](a,b))",
        'onnx[file="a,b"]',
    ]
    assert options.methods(" a, b ") == ["a", "b"] and options.methods("vote(a,b") == ["vote(a,b"]


def test_expressions_in_examples_are_quoted():
    for command in commands():
        for value in re.findall(r"--methods? (\S+)", command.EXAMPLES):
            assert value[0] == '"' or re.fullmatch(r"[\w-]+", value), f"{command.NAME}: quote {value}"


def test_every_command_is_a_file_and_every_file_is_used():
    files = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    assert files - {"__init__", "display", "options", "parser"} == set(COMMAND_FILES)


def test_jobs_default_to_the_usable_cores(capsys):
    for command in ("bench", "bench-points", "tune", "robustness"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        assert "default -1: one per usable core" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--jobs", "0"], "no number of processes"),
        (["--jobs", "-3"], "no number of processes"),
        (["--methods", ""], "a method is missing"),
        (["--methods", "sdm,,mean-shape"], "a method is missing at a comma"),
    ],
)
@pytest.mark.parametrize("command", [["bench"], ["tune", "synthetic", "-o", "out"]])
def test_values_that_mean_nothing_are_refused(capsys, command, options, words):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, *options])
    assert ended.value.code == 2 and words in capsys.readouterr().err


def test_match_reads_its_method_before_its_pictures(capsys):
    assert cli.main(["match", "none.png", "none.png", "--method", "sift[rule=rati]"]) == 2
    assert capsys.readouterr().err.strip() == (
        "hybridkp: error: method 'sift[rule=rati]', character 6: 'rule' of 'sift' takes mutual or ratio or"
        " gms: did you mean 'ratio'?"
    )


def test_names_in_the_terminal_are_as_they_are_given():
    assert (
        display.plain(r"| heatmap\[input_px=96\] | a\|b | &lt;8 |") == "| heatmap[input_px=96] | a|b | <8 |"
    )


def test_help_keeps_the_names_of_formats(capsys):
    with pytest.raises(SystemExit):
        cli.main(["predict", "--help"])
    assert "Landmarks of pictures, of a film or of a camera: JSON and overlays." in capsys.readouterr().out


def test_nothing_heavy_is_imported_for_help():
    heavy = "{'torch', 'sklearn', 'cv2', 'matplotlib'}"
    code = f"import sys, hybridkp.cli.parser as p; p.build_parser(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "set()\n", done.stderr


def test_robustness_asks_the_models_of_a_bench(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    out = tmp_path / "run"
    few = ["--max-val", "4", "--methods", "mean-shape", "--jobs", "1"]
    assert cli.main(["bench", str(folder), *few, "--out", str(out)]) == 0
    assert cli.main(["robustness", str(out), "--kinds", "jpeg", "--max-val", "3", "--jobs", "1"]) == 0
    text = capsys.readouterr().out
    assert "jpeg, %" in text and (out / "robustness.html").is_file()
    assert cli.main(["robustness", str(out), "--methods", "sdm"]) == 2
    assert "has no model of sdm (there: mean-shape)" in capsys.readouterr().err
    assert cli.main(["robustness", str(out), "--kinds", "fog"]) == 2
    assert cli.main(["robustness", str(tmp_path / "nothing")]) == 2
    assert "bench.json is missing" in capsys.readouterr().err


def test_what_nobody_foresaw_is_one_line(capsys, monkeypatch, recipes, folder, tmp_path):
    """A library's complaint about a value out of range: its words, and the traceback when asked for."""

    def broken(name: str, quick: bool = False) -> Any:
        raise RuntimeError("stride\n  must be positive")

    monkeypatch.setattr(hybridkp.recipes, "make_method", broken)
    command = ["train", str(folder), "--method", "mean", "-o", str(tmp_path / "m.hkp")]
    assert cli.main(command) == 1
    err = capsys.readouterr().err
    assert err == "hybridkp: error: RuntimeError: stride must be positive (--debug shows where)\n"
    with pytest.raises(RuntimeError):
        cli.main([*command, "--debug"])


@pytest.fixture
def spoiled(folder, tmp_path):
    """The pictures are in another folder, one of them too small, and a second category has keypoints."""
    root = tmp_path / "spoiled"
    shutil.copytree(folder, root)
    (root / "images").rename(tmp_path / "photos")
    lost = sorted((tmp_path / "photos").iterdir())[0]
    cv2.imwrite(str(lost), cv2.resize(cv2.imread(str(lost)), (30, 25)))
    for split in ("train", "val"):
        document = json.loads((root / f"{split}.json").read_text())
        document["categories"].append({"id": 7, "name": "rod", "keypoints": ["tip", "base"]})
        row = document["annotations"][0] | {"id": 999, "category_id": 7, "num_keypoints": 2}
        document["annotations"].append(row | {"keypoints": [5, 5, 2, 20, 20, 2]})
        (root / f"{split}.json").write_text(json.dumps(document))
    return root, tmp_path / "photos", lost.name


def test_every_command_that_reads_data_has_the_readers_options(capsys, recipes, tmp_path, spoiled):
    """... and names them where they are needed; a bench lists the errors of its data, a line each."""
    root, photos, lost = (str(part) for part in spoiled)
    out = str(tmp_path / "out")
    for command in ("tune", "robustness", "report", "evaluate", "bench-finders", "data convert", "predict"):
        with pytest.raises(SystemExit):
            cli.main([*command.split(), "--help"])
        assert "--category NAME_OR_ID" in capsys.readouterr().out
    tails = {"bench": ["--out", out], "train": ["--method", "mean", "-o", out + ".hkp"]}
    for command, tail in (tails | {"data check": [], "data info": []}).items():
        start = [*command.split(), root, *tail]
        assert cli.main(start) in (1, 2)
        shown = " ".join(capsys.readouterr())
        assert "'rod' id 7" in shown and "--category" in shown
        assert cli.main([*start, "--category", "rod"]) in (1, 2)
        assert "--images" in " ".join(capsys.readouterr())
    read = ["--category", "1", "--images", photos]
    assert cli.main(["data", "info", root, *read]) == 0
    assert cli.main(["data", "check", root, *read]) == 1
    assert "[wrong-size]" in capsys.readouterr().out
    assert cli.main(["train", root, *tails["train"], *read]) == 2
    assert re.search(rf"error: {lost}: is not as large .*said 60x50, is 30x25", capsys.readouterr().err)
    assert cli.main(["bench", root, *tails["bench"], *read]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "--anyway" in lines[0] and "[wrong-size], such as " + lost in lines[1] and len(lines) == 2
    assert not list(Path(out).glob("*"))


def test_boxes_of_other_pictures_are_a_mistake(capsys, tmp_path, folder):
    from hybridkp.evaluate import train
    from hybridkp.landmarks import MeanShape

    train(MeanShape(), plain_dataset("d", 6), tmp_path / "m.hkp")
    picture = sorted((folder / "images").iterdir())[0]
    names = {"images\\" + picture.name: 0, "else\\where.png": 2}
    for name, code in names.items():
        boxes = {
            "images": [{"id": 1, "file_name": name}],
            "annotations": [{"image_id": 1, "bbox": [5, 5, 30, 30]}],
        }
        (tmp_path / "b.json").write_text(json.dumps(boxes))
        argv = ["predict", tmp_path / "m.hkp", picture, "--boxes", tmp_path / "b.json", "-o", tmp_path / "p"]
        assert cli.main([str(a) for a in argv]) == code
        shown = capsys.readouterr()
        assert ("1 objects in 1 pictures" in shown.out) == (code == 0)
        assert len(shown.err.splitlines()) == (code > 0)
