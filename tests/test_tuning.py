"""Settings chosen on folds of train: equal trials, kept trials, no luck taken for merit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hybridkp import cli, memory, recipes
from hybridkp.datasets import make_faces
from hybridkp.evaluate import (
    Problem,
    Trial,
    best_trial,
    draw_settings,
    file_name,
    found_settings,
    make_crops,
    read_trials,
    tune,
)
from hybridkp.landmarks import HolisticRegressor
from hybridkp.metrics import nme, normalizer_lengths, object_pck
from hybridkp.recipes import check_parameters, parameterised, with_parameters, with_settings
from hybridkp.stats import paired_difference
from hybridkp.structures import Dataset, InputError


@pytest.fixture(scope="module")
def faces() -> Dataset:
    return make_faces(30, (96, 96), random_state=0)


def test_draws_are_different_and_begin_with_the_defaults() -> None:
    space = {"a": [1, 2, 3], "b": ["x", "y"]}
    drawn = draw_settings(space, 5, random_state=1)
    assert drawn[0] == {} and len(drawn) == 5
    assert len({tuple(d.items()) for d in drawn}) == 5
    assert all(d["a"] in space["a"] and d["b"] in space["b"] for d in drawn[1:])
    assert draw_settings(space, 5, random_state=1) == drawn != draw_settings(space, 5, random_state=2)
    assert len(draw_settings(space, 99)) == 7  # all six and the defaults
    assert {"a": 2, "b": "y"} not in draw_settings(space, 99, own={"a": 2, "b": "y"})


def test_a_space_too_large_to_list_is_drawn_from() -> None:
    space = {name: list(range(50)) for name in "abcdef"}
    drawn = draw_settings(space, 20)
    assert len(drawn) == 20 and len({tuple(d.items()) for d in drawn}) == 20


@pytest.mark.parametrize(("normalizer", "metric"), [(None, "nme_percent"), (("pixel",), "error_px")])
def test_a_trial_is_the_error_of_held_out_objects(
    faces: Dataset, tmp_path: Path, normalizer: tuple[str, ...] | None, metric: str
) -> None:
    estimator = HolisticRegressor(grid=8)
    space = {"alpha": [1.0, 1e4]}
    problem = Problem(faces, size_hw=(64, 64), normalizer=normalizer)
    trials = tune(estimator, space, problem, out=tmp_path, n_trials=3)
    assert trials[0].params == {} and {t.params.get("alpha") for t in trials} == {None, 1.0, 1e4}
    crops = make_crops(faces, (64, 64))
    truth = crops.to_picture(crops.xy)
    lengths = normalizer_lengths(truth, normalizer or faces.normalizer)
    errors = []
    for trial in trials:
        model = HolisticRegressor(grid=8).set_params(**trial.params)
        answer, _ = memory.out_of_fold(model, crops.images, crops.xy, groups=crops.groups, flip=crops.flip)
        errors.append(nme(truth, crops.to_picture(answer), lengths))
        assert trial.error == pytest.approx(errors[-1].mean(), rel=1e-6) and trial.metric == metric
        apart = paired_difference(errors[-1], errors[0], crops.groups)
        found = (trial.difference, trial.low, trial.high, trial.p)
        assert found == pytest.approx((apart.difference, apart.low, apart.high, apart.p), rel=1e-6)
    rounded = [replace(t, seconds=round(t.seconds, 2)) for t in trials]
    assert [replace(t, seconds=round(t.seconds, 2)) for t in read_trials(tmp_path / "trials.json")] == rounded


def test_bodies_are_judged_by_their_points_on_target(faces: Dataset, tmp_path: Path) -> None:
    names = ["left shoulder", "right hip", *(f"p{i}" for i in range(2, len(faces.landmarks)))]
    bodies = replace(faces, landmarks=tuple(names), normalizer=("points", 0, 1))
    problem = Problem(bodies, size_hw=(64, 64))
    (trial,) = tune(HolisticRegressor(grid=8), {}, problem, out=tmp_path, n_trials=1)
    crops = make_crops(bodies, (64, 64))
    answer, _ = memory.out_of_fold(
        HolisticRegressor(grid=8), crops.images, crops.xy, groups=crops.groups, flip=crops.flip
    )
    truth = crops.to_picture(crops.xy)
    lengths = normalizer_lengths(truth, bodies.normalizer)
    on_target = object_pck(truth, crops.to_picture(answer), lengths, t=0.2).mean()
    assert (
        trial.metric == "pck_0.2_percent"
        and trial.error == pytest.approx(1 - on_target)
        and 0 < trial.error < 1
    )


def test_trials_in_processes_are_the_same_trials(faces: Dataset, tmp_path: Path) -> None:
    space, problem = {"alpha": [1.0, 1e4]}, Problem(faces, size_hw=(64, 64))
    found = [tune(HolisticRegressor(grid=8), space, problem, out=tmp_path / str(n), n_jobs=n) for n in (1, 2)]
    one, two = ([replace(t, seconds=0.0) for t in trials] for trials in found)
    assert one == two and len(one) == 3


def test_finished_folds_are_not_fitted_again(
    faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = HolisticRegressor(grid=8), {"alpha": [1.0]}, Problem(faces, size_hw=(64, 64))
    first = tune(*search, out=tmp_path, n_trials=2)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(HolisticRegressor, "fit", never)
    again = tune(*search, out=tmp_path, n_trials=2)
    assert [t.error for t in again] == [t.error for t in first]


def test_the_defaults_stay_unless_clearly_beaten() -> None:
    def trial(error: float, difference: float, p: float, **params: int) -> Trial:
        return Trial(params, "nme", error, difference, difference - 0.01, difference + 0.01, p, 1.0)

    default, nan = trial(0.050, 0.0, 1.0), float("nan")
    lucky, better = trial(0.039, -0.011, 0.06, a=1), trial(0.040, -0.010, 0.001, a=2)
    worse, broken = trial(0.060, 0.010, 0.001, a=3), trial(nan, nan, nan, a=4)
    assert best_trial([default, lucky]) is default
    assert best_trial([default, lucky, better, worse, broken]) is better
    assert best_trial([default, worse, broken]) is default
    once = trial(0.040, -0.010, 0.03, a=5)  # alone it would do; as one of two it may be luck
    assert best_trial([default, once]) is once and best_trial([default, once, lucky]) is default
    with pytest.raises(InputError, match="no trials"):
        best_trial([])


def test_parameters_reach_every_member() -> None:
    given = recipes.make_method("vote")
    vote, before = with_parameters(given, {"max_epochs": 3, "alpha": 7.0}), repr(given)
    assert repr(given) == repr(recipes.make_method("vote")) == before != repr(vote), "a copy is changed"
    members = dict(vote.members)
    assert members["heatmap:flip"].detector.schedule.max_epochs == 3 and members["sdm"].alpha == 7.0
    check_parameters([vote], {"max_epochs": 3})
    with pytest.raises(InputError, match="did you mean 'max_epochs'"):
        check_parameters([vote], {"max_epoch": 3})
    for params in ({"max_epochs": "ten"}, {"guard": 1.5}, {"scales": 2}, {"device": 3}):
        with pytest.raises(InputError, match=f"{next(iter(params))}=.*: give "):
            check_parameters([vote], params)
    check_parameters([vote], {"scales": [1.0, 2.0], "alpha": 1, "random_state": None, "rank": 4})


def test_named_methods_get_parameters_or_a_mistake_is_told() -> None:
    made = {name: recipes.make_method(name) for name in ("hog+ridge", "mean-shape")}
    assert parameterised(made, {"alpha": 7.0})["hog+ridge"].alpha == 7.0
    with pytest.raises(InputError, match="no method here has a parameter 'speed'"):
        parameterised(made, {"speed": 1})


def test_settings_are_found_by_the_methods_name_whatever_its_folder_is(
    faces: Dataset, tmp_path: Path
) -> None:
    name, problem = "heatmap[input_px=64]:sdm", Problem(faces, size_hw=(64, 64))
    tune(HolisticRegressor(grid=8), {}, problem, out=tmp_path / file_name(name), n_trials=1, name=name)
    tune(HolisticRegressor(grid=8), {}, problem, out=tmp_path / "sdm", n_trials=1)
    assert found_settings(tmp_path) == {name: {}, "sdm": {}}
    with pytest.raises(InputError, match="holds no trials"):
        found_settings(tmp_path / "sdm")


def test_mistakes_are_told(faces: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no parameter 'speed'"):
        tune(HolisticRegressor(), {"speed": [1]}, Problem(faces), out=tmp_path)
    with pytest.raises(InputError, match="space of alpha is empty"):
        tune(HolisticRegressor(), {"alpha": []}, Problem(faces), out=tmp_path)
    with pytest.raises(InputError, match="at least one trial"):
        draw_settings({"a": [1]}, 0)
    (tmp_path / "trials.json").write_text('{"trials": [{"params": 3}]}')
    with pytest.raises(InputError, match=r"trials\.json: holds no trials"):
        read_trials(tmp_path / "trials.json")


@pytest.mark.parametrize("name", recipes.method_names())
def test_every_space_fits_its_recipe(name: str) -> None:
    estimator = recipes.make_method(name)
    known = estimator.get_params(deep=True)
    space = recipes.search_space(name)
    for parameter, values in space.items():
        default = known[parameter]
        default = list(default) if isinstance(default, tuple) else default
        assert default in values, f"{name}: {parameter}={default} is not among {values}"


def test_combinations_take_what_was_found_for_their_members() -> None:
    found = {"sdm-fast": {"alpha": 7.0}, "hog+svm": {"n_hard": 9}, "heatmap": {"sigma": 0.5}}
    vote = with_settings("vote", recipes.make_method("vote"), found)
    members = dict(vote.members)
    assert members["sdm"].alpha == 7.0 and members["heatmap:flip"].detector.sigma == 0.5
    behind = with_settings("heatmap:flip:sdm", recipes.make_method("heatmap:flip:sdm"), found)
    assert behind.start.detector.sigma == 0.5 and behind.alpha != 7.0
    longest = "heatmap:flip:tree:shape:sdm"
    chain = with_settings(longest, recipes.make_method(longest), found)
    (_, tree), *_ = chain.start.members
    assert tree.detector.detector.sigma == 0.5 and chain.alpha != 7.0
    refined = with_settings("hog+svm:cnn", recipes.make_method("hog+svm:cnn"), found)
    assert refined.detector.n_hard == 9
    assert with_settings("sdm-fast", recipes.make_method("sdm-fast"), found).alpha == 7.0
    assert with_settings("direct", recipes.make_method("direct"), found).schedule.learning_rate == 1e-3


def test_the_command_tunes_and_the_bench_uses_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "tuned"
    few = ["--max-train", "16", "--crop", "64", "--jobs", "1"]
    command = ["tune", "synthetic", "--methods", "hog+ridge", "--trials", "2", "--cv", "2", "-o", str(out)]
    assert cli.main([*command, "--param", "grid=8", *few]) == 0
    assert "| hog+ridge | 2 |" in capsys.readouterr().out
    assert "defaults (chosen)" in (out / "trials.md").read_text()
    path = out / "hog+ridge" / "trials.json"
    chosen = json.loads(path.read_text())
    chosen["trials"][1] |= {"params": {"alpha": 31.0}, "error": 1e-6, "difference": -0.1, "p": 0.0}
    path.write_text(json.dumps(chosen))
    run = tmp_path / "run"
    bench = ["bench", "synthetic", "--methods", "hog+ridge", *few, "--max-val", "3", "--out", str(run)]
    assert cli.main([*bench, "--tuned", str(out)]) == 0
    from hybridkp.evaluate import stored_predictions

    assert "alpha=31.0" in stored_predictions(run)[0].params["estimator"]
    assert cli.main([*bench, "--param", "alpha=32", "--param", "grid=8"]) == 0
    params = {k: v for p in stored_predictions(run) for k, v in p.params.items()}
    assert "alpha=32" in params["estimator"] and "grid=8" in params["estimator"]
    assert cli.main([*bench, "--param", "alhpa=3"]) == 2
    assert "did you mean 'alpha'" in capsys.readouterr().err
    assert cli.main(["tune", "synthetic", "--methods", "mean-shape", "-o", str(out)]) == 2
    assert "nothing to tune" in capsys.readouterr().err
    assert cli.main(["bench", "synthetic", "--tuned", str(tmp_path / "none")]) == 2
    assert "holds no trials" in capsys.readouterr().err
