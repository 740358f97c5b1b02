"""A network taught by another detector: what its target is, that it learns it, and what no teacher is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hybridkp import files, recipes
from hybridkp.checks import make_problem
from hybridkp.cli import main
from hybridkp.deep import DirectNet, Schedule, teacher
from hybridkp.detection import TopDown
from hybridkp.fusion import MirrorAverage, ShapeVote
from hybridkp.landmarks import FastCascade, MeanShape
from hybridkp.structures import InputError

MARKS = ("left ring", "right ring", "left cross", "right cross", "disc")
DRAWN = make_problem(24, random_state=3, side=32)
SHORT = Schedule(max_epochs=2, epoch_pictures=24, batch_size=8, device="cpu")


@pytest.fixture(scope="module")
def shape_file(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A teacher that says the same of every crop: the mean shape, 4 px to the right."""
    path = tmp_path_factory.mktemp("teacher") / "shape.hkp"
    model = MeanShape().fit(DRAWN.images, DRAWN.xy + (4.0, 0.0))
    files.save_model(model, path, {"landmarks": MARKS, "margin": 1.25})
    return path


@pytest.fixture(scope="module")
def said(shape_file: Any) -> Any:
    found = files.load_model(shape_file).predict(DRAWN.images)
    return found.astype(float)


def test_a_target_is_the_mean_of_label_and_teacher(shape_file: Any, said: Any) -> None:
    labels = DRAWN.xy.copy()
    labels[0, 2] = np.nan
    for weight in (0.0, 0.25, 1.0):
        target = teacher(shape_file, MARKS, weight=weight).taught(DRAWN.images, labels)
        wanted = (1 - weight) * labels + weight * said
        wanted[0, 2] = said[0, 2]  # nobody labelled it
        np.testing.assert_allclose(target, wanted, atol=1e-6)


def test_landmarks_are_found_by_name(shape_file: Any, said: Any) -> None:
    names = ["tail", *reversed(MARKS)]
    labels = np.concatenate([np.full((24, 1, 2), 7.0), DRAWN.xy[:, ::-1]], 1)
    target = teacher(shape_file, names, weight=1).taught(DRAWN.images, labels)
    assert np.array_equal(target[:, 0], labels[:, 0])  # the teacher knows no tail
    np.testing.assert_allclose(target[:, 1:], said[:, ::-1], atol=1e-6)


def test_crops_of_another_size_are_resized_for_the_teacher(shape_file: Any, said: Any) -> None:
    images = np.repeat(np.repeat(DRAWN.images, 2, 1), 2, 2)
    target = teacher(shape_file, MARKS, weight=1).taught(images, 2 * DRAWN.xy + 0.5)
    np.testing.assert_allclose(target, 2 * said + 0.5, atol=1e-4)


def test_a_student_learns_what_the_teacher_says(shape_file: Any, said: Any) -> None:
    errors = {}
    for weight in (0.0, 1.0):
        net = DirectNet(32, teacher=teacher(shape_file, MARKS, weight=weight), schedule=SHORT)
        found = net.fit(DRAWN.images, DRAWN.xy, groups=DRAWN.groups).predict(DRAWN.images)
        errors[weight] = [np.linalg.norm(found - of, axis=-1).mean() for of in (DRAWN.xy, said)]
    assert errors[0.0][0] < errors[0.0][1] and errors[1.0][1] < errors[1.0][0], errors


def test_the_detector_behind_a_finder_may_teach(shape_file: Any, said: Any, tmp_path: Any) -> None:
    whole = TopDown(recipes.make_finder("hog+svm"), files.load_model(shape_file), (32, 32))
    files.save_model(whole, tmp_path / "whole.hkp", {"landmarks": MARKS, "margin": 1.25})
    target = teacher(tmp_path / "whole.hkp", MARKS, weight=1).taught(DRAWN.images, DRAWN.xy)
    np.testing.assert_allclose(target, said, atol=1e-6)


def test_what_cannot_teach_is_told(shape_file: Any, tmp_path: Any) -> None:
    with pytest.raises(InputError, match="shares no landmark"):
        teacher(shape_file, ["nose", "tail"])
    with pytest.raises(InputError, match=r"a margin of 1\.25, not 1\.5: give --margin 1\.25"):
        teacher(shape_file, MARKS, margin=1.5)
    with pytest.raises(InputError, match=r"weight must lie in 0\.\.1, got 1\.5"):
        teacher(shape_file, MARKS, weight=1.5)
    with pytest.raises(InputError, match="a teacher of 5 landmarks, not of 4"):
        teacher(shape_file, MARKS).taught(DRAWN.images, DRAWN.xy[:, :4])
    with pytest.raises(InputError, match="nothing in this method can be taught"):
        recipes.with_teacher(recipes.make_method("sdm"), shape_file, MARKS)
    with pytest.raises(InputError, match=r"teacher takes what hybridkp\.deep\.teacher gives, got 'a\.hkp'"):
        DirectNet(32, teacher="a.hkp").fit(DRAWN.images, DRAWN.xy)  # type: ignore[arg-type]
    copy = tmp_path / "copy.hkp"
    copy.write_bytes(shape_file.read_bytes())
    changed = teacher(copy, MARKS)
    files.save_model(files.load_model(shape_file), copy, {"landmarks": MARKS[:2]})
    with pytest.raises(InputError, match=r"copy\.hkp: has changed since"):
        changed.taught(DRAWN.images, DRAWN.xy)


def test_the_command_takes_a_teacher(tmp_path: Any, capsys: Any) -> None:
    few = ["--max-train", "8", "--crop", "32"]
    first, second = tmp_path / "slow.hkp", tmp_path / "quick.hkp"
    assert main(["train", "synthetic", "--method", "mean-shape", *few, "-o", str(first)]) == 0
    short = ["--param", "max_epochs=1", "--param", "epoch_pictures=8", *few]
    command = ["train", "synthetic", "--method", "direct[input_px=32]", *short, "-o", str(second)]
    assert main([*command, "--teacher", str(first), "--weight", "0.3"]) == 0
    kept = files.load_model(second).detector_.teacher
    assert kept.file == str(first) and kept.weight == 0.3 and kept.rows == tuple(range(20))
    assert main([*command, "--weight", "0.3"]) == 2
    assert "--weight needs --teacher MODEL" in capsys.readouterr().err


def test_the_steps_of_a_chain_follow_another_start(tmp_path: Any) -> None:
    problem = {"groups": DRAWN.groups, "flip": DRAWN.flip}
    first = ShapeVote([("mean", MirrorAverage(MeanShape()))], guard=False)
    chain = FastCascade(start=first, n_perturbations=2).fit(DRAWN.images, DRAWN.xy, **problem)
    own = chain.predict(DRAWN.images)
    moved = MeanShape().fit(DRAWN.images, DRAWN.xy + (2.0, 1.0))
    made = recipes.with_start(chain, moved)
    assert np.array_equal(recipes.with_start(chain, chain.start_.members_[0]).predict(DRAWN.images), own)
    found = made.predict(DRAWN.images)
    assert made.start_.members_ == [moved]
    assert np.abs(found - own).max() > 0.1 and np.array_equal(chain.predict(DRAWN.images), own)
    files.save_model(made, tmp_path / "made.hkp", {"landmarks": MARKS})
    assert np.array_equal(files.load_model(tmp_path / "made.hkp").predict(DRAWN.images), found)
    mean = recipes.with_start(chain, chain.start_.members_[0], moved).start_.members_[0]
    halfway = (moved.predict(DRAWN.images) + chain.start_.members_[0].predict(DRAWN.images)) / 2
    np.testing.assert_allclose(mean.predict(DRAWN.images), halfway, atol=1e-4)
    with pytest.raises(InputError, match="24 x 24 px"):
        recipes.with_start(chain, MeanShape().fit(DRAWN.images[:, :24, :24], DRAWN.xy))
    with pytest.raises(InputError, match="begins with one network"):
        recipes.with_start(moved, moved)
