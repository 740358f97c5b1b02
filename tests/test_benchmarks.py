"""The benchmarks of the landmarks: their lines, subsets and tables; answers are made up here.

That both run end to end with real fits is CI's step "benchmarks still run".
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from report_helpers import answer, make_data

from hybridkp import recipes
from hybridkp.structures import InputError, Problem

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import landmark_sets as sets
import learning_curves
import networks
import publish_results
import scales

NOISE = {"hog+ridge": 3.0, "mean-shape": 9.0}


@pytest.fixture
def made_up(monkeypatch):
    """A data set of 60 pictures in 30 groups, and answers of known noise in place of the bench."""
    data = make_data(60)
    made = Problem(data, data, size_hw=(64, 64), name="toy")
    monkeypatch.setattr(sets, "load_problem", lambda *_: made)
    asked = []

    def run(methods, problem, out, *, seeds=(0,), **_):
        asked.append((out, len(problem.train)))
        more = 0 if problem is made else 20 / len(problem.train)
        return [answer(data, m, NOISE.get(m, 2.5) + more, seed) for m in methods for seed in seeds]

    monkeypatch.setattr(sets, "run", run)
    return asked


def test_subsets_are_nested_and_cut_no_group():
    groups = [f"g{i // 3}" for i in range(60)]
    found = learning_curves.nested(groups, [6, 20, 31, 60, 500], seed=3)
    sizes = {size: len(rows) for size, rows in found.items()}
    assert sizes == {6: 6, 20: 21, 31: 30, 60: 60, 500: 60}
    for small, large in ((6, 20), (20, 31), (31, 60)):
        assert set(found[small]) < set(found[large])
    for rows in found.values():
        inside = {groups[r] for r in rows}
        assert len(rows) == 3 * len(inside)
    assert set(found[6]) != set(learning_curves.nested(groups, [6], seed=4)[6])
    with pytest.raises(InputError, match="at least 2"):
        learning_curves.nested(groups, [1])


def test_learning_curves_go_down_and_name_the_best(made_up, tmp_path, capsys):
    arguments = ["--set", "toy", "--methods", "hog+ridge,mean-shape", "--sizes", "10,20,400"]
    learning_curves.main([*arguments, "--seeds", "0,1", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "| NME, % (lower is better) | family | 10 | 20 | 60 |" in printed
    assert "- 60: hog+ridge is better than mean-shape (−" in printed
    assert [n for _, n in made_up] == [10, 10, 20, 20, 60, 60]
    assert len({out for out, _ in made_up}) == 6, "a folder for each subset: nothing is mixed up"
    sizes = json.loads((tmp_path / "toy" / "curves.json").read_text())["sizes"]
    curve = [sizes[s]["hog+ridge"]["value"] for s in ("10", "20", "60")]
    assert curve == sorted(curve, reverse=True)
    assert (tmp_path / "toy" / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_a_start_on_drawn_faces_is_kept_for_the_same_training_alone(monkeypatch, tmp_path):
    trained = []

    def train(estimator, problem, path, *, name):
        trained.append(path)
        path.touch()

    monkeypatch.setattr(learning_curves.evaluate, "train", train)
    monkeypatch.setattr(learning_curves.recipes, "with_pretrained", lambda estimator, path, landmarks: path)
    problem = Problem(make_data(2), size_hw=(32, 32))
    for epochs in (1, 2, 1):
        methods = {"heatmap": recipes.make_method(f"heatmap[max_epochs={epochs}]"), "sdm": None}
        found = learning_curves.twins(methods, problem, 2, tmp_path)
        assert list(found) == ["heatmap", "heatmap from drawn", "sdm"]
    assert len(trained) == 2 and found["heatmap from drawn"] == trained[0]


def test_networks_have_the_same_size_and_the_same_processor_time():
    made = networks.networks(["pyramid[fusion=convgru]", "direct"], 64, 90)
    assert list(made) == ["pyramid[fusion=convgru,input_px=64]", "direct[input_px=64]"]
    for net in made.values():
        schedule = net.schedule
        assert (net.input_px, schedule.minutes, schedule.clock) == (64, 1.5, "cpu")
        assert min(schedule.max_epochs, schedule.patience) > 10_000, "the clock alone ends a training"
    with pytest.raises(InputError, match="'hog\\+svm' is no network by itself"):
        networks.networks(["hog+svm"], 64, 90)


def test_folds_leave_each_picture_out_once_and_are_pooled_by_name():
    problem = Problem(make_data(8), make_data(3).subset(range(3), "val"), size_hw=(32, 32))
    folds = networks.parts(problem, 3)
    seen = [sample for part in folds.values() for sample in part.val.samples]
    assert len(folds) == 3 and len(seen) == 11 == len({id(sample) for sample in seen})
    assert all(not {*map(id, p.train.samples)} & {*map(id, p.val.samples)} for p in folds.values())

    def form(names, groups, value):
        rows = [{"name": n, "values": {"px": [value + len(n)] * len(groups)}} for n in names]
        facts = {"fit": "6 pictures", "judged": "", "split": "val"}
        return {"figures": {"px": {}}, "groups": groups, "methods": rows, "facts": facts}

    made = publish_results.pooled([form(["a", "bb"], [0, 0, 1], 0.0), form(["bb", "a"], [0, 1], 10.0)])
    assert {row["name"]: row["values"]["px"] for row in made["methods"]} == {
        "a": [1.0, 1.0, 1.0, 11.0, 11.0],
        "bb": [2.0, 2.0, 2.0, 12.0, 12.0],
    }
    assert made["groups"] == [0, 0, 1, 2, 3]
    assert made["facts"]["fit"] == "2 folds: 6 pictures"
    assert made["facts"]["judged"] == "5 objects in 4 groups"


def test_drawn_windows_hold_their_faces_and_sizes_differ():
    drawn = [(sample, window) for _, sample, window in scales.drawn(3, "val", 2)]
    for sample, (x, y, side) in drawn:
        left, top, width, height = sample.instances[0].box_xywh
        assert x - 1e-6 <= left and left + width <= x + side + 1e-6
        assert y - 1e-6 <= top and top + height <= y + side + 1e-6
        assert min(x, y) >= -0.5 and max(x, y) + side <= sample.size_hw[0] - 0.5 + 1e-6
    heights = [sample.instances[0].box_xywh[3] for sample, _ in drawn]
    assert max(heights) > 2 * min(heights)


def test_every_fusion_of_levels_is_one_method_of_the_grammar():
    parts = scales.contenders(["sift", "orb"], ["svm", "forest"])
    assert len({recipes.canonical(name) for name in parts}) == len(parts) == 2 * 2 * 5
    weighed = recipes.make_method("multi-level[descriptor=orb,falloff=2.0,fusion=product]+forest")
    assert (weighed.descriptor.falloff, weighed.descriptor.fusion) == (2.0, "product")


def test_numbers_as_text():
    assert sets.interval_text(-0.25, -0.5, 0.125, 2, sign=True) == "−0.25 [−0.50, +0.12]"
    assert sets.interval_text(3.0, np.nan, np.nan, 1) == "3.0"
    assert sets.markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_a_wrong_name_is_one_line(capsys):
    code = sets.fail_in_a_line(lambda: learning_curves.main(["--methods", "sdn", "--quick"]))
    assert code == 1 and capsys.readouterr().err == "error: unknown method 'sdn': did you mean 'sdm'?\n"
