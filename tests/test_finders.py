"""Finders: what each promises, where its boxes lie, and pictures from the command line to the runtime."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from hybridkp import checks, recipes, runtime
from hybridkp.checks import ring_samples
from hybridkp.cli import main
from hybridkp.detection import Cells, FusedFinder, TiledFinder, TopDown, WindowModel, fuse_boxes
from hybridkp.detection.boxes_math import corrected, corrections, objects_of, suppress
from hybridkp.detection.centre_maps import STRIDE, CentreReader, map_boxes, square_of
from hybridkp.detection.fitting import each_fit_once, fit_finder
from hybridkp.detection.tiles import find_in_tiles, tile_boxes
from hybridkp.detection.window_finder import _pictures
from hybridkp.detection.windows import Level
from hybridkp.files import load_model, save_model
from hybridkp.runtime.nodes import build
from hybridkp.structures import Dataset, DataWarning, Finder, InputError, Instance, Sample

LIGHT = "window_cells=6,n_rounds=1,octave=3"
FINDERS = {
    f"hog+svm[{LIGHT}]": 0.7,
    f"hog+svm[{LIGHT},fast=true]": 0.7,
    f"acf+forest[{LIGHT},n_estimators=16]": 0.7,
    f"fused(hog+svm[{LIGHT}],acf+svm[{LIGHT}])": 0.7,
    "centernet[input_px=128,max_epochs=6,epoch_pictures=48,batch_size=8,average=0.8]": 0.5,
    f"verify[max_epochs=4](hog+svm[{LIGHT}])": 0.7,
    f"judged(acf+forest[{LIGHT},n_estimators=16],hog+svm[{LIGHT}])": 0.7,
    f"tiles[whole=false](hog+svm[{LIGHT}])": 0.7,
    "lbp-faces": 0.0,
}
_FITTED: dict[str, Finder] = {}


def fitted(expression: str) -> Finder:
    """A finder of rings, fitted once in this file."""
    if expression not in _FITTED:
        _FITTED[expression] = fit_finder(recipes.make_finder(expression), ring_samples(12, 0))
    return _FITTED[expression]


@pytest.mark.parametrize("expression", FINDERS)
def test_promises(expression: str) -> None:
    with each_fit_once():
        for name, check in checks.finder_checks(recipes.make_finder(expression), FINDERS[expression]):
            try:
                check()
            except AssertionError as error:
                pytest.fail(f"{expression}: {name}: {error}")


def test_checks_find_a_broken_finder() -> None:
    class Backwards(FusedFinder):
        def find(self, image, *, name=""):
            return np.array([[0.0, 0, 5, 5], [9, 9, 5, 5]]), np.array([0.1, 0.9])

    broken = Backwards([("a", recipes.make_finder(f"hog+svm[{LIGHT}]"))])
    failed = []
    for name, check in checks.finder_checks(broken):
        try:
            check()
        except (AssertionError, InputError):
            failed.append(name)
    assert {"boxes and scores fit together, best first", "finds what it was taught"} <= set(failed)


# --------------------------------------------------------------------------------------------
# where boxes lie
# --------------------------------------------------------------------------------------------


def test_a_windows_box_lies_where_its_cells_are() -> None:
    cells, n = Cells(cell_px=4), 6 * 8 * 9
    parts = (np.zeros(n + 1), {}, 0.0, np.zeros((n + 1, 4)), np.array([1.0, 0.0]))
    model = WindowModel(cells, (6, 8), 2.0, 10.0, 4, 0.4, *parts)
    level = Level(np.zeros((9, 9, 9), np.float32), np.array([0.5, 0.5]), pad=np.array([1, 1]))
    (box,) = model.boxes(level, np.array([1]), np.array([2]))
    # window: x from (2 - 1) cells = 4 to 36 px of the level, y from 0 to 24; its box is half as large
    np.testing.assert_allclose(box, [(4 + 8) / 0.5, (0 + 6) / 0.5, 16 / 0.5, 12 / 0.5])
    picture = np.zeros((60, 80), np.uint8)
    for found in (*model.levels(picture), *replace(model, fast=True).levels(picture)):  # corners stay
        h, w = found.cells.shape[:2]
        ends = (np.array([w, h]) - 2 * found.pad) * 4 / found.scale
        assert (np.abs(ends - [80, 60]) < 4 / found.scale).all() and (found.pad > 0).all()


def test_a_response_is_the_windows_own_product() -> None:
    rng = np.random.default_rng(0)
    n = 3 * 4 * 9
    linear = rng.normal(0, 1, n + 1)
    parts = (linear, {}, 0.0, np.zeros((n + 1, 4)), np.array([1.0, 0.0]))
    model = WindowModel(Cells(), (3, 4), 1.3, 10.0, 4, 0.4, *parts)
    grid = rng.random((7, 9, 9), np.float32)
    y, x, value = model.response(grid, -np.inf)
    assert len(y) == 5 * 6
    np.testing.assert_allclose(value, model.rows(grid, y, x) @ linear[:-1] + linear[-1], rtol=1e-4, atol=1e-4)


def test_cells_do_not_depend_on_where_arrays_lie() -> None:
    picture = ring_samples(1)[0].image
    sizes = np.random.default_rng(0).integers(1, 100_000, 30)
    made, kept = set(), []
    for size in sizes:  # what the system gives next lies elsewhere
        kept.append(np.zeros(size))
        made.add(Cells().cells(picture).tobytes())
    assert len(made) == 1


def test_mirror_images_have_mirrored_boxes() -> None:
    image = np.zeros((20, 31), np.uint8)
    image[4:9, 3:10] = 200
    sample = Sample("a", lambda: image, (Instance([[5, 5]], box_xywh=[3, 4, 7, 5]),), "a")
    (_, plain, _), (turned, box, _) = _pictures([sample], True)
    assert plain.tolist() == [[3, 4, 7, 5]]
    ((x, y, w, h),) = box.astype(int)
    assert (turned[y : y + h, x : x + w] == 200).all() and turned.sum() == image.sum()


def test_peaks_become_boxes_where_they_are() -> None:
    image = np.zeros((90, 150, 3), np.uint8)
    _, matrix = square_of(image, 128, True)
    true = np.array([[20.25, 31.5, 40.0, 22.0]])
    x, y, w, h = map_boxes(matrix, true)[0] / STRIDE
    centre, change = np.full((32, 32), -5.0, np.float32), np.zeros((4, 32, 32))
    row, column = int(y + h / 2), int(x + w / 2)
    centre[row, column] = 2.0
    change[:, row, column] = x + w / 2 - column - 0.5, y + h / 2 - row - 0.5, np.log(w), np.log(h)
    boxes, score = CentreReader(128, True, 0.5, (1.0, 0.0)).find(lambda _: (centre, change), image, 0.5)
    np.testing.assert_allclose(boxes, true, atol=1e-9)
    np.testing.assert_allclose(score, 1 / (1 + np.exp(-2.0)))


def test_the_networks_targets_are_read_back_by_its_reader() -> None:
    torch = pytest.importorskip("torch")
    from hybridkp.deep.centre import centre_targets, giou_loss

    corners = torch.tensor([[[[5.25, 7.5], [13.25, 11.5]], [[np.nan] * 2] * 2, [[40.0, 2], [60, 9]]]])
    centre, target, weight, _ = centre_targets(corners, 32)
    assert centre[0, 9, 9] == 1 and (centre == 1).sum() == 1, "the second is none, the third outside"
    np.testing.assert_allclose(target[0, 9, 9], [5.25, 7.5, 13.25, 11.5])
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    middle, size = corners[0, 0].mean(0), corners[0, 0, 1] - corners[0, 0, 0]
    change = torch.stack([middle[0] - x - 0.5, middle[1] - y - 0.5, *(s.log().expand(32, 32) for s in size)])[
        None
    ]
    assert abs(float(giou_loss(change, target, weight))) < 1e-5
    assert float(giou_loss(change + torch.tensor([0.5, 0, 0, 0])[None, :, None, None], target, weight)) > 0.05


def test_tiles_cover_a_picture_and_seams_leave_no_doubles() -> None:
    for size in ((100, 200), (97, 61), (5, 4)):
        for n, shared in ((1, 0.0), (3, 0.25), (4, 0.5)):
            seen = np.zeros(size, int)
            for x, y, w, h in tile_boxes(size, n, shared):
                assert w > 0 and h > 0 and x + w <= size[1] and y + h <= size[0]
                seen[y : y + h, x : x + w] += 1
            assert seen.min() > 0, "every px is in a tile"
    image = np.zeros((100, 200), np.uint8)
    image[20:40, 10:30], image[50:80, 85:118], image[5:25, 170:190] = 255, 255, 255

    def bright(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = cv2.connectedComponentsWithStats((part > 0).astype(np.uint8))[2][1:, :4].astype(float)
        return rows, np.full(len(rows), 0.9)

    boxes, score = find_in_tiles(bright, image, 2, 0.4, False, 0.4)
    assert sorted(boxes.tolist()) == [[10, 20, 20, 20], [85, 50, 33, 30], [170, 5, 20, 20]]
    assert (score == 0.9).all()
    alone, _ = find_in_tiles(bright, image, 2, 0.0, False, 0.4)
    assert len(alone) == 4, "what is whole in no tile is two parts"
    assert len(find_in_tiles(bright, image, 2, 0.0, True, 0.4)[0]) == 3, "the whole picture mends it"


def test_tiles_teach_what_they_show() -> None:
    image = np.arange(60 * 90, dtype=np.uint16).reshape(60, 90).astype(np.uint8)
    shown = Instance([[12.0, 11]], box_xywh=[5, 5, 14, 12])
    split = Instance([[44.0, 20]], box_xywh=[38, 12, 14, 16])
    sample = Sample("a", lambda: image, (shown, split), "g", (60, 90))
    finder = TiledFinder([("a", recipes.make_finder("lbp-faces"))], n_tiles=2, shared=0.0, whole=False)
    tiles = finder._taught([sample])
    assert {t.name for t in tiles} == {"a#0", "a#1"} and all(t.group == "g" for t in tiles)
    left, right = sorted(tiles, key=lambda t: t.name)
    np.testing.assert_array_equal(left.image, image[:, :45])
    np.testing.assert_array_equal(right.image, image[:, 45:])
    assert [i.ignore for i in left.instances] == [False, True] and right.instances[0].ignore
    np.testing.assert_allclose(right.instances[0].box_xywh, [38 - 45, 12, 14, 16])
    np.testing.assert_allclose(left.instances[0].xy, shown.xy)
    with pytest.raises(InputError, match="of one finder, got 2"):
        recipes.make_finder("tiles(hog+svm,lbp-faces)").fit([sample])
    with pytest.raises(InputError, match=r"n_tiles must lie in 1\.\.32"):
        recipes.make_finder("tiles[n_tiles=0](hog+svm)").fit([sample])


def test_arithmetic_of_boxes() -> None:
    rng = np.random.default_rng(1)
    boxes = np.column_stack([rng.uniform(0, 50, (9, 2)), rng.uniform(5, 20, (9, 2))])
    moved = boxes * [1, 1, 1.1, 0.8] + [1.5, -0.5, 0, 0]
    np.testing.assert_allclose(corrected(boxes, corrections(boxes, moved)), moved, atol=1e-9)
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.5).tolist() == []
    far, close = (
        np.arange(5)[:, None] * [100.0, 0, 0, 0] + [0, 0, 9, 9],
        0.5 + 1e-9 * np.array([2.0, 0, 4, 1, 3]),
    )
    assert suppress(far, close, 0.5).tolist() == [2, 4, 0, 3, 1], "OpenCV's own floats could not tell them"
    assert suppress(boxes[[0, 0, 0]], np.array([-3.0, -1.0, -2.0]), 0.5).tolist() == [1], "raw values too"
    fused, score = fuse_boxes([boxes[:1], boxes[:1] + 1], [np.array([0.9]), np.array([0.3])], [1, 1], 0.5)
    np.testing.assert_allclose(fused, boxes[:1] + 0.25)
    np.testing.assert_allclose(score, [0.6])
    alone, half = fuse_boxes([boxes[:1], np.zeros((0, 4))], [np.array([0.8]), np.zeros(0)], [3, 1], 0.5)
    np.testing.assert_allclose(half, [0.6]), np.testing.assert_allclose(alone, boxes[:1])
    crowd = Instance([[1, 1]], box_xywh=[0, 0, 9, 9], ignore=True)
    blank = Instance([[1, 1]], box_xywh=[0, 0, 0, 9])
    true, ignored = objects_of(Sample("a", lambda: None, (crowd, blank), "a"))
    assert true.shape == (0, 4) and ignored.shape == (1, 4)


# --------------------------------------------------------------------------------------------
# the runtime, files, hostile values
# --------------------------------------------------------------------------------------------


ENGINES = [
    (expression, engine)
    for expression in FINDERS
    for engine in ("onnxruntime", "cv2.dnn")
    if expression != "lbp-faces"
    and (engine == "onnxruntime" or expression.startswith(("centernet", "verify")))
]


@pytest.mark.parametrize(("expression", "engine"), ENGINES)
def test_the_runtime_finds_the_same(expression: str, engine: str) -> None:
    finder = fitted(expression)
    find = build(finder.runtime_node(), engine)
    for sample in ring_samples(4, 2):
        for ours, theirs in zip(finder.find(sample.image), find(sample.image), strict=True):
            np.testing.assert_allclose(theirs, ours, atol=1e-3)


def test_damaged_nodes_are_refused() -> None:
    node = fitted(f"acf+forest[{LIGHT},n_estimators=16]").runtime_node()
    for path, value in (
        (("trees", "left"), lambda a: a + 10**6),
        (("trees", "feature"), lambda a: a - 10**6),
        (("trees", "value"), lambda a: a[:-1]),
        (("trees", "depth"), lambda _: 10**6),
        (("octave",), lambda _: 10**9),
        (("least_px",), lambda _: 1e-30),
        (("window_hw",), lambda _: [10**6, 10**6]),
        (("regression",), lambda a: a * np.nan),
    ):
        broken = copy.deepcopy(node)
        inside = broken[path[0]] if len(path) == 2 else broken
        inside[path[-1]] = value(inside[path[-1]])
        with pytest.raises((InputError, ValueError)):
            build(broken)


def test_a_damaged_model_file_is_refused(tmp_path) -> None:
    finder = copy.deepcopy(fitted(f"acf+forest[{LIGHT},n_estimators=16]"))
    finder.model_.trees["right"][:] = 10**6
    save_model(finder, tmp_path / "bad.hkp")
    with pytest.raises(InputError, match="trees are damaged"):
        load_model(tmp_path / "bad.hkp")


def test_ready_made_finders_say_what_they_need(tmp_path) -> None:
    import skimage.data

    image = np.zeros((64, 64), np.uint8)
    (tmp_path / "bad.xml").write_text("<opencv_storage></opencv_storage>")
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    for expression, told in (
        (f'cascade[file="{tmp_path}/none.xml"]', "no such cascade"),
        (f'cascade[file="{tmp_path}/bad.xml"]', "no cascade that OpenCV"),
        ("facenet", "needs its file"),
        (f'facenet[file="{tmp_path}/none.onnx"]', "no such file"),
        (f'facenet[file="{tmp_path}/bad.onnx"]', "does not run"),
    ):
        with pytest.raises(InputError, match=told) as caught:
            recipes.make_finder(expression).find(image)
        assert "\n" not in str(caught.value)
    face = np.array([[150.0, 60.0, 130.0, 130.0]])
    boxes, score = recipes.make_finder("lbp-faces").find(skimage.data.astronaut()[..., ::-1])
    from hybridkp.metrics import box_overlap

    assert box_overlap(boxes[:1], face)[0, 0] > 0.5 and 0 < score[0] < 1


def test_each_member_is_fitted_once_and_its_time_is_counted() -> None:
    fits = []

    class Counted(FusedFinder):
        def fit(self, samples):
            fits.append(1)
            return self

    member = Counted([], overlap=0.3)
    with each_fit_once() as kept:
        one = fit_finder(member, ring_samples(2))
        assert fit_finder(member, ring_samples(2)) is one and len(fits) == 1 and kept.spared >= 0
        fit_finder(Counted([], overlap=0.4), ring_samples(2))
        fit_finder(member, ring_samples(3))
        assert len(fits) == 3, "another parameter, or other samples, is another fit"
    fit_finder(member, ring_samples(2))
    assert len(fits) == 4, "nothing is kept outside"


def test_a_finder_without_boxes_says_so() -> None:
    bare = [replace(s, instances=()) for s in ring_samples(3)]
    for expression in FINDERS:
        if expression != "lbp-faces":
            with pytest.raises(InputError, match="learns from boxes"):
                recipes.make_finder(expression).fit(bare)
    with pytest.raises(InputError, match="need as many weights"):
        recipes.make_finder(f"fused(hog+svm[{LIGHT}],lbp-faces)").set_params(weights=(1.0,)).fit(bare)


# --------------------------------------------------------------------------------------------
# expressions, commands
# --------------------------------------------------------------------------------------------


def test_a_finder_stands_in_front_of_a_method() -> None:
    both = recipes.make_method("hog+svm[window_cells=7]/sdm-fast")
    assert isinstance(both, TopDown) and both.finder.window_cells == 7
    assert recipes.canonical("hog + svm / sdm-fast:cnn") == "hog+svm/sdm:cnn"
    assert recipes.canonical("given/sdm") == "sdm" and recipes.family("centernet/sdm") == "hybrid"
    assert recipes.canonical("fused(hog+svm,centernet)/heatmap:flip:sdm").startswith(
        "fused(hog+svm,centernet)/"
    )
    for wrong, told in (
        ("yolo/sdm", "no finder 'yolo'"),
        ("hog/sdm", "it needs a classifier"),
        ("sdm/sdm", "no finder 'sdm'"),
        ("vote(hog+svm/sdm,heatmap)", "in front of the whole method"),
        ("hog+svm[bad=1]/sdm", "no parameter 'bad'"),
    ):
        with pytest.raises(InputError, match=told):
            recipes.make_method(wrong)


def test_one_file_finds_and_reads_from_train_to_the_runtime(rings, tmp_path, capsys) -> None:
    model, light = tmp_path / "m.hkp", tmp_path / "m.hkr"
    asked = ["--method", "mean-shape", "--finder", f"hog+svm[{LIGHT}]", "--crop", "32", "--margin", "1.3"]
    assert main(["train", rings, *asked, "-o", str(model)]) == 0
    for sample in ring_samples(4, 5):
        cv2.imwrite(str(tmp_path / sample.name), sample.image)
    pictures = [str(tmp_path / f"rings{i}.png") for i in range(4)]
    capsys.readouterr()
    assert main(["predict", str(model), *pictures, "-o", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == "", "nothing to note where a finder looks"
    document = json.loads((tmp_path / "out" / "predictions.json").read_text())
    found = {
        i["id"]: [a for a in document["annotations"] if a["image_id"] == i["id"]] for i in document["images"]
    }
    assert [len(found[i]) for i in sorted(found)] == [0, 1, 2, 3], "as many rings as were drawn"
    for sample, number in zip(ring_samples(4, 5), sorted(found), strict=True):
        for instance in sample.instances:
            points = np.array([a["keypoints"][:2] for a in found[number]])
            assert np.abs(points - instance.xy[0]).max(1).min() < 3
    assert main(["export", str(model), "-o", str(light)]) == 0
    detector = runtime.load(light)
    assert isinstance(detector, runtime.RuntimePictureDetector) and detector.landmarks == ["middle"]
    objects = detector.detect(cv2.imread(pictures[3]))
    assert len(objects) == 3
    mine = sorted(tuple(o.xy[0]) for o in objects)
    theirs = sorted(tuple(a["keypoints"][:2]) for a in found[max(found)])
    np.testing.assert_allclose(mine, theirs, atol=2e-3)
    with pytest.raises(InputError, match="got None"):
        detector.detect(None)
    for box, words in (([0, 0, 9], "a box is"), ([9999, 0, 9, 9], "outside the picture")):
        with pytest.raises(InputError, match=words):
            detector.in_box(cv2.imread(pictures[3]), box)
    grey = cv2.imread(pictures[3], cv2.IMREAD_GRAYSCALE)
    seen = [detector.in_box(image, [1, 2, 30, 30]) for image in (grey, grey.astype(np.uint16) * 257)]
    np.testing.assert_array_equal(*(instance.xy for instance in seen))
    assert seen[0].score == seen[1].score
    # boxes that are given stay the user's, and a bound can be asked for
    assert main(["predict", str(model), pictures[3], "--min-score", "1", "-o", str(tmp_path / "none")]) == 0
    assert json.loads((tmp_path / "none" / "predictions.json").read_text())["annotations"] == []
    boxes = {
        "images": [{"id": 1, "file_name": "rings3.png"}],
        "annotations": [{"image_id": 1, "bbox": [1, 2, 9, 9]}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    given = ["--boxes", str(tmp_path / "boxes.json"), "-o", str(tmp_path / "given")]
    assert main(["predict", str(model), pictures[3], *given]) == 0
    (one,) = json.loads((tmp_path / "given" / "predictions.json").read_text())["annotations"]
    assert one["bbox"] == [1, 2, 9, 9]


def test_without_boxes_and_without_a_finder_there_is_a_note(rings, tmp_path, capsys) -> None:
    model = tmp_path / "m.hkp"
    assert main(["train", rings, "--method", "mean-shape", "--crop", "32", "-o", str(model)]) == 0
    picture = tmp_path / "p.png"
    cv2.imwrite(str(picture), ring_samples(3)[2].image)
    capsys.readouterr()
    assert main(["predict", str(model), str(picture), "-o", str(tmp_path / "out")]) == 0
    assert "no boxes, and the model has no finder" in capsys.readouterr().err
    with pytest.warns(DataWarning, match="whatever it shows"):
        from hybridkp.evaluate import predict

        predict(model, [picture])
    document = str(tmp_path / "rings" / "val.json")
    assert main(["predict", str(model), document, str(picture), "-o", str(tmp_path / "both")]) == 0
    assert "p.png" in capsys.readouterr().err, "whose boxes nobody gave"
    box = Instance([[20.0, 20]], box_xywh=[9, 9, 20, 20])
    ids = {"a/p.png": "../../x", "b/p.png": "../../y"}
    asked = [Sample(n, lambda: cv2.imread(str(picture)), (box,), n, image_id=i) for n, i in ids.items()]
    predict(model, asked, out=tmp_path / "ids")
    assert sorted(p.name for p in (tmp_path / "ids" / "overlays").iterdir()) == ["p-2.jpg", "p.jpg"]


def test_a_finder_needs_background() -> None:
    image = ring_samples(3)[2].image
    full = Instance([[1.0, 1]], box_xywh=[0, 0, *image.shape[1::-1]])
    samples = [Sample(f"{i}.png", lambda: image, (full,), str(i)) for i in range(4)]
    with pytest.raises(InputError, match="no window shows background"):
        recipes.make_finder("hog+svm[octave=1]").fit(samples)


def test_bench_finders_stores_boxes_first_and_keeps_them(rings, tmp_path, capsys) -> None:
    out = tmp_path / "bench"
    command = ["bench-finders", rings, "--finders", f"hog+svm[{LIGHT}],lbp-faces", "--out", str(out)]
    assert main(command) == 0
    first = capsys.readouterr()
    assert first.out.index("hog+svm") < first.out.index("cascade"), "best first"
    stored = sorted((out / "found").glob("*.json"))
    assert len(stored) == 2 and len(json.loads(stored[0].read_text())["pictures"]) == 4
    result = json.loads((out / "results.json").read_text())["methods"]
    assert result[0]["ap50"] > 80 and result[0]["time"] > 0 and result[0]["ap_low"] <= result[0]["ap"]
    page = (out / "index.html").read_text()
    assert "data:image/jpeg" in page and "missed" in page
    assert main(command) == 0
    again = capsys.readouterr()
    assert again.err.count("kept from before") == 2 and again.out == first.out
    stored[0].write_text("{}")
    assert main(command) == 0 and "computed again" in capsys.readouterr().err, "a damaged file stops nobody"


def test_a_detector_learns_in_found_boxes_too() -> None:
    from hybridkp.evaluate import found_too

    class Beside:
        """Finds every true box a px to the right, and a crowd region."""

        def find(self, image, *, name=""):
            (sample,) = (s for s in samples if s.name == name)
            boxes = np.array([i.box_xywh for i in sample.instances]).reshape(-1, 4) + [1.0, 0, 0, 0]
            return boxes, np.ones(len(boxes))

    samples = ring_samples(6)
    twice = found_too(Dataset("rings", ("middle",), tuple(samples)), Beside())
    for before, after in zip(samples, twice, strict=True):
        objects = [i for i in before.instances if not i.ignore]
        assert len(after.instances) == len(before.instances) + len(objects)
        for own, found in zip(objects, after.instances[len(before.instances) :], strict=True):
            np.testing.assert_allclose(found.box_xywh, own.box_xywh + [1, 0, 0, 0])
            np.testing.assert_array_equal(found.xy, own.xy)


def test_boxes_beside_the_objects_teach_too() -> None:
    from hybridkp.evaluate import moved_too, rebox_of

    data = Dataset("rings", ("middle",), tuple(ring_samples(6)))
    for before, after in zip(data, moved_too(data), strict=True):
        objects = [i for i in before.instances if not i.ignore]
        assert after.instances[: len(before.instances)] == before.instances
        moved = after.instances[len(before.instances) :]
        assert len(moved) == 2 * len(objects)
        for own, found in zip([*objects, *objects], moved, strict=True):
            change = np.abs(corrections(own.box_xywh[None], found.box_xywh[None]))
            assert 0 < change.max() < 0.5
            np.testing.assert_array_equal(found.xy, own.xy)
    assert rebox_of(data) is None, "one point has no box"
    shape = np.array([[10.0, 10], [30, 40], [20, 25]])
    box = np.array([5.5, 6.5, 30, 40])
    rows = (Instance(shape, box_xywh=box), Instance(shape * np.nan, box_xywh=box))
    two = Dataset("two", ("a", "b", "c"), (Sample("s", lambda: None, rows, "s"),))
    np.testing.assert_allclose(corrected(np.array([[10.5, 10.5, 20, 30]]), rebox_of(two)[None])[0], box)
    far = [Instance(shape, box_xywh=box + [20 * i, 0, 0, 0]) for i in range(4)]
    apart = replace(two, samples=(replace(two.samples[0], instances=tuple(far)),))
    assert rebox_of(apart) is None, "its points do not say where the box is"
