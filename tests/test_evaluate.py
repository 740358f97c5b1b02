"""The bench: shared crops, stored answers, resuming, failing, and one method put to use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from plain_detectors import Failing, Picture, PlainMean, plain_dataset

from hybridkp.evaluate import (
    Problem,
    bench,
    make_crops,
    predict,
    predictions_to_coco,
    stored_predictions,
    train,
)
from hybridkp.evaluate.bench_landmarks import with_seed
from hybridkp.files import load_model, load_predictions, read_image, read_meta, save_predictions
from hybridkp.imaging.geometry import apply_affine, crop_matrix
from hybridkp.structures import Dataset, DataWarning, InputError, InputErrors, Instance, Sample

TRAIN, VAL = plain_dataset("train", 12), plain_dataset("val", 6, seed=100)

# --------------------------------------------------------------------------------------------
# crops
# --------------------------------------------------------------------------------------------


def test_crops_show_the_points_where_they_say():
    """A blob drawn at the truth is found at ``xy`` in the crop, to a fiftieth of a crop pixel."""
    yy, xx = np.mgrid[:120, :150]
    at = np.array([[71.3, 52.8]])
    blob = 255 * np.exp(-((xx - at[0, 0]) ** 2 + (yy - at[0, 1]) ** 2) / (2 * 6.0**2))
    sample = Sample("a", lambda: blob.astype(np.uint8), (Instance(at, box_xywh=[40, 20, 60, 50]),), "a")
    crops = make_crops(Dataset("d", ("p",), (sample,)), (96, 96), 1.25)
    weight = crops.images[0, :, :, 0].astype(float)
    weight[weight < 20] = 0
    y, x = np.mgrid[:96, :96]
    centre = [(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()]
    np.testing.assert_allclose(centre, crops.xy[0, 0], atol=0.02)
    np.testing.assert_allclose(crops.to_picture(crops.xy)[0], at, atol=1e-9)


@pytest.mark.parametrize("side", [500, 1100, 1803])
def test_large_pictures_stay_exact(side):
    """Shrunk by box average and blur, a blob still lies within 0.03 crop px of its truth."""
    at = np.array([[0.503 * side, 0.411 * side]])
    yy, xx = np.ogrid[: int(0.85 * side), :side]
    spread = 2 * (side / 20) ** 2
    blob = 255 * np.exp(-((xx - at[0, 0]) ** 2) / spread) * np.exp(-((yy - at[0, 1]) ** 2) / spread)
    box = [0, 0, side, int(0.85 * side)]
    sample = Sample("a", lambda: blob.astype(np.uint8), (Instance(at, box_xywh=box),), "a")
    crops = make_crops(Dataset("d", ("p",), (sample,)), (100, 100))
    weight = crops.images[0, :, :, 0].astype(float)
    weight[weight < 20] = 0
    y, x = np.mgrid[:100, :100]
    centre = [(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()]
    np.testing.assert_allclose(centre, crops.xy[0, 0], atol=0.03)


def test_crops_keep_rows_together():
    crops = make_crops(TRAIN, (32, 40))
    assert crops.images.shape == (12, 32, 40, 3) and crops.images.dtype == np.uint8
    assert crops.names[3] == "train3" and crops.groups[3] == "train3"
    truth = TRAIN.samples[3].instances[0]
    matrix = crop_matrix(truth.box_xywh, (32, 40), 1.25)
    np.testing.assert_allclose(crops.xy[3], apply_affine(matrix, truth.xy))
    threads = make_crops(TRAIN, (32, 40), n_jobs=2)
    np.testing.assert_array_equal(threads.images, crops.images)


def test_rules_for_bad_objects():
    point = [[20.0, 20.0], [np.nan, np.nan]]
    instances = (
        Instance(point, box_xywh=[10, 10, 20, 20]),
        Instance(np.full((2, 2), np.nan), box_xywh=[10, 10, 20, 20]),
        Instance(point, box_xywh=[500, 10, 20, 20]),
        Instance(point, box_xywh=[10, 10, 0, 20]),
        Instance(point, box_xywh=[10, 10, 20, 20], ignore=True),
        Instance(point, box_xywh=[-30, -30, 50, 50]),
    )
    data = Dataset("d", ("a", "b"), (Sample("s", Picture(0), instances, "g"),))
    with pytest.warns(DataWarning, match="d: 2 objects without.*1 objects whose box lies.*1 objects have no"):
        crops = make_crops(data)
    assert crops.instance.tolist() == [0, 3, 5]
    assert np.isnan(crops.xy[0, 1]).all()
    np.testing.assert_allclose(crops.matrix[1], crop_matrix([0, 0, 60, 50], (128, 128), 1.25))


@pytest.mark.filterwarnings("ignore::hybridkp.structures.DataWarning")
def test_nothing_left_is_an_error():
    nothing = Sample("s", Picture(0), (Instance(np.full((1, 2), np.nan)),), "g")
    for samples in ((), (nothing,), (Sample("t", Picture(0), (), "g"),)):
        with pytest.raises(InputError, match="d: no object"):
            make_crops(Dataset("d", ("a",), samples))
    with pytest.raises(InputError, match="margin"):
        make_crops(TRAIN, margin=0)


def test_pictures_of_another_size_are_refused():
    """Picture(0) has 50 rows and 60 columns."""
    instance = Instance([[20.0, 20.0]], box_xywh=[10, 10, 20, 20])
    for said, words in (
        ((100, 120), "said 120x100, is 60x50"),
        ((60, 50), "said 50x60, is 60x50: turned"),
    ):
        data = Dataset("d", ("a",), (Sample("s.png", Picture(0), (instance,), "g", said),))
        with pytest.raises(InputError, match=rf"s\.png: .*{words}.*scale the points"):
            make_crops(data)
        with pytest.raises(InputError, match="is not as large"):
            train(PlainMean(), data, "never.hkp")
        with pytest.raises(InputError, match="is not as large"):
            predict(PlainMean(), data.samples)
        with pytest.warns(DataWarning, match="1 pictures of another size"):
            assert len(make_crops(data, anyway=True)) == 1
    assert len(make_crops(Dataset("d", ("a",), (Sample("s", Picture(0), (instance,), "g", (50, 60)),)))) == 1


def test_unreadable_pictures_are_left_out_only_when_told(tmp_path):
    from hybridkp.datasets.lookup import loader

    lost = replace(TRAIN.samples[0], load=loader(tmp_path / "lost.png"))
    data = replace(TRAIN, samples=(lost, *TRAIN.samples[1:]))
    with pytest.raises(InputError, match=r"lost\.png"):
        make_crops(data)
    with pytest.warns(DataWarning, match="1 objects in pictures that cannot be read"):
        assert make_crops(data, anyway=True).names == tuple(s.name for s in TRAIN.samples[1:])


# --------------------------------------------------------------------------------------------
# the bench
# --------------------------------------------------------------------------------------------


def test_seeds_reach_nested_parameters():
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline

    seeded = with_seed(make_pipeline(RandomForestClassifier(random_state=None)), 7)
    assert seeded.get_params()["randomforestclassifier__random_state"] == 7
    assert with_seed(PlainMean(), 3).random_state == 3


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two methods and one that fails, two processes at a time."""
    out = tmp_path_factory.mktemp("bench")
    events = []
    methods = {"mean": PlainMean(), "bad one": Failing(), "noisy": PlainMean(sigma=2.0)}
    problem = Problem(TRAIN, VAL, max_timed=4)
    found = bench(methods, problem, out=out, seeds=[1], n_jobs=2, progress=lambda *e: events.append(e))
    return out, found, events


def test_one_failure_does_not_lose_the_others(run):
    out, found, events = run
    assert [p.method for p in found] == ["mean", "noisy"]
    assert [e[1:] for e in events if e[0] == "failed"] == [
        ("bad one", 1, "RuntimeError: this one always fails")
    ]
    (error,) = (out / "errors").iterdir()
    assert "this one always fails" in error.read_text() and "Traceback" in error.read_text()


def test_with_several_jobs_the_clock_runs_alone_at_the_end(tmp_path):
    from hybridkp.landmarks import MeanShape

    events = []
    plan = {
        "methods": {"a": MeanShape(), "b": MeanShape()},
        "problem": Problem(TRAIN, VAL, max_timed=4),
        "out": tmp_path,
        "n_jobs": 2,
    }
    found = bench(**plan, progress=lambda *e: events.append(e[:2]))
    assert {e for e in events[-6:] if e[0] == "timed"} == {("timed", "a"), ("timed", "b")}
    last_done = max(i for i, e in enumerate(events) if e[0] == "done")
    assert min(i for i, e in enumerate(events) if e[0] == "timed") > last_done
    assert all(np.isfinite(p.seconds).sum() == 4 for p in found)
    # killed between answers and clock: only the clock is made up for
    path = tmp_path / "predictions" / "a-0.safetensors"
    save_predictions(replace(found[0], seconds=np.full(len(VAL), np.nan)), path)
    events.clear()
    again = bench(**plan, progress=lambda *e: events.append(e[:2]))
    assert ("kept", "a") in events and ("timed", "a") in events and ("timed", "b") not in events
    np.testing.assert_array_equal(again[0].xy, found[0].xy)
    assert np.isfinite(again[0].seconds).sum() == 4


def test_answers_are_in_picture_pixels(run):
    _, found, _ = run
    crops, val = make_crops(TRAIN), make_crops(VAL)
    mean = np.repeat(crops.xy.mean(0)[None], len(val), axis=0)
    np.testing.assert_allclose(found[0].xy, val.to_picture(mean), atol=1e-3)


def test_facts_are_recorded(run):
    out, found, _ = run
    p = found[0]
    assert (p.dataset, p.split, p.seed, p.fingerprint) == ("val", "val", 1, VAL.fingerprint)
    assert p.names == tuple(f"val{i}" for i in range(6)) and p.instance.tolist() == [0] * 6
    assert np.isfinite(p.seconds).sum() == 4 and np.nanmin(p.seconds) > 0
    assert p.fit_seconds > 0 and p.peak_bytes > 1e6
    assert p.history == {"loss": [2.0, 1.0]}
    assert p.versions["cv2"] == cv2.__version__
    assert "random_state=1" in p.params["estimator"] and p.params["size_hw"] == [128, 128]
    model = out / "models" / "mean-1.hkp"
    assert p.model_bytes == model.stat().st_size
    assert read_meta(model)["landmarks"] == ["p0", "p1", "p2"]
    crops = make_crops(VAL)
    again = crops.to_picture(load_model(model, trusted=[PlainMean]).predict(crops.images))
    np.testing.assert_allclose(p.xy, again, atol=1e-3)


def test_nothing_but_results_is_left(run):
    out, _, _ = run
    assert sorted(p.name for p in (out / "predictions").iterdir()) == [
        "mean-1.safetensors",
        "noisy-1.safetensors",
    ]
    assert not list(out.rglob("*.part")) and not list(out.rglob("crops-*"))


def test_finished_methods_are_kept_and_changed_ones_are_not(run):
    out, found, _ = run
    files = sorted((out / "predictions").iterdir())
    before = [(f.stat().st_mtime_ns, f.stat().st_ino) for f in files]
    events = []
    again = bench(
        {"mean": PlainMean(), "noisy": PlainMean(sigma=2.0)},
        Problem(TRAIN, VAL, max_timed=4),
        out=out,
        seeds=[1],
        progress=lambda *e: events.append(e[:2]),
    )
    assert events == [("kept", "mean"), ("kept", "noisy")]
    assert [(f.stat().st_mtime_ns, f.stat().st_ino) for f in files] == before
    np.testing.assert_array_equal(again[1].xy, found[1].xy)
    assert [p.method for p in stored_predictions(out)] == ["mean", "noisy"]
    changed = []

    def stop(event, method, seed, detail):
        changed.append((event, method, detail))
        if event == "start":
            raise KeyboardInterrupt

    for options, reason in (
        ({"methods": {"mean": PlainMean(sigma=1.0)}}, "estimator changed"),
        ({"margin": 1.5}, "margin changed"),
        ({"val": VAL.subset(range(5))}, "data changed"),
        ({"train": TRAIN.subset(range(5))}, "train_fingerprint, n_train changed"),
    ):
        plan = {"train": TRAIN, "val": VAL, "max_timed": 4} | options
        methods = plan.pop("methods", {"mean": PlainMean()})
        with pytest.raises(KeyboardInterrupt):
            bench(methods, Problem(**plan), out=out, seeds=[1], progress=stop)
        assert ("stale", "mean", reason) in changed
    assert [(f.stat().st_mtime_ns, f.stat().st_ino) for f in files] == before


def test_a_damaged_prediction_is_made_again(run, tmp_path):
    out, _, _ = run
    copy = tmp_path / "predictions" / "mean-1.safetensors"
    copy.parent.mkdir()
    copy.write_bytes((out / "predictions" / "mean-1.safetensors").read_bytes()[:-4])
    events = []
    problem = Problem(TRAIN, VAL)
    bench({"mean": PlainMean()}, problem, out=tmp_path, seeds=[1], progress=lambda *e: events.append(e[0]))
    assert events[0] == "stale" and events[-1] == "done"
    assert load_predictions(copy).method == "mean"


def test_every_method_failing_is_an_error(tmp_path):
    with pytest.raises(InputError, match="every method failed; bad: RuntimeError: this one always fails"):
        bench({"bad": Failing()}, Problem(TRAIN, VAL), out=tmp_path, progress=lambda *_: None)


def test_what_a_bench_refuses(tmp_path):
    other = plain_dataset("other", 4, k=2)
    for methods, data, match in (
        ({}, (TRAIN, VAL), "no methods"),
        ([("a", PlainMean()), ("a", PlainMean())], (TRAIN, VAL), "'a' is named twice"),
        ({"a": PlainMean()}, (TRAIN, other), "one scheme"),
        ({"a": PlainMean()}, (TRAIN, VAL.subset([])), "holds no pictures"),
    ):
        with pytest.raises(InputError, match=match):
            bench(methods, Problem(*data), out=tmp_path)
    with pytest.warns(DataWarning, match="scores will be too good"), pytest.raises(InputError):
        bench({"bad": Failing()}, Problem(TRAIN, TRAIN), out=tmp_path, progress=lambda *_: None)


def test_errors_of_the_data_stop_a_bench_before_it_begins(tmp_path):
    """... unless it is told to go on: then the predictions carry them, and the report repeats them."""
    from hybridkp.report import write_report

    said = [replace(s, size_hw=(100, 120)) for s in on_disk(VAL, tmp_path).samples]
    problem = Problem(on_disk(TRAIN, tmp_path), replace(VAL, samples=tuple(said)), max_timed=0)
    out = tmp_path / "out"
    with pytest.raises(InputErrors, match="make every figure wrong") as caught:
        bench({"mean": PlainMean()}, problem, out=out)
    first, line = caught.value.lines
    assert "--anyway" in first and "6 pictures have another size" in line and "said 120x100" in line
    assert not out.exists()
    with pytest.warns(DataWarning, match="another size"):
        found = bench({"mean": PlainMean()}, replace(problem, anyway=True), out=out)
    assert found[0].params["data_errors"] == [line]
    paths = write_report(found, problem.val, tmp_path / "report").paths
    assert json.loads(paths["json"].read_text())["about"]["data_errors"] == [line]
    assert "6 pictures have another size" in paths["markdown"].read_text()
    assert "6 pictures have another size" in paths["html"].read_text()


def on_disk(data, folder):
    """The same data set with its pictures in files."""
    from hybridkp.datasets.lookup import loader

    samples = []
    for sample in data:
        path = folder / f"{sample.name}.png"
        path.write_bytes(cv2.imencode(".png", sample.image)[1].tobytes())
        samples.append(replace(sample, load=loader(path)))
    return replace(data, samples=tuple(samples))


KILLED = """
import sys; sys.path.insert(0, {tests!r})
from plain_detectors import *
from hybridkp.evaluate import Problem, bench
if __name__ == "__main__":
    problem = Problem(plain_dataset("train", 12), plain_dataset("val", 6, seed=100))
    bench({{"mean": PlainMean(), "waiting": Waiting({gate!r})}}, problem, out={out!r},
          progress=lambda *e: print(*e, flush=True))
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc to find the processes")
def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    out, gate = tmp_path / "out", tmp_path / "gate"
    code = KILLED.format(tests=str(Path(__file__).parent), gate=str(gate), out=str(out))
    script = tmp_path / "run.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:  # wait until the second method is at work
        if line.startswith("stage waiting 0 fits"):
            break
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.communicate(timeout=30)
    assert process.returncode != 0
    deadline = time.time() + 20
    while any(map(alive, children)) and time.time() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, children)), "a worker outlived the run"
    (kept,) = (out / "predictions").iterdir()
    before = (kept.name, kept.stat().st_mtime_ns, kept.stat().st_ino)
    assert not list(out.rglob("*.part"))
    gate.touch()
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr, "a process whose work was done was killed"
    assert "kept mean 0" in done.stdout and "done waiting 0" in done.stdout
    assert (kept.name, kept.stat().st_mtime_ns, kept.stat().st_ino) == before
    assert len(list((out / "predictions").iterdir())) == 2
    assert not list(out.rglob("crops-*"))


def test_a_worker_ends_whatever_a_library_left_running():
    code = (
        "import threading, time; from hybridkp.evaluate.processes import end_soon; end_soon(0.1);"
        "threading.Thread(target=time.sleep, args=(600,)).start()"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


# --------------------------------------------------------------------------------------------
# one method put to use
# --------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path):
    train(PlainMean(), Problem(TRAIN, size_hw=(64, 64), margin=1.5), tmp_path / "mean.hkp", name="mean")
    return load_model(tmp_path / "mean.hkp", trusted=[PlainMean]), read_meta(tmp_path / "mean.hkp")


def test_predict_with_boxes_writes_coco_that_reads_back(tmp_path, model):
    from hybridkp.datasets import load_dataset

    detector, meta = model
    assert meta["size_hw"] == [64, 64] and meta["margin"] == 1.5 and meta["method"] == "mean"
    (tmp_path / "pictures").mkdir()
    paths = []
    for i in range(2):
        paths.append(tmp_path / "pictures" / f"{i}.png")
        paths[-1].write_bytes(cv2.imencode(".png", Picture(i)())[1].tobytes())
    boxes = {
        "images": [{"id": 5, "file_name": "a/0.png"}, {"id": 6, "file_name": "1.png"}],
        "annotations": [
            {"image_id": 5, "bbox": [14, 14, 28, 28]},
            {"image_id": 6, "bbox": [10, 10, 20, 20]},
            {"image_id": 6, "bbox": [4, 4, 30, 30]},
        ],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    out = tmp_path / "out"
    document = predict(detector, paths, boxes=tmp_path / "boxes.json", out=out, meta=meta)
    assert [a["image_id"] for a in document["annotations"]] == [1, 2, 2]
    crop = crop_matrix([14, 14, 28, 28], (64, 64), 1.5)
    points = np.reshape(document["annotations"][0]["keypoints"], (-1, 3))[:, :2]
    np.testing.assert_allclose(apply_affine(crop, points), detector.mean_, atol=0.01)
    assert document["annotations"][0]["keypoint_scores"] == [0.5] * 3
    assert sorted(os.listdir(out / "overlays")) == ["0.jpg", "1.jpg"]
    assert read_image(out / "overlays" / "0.jpg").shape == (50, 60, 3)
    again = load_dataset(out / "predictions.json")
    assert again.landmarks == ("p0", "p1", "p2")
    np.testing.assert_allclose(again.samples[0].instances[0].xy, points)


def test_boxes_of_pictures_of_one_name_are_told_apart_by_their_folders(tmp_path, model):
    detector, meta = model
    paths = [tmp_path / folder / "0.png" for folder in "abc"]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(cv2.imencode(".png", Picture(0)())[1].tobytes())
    boxes = {
        "images": [{"id": i, "file_name": f"{folder}/0.png"} for i, folder in enumerate("ab")],
        "annotations": [{"image_id": i, "bbox": [10 * i, 5, 20, 20]} for i in range(2)],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    with pytest.warns(DataWarning, match=r"c/0\.png: has no box"):
        document = predict(detector, paths, boxes=tmp_path / "boxes.json", meta=meta)
    assert [(a["image_id"], a["bbox"][0]) for a in document["annotations"]] == [(1, 0), (2, 10)]


def test_predict_without_boxes_takes_the_whole_picture(tmp_path, model):
    detector, meta = model
    path = tmp_path / "p.png"
    path.write_bytes(cv2.imencode(".png", Picture(0)())[1].tobytes())
    with pytest.warns(DataWarning, match="taken as one object"):
        document = predict(detector, [path], meta=meta)
        bare = predict(detector, [path], meta={})
    assert document["annotations"][0]["bbox"] == [0, 0, 60, 50]
    assert bare["categories"][0]["keypoints"] == ["point0", "point1", "point2"]


def test_predict_says_which_picture_has_no_box(tmp_path, model):
    detector, meta = model
    path = tmp_path / "p.png"
    path.write_bytes(cv2.imencode(".png", Picture(0)())[1].tobytes())
    for boxes in ({}, {"q.png": [[0, 0, 5, 5]]}):
        with pytest.raises(InputError, match=r"boxes of none of the 1 pictures.*p\.png"):
            predict(detector, [path], boxes=boxes, meta=meta)
    with pytest.warns(DataWarning, match=r"p\.png: a box outside"):
        assert predict(detector, [path], boxes={"p.png": [[99, 0, 5, 5]]}, meta=meta)["annotations"] == []
    for text in ("", "[]", '{"images": []}', '{"images": [{}], "annotations": []}'):
        (tmp_path / "b.json").write_text(text)
        with pytest.raises(InputError, match=r"b\.json: needs COCO JSON"):
            predict(detector, [path], boxes=tmp_path / "b.json", meta=meta)


def test_predictions_as_coco_results(run):
    _, found, _ = run
    rows = predictions_to_coco(found[0], VAL)
    assert [r["image_id"] for r in rows] == [1, 2, 3, 4, 5, 6]
    points = np.reshape(rows[2]["keypoints"], (-1, 3))
    np.testing.assert_allclose(points[:, :2], found[0].xy[2], atol=1e-3)
    assert points[:, 2].tolist() == [0.5] * 3 and rows[2]["score"] == 0.5
    with pytest.raises(InputError, match="has no picture"):
        predictions_to_coco(found[0], TRAIN)


def test_folders_of_others_stay(tmp_path: Path) -> None:
    """Ordinary names of this trade: nothing that hybridkp did not write is ever removed."""
    names = ["crops-2023-faces", "cache/crops-128-train", "deep/down/crops-1-x", ".x.12345678.y.part"]
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "face.png").write_bytes(b"dear")
    problem = Problem(TRAIN, VAL, size_hw=(32, 32))
    bench({"mean": PlainMean()}, problem, out=tmp_path)
    assert [(tmp_path / name / "face.png").read_bytes() for name in names] == [b"dear"] * 4


def test_changed_pictures_are_noticed(tmp_path: Path) -> None:
    """The annotations are the same, and so is the data set's fingerprint; the files are not."""
    import cv2

    from hybridkp.datasets import load_dataset, write_coco

    for split, data in (("train", TRAIN), ("val", VAL)):
        named = [replace(s, name=f"{split}{i}.png", image_id=i + 1) for i, s in enumerate(data.samples)]
        for sample in named:
            (tmp_path / "images").mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / "images" / sample.name), sample.image)
        write_coco(replace(data, samples=tuple(named)), tmp_path / f"{split}.json")
    told: list[tuple[str, str]] = []

    def run() -> None:
        problem = Problem(load_dataset(tmp_path, "train"), load_dataset(tmp_path, "val"), size_hw=(32, 32))
        tell = lambda event, method, seed, detail: told.append((event, detail))  # noqa: E731
        bench({"mean": PlainMean()}, problem, out=tmp_path / "out", n_jobs=1, progress=tell)

    run()
    run()
    assert ("kept", "") in told and not [d for e, d in told if e == "stale"]
    some = next((tmp_path / "images").glob("val*.png"))
    cv2.imwrite(str(some), 255 - cv2.imread(str(some)))
    run()
    assert ("stale", "pictures changed") in told
