"""Classes of objects: figures against scikit-learn's, folds that cut no group, votes, report and command."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from hybridkp import load_dataset, recipes
from hybridkp.cli import main
from hybridkp.evaluate import apart_by, class_rows, classify, tagged_by
from hybridkp.files import ClassPredictions, load_classes, save_classes
from hybridkp.metrics import class_figures
from hybridkp.multimodal import ClassVote, SenseClassifier, SenseRows
from hybridkp.report import write_classes_report
from hybridkp.structures import Batch, InputError


def test_figures_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    names = np.array(["a", "b", "c"])
    truth = names[rng.integers(0, 3, 60)]
    said = np.where(rng.random(60) < 0.6, truth, names[rng.integers(0, 3, 60)])
    found = class_figures(truth, said)
    precision, recall, f1, support = precision_recall_fscore_support(truth, said)
    for mine, theirs in zip((found.precision, found.recall, found.f1), (precision, recall, f1), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)
    np.testing.assert_array_equal(found.support, support)
    np.testing.assert_array_equal(found.confusion, confusion_matrix(truth, said))
    assert found.accuracy == pytest.approx(accuracy_score(truth, said))
    assert found.macro_f1 == pytest.approx(f1_score(truth, said, average="macro"))


def test_a_class_that_does_not_occur_counts_for_nothing() -> None:
    found = class_figures(["a", "b"], ["a", "a"], ["b", "c", "a"])
    assert found.confusion.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 1]]
    assert math.isnan(found.recall[1]) and found.macro_f1 == pytest.approx((0 + 2 / 3) / 2)
    with pytest.raises(InputError, match="'d'"):
        class_figures(["a", "d"], ["a", "a"], ["a"])
    with pytest.raises(InputError, match="must both be"):
        class_figures(["a"], ["a", "a"])


def _predictions(name: str, said: list[str], n: int = 12) -> ClassPredictions:
    labels = ["go", "stop"] * (n // 2)
    groups = [f"film{i // 2}" for i in range(n)]
    return ClassPredictions(name, tuple(labels), tuple(said), tuple(groups), tuple(map(str, range(n))))


def test_stored_classes_come_back(tmp_path: Path) -> None:
    made = _predictions("svm", ["go"] * 12)
    save_classes(made, tmp_path / "a.json")
    back = load_classes(tmp_path / "a.json")
    assert (
        back.predicted == made.predicted and math.isnan(back.fit_seconds) and back.classes == ("go", "stop")
    )
    for text in ("", "[]", '{"classes_format": 1}', '{"classes_format": 2}'):
        (tmp_path / "b.json").write_text(text)
        with pytest.raises(InputError, match="no classes as"):
            load_classes(tmp_path / "b.json")
    with pytest.raises(InputError, match="different lengths"):
        ClassPredictions("svm", ("a",), (), (), ())


def test_the_report_tests_only_with_six_groups(tmp_path: Path) -> None:
    right, never = ["go", "stop"] * 6, ["stop", "go"] * 6
    paths = write_classes_report(
        [_predictions("good", right), _predictions("bad <b>", never)], tmp_path / "six"
    )
    found = json.loads(paths["json"].read_text())
    assert [m["method"] for m in found["methods"]] == ["good", "bad <b>"] and len(found["pairs"]) == 1
    assert found["methods"][0]["confusion"] == [[6, 0], [0, 6]]
    page = paths["html"].read_text()
    assert "bad &lt;b&gt;" in page and "<svg" in page
    few = [_predictions("good", right[:8], 8), _predictions("bad", never[:8], 8)]
    paths = write_classes_report(few, tmp_path / "four")
    assert not json.loads(paths["json"].read_text())["pairs"]
    assert "No tests: 4 groups" in paths["markdown"].read_text()
    with pytest.raises(InputError, match="different objects"):
        write_classes_report([_predictions("a", right), _predictions("b", right[:8], 8)], tmp_path)


class Sees(BaseEstimator):
    """Notes which groups it was shown, and says of everything what it saw most."""

    shown: ClassVar[list[set[str]]] = []

    def fit(self, batch, labels, *, groups=None):
        Sees.shown.append(set(groups.tolist()))
        self.most_ = max(sorted(set(labels.tolist())), key=labels.tolist().count)
        return self

    def predict(self, batch):
        return np.array([self.most_] * len(batch))


def test_no_group_is_on_both_sides_and_what_is_stored_is_kept(tmp_path: Path) -> None:
    groups = np.repeat(["a", "b", "c"], 4)
    labels = np.tile(["go", "go", "stop", "go"], 3)
    batch = {"image": np.zeros((12, 8, 8), np.uint8)}
    names = [str(i) for i in range(12)]
    Sees.shown.clear()
    found = classify({"sees": Sees()}, batch, labels, groups, names, out=tmp_path)
    assert sorted(map(sorted, Sees.shown)) == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert found[0].predicted == ("go",) * 12
    classify({"sees": Sees()}, batch, labels, groups, names, out=tmp_path)
    assert len(Sees.shown) == 3  # read, not fitted again
    classify({"sees": Sees()}, batch, labels, groups, names, out=tmp_path, seed=1)
    assert len(Sees.shown) == 6
    held = groups == "c"
    once = classify({"sees": Sees()}, batch, labels, groups, names, held_out=held)
    assert once[0].groups == ("c",) * 4 and Sees.shown[-1] == {"a", "b"}
    for part in ("b", "c", "c"):  # one folder; another part is judged anew, the same one is kept
        again = classify(
            {"sees": Sees()}, batch, labels, groups, names, out=tmp_path, held_out=groups == part
        )
        assert again[0].groups == (part,) * 4
    assert len(Sees.shown) == 9
    with pytest.raises(InputError, match="is in training and held out"):
        classify({"sees": Sees()}, batch, labels, groups, names, held_out=np.arange(12) < 2)
    with pytest.raises(InputError, match="of one group"):
        classify({"sees": Sees()}, batch, labels, ["a"] * 12, names)
    with pytest.raises(InputError, match="nothing to tell apart"):
        classify({"sees": Sees()}, batch, ["go"] * 12, groups, names)
    with pytest.raises(InputError, match="every class lies in one group"):
        classify({"sees": Sees()}, batch, groups, groups, names)


def _two_senses(n: int = 60) -> tuple[Batch, np.ndarray, np.ndarray]:
    """Heat tells the class, noise tells nothing."""
    rng = np.random.default_rng(3)
    labels = np.array(["go", "stop"])[rng.integers(0, 2, n)]
    heat = rng.normal(0, 1, (n, 4)) + 4 * (labels == "go")[:, None]
    return Batch({"heat": heat, "noise": rng.normal(0, 1, (n, 4))}), labels, np.repeat(np.arange(n // 5), 5)


def test_a_missing_or_broken_sense_has_no_say() -> None:
    batch, labels, groups = _two_senses()
    rows = SenseRows(("heat", "noise")).fit(batch)
    heat = np.array(batch["heat"])
    heat[0], heat[1] = np.nan, 1e6
    found, there = rows.rows_and_presence(batch.replace(heat=heat))
    assert there[:3].tolist() == [[False, True], [False, True], [True, True]]
    assert (found[:2, :4] == 0).all() and np.isfinite(found).all()
    vote = recipes.make_classifier("average(svm[inputs=heat],svm[inputs=noise])").fit(
        batch, labels, groups=groups
    )
    alone = SenseClassifier(inputs="noise").fit(batch, labels, groups=groups)
    broken = batch.replace(heat=np.full_like(heat, np.nan))
    np.testing.assert_allclose(vote.predict_proba(broken), alone.predict_proba(broken), atol=1e-12)


@pytest.mark.parametrize("how", ["average", "product", "gated", "stack"])
def test_every_vote_is_nearly_as_good_as_its_best_member(how: str) -> None:
    batch, labels, groups = _two_senses()
    vote = recipes.make_classifier(f"{how}(svm[inputs=heat],svm[inputs=noise])")
    vote.fit(batch[:40], labels[:40], groups=groups[:40])
    proba = vote.predict_proba(batch[40:])
    np.testing.assert_allclose(proba.sum(1), 1)
    assert (vote.predict(batch[40:]) == labels[40:]).mean() >= 0.9


def test_copies_of_sound_teach_and_are_of_sound_alone() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["low", "high"], 12)
    hertz = np.where(labels == "low", 300, 900)[:, None]
    waves = 0.1 * np.sin(2 * np.pi * hertz * np.arange(4000) / 16000) + rng.normal(0, 0.01, (24, 4000))
    batch = Batch({"sound": waves.astype(np.float32), "heat": rng.normal(0, 1, (24, 2))})
    model = recipes.make_classifier("svm[inputs=sound:heat,copies=2]").fit(batch, labels)
    assert (model.predict(batch) == labels).all() and model.classifier_.shape_fit_[0] == 72
    with pytest.raises(InputError, match="copies=2: a number of copies of sound"):
        recipes.make_classifier("svm[inputs=heat,copies=2]").fit(batch, labels)


def test_mistakes_are_told() -> None:
    batch, labels, _ = _two_senses()
    with pytest.raises(InputError, match="'taste'"):
        SenseClassifier(inputs="taste").fit(batch, labels)
    with pytest.raises(InputError, match="nothing to tell apart"):
        SenseClassifier(inputs="heat").fit(batch, ["go"] * len(batch))
    with pytest.raises(InputError, match="no training row says anything"):
        SenseClassifier(inputs="heat").fit(batch.replace(heat=np.full((60, 4), np.nan)), labels)
    for model in (SenseClassifier(inputs="heat"), ClassVote([("a", SenseClassifier(inputs="heat"))])):
        with pytest.raises(InputError, match="the batch is empty"):
            model.fit(batch, labels).predict(batch[:0])
    with pytest.raises(InputError, match="how must be one of"):
        ClassVote([("a", SenseClassifier(inputs="heat"))], how="loudest").fit(batch, labels)
    with pytest.raises(InputError, match="did you mean 'svm'"):
        recipes.make_classifier("svn")


def _films(folder: Path) -> Path:
    """Eight films of three pictures; bright ones say go, and one landmark pair is far apart there."""
    images, objects = [], []
    (folder / "images").mkdir(parents=True)
    for film in range(8):
        for _ in range(3):
            go, i = film % 2 == 0, len(images)
            picture = np.random.default_rng(i).integers(0, 30, (40, 40, 3)).astype(np.uint8)
            cv2.rectangle(picture, (8, 12), (30, 30 if go else 14), (220, 220, 220), -1)
            cv2.imwrite(str(folder / "images" / f"{i}.png"), picture)
            images.append(
                {"id": i, "file_name": f"{i}.png", "width": 40, "height": 40, "group": f"film{film}"}
                | {"word": "go" if go else "stop", "text": "they go" if go else "they stop"}
            )
            objects.append(
                {"id": i, "image_id": i, "category_id": 1, "bbox": [0, 0, 40, 40], "area": 1600, "iscrowd": 0}
                | {"keypoints": [8, 12, 2, 8, 30 if go else 14, 2], "num_keypoints": 2}
            )
    category = {"id": 1, "name": "mouth", "keypoints": ["upper", "lower"]}
    document = {"images": images, "annotations": objects, "categories": [category]}
    (folder / "all.json").write_text(json.dumps(document))
    return folder / "all.json"


def test_the_command_line_tells_classes_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(_films(tmp_path / "data"))
    methods = "prior,ridge,average(ridge,forest[n_estimators=5])"
    common = ["--crop", "32", "--folds", "4", "--out", str(tmp_path / "out")]
    assert main(["classify", data, "--label", "word", "--methods", methods, *common]) == 0
    told = capsys.readouterr()
    assert "| 1 |" in told.out and (tmp_path / "out" / "index.html").exists()
    found = json.loads((tmp_path / "out" / "results.json").read_text())["methods"]
    assert {m["method"]: m["accuracy_percent"] for m in found}["ridge"] == 100
    table = tmp_path / "classes.csv"
    table.write_text("picture,class\n" + "".join(f"{i}.png,{'x' if i < 12 else 'y'}\n" for i in range(24)))
    common[-1] = str(tmp_path / "b")
    assert main(["classify", data, "--labels", str(table), "--methods", "prior", *common]) == 0
    common[-1] = str(tmp_path / "c")
    heard = ["--label", "word", "--inputs", "text", "--methods", "ridge[inputs=image]", *common]
    assert main(["classify", data, *heard]) == 0  # the picture is there in any case
    capsys.readouterr()
    assert main(["classify", data, "--label", "word", "--methods", "ridge[inputs=text]", *common]) == 2
    assert "reads text, which is not loaded: give --inputs image:text" in capsys.readouterr().err
    assert main(["classify", data, "--label", "colour", *common]) == 2
    assert "no picture is labelled with 'colour' (there: word)" in capsys.readouterr().err


def test_where_classes_come_from(tmp_path: Path) -> None:
    data = load_dataset(_films(tmp_path / "data"))
    assert data.samples[0].tags == {"word": "go"}
    by_word = class_rows(data, tagged_by("word"), size_hw=(16, 16))
    assert by_word.inputs == ["image"]  # the text names the class, and is left out
    told = class_rows(data, tagged_by("word"), size_hw=(16, 16), inputs=["image", "text"])
    assert told.named == 1.0
    whole = json.loads((tmp_path / "data" / "all.json").read_text())
    for split, first in (("train", 0), ("val", 4)):  # every split names the same files, of other films
        films = {f"film{i}" for i in range(first, first + 4)}
        images = [image | {"file_name": "0.png"} for image in whole["images"] if image["group"] in films]
        ids = {image["id"] for image in images}
        objects = [each for each in whole["annotations"] if each["image_id"] in ids]
        text = json.dumps(whole | {"images": images, "annotations": objects})
        (tmp_path / "data" / f"{split}.json").write_text(text)
    (tmp_path / "data" / "all.json").unlink()
    judged = class_rows(tmp_path / "data", tagged_by("word"), size_hw=(16, 16), split="val")
    assert set(judged.groups[judged.held_out]) == {"film4", "film5", "film6", "film7"}
    assert set(judged.groups[~judged.held_out]) == {"film0", "film1", "film2", "film3"}
    by_gap = class_rows(data, apart_by(["upper", "1", "10"]), size_hw=(16, 16))
    assert (by_gap.labels == "apart").tolist() == (by_word.labels == "go").tolist()
    with pytest.raises(InputError, match="no landmark 'nose'"):
        class_rows(data, apart_by(["nose", "1", "0.2"]))
    with pytest.raises(InputError, match="needs two landmarks and a ratio"):
        apart_by(["upper", "lower"])
    with pytest.raises(InputError, match=r"no object is of a class in run; there are go \(12\)"):
        class_rows(data, tagged_by("word"), only=["run"])
    (tmp_path / "bad.csv").write_text("0.png,a\n0.png,b\n")
    with pytest.raises(InputError, match=r"bad\.csv, line 2: 0\.png has two classes"):
        class_rows(data, tmp_path / "bad.csv")
