"""Models and others' predictions on new data: a bench's own rows to the bit, foreign rows beside them."""

from __future__ import annotations

import csv
import importlib.util
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hybridkp.checks import make_annotated, make_problem
from hybridkp.cli import main
from hybridkp.datasets import convert_dataset, load_dataset, make_faces, write_coco
from hybridkp.descriptors import HOG, ORB, SIFT, SURF, MultiLevel
from hybridkp.detection import BoxesGiven, TopDown
from hybridkp.evaluate import (
    Problem,
    bench,
    evaluate,
    predictions_to_coco,
    predictions_to_frame,
    predictions_to_supervision,
    read_foreign,
    second_annotator,
    stored_models,
    train,
)
from hybridkp.files import load_model, load_predictions, save_predictions
from hybridkp.imaging import gaussian_pyramid
from hybridkp.landmarks import HolisticRegressor, MeanShape
from hybridkp.metrics import metrics_for, scorer
from hybridkp.report import write_conditions, write_report
from hybridkp.report.landmarks.agreement import agreement_grid
from hybridkp.report.landmarks.scores import gather_truth, score_methods
from hybridkp.report.landmarks.words import notes
from hybridkp.structures import (
    Dataset,
    InputError,
    Instance,
    Keypoints,
    LearnedDescriptor,
    Predictions,
    Sample,
    supports,
)

#: columns that need a clock, a model's making, or the other methods
OF_OTHERS = {"rank", "letters", "ms", "ms_q1", "ms_q3", "fit_s", "model_mb", "peak_mb"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces on disk as COCO, a bench of one method on them, and a model of another."""
    root = tmp_path_factory.mktemp("faces")
    convert_dataset(make_faces(16, (96, 96), random_state=0), root / "all")
    data = load_dataset(root / "all")
    write_coco(data.subset(range(10)), root / "all" / "train.json")
    write_coco(data.subset(range(10, 16)), root / "all" / "val.json")
    (root / "all" / "annotations.json").unlink()
    train_part = load_dataset(root / "all", "train")
    problem = Problem(train_part, load_dataset(root / "all", "val"), size_hw=(64, 64))
    bench({"ridge": HolisticRegressor(grid=4)}, problem, out=root / "run")
    train(MeanShape(), problem, root / "mean.hkp", name="mean")
    return root


@pytest.fixture(scope="module")
def val(folder: Path) -> Dataset:
    return load_dataset(folder / "all", "val")


@pytest.fixture(scope="module")
def stored(folder: Path) -> Predictions:
    return load_predictions(folder / "run" / "predictions" / "ridge-0.safetensors")


def test_on_the_benchs_part_it_is_the_bench_to_the_bit(
    folder: Path, val: Dataset, stored: Predictions, tmp_path: Path
) -> None:
    (found,) = evaluate([folder / "run"], val, out=tmp_path, split="val")
    np.testing.assert_array_equal(found.xy, stored.xy)
    np.testing.assert_array_equal(found.score, stored.score)
    np.testing.assert_array_equal(found.instance, stored.instance)
    for name in ("method", "names", "fingerprint", "dataset", "split"):
        assert getattr(found, name) == getattr(stored, name)


def test_the_command_writes_the_benchs_figures_beside_foreign_ones(
    folder: Path, val: Dataset, stored: Predictions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    near = replace(stored, method="near", xy=np.array([s.instances[0].xy + 0.25 for s in val]))
    (tmp_path / "near.json").write_text(json.dumps(predictions_to_coco(near, val)))
    models = [str(stored_models(folder / "run")["ridge"]), str(folder / "mean.hkp")]
    words = ["evaluate", *models, str(folder / "all"), "--predictions", f"near={tmp_path / 'near.json'}"]
    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "results.csv").read_text().splitlines()))
    assert rows[0]["method"] == "near" and len(rows) == 3
    assert (tmp_path / "out" / "pairs.csv").read_text().count("near") == 2, "a paired test with each"
    lines = list(csv.DictReader((tmp_path / "out" / "objects.csv").read_text().splitlines()))
    assert len(lines) == 3 * len(val) and set(lines[0]) >= {"method", "seed", "picture", "object", "group"}
    report = write_report([stored], val, tmp_path / "bench")
    (bench_row,) = csv.DictReader((tmp_path / "bench" / "results.csv").read_text().splitlines())
    ours = next(row for row in rows if row["method"] == "ridge")
    assert bench_row["nme_percent"] and bench_row["oks_ap_percent"]
    for key in bench_row.keys() - OF_OTHERS:
        assert ours[key] == bench_row[key], key
    mean = np.mean([float(line["nme_percent"]) for line in lines if line["method"] == "ridge"])
    assert np.isclose(mean, float(ours["nme_percent"]), rtol=1e-9)
    assert report._repr_html_().count("<tr>") == 2 and ">ridge</td>" in report._repr_html_()
    if importlib.util.find_spec("pandas"):
        frame = report.to_frame()
        assert frame["method"].tolist() == ["ridge"] and np.isclose(frame["nme_percent"][0], mean)
    assert "Report:" in capsys.readouterr().out
    assert main(["evaluate", str(folder / "all"), models[0], "-o", str(tmp_path)]) == 2
    assert "the data come last" in capsys.readouterr().err


def test_a_model_with_a_finder_is_refused_in_a_line(
    folder: Path, val: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finds = TopDown(BoxesGiven(), load_model(folder / "mean.hkp"))
    monkeypatch.setattr("hybridkp.evaluate.conditions.load_model", lambda path: finds)
    with pytest.raises(InputError, match="finds its objects itself"):
        evaluate([folder / "mean.hkp"], val, out=tmp_path)


def test_names_of_models(folder: Path, val: Dataset, tmp_path: Path) -> None:
    train(MeanShape(), Problem(val, size_hw=(64, 64)), tmp_path / "other.hkp", name="mean")
    models = [folder / "mean.hkp", tmp_path / "other.hkp"]
    found = evaluate(models, val, out=tmp_path / "out")
    assert [p.method for p in found] == ["mean (mean)", "mean (other)"]
    with pytest.raises(InputError, match="nothing to judge"):
        evaluate([], val, out=tmp_path)
    with pytest.raises(InputError, match="two rows are called 'mean'"):
        evaluate(models[:1], val, out=tmp_path, predictions={"mean": "x.json"})


# --------------------------------------------------------------------------------------------
# foreign rows
# --------------------------------------------------------------------------------------------


@pytest.fixture
def animals(tmp_path: Path) -> Dataset:
    """Frames of one film with one to three objects, as their annotations say."""
    made = make_annotated(tmp_path)
    samples = tuple(
        Sample(f"film/img{n:03}.png", s.load, s.instances, s.group, s.size_hw, image_id=s.image_id)
        for n, s in enumerate(made)
    )
    return Dataset("film", made.landmarks, samples)


def shifted(sample: Sample, n: int) -> Any:
    """What somebody found: the truth moved by an eighth of a pixel, and a score."""
    return np.column_stack([sample.instances[n].xy + 0.125, np.full(5, 0.75)])


def judged(found: Predictions, data: Dataset) -> None:
    """Every labelled point lies an eighth of a pixel from the truth, in every object."""
    wanted = [(s.name, n) for s in data for n in range(len(s.instances))]
    assert list(zip(found.names, found.instance.tolist(), strict=True)) == wanted
    truth = np.array([i.xy for s in data for i in s.instances])
    labelled = np.isfinite(truth).all(2)
    np.testing.assert_allclose(found.xy[labelled], (truth + 0.125)[labelled], atol=1e-4)
    assert found.fingerprint == data.fingerprint


def rows_in_disorder(data: Dataset) -> list[tuple[int, Any]]:
    """(row of the sample, (5, 3)), the last object of a picture first."""
    return [(row, shifted(s, n)) for row, s in enumerate(data) for n in reversed(range(len(s.instances)))]


def test_coco_results(animals: Dataset, tmp_path: Path) -> None:
    rows = [
        {
            "image_id": animals.samples[row].image_id,
            "category_id": 1,
            "score": 0.5,
            "keypoints": np.nan_to_num(table * [1, 1, 1]).ravel().tolist(),
        }
        for row, table in rows_in_disorder(animals)
    ]
    noise = {"image_id": rows[-1]["image_id"], "category_id": 1, "score": 0.9, "keypoints": [900.0] * 15}
    (tmp_path / "results.json").write_text(json.dumps([noise, *rows, {**noise, "image_id": 999}]))
    judged(read_foreign(tmp_path / "results.json", animals, "theirs"), animals)
    own = {
        "images": [{"id": s.image_id, "file_name": s.name} for s in animals],
        "categories": [{"id": 7, "name": "whatever", "keypoints": [*animals.landmarks[::-1]]}],
        "annotations": [
            {
                **row,
                "category_id": 7,
                "keypoints": np.reshape(row["keypoints"], (5, 3))[::-1].ravel().tolist(),
            }
            for row in rows
        ],
    }
    (tmp_path / "own.json").write_text(json.dumps(own))
    judged(read_foreign(tmp_path / "own.json", animals, "theirs"), animals)


def test_our_own_results_come_back(val: Dataset, stored: Predictions, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps(predictions_to_coco(stored, val)))
    again = read_foreign(tmp_path / "r.json", val, "again")
    np.testing.assert_allclose(again.xy, stored.xy, atol=1e-3)
    save_predictions(stored, tmp_path / "p.safetensors")
    same = read_foreign(tmp_path / "p.safetensors", val, "same")
    assert same.method == "same" and np.array_equal(same.xy, stored.xy)


@pytest.mark.parametrize("counted", [False, True], ids=["pictures", "frame numbers"])
def test_deeplabcut_and_lightning_pose(animals: Dataset, tmp_path: Path, counted: bool) -> None:
    order = [4, 2, 0, 1, 3]  # columns in an order of their own
    columns = [(who, animals.landmarks[k]) for who in "ABC" for k in order]
    lines = [["scorer", *["net"] * 45], ["individuals", *[who for who, _ in columns for _ in range(3)]]]
    lines.append(["bodyparts", *[part for _, part in columns for _ in range(3)]])
    lines.append(["coords", *["x", "y", "likelihood"] * 15])
    for n, sample in enumerate(animals):
        tables = [shifted(sample, i)[order] for i in reversed(range(len(sample.instances)))]
        cells = ["" if np.isnan(v) else repr(float(v)) for table in tables for v in table.ravel()]
        name = str(n) if counted else f"labeled-data/film/img{n:03}.png"
        lines.append([name, *cells, *[""] * (45 - len(cells))])
    lines.append(["77" if counted else "labeled-data/film/none.png", *["1"] * 45])
    (tmp_path / "p.csv").write_text("\n".join(map(",".join, lines)))
    judged(read_foreign(tmp_path / "p.csv", animals, "dlc"), animals)


def test_sleap_analysis(animals: Dataset, tmp_path: Path) -> None:
    head = [
        "track",
        "frame_idx",
        "instance.score",
        *(f"{m}.{c}" for m in animals.landmarks for c in ("x", "y", "score")),
    ]
    lines = [head] + [
        ["", str(row), "0.5", *("nan" if np.isnan(v) else repr(float(v)) for v in table.ravel())]
        for row, table in rows_in_disorder(animals)
    ]
    (tmp_path / "a.csv").write_text("\n".join(map(",".join, lines)))
    judged(read_foreign(tmp_path / "a.csv", animals, "sleap"), animals)


@pytest.mark.parametrize("confidence", [True, False])
def test_yolo_texts(animals: Dataset, tmp_path: Path, confidence: bool) -> None:
    (tmp_path / "labels").mkdir()
    lines: dict[int, list[str]] = {}
    for row, table in rows_in_disorder(animals):
        h, w = animals.samples[row].size_hw or (0, 0)
        table = np.nan_to_num(table / [w, h, 1])
        cells = [0, 0.5, 0.5, 1, 1, *table.ravel().tolist(), *([0.5] if confidence else [])]
        lines.setdefault(row, []).append(" ".join(map(str, cells)))
    for row, texts in lines.items():
        (tmp_path / "labels" / f"img{row:03}.txt").write_text("\n".join(texts))
    judged(read_foreign(tmp_path / "labels", animals, "yolo"), animals)
    for number in (1, 4):
        for path in (tmp_path / "labels").glob("*.txt"):
            rows = path.read_text().splitlines() if number == 1 else [path.read_text().splitlines()[0]]
            ours = [str(number) + row[1:] for row in rows]
            path.write_text("\n".join([*ours, "7" + rows[0][1:].replace("0.5", "0.9")]))
        with pytest.raises(InputError, match=rf"objects of class {number}, 7, and film.* put a data\.yaml"):
            read_foreign(tmp_path / "labels", animals, "yolo")
        if number == 1:
            names = f"kpt_shape: [5, 3]\nnames: {{0: other, 1: {animals.category}, 7: third}}\n"
            (tmp_path / "data.yaml").write_text(names)
            judged(read_foreign(tmp_path / "labels", animals, "yolo"), animals)
            (tmp_path / "data.yaml").unlink()


def test_a_class_is_told_by_its_name_and_not_by_its_number(animals: Dataset, tmp_path: Path) -> None:
    """COCO's category 1 is the first, Ultralytics' class 1 the second."""
    labels, own = tmp_path / "labels", animals.category
    labels.mkdir()
    rest = " ".join(map(str, [0.5, 0.5, 1, 1, *[0.25, 0.25, 1] * 5]))
    (labels / "img000.txt").write_text(f"1 {rest}")
    assert animals.category_id == 1
    with pytest.raises(InputError, match=rf"objects of class 1.* {own!r}.*no data\.yaml says"):
        read_foreign(labels, animals, "yolo")
    for names, words in ((f"{own}, dog", rf"class 1 alone, and {own!r} is 0"), ("cow, dog", "has cow, dog")):
        (tmp_path / "data.yaml").write_text(f"kpt_shape: [5, 3]\nnames: [{names}]\n")
        with pytest.raises(InputError, match=words):
            read_foreign(labels, animals, "yolo")
    (labels / "img000.txt").write_text(f"0 {rest}")
    with pytest.raises(InputError, match="has cow, dog"):
        read_foreign(labels, animals, "yolo")
    (tmp_path / "data.yaml").write_text(f"kpt_shape: [5, 3]\nnames: [{own}, dog]\n")
    assert np.isfinite(read_foreign(labels, animals, "yolo").xy).any()


def test_what_was_not_found_has_no_points(animals: Dataset, tmp_path: Path) -> None:
    one = next(s for s in animals if len(s.instances) == 2)
    far = np.full((5, 3), 5000.0).ravel().tolist()
    rows = [{"image_id": one.image_id, "category_id": 1, "keypoints": far, "score": 1.0}]
    (tmp_path / "r.json").write_text(json.dumps(rows))
    found = read_foreign(tmp_path / "r.json", animals, "far")
    assert np.isnan(found.xy).all() and len(found.names) == sum(len(s.instances) for s in animals)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.txt", "hello", "no predictions that are known"),
        ("x.json", "[1, 2]", "expected a list of objects"),
        ("x.json", '[{"image_id": 3, "category_id": 1, "keypoints": [1, 2]}]', "2 keypoint numbers, not 15"),
        ("x.json", "[]", "speaks of no picture of film"),
        (
            "x.json",
            '[{"image_id": 3, "category_id": 7}]',
            "objects of category 7 alone, and that of film is 1",
        ),
        (
            "x.csv",
            "scorer,a,a,a\nbodyparts,q,q,q\ncoords,x,y,likelihood\n0,1,2,1\n",
            "has no landmark 'nose'",
        ),
        ("x.csv", "track,frame_idx,instance.score,a.x\n,0,1\n", "has no landmark 'nose'"),
    ],
)
def test_mistakes_are_one_line(animals: Dataset, tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as caught:
        read_foreign(tmp_path / name, animals, "theirs")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_instances_without_points_are_not_asked(tmp_path: Path) -> None:
    seen = Instance([[1, 1], [30, 30]], box_xywh=[0, 0, 40, 40], area=1600)
    blank = Instance([[np.nan] * 2] * 2, box_xywh=[0, 0, 9, 9], area=81, ignore=True)
    sample = Sample("a.png", lambda: np.zeros((40, 40), np.uint8), (blank, seen), "a", (40, 40), image_id=1)
    data = Dataset("two", ("a", "b"), (sample,))
    rows = [{"image_id": 1, "category_id": 1, "keypoints": [1, 1, 1, 30, 30, 1], "score": 1}]
    (tmp_path / "r.json").write_text(json.dumps(rows))
    found = read_foreign(tmp_path / "r.json", data, "x")
    assert found.instance.tolist() == [1]
    np.testing.assert_array_equal(found.xy[0], seen.xy)


# --------------------------------------------------------------------------------------------
# by condition
# --------------------------------------------------------------------------------------------


def test_conditions_are_measured_and_cut_into_thirds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shape = np.array([[0.0, -20], [15, 10], [-15, 10], [0, 0]])
    samples, predicted, degrees = [], [], [0, 5, 10, 40, 45, 50, 90, 95, 100]
    noise = rng.integers(0, 60, (200, 200)).astype(np.uint8)
    for n, angle in enumerate(degrees):
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        xy = shape @ np.array([[c, s], [-s, c]]) * (1 + n % 3) + 100
        picture = (noise if n % 2 else cv2.GaussianBlur(noise, (0, 0), 3)) + np.uint8(20 * n)
        state = [2, 2, 2, 1] if n < 3 else [2] * 4
        side = 50.0 * (1 + n % 3)
        box = [100.5 - side / 2, 100.5 - side / 2, side, side]
        one = Instance(xy, state, box, area=side**2)
        samples.append(Sample(f"{n}.png", partial(np.copy, picture), (one,), f"g{n}", (200, 200), image_id=n))
        predicted.append(xy + [0.3 * n, 0])  # worse where it is turned further, and brighter
    data = Dataset("turned", tuple("abcd"), tuple(samples), normalizer=("pixel",))
    names = tuple(s.name for s in data)
    found = Predictions("m", predicted, np.ones((9, 4)), names, np.zeros(9), np.full(9, np.nan))  # type: ignore[arg-type]
    bands = {(b.condition, b.band): b for b in write_conditions([found], data, tmp_path)}
    assert [b.objects for b in bands.values()] == [3, 3, 3, 3, 3, 3, 6, 3, 3, 3, 3, 3, 3, 3]
    assert np.isclose(bands["size", "large"].low, 150) and np.isclose(bands["size", "small"].high, 50)
    assert np.isclose(bands["light", "dark"].value.value, 0.3, atol=1e-3), "mean of 0, 0.3 and 0.6 px"
    assert np.isclose(bands["light", "bright"].value.value, 2.1, atol=1e-3)
    assert bands["hidden", "more hidden"].objects == 3 and bands["hidden", "all seen"].high == 0
    assert bands["sharpness", "sharp"].low > bands["sharpness", "blurred"].high
    turn = bands["turn", "far turned"].low - bands["turn", "upright"].high
    assert 20 < turn < 100, "degrees"
    lines = list(csv.DictReader((tmp_path / "conditions.csv").read_text().splitlines()))
    assert len(lines) == len(bands) and (tmp_path / "conditions.md").read_text().count("**") == 2 * len(bands)


# --------------------------------------------------------------------------------------------
# doors for scikit-learn
# --------------------------------------------------------------------------------------------


def test_scorers_are_metrics_the_right_way_up() -> None:
    from sklearn.model_selection import GridSearchCV, cross_val_score

    p = make_problem(24)
    px = -cross_val_score(MeanShape(), p.images, p.xy, scoring=scorer("error_px"), cv=3)
    model = MeanShape().fit(p.images[8:], p.xy[8:])
    errors = np.linalg.norm(model.predict(p.images[:8]) - p.xy[:8], axis=2)
    assert np.isclose(px[0], np.nanmean(np.nanmean(errors, axis=1)), atol=1e-5)
    nme = scorer("nme_percent", ("points", 0, 1))(model, p.images[:8], p.xy[:8])
    lengths = np.linalg.norm(p.xy[:8, 0] - p.xy[:8, 1], axis=1)
    assert np.isclose(nme, -100 * np.nanmean(np.nanmean(errors, axis=1) / lengths), atol=1e-4)
    near = scorer("pck_5px_percent")(model, p.images[:8], p.xy[:8])
    assert np.isclose(near, 100 * np.mean(errors[np.isfinite(errors)] <= 5)), "higher is better as it is"
    search = GridSearchCV(HolisticRegressor(), {"grid": [2, 4]}, scoring=scorer(), cv=3).fit(p.images, p.xy)
    assert search.best_score_ <= 0
    with pytest.raises(InputError, match="crops have no boxes"):
        scorer("nme_percent", ("box",))
    with pytest.raises(InputError, match="no metric 'speed'"):
        scorer("speed")


@pytest.mark.parametrize(
    "descriptor", [HOG(cells=8), SIFT(size_px=8), SURF(), ORB(), MultiLevel(HOG())], ids=repr
)
def test_descriptors_are_transformers(descriptor: Any) -> None:
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    rng = np.random.default_rng(0)
    stripes = np.tile(np.where(np.arange(48) // 4 % 2, 200, 50), (48, 1))
    pictures = np.array(
        [(stripes if n % 2 else stripes.T) + rng.integers(-20, 21, (48, 48)) for n in range(24)]
    )
    labels = np.arange(24) % 2
    assert not supports(descriptor, LearnedDescriptor), "what learns is fitted with points and groups"
    rows = descriptor.transform(pictures.astype(np.uint8))
    assert rows.shape == (24, descriptor.n_features)
    one = descriptor.describe(gaussian_pyramid(pictures[3].astype(np.uint8), 4), centre(48))
    np.testing.assert_array_equal(rows[3], one[0])
    scores = cross_val_score(make_pipeline(descriptor, SVC()), pictures.astype(np.uint8), labels, cv=3)
    assert scores.min() == 1, "upright or lying stripes"


def centre(side: int) -> Keypoints:
    return Keypoints([[(side - 1) / 2] * 2], size=[side / 6], angle=[0.0])


# --------------------------------------------------------------------------------------------
# as other libraries have predictions
# --------------------------------------------------------------------------------------------


def test_predictions_as_a_frame(animals: Dataset, stored: Predictions) -> None:
    pandas = pytest.importorskip("pandas", reason="the extra 'formats'")
    frame = predictions_to_frame([stored, replace(stored, method="again")])
    b, k = stored.score.shape
    assert isinstance(frame, pandas.DataFrame) and len(frame) == 2 * b * k
    last = frame.iloc[b * k - 1]
    assert last["picture"] == stored.names[-1] and last["landmark"] == k - 1
    np.testing.assert_array_equal(last[["x", "y"]].astype(float), stored.xy[-1, -1])
    with pytest.raises(InputError, match="not the 2 named"):
        predictions_to_frame(stored, ["a", "b"])


def test_supervisions_key_points_there_and_back(animals: Dataset) -> None:
    supervision = pytest.importorskip("supervision", reason="pip install supervision")
    truth = {s.name: np.stack([i.xy for i in s.instances]) for s in animals}
    theirs = {
        f"/elsewhere/{name}": supervision.KeyPoints(
            xy=np.nan_to_num(xy[::-1] + 0.25).astype(np.float32),
            class_id=np.zeros(len(xy), int),
            keypoint_confidence=np.where(np.isfinite(xy[::-1]).all(-1), 0.8, 0).astype(np.float32),
        )
        for name, xy in truth.items()
    }
    row = read_foreign(theirs, animals, "theirs")
    for name, instance, xy in zip(row.names, row.instance, row.xy, strict=True):
        np.testing.assert_allclose(xy, truth[name][instance] + 0.25, atol=1e-4)
    back = predictions_to_supervision(row)
    assert set(back) == set(truth)
    again = read_foreign(back, animals, "again")
    np.testing.assert_allclose(again.xy, row.xy, atol=1e-4)
    with pytest.raises(InputError, match="is no supervision KeyPoints"):
        read_foreign({"a.png": 3}, animals, "x")
    with pytest.raises(InputError, match="neither a file"):
        read_foreign(3, animals, "x")  # type: ignore[arg-type]


def test_others_rows_have_as_many_cells_as_ours(val: Dataset, stored: Predictions, tmp_path: Path) -> None:
    """A table whose first row had no family lost that cell, and its columns moved against the others'."""
    theirs = replace(stored, method="theirs", xy=stored.xy + 0.01)
    write_report([stored, theirs], val, tmp_path, families={"ridge": "classical"})
    page = (tmp_path / "index.html").read_text()
    table = page[page.index('class="sortable"') : page.index("</table>")]
    cells = {row.count("<td") + row.count("<th") for row in table.split("<tr>")[1:]}
    assert len(cells) == 1, cells


# --------------------------------------------------------------------------------------------
# two annotators
# --------------------------------------------------------------------------------------------


def twice_labelled(folder: Path, apart: float) -> Dataset:
    """COCO with ``keypoints_b``, every point of which lies ``apart`` px to the right."""
    made = make_annotated(folder)
    samples = tuple(
        replace(s, instances=tuple(replace(i, second_xy=i.xy + [apart, 0]) for i in s.instances))
        for s in made
    )
    write_coco(replace(made, samples=samples, normalizer=("pixel",)), folder / "annotations.json")
    assert '"keypoints_b"' in (folder / "annotations.json").read_text()
    return load_dataset(folder)


def test_a_second_annotator_is_a_column_a_row_and_a_note(tmp_path: Path) -> None:
    data = twice_labelled(tmp_path / "data", 3.0)
    second = second_annotator(data)
    assert second is not None
    truth = gather_truth(data, [second])
    exact = replace(second, method="exact", xy=np.nan_to_num(truth.xy))
    scores = {s.method: s for s in score_methods(truth, [second, exact])}
    assert scores["second annotator"].figures["error_px"].mean() == pytest.approx(3, abs=1e-3)
    assert scores["second annotator"].figures["second_px"].mean() == pytest.approx(0, abs=1e-3)
    assert scores["exact"].figures["error_px"].mean() == pytest.approx(0, abs=1e-3)
    assert scores["exact"].figures["second_px"].mean() == pytest.approx(3, abs=1e-3)
    grid = agreement_grid(truth, list(scores.values()))
    assert grid is not None and grid.headings[0] == "two annotators"
    assert all(cells[0][0] == "3.00" for _, cells in grid.lines)
    told = next(n for n in notes(truth, list(scores.values()), 0.95) if "second annotator" in n)
    assert "mean error 3.00 [3.00, 3.00] px" in told
    alone = make_annotated(tmp_path / "alone")
    assert second_annotator(alone) is None and "second_px" not in {
        m.key for m in metrics_for(alone, ("pixel",))
    }


@pytest.mark.data
def test_the_doctors_of_the_x_rays(data_root: Path) -> None:
    """They differ by 3.3 px in the median point, as the data's own page says."""
    data = load_dataset(data_root / "ceph_two", "val")
    second = second_annotator(data)
    assert second is not None
    apart = np.linalg.norm(second.xy - np.stack([s.instances[0].xy for s in data]), axis=2)
    assert 2 < np.nanmedian(apart) < 5
