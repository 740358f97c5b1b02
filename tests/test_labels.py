"""Labels that can be trusted: planted errors are found and named, sigmas recovered, pictures suggested."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from hybridkp import labels, make_faces
from hybridkp.cli import main
from hybridkp.datasets import from_arrays, write_coco
from hybridkp.files import write_image
from hybridkp.labels.diagnosis import chains
from hybridkp.labels.shapes import by_themselves, fit_rows, robust_oddness
from hybridkp.landmarks import MeanShape
from hybridkp.recipes import make_method
from hybridkp.structures import InputError

FAST = "hog+ridge"


@pytest.fixture(scope="module")
def faces():
    return make_faces(60, (96, 96), random_state=4)


def spoil(dataset, changes):
    """Picture -> function of its points that gives the wrong ones."""
    samples = list(dataset.samples)
    for row, change in changes.items():
        one = samples[row].instances[0]
        samples[row] = replace(samples[row], instances=(replace(one, xy=change(one.xy.copy())),))
    return replace(dataset, samples=tuple(samples))


def exchanged(xy):
    xy[[0, 9]] = xy[[9, 0]]
    return xy


def jumped(xy):
    xy[5] += np.ptp(xy, axis=0).max() * 0.3
    return xy


def shifted(xy):
    return xy + np.ptp(xy, axis=0).max() * 0.35


@pytest.fixture(scope="module")
def checked(faces):
    bad = spoil(faces, {8: exchanged, 21: jumped, 40: shifted})
    return labels.check_labels(bad, {FAST: make_method(FAST)}, size_hw=(48, 48))


def test_planted_errors_come_first_and_are_named(checked):
    assert sorted(checked.order[:3].tolist()) == [8, 21, 40]
    assert checked.suspicious[[8, 21, 40]].all() and checked.suspicious.sum() < 12
    kinds = {row: (d.kind, d.landmarks) for row, d in checked.diagnoses.items()}
    assert kinds[8] == ("exchanged", (0, 9))
    assert kinds[21] == ("jumped", (5,))
    assert kinds[40] == ("shifted", ())
    assert int(np.nanargmax(checked.odd[21])) == 5
    assert np.median(checked.score) == pytest.approx(1)


def test_distances_are_of_the_picture(checked, faces):
    by = np.ptp(faces.samples[40].instances[0].xy, axis=0).max() * 0.35 * np.sqrt(2)
    assert checked.diagnoses[40].off_px == pytest.approx(by, rel=0.25)


def test_a_missing_label_is_not_odd_and_hides_nothing(faces):
    def without(xy):
        xy = exchanged(xy)
        xy[3] = np.nan
        return xy

    bad = spoil(faces, {8: without, 11: lambda xy: np.where(np.arange(len(xy))[:, None] < 4, np.nan, xy)})
    found = labels.check_labels(bad, {FAST: make_method(FAST)}, size_hw=(48, 48))
    assert found.order[0] == 8 and found.diagnoses[8].landmarks == (0, 9)
    assert np.isnan(found.odd[8, 3]) and np.isnan(found.odd[11, :4]).all()
    assert np.isfinite(found.score).all()


@pytest.mark.parametrize("k", [1, 2])
def test_one_or_two_landmarks_are_judged_by_the_detector_alone(faces, k):
    few = replace(
        faces,
        landmarks=faces.landmarks[:k],
        skeleton=None,
        flip=None,
        sigmas=None,
        normalizer=("box",),
        samples=tuple(
            replace(s, instances=(replace(s.instances[0], xy=s.instances[0].xy[:k], visibility=None),))
            for s in faces
        ),
    )
    far = spoil(few, {17: lambda xy: xy + 30})
    found = labels.check_labels(far, {FAST: make_method(FAST)}, size_hw=(48, 48))
    assert found.order[0] == 17 and np.isnan(found.clues[:, 0]).all()


def test_rows_explain_each_other():
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(300, 2)), 3, axis=1)[:, [0, 3, 1, 4, 2, 5]] + 0.01 * rng.normal(
        size=(300, 6)
    )
    model = fit_rows(rows, 1e-6)
    row = rows[:1].copy()
    row[0, 2:4] = np.nan
    assert np.allclose(model.filled(row)[0, 2:4], rows[0, :2], atol=0.05)
    rows[7, 2] += 1.0
    folds = [(np.arange(150), np.arange(150, 300)), (np.arange(150, 300), np.arange(150))]
    odd, _ = robust_oddness(rows, rows, 3, 1e-6, folds)
    assert np.unravel_index(np.argmax(odd), odd.shape) == (7, 1)


def test_a_shape_is_placed_by_most_of_its_points():
    mean = np.random.default_rng(1).normal(size=(12, 2))
    shape = 40 * mean @ [[0.8, 0.6], [-0.6, 0.8]] + 7
    shape[4] += 60
    placed = by_themselves(shape[None], mean)[0]
    there = shape @ placed[:, :2].T + placed[:, 2]
    assert np.allclose(np.delete(there, 4, 0), np.delete(mean, 4, 0), atol=0.05)


def test_chains_end_at_forks():
    skeleton = np.array([[0, 1], [1, 2], [2, 3], [2, 4], [4, 5], [5, 6], [7, 8]])
    assert chains(skeleton, 9) == [(0, 1, 2), (2, 4, 5, 6)]


def test_the_page_its_lists_and_what_is_kept(faces, tmp_path, capsys):
    home, out = tmp_path / "set", tmp_path / "out"
    bad = spoil(faces, {8: exchanged})
    samples = []
    for n, sample in enumerate(bad.samples[:40]):
        name = "<b>.png" if n == 8 else f"{n}.png"
        write_image(home / "images" / name, sample.image)
        samples.append(replace(sample, name=name))
    write_coco(replace(bad, samples=tuple(samples)), home / "annotations.json")
    command = ["data", "check", str(home), "--model", FAST, "--crop", "48", "-o", str(out)]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "exchanged?" in said.out and "<b>.png" in said.out
    html = (out / "index.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;.png" in html and "<b>.png" not in html
    rows = list(csv.DictReader((out / "labels.csv").read_text(encoding="utf-8").splitlines()))
    document = json.loads((out / "labels.json").read_text(encoding="utf-8"))
    assert len(rows) == len(document["objects"]) == 40
    assert rows[0]["picture"] == document["objects"][0]["picture"] == "<b>.png"
    assert rows[0]["suspicious"] == "True" and document["detectors"] == [FAST]
    kept = sorted((out / "cache").glob("*.safetensors"))
    times = [p.stat().st_mtime_ns for p in kept]
    assert main(command) == 0 and len(kept) == 3
    assert [p.stat().st_mtime_ns for p in kept] == times


def test_what_cannot_be_checked_is_one_line(faces):
    ask = {FAST: make_method(FAST)}
    with pytest.raises(InputError, match=r"10 labelled objects; .* needs 20"):
        labels.check_labels(faces.subset(range(10)), ask)
    one = replace(faces, samples=tuple(replace(s, group="film") for s in faces))
    with pytest.raises(InputError, match="all are of one group"):
        labels.check_labels(one, ask)

    def bare(xy):
        xy[2] = np.nan
        return xy

    with pytest.raises(InputError, match=f"fewer than two groups: {faces.landmarks[2]}"):
        labels.check_labels(spoil(faces, dict.fromkeys(range(2, 60), bare)), ask)
    with pytest.raises(InputError, match="at least one method"):
        labels.check_labels(faces, {})
    with pytest.raises(InputError, match="finds its objects itself"):
        labels.check_labels(faces, {"x": make_method("hog+svm/hog+ridge")})

    def gone():
        raise InputError("not there")

    unread = replace(faces, samples=tuple(replace(s, load=gone) for s in faces))
    with pytest.raises(InputError, match="no object with a labelled landmark"), pytest.warns(UserWarning):
        labels.check_labels(unread, ask)


# --------------------------------------------------------------------------------------------
# sigmas
# --------------------------------------------------------------------------------------------


def noisy(dataset, sigmas, seed):
    """The labels scattered as OKS' sigmas say."""
    rng = np.random.default_rng(seed)

    def scattered(i):
        return replace(i, xy=i.xy + rng.normal(size=i.xy.shape) * sigmas[:, None] * np.sqrt(i.area / 2))

    return replace(
        dataset, samples=tuple(replace(s, instances=(scattered(s.instances[0]),)) for s in dataset)
    )


def test_sigmas_of_labels_made_twice(faces):
    many = make_faces(200, (48, 48), random_state=6)
    true = np.geomspace(0.01, 0.08, len(many.landmarks))
    first, second = noisy(many, true, 1), noisy(many, true, 2)
    a, b, area, groups = labels.paired(first, second)
    a[3] += 200  # slips are no spread
    found = labels.sigmas_from_pairs(a, b, area, groups)
    assert (np.abs(np.log(found.value / true)) < np.log(1.2)).all()
    assert ((found.low < true) & (true < found.high)).mean() > 0.8
    assert (found.count == 199).all()
    alone = labels.sigmas_from_pairs(a, b, area)  # every object its own group, none left out
    np.testing.assert_array_equal(alone.value, found.value)
    with pytest.raises(InputError, match="one for each of 200 objects"):
        labels.sigmas_from_pairs(a, b, area, groups[:9])


def test_sigmas_from_residuals_of_detectors_without_error():
    """Every object has one shape, so the mean shape is the answer: what is left is the labels' scatter."""
    many = make_faces(120, (64, 64), random_state=7)
    true = np.geomspace(0.02, 0.06, len(many.landmarks))
    still = replace(many, samples=tuple(replace(s, instances=many.samples[0].instances) for s in many))
    found = labels.sigmas_from_residuals(
        noisy(still, true, 4), {"one": MeanShape(), "other": MeanShape()}, size_hw=(32, 32)
    )
    assert np.median(found.value / true) == pytest.approx(1, abs=0.1)
    assert (np.abs(np.log(found.value / true)) < np.log(1.3)).all()


def test_second_labels_in_the_file_or_in_another(tmp_path, capsys):
    shape = np.array([[20.0, 20], [60, 30], [40, 70]])
    rng = np.random.default_rng(0)
    once, again = (shape + rng.normal(0, 2, (30, 3, 2)) for _ in range(2))
    images = np.zeros((30, 90, 90), np.uint8)
    for name, points in (("a", once), ("b", again)):
        write_coco(
            from_arrays(images, points, landmarks=["p", "q", "r"]), tmp_path / name / "annotations.json"
        )
    for folder in ("a", "b"):
        for n in range(30):
            names = json.loads((tmp_path / folder / "annotations.json").read_text())["images"]
            write_image(tmp_path / folder / "images" / names[n]["file_name"], images[n])
    out = tmp_path / "s.json"
    assert main(["data", "sigmas", str(tmp_path / "a"), "--second", str(tmp_path / "b"), "-o", str(out)]) == 0
    two_files = json.loads(out.read_text())
    document = json.loads((tmp_path / "a" / "annotations.json").read_text())
    other = json.loads((tmp_path / "b" / "annotations.json").read_text())
    for mine, hers in zip(document["annotations"], other["annotations"], strict=True):
        mine["keypoints_b"] = hers["keypoints"]
    (tmp_path / "a" / "annotations.json").write_text(json.dumps(document))
    assert main(["data", "sigmas", str(tmp_path / "a"), "-o", str(out)]) == 0
    assert json.loads(out.read_text())["sigmas"] == two_files["sigmas"]
    assert two_files["route"] == "double labels" and two_files["count"] == [30] * 3
    capsys.readouterr()
    assert main(["data", "sigmas", str(tmp_path / "a"), "--once", "--model", "sdm"]) == 2
    assert "two unlike detectors" in capsys.readouterr().err


def test_areas_and_schemes_that_do_not_fit(faces):
    xy = np.zeros((30, 2, 2))
    with pytest.raises(InputError, match="no area"):
        labels.sigmas_from_pairs(xy, xy, np.zeros(30))
    with pytest.raises(InputError, match="at least 20"):
        labels.sigmas_from_pairs(xy[:5], xy[:5], np.ones(5))
    with pytest.raises(InputError, match="both need one scheme"):
        labels.paired(faces, replace(faces, landmarks=tuple(f"x{n}" for n in range(len(faces.landmarks)))))


# --------------------------------------------------------------------------------------------
# what next
# --------------------------------------------------------------------------------------------


def test_hard_pictures_first_and_no_two_alike(faces):
    labelled, pool = faces.subset(range(40)), faces.samples[40:]

    def hidden(sample):
        return replace(sample, instances=(), load=lambda: cv2.GaussianBlur(sample.image, (0, 0), 30))

    bare = [replace(s, instances=()) for s in pool]
    bare[3] = hidden(pool[3])
    bare[4] = replace(hidden(pool[3]), name="the same again")
    found = labels.suggest(labelled, bare, 6, make_method(FAST), size_hw=(48, 48))
    assert len(set(found.order.tolist())) == 6
    assert not {3, 4} <= set(found.order.tolist()), "one of two equal pictures is enough"
    assert found.guess.shape == (20, len(faces.landmarks), 2) and (found.expected >= 0).all()


def test_suggestions_on_the_command_line(faces, tmp_path, capsys):
    home, pool = tmp_path / "set", tmp_path / "pool"
    samples = []
    for n, sample in enumerate(faces.samples[:30]):
        write_image((home / "images" if n < 24 else pool) / f"{n}.png", sample.image)
        samples.append(replace(sample, name=f"{n}.png"))
    write_coco(replace(faces, samples=tuple(samples[:24])), home / "annotations.json")
    write_image(pool / "0.png", faces.samples[0].image)  # is labelled
    command = ["data", "suggest", "9", str(home), "--model", FAST, "--crop", "48"]
    assert main([*command, "--pool", str(pool)]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert sorted(row["picture"] for row in rows) == [str(pool / f"{n}.png") for n in range(24, 30)]
    assert main(command) == 2
    assert "--pool" in capsys.readouterr().err
    assert main([*command, "--boxes", "b.json"]) == 2
